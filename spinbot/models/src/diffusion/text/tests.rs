//! Held against transformers and peft: `tests/reference/diffusion_pipeline.py`.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::diffusion::recipe::{self, Reference};
use crate::diffusion::{Adapters, LowRank};
use crate::ops::OpSet;
use candle_core::{DType, Device, Tensor, Var};
use serde_json::Value;

const PROMPTS: [&str; 3] = ["a robot with a red hat", "a long portrait and a hat", ""];
const LENGTH: usize = 16;
const PLAIN: HiddenState = HiddenState { skip: 0, normalised: true };

pub(in crate::diffusion) fn vocabulary() -> usize {
    let vocab = std::fs::read(recipe::fixture("fixtures/diffusion/tokenizer/vocab.json")).unwrap();
    serde_json::from_slice::<Value>(&vocab).unwrap().as_object().unwrap().len()
}

pub(in crate::diffusion) fn tokenizer() -> ClipTokenizer {
    ClipTokenizer::open(&recipe::fixture("fixtures/diffusion/tokenizer"), LENGTH, vocabulary()).unwrap()
}

/// The first encoder as SD 1's, the second as SDXL's.
pub(in crate::diffusion) fn config(second: bool) -> ClipTextConfig {
    let config = serde_json::json!({
        "vocab_size": vocabulary(), "max_position_embeddings": LENGTH, "eos_token_id": vocabulary() - 1,
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
    });
    let mut config = ClipTextConfig::from_json(config.to_string().as_bytes()).unwrap();
    if second {
        let more = br#"{"hidden_act": "gelu", "eos_token_id": 2, "hidden_size": 48, "intermediate_size": 80,
            "num_hidden_layers": 4, "num_attention_heads": 3, "projection_dim": 24}"#;
        let second = ClipTextConfig::from_json(more).unwrap();
        config = ClipTextConfig { vocab_size: config.vocab_size, max_position_embeddings: LENGTH, ..second };
    }
    config
}

pub(in crate::diffusion) fn encoder(second: bool, dtype: DType, set: OpSet) -> TextEncoder {
    // transformers 5 has `text_model.` before the names of encoders with a projection only.
    let without: &[&str] = if second { &[] } else { &["text_model.", "text_projection"] };
    let model =
        ClipText::load(&config(second), "text_encoder", recipe::weights(without, dtype), set).unwrap();
    TextEncoder::new(tokenizer(), model)
}

#[test]
fn both_kinds_of_tokenizer_file_give_the_reference_s_tokens() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["vocab.json", "merges.txt", "tokenizer_config.json"] {
        let from = recipe::fixture("fixtures/diffusion/tokenizer").join(name);
        std::fs::copy(from, folder.path().join(name)).unwrap();
    }
    let pair = ClipTokenizer::open(folder.path(), LENGTH, vocabulary()).unwrap();
    let text = std::fs::read(recipe::fixture("reference/diffusion_text.json")).unwrap();
    let reference: Value = serde_json::from_slice(&text).unwrap();
    for case in reference["texts"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let expected: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        assert_eq!(tokenizer().ids(text).unwrap(), expected, "{text:?}");
        assert_eq!(pair.ids(text).unwrap(), expected, "{text:?} from vocab.json");
    }
}

#[test]
fn a_trigger_is_its_own_tokens_as_a_word_and_only_then() {
    let mut tokenizer = tokenizer();
    let size = vocabulary() as u32;
    assert_eq!(tokenizer.add_trigger("Robot", 2), size..size + 2);
    assert_eq!(tokenizer.add_trigger("nova", 1), size + 2..size + 3);
    assert_eq!(tokenizer.add_trigger(" NOVA ", 9), size + 2..size + 3, "known already");
    let plain = super::tests::tokenizer();
    let (a, hat) = (plain.ids("a").unwrap(), plain.ids("hat").unwrap());
    assert_eq!(tokenizer.ids("a ROBOT, hat").unwrap()[..3], [a[0], size, size + 1]);
    assert_eq!(tokenizer.ids("Nova hat").unwrap(), [&[size + 2], hat.as_slice()].concat());
    assert_eq!(tokenizer.ids("robots renovation").unwrap(), plain.ids("robots renovation").unwrap());
}

#[test]
fn long_prompts_fill_chunks_that_end_at_commas() {
    let tokenizer = tokenizer();
    let end = vocabulary() as u32 - 1;
    let one = tokenizer.chunks("a hat").unwrap();
    assert_eq!((one.len(), one[0].ids.len()), (1, LENGTH));
    assert_eq!((one[0].ids[0], &one[0].ids[3..]), (end - 1, [end; 13].as_slice()));

    // Fourteen tokens fit; the comma is the tenth.
    let phrases = tokenizer.chunks("a a a a a a a a a, hat hat hat hat hat hat").unwrap();
    assert_eq!(phrases.len(), 2);
    assert_eq!(phrases[0].ids[11..], [end; 5]);
    assert_eq!(phrases[1].ids[1], tokenizer.ids("hat").unwrap()[0]);
    let unbroken = tokenizer.chunks(&"a ".repeat(15)).unwrap();
    assert_eq!((unbroken[0].ids[14], unbroken[0].ids[15]), (tokenizer.ids("a").unwrap()[0], end));

    let broken = tokenizer.chunks("a (hat:1.5) BREAK [hat]").unwrap();
    assert_eq!(broken.len(), 2);
    assert_eq!(broken[0].weights[..4], [1.0, 1.0, 1.5, 1.0]);
    assert!((broken[1].weights[1] - 1.0 / 1.1).abs() < 1e-6);
    let error = tokenizer.chunks(&"hat ".repeat(14 * 16 + 1)).unwrap_err();
    assert_eq!(error.to_string(), "the prompt: it has 225 tokens, the most are about 224");
}

#[test]
fn a_tokenizer_of_other_weights_is_refused() {
    let folder = recipe::fixture("fixtures/diffusion/tokenizer");
    let error = ClipTokenizer::open(&folder, LENGTH, 40).err().unwrap();
    assert!(error.to_string().contains("the text encoder knows 40"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    std::fs::write(empty.path().join("tokenizer.json"), "{}").unwrap();
    assert!(ClipTokenizer::open(empty.path(), LENGTH, 40).is_err());
}

#[test]
fn states_are_the_reference_s_with_either_op_set() {
    let reference = Reference::read("diffusion_text.safetensors");
    let none = Adapters::none();
    for set in [OpSet::Stock, OpSet::Fused] {
        let first = encoder(false, DType::F32, set);
        let states = |skip| first.encode(&PROMPTS, 1, HiddenState { skip, normalised: true }, &none).unwrap();
        reference.check("first.final", &states(0).hidden, 1e-4);
        reference.check("first.skip", &states(1).hidden, 1e-4);
        assert!(states(0).pooled.is_none());

        let state = HiddenState { skip: 1, normalised: false };
        let second = encoder(true, DType::F32, set).encode(&PROMPTS, 1, state, &none).unwrap();
        reference.check("second.penultimate", &second.hidden, 1e-4);
        reference.check("second.pooled", &second.pooled.unwrap(), 1e-4);
    }
    let error = encoder(false, DType::F32, OpSet::Stock)
        .encode(&PROMPTS, 1, HiddenState { skip: 4, normalised: true }, &none)
        .unwrap_err();
    assert!(error.to_string().contains("4 layers cannot be skipped of 3"), "{error}");
}

#[test]
fn half_precision_stays_near() {
    let reference = Reference::read("diffusion_text.safetensors");
    let states =
        encoder(false, DType::F16, OpSet::Fused).encode(&PROMPTS, 1, PLAIN, &Adapters::none()).unwrap();
    assert_eq!(states.hidden.dtype(), DType::F16);
    reference.check("first.final", &states.hidden, 0.02);
}

#[test]
fn adapters_and_trigger_embeddings_get_the_reference_s_gradients() {
    let reference = Reference::read("diffusion_text.safetensors");
    let encoder = encoder(false, DType::F32, OpSet::fastest_on(&Device::Cpu));
    let size = vocabulary() as u32;
    let triggers = Var::from_tensor(&(recipe::input("triggers", (2, 32)) * 0.2).unwrap()).unwrap();
    let mut adapters = Adapters::none();
    let short = |path: &str| path.replace("text_encoder.text_model.", "");
    for site in encoder.model.sites() {
        let scaled = |name: &str, shape: Vec<usize>| {
            (recipe::input(&format!("{}.{name}", short(&site.path)), shape) * 0.3).unwrap()
        };
        let (down, up) = (scaled("lora_A", site.down_shape(2)), scaled("lora_B", vec![site.outputs, 2]));
        adapters.push_trainable(site, &down, &up, 3.0).unwrap();
    }
    let mut ids = encoder.tokenizer.chunks(PROMPTS[0]).unwrap().remove(0).ids;
    (ids[3], ids[5]) = (size, size + 1);
    let states = encoder.model.forward(&[ids], PLAIN, Some(triggers.as_tensor()), &adapters).unwrap();
    reference.check("adapted", &states.hidden, 1e-4);

    let loss = (&states.hidden * recipe::input("loss", states.hidden.shape())).unwrap().sum_all().unwrap();
    let gradients = loss.backward().unwrap();
    let named = adapters.variables().iter().map(|(name, var)| (short(name), var));
    for (name, variable) in named.chain([("triggers".to_owned(), &triggers)]) {
        let name = format!("adapted.{name}");
        let expected = reference.get(&name).abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(expected > 1e-3, "{name}: the reference has no gradient");
        reference.check(&name, gradients.get(variable).unwrap(), 1e-4 * expected.max(1.0));
    }
}

#[test]
fn weights_scale_their_words_states_and_keep_the_mean() {
    let encoder = encoder(false, DType::F32, OpSet::Stock);
    let encode = |prompt: &str| encoder.encode(&[prompt], 1, PLAIN, &Adapters::none()).unwrap().hidden;
    let difference = |a: &Tensor, b: &Tensor| {
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap()
    };
    let plain = encode("a red hat");
    assert_eq!(difference(&plain, &encode("a (red:1.0) hat")), 0.0);
    let weighed = encode("a (red:1.2) hat");
    let mean = |x: &Tensor| x.mean_all().unwrap().to_scalar::<f32>().unwrap();
    let token = |x: &Tensor, at: usize| x.narrow(1, at, 1).unwrap();
    let rest = difference(&token(&weighed, 3), &token(&plain, 3));
    assert!(difference(&token(&weighed, 2), &token(&plain, 2)) > 0.05);
    let ratio = mean(&plain) / mean(&(&plain * 1.0).unwrap());
    assert!((ratio - 1.0).abs() < 1e-6);
    // Either the mean was restored, or it was too close to zero to be and the other words are untouched.
    assert!((mean(&weighed) / mean(&plain) - 1.0).abs() < 1e-3 || rest == 0.0, "{rest}");
}

#[test]
fn a_short_prompt_beside_a_long_one_gets_empty_chunks_and_keeps_its_own() {
    let encoder = encoder(true, DType::F32, OpSet::Stock);
    let state = HiddenState { skip: 1, normalised: false };
    let prompts = ["a hat", "a robot BREAK with a hat"];
    let chunks = encoder.chunks(&prompts).unwrap();
    assert_eq!(chunks, 2);
    let both = encoder.encode(&prompts, chunks, state, &Adapters::none()).unwrap();
    let alone = encoder.encode(&prompts[..1], 1, state, &Adapters::none()).unwrap();
    let empty = encoder.encode(&[""], 1, state, &Adapters::none()).unwrap();
    assert_eq!(both.hidden.dims(), [2, 2 * LENGTH, 48]);
    let near = |a: &Tensor, b: &Tensor| {
        let a = a.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let b = b.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).for_each(|(a, b)| assert!((a - b).abs() < 1e-5));
    };
    near(&both.hidden.narrow(0, 0, 1).unwrap().narrow(1, 0, LENGTH).unwrap(), &alone.hidden);
    near(&both.hidden.narrow(0, 0, 1).unwrap().narrow(1, LENGTH, LENGTH).unwrap(), &empty.hidden);
    near(&both.pooled.unwrap().narrow(0, 0, 1).unwrap(), &alone.pooled.unwrap());
}

#[test]
fn low_rank_pairs_at_a_site_add_up() {
    let encoder = encoder(false, DType::F32, OpSet::fastest_on(&Device::Cpu));
    let site = &encoder.model.sites()[0];
    assert_eq!(site.path, "text_encoder.text_model.encoder.layers.0.self_attn.q_proj");
    let pair = |scale| LowRank {
        down: recipe::input("down", site.down_shape(2)),
        up: recipe::input("up", (site.outputs, 2)),
        scale,
    };
    let hidden = |scales: &[f64]| {
        let mut adapters = Adapters::none();
        scales.iter().for_each(|&scale| adapters.push(site, pair(scale)));
        encoder.encode(&PROMPTS, 1, PLAIN, &adapters).unwrap().hidden
    };
    let difference = (hidden(&[0.3, 0.5]) - hidden(&[0.8])).unwrap().abs().unwrap().max_all().unwrap();
    assert!(difference.to_scalar::<f32>().unwrap() < 1e-5);
}
