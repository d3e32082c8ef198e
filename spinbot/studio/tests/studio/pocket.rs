//! pocket-tts with small random weights: what it says is noise, but how it is said, timed, scored and refused is real.

use crate::chain::{Chain, Told, fixture, sha256};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use spinbot::SpeechTiming;
use spinbot::steps::{
    BlendPart, CheckCloner, CloneVoice, Drive, Listen, ReadClips, ReadVoice, Speak, StepParams,
};
use spinbot::voices::{Stage, VoiceScores};
use spinbot_media::audio::{self, AudioCaps};
use spinbot_models::kokoro::SpeakerPrints;
use spinbot_studio::{Motion, StepError, StepOutput};
use std::path::{Path, PathBuf};

/// The traits that the random weights were made with (`tests/reference/pocket.py`).
const TRAITS: &str = r#"{"head": 16, "encoder_head": 8, "decoder_head": 8, "encoder_context": 20,
    "decoder_context": 20, "one_step": "drifting", "eos_threshold": 0.0, "dashes_as_commas": false}"#;

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/pocket").join(name)
}

/// A release in the chain's folder: `NAME/model.safetensors`, its tokenizer, the voice `embeddings/alba.safetensors`.
/// Without `cloning` its encoder is zero, as in the one that is published openly.
fn release(chain: &Chain, name: &str, cloning: bool) -> PathBuf {
    let folder = chain.path(name);
    std::fs::create_dir_all(folder.join("embeddings")).unwrap();
    let bytes = std::fs::read(reference("full.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let zeros: Vec<u8> = vec![0; bytes.len()];
    let views = file.iter().map(|(name, view)| {
        let zeroed = !cloning && name.starts_with("mimi.encoder");
        let data = if zeroed { &zeros[..view.data().len()] } else { view.data() };
        (name, TensorView::new(view.dtype(), view.shape().to_vec(), data).unwrap())
    });
    let metadata = [("spinbot.pocket.traits".to_owned(), TRAITS.to_owned())].into();
    let weights = safetensors::serialize(views.collect::<Vec<_>>(), Some(metadata)).unwrap();
    std::fs::write(folder.join("model.safetensors"), weights).unwrap();
    std::fs::copy(reference("tokenizer.json"), folder.join("tokenizer.json")).unwrap();
    std::fs::copy(reference("full_cases.safetensors"), folder.join("embeddings/alba.safetensors")).unwrap();
    folder.join("model.safetensors")
}

fn output<'a>(outputs: &'a [StepOutput], name: &str) -> &'a [u8] {
    &outputs.iter().find(|output| output.name == name).unwrap().bytes
}

fn kept(chain: &Chain, outputs: &[StepOutput], name: &str) -> PathBuf {
    let path = chain.path(name);
    std::fs::write(&path, output(outputs, name)).unwrap();
    path
}

fn alone() -> ReadVoice {
    ReadVoice { blend: vec![BlendPart { voice: "profile1".into(), weight: 1.0 }] }
}

fn speak(text: &str) -> Speak {
    Speak { text: text.into(), speed: 1.0, accent: None, lexicon: Default::default() }
}

fn refusal<P: StepParams>(chain: &Chain, step: &P, inputs: &[(&str, PathBuf)]) -> (String, Option<String>) {
    let ended = chain.attempt(step, inputs, &mut Told::default());
    let Err(StepError::Fault(fault)) = ended else { panic!("it was taken") };
    (format!("{fault}"), fault.argument)
}

#[test]
fn a_preset_voice_says_a_text_with_the_times_of_its_parts() {
    let chain = Chain::new("pocket_speak");
    let weights = release(&chain, "open", false);
    let preset = chain.path("open/embeddings/alba.safetensors");
    let inputs = [("profile1", preset.clone()), ("weights", weights.clone())];
    let voice = chain.attempt(&alone(), &inputs, &mut Told::default()).unwrap();
    let voice = kept(&chain, &voice, "voice");

    let text = "Hello *there*. [pause 1.5] It is a fine day.";
    let inputs = [("voice", voice.clone()), ("weights", weights.clone())];
    let mut told = Told::default();
    let said = chain.attempt(&speak(text), &inputs, &mut told).unwrap();
    assert_eq!(told.previews, ["sentence"], "the first part can be heard before the second is made");
    assert!(told.progress.windows(2).all(|pair| pair[0].0 <= pair[1].0), "{:?}", told.progress);
    assert!(told.progress.last().is_some_and(|(done, total)| done == total));
    let clip = audio::read_bytes(output(&said, "speech").to_vec(), "s", &AudioCaps::default()).unwrap();
    let timing: SpeechTiming = serde_json::from_slice(output(&said, "timing")).unwrap();
    assert_eq!(clip.rate, 48_000);
    assert!((timing.seconds - clip.seconds()).abs() < 0.01);
    assert!(timing.words.is_empty() && timing.phonemes.is_empty());
    let parts: Vec<&str> = timing.sentences.iter().map(|sentence| sentence.text.as_str()).collect();
    assert_eq!(parts, ["Hello there.", "It is a fine day."]);
    let gap = timing.sentences[1].start - timing.sentences[0].end;
    assert!((gap - 1.5).abs() < 1e-6 && timing.sentences[1].end <= timing.seconds + 1e-9, "{timing:?}");
    let subtitles = String::from_utf8(output(&said, "subtitles").to_vec()).unwrap();
    assert_eq!((subtitles.matches("-->").count(), subtitles.contains("\nHello there.\n")), (2, true));

    let again = |seed: u64| chain.seeded(&speak(text), &inputs, seed);
    assert_eq!(output(&again(7), "speech"), output(&said, "speech"), "the same seed says the same");
    assert_ne!(output(&again(8), "speech"), output(&said, "speech"));
    let speech = kept(&chain, &said, "speech");
    let motion = chain.seeded(&Drive { fps: 25, liveliness: 1.0 }, &[("speech", speech)], 1);
    let motion: Motion = serde_json::from_slice(output(&motion, "motion")).unwrap();
    assert!((motion.frames.len() as f64 / 25.0 - clip.seconds()).abs() <= 0.08);
}

#[test]
fn what_pocket_cannot_do_is_refused_in_a_sentence() {
    let chain = Chain::new("pocket_refusals");
    let weights = release(&chain, "open", false);
    let preset = chain.path("open/embeddings/alba.safetensors");
    let no_voice = chain.path("open/tokenizer.json");
    let with = |voice: &Path| [("voice", voice.to_owned()), ("weights", weights.clone())];
    let lexicon = [("word".to_owned(), "wˈɜɹd".to_owned())].into();
    for (step, about, words) in [
        (Speak { speed: 1.5, ..speak("Hi.") }, "speed", "takes no speed"),
        (Speak { accent: Some("uk".into()), ..speak("Hi.") }, "accent", "takes no accent"),
        (Speak { lexicon, ..speak("Hi.") }, "say", "takes no say"),
        (speak("[Siobhan](/ʃəvˈɔn/) is here."), "text", "how `Siobhan` is pronounced"),
        (speak("… !"), "text", "nothing in the text that can be said"),
        (speak("wait [pause 99]"), "text", "no pause"),
    ] {
        let (sentence, argument) = refusal(&chain, &step, &with(&preset));
        assert!(sentence.contains(words) && sentence.contains("help"), "{sentence}");
        assert_eq!(argument.as_deref(), Some(about), "{sentence}");
    }
    let (sentence, _) = refusal(&chain, &speak("Hi."), &with(&no_voice));
    assert!(sentence.contains("header"), "{sentence}");
    let (sentence, about) = refusal(&chain, &speak("Hi."), &[("voice", preset.clone())]);
    assert!(
        sentence.contains("no weights of it are named") && about.as_deref() == Some("voice"),
        "{sentence}"
    );
    let (sentence, _) = refusal(&chain, &alone(), &[("profile1", preset.clone())]);
    assert!(sentence.contains("no weights of it are named"), "{sentence}");
    let mixed = ReadVoice { blend: [alone().blend, alone().blend].concat() };
    let (sentence, _) =
        refusal(&chain, &mixed, &[("profile1", preset.clone()), ("weights", weights.clone())]);
    assert!(sentence.contains("cannot be mixed"), "{sentence}");
    let other = [("profile1", preset), ("weights", reference("full_cases.safetensors"))];
    let (sentence, about) = refusal(&chain, &alone(), &other);
    assert!(
        sentence.contains("weights of `pocket-tts`") && about.as_deref() == Some("weights"),
        "{sentence}"
    );
    // The open weights say why they cannot clone, before anything is read.
    let (sentence, about) = refusal(&chain, &CheckCloner {}, &[("weights", weights)]);
    assert!(sentence.contains("cannot clone a voice") && sentence.contains("all zero"), "{sentence}");
    assert!(sentence.contains("preset voices") && about.as_deref() == Some("weights"), "{sentence}");
}

#[test]
fn a_voice_is_cloned_scored_on_speech_it_never_heard_and_speaks() {
    let chain = Chain::new("pocket_clone");
    let weights = release(&chain, "whole", true);
    chain.attempt(&CheckCloner {}, &[("weights", weights.clone())], &mut Told::default()).unwrap();
    let clips = [("clip1", "0002"), ("clip2", "0003")]
        .map(|(name, n)| (name, fixture(&format!("voices/1688-142285-{n}.flac"))));
    let read = chain.attempt(&ReadClips { denoise: false }, &clips, &mut Told::default()).unwrap();
    let inputs = [
        ("speech", kept(&chain, &read, "speech")),
        ("clips", kept(&chain, &read, "clips")),
        ("weights", weights.clone()),
    ];
    let step = CloneVoice { transcript: None, finetune: false };
    let mut told = Told::default();
    let cloned = chain.attempt(&step, &inputs, &mut told).unwrap();
    assert!(told.progress.last().is_some_and(|(done, total)| done == total), "{:?}", told.progress);
    let names: Vec<&str> = cloned.iter().map(|output| output.name).collect();
    assert_eq!(names, CloneVoice::OUTPUTS);
    let scores: VoiceScores = serde_json::from_slice(output(&cloned, "scores")).unwrap();
    let stages: Vec<(Stage, bool)> = scores.stages.iter().map(|stage| (stage.stage, stage.kept)).collect();
    assert_eq!(stages, [(Stage::NearestStock, false), (Stage::Prompt, true)]);
    // Noise: nobody understands it, and the figures say so.
    let clone = scores.last_kept().unwrap();
    assert!(clone.word_error > 0.8 && scores.baseline().unwrap().word_error < 0.3, "{scores:#?}");
    assert!(scores.ge2e.clone < scores.ge2e.nearest_stock && clone.why.starts_with('-'), "{scores:#?}");
    assert_eq!(scores.verdict().words(), "only roughly resembles");
    assert!(scores.held_out_seconds > 1.0 && scores.reference_seconds <= 30.0);

    let voice = kept(&chain, &cloned, "voice");
    let bytes = std::fs::read(&voice).unwrap();
    assert!(SpeakerPrints::read(&bytes).unwrap().is_some());
    let model = sha256(&std::fs::read(&weights).unwrap());
    assert!(String::from_utf8_lossy(&bytes).contains(&model), "it knows the weights it was made with");
    let read = [("profile1", voice.clone()), ("weights", weights.clone())];
    let again = chain.attempt(&alone(), &read, &mut Told::default()).unwrap();
    assert!(output(&again, "voice") == bytes, "reading a profile changes nothing of the voice");
    assert!(output(&chain.attempt(&alone(), &read, &mut Told::default()).unwrap(), "voice") == bytes);
    let said =
        chain.seeded(&speak("Hello there."), &[("voice", voice.clone()), ("weights", weights.clone())], 3);
    let speech = kept(&chain, &said, "speech");
    let heard =
        chain.seeded(&Listen { profiles: vec!["me".into()] }, &[("speech", speech), ("profile1", voice)], 0);
    assert!(String::from_utf8_lossy(output(&heard, "report")).contains(r#""voice":"me""#));
    let (sentence, about) = refusal(&chain, &CloneVoice { transcript: None, finetune: true }, &inputs);
    assert!(sentence.contains("no adapters") && about.as_deref() == Some("finetune"), "{sentence}");
}
