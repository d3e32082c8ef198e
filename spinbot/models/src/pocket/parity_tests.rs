//! Every component held against the PyPI package's own modules with random weights (`tests/reference/pocket.py`).

#![allow(clippy::unwrap_used)]

use super::cloning::Cloner;
use super::config::{OneStep, PocketTraits};
use super::file::Tensors;
use super::flow::FlowHead;
use super::lm::LanguageModel;
use super::mimi::{Decoder, DecoderState};
use super::text::{self, Rules};
use super::tokenizer::Tokenizer;
use super::transformer::Cache;
use super::{Pocket, PocketFiles, PocketLanguage, PocketOptions};
use candle_core::{Device, Tensor};
use std::ops::ControlFlow;
use std::path::PathBuf;

const FULL: PocketTraits = PocketTraits {
    head: 16,
    encoder_head: 8,
    decoder_head: 8,
    encoder_context: 20,
    decoder_context: 20,
    one_step: OneStep::Drifting,
    eos_threshold: 0.0,
    dashes_as_commas: false,
};
const SMALL: PocketTraits = PocketTraits { head: 8, decoder_head: 4, decoder_context: 10, ..FULL };
pub(super) const MODELS: [(&str, PocketTraits, &str); 2] =
    [("full", FULL, "tokenizer.json"), ("small", SMALL, "tokenizer.model")];
const TOLERANCE: f32 = 1e-4;

pub(super) fn reference(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/pocket").join(name)
}

pub(super) fn open(name: &str) -> Tensors<'static> {
    Tensors::open(&reference(name), "weights", &Device::Cpu).unwrap()
}

pub(super) fn load(name: &str) -> Pocket {
    let (name, traits, tokenizer) = MODELS.into_iter().find(|model| model.0 == name).unwrap();
    let files =
        PocketFiles { weights: reference(&format!("{name}.safetensors")), tokenizer: reference(tokenizer) };
    Pocket::load_with(&files, PocketLanguage::English, traits, &crate::Device(Device::Cpu)).unwrap()
}

/// Both as flat lists of one length, no further apart than the tolerance.
fn hold(what: &str, got: &Tensor, expected: &Tensor) {
    let flat = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    hold_values(what, &flat(got), &flat(expected));
}

fn hold_values(what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{what}: length");
    let apart = got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(got.iter().all(|x| x.is_finite()) && apart <= TOLERANCE, "{what}: {apart:e} apart");
}

#[test]
fn the_language_model_reads_voice_text_and_latents_like_the_reference() {
    for (name, traits, _) in MODELS {
        let lm = LanguageModel::load(&open(&format!("{name}.safetensors")), &traits).unwrap();
        let cases = open(&format!("{name}_cases.safetensors"));
        let case = |key: &str| cases.any(&format!("lm.{key}")).unwrap();
        let tokens = token_ids(name);
        let embedded = lm.embed(&tokens).unwrap();
        hold(&format!("{name} text table"), &embedded, &case("embedded"));
        let mut cache = Cache::default();
        let mut hidden = vec![lm.hidden(&case("prompt").squeeze(0).unwrap(), &mut cache).unwrap()];
        hidden.push(lm.hidden(&embedded, &mut cache).unwrap());
        let latents = case("latents").squeeze(0).unwrap();
        let path = lm.flow.path(1).unwrap();
        let noise = Tensor::zeros((1, lm.flow.latent), candle_core::DType::F32, &Device::Cpu).unwrap();
        for n in 0..4_usize {
            let before = n.checked_sub(1).map(|n| latents.narrow(0, n, 1).unwrap());
            let at = cache.clone();
            let step = lm.step(before.as_ref(), &noise, &path, &mut cache).unwrap();
            // The step's own hidden vector stays inside: read it again from the same place.
            let mut again = at;
            let input = lm.input_of(before.as_ref()).unwrap();
            hidden.push(lm.hidden(&input, &mut again).unwrap());
            let logit = lm.eos(hidden.last().unwrap()).unwrap()[0];
            assert_eq!(logit, step.eos);
        }
        assert_eq!(cache.position, 5 + 7 + 4);
        let hidden = Tensor::cat(&hidden, 0).unwrap();
        hold(&format!("{name} transformer with cache"), &hidden, &case("hidden"));
        let logits = Tensor::new(lm.eos(&hidden).unwrap(), &Device::Cpu).unwrap();
        hold(&format!("{name} end of speech"), &logits, &case("eos"));
    }
}

/// `lm.tokens` is i32, a type that weights never have and that is not read there.
fn token_ids(name: &str) -> Vec<u32> {
    let bytes = std::fs::read(reference(&format!("{name}_cases.safetensors"))).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tokens = file.tensor("lm.tokens").unwrap();
    tokens.data().chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect()
}

#[test]
fn the_flow_head_decodes_like_the_reference_with_two_times_one_and_none() {
    let check = |head: &FlowHead, cases: &Tensors<'_>, prefix: &str, key: &str, steps: usize| {
        let case = |key: &str| cases.any(&format!("{prefix}.{key}")).unwrap();
        let path = head.path(steps).unwrap();
        let latent = head.decode(&case("cond"), &case("noise"), &path).unwrap();
        hold(&format!("flow head {key}"), &latent, &case(key));
    };
    let (full, full_cases) = (open("full.safetensors"), open("full_cases.safetensors"));
    let head = FlowHead::load(&full, "flow_lm.flow_net", OneStep::Drifting).unwrap();
    assert_eq!(head.steps(), (1, 128));
    check(&head, &full_cases, "flow", "lsd1", 1);
    check(&head, &full_cases, "flow", "lsd4", 4);
    let (small, small_cases) = (open("small.safetensors"), open("small_cases.safetensors"));
    for (kind, key) in [(OneStep::Drifting, "drifting"), (OneStep::Pointwise, "pointwise")] {
        let head = FlowHead::load(&small, "flow_lm.flow_net", kind).unwrap();
        assert_eq!(head.steps(), (1, 1));
        check(&head, &small_cases, "flow", key, 1);
    }
    let head = FlowHead::load(&small_cases, "ot.net", OneStep::Drifting).unwrap();
    assert_eq!(head.steps(), (16, 128));
    check(&head, &small_cases, "ot", "steps16", 16);
}

#[test]
fn mimi_encodes_like_the_reference() {
    for (name, traits, _) in MODELS {
        let w = open(&format!("{name}.safetensors"));
        let cases = open(&format!("{name}_cases.safetensors"));
        let audio = cases.any("mimi.audio").unwrap().to_vec1::<f32>().unwrap();
        let encoder = super::mimi::Encoder::load(&w, &traits, 1920).unwrap();
        let latents = encoder.encode(&audio, &Device::Cpu).unwrap();
        hold(&format!("{name} encoder"), &latents, &cases.any("mimi.encoded").unwrap());
    }
}

#[test]
fn mimi_decodes_like_the_reference_in_pieces_of_any_size() {
    for (name, traits, _) in MODELS {
        let cases = open(&format!("{name}_cases.safetensors"));
        let latents = cases.any("mimi.latent").unwrap().squeeze(0).unwrap();
        let (n, width) = latents.dims2().unwrap();
        let decoder = Decoder::load(&open(&format!("{name}.safetensors")), &traits, width).unwrap();
        for sizes in [vec![1; n], vec![n], vec![1, n - 1], vec![n - 2, 2]] {
            let (mut state, mut from, mut pieces) = (DecoderState::default(), 0, Vec::new());
            for size in &sizes {
                pieces.push(decoder.decode(&latents.narrow(0, from, *size).unwrap(), &mut state).unwrap());
                from += size;
            }
            let samples = Tensor::cat(&pieces, 0).unwrap();
            hold(&format!("{name} decoder {sizes:?}"), &samples, &cases.any("mimi.decoded").unwrap());
        }
    }
}

#[test]
fn a_voice_from_a_recording_equals_the_one_the_reference_makes_and_reads_from_its_file() {
    for (name, _, _) in MODELS {
        let pocket = load(name);
        let path = reference(&format!("{name}_cases.safetensors"));
        let recording = open(&format!("{name}_cases.safetensors")).any("speech.voice_audio").unwrap();
        let made = pocket.voice_from(&recording.to_vec1::<f32>().unwrap()).unwrap();
        // The package's state lies in the same file as the other cases, under the names of its own exports.
        let stored = pocket.voice(&path).unwrap();
        assert_eq!(made.positions(), stored.positions());
        for (a, b) in made.cache.layers.iter().zip(&stored.cache.layers) {
            hold(&format!("{name} voice keys"), &a.keys, &b.keys);
            hold(&format!("{name} voice values"), &a.values, &b.values);
        }
    }
}

#[test]
fn a_whole_speech_with_the_same_noise_equals_the_reference() {
    for (name, _, _) in MODELS {
        let pocket = load(name);
        let cases = open(&format!("{name}_cases.safetensors"));
        let values = |key: &str| {
            cases.any(&format!("speech.{key}")).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let voice = pocket.voice_from(&values("voice_audio")).unwrap();
        let drawn = values("noise");
        let mut noise = drawn.iter().copied();
        let options = PocketOptions {
            eos_threshold: Some(values("eos_threshold")[0]),
            frames_after_eos: Some(3),
            ..PocketOptions::default()
        };
        let mut streamed = Vec::new();
        let text = "The quick fox jumps.";
        let speech = pocket
            .speak_with(text, &voice, &options, &mut || noise.next().unwrap(), &mut |chunk| {
                assert_eq!((chunk.part, chunk.parts), (0, 1));
                streamed.extend_from_slice(chunk.samples);
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(noise.next(), None, "{name}: the end came early");
        assert_eq!((speech.unended, speech.stopped), (0, false));
        assert_eq!(speech.samples, streamed);
        hold_values(&format!("{name} speech"), &speech.samples, &values("audio"));
    }
}

#[test]
fn texts_are_tokenised_spelled_and_cut_like_the_reference() {
    let cases = std::fs::read(reference("text.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_slice(&cases).unwrap();
    let english = Rules { language: PocketLanguage::English, dashes_as_commas: false, pad_short: false };
    assert!(cases.len() > 10);
    for case in &cases {
        let text = case["text"].as_str().unwrap();
        for kind in ["model", "json"] {
            let tokenizer = Tokenizer::open(&reference(&format!("tokenizer.{kind}"))).unwrap();
            let expected: Vec<u32> = serde_json::from_value(case[kind].clone()).unwrap();
            assert_eq!(tokenizer.encode(text).unwrap(), expected, "{kind}: {text}");
            if kind == "model" {
                assert_eq!(tokenizer.decode(&expected).unwrap(), case["decoded"], "{text}");
            }
            let parts = text::parts(text, english, &tokenizer).unwrap();
            let chunks: Vec<String> = serde_json::from_value(case[format!("chunks_{kind}")].clone()).unwrap();
            // The reference prepares each chunk once more when it says it.
            let chunks: Vec<_> = chunks.iter().map(|chunk| text::prepare(chunk, english).unwrap()).collect();
            assert_eq!(parts, chunks, "{kind}: {text}");
        }
        let prepared = text::prepare(text, english).unwrap();
        assert_eq!(prepared.text, case["prepared"]);
        assert_eq!(prepared.frames_after_eos, case["frames_after_eos"].as_u64().unwrap() as usize);
        let padded = text::prepare(text, Rules { pad_short: true, ..english }).unwrap();
        assert_eq!(padded.text, case["padded"]);
        use PocketLanguage::*;
        let languages = [
            ("french", French, false),
            ("german", German, false),
            ("italian", Italian, false),
            ("spanish", Spanish, false),
            ("portuguese", Portuguese, false),
            ("dutch", Dutch, false),
            ("english_2m_2026-10", English, true),
        ];
        for (name, language, dashes_as_commas) in languages {
            let rules = Rules { language, dashes_as_commas, pad_short: false };
            assert_eq!(text::prepare(text, rules).unwrap().text, case["languages"][name], "{name}: {text}");
        }
    }
}

#[test]
fn the_encoder_is_found_in_both_kinds_of_weights() {
    for (name, traits, _) in MODELS {
        let w = open(&format!("{name}.safetensors"));
        let width = w.dims::<2>("flow_lm.speaker_proj_weight").unwrap()[0];
        assert!(Cloner::load(&w, &traits, 1920, width).unwrap().is_ok());
    }
}
