//! Completion and inspection at a cursor, written as `|`.

use crate::session::Notebook;
use spinbot_magics::{complete, inspect};

/// The candidates, and after `/` the characters they replace.
fn check(marked: &str, expected: Option<&str>) {
    let cursor = marked.find('|').unwrap();
    let code = marked.replacen('|', "", 1);
    let notebook = Notebook::new();
    for (name, folder) in [("my photo.jpg", false), (".hidden", false), ("photos", true)] {
        let path = notebook.folder.path().join(name);
        if folder { std::fs::create_dir(path).unwrap() } else { std::fs::write(path, name).unwrap() }
    }
    let found = complete(&code, cursor, notebook.folder.path())
        .map(|c| format!("{} / {}", c.matches.join(" "), c.replaces.of(&code)));
    assert_eq!(found.as_deref(), expected, "for {marked:?}");
}

#[test]
fn names_flags_choices_and_files_complete() {
    check("%ti|", Some("%time / %ti"));
    check("%ti|me", Some("%time / %time"));
    check(
        "let a = 1;\n%|",
        Some(
            "%cancel %capabilities %clone_voice %draw %jobs %keep %listen %loras %lsmagic %models %render %script %speak %time %train_lora %voices / %",
        ),
    );
    check(
        "%%|",
        Some(
            "%%bash %%clone_voice %%draw %%html %%markdown %%render %%script %%speak %%time %%train_lora / %%",
        ),
    );
    check("?re|", Some("?render / ?re"));
    check("%render --pre|", Some("--preset / --pre"));
    check("%render --seed 1 --s|", Some("--seconds --speech --speed --stage --style --subtitles / --s"));
    check("%render --preset |", Some("draft fine standard / "));
    check("%speak Hi --voice bm_g|", Some("bm_george / bm_g"));
    check("%speak Hi --voice af_heart:0.6+am_ec|", Some("am_echo / am_ec"));
    check("%clone_voice m|", Some("me.jpg models/ my\\ photo.jpg / m"));
    check("%draw hi --scheduler dpm|", Some("dpm-2m dpm-2m-karras / dpm"));
    check("%render --preset=f|", Some("fine / f"));
    check("%render --dry-run --style l|", Some("lively / l"));
    check("%render --portrait m|", Some("me.jpg models/ my\\ photo.jpg / m"));
    check("%render --portrait 'my |", Some("my photo.jpg / my "));
    check("%render --portrait ph|", Some("photos/ / ph"));
    check("%render --portrait .h|", Some(".hidden / .h"));
    check(
        "%render --portrait me.jpg |--x",
        Some(
            "--allow-remote --as --bot --detach --dry-run --face --intro --keep-aspect --llm --music --ollama --outro --persona --preset --seconds --seed --speech --speed --stage --style --subtitles --takes --text --tone --variant --voice / ",
        ),
    );
    check("%%render\npor|", Some("portrait / por"));
    check(
        "%%render\nportrait = \"me.jpg\"\nspeech = |",
        Some("\"hello.wav\" \"loras/\" \"me.jpg\" \"models/\" \"my photo.jpg\" \"photos/\" / "),
    );
    check("%%render\npreset = \"d|", Some("draft / d"));
}

#[test]
fn rust_is_left_to_the_evaluator() {
    check("let a = 1; a.|", None);
    check("%time a.|", None);
    check("%%time\na.|", None);
    check("%time 1\na.|", None);
    check("a %|", None);
    check("%nope --x|", None);
}

#[test]
fn inspection_tells_about_the_argument_or_the_magic() {
    let check = |marked: &str, expected: Option<&str>| {
        let cursor = marked.find('|').unwrap();
        let found = inspect(&marked.replacen('|', "", 1), cursor);
        let text = found.map(|bundle| bundle.data["text/plain"].as_str().unwrap().to_owned());
        let first = text.as_deref().and_then(|text| text.lines().next());
        assert_eq!(first, expected, "for {marked:?}");
    };
    let time = Some("%time CODE");
    check("%ti|me 1", time);
    check("%time f|oo", None);
    check("%render --pre|set fine", Some("--preset PRESET"));
    check("%%render\nse|ed = 1", Some("--seed N"));
    check("let a|", None);
}
