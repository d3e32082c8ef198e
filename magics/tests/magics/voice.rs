//! The voice magics against an engine that plays a script.

use crate::session::{FakeEngine, Notebook};
use spinbot::event::ArtifactRef;
use spinbot::{EventBody, Fault, Plan};
use spinbot_magics::Failure;

type Events = Vec<Result<EventBody, Fault>>;

fn left(step: &str, output: &str, artifact: ArtifactRef) -> Result<EventBody, Fault> {
    Ok(EventBody::Artifact { step: step.into(), output: output.into(), artifact })
}

/// A WAV file of that many samples at 48 kHz.
fn wav(samples: usize) -> Vec<u8> {
    let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    bytes.extend(48_000_u32.to_le_bytes());
    bytes.extend(96_000_u32.to_le_bytes());
    bytes.extend([2, 0, 16, 0]);
    bytes.extend(b"data");
    bytes.extend((samples as u32 * 2).to_le_bytes());
    bytes.extend((0..samples).flat_map(|i| (((i as f64 * 0.05).sin() * 9000.0) as i16).to_le_bytes()));
    bytes
}

/// What `speak` leaves for two words in so many seconds.
fn said(engine: &FakeEngine, seconds: f64) -> Events {
    let timing = format!(
        r#"{{"seconds": {seconds}, "sentences": [], "phonemes": [], "words": [
            {{"text": "Hello", "start": 0.1, "end": 0.5, "phonemes": "həlˈO"}},
            {{"text": "<you>.", "start": 0.5, "end": 1.0, "phonemes": "ju"}}]}}"#
    );
    let speech = wav((seconds * 48_000.0) as usize);
    let speech = engine.artifact("speech.wav", "audio/wav", &speech);
    vec![
        Ok(EventBody::Started),
        Ok(EventBody::StepStarted { step: "speak".into() }),
        Ok(EventBody::Preview {
            step: "speak".into(),
            name: "sentence".into(),
            artifact: engine.artifact("sentence.wav", "audio/wav", b"a sentence"),
        }),
        progress(0.4),
        progress(0.8),
        left("speak", "speech", speech.clone()),
        left("speak", "timing", engine.artifact("timing.json", "application/json", timing.as_bytes())),
        left("speak", "subtitles", engine.artifact("a.vtt", "text/vtt", b"WEBVTT\n\n<c>\n")),
        left("encode_player", "sound", engine.artifact("player.mp3", "audio/mpeg", b"an mp3")),
        Ok(EventBody::Done { result: speech, seconds: 1.0 }),
    ]
}

fn progress(fraction: f64) -> Result<EventBody, Fault> {
    let (step, unit) = ("speak".to_owned(), "sentences".to_owned());
    Ok(EventBody::Progress { step, fraction, done: 1.0, total: 2.0, unit, rate: None, eta: None })
}

/// The plan that was submitted first.
fn submitted(notebook: &Notebook) -> Plan {
    serde_json::from_str(notebook.engine.seen.borrow()[0].strip_prefix("submit ").unwrap()).unwrap()
}

fn contains(html: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(html.contains(wanted), "`{wanted}` is missing in {html}");
    }
}

#[test]
fn speaking_lets_the_first_sentence_be_heard_and_leaves_what_was_said() {
    let mut notebook = Notebook::new();
    notebook.engine.script.set(|engine, _| said(engine, 2.0));
    notebook.run("%speak \"Hello <you>.\" --voice af_heart:2+am_echo --say you=ju --seed 3 --as hi").unwrap();

    // The sentence's player is shown once, never redrawn, and gone at the end; the card is redrawn under its own id.
    let of = |id: &str| notebook.seen.iter().filter(|line| line.ends_with(id)).cloned().collect::<Vec<_>>();
    assert_eq!(of(" id2"), ["display id2", "update id2"]);
    assert_eq!(of(" id1")[0], "display id1");
    let first = notebook.seen.iter().position(|line| line == "display id2").unwrap();
    let last = notebook.seen.iter().position(|line| line == "update id2").unwrap();
    let bound = notebook.seen.iter().position(|line| line.starts_with("bind hi")).unwrap();
    assert!(first < last && last < bound, "{:?}", notebook.seen);
    let heard = notebook.shown.iter().find(|b| b.data["text/html"].to_string().contains("YSBzZW50ZW5jZQ=="));
    assert!(heard.unwrap().data["text/plain"].as_str().unwrap().contains("first sentence"));

    let html = notebook.html();
    // Two seconds: the WAV itself.
    contains(html, &["src=\"data:audio/wav;base64,UklGR", "2 words", "&lt;c&gt;", "image/svg+xml", "hi"]);
    assert!(!html.contains("<source") && !html.contains("<svg"), "{html}");
    assert!(notebook.text().starts_with("hi: 2.00 s, 2 words, made in "), "{}", notebook.text());
    let json = notebook.seen[bound].split_once("r#\"").unwrap().1.strip_suffix("\"#)?").unwrap();
    let spoken = spinbot::Spoken::from_json(json).unwrap();
    assert_eq!((spoken.duration().unwrap(), spoken.words().unwrap()[1].text.as_str()), (2.0, "<you>."));
    assert_eq!(spoken.subtitles().unwrap(), "WEBVTT\n\n<c>\n");

    let plan = submitted(&notebook);
    assert_eq!(plan.title, "speak \"Hello <you>.\"");
    assert_eq!(plan.steps[0].params["blend"][0]["weight"], 2.0);
    assert_eq!(plan.steps[1].params["lexicon"]["you"], "ju");
    assert_eq!(plan.steps[1].seed, 3);
    assert_eq!(plan.result, ("speak".into(), "speech".into()));
}

#[test]
fn long_speech_is_played_as_mp3_and_very_long_speech_from_beside_the_notebook() {
    let mut notebook = Notebook::new();
    notebook.engine.script.set(|engine, _| said(engine, 3.5));
    notebook.run("%%speak --format flac\nHello you.\n\nAgain.").unwrap();
    contains(notebook.html(), &["src=\"data:audio/mpeg;base64,YW4gbXAz\"", "flac"]);
    let plan = submitted(&notebook);
    assert_eq!(plan.steps[1].params["text"], "Hello you.\n\nAgain.");
    assert_eq!(plan.result, ("encode_speech".into(), "sound".into()));

    let mut notebook = Notebook::new();
    notebook.engine.script.set(|engine, _| {
        let mut events = said(engine, 3.5);
        let player = engine.artifact("long.mp3", "audio/mpeg", &vec![7; 1_300_000]);
        events.insert(events.len() - 1, left("encode_player", "sound", player));
        events
    });
    notebook.run("%speak Hello --format mp3").unwrap();
    contains(notebook.html(), &["src=\"spinbot-media/spoken-000000000000.mp3\""]);
    assert!(notebook.html().len() < 100_000);
    assert!(notebook.folder.path().join("spinbot-media/spoken-000000000000.mp3").exists());
}

#[test]
fn a_failed_speech_takes_its_first_sentence_away_and_points_at_the_voice() {
    let mut notebook = Notebook::new();
    notebook.engine.script.set(|engine, _| {
        let mut events = said(engine, 1.0);
        events.truncate(4);
        let fault = Fault::new("me.safetensors: damaged").help("clone it again").about("profile1");
        events.push(Ok(EventBody::Failed { step: Some("read_voice".into()), fault }));
        events
    });
    let expected = "\
error: me.safetensors: damaged
  |
1 | %speak Hello --voice af_sky
  |                      ^^^^^^
help: clone it again";
    assert_eq!(notebook.error("%speak Hello --voice af_sky"), expected);
    assert_eq!(notebook.seen.last().unwrap(), "update id2");
    assert_eq!(notebook.html(), "");

    let mut notebook = Notebook::new();
    notebook.engine.script.set(|engine, _| said(engine, 1.0)[..4].to_vec());
    notebook.stop_after.set(6);
    assert_eq!(notebook.run("%speak Hello"), Err(Failure::Interrupted));
    assert_eq!(notebook.seen.last().unwrap(), "update id2");
}

#[test]
fn what_people_get_wrong_when_they_speak() {
    for (cell, expected) in [
        (
            "%speak Hello --voice af_hart",
            "error: there is no voice `af_hart`\n  |\n1 | %speak Hello --voice af_hart\n  |                      ^^^^^^^\n\
             help: did you mean `af_heart`? `%voices` lists them",
        ),
        (
            "%speak Hello there",
            "error: %speak does not know what to do with `there`\n  |\n1 | %speak Hello there\n  |              ^^^^^\n\
             help: put the whole text into quotes, or below `%%speak` on lines of its own",
        ),
        (
            "%speak Hello --say gif --say a=b",
            "error: `gif` is no pronunciation\n  |\n1 | %speak Hello --say gif --say a=b\n  |                    ^^^\n\
             help: write WORD=PHONEMES, as in `gif=ʤˈɪf`",
        ),
        (
            "%speak Hello --speed 3",
            "error: --speed: got 3, need 0.5..=2\n  |\n1 | %speak Hello --speed 3\n  |                      ^\n\
             help: write `--speed X`: How fast; 1 is the voice's own.",
        ),
        (
            "%speak ' '",
            "error: there is nothing to say: the text is empty\n  |\n1 | %speak ' '\n  |        ^^^\n\
             help: write at least a word",
        ),
        (
            "%render --portrait me.jpg --text Hi --speech hello.wav",
            "error: a render says one thing: a topic's script, a text or a recording\n  |\n\
             1 | %render --portrait me.jpg --text Hi --speech hello.wav\n  |                                  ^^\n\
             help: leave the others out",
        ),
        (
            "%render --portrait me.jpg --speech hello.wav --voice me",
            "error: a recording has its own voice\n  |\n\
             1 | %render --portrait me.jpg --speech hello.wav --voice me\n  |                                                      ^^\n\
             help: --voice goes with --text",
        ),
    ] {
        let mut notebook = Notebook::new();
        assert_eq!(notebook.error(cell), expected);
        assert!(notebook.engine.seen.borrow().is_empty(), "{cell:?} reached the engine");
    }
}

#[test]
fn a_render_of_a_text_moves_by_the_times_of_its_phonemes() {
    let mut notebook = Notebook::new();
    notebook
        .run("%render --portrait me.jpg --text 'Hello you.' --voice bm_george --speed 1.2 --seed 4")
        .unwrap_err();
    let plan = submitted(&notebook);
    let ids: Vec<&str> = plan.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["read_portrait", "read_voice", "speak", "articulate", "animate", "encode"]);
    assert_eq!(plan.title, "render me.jpg saying \"Hello you.\"");
    let articulate = &plan.steps[3];
    assert_eq!((articulate.seed, articulate.inputs.len()), (4, 2));
    assert_eq!(plan.steps[2].params["speed"], 1.2);

    let mut notebook = Notebook::new();
    notebook.run("%%render --dry-run\nportrait = \"me.jpg\"\ntext = \"Hello\"\nspeed = 0.9").unwrap();
    contains(notebook.text(), &["articulate", "\"speed\":0.9", "af_heart"]);
}

#[test]
fn subtitles_stand_beside_the_player_or_in_the_picture() {
    let mut notebook = Notebook::new();
    notebook.engine.script.set(|engine, _| {
        let words =
            engine.artifact("words.vtt", "text/vtt", b"WEBVTT\n\n00:00.000 --> 00:01.000\nFish & chips\n");
        let result = engine.artifact("video.mp4", "video/mp4", b"an mp4");
        let done = EventBody::Done { result, seconds: 5.0 };
        vec![Ok(EventBody::Started), left("speak", "subtitles", words), Ok(done)]
    });
    let cell = "%render --portrait me.jpg --text 'Fish & chips'";
    notebook.run(&format!("{cell} --subtitles beside")).unwrap();
    contains(notebook.html(), &["<video controls", "Fish &amp; chips", "00:01.000"]);
    contains(notebook.text(), &["Fish & chips"]);

    notebook.run(&format!("{cell} --subtitles burned")).unwrap();
    assert!(!notebook.html().contains("chips"), "{}", notebook.html());

    let mut notebook = Notebook::new();
    let expected = "\
error: nothing tells when each word of a recording is said
  |
1 | %render --portrait me.jpg --speech hello.wav --subtitles burned
  |                                                          ^^^^^^
help: subtitles go with --text; leave --subtitles off for a recording";
    let cell = "%render --portrait me.jpg --speech hello.wav --subtitles burned";
    assert_eq!(notebook.error(cell), expected);
    assert!(notebook.engine.seen.borrow().is_empty());
}

/// What a clone job leaves.
fn cloned(engine: &FakeEngine) -> Events {
    let header = "{\"style\":{\"dtype\":\"F32\",\"shape\":[510,256],\"data_offsets\":[0,522240]}}";
    let mut voice = (header.len() as u64).to_le_bytes().to_vec();
    voice.extend(header.as_bytes());
    voice.extend(vec![7; 522_240]);
    let voice = engine.artifact("voice.safetensors", "application/octet-stream", &voice);
    let scores = r#"{"reference_seconds": 20.0, "held_out_seconds": 10.0, "transcript": "he said <stew>",
        "transcript_source": "heard", "base": "bm_lewis",
        "pitch": {"speaker": {"hz": 118.0, "semitones": 2.9}, "base": {"hz": 131.0, "semitones": 3.4},
                  "clone": {"hz": 119.0, "semitones": 3.0}},
        "ge2e": {"different_speaker": 0.6, "nearest_stock": 0.68, "clone": 0.84, "same_speaker": 0.92},
        "dvector": {"different_speaker": 0.3, "nearest_stock": 0.49, "clone": 0.72, "same_speaker": 0.9},
        "stages": [
          {"stage": "nearest_stock", "kept": true, "why": "the start", "ge2e": 0.68, "dvector": 0.49,
           "word_error": 0.1, "dnsmos": 3.2, "steps": 0, "seconds": 3.0},
          {"stage": "style", "kept": true, "why": "similarity rose by 0.16", "ge2e": 0.84, "dvector": 0.72,
           "word_error": 0.1, "dnsmos": 3.1, "steps": 60, "seconds": 48.0},
          {"stage": "adapters", "kept": false, "why": "words were <lost>", "ge2e": 0.86, "dvector": 0.73,
           "word_error": 0.31, "dnsmos": 2.9, "steps": 200, "seconds": 120.0}],
        "curve": [[0.0, 0.68], [60.0, 0.84]], "warnings": ["a lamp hums"], "seconds": 61.0}"#;
    let clips = r#"{"seconds": 30.0, "clips": [{"label": "hello.wav", "sha256": "ab", "seconds": 30.0,
        "warnings": ["clipped at <3 s>"]}]}"#;
    let plot = |content: &[u8]| EventBody::Preview {
        step: "clone_voice".into(),
        name: "similarity".into(),
        artifact: engine.artifact("plot.png", "image/png", content),
    };
    vec![
        Ok(EventBody::Started),
        left("read_clips", "clips", engine.artifact("clips.json", "application/json", clips.as_bytes())),
        Ok(EventBody::StepStarted { step: "clone_voice".into() }),
        Ok(plot(b"a plot")),
        progress(0.9),
        left("clone_voice", "voice", voice.clone()),
        left("clone_voice", "scores", engine.artifact("scores.json", "application/json", scores.as_bytes())),
        left("clone_voice", "picture", engine.artifact("spectra.png", "image/png", b"spectra")),
        left("encode_original", "sound", engine.artifact("original.mp3", "audio/mpeg", b"original")),
        left("encode_clone", "sound", engine.artifact("clone.mp3", "audio/mpeg", b"the clone")),
        Ok(EventBody::Done { result: voice, seconds: 61.0 }),
    ]
}

#[test]
fn a_clone_is_scored_kept_and_used_by_its_name() {
    let mut notebook = Notebook::new();
    notebook.engine.script.set(|engine, _| cloned(engine));
    notebook.run("%clone_voice hello.wav --consent 'my own <voice>' --as nova").unwrap();
    assert!(
        notebook
            .shown
            .iter()
            .any(|b| b.data["text/html"].to_string().contains("data:image/png;base64,YSBwbG90"))
    );
    let html = notebook.html();
    contains(
        html,
        &[
            "<b>nova</b> resembles its speaker.",
            "75% of the way from a stranger to the speaker by GE2E and 70% by the second encoder",
            "from 90% on, by both, it would sound like them",
            "data:audio/mpeg;base64,b3JpZ2luYWw=",
            "data:audio/mpeg;base64,dGhlIGNsb25l",
            "data:image/png;base64,c3BlY3RyYQ==",
            "not kept: words were &lt;lost&gt;",
            "nearest stock voice (bm_lewis)",
            "31%",
            "my own &lt;voice&gt;",
            "hello.wav: clipped at &lt;3 s&gt;",
            "a lamp hums",
            "he said &lt;stew&gt;",
            "This voice is synthetic.",
            "118 Hz",
        ],
    );
    assert!(!html.contains("in place of an older one") && !html.contains("<svg"), "{html}");
    assert_eq!(
        notebook.seen.iter().rfind(|line| line.starts_with("bind")).unwrap(),
        "bind nova: spinbot::VoiceProfile = spinbot::VoiceProfile::load(\"nova\")?"
    );
    assert_eq!(notebook.seen.last().unwrap(), "update id1");

    // Again: in its place.
    notebook.run("%clone_voice hello.wav --consent 'my own voice' --as nova").unwrap();
    contains(notebook.html(), &["in place of an older one"]);

    // Usable by name, listed, carried away, removed.
    notebook.engine.seen.borrow_mut().clear();
    notebook.engine.script.set(|engine, _| said(engine, 1.0));
    notebook.run("%speak Hello --voice nova:0.7+af_nova:0.3").unwrap();
    assert!(notebook.engine.seen.borrow()[0].contains("voices/nova.safetensors"));
    notebook.run("%voices").unwrap();
    contains(
        notebook.html(),
        &["<code>nova</code>", "British English", "dGhlIGNsb25l", "<code>am_echo</code>", "0.84"],
    );
    assert!(notebook.text().contains("nova") && notebook.text().contains("bm_lewis"));
    notebook.run("%voices nova").unwrap();
    contains(notebook.html(), &["b3JpZ2luYWw=", "resembles its speaker."]);
    notebook.run("%voices nova --export carried.safetensors").unwrap();
    assert!(notebook.folder.path().join("carried.safetensors").exists());
    assert_eq!(
        notebook.error("%voices --import carried.safetensors").lines().next().unwrap(),
        "error: there is a voice `nova` already"
    );
    notebook.run("%voices twin --import carried.safetensors").unwrap();
    contains(notebook.html(), &["<b>twin</b>"]);
    notebook.run("%voices nova --remove").unwrap();
    notebook.run("%voices").unwrap();
    assert!(!notebook.html().contains("<code>nova</code>") && notebook.html().contains("<code>twin</code>"));
    std::fs::write(notebook.folder.path().join("bad.safetensors"), b"junk").unwrap();
    let error = notebook.error("%voices x --import bad.safetensors");
    assert!(error.contains("this is not a voice") && error.contains("^^^^^^^^^^^^^^^"), "{error}");
}

#[test]
fn nothing_is_cloned_without_consent_or_recordings() {
    for (cell, expected) in [
        (
            "%clone_voice hello.wav",
            "error: %clone_voice needs --consent\n  |\n1 | %clone_voice hello.wav\n  |                       ^\n\
             help: add `--consent TEXT`: Whose voice it is and that they agree, as in \"my own voice\"; kept in the \
             profile.",
        ),
        (
            "%clone_voice hello.wav --consent ' '",
            "error: a voice is cloned only with its owner's consent\n  |\n1 | %clone_voice hello.wav --consent ' '\n  \
             |                                  ^^^\n\
             help: say whose voice it is and that they agree, as in --consent \"my own voice\"",
        ),
        (
            "%clone_voice hello.wav *.ogg --consent mine",
            "error: *.ogg: this matches no file\n  |\n1 | %clone_voice hello.wav *.ogg --consent mine\n  \
             |                        ^^^^^\n\
             help: `*` and `?` stand for characters of a name",
        ),
        (
            "%clone_voice hello.wav --consent mine --as af_heart",
            "error: a voice cannot be called `af_heart`: that is a stock voice\n  |\n\
             1 | %clone_voice hello.wav --consent mine --as af_heart\n  |                                            ^^^^^^^^\n\
             help: choose another name; `%voices` lists those taken",
        ),
        (
            "%voices --remove",
            "error: --remove needs the name of a profile\n  |\n1 | %voices --remove\n  |         ^^^^^^^^\n\
             help: write `%voices NAME --remove`; `%voices` lists them",
        ),
        (
            "%voices af_heart --remove",
            "error: af_heart is a stock voice, not a profile\n  |\n1 | %voices af_heart --remove\n  |         ^^^^^^^^\n\
             help: use it by its name; there is nothing to export or remove",
        ),
        (
            "%voices mee",
            "error: there is no voice `mee`\n  |\n1 | %voices mee\n  |         ^^^\n\
             help: `%voices` lists them; `%clone_voice` makes one of a recording",
        ),
    ] {
        let mut notebook = Notebook::new();
        let found = notebook.error(cell).replace(&format!("{}/", notebook.folder.path().display()), "");
        assert_eq!(found, expected);
        assert!(notebook.engine.seen.borrow().is_empty(), "{cell:?} reached the engine");
    }
}

#[test]
fn a_clip_at_fault_is_pointed_at_even_in_a_folder() {
    let mut notebook = Notebook::new();
    let folder = notebook.folder.path().join("clips");
    std::fs::create_dir(&folder).unwrap();
    for name in ["a.wav", "b.wav"] {
        std::fs::write(folder.join(name), name).unwrap();
    }
    std::fs::write(notebook.folder.path().join("words.txt"), "hello there").unwrap();
    notebook.engine.script.set(|_, _| {
        let fault = Fault::new("b.wav: two people speak in it").help("cut one out").about("clip3");
        vec![Ok(EventBody::Started), Ok(EventBody::Failed { step: Some("read_clips".into()), fault })]
    });
    let cell = "%clone_voice *.wav clips --consent mine --transcript words.txt --finetune --denoise";
    let error = notebook.error(cell);
    assert!(error.contains("\n  |                    ^^^^^\n"), "{error}");
    let plan = submitted(&notebook);
    assert_eq!(plan.steps[0].inputs.len(), 3);
    assert_eq!(plan.steps[0].params["denoise"], true);
    assert_eq!(plan.steps[1].params["transcript"], "hello there");
    assert_eq!(plan.steps[1].params["finetune"], true);

    let mut notebook = Notebook::new();
    notebook.engine.script.set(|_, _| {
        let fault = Fault::new("hello.wav: the recording is silent").help("record again").about("clip");
        vec![Ok(EventBody::Failed { step: Some("read_clips".into()), fault })]
    });
    let error = notebook.error("%clone_voice hello.wav --consent mine");
    assert!(error.contains("\n  |              ^^^^^^^^^\n"), "{error}");

    let mut notebook = Notebook::new();
    notebook.run("%clone_voice hello.wav --consent mine --detach").unwrap();
    assert!(notebook.text().contains("run this cell again"), "{}", notebook.text());
}

#[test]
fn listening_tells_what_was_heard() {
    let mut notebook = Notebook::new();
    notebook.engine.script.set(|engine, _| {
        let report = r#"{"seconds": 8.0, "transcript": "hello <there>", "confidence": 0.9,
            "dnsmos": {"overall": 3.1, "signal": 3.5, "background": 4.0}, "snr": 31.0, "pitch": null, "speakers": 2,
            "nearest": [], "warnings": []}"#;
        let result = engine.artifact("report.json", "application/json", report.as_bytes());
        vec![Ok(EventBody::Started), Ok(EventBody::Done { result, seconds: 1.0 })]
    });
    notebook.run("%listen hello.wav --as before").unwrap();
    contains(notebook.html(), &["hello &lt;there&gt;", "3.10 of 5", "31 dB", "before"]);
    assert!(
        notebook
            .seen
            .iter()
            .any(|line| line.starts_with("bind before: spinbot::Heard = spinbot::Heard::from_json("))
    );
    assert_eq!(submitted(&notebook).steps.len(), 2);
}

#[test]
fn models_are_fetched_by_the_programs_own_command_line() {
    let mut notebook = Notebook::new();
    notebook.script(
        "echo \"asked: $*\"\ncase \"$*\" in *broken) echo 'fetching' >&2\n\
         printf 'spinbot: no model is called `broken`\\nhelp: known models: kokoro\\n' >&2; exit 1;; esac\n",
    );
    notebook.run("%models").unwrap();
    notebook.run("%models pull kokoro whisper").unwrap();
    let told = |notebook: &Notebook| notebook.seen.join("");
    assert_eq!(
        told(&notebook),
        "Stdout asked: models list\nStdout asked: models pull -- kokoro\nStdout asked: models pull -- whisper\n"
    );
    let expected = "\
error: no model is called `broken`
  |
1 | %models pull kokoro broken
  |                     ^^^^^^
help: known models: kokoro";
    assert_eq!(notebook.error("%models pull kokoro broken"), expected);
    assert!(told(&notebook).contains("Stdout fetching\n"), "{:?}", notebook.seen);
    assert!(notebook.error("%models pull").contains("which model is to be fetched?"));
    assert!(notebook.error("%models verify kokoro").contains("`verify` is about all models"));
    notebook.program = "no such program anywhere";
    assert!(notebook.error("%models").contains("cannot be run"), "{}", notebook.error("%models"));
}
