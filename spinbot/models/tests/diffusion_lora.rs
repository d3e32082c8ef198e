//! LoRA files against diffusers and peft: the files and numbers of `tests/reference/diffusion_lora.py`, both ways.
#![allow(clippy::unwrap_used)]

#[path = "common/recipe.rs"]
mod recipe;

use candle_core::{DType, Device, Tensor};
use recipe::{recipe, weights};
use spinbot_models::OpSet;
use spinbot_models::diffusion::lora_file::{LoraFile, LoraFormat, LoraMatch, LoraMetadata, write};
use spinbot_models::diffusion::{Adapters, Conditioning, Site, SiteKind, UNet2DCondition, UNetConfig};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/diffusion_lora")
}

fn unet() -> UNet2DCondition {
    let config = UNetConfig::from_json(&std::fs::read(folder().join("config.json")).unwrap()).unwrap();
    UNet2DCondition::load(config, weights(DType::F32), OpSet::Stock).unwrap()
}

/// The script's text encoder, as far as its adapters go.
fn text_sites() -> Vec<Site> {
    let layers =
        ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1"];
    let paths =
        (0..2).flat_map(|n| layers.map(|l| format!("text_encoder.text_model.encoder.layers.{n}.{l}")));
    let site = |(index, path): (usize, String)| {
        let outputs = if path.ends_with("fc1") { 24 } else { 16 };
        Site { index, path, kind: SiteKind::Linear, inputs: 16, outputs }
    };
    paths.enumerate().map(site).collect()
}

fn predict(unet: &UNet2DCondition, adapters: &Adapters) -> Tensor {
    let conditioning = Conditioning::text(recipe("hidden", (2, 3, 16)));
    unet.forward(&recipe("sample", (2, 4, 8, 8)), &[7.0, 801.0], &conditioning, adapters).unwrap()
}

fn worst(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

fn expected() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(folder().join("expected.safetensors"), &Device::Cpu).unwrap()
}

fn open(name: &str) -> LoraFile {
    LoraFile::open(&folder().join(name)).unwrap()
}

fn applied(unet: &UNet2DCondition, files: &[(&str, f64)]) -> Adapters {
    let mut adapters = Adapters::none();
    for (name, weight) in files {
        let found = open(name).apply(unet.sites(), *weight, &mut adapters, &Device::Cpu).unwrap();
        assert!(found.matched > 0 && found.unmatched.is_empty(), "{name}: {found:?}");
    }
    adapters
}

#[test]
fn files_of_diffusers_peft_and_kohya_shift_the_prediction_as_they_do_there() {
    let (unet, expected) = (unet(), expected());
    assert!(worst(&predict(&unet, &Adapters::none()), &expected["none"]) < 1e-5);
    for (files, key) in [
        (&[("diffusers.safetensors", 1.0)][..], "one"),
        (&[("kohya.safetensors", 1.0)], "two"),
        (&[("peft/adapter_model.safetensors", 1.0)], "two"),
        (&[("diffusers.safetensors", 0.8), ("kohya.safetensors", -0.5)], "mixed"),
    ] {
        let prediction = predict(&unet, &applied(&unet, files));
        let apart = worst(&prediction, &expected[key]);
        assert!(apart < 1e-5, "{files:?}: {apart}");
        assert!(worst(&prediction, &expected["none"]) > 0.01, "{files:?} changes nothing");
    }
}

#[test]
fn text_encoder_pairs_find_their_sites_with_and_without_text_model() {
    let file = open("diffusers.safetensors");
    assert_eq!(file.components().into_iter().collect::<Vec<_>>(), ["text_encoder", "unet"]);
    assert!(file.unknown().is_empty());
    for prefix in ["text_model.", ""] {
        let mut sites = text_sites();
        sites.iter_mut().for_each(|site| site.path = site.path.replace("text_model.", prefix));
        let mut adapters = Adapters::none();
        let found = file.apply(&sites, 0.5, &mut adapters, &Device::Cpu).unwrap();
        assert_eq!(found, LoraMatch { matched: 6, unmatched: vec![] });
        let [pair] = adapters.at(0) else { panic!("no pair at q_proj") };
        assert_eq!((pair.down.dims(), pair.up.dims(), pair.scale), (&[2, 16][..], &[16, 2][..], 0.75));
        assert!(adapters.at(1).is_empty());
    }
}

#[test]
fn what_is_written_is_read_back_the_same_and_is_what_diffusers_was_seen_to_read() {
    let unet = unet();
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let one = applied(&unet, &[("diffusers.safetensors", 1.0)]);
    let mixed = applied(&unet, &[("diffusers.safetensors", 0.8), ("kohya.safetensors", -0.5)]);
    let (sites, mut text) = (text_sites(), Adapters::none());
    open("diffusers.safetensors").apply(&sites, 1.0, &mut text, &Device::Cpu).unwrap();
    let metadata = LoraMetadata {
        output_name: Some("nova".into()),
        base_model_version: Some("sd_v1".into()),
        network_dim: Some(2),
        network_alpha: Some(3.0),
        learning_rate: Some(1e-4),
        num_epochs: Some(10),
        resolution: Some((512, 768)),
        trigger: Some("nova person".into()),
        tag_frequency: [("6_nova".to_owned(), [("red hair".to_owned(), 4)].into())].into(),
        ..LoraMetadata::default()
    };
    let whole: &[(&[Site], &Adapters)] = &[(unet.sites(), &one), (&sites, &text)];
    for (name, format, components, adapters) in [
        ("ours_diffusers.safetensors", LoraFormat::Diffusers, whole, &one),
        ("ours_kohya.safetensors", LoraFormat::Kohya, whole, &one),
        ("ours_mixed.safetensors", LoraFormat::Diffusers, &[(unet.sites(), &mixed)], &mixed),
    ] {
        let path = tmp.join(name);
        write(&path, format, components, None, &metadata, DType::F32).unwrap();
        let file = LoraFile::open(&path).unwrap();
        let mut again = Adapters::none();
        file.apply(unet.sites(), 1.0, &mut again, &Device::Cpu).unwrap();
        let apart = worst(&predict(&unet, &again), &predict(&unet, adapters));
        assert!(apart < 1e-5, "{name}: {apart}");
        let read = file.metadata();
        assert_eq!((&read.trigger, &read.tag_frequency), (&metadata.trigger, &metadata.tag_frequency));
        assert_eq!((read.network_dim, read.network_alpha), (Some(2), Some(3.0)));
        assert_eq!((read.learning_rate, read.resolution), (Some(1e-4), Some((512, 768))));
        assert_eq!(read.other["modelspec.architecture"], "stable-diffusion-v1/lora");
        // `diffusion_lora.py check` has seen diffusers predict with these very bytes.
        assert!(std::fs::read(&path).unwrap() == std::fs::read(folder().join(name)).unwrap(), "{name}");
    }
    for dtype in [DType::F16, DType::BF16] {
        let path = tmp.join("half.safetensors");
        write(&path, LoraFormat::Kohya, whole, None, &metadata, dtype).unwrap();
        let mut again = Adapters::none();
        LoraFile::open(&path).unwrap().apply(unet.sites(), 1.0, &mut again, &Device::Cpu).unwrap();
        let apart = worst(&predict(&unet, &again), &predict(&unet, &one));
        assert!(apart > 0.0 && apart < 0.05, "{dtype:?}: {apart}");
    }
}
