//! A text said in stock voices and blends, and heard again: with the real networks.

use crate::chain::{Chain, Told};
use spinbot::SpeechTiming;
use spinbot::listen::Heard;
use spinbot::steps::{BlendPart, Listen, ReadVoice, Speak};
use spinbot_media::audio::{self, AudioCaps};
use spinbot_studio::{StepError, StepOutput};

fn output<'a>(outputs: &'a [StepOutput], name: &str) -> &'a [u8] {
    &outputs.iter().find(|output| output.name == name).unwrap().bytes
}

fn blend(parts: &[(&str, f64)]) -> ReadVoice {
    let part = |(voice, weight): &(&str, f64)| BlendPart { voice: (*voice).to_owned(), weight: *weight };
    ReadVoice { blend: parts.iter().map(part).collect() }
}

fn speak(text: &str) -> Speak {
    Speak { text: text.into(), speed: 1.0, accent: None, lexicon: Default::default() }
}

/// A voice file of that blend, among the chain's files.
fn voice(chain: &Chain, parts: &[(&str, f64)]) -> std::path::PathBuf {
    let outputs = chain.attempt(&blend(parts), &[], &mut Told::default()).unwrap();
    let path = chain.path("voice.safetensors");
    std::fs::write(&path, output(&outputs, "voice")).unwrap();
    path
}

#[test]
fn a_text_is_said_as_it_is_written_and_every_word_has_its_time() {
    let chain = Chain::new("speak");
    let voice = voice(&chain, &[("af_heart", 1.0)]);
    let text = "The kettle costs $3.50, doctor. [pause 0.8] Put it on the *old* wooden table!";
    let mut told = Told::default();
    let outputs = chain.attempt(&speak(text), &[("voice", voice.clone())], &mut told).unwrap();
    assert_eq!(told.previews.iter().filter(|name| *name == "sentence").count(), 1, "{:?}", told.previews);

    let clip = audio::read_bytes(output(&outputs, "speech").to_vec(), "s", &AudioCaps::default()).unwrap();
    assert_eq!(clip.rate, 48_000);
    assert!((clip.loudness().unwrap() + 16.0).abs() < 1.0, "{} LUFS", clip.loudness().unwrap());
    let timing: SpeechTiming = serde_json::from_slice(output(&outputs, "timing")).unwrap();
    assert!((timing.seconds - clip.seconds()).abs() < 0.01);
    let words: Vec<&str> = timing.words.iter().map(|word| word.text.as_str()).collect();
    let written =
        ["The", "kettle", "costs", "$3.50,", "doctor.", "Put", "it", "on", "the", "old", "wooden", "table!"];
    assert_eq!(words, written);
    let in_order = timing.words.windows(2).all(|pair| pair[0].end <= pair[1].start + 1e-6);
    assert!(in_order && timing.words.iter().all(|word| word.start < word.end), "{:?}", timing.words);
    assert!(timing.words.last().unwrap().end <= timing.seconds);
    let pause = timing.words[5].start - timing.words[4].end;
    assert!((0.8..2.0).contains(&pause), "a pause of {pause} s");
    let subtitles = String::from_utf8(output(&outputs, "subtitles").to_vec()).unwrap();
    assert!(subtitles.starts_with("WEBVTT\n") && subtitles.contains("$3.50"), "{subtitles}");

    // What was said is what is heard, and in whose voice.
    let path = chain.path("said.wav");
    std::fs::write(&path, output(&outputs, "speech")).unwrap();
    let outputs =
        chain.attempt(&Listen { profiles: vec![] }, &[("speech", path)], &mut Told::default()).unwrap();
    let heard: Heard = serde_json::from_slice(output(&outputs, "report")).unwrap();
    let errors = spinbot_models::listen::word_errors(
        "the kettle costs three dollars and fifty cents doctor put it on the old wooden table",
        &heard.transcript,
    );
    assert!(errors.rate() < 0.3, "heard: {}", heard.transcript);
    assert_eq!((heard.nearest[0].voice.as_str(), heard.speakers), ("af_heart", 1));
    assert!(heard.dnsmos.overall > 2.8 && heard.confidence > 0.5, "{heard:?}");
    assert!(heard.pitch.is_some_and(|pitch| (160.0..260.0).contains(&pitch.hz)), "{:?}", heard.pitch);
}

#[test]
fn the_same_seed_says_the_same_and_a_blend_lies_between_its_voices() {
    let chain = Chain::new("blend");
    let say = |parts: &[(&str, f64)], seed: u64, speed: f64| {
        let voice = voice(&chain, parts);
        let step = Speak { speed, ..speak("A rod is used to catch pink salmon.") };
        chain.seeded(&step, &[("voice", voice)], seed)
    };
    let first = say(&[("am_echo", 1.0)], 5, 1.0);
    assert_eq!(output(&first, "speech"), output(&say(&[("am_echo", 1.0)], 5, 1.0), "speech"));
    assert_ne!(output(&first, "speech"), output(&say(&[("am_echo", 1.0)], 6, 1.0), "speech"));
    assert_ne!(
        output(&first, "speech"),
        output(&say(&[("am_echo", 0.5), ("bf_emma", 0.5)], 5, 1.0), "speech")
    );
    let seconds = |outputs: &[StepOutput]| {
        serde_json::from_slice::<SpeechTiming>(output(outputs, "timing")).unwrap().seconds
    };
    let (normal, fast) = (seconds(&first), seconds(&say(&[("am_echo", 1.0)], 5, 1.5)));
    assert!(fast < 0.8 * normal, "{fast} s at 1.5 times the speed, {normal} s at 1");
}

#[test]
fn what_cannot_be_said_is_refused_in_a_sentence() {
    let chain = Chain::new("unsayable");
    let voice = voice(&chain, &[("bm_george", 1.0)]);
    let other = chain.path("other.safetensors");
    std::fs::write(&other, b"no voice").unwrap();
    let lexicon = [("word".to_owned(), "w3rd".to_owned())].into();
    for (step, voice, about, message) in [
        (speak("… !"), &voice, "text", "nothing in the text that can be said"),
        (speak("wait [pause 99]"), &voice, "text", "no pause"),
        (speak(&"long ".repeat(30_000)), &voice, "text", "150000 characters"),
        (Speak { lexicon, ..speak("a word") }, &voice, "text", "`3`"),
        (Speak { speed: 9.0, ..speak("a word") }, &voice, "speed", "speed is 9"),
        (Speak { accent: Some("au".into()), ..speak("a word") }, &voice, "accent", "`au` is no accent"),
        (speak("a word"), &other, "voice", "the voice file"),
    ] {
        let ended = chain.attempt(&step, &[("voice", voice.clone())], &mut Told::default());
        let Err(StepError::Fault(fault)) = ended else { panic!("{message}: {ended:?}") };
        assert!(fault.message.contains(message), "{fault}");
        assert_eq!(fault.argument.as_deref(), Some(about), "{fault}");
    }
    let unknown = chain.attempt(&blend(&[("af_hart", 1.0)]), &[], &mut Told::default());
    assert!(matches!(unknown, Err(StepError::Fault(_))));
}
