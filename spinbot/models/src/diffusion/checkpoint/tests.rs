//! Names against diffusers' converters (tests/reference/diffusion_names.py), folders, listings, and what is refused.
#![allow(clippy::unwrap_used)]

use super::unet_names::Numbering;
use super::*;
use crate::diffusion::scheduler::{PredictionType, SchedulerKind};
use crate::diffusion::unet::UNetConfig;
use candle_core::Tensor;
use std::collections::HashMap;

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/diffusion_names").join(name)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn save(path: &Path, tensors: &[(&str, &[usize])]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let ones = |shape: &[usize]| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
    let tensors: HashMap<_, _> =
        tensors.iter().map(|(name, shape)| (name.to_string(), ones(shape))).collect();
    candle_core::safetensors::save(&tensors, path).unwrap();
}

fn put(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn the_unet_of_sd15_has_ldms_names_686_of_686() {
    let map = json(&reference("sd15_unet_keymap.json"));
    let map: HashMap<&str, &str> =
        map.as_object().unwrap().iter().map(|(new, old)| (new.as_str(), old.as_str().unwrap())).collect();
    let bare = |old: &str| old.strip_prefix("model.diffusion_model.").unwrap().to_owned();
    let old: Vec<String> = map.values().map(|old| bare(old)).collect();
    for numbering in
        [Numbering::of_ldm(old.iter().map(String::as_str)), Numbering::of_diffusers(map.keys().copied())]
    {
        let right = map.iter().filter(|(new, old)| numbering.ldm(new) == Some(bare(old))).count();
        assert_eq!((right, map.len()), (686, 686));
    }
}

#[test]
fn single_files_give_the_tensors_that_diffusers_makes_of_them() {
    for (kind, components) in [
        ("sd15", &["text_encoder", "unet", "vae"][..]),
        ("sd2", &["text_encoder", "unet", "vae"]),
        ("sdxl", &["text_encoder", "text_encoder_2", "unet", "vae"]),
    ] {
        let model = Checkpoint::open(&reference(&format!("{kind}.safetensors")), None).unwrap();
        assert_eq!(model.components().collect::<Vec<_>>(), components);
        let expected = json(&reference(&format!("{kind}.json")));
        for (component, tensors) in expected.as_object().unwrap() {
            let weights = model.weights(component, DType::F32, &Device::Cpu).unwrap();
            for (name, tensor) in tensors.as_object().unwrap() {
                let shape: Vec<usize> = serde_json::from_value(tensor[0].clone()).unwrap();
                let values: Vec<f32> = serde_json::from_value(tensor[1].clone()).unwrap();
                assert!(weights.contains_tensor(name), "{kind} {component} {name}");
                let found =
                    weights.get(shape, name).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let n = found.len();
                assert_eq!([found[0], found[n / 3], found[n - 1]], values[..], "{kind} {component} {name}");
            }
            assert!(!weights.contains_tensor("no.such.weight"));
        }
    }
}

#[test]
fn single_files_show_their_configuration() {
    let open = |kind: &str| Checkpoint::open(&reference(&format!("{kind}.safetensors")), None).unwrap();
    let (sd15, sd2, sdxl) = (open("sd15"), open("sd2"), open("sdxl"));
    let unet = sdxl.config("unet").unwrap();
    // Groups cannot be read off shapes; all of these models have 32, this small one has not the channels.
    let small = unet.as_object().cloned().unwrap().into_iter().chain([("norm_num_groups".into(), 2.into())]);
    UNetConfig::from_json(Value::Object(small.collect()).to_string().as_bytes()).unwrap();
    assert_eq!(unet["transformer_layers_per_block"], serde_json::json!([1, 2, 3]));
    assert_eq!(unet["down_block_types"][0], "DownBlock2D");
    assert_eq!(unet["up_block_types"][2], "UpBlock2D");
    assert_eq!((&unet["addition_embed_type"], &unet["layers_per_block"]), (&"text_time".into(), &2.into()));
    assert_eq!(unet["projection_class_embeddings_input_dim"], 10);
    let unet = sd15.config("unet").unwrap();
    assert_eq!(unet["block_out_channels"], serde_json::json!([4, 8, 8, 8]));
    assert_eq!(unet["down_block_types"][3], "DownBlock2D");
    assert_eq!((&unet["use_linear_projection"], &unet["attention_head_dim"][0]), (&false.into(), &8.into()));
    assert_eq!(sd2.config("unet").unwrap()["use_linear_projection"], true);
    let vae = sd15.config("vae").unwrap();
    assert_eq!(vae["block_out_channels"], serde_json::json!([4, 8, 8]));
    assert_eq!((&vae["latent_channels"], &vae["layers_per_block"]), (&4.into(), &2.into()));
    let text = |model: &Checkpoint, part| model.config(part).unwrap().clone();
    assert_eq!(text(&sd15, "text_encoder")["num_hidden_layers"], 2);
    assert_eq!(text(&sd15, "text_encoder")["hidden_act"], "quick_gelu");
    // Stable Diffusion 2 leaves the last of its encoder's layers out, SDXL does not.
    assert_eq!(text(&sd2, "text_encoder")["num_hidden_layers"], 2);
    assert_eq!(text(&sdxl, "text_encoder_2")["num_hidden_layers"], 3);
    assert_eq!(text(&sdxl, "text_encoder_2")["architectures"][0], "CLIPTextModelWithProjection");
    assert!(sd15.config("text_encoder_2").unwrap_err().to_string().contains("there is no text_encoder_2"));
    assert_eq!(sd15.scheduler().prediction_type(), PredictionType::Epsilon);
    assert_eq!(sd15.tokenizer("tokenizer"), None);
}

#[test]
fn what_a_file_predicts_is_guessed_from_its_marks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let predicts = |tensors: &[(&str, &[usize])], family| {
        save(&path, tensors);
        single_file::scheduler(&TensorFile::open("m", &path).unwrap(), family)
    };
    let unmarked: &[(&str, &[usize])] = &[("a", &[1])];
    assert_eq!(predicts(unmarked, Some(Family::Sd1)).prediction_type(), PredictionType::Epsilon);
    assert_eq!(predicts(unmarked, Some(Family::Sd2)).prediction_type(), PredictionType::VPrediction);
    let marked = predicts(&[("v_pred", &[0]), ("ztsnr", &[0])], Some(Family::Sdxl));
    assert_eq!(marked.prediction_type(), PredictionType::VPrediction);
    assert_eq!(marked.rescale_betas_zero_snr, Some(true));
}

/// A folder with a VAE whose attention has its old names, in shards, and a text encoder as fp16 only.
fn model_folder(folder: &Path) {
    put(
        &folder.join("model_index.json"),
        r#"{"_class_name":"X","vae":["diffusers","AutoencoderKL"],"text_encoder":["transformers","CLIPTextModel"],
            "unet":[null,null],"safety_checker":["x","y"]}"#,
    );
    put(&folder.join("scheduler/scheduler_config.json"), r#"{"_class_name":"EulerDiscreteScheduler"}"#);
    put(&folder.join("tokenizer/vocab.json"), "{}");
    let vae = folder.join("vae");
    put(&vae.join("config.json"), r#"{"latent_channels":4}"#);
    put(
        &vae.join("diffusion_pytorch_model.safetensors.index.json"),
        r#"{"weight_map":{"a.weight":"one.safetensors","b":"two.safetensors","c":"two.safetensors"}}"#,
    );
    save(&vae.join("one.safetensors"), &[("a.weight", &[2, 3, 1, 1])]);
    save(&vae.join("two.safetensors"), &[("encoder.mid_block.attentions.0.query.weight", &[4, 4, 1, 1])]);
    let text = folder.join("text_encoder");
    put(&text.join("config.json"), "{}");
    save(&text.join("model.fp16.safetensors"), &[("final_layer_norm.weight", &[8])]);
}

#[test]
fn folders_are_read_with_shards_variants_and_old_names() {
    let folder = tempfile::tempdir().unwrap();
    model_folder(folder.path());
    let model = Checkpoint::open(folder.path(), None).unwrap();
    assert_eq!(model.components().collect::<Vec<_>>(), ["text_encoder", "vae"]);
    assert_eq!(model.config("vae").unwrap()["latent_channels"], 4);
    assert_eq!(model.scheduler().kind().unwrap(), SchedulerKind::Euler);
    assert!(model.tokenizer("tokenizer").is_some() && model.tokenizer("tokenizer_2").is_none());
    let vae = model.weights("vae", DType::F64, &Device::Cpu).unwrap();
    assert_eq!(vae.get((2, 3), "a.weight").unwrap().dtype(), DType::F64);
    vae.get((4, 4), "encoder.mid_block.attentions.0.to_q.weight").unwrap();
    assert!(vae.get((3, 2), "a.weight").unwrap_err().to_string().contains("shape mismatch for `a.weight`"));
    assert!(vae.get(1, "missing").unwrap_err().to_string().contains("missing"));
    let text = model.weights("text_encoder", DType::F32, &Device::Cpu).unwrap();
    text.get(8, "text_model.final_layer_norm.weight").unwrap();
    let error = Checkpoint::open(folder.path(), Some("bf16")).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("there are no safetensors of the variant bf16"), "{error}");
}

#[test]
fn the_cache_and_the_folders_of_other_programs_are_listed() {
    let root = tempfile::tempdir().unwrap();
    let cached = root.path().join("hub/models--some-org--a--b");
    model_folder(&cached.join("snapshots/abc"));
    model_folder(&cached.join("snapshots/def"));
    put(&cached.join("refs/main"), "abc\n");
    assert_eq!(Checkpoint::open(&cached, None).unwrap().path(), cached.join("snapshots/abc"));
    put(&cached.join("refs/main"), "../../..");
    assert_eq!(Checkpoint::open(&cached, None).unwrap().path(), cached.join("snapshots/def"));
    for file in [
        "models/checkpoints/xl/a.safetensors",
        "models/Stable-diffusion/old.ckpt",
        "models/loras/nova.safetensors",
        "models/Lora/b.safetensors",
        "models/loras/notes.txt",
    ] {
        put(&root.path().join(file), "");
    }
    model_folder(&root.path().join("models/diffusers/tiny"));
    let found = list(root.path());
    let found: Vec<_> = found.iter().map(|found| (found.name.as_str(), found.kind)).collect();
    assert_eq!(
        found,
        [
            ("b", FoundKind::Lora),
            ("nova", FoundKind::Lora),
            ("old", FoundKind::Pickle),
            ("some-org/a--b", FoundKind::Folder),
            ("tiny", FoundKind::Folder),
            ("xl/a", FoundKind::SingleFile),
        ]
    );
    assert!(list(&root.path().join("nowhere")).is_empty());
}

#[test]
fn pickles_foreign_files_and_lies_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &Path| Checkpoint::open(path, None).map(|_| ()).unwrap_err();
    let pickle = folder.path().join("model.ckpt");
    put(&pickle, "x");
    assert!(refused(&pickle).help().unwrap().contains("convert it where you trust it"));
    let foreign = folder.path().join("flux.safetensors");
    save(&foreign, &[("double_blocks.0.img_attn.qkv.weight", &[2])]);
    assert!(refused(&foreign).to_string().contains("no UNet, text encoder or autoencoder"));
    save(&foreign, &[("model.diffusion_model.input_blocks.0.0.weight", &[2, 4, 3, 3])]);
    assert!(refused(&foreign).to_string().contains("its UNet is of no kind that is built"));
    let model = folder.path().join("model");
    model_folder(&model);
    let index = model.join("vae/diffusion_pytorch_model.safetensors.index.json");
    for outside in ["../one.safetensors", "/etc/one.safetensors", "one.bin"] {
        put(&index, &format!(r#"{{"weight_map":{{"a":"{outside}"}}}}"#));
        assert!(refused(&model).to_string().contains("is no safetensors file beside it"), "{outside}");
    }
    std::fs::remove_file(&index).unwrap();
    put(&model.join("vae/diffusion_pytorch_model.bin"), "x");
    assert!(refused(&model).help().unwrap().contains("convert it where you trust it"));
    put(&model.join("model_index.json"), "{}");
    assert!(refused(&model).to_string().contains("names no component to draw with"));
}
