//! What people get wrong, and what they are told.

use crate::session::Notebook;

fn check(cell: &str, expected: &str) {
    let mut notebook = Notebook::new();
    let found = notebook.error(cell).replace(&notebook.folder.path().display().to_string(), "FOLDER");
    assert_eq!(found, expected.trim_start_matches('\n'), "for {cell:?}");
    assert!(notebook.engine.seen.borrow().is_empty(), "{cell:?} reached the engine");
}

#[test]
fn a_name_that_is_not_there() {
    check(
        "let a = 1;\n%rendr --portrait me.jpg",
        "
error: there is no magic %rendr
  |
2 | %rendr --portrait me.jpg
  | ^^^^^^
help: did you mean `%render`?",
    );
    check(
        "%matplotlib inline",
        "
error: there is no magic %matplotlib
  |
1 | %matplotlib inline
  | ^^^^^^^^^^^
help: `%lsmagic` lists them",
    );
}

#[test]
fn a_form_that_is_not_there() {
    check(
        "%%jobs\nx",
        "
error: %jobs takes no lines below it
  |
1 | %%jobs
  | ^^^^^^
help: write `%jobs` on one line",
    );
    check(
        "let a = 1;\n%%time\na",
        "
error: %%time must begin the cell
  |
2 | %%time
  | ^^^^^^
help: put it into a cell of its own, or use its one-line form",
    );
    check(
        "%time",
        "
error: %time needs CODE
  |
1 | %time
  |      ^
help: add `CODE`: The Rust to run.",
    );
    check(
        "%%time\n\n",
        "
error: %time needs CODE
  |
1 | %%time
  |       ^
help: write it on the lines below %%time",
    );
    check(
        "%html <b>hi</b>",
        "
error: %html takes its text from the lines below it
  |
1 | %html <b>hi</b>
  | ^^^^^
help: write `%%html` on the first line of a cell",
    );
    check(
        "%%time quickly\n1 + 1",
        "
error: %time does not know what to do with `quickly`
  |
1 | %%time quickly
  |        ^^^^^^^
help: %%time takes its text from the lines below it",
    );
}

#[test]
fn flags_and_their_values() {
    let render = "%render --portrait me.jpg --speech hello.wav";
    check(
        "%render --portait me.jpg --speech hello.wav",
        "
error: %render has no flag `--portait`
  |
1 | %render --portait me.jpg --speech hello.wav
  |         ^^^^^^^^^
help: did you mean `--portrait`?",
    );
    check(
        &format!("{render} -seed 3"),
        "
error: %render has no flag `-seed`
  |
1 | %render --portrait me.jpg --speech hello.wav -seed 3
  |                                              ^^^^^
help: did you mean `--seed`?",
    );
    check(
        &format!("{render} --seed"),
        "
error: --seed needs a value
  |
1 | %render --portrait me.jpg --speech hello.wav --seed
  |                                                    ^
help: write `--seed N`: Seed of everything random in it.",
    );
    check(
        &format!("{render} --seed=-1"),
        "
error: --seed: got -1, need 0 or more
  |
1 | %render --portrait me.jpg --speech hello.wav --seed=-1
  |                                                     ^^
help: write `--seed N`: Seed of everything random in it.",
    );
    check(
        &format!("{render} --seed many"),
        "
error: --seed needs a whole number, got `many`
  |
1 | %render --portrait me.jpg --speech hello.wav --seed many
  |                                                     ^^^^
help: write `--seed N`: Seed of everything random in it.",
    );
    check(
        "%jobs --last 9999",
        "
error: --last: got 9999, need 1..=1000
  |
1 | %jobs --last 9999
  |              ^^^^
help: write `--last N`: How many, newest first.",
    );
    check(
        &format!("{render} --preset fin"),
        "
error: --preset has no `fin`
  |
1 | %render --portrait me.jpg --speech hello.wav --preset fin
  |                                                       ^^^
help: did you mean `fine`? It knows draft, standard, fine",
    );
    check(
        &format!("{render} --style=loud"),
        "
error: --style has no `loud`
  |
1 | %render --portrait me.jpg --speech hello.wav --style=loud
  |                                                      ^^^^
help: use one of still, lively",
    );
    check(
        &format!("{render} --seed 1 --seed 2"),
        "
error: --seed is given twice
  |
1 | %render --portrait me.jpg --speech hello.wav --seed 1 --seed 2
  |                                                       ^^^^^^
help: keep one of them",
    );
    check(
        &format!("{render} --detach=yes"),
        "
error: --detach takes no value
  |
1 | %render --portrait me.jpg --speech hello.wav --detach=yes
  |                                                       ^^^
help: write it alone",
    );
    check(
        &format!("{render} --as 'my take'"),
        "
error: `my take` cannot name a Rust variable
  |
1 | %render --portrait me.jpg --speech hello.wav --as 'my take'
  |                                                   ^^^^^^^^^
help: use letters, digits and `_`, not a digit first, and no Rust keyword",
    );
}

#[test]
fn what_is_missing_and_what_comes_later() {
    check(
        "%render --portrait me.jpg",
        "
error: %render needs something to say: a topic, --text or --speech
  |
1 | %render --portrait me.jpg
  | ^^^^^^^
help: add `\"TOPIC\"`, `--text \"WORDS\"` or `--speech CLIP`",
    );
    check(
        "%render --speech hello.wav",
        "
error: %render needs someone who talks: --portrait or --bot
  |
1 | %render --speech hello.wav
  | ^^^^^^^
help: add `--portrait IMAGE` or `--bot LORA`",
    );
    check(
        "%render the history --portrait me.jpg",
        "
error: %render does not know what to do with `history`
  |
1 | %render the history --portrait me.jpg
  |             ^^^^^^^
help: this version renders a picture or a bot with a topic, a text or a recording: `%render \"TOPIC\" --portrait IMAGE` \
or `--bot LORA`, `--text \"WORDS\"` or `--speech CLIP`; put the whole topic into quotes",
    );
    check(
        "%render --topic \"tea\" --portrait me.jpg",
        "
error: %render has no flag `--topic`
  |
1 | %render --topic \"tea\" --portrait me.jpg
  |         ^^^^^^^
help: this version renders a picture or a bot with a topic, a text or a recording: `%render \"TOPIC\" --portrait IMAGE` \
or `--bot LORA`, `--text \"WORDS\"` or `--speech CLIP`; put the whole topic into quotes",
    );
    check(
        "%cancel",
        "
error: %cancel needs ID
  |
1 | %cancel
  |        ^
help: add `ID`: The job's id, or as much of its beginning as is needed.",
    );
}

#[test]
fn files_that_are_not_there() {
    check(
        "%render --portrait mee.jpg --speech hello.wav",
        "
error: there is no file mee.jpg
  |
1 | %render --portrait mee.jpg --speech hello.wav
  |                    ^^^^^^^
help: did you mean `me.jpg`?",
    );
    check(
        "%render --portrait 'holiday photos/us.jpg' --speech hello.wav",
        "
error: there is no file holiday photos/us.jpg
  |
1 | %render --portrait 'holiday photos/us.jpg' --speech hello.wav
  |                    ^^^^^^^^^^^^^^^^^^^^^^^
help: paths are relative to FOLDER",
    );
    check(
        "%render --portrait . --speech hello.wav",
        "
error: . is not a file
  |
1 | %render --portrait . --speech hello.wav
  |                    ^
help: name one file in it",
    );
}

#[test]
fn rust_in_braces() {
    check(
        "%render --portrait {nobody} --speech hello.wav",
        "
error: cannot find value `nobody` in this scope
  |
1 | %render --portrait {nobody} --speech hello.wav
  |                    ^^^^^^^^
help: define it in a cell above",
    );
    check(
        "%render --portrait me.jpg --speech hello.wav --seed x{name}",
        "
error: --seed needs a whole number, got `xnova`
  |
1 | %render --portrait me.jpg --speech hello.wav --seed x{name}
  |                                                     ^^^^^^^
help: write `--seed N`: Seed of everything random in it.",
    );
    check(
        "%render --portrait {name",
        "
error: this { is never closed
  |
1 | %render --portrait {name
  |                    ^^^^^
help: write {{ for the character { itself",
    );
}

#[test]
fn toml_bodies_are_pointed_into() {
    check(
        "%%render\nportrait = \"me.jpg\"\nspeach = \"hello.wav\"",
        "
error: %%render has no `speach`
  |
3 | speach = \"hello.wav\"
  | ^^^^^^
help: did you mean `speech`?",
    );
    check(
        "%%render\nportrait = \"me.jpg\"\nspeech = 3",
        "
error: `speech` needs a text in quotes, got a number
  |
3 | speech = 3
  |          ^
help: write `speech = \"CLIP\"`: What it says: WAV, FLAC, MP3, Ogg or M4A.",
    );
    check(
        "%%render\nportrait = \"me.jpg\"\nspeech = \"hello.wav\"\nseed = \"{name}\"",
        "
error: --seed needs a whole number, got `nova`
  |
4 | seed = \"{name}\"
  |        ^^^^^^^^
help: write `--seed N`: Seed of everything random in it.",
    );
    check(
        "%%render\nportrait = \"me.jpg\"\nspeech = \"nothere.wav\"",
        "
error: there is no file nothere.wav
  |
3 | speech = \"nothere.wav\"
  |          ^^^^^^^^^^^^^
help: paths are relative to FOLDER",
    );
    check(
        "%%render --preset draft\npreset = \"fine\"",
        "
error: `preset` is given twice
  |
2 | preset = \"fine\"
  | ^^^^^^
help: keep one of them",
    );
    check(
        "%%render\nportrait = \"me.jpg\"",
        "
error: %render needs something to say: `topic`, `text` or `speech`
  |
1 | %%render
  | ^^^^^^^^
help: add `topic = \"TOPIC\"`, `text = \"WORDS\"` or `speech = \"CLIP\"`",
    );
    check(
        "%%render\nspeech = \"hello.wav\"",
        "
error: %render needs someone who talks: `portrait` or `bot`
  |
1 | %%render
  | ^^^^^^^^
help: add `portrait = \"IMAGE\"` or `bot = \"LORA\"`",
    );
    check(
        "%%render\nportrait = \"me.jpg\"\nshots = 4",
        "
error: %%render has no `shots`
  |
3 | shots = 4
  | ^^^^^
help: `%render?` shows what it takes",
    );
    let broken = Notebook::new().error("%%render\nportrait = me.jpg\n");
    assert!(broken.starts_with("error: the lines below %%render are not TOML: "), "{broken}");
    assert!(broken.contains("2 | portrait = me.jpg\n"), "{broken}");
}

#[test]
fn all_that_needs_no_rust_is_checked_before_any_runs() {
    let mut notebook = Notebook::new();
    notebook.error("%render --portrait {photo} --speech hello.wav --preset big");
    assert_eq!(notebook.seen, Vec::<String>::new());
}
