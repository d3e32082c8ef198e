//! Held against diffusers: `tests/reference/diffusion_pipeline.py`.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::diffusion::recipe::{self, Reference};
use serde_json::json;

pub(in crate::diffusion) fn config(name: &str) -> AutoencoderKlConfig {
    let config = match name {
        "sd" => json!({ "block_out_channels": [16, 24, 32], "layers_per_block": 2, "norm_num_groups": 8 }),
        "embedded" => json!({
            "block_out_channels": [16, 24, 32], "latent_channels": 8, "norm_num_groups": 1, "scaling_factor": 1.0,
        }),
        "bare" => json!({
            "block_out_channels": [16, 32], "latent_channels": 16, "norm_num_groups": 4, "scaling_factor": 1.5305,
            "shift_factor": 0.0609, "use_quant_conv": false, "use_post_quant_conv": false,
            "mid_block_add_attention": false,
        }),
        other => panic!("{other}"),
    };
    let levels = config["block_out_channels"].as_array().unwrap().len();
    let mut config = config;
    config["down_block_types"] = vec!["DownEncoderBlock2D"; levels].into();
    config["up_block_types"] = vec!["UpDecoderBlock2D"; levels].into();
    AutoencoderKlConfig::from_json(config.to_string().as_bytes()).unwrap()
}

pub(in crate::diffusion) fn load(name: &str, dtype: DType, set: OpSet) -> AutoencoderKl {
    AutoencoderKl::load(&config(name), recipe::weights(&["query"], dtype), set).unwrap()
}

/// The posterior as the reference has it, before scaling.
fn moments(vae: &AutoencoderKl, posterior: &Posterior) -> (Tensor, Tensor) {
    let (scale, shift) = vae.config().scale_and_shift(&candle_core::Device::Cpu).unwrap();
    let unscaled = |x: &Tensor| x.broadcast_div(&scale).unwrap();
    let logvar = (unscaled(&posterior.deviation).log().unwrap() * 2.0).unwrap();
    (unscaled(&posterior.mean).broadcast_add(&shift).unwrap(), logvar)
}

/// The UNet's latents of which the reference decoded `raw`.
fn scaled(vae: &AutoencoderKl, raw: &Tensor) -> Tensor {
    let (scale, shift) = vae.config().scale_and_shift(&candle_core::Device::Cpu).unwrap();
    raw.broadcast_sub(&shift).unwrap().broadcast_mul(&scale).unwrap()
}

#[test]
fn every_configuration_encodes_and_decodes_as_the_reference() {
    let reference = Reference::read("diffusion_vae.safetensors");
    for name in ["sd", "embedded", "bare"] {
        for set in [OpSet::Stock, OpSet::Fused] {
            let vae = load(name, DType::F32, set);
            let posterior = vae.encode(&recipe::input("picture", (2, 3, 24, 32))).unwrap();
            let (mean, logvar) = moments(&vae, &posterior);
            reference.check(&format!("{name}.mean"), &mean, 1e-4);
            reference.check(&format!("{name}.logvar"), &logvar, 1e-4);
            let decoded = vae.decode(&scaled(&vae, &recipe::noise("latents", mean.shape()))).unwrap();
            reference.check(&format!("{name}.decoded"), &decoded, 1e-4);
        }
    }
}

#[test]
fn tiles_are_blended_as_in_the_reference() {
    let reference = Reference::read("diffusion_vae.safetensors");
    let mut vae = load("sd", DType::F32, OpSet::Fused);
    let wide = scaled(&vae, &recipe::noise("wide", (1, 4, 13, 19)));
    let picture = recipe::input("wide picture", (1, 3, 40, 52));
    let at_once = vae.decode(&wide).unwrap();
    assert!(reference.difference("sd.tiled", &at_once) > 1e-2, "tiles change nothing here");
    vae.set_tile(Some(32));
    reference.check("sd.tiled", &vae.decode(&wide).unwrap(), 1e-4);
    reference.check("sd.tiled_mean", &moments(&vae, &vae.encode(&picture).unwrap()).0, 1e-4);
}

#[test]
fn half_precision_stays_near() {
    let reference = Reference::read("diffusion_vae.safetensors");
    let vae = load("sd", DType::F16, OpSet::Fused);
    let decoded = vae.decode(&scaled(&vae, &recipe::noise("latents", (2, 4, 6, 8)))).unwrap();
    reference.check("sd.decoded", &decoded, 0.05);
}

#[test]
fn a_batch_in_several_passes_is_the_pictures_one_by_one() {
    let vae = load("embedded", DType::F32, OpSet::Fused);
    // Two of these pictures have more pixels than a tile.
    let latents = recipe::noise("several", (3, 8, 96, 96));
    let together = vae.decode(&latents).unwrap();
    for at in 0..3 {
        let alone = vae.decode(&latents.narrow(0, at, 1).unwrap()).unwrap();
        let difference =
            (together.narrow(0, at, 1).unwrap() - alone).unwrap().abs().unwrap().max_all().unwrap();
        assert_eq!(difference.to_scalar::<f32>().unwrap(), 0.0);
    }
}

#[test]
fn channels_with_their_own_mean_and_deviation_are_normalised_by_them() {
    let plain = load("embedded", DType::F32, OpSet::Stock);
    let config = AutoencoderKlConfig {
        latents_mean: Some((0..8).map(|at| f64::from(at) / 10.0).collect()),
        latents_std: Some((0..8).map(|at| 0.5 + f64::from(at)).collect()),
        ..plain.config().clone()
    };
    let own = AutoencoderKl::load(&config, recipe::weights(&["query"], DType::F32), OpSet::Stock).unwrap();
    let picture = recipe::input("picture", (1, 3, 24, 32));
    let [a, b] = [&plain, &own].map(|vae| vae.encode(&picture).unwrap().mean);
    for channel in 0..8 {
        let value = |x: &Tensor| x.get(0).unwrap().get(channel).unwrap().get(0).unwrap().get(0).unwrap();
        let [a, b] = [&a, &b].map(|x| value(x).to_scalar::<f32>().unwrap());
        let expected = (a - channel as f32 / 10.0) / (0.5 + channel as f32);
        assert!((b - expected).abs() < 1e-5, "channel {channel}: {b} against {expected}");
    }
    let decoded = [(&plain, &a), (&own, &b)].map(|(vae, latents)| vae.decode(latents).unwrap());
    let difference = (&decoded[0] - &decoded[1]).unwrap().abs().unwrap().max_all().unwrap();
    assert!(difference.to_scalar::<f32>().unwrap() < 1e-4);
}

#[test]
fn what_is_no_picture_no_latents_or_another_autoencoder_is_refused_in_a_sentence() {
    let vae = load("sd", DType::F32, OpSet::Stock);
    let error = vae.encode(&recipe::input("odd", (1, 3, 30, 32))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the drawing: [1, 3, 30, 32] is no batch of RGB pictures for this autoencoder"
    );
    assert!(error.help().unwrap().contains("multiples of 4"));
    assert!(vae.decode(&recipe::input("odd", (1, 8, 4, 4))).unwrap_err().to_string().contains("4 channels"));
    for (json, expected) in [
        (r#"{"down_block_types": ["AttnDownEncoderBlock2D"]}"#, "AttnDownEncoderBlock2D are not built here"),
        (r#"{"act_fn": "relu"}"#, "the activation relu"),
        (r#"{"in_channels": 4}"#, "not RGB"),
        (r#"{"scaling_factor": 0}"#, "divided by 0"),
        (r#"{"block_out_channels": []}"#, "0 levels"),
        ("[", "config.json"),
    ] {
        let error = AutoencoderKlConfig::from_json(json.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{json}: {error}");
    }
}
