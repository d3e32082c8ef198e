//! Names of every writer, LoCon's decomposed convolutions, and what is refused.
#![allow(clippy::unwrap_used)]

use super::*;
use std::collections::HashMap as Tensors;

fn site(index: usize, path: &str, kind: SiteKind, inputs: usize, outputs: usize) -> Site {
    Site { index, path: path.into(), kind, inputs, outputs }
}

const TO_Q: &str = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q";
const CONV: SiteKind = SiteKind::Conv { kernel: 3, stride: 1, padding: 1 };

/// Some of SDXL's layers, in small.
fn sites() -> Vec<Site> {
    let linear = |index, path: &str| site(index, path, SiteKind::Linear, 4, 6);
    vec![
        linear(0, "unet.down_blocks.1.attentions.0.transformer_blocks.1.attn1.to_q"),
        site(1, "unet.down_blocks.1.resnets.1.conv1", CONV, 4, 6),
        linear(2, "unet.mid_block.attentions.0.proj_in"),
        linear(3, "unet.up_blocks.0.attentions.2.transformer_blocks.0.attn2.to_out.0"),
        site(4, "unet.up_blocks.0.upsamplers.0.conv", CONV, 4, 6),
        linear(5, "unet.add_embedding.linear_1"),
        site(6, "unet.down_blocks.0.downsamplers.0.conv", CONV, 4, 6),
    ]
}

fn tensor(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|n| (n as f32 * 0.7).sin()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn saved(tensors: &[(String, Tensor)]) -> (tempfile::TempDir, Result<LoraFile>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.safetensors");
    let tensors: Tensors<_, _> = tensors.iter().cloned().collect();
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let file = LoraFile::open(&path);
    (folder, file)
}

fn pair(layer: &str, down: &str, up: &str, shapes: [&[usize]; 2]) -> [(String, Tensor); 2] {
    [(format!("{layer}{down}"), tensor(shapes[0])), (format!("{layer}{up}"), tensor(shapes[1]))]
}

#[test]
fn every_writers_name_finds_the_same_layer() {
    let peft = (".lora_A.weight", ".lora_B.weight");
    let kohya = (".lora_down.weight", ".lora_up.weight");
    let within = TO_Q.strip_prefix("unet.").unwrap();
    let flat = within.replace('.', "_");
    let query = [site(0, TO_Q, SiteKind::Linear, 4, 6)];
    for (layer, (down, up)) in [
        (TO_Q.to_owned(), peft),
        (within.to_owned(), peft),
        (format!("base_model.model.{within}"), peft),
        (format!("unet.base_model.model.{within}"), peft),
        (TO_Q.to_owned(), (".lora_A.default.weight", ".lora_B.default.weight")),
        (TO_Q.to_owned(), (".lora.down.weight", ".lora.up.weight")),
        (TO_Q.replace("attn1.", "attn1.processor."), ("_lora.down.weight", "_lora.up.weight")),
        (format!("lora_unet_{flat}"), kohya),
        (within.replace("attn1.", "attn1.processor."), ("_lora.down.weight", "_lora.up.weight")),
    ] {
        let (_folder, file) = saved(&pair(&layer, down, up, [&[2, 4], &[6, 2]]));
        let mut adapters = Adapters::none();
        let found = file.unwrap().apply(&query, 1.0, &mut adapters, &Device::Cpu).unwrap();
        assert_eq!(found, LoraMatch { matched: 1, unmatched: vec![] }, "{layer}{down}");
        assert_eq!(adapters.at(0)[0].scale, 1.0);
    }
    for (layer, expected) in [
        ("lora_te_text_model_encoder_layers_0_mlp_fc1", "text_encoder"),
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1", "text_encoder"),
        ("lora_te2_text_model_encoder_layers_0_mlp_fc1", "text_encoder_2"),
        ("text_encoder_2.text_model.encoder.layers.0.mlp.fc1", "text_encoder_2"),
        ("base_model.model.text_model.encoder.layers.0.mlp.fc1", "text_encoder"),
        ("text_model.encoder.layers.0.mlp.fc1", "text_encoder"),
        ("encoder.layers.0.mlp.fc1", "text_encoder"),
    ] {
        let name = LoraName::read(layer, false).unwrap();
        assert_eq!((name.component, name.flat.as_str()), (expected, "encoder_layers_0_mlp_fc1"), "{layer}");
    }
    let old = LoraName::read("text_encoder.text_model.encoder.layers.0.self_attn.to_out", true).unwrap();
    assert_eq!(old.flat, "encoder_layers_0_self_attn_out_proj");
    let old = LoraName::read("down_blocks.0.attn1.processor.to_out", true).unwrap();
    assert_eq!(old.flat, "down_blocks_0_attn1_to_out_0");
}

#[test]
fn ldm_block_names_as_sdxl_loras_have_them_find_their_layers() {
    let (linear, conv): ([&[usize]; 2], [&[usize]; 2]) = ([&[2, 4], &[6, 2]], [&[2, 4, 3, 3], &[6, 2, 1, 1]]);
    let kohya = |layer: &str, shapes| pair(layer, ".lora_down.weight", ".lora_up.weight", shapes);
    let mut tensors = Vec::new();
    for (layer, shapes) in [
        ("lora_unet_input_blocks_4_1_transformer_blocks_1_attn1_to_q", linear),
        ("lora_unet_input_blocks_5_0_in_layers_2", conv),
        ("lora_unet_middle_block_1_proj_in", linear),
        ("lora_unet_output_blocks_2_1_transformer_blocks_0_attn2_to_out_0", linear),
        ("lora_unet_output_blocks_2_2_conv", conv),
        ("lora_unet_label_emb_0_0", linear),
        ("lora_unet_input_blocks_3_0_op", conv),
        ("lora_unet_input_blocks_8_1_proj_in", linear),
    ] {
        tensors.extend(kohya(layer, shapes));
        tensors.push((format!("{layer}.alpha"), Tensor::new(1.0_f32, &Device::Cpu).unwrap()));
    }
    let (_folder, file) = saved(&tensors);
    let mut adapters = Adapters::none();
    let found = file.unwrap().apply(&sites(), 1.0, &mut adapters, &Device::Cpu).unwrap();
    let unmatched = vec!["lora_unet_input_blocks_8_1_proj_in".to_owned()];
    assert_eq!(found, LoraMatch { matched: 7, unmatched });
    assert!((0..7).all(|index| adapters.at(index)[0].scale == 0.5));
}

#[test]
fn locons_three_convolutions_are_one() {
    let path = "lora_unet_up_blocks_0_upsamplers_0_conv";
    let (down, mid, up) = (tensor(&[3, 4, 1, 1]), tensor(&[3, 3, 3, 3]), tensor(&[6, 3, 1, 1]));
    let tensors = [
        (format!("{path}.lora_down.weight"), down.clone()),
        (format!("{path}.lora_mid.weight"), mid.clone()),
        (format!("{path}.lora_up.weight"), up.clone()),
    ];
    let (_folder, file) = saved(&tensors);
    let mut adapters = Adapters::none();
    file.unwrap().apply(&sites(), 1.0, &mut adapters, &Device::Cpu).unwrap();
    let pair = &adapters.at(4)[0];
    let picture = tensor(&[1, 4, 5, 5]);
    let conv = |x: &Tensor, w: &Tensor, padding| x.conv2d(w, padding, 1, 1, 1).unwrap();
    let apart = conv(&conv(&conv(&picture, &down, 0), &mid, 1), &up, 0);
    let one = conv(&conv(&picture, &pair.down, 1), &pair.up.reshape((6, 3, 1, 1)).unwrap(), 0);
    let difference = (apart - one).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(difference < 1e-5, "{difference}");
}

#[test]
fn other_methods_damage_and_other_models_are_refused_with_their_name() {
    let base = "lora_unet_mid_block_attentions_0_proj_in";
    let good = pair(base, ".lora_down.weight", ".lora_up.weight", [&[2, 4], &[6, 2]]);
    for (ending, expected) in [
        ("dora_scale", "DoRA"),
        ("hada_w1_a", "LoHa"),
        ("lokr_w1", "LoKr"),
        ("oft_blocks", "OFT"),
        ("diff", "whole weight differences"),
    ] {
        let with = [&good[..], &[(format!("{base}.{ending}"), tensor(&[2, 4]))]].concat();
        let error = saved(&with).1.unwrap_err();
        assert!(error.to_string().contains(&format!("is of {expected}, and only LoRA")), "{error}");
        assert!(error.help().unwrap().contains("merge it"));
    }
    let error = saved(&[("down_blocks.0.conv.weight".into(), tensor(&[2]))]).1.unwrap_err().to_string();
    assert!(error.contains("it holds no LoRA"), "{error}");
    let alone = saved(&good[..1]).1.unwrap_err().to_string();
    assert!(alone.contains("it holds no LoRA"), "{alone}");
    for alpha in [tensor(&[2]), Tensor::new(f32::NAN, &Device::Cpu).unwrap()] {
        let with = [&good[..], &[(format!("{base}.alpha"), alpha)]].concat();
        let error = saved(&with).1.unwrap_err().to_string();
        assert!(error.contains(&format!("the alpha of `{base}` is no number")), "{error}");
    }
    for shapes in [[&[2, 5][..], &[6, 2]], [&[2, 4], &[6, 3]], [&[2, 4, 3, 3], &[6, 2, 1, 1]]] {
        let (_folder, file) = saved(&pair(base, ".lora_down.weight", ".lora_up.weight", shapes));
        let error = file.unwrap().apply(&sites(), 1.0, &mut Adapters::none(), &Device::Cpu).unwrap_err();
        assert!(error.to_string().contains("made for another kind of model"), "{error}");
    }
    let twice = [
        &good[..],
        &pair("unet.mid_block.attentions.0.proj_in", ".lora_A.weight", ".lora_B.weight", [&[2, 4], &[6, 2]]),
    ]
    .concat();
    let (_folder, file) = saved(&twice);
    let error = file.unwrap().apply(&sites(), 1.0, &mut Adapters::none(), &Device::Cpu).unwrap_err();
    assert!(error.to_string().contains("twice"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let pickle = folder.path().join("nova.pt");
    std::fs::write(&pickle, b"x").unwrap();
    let error = LoraFile::open(&pickle).unwrap_err();
    assert!(error.help().unwrap().contains("convert it where you trust it"), "{error}");
    let error =
        write(&folder.path().join("x"), LoraFormat::Kohya, &[], None, &LoraMetadata::default(), DType::F32);
    assert!(error.unwrap_err().to_string().contains("no adapters to write"));
}

#[test]
fn metadata_that_lies_is_kept_as_text() {
    let fields =
        [("ss_network_dim", "many"), ("ss_tag_frequency", "{"), ("ss_resolution", "Random"), ("x", "y")];
    let fields = fields.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let metadata = LoraMetadata::read(&fields);
    assert_eq!((metadata.network_dim, metadata.other.len()), (None, 4));
}

#[test]
fn alphas_beside_the_tensors_count() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter_model.safetensors");
    let layer = format!("base_model.model.{}", TO_Q.strip_prefix("unet.").unwrap());
    let tensors: Tensors<_, _> = pair(&layer, ".lora_A.weight", ".lora_B.weight", [&[4, 4], &[6, 4]]).into();
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let query = [site(0, TO_Q, SiteKind::Linear, 4, 6)];
    for (config, expected) in [
        (r#"{"r":4,"lora_alpha":8}"#, 2.0),
        (r#"{"r":4,"lora_alpha":8,"use_rslora":true}"#, 4.0),
        (r#"{"r":4,"lora_alpha":8,"alpha_pattern":{"attn1.to_q":2}}"#, 0.5),
        (r#"{"r":4,"lora_alpha":8,"alpha_pattern":{"attn2.to_q":2}}"#, 2.0),
    ] {
        std::fs::write(folder.path().join("adapter_config.json"), config).unwrap();
        let mut adapters = Adapters::none();
        LoraFile::open(&path).unwrap().apply(&query, 1.0, &mut adapters, &Device::Cpu).unwrap();
        assert_eq!(adapters.at(0)[0].scale, expected, "{config}");
    }
}
