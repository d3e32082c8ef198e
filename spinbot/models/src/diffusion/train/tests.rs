//! Training held against peft and PyTorch (`tests/reference/diffusion_unet.py`), and what a stop may cost: nothing.
#![allow(clippy::unwrap_used)]

use super::random::{Purpose, random, timesteps};
use super::*;
use crate::diffusion::lora_file::{LoraFile, LoraFormat, LoraMetadata};
use crate::diffusion::pipeline::{Pipeline, Rgb8};
use crate::diffusion::recipe::{self, Reference};
use crate::diffusion::scheduler::{NoiseSchedule, SchedulerConfig};
use crate::diffusion::text::{self, ClipText, ClipTextConfig, TextEncoder};
use crate::diffusion::unet::{Conditioning, UNet2DCondition, UNetConfig};
use crate::diffusion::vae;
use crate::error::ModelError;
use crate::ops::OpSet;
use candle_core::{DType, Tensor};
use serde_json::{Value, json};
use std::ops::ControlFlow;

fn noise_config(prediction: &str) -> SchedulerConfig {
    let config = json!({
        "_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
        "clip_sample": false, "set_alpha_to_one": false, "steps_offset": 1, "prediction_type": prediction,
    });
    SchedulerConfig::from_json(&config.to_string()).unwrap()
}

/// The reference's network, with a text encoder and an autoencoder that fit it.
fn pipeline(set: OpSet, prediction: &str) -> Pipeline {
    let configs: Value =
        serde_json::from_slice(&std::fs::read(recipe::fixture("reference/diffusion_unet.json")).unwrap())
            .unwrap();
    let unet = UNetConfig::from_json(configs["trained"].to_string().as_bytes()).unwrap();
    let unet = UNet2DCondition::load(unet, recipe::weights(&[], DType::F32), set).unwrap();
    let config = ClipTextConfig { hidden_size: 24, ..text::tests::config(false) };
    let weights = recipe::weights(&["text_model.", "text_projection"], DType::F32);
    let model = ClipText::load(&config, "text_encoder", weights, set).unwrap();
    let encoder = TextEncoder::new(text::tests::tokenizer(), model);
    let vae = vae::tests::load("sd", DType::F32, set);
    Pipeline::new(vec![encoder], unet, vae, noise_config(prediction), false, &crate::Device::cpu()).unwrap()
}

fn example(name: &str, width: usize, height: usize, caption: &str) -> Example {
    let values = recipe::input(name, 3 * width * height).to_vec1::<f32>().unwrap();
    let pixels = values.iter().map(|value| (value * 127.0 + 127.0) as u8).collect();
    Example { picture: Rgb8 { width, height, pixels }, caption: caption.into(), held_out: false }
}

fn examples() -> Vec<Example> {
    let mut all: Vec<Example> =
        (0..3).map(|n| example(&format!("p{n}"), 16, 16, "a nova, red hat")).collect();
    all.extend((3..5).map(|n| example(&format!("p{n}"), 16, 24, &format!("nova {n}"))));
    all
}

/// Everything at once that has a state or is random.
fn everything(steps: usize) -> TrainConfig {
    TrainConfig {
        rank: 2,
        alpha: 3.0,
        text_encoder: true,
        trigger_vectors: 2,
        class: "a robot".into(),
        lr: 1e-2,
        text_lr: 1e-2,
        warm_up: 2,
        batch: 2,
        accumulate: 2,
        min_snr_gamma: Some(5.0),
        noise_offset: 0.1,
        caption_dropout: 0.3,
        dropout: 0.1,
        prior_share: 0.4,
        prior_pictures: 3,
        guidance: 3.0,
        ema: Some(0.9),
        seed: 11,
        ..TrainConfig::new(steps, "nova")
    }
}

fn trainer(config: &TrainConfig) -> Trainer {
    let mut trainer =
        Trainer::new(pipeline(OpSet::Fused, "v_prediction"), &examples(), config.clone()).unwrap();
    if trainer.wants_prior() {
        assert!(trainer.draw_prior(&mut |_, _| ControlFlow::Continue(())).unwrap());
    }
    trainer
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn values(trainer: &Trainer) -> Vec<(String, Vec<f32>)> {
    trainer.variables().map(|(name, var)| (name.clone(), flat(var))).collect()
}

const TARGETS: [&str; 14] = [
    "to_q",
    "to_k",
    "to_v",
    "to_out.0",
    "ff.net.0.proj",
    "ff.net.2",
    "proj_in",
    "proj_out",
    "conv1",
    "conv2",
    "conv_shortcut",
    "time_emb_proj",
    "downsamplers.0.conv",
    "upsamplers.0.conv",
];

#[test]
fn fifty_steps_through_the_trainer_are_those_of_peft() {
    let reference = Reference::read("diffusion_unet.safetensors");
    let losses = flat(reference.get("losses"));
    for (set, by_segments) in [(OpSet::Stock, false), (OpSet::Fused, false), (OpSet::Fused, true)] {
        let config = TrainConfig {
            rank: 2,
            alpha: 3.0,
            targets: TARGETS.iter().map(|end| (*end).to_owned()).collect(),
            lr: 1e-3,
            warm_up: 0,
            schedule: Schedule::Constant,
            clip_norm: None,
            gradient_checkpointing: by_segments,
            ..TrainConfig::new(losses.len(), "nova")
        };
        let mut trainer = Trainer::new(pipeline(set, "epsilon"), &examples(), config).unwrap();
        for (name, var) in trainer.variables().filter(|(name, _)| name.ends_with("lora_A")) {
            let name = name.strip_prefix("unet.").unwrap();
            var.set(&(recipe::input(name, var.dims()) * flat_scale(var)).unwrap()).unwrap();
        }
        let mut apart = 0.0_f32;
        for (n, expected) in losses.iter().enumerate() {
            let times = flat(&reference.get("times").get(n).unwrap());
            let batch = Batch {
                latents: recipe::input(&format!("clean.{}", n % 4), (2, 4, 8, 8)),
                noise: recipe::noise(&format!("noise.{n}"), (2, 4, 8, 8)),
                timesteps: times.iter().map(|t| *t as usize).collect(),
                text: Text::Given(Conditioning::text(recipe::input(
                    &format!("hidden.{}", n % 4),
                    (2, 7, 24),
                ))),
            };
            apart = apart.max((trainer.learn(&[batch]).unwrap() - expected).abs());
        }
        assert!(apart < 1e-5, "{set:?}: losses {apart:e}");
        for (name, var) in trainer.variables() {
            let expected = reference.get(&format!("trained.{}", name.strip_prefix("unet.").unwrap()));
            let worst = flat(var).iter().zip(flat(expected)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "{set:?} {name}: {worst:e}");
        }
    }
}

/// A's values in the reference: those of a weight of its fan-in, over the square root of 3.
fn flat_scale(var: &Tensor) -> f64 {
    let fan_in: usize = var.dims()[1..].iter().product();
    f64::from((3.0 / fan_in as f64).sqrt() as f32) / 3_f64.sqrt()
}

#[test]
fn stopped_and_gone_on_is_bit_for_bit_as_if_never_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.safetensors");
    let config = everything(6);
    let mut whole = trainer(&config);
    let mut first = trainer(&config);
    for _ in 0..3 {
        whole.step().unwrap();
        first.step().unwrap();
    }
    assert_eq!(whole.validate().unwrap(), first.validate().unwrap());
    first.save(&state).unwrap();
    drop(first);
    // Fresh from the files, as another process would: without its own pictures, which are in the state.
    let mut second = Trainer::new(pipeline(OpSet::Fused, "v_prediction"), &examples(), config).unwrap();
    second.restore(&state).unwrap();
    assert!(!second.wants_prior());
    assert_eq!(second.steps_done(), 3);
    while !whole.finished() {
        assert_eq!(whole.step().unwrap(), second.step().unwrap());
    }
    assert!(second.finished());
    assert_eq!(values(&whole), values(&second));
    assert_eq!(whole.losses(), second.losses());
    assert_eq!(whole.validate().unwrap(), second.validate().unwrap(), "the running means too");
    assert_eq!(whole.validation(), second.validation());
    let file = |trainer: &Trainer| trainer.lora(LoraFormat::Diffusers, LoraMetadata::default()).unwrap();
    assert_eq!(file(&whole), file(&second));
    let fresh = trainer(&everything(6));
    for ((name, trained), (_, begun)) in values(&whole).iter().zip(values(&fresh)) {
        assert_ne!(*trained, begun, "{name} has not moved");
    }
}

#[test]
fn the_file_gives_back_what_was_learned_and_the_word() {
    let folder = tempfile::tempdir().unwrap();
    let mut trained = trainer(&TrainConfig { ema: None, ..everything(2) });
    trained.step().unwrap();
    trained.step().unwrap();
    let path = folder.path().join("nova.safetensors");
    std::fs::write(&path, trained.lora(LoraFormat::Diffusers, LoraMetadata::default()).unwrap()).unwrap();
    let file = LoraFile::open(&path).unwrap();
    assert_eq!(file.unknown(), &[] as &[String]);
    let metadata = file.metadata();
    assert_eq!(
        (metadata.trigger.as_deref(), metadata.network_dim, metadata.steps),
        (Some("nova"), Some(2), Some(2))
    );
    assert_eq!(metadata.tag_frequency["pictures"]["red hat"], 3);
    let word = file.trigger().unwrap().unwrap();
    assert_eq!((word.word.as_str(), word.vectors[0].dims()), ("nova", &[2, 24][..]));

    let mut drawing = pipeline(OpSet::Fused, "v_prediction");
    drawing.teach(&word).unwrap();
    let loaded = drawing.adapters(&[(file, 1.0)]).unwrap();
    assert!(loaded.unmatched.is_empty(), "{:?}", loaded.unmatched);
    let taught = drawing.encode_prompts(&["a nova"], 1, 0, &loaded.adapters).unwrap().hidden;
    let own =
        trained.pipeline().encode_prompts(&["a nova"], 1, 0, &trained.variables.learned().0).unwrap().hidden;
    let plain = pipeline(OpSet::Fused, "v_prediction");
    let plain = plain.encode_prompts(&["a nova"], 1, 0, &Default::default()).unwrap().hidden;
    let apart =
        |a: &Tensor, b: &Tensor| flat(a).iter().zip(flat(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // Halves were written.
    assert!(apart(&taught, &own) < 5e-3, "{}", apart(&taught, &own));
    assert!(apart(&plain, &own) > 0.1, "{}", apart(&plain, &own));
    assert!(drawing.teach(&word).is_ok(), "again in its own place");
}

#[test]
fn gradients_by_segments_reach_the_text_as_those_of_the_whole() {
    let config = TrainConfig { dropout: 0.0, ..everything(2) };
    let mut whole = trainer(&config);
    let mut parts = trainer(&TrainConfig { gradient_checkpointing: true, ..config });
    for _ in 0..2 {
        assert!((whole.step().unwrap() - parts.step().unwrap()).abs() < 1e-5);
    }
    for ((name, whole), (_, parts)) in values(&whole).iter().zip(values(&parts)) {
        let apart: f64 = whole.iter().zip(&parts).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let length: f64 = whole.iter().map(|a| f64::from(*a).powi(2)).sum();
        // Adam divides gradients by themselves: where one is nearly zero its rounding is all there is.
        assert!(apart.sqrt() < 0.02 * length.sqrt(), "{name}: {} of {}", apart.sqrt(), length.sqrt());
    }
}

#[test]
fn a_loss_that_is_no_number_stops_and_moves_nothing() {
    let mut trainer = trainer(&everything(4));
    trainer.step().unwrap();
    let before = values(&trainer);
    let (_, poisoned) = trainer.variables().next().unwrap().clone();
    let good = poisoned.copy().unwrap();
    poisoned.set(&(good.as_ref() * f64::NAN).unwrap()).unwrap();
    let error = trainer.step().unwrap_err();
    assert!(matches!(error, ModelError::Training { .. }), "{error}");
    assert_eq!(error.to_string(), "training stopped: the loss is no number any more at step 2");
    assert!(error.help().unwrap().contains("lower the learning rate"));
    poisoned.set(&good).unwrap();
    assert_eq!(values(&trainer), before);
    assert_eq!(trainer.steps_done(), 1);
    trainer.step().unwrap();
}

#[test]
fn a_state_that_cannot_be_written_or_is_another_s_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.safetensors");
    let config = everything(4);
    let mut first = trainer(&config);
    first.step().unwrap();
    first.save(&state).unwrap();
    let kept = std::fs::read(&state).unwrap();
    first.step().unwrap();
    let before = values(&first);
    // A folder in the place of the file: it is written beside it and cannot take its name.
    let blocked = folder.path().join("blocked");
    std::fs::create_dir_all(blocked.join("full")).unwrap();
    assert!(matches!(first.save(&blocked), Err(ModelError::Io { .. })));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing half-written is left");
    assert_eq!(std::fs::read(&state).unwrap(), kept);

    let refused =
        |trainer: &mut Trainer, path: &std::path::Path| trainer.restore(path).unwrap_err().to_string();
    let mut other = trainer(&TrainConfig { lr: 0.1, ..config.clone() });
    assert!(refused(&mut other, &state).contains("with other parameters"));
    let mut fewer = Trainer::new(pipeline(OpSet::Fused, "v_prediction"), &examples()[1..], config).unwrap();
    assert!(refused(&mut fewer, &state).contains("of other pictures"));
    std::fs::write(&state, &kept[..kept.len() - 9]).unwrap();
    refused(&mut first, &state);
    assert_eq!(values(&first), before);
    assert_eq!(first.steps_done(), 2);
}

#[test]
fn every_picture_has_its_turn_and_batches_have_one_size() {
    let config = TrainConfig { batch: 2, ..TrainConfig::new(9, "nova") };
    let trainer = Trainer::new(pipeline(OpSet::Fused, "epsilon"), &examples(), config).unwrap();
    // Three pictures make two batches, two make one.
    for epoch in 0..4 {
        let mut seen = Vec::new();
        for number in 3 * epoch..3 * epoch + 3 {
            let items = trainer.dataset.batch(trainer.config(), number);
            assert_eq!(items.len(), 2);
            assert_eq!(items[0].latents.dims(), items[1].latents.dims());
            seen.extend(items.iter().map(|item| flat(&item.latents)[0].to_bits()));
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 5, "epoch {epoch}");
    }
    let one = Trainer::new(pipeline(OpSet::Fused, "epsilon"), &examples()[..1], TrainConfig::new(1, "nova"));
    assert_eq!(one.unwrap().batch(7).unwrap().latents.dims(), [1, 4, 4, 4]);
    let mut held = examples();
    held.iter_mut().for_each(|example| example.held_out = true);
    let none = Trainer::new(pipeline(OpSet::Fused, "epsilon"), &held, TrainConfig::new(1, "nova"));
    assert!(none.map(|_| ()).unwrap_err().to_string().contains("no picture to learn from"));
}

#[test]
fn noise_levels_are_weighted_and_spread_as_they_should() {
    let gamma = TrainConfig { min_snr_gamma: Some(5.0), ..TrainConfig::new(1, "") };
    for (prediction, weight) in [
        ("epsilon", Box::new(|snr: f32| snr.min(5.0) / snr) as Box<dyn Fn(f32) -> f32>),
        ("v_prediction", Box::new(|snr: f32| snr.min(5.0) / (snr + 1.0))),
        ("sample", Box::new(|snr: f32| snr.min(5.0))),
    ] {
        let noise = NoiseSchedule::new(&noise_config(prediction)).unwrap();
        let steps = [0, 100, 500, 999];
        let expected: Vec<f32> = steps.iter().map(|t| weight(noise.snr(*t).unwrap())).collect();
        assert_eq!(loss::weights(&gamma, &noise, &steps).unwrap(), expected, "{prediction}");
        let plain = loss::weights(&TrainConfig::new(1, ""), &noise, &steps).unwrap();
        assert_eq!(plain, [1.0; 4]);
    }
    for place in 0..50 {
        let mut steps = timesteps(random(3, Purpose::Timesteps, place), 4, 1000);
        steps.sort_unstable();
        assert!(
            steps.iter().enumerate().all(|(part, t)| (part * 250..(part + 1) * 250).contains(t)),
            "{steps:?}"
        );
    }
    let config = TrainConfig { warm_up: 4, ..TrainConfig::new(12, "") };
    let rates: Vec<f64> = [0, 3, 4, 8, 12].iter().map(|step| config.rate(*step)).collect();
    assert_eq!(rates[..3], [0.25, 1.0, 1.0]);
    assert!((rates[3] - 0.5).abs() < 1e-12 && rates[4].abs() < 1e-12, "{rates:?}");
}
