//! What is refused and with which words, and what cannot be seen by comparing with the reference: which release was
//! loaded, voices on disk, seeds, stopping.

#![allow(clippy::unwrap_used)]

use super::config::PocketTraits;
use super::file::Tensors;
use super::parity_tests::{MODELS, load, open, reference};
use super::{Pocket, PocketFiles, PocketLanguage, PocketOptions, PocketVoice};
use crate::{Device, ModelError};
use candle_core::Device as Inner;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use std::ops::ControlFlow;
use std::path::Path;

/// The tensors of the `full` weights after a change: none drops one.
fn changed(change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) -> Vec<u8> {
    let bytes = std::fs::read(reference("full.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let kept: Vec<_> = file
        .iter()
        .filter_map(|(name, view)| {
            Some((name, view.dtype(), view.shape().to_vec(), change(name, view.data().to_vec())?))
        })
        .collect();
    let views = kept
        .iter()
        .map(|(name, dtype, shape, data)| (*name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap()
}

fn zero(data: Vec<u8>) -> Option<Vec<u8>> {
    Some(vec![0; data.len()])
}

/// The released layout in a folder: these weights, the tokenizer beside them.
fn lay_out(weights: &[u8]) -> (tempfile::TempDir, PocketFiles) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, weights).unwrap();
    std::fs::copy(reference("tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    let files = PocketFiles::beside(&path).unwrap();
    (folder, files)
}

fn try_load(weights: &[u8]) -> crate::Result<Pocket> {
    let (_folder, files) = lay_out(weights);
    Pocket::load_with(&files, PocketLanguage::English, MODELS[0].1, &Device(Inner::Cpu))
}

fn refusal<T>(result: crate::Result<T>) -> (String, String) {
    let error = result.err().expect("refused");
    (error.to_string(), error.help().unwrap_or_default())
}

fn recording(pocket: &str) -> Vec<f32> {
    open(&format!("{pocket}_cases.safetensors")).any("speech.voice_audio").unwrap().to_vec1().unwrap()
}

fn preset(pocket: &Pocket) -> PocketVoice {
    pocket.voice(&reference("full_cases.safetensors")).unwrap()
}

fn say(pocket: &Pocket, text: &str, options: &PocketOptions) -> Vec<f32> {
    let go_on = &mut |_: super::PocketChunk<'_>| ControlFlow::Continue(());
    pocket.speak(text, &preset(pocket), options, go_on).unwrap().samples
}

#[test]
fn the_open_release_speaks_but_is_refused_for_cloning_with_the_reason() {
    // As published: the same tensors, those of the encoder and its transformer all zero.
    let open = try_load(&changed(
        |name, data| if name.starts_with("mimi.encoder") { zero(data) } else { Some(data) },
    ));
    let open = open.unwrap();
    let (sentence, help) = refusal(open.can_clone());
    assert_eq!(
        sentence,
        "these pocket-tts weights cannot clone a voice: 19 of the 21 matrices that turn a recording into a voice are \
         all zero (`mimi.encoder.model.0.conv.weight` is the first), as in the open release, which was published \
         without cloning"
    );
    assert!(help.contains("preset voices") && help.contains("kyutai/pocket-tts"), "{help}");
    assert_eq!(refusal(open.voice_from(&recording("full"))).0, sentence);
    let whole = load("full");
    assert!(whole.can_clone().is_ok());
    let options = PocketOptions { seed: 3, ..PocketOptions::default() };
    assert_eq!(say(&open, "Hello there.", &options), say(&whole, "Hello there.", &options));
}

#[test]
fn one_zero_matrix_anywhere_on_the_way_to_a_voice_is_enough_to_refuse_it() {
    for zeroed in [
        "flow_lm.speaker_proj_weight",
        "mimi.downsample.conv.conv.weight",
        "mimi.encoder.model.6.conv.weight",
        "mimi.encoder_transformer.transformer.layers.1.linear2.weight",
    ] {
        let pocket =
            try_load(&changed(|name, data| if name == zeroed { zero(data) } else { Some(data) })).unwrap();
        let (sentence, _) = refusal(pocket.can_clone());
        assert!(sentence.contains("1 of the 21") && sentence.contains(zeroed), "{sentence}");
    }
    // Biases of zeros are no sign of anything.
    let bias = |name: &str| name.starts_with("mimi.encoder.") && name.ends_with(".bias");
    let pocket = try_load(&changed(|name, data| if bias(name) { zero(data) } else { Some(data) })).unwrap();
    assert!(pocket.can_clone().is_ok());
}

#[test]
fn weights_without_the_encoder_speak_and_say_what_is_missing() {
    for (prefix, named) in [
        ("mimi.encoder.", "the file holds no `mimi.encoder`"),
        ("mimi.downsample.", "the file holds no `mimi.downsample`"),
        ("flow_lm.speaker_proj_weight", "the file holds no `flow_lm.speaker_proj_weight`"),
    ] {
        let left_out = changed(|name, data| (!name.starts_with(prefix)).then_some(data));
        // What the file still has of the encoder is of no use, and no reason to refuse it.
        let pocket = try_load(&left_out).unwrap();
        assert!(refusal(pocket.can_clone()).0.ends_with(named));
        assert!(!say(&pocket, "Hello there.", &PocketOptions::default()).is_empty());
    }
}

#[test]
fn files_that_are_missing_are_named_with_where_people_get_them() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("model.safetensors");
    let (sentence, help) = refusal(PocketFiles::beside(&weights));
    assert!(sentence.starts_with("pocket-tts lacks its weights: "), "{sentence}");
    assert!(
        help.contains("kyutai/pocket-tts-without-voice-cloning") && help.contains("tokenizer.json"),
        "{help}"
    );
    std::fs::copy(reference("full.safetensors"), &weights).unwrap();
    let (sentence, _) = refusal(PocketFiles::beside(&weights));
    assert!(sentence.starts_with("pocket-tts lacks its tokenizer: "), "{sentence}");
    std::fs::copy(reference("tokenizer.model"), folder.path().join("tokenizer.model")).unwrap();
    let files = PocketFiles::beside(&weights).unwrap();
    assert!(files.tokenizer.ends_with("tokenizer.model") && files.voices().is_empty());
    std::fs::create_dir(folder.path().join("embeddings")).unwrap();
    for name in ["marius.safetensors", "alba.safetensors", "notes.txt"] {
        std::fs::write(folder.path().join("embeddings").join(name), b"").unwrap();
    }
    let names: Vec<_> = files.voices().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["alba", "marius"]);
    let (sentence, _) = refusal(load("full").voice(Path::new("nowhere.safetensors")));
    assert!(sentence.contains("lacks its voice"), "{sentence}");
}

#[test]
fn widths_of_no_release_ask_for_traits_and_known_ones_do_not() {
    let (_folder, files) = lay_out(&std::fs::read(reference("full.safetensors")).unwrap());
    let loaded = Pocket::load(&files, PocketLanguage::English, &Device(Inner::Cpu));
    let (sentence, help) = refusal(loaded);
    assert!(sentence.contains("its language model is 32 wide, its decoder 16"), "{sentence}");
    assert!(help.contains("PocketTraits"), "{help}");
    // What is of no release may say its traits itself.
    let mut said = serde_json::to_value(MODELS[0].1).unwrap();
    let telling = |traits: &serde_json::Value| {
        let metadata = [("spinbot.pocket.traits".to_owned(), traits.to_string())].into();
        let bytes = std::fs::read(reference("full.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let (_folder, files) = lay_out(&safetensors::serialize(file.iter(), Some(metadata)).unwrap());
        Pocket::load(&files, PocketLanguage::English, &Device(Inner::Cpu))
    };
    let options = PocketOptions::default();
    assert_eq!(say(&telling(&said).unwrap(), "Hello.", &options), say(&load("full"), "Hello.", &options));
    said["decoder_context"] = 0.into();
    assert!(refusal(telling(&said)).0.contains("go beyond 1 to 4096"));
    assert!(refusal(telling(&"no".into())).0.contains("its `spinbot.pocket.traits` cannot be read"));
    let recognised = |model: usize, decoder: usize| {
        let matrix = |width: usize| (vec![1, width], vec![0_u8; 4 * width]);
        let parts = [
            ("flow_lm.transformer.layers.0.self_attn.in_proj.weight", matrix(model)),
            ("mimi.decoder_transformer.transformer.layers.0.self_attn.in_proj.weight", matrix(decoder)),
        ];
        let views = parts.iter().map(|(name, (shape, data))| {
            (*name, TensorView::new(safetensors::Dtype::F32, shape.clone(), data).unwrap())
        });
        let bytes = safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap();
        PocketTraits::recognise(&Tensors::from_bytes(&bytes, &Inner::Cpu).unwrap()).unwrap()
    };
    assert_eq!(recognised(1024, 512).eos_threshold, -4.0);
    assert_eq!(recognised(512, 128).decoder_context, 50);
    assert_eq!(recognised(224, 128).one_step, super::OneStep::Drifting);
    assert_eq!(recognised(112, 128).one_step, super::OneStep::Pointwise);
}

#[test]
fn foreign_and_damaged_weights_are_refused_by_name() {
    let without = |gone: &'static str| changed(move |name, data| (name != gone).then_some(data));
    let (sentence, _) = refusal(try_load(&without("flow_lm.out_eos.bias")));
    assert_eq!(sentence, "weights of `pocket-tts`: `flow_lm.out_eos.bias` is missing");
    let (sentence, _) = refusal(try_load(&without("mimi.decoder.model.3.block.3.conv.weight")));
    assert!(sentence.contains("`mimi.decoder.model.3.block.3.conv.weight` is missing"), "{sentence}");
    // A tensor that this architecture has no place for would be missed in the sound.
    let bytes = std::fs::read(reference("small.safetensors")).unwrap();
    let small = SafeTensors::deserialize(&bytes).unwrap();
    let mut views: Vec<_> = small.iter().collect();
    views.push(("flow_lm.extra.weight", TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4]).unwrap()));
    let (_folder, mut files) = lay_out(&safetensors::serialize(views, None).unwrap());
    files.tokenizer = reference("tokenizer.model");
    let loaded = Pocket::load_with(&files, PocketLanguage::English, MODELS[1].1, &Device(Inner::Cpu));
    assert!(refusal(loaded).0.ends_with("`flow_lm.extra.weight` has no place in this architecture"));
    // Heads of another width than the file's.
    let (_folder, files) = lay_out(&changed(|_, data| Some(data)));
    let traits = PocketTraits { head: 14, ..MODELS[0].1 };
    let loaded = Pocket::load_with(&files, PocketLanguage::English, traits, &Device(Inner::Cpu));
    assert!(refusal(loaded).0.contains("which heads of 14 do not fit"));
    // Weights that compute nothing but NaN say so rather than play it.
    let nan = try_load(&changed(|name, data| match name {
        "mimi.decoder.model.0.conv.bias" => Some([0xc0, 0x7f].repeat(data.len() / 2)),
        _ => Some(data),
    }));
    let nan = nan.unwrap();
    let go_on = &mut |_: super::PocketChunk<'_>| ControlFlow::Continue(());
    let spoken = nan.speak("Hello.", &preset(&nan), &PocketOptions::default(), go_on);
    assert!(refusal(spoken).0.contains("no numbers while decoding speech"));
}

#[test]
fn voices_survive_the_way_to_a_file_and_back_and_know_their_weights() {
    let pocket = load("full");
    let made = pocket.voice_from(&recording("full")).unwrap();
    let model = super::PocketModel { id: "mine".into(), sha256: "0".repeat(64) };
    let print = |n: usize| crate::listen::Voiceprint(std::array::from_fn(|i| if i == n { 1.0 } else { 0.0 }));
    let speaker = crate::kokoro::SpeakerPrints { ge2e: print(1), dvector: print(2) };
    let bytes = made.to_safetensors(&model, Some(&speaker)).unwrap();
    let back = pocket.voice_from_safetensors(&bytes).unwrap();
    assert_eq!(back.positions(), made.positions());
    assert_eq!(crate::kokoro::SpeakerPrints::read(&bytes).unwrap(), Some(speaker));
    let preset = std::fs::read(reference("full_cases.safetensors")).unwrap();
    assert!(super::is_pocket_voice(&bytes) && super::is_pocket_voice(&preset));
    assert!(!super::is_pocket_voice(b"no voice"));
    assert!(!super::is_pocket_voice(&std::fs::read(reference("full.safetensors")).unwrap()));
    assert_eq!(crate::kokoro::SpeakerPrints::read(&preset).unwrap(), None);
    let flat = |x: &candle_core::Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (a, b) in made.cache.layers.iter().zip(&back.cache.layers) {
        assert_eq!((flat(&a.keys), flat(&a.values)), (flat(&b.keys), flat(&b.values)));
    }
    // The layout is the one the package reads.
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("transformer.layers.1.self_attn/cache").unwrap().shape(), [2, 1, 11, 2, 16]);
    assert_eq!(file.tensor("transformer.layers.1.self_attn/offset").unwrap().data(), 11_i64.to_le_bytes());
    let small = load("small");
    let (sentence, help) = refusal(small.voice_from_safetensors(&bytes));
    assert!(
        sentence.contains("it was made with other weights") && help.contains("same release"),
        "{sentence}"
    );
    let (sentence, _) = refusal(small.voice(&reference("full_cases.safetensors")));
    assert!(sentence.contains("it holds 2 layers, the model has 3"), "{sentence}");
    let go_on = &mut |_: super::PocketChunk<'_>| ControlFlow::Continue(());
    let spoken = small.speak("Hello.", &made, &PocketOptions::default(), go_on);
    assert!(refusal(spoken).0.contains("it was made with other weights"));
}

#[test]
fn older_voice_files_are_read_too() {
    let pocket = load("full");
    let current = preset(&pocket);
    let bytes = std::fs::read(reference("full_cases.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    // The position as the length of a tensor, behind a longer cache whose rest is NaN.
    let mut parts = Vec::new();
    for n in 0..2 {
        let name = format!("transformer.layers.{n}.self_attn");
        let cache = file.tensor(&format!("{name}/cache")).unwrap();
        let row = 2 * 16 * 4;
        let longer = cache
            .data()
            .chunks_exact(11 * row)
            .flat_map(|half| half.iter().copied().chain(f32::NAN.to_le_bytes().repeat(3 * row / 4)));
        parts.push((format!("{name}/cache"), vec![2, 1, 14, 2, 16], longer.collect::<Vec<_>>()));
        parts.push((format!("{name}/current_end"), vec![11], vec![0; 44]));
    }
    let views = parts.iter().map(|(name, shape, data)| {
        (name.as_str(), TensorView::new(safetensors::Dtype::F32, shape.clone(), data).unwrap())
    });
    let older = safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap();
    let older = pocket.voice_from_safetensors(&older).unwrap();
    let flat = |x: &candle_core::Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(flat(&older.cache.layers[1].values), flat(&current.cache.layers[1].values));
    // The vectors of a recording before the model has read them.
    let prompt = file.tensor("lm.prompt").unwrap();
    let prompt = safetensors::serialize([("audio_prompt", prompt)], None).unwrap();
    let voice = pocket.voice_from_safetensors(&prompt).unwrap();
    assert_eq!(voice.positions(), 1 + 5, "the vector before the voice comes first");
    let empty = safetensors::serialize(Vec::<(&str, TensorView<'_>)>::new(), None).unwrap();
    assert!(refusal(pocket.voice_from_safetensors(&empty)).0.contains("it holds 0 layers"));
}

#[test]
fn recordings_that_no_voice_comes_from_are_refused() {
    let pocket = load("full");
    for (samples, expected) in [
        (vec![0.1; 23_999], "it lasts 1.0 s, expected 1 to 60 s"),
        (vec![0.1; 60 * 24_000 + 1], "it lasts 60.0 s"),
        (vec![0.0; 48_000], "it is silent"),
        (vec![f32::NAN; 48_000], "no numbers"),
    ] {
        let (sentence, help) = refusal(pocket.voice_from(&samples));
        assert!(sentence.contains(expected) && help.contains("3 to 30 seconds"), "{sentence}");
    }
}

#[test]
fn texts_and_options_out_of_range_are_refused() {
    let pocket = load("full");
    let go_on = &mut |_: super::PocketChunk<'_>| ControlFlow::Continue(());
    let plain = PocketOptions::default();
    let mut refused =
        |text: &str, options: PocketOptions| refusal(pocket.speak(text, &preset(&pocket), &options, go_on)).0;
    assert!(refused(" \n ", plain).contains("nothing in it to say"));
    assert!(refused(&"a ".repeat(200_001), plain).contains("200000 at most"));
    assert!(refused(&"word ".repeat(900), plain).contains("without a comma or a sentence end"));
    assert!(refused("Hi.", PocketOptions { temperature: f64::NAN, ..plain }).contains("from 0 to 2"));
    assert!(refused("Hi.", PocketOptions { temperature: -0.1, ..plain }).contains("from 0 to 2"));
    assert!(refused("Hi.", PocketOptions { steps: Some(0), ..plain }).contains("1 to 128"));
    let small = load("small");
    let voice = small.voice_from(&recording("small")).unwrap();
    let two = PocketOptions { steps: Some(2), ..plain };
    assert!(refusal(small.speak("Hi.", &voice, &two, go_on)).0.contains("these weights take 1 to 1"));
}

#[test]
fn the_same_seed_says_the_same_and_another_seed_or_temperature_something_else() {
    let pocket = load("full");
    let options = PocketOptions { seed: 7, ..PocketOptions::default() };
    let text = "The quick fox jumps over the dog.";
    let first = say(&pocket, text, &options);
    assert_eq!(first, say(&pocket, text, &options));
    assert_ne!(first, say(&pocket, text, &PocketOptions { seed: 8, ..options }));
    assert_ne!(first, say(&pocket, text, &PocketOptions { temperature: 0.9, ..options }));
    assert_ne!(first, say(&pocket, text, &PocketOptions { steps: Some(2), ..options }));
    let frozen = PocketOptions { temperature: 0.0, ..options };
    assert_eq!(say(&pocket, text, &frozen), say(&pocket, text, &PocketOptions { seed: 8, ..frozen }));
}

#[test]
fn long_texts_come_in_parts_and_can_be_stopped() {
    let pocket = load("full");
    let text = "One sentence stands here for the test, not too short. ".repeat(4);
    let options = PocketOptions::default();
    let mut seen = Vec::new();
    let whole = pocket.speak(&text, &preset(&pocket), &options, &mut |chunk| {
        assert!(chunk.samples.len().is_multiple_of(1920) && chunk.part < chunk.parts);
        assert!(chunk.text.starts_with("One sentence stands here"), "{}", chunk.text);
        seen.push(chunk.part);
        ControlFlow::Continue(())
    });
    let whole = whole.unwrap();
    assert!(!whole.stopped && seen.is_sorted() && seen.first() == Some(&0) && seen.last() > Some(&1));
    let mut pieces = 0;
    let stopped = pocket.speak(&text, &preset(&pocket), &options, &mut |_| {
        pieces += 1;
        if pieces == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let stopped = stopped.unwrap();
    assert!(stopped.stopped && pieces == 2);
    assert_eq!(stopped.samples.len(), 5 * 1920, "one frame, then four");
    assert_eq!(stopped.samples, whole.samples[..stopped.samples.len()]);
    // An end that never comes is reported.
    let endless = PocketOptions { eos_threshold: Some(f32::MAX), ..options };
    let go_on = &mut |_: super::PocketChunk<'_>| ControlFlow::Continue(());
    assert_eq!(pocket.speak("Hello.", &preset(&pocket), &endless, go_on).unwrap().unended, 1);
}

#[test]
fn a_tokenizer_of_other_weights_is_refused() {
    let (folder, mut files) = lay_out(&std::fs::read(reference("full.safetensors")).unwrap());
    let mut load = |name: &str, content: &[u8]| {
        files.tokenizer = folder.path().join(name);
        std::fs::write(&files.tokenizer, content).unwrap();
        refusal(Pocket::load_with(&files, PocketLanguage::English, MODELS[0].1, &Device(Inner::Cpu)))
    };
    let (sentence, help) = load("tokenizer.model", &[0xff; 40]);
    assert!(sentence.contains("it is no SentencePiece model"), "{sentence}");
    assert!(help.contains("from the folder that the weights come from"), "{help}");
    assert!(load("tokenizer.json", b"{}").0.contains("cannot be used"));
    // One piece short.
    let whole = std::fs::read_to_string(reference("tokenizer.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&whole).unwrap();
    json["model"]["vocab"].as_array_mut().unwrap().pop();
    let (sentence, _) = load("tokenizer.json", json.to_string().as_bytes());
    assert!(sentence.ends_with("it has 329 pieces, the weights know 330"), "{sentence}");
}

#[test]
fn control_pieces_are_not_made_from_text_and_nothing_panics_on_odd_bytes() {
    let tokenizer = super::tokenizer::Tokenizer::open(&reference("tokenizer.model")).unwrap();
    // 1 is `<s>`, which only training may set.
    assert!(!tokenizer.encode("a <s> b").unwrap().contains(&1));
    assert!(!tokenizer.encode("\0<s>").unwrap().contains(&1));
    assert_eq!(tokenizer.decode(&[u32::MAX, 1]).unwrap(), "");
    let model = std::fs::read(reference("tokenizer.model")).unwrap();
    for cut in (0..model.len()).step_by(97) {
        // A shorter model or a refusal, never a panic.
        if let Ok(model) = super::spm::SentencePiece::read(&model[..cut]) {
            let _ = model.encode("Hello, world");
        }
    }
}

#[test]
fn a_model_and_its_voices_may_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Pocket>();
    shared::<PocketVoice>();
}

#[test]
fn errors_of_pocket_are_errors_of_the_crate() {
    let error = ModelError::from(super::PocketError::NotFinite { doing: "speaking" });
    assert_eq!(error.to_string(), "pocket-tts computed values that are no numbers while speaking");
    assert_eq!(error.help().as_deref(), Some("the weights are damaged: fetch them again"));
}
