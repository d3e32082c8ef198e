//! The denoising network and the training of its adapters held against diffusers, peft and PyTorch: the numbers of
//! `tests/reference/diffusion_unet.py`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "common/recipe.rs"]
mod recipe;

use candle_core::{DType, Device, Tensor};
use recipe::{recipe, weights};
use spinbot_models::diffusion::train::AdamW;
use spinbot_models::diffusion::unet::guidance_scale_embedding;
use spinbot_models::diffusion::{
    Adapters, AddedCond, Conditioning, Site, SiteKind, UNet2DCondition, UNetConfig,
};
use spinbot_models::{ModelError, OpSet};
use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

static REFERENCE: LazyLock<HashMap<String, Tensor>> = LazyLock::new(|| {
    candle_core::safetensors::load(folder().join("diffusion_unet.safetensors"), &Device::Cpu).unwrap()
});

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference")
}

fn config(name: &str) -> UNetConfig {
    let all: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder().join("diffusion_unet.json")).unwrap()).unwrap();
    UNetConfig::from_json(all[name].to_string().as_bytes()).unwrap()
}

fn load(name: &str, set: OpSet, dtype: DType) -> UNet2DCondition {
    UNet2DCondition::load(config(name), weights(dtype), set).unwrap()
}

fn worst(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let apart = (a.to_dtype(DType::F32).unwrap() - b).unwrap().abs().unwrap();
    apart.max_all().unwrap().to_scalar().unwrap()
}

/// How far a is from b, as a share of b's length.
fn relative(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let length =
        |x: &Tensor| -> f32 { x.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt() };
    assert!(length(b) > 0.0);
    length(&(a - b).unwrap()) / length(b)
}

const SETS: [OpSet; 2] = [OpSet::Stock, OpSet::Fused];
const SHAPES: [&str; 5] = ["sd15", "sd2", "sdxl", "lcm", "embedded"];

fn predict(unet: &UNet2DCondition, name: &str) -> Tensor {
    let config = unet.config();
    let size = config.sample_size.unwrap();
    let width = match name {
        "sd15" => 20,
        "sdxl" => 40,
        "embedded" => 128,
        _ => 24,
    };
    let mut conditioning = Conditioning::text(recipe("hidden", (2, 7, width)));
    if config.addition_embed_type.is_some() {
        let ids = [[64_u32, 48, 0, 4, 64, 64], [32, 32, 8, 0, 40, 64]];
        let time_ids = Tensor::new(&ids, &Device::Cpu).unwrap();
        conditioning.added = Some(AddedCond { text_embeds: recipe("text_embeds", (2, 24)), time_ids });
    }
    if let Some(width) = config.time_cond_proj_dim {
        conditioning.timestep_cond =
            Some(guidance_scale_embedding(&[7.5, 1.25], width, &Device::Cpu).unwrap());
    }
    let latents = recipe("latents", (2, config.in_channels, size, size));
    unet.forward(&latents, &[981.0, 13.0], &conditioning, &Adapters::none()).unwrap()
}

#[test]
fn networks_of_every_shape_predict_what_diffusers_does() {
    for name in SHAPES {
        for set in SETS {
            let apart = worst(
                &predict(&load(name, set, DType::F32), name),
                &REFERENCE[&format!("{name}.prediction")],
            );
            assert!(apart < 1e-4, "{name} {set:?}: {apart:e}");
        }
    }
}

#[test]
fn half_precision_and_sliced_attention_predict_nearly_and_just_the_same() {
    for name in ["sd2", "sdxl"] {
        let reference = &REFERENCE[&format!("{name}.prediction")];
        for (dtype, bound) in [(DType::F16, 0.02), (DType::BF16, 1e-4)] {
            let apart = worst(&predict(&load(name, OpSet::Fused, dtype), name), reference);
            assert!(apart < bound, "{name} {dtype:?}: {apart}");
        }
        for set in SETS {
            let mut unet = load(name, set, DType::F32);
            unet.set_attention_slice(100);
            let apart = worst(&predict(&unet, name), reference);
            assert!(apart < 1e-4, "{name} {set:?}: {apart:e}");
        }
    }
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
const RANK: usize = 2;
const ALPHA: f64 = 3.0;

fn targets(unet: &UNet2DCondition) -> Vec<Site> {
    let named = |site: &&Site| TARGETS.iter().any(|target| site.path.ends_with(&format!(".{target}")));
    unet.sites().iter().filter(named).cloned().collect()
}

/// The adapters that peft began with.
fn beginning(sites: &[Site]) -> Adapters {
    let mut adapters = Adapters::none();
    for site in sites {
        let name = format!("{}.lora_A", site.path.strip_prefix("unet.").unwrap());
        let down = (recipe::weight(&name, site.down_shape(RANK)).unwrap() / 3_f64.sqrt()).unwrap();
        let up = Tensor::zeros((site.outputs, RANK), DType::F32, &Device::Cpu).unwrap();
        adapters.push_trainable(site, &down, &up, ALPHA / RANK as f64).unwrap();
    }
    adapters
}

/// What the reference has of an adapter, B without the last two dimensions that a convolution's has there.
fn reference(kind: &str, name: &str) -> Tensor {
    let tensor = REFERENCE[&format!("{kind}.{}", name.strip_prefix("unet.").unwrap())].clone();
    match name.ends_with("lora_B") && tensor.rank() == 4 {
        true => tensor.flatten_from(1).unwrap(),
        false => tensor,
    }
}

struct Step {
    noisy: Tensor,
    noise: Tensor,
    times: Vec<f32>,
    conditioning: Conditioning,
}

fn step(n: usize) -> Step {
    let row = |name: &str| REFERENCE[name].get(n).unwrap().to_vec1::<f32>().unwrap();
    let share = |values: Vec<f32>| Tensor::from_vec(values, (2, 1, 1, 1), &Device::Cpu).unwrap();
    let clean = recipe(&format!("clean.{}", n % 4), (2, 4, 8, 8));
    let noise = (recipe(&format!("noise.{n}"), (2, 4, 8, 8)) * 3_f64.sqrt()).unwrap();
    let alphas = row("alphas");
    let kept = share(alphas.iter().map(|a| a.sqrt()).collect());
    let added = share(alphas.iter().map(|a| (1.0 - a).sqrt()).collect());
    let noisy = (clean.broadcast_mul(&kept).unwrap() + noise.broadcast_mul(&added).unwrap()).unwrap();
    let hidden = recipe(&format!("hidden.{}", n % 4), (2, 7, 24));
    Step { noisy, noise, times: row("times"), conditioning: Conditioning::text(hidden) }
}

fn squared_error(prediction: &Tensor, noise: &Tensor) -> candle_core::Result<Tensor> {
    (prediction - noise)?.sqr()?.mean_all()
}

/// Each step's gradients at the reference's own adapters: Adam's first step is the gradient's sign nearly, so that
/// where one is nearly zero the second step's adapters follow from its rounding.
#[test]
fn every_gradient_of_the_first_two_steps_is_that_of_peft() {
    for set in SETS {
        let unet = load("trained", set, DType::F32);
        let adapters = beginning(&targets(&unet));
        for n in 0..2 {
            let Step { noisy, noise, times, conditioning } = step(n);
            let prediction = unet.forward(&noisy, &times, &conditioning, &adapters).unwrap();
            let gradients = squared_error(&prediction, &noise).unwrap().backward().unwrap();
            for (name, variable) in adapters.variables() {
                let gradient = gradients.get(variable).unwrap();
                if name.ends_with("lora_A") && n == 0 {
                    assert_eq!(gradient.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap(), 0.0);
                    // Only weight decay moves it.
                    variable.set(&(variable.as_tensor().detach() * (1.0 - 1e-3 * 1e-2)).unwrap()).unwrap();
                    continue;
                }
                let apart = relative(gradient, &reference(&format!("gradient{}", n + 1), name));
                assert!(apart < 1e-4, "{set:?}, step {}, {name}: {apart:e}", n + 1);
                if n == 0 {
                    variable.set(&reference("second", name)).unwrap();
                }
            }
        }
    }
}

#[test]
fn fifty_steps_of_training_are_those_of_peft() {
    let losses = REFERENCE["losses"].to_vec1::<f32>().unwrap();
    for set in SETS {
        let unet = load("trained", set, DType::F32);
        let sites = targets(&unet);
        assert_eq!(2 * sites.len(), REFERENCE.keys().filter(|name| name.starts_with("trained.")).count());
        assert!(sites.iter().any(|site| matches!(site.kind, SiteKind::Conv { stride: 2, .. })));
        let adapters = beginning(&sites);
        let mut optimizer = AdamW::new(adapters.variables().to_vec()).unwrap();
        let mut apart = 0.0_f32;
        for (n, reference_loss) in losses.iter().enumerate() {
            let Step { noisy, noise, times, conditioning } = step(n);
            let prediction = unet.forward(&noisy, &times, &conditioning, &adapters).unwrap();
            let loss = squared_error(&prediction, &noise).unwrap();
            let gradients = loss.backward().unwrap();
            optimizer.step(&gradients, 1e-3).unwrap();
            apart = apart.max((loss.to_scalar::<f32>().unwrap() - reference_loss).abs());
        }
        let moved = adapters.variables().iter().map(|(name, v)| worst(v, &reference("trained", name)));
        let moved = moved.fold(0.0, f32::max);
        assert!(apart < 1e-5, "{set:?}: {apart:e}");
        assert!(moved < 1e-4, "{set:?}: {moved:e}");
    }
}

#[test]
fn gradients_by_segments_are_those_of_the_whole() {
    for set in SETS {
        let unet = load("sd15", set, DType::F32);
        let mut adapters = Adapters::new_trainable(unet.sites(), RANK, ALPHA, 3, &Device::Cpu).unwrap();
        for (name, variable) in adapters.variables().iter().filter(|(name, _)| name.ends_with("lora_B")) {
            variable.set(&(recipe(name, variable.dims()) * 0.1).unwrap()).unwrap();
        }
        adapters.set_dropout(0.1, 9);
        let latents = recipe("latents", (2, 4, 8, 8));
        let noise = recipe("noise", (2, 4, 8, 8));
        let hidden = candle_core::Var::from_tensor(&recipe("hidden", (2, 7, 20))).unwrap();
        let text = Conditioning::text(hidden.as_tensor().clone());
        let times = [700.0, 20.0];
        let loss = squared_error(&unet.forward(&latents, &times, &text, &adapters).unwrap(), &noise).unwrap();
        let whole = loss.backward().unwrap();
        let parts = unet
            .backward_checkpointed(&latents, &times, &text, &adapters, |prediction| {
                squared_error(prediction, &noise)
            })
            .unwrap();
        assert_eq!(worst(&parts.loss, &loss.detach()), 0.0);
        assert!(relative(&parts.hidden, whole.get(&hidden).unwrap()) < 1e-4);
        for (name, variable) in adapters.variables() {
            let (whole, part) = (whole.get(variable).unwrap(), parts.gradients.get(variable).unwrap());
            let apart = relative(part, whole);
            assert!(apart < 1e-4, "{set:?}, {name}: {apart:e}");
        }
    }
}

#[test]
fn an_optimizer_continues_from_its_state_as_if_it_had_never_stopped() {
    let unet = load("trained", OpSet::Fused, DType::F32);
    let adapters = Adapters::new_trainable(&targets(&unet), RANK, ALPHA, 3, &Device::Cpu).unwrap();
    let run = |optimizer: &mut AdamW, steps: std::ops::Range<usize>| {
        for n in steps {
            let Step { noisy, noise, times, conditioning } = step(n);
            let prediction = unet.forward(&noisy, &times, &conditioning, &adapters).unwrap();
            optimizer.step(&squared_error(&prediction, &noise).unwrap().backward().unwrap(), 1e-3).unwrap();
        }
    };
    let values = || -> Vec<Vec<f32>> {
        let flat = |(_, v): &(String, candle_core::Var)| v.flatten_all().unwrap().to_vec1().unwrap();
        adapters.variables().iter().map(flat).collect()
    };
    let start: Vec<Tensor> = adapters.variables().iter().map(|(_, v)| v.copy().unwrap()).collect();
    run(&mut AdamW::new(adapters.variables().to_vec()).unwrap(), 0..4);
    let whole = values();
    adapters.variables().iter().zip(&start).for_each(|((_, v), start)| v.set(start).unwrap());
    let mut first = AdamW::new(adapters.variables().to_vec()).unwrap();
    run(&mut first, 0..2);
    let mut second = AdamW::new(adapters.variables().to_vec()).unwrap();
    let mut state = first.state().unwrap();
    second.restore(&state).unwrap();
    assert_eq!(second.steps(), 2);
    run(&mut second, 2..4);
    assert_eq!(values(), whole);
    state.remove(&format!("{}.exp_avg", adapters.variables()[0].0));
    assert!(matches!(second.restore(&state), Err(ModelError::Weights { .. })));
}

#[test]
fn configurations_that_are_not_built_are_refused_in_a_sentence() {
    for (field, value) in [
        ("class_embed_type", "\"timestep\""),
        (
            "down_block_types",
            "[\"SimpleCrossAttnDownBlock2D\", \"DownBlock2D\", \"DownBlock2D\", \"DownBlock2D\"]",
        ),
        ("up_block_types", "[\"UpBlock2D\"]"),
        ("addition_embed_type", "\"image\""),
        ("addition_embed_type", "\"text_time\""),
        ("attention_head_dim", "[5, 10]"),
        ("attention_head_dim", "7"),
        ("norm_num_groups", "0"),
        ("mid_block_type", "null"),
        ("resnet_out_scale_factor", "2.0"),
        ("block_out_channels", "[]"),
        ("in_channels", "-1"),
    ] {
        let error = UNetConfig::from_json(format!("{{\"{field}\": {value}}}").as_bytes()).unwrap_err();
        assert!(matches!(error, ModelError::Weights { .. }), "{field}: {error}");
    }
    assert_eq!(UNetConfig::from_json(b"{}").unwrap(), UNetConfig::default());
}

#[test]
fn latents_that_do_not_fit_are_refused_in_a_sentence() {
    let unet = load("trained", OpSet::Fused, DType::F32);
    let text = Conditioning::text(recipe("hidden", (1, 7, 24)));
    let refused = |latents: &Tensor, times: &[f32], text: &Conditioning| {
        unet.forward(latents, times, text, &Adapters::none()).unwrap_err().to_string()
    };
    let odd = refused(&recipe("latents", (1, 4, 8, 9)), &[1.0], &text);
    assert!(odd.contains("sides that 2 divides"), "{odd}");
    let times = refused(&recipe("latents", (1, 4, 8, 8)), &[1.0, 2.0], &text);
    assert!(times.contains("1 latents, 2 timesteps"), "{times}");
}
