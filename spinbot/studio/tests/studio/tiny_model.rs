//! A model of Stable Diffusion's shape in a diffusers folder: small enough to train in a test, with weights that follow
//! from their names.

#[path = "../../../models/tests/common/recipe.rs"]
#[allow(dead_code, reason = "shared with tests that use the rest of it")]
mod recipe;

use crate::chain::fixture;
use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;
use serde_json::{Value, json};
use spinbot_models::OpSet;
use spinbot_models::diffusion::text::{ClipText, ClipTextConfig};
use spinbot_models::diffusion::unet::{UNet2DCondition, UNetConfig};
use spinbot_models::diffusion::vae::{AutoencoderKl, AutoencoderKlConfig};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Weights by their names, and what was asked for.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<HashMap<String, Tensor>>>);

impl SimpleBackend for Asked {
    fn get(&self, shape: Shape, name: &str, _: candle_nn::Init, dtype: DType, _: &Device) -> Result<Tensor> {
        let tensor = recipe::weight(name, shape)?;
        self.0.lock().unwrap().insert(name.to_owned(), tensor.clone());
        tensor.to_dtype(dtype)
    }
    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("the shape of {name} must be known")
    }
    fn contains_tensor(&self, name: &str) -> bool {
        !name.contains("query") && !name.contains("text_projection")
    }
}

/// Writes a component's configuration and the weights that it asks for.
fn component(folder: &Path, config: &Value, file: &str, load: impl FnOnce(&[u8], VarBuilder)) {
    std::fs::create_dir_all(folder).unwrap();
    let text = config.to_string();
    std::fs::write(folder.join("config.json"), &text).unwrap();
    let asked = Asked::default();
    let weights = VarBuilder::from_backend(Box::new(asked.clone()), DType::F32, Device::Cpu);
    load(text.as_bytes(), weights);
    candle_core::safetensors::save(&*asked.0.lock().unwrap(), folder.join(file)).unwrap();
}

/// Pictures of it are multiples of 16.
pub fn write(folder: &Path) {
    let tokenizer = fixture("diffusion/tokenizer");
    std::fs::create_dir_all(folder.join("tokenizer")).unwrap();
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(tokenizer.join(file), folder.join("tokenizer").join(file)).unwrap();
    }
    let vocabulary: Value =
        serde_json::from_slice(&std::fs::read(tokenizer.join("vocab.json")).unwrap()).unwrap();
    let words = vocabulary.as_object().unwrap().len();
    let index = json!({
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "DDIMScheduler"],
    });
    std::fs::write(folder.join("model_index.json"), index.to_string()).unwrap();
    let scheduler = json!({
        "_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
        "clip_sample": false, "set_alpha_to_one": false, "steps_offset": 1, "prediction_type": "v_prediction",
    });
    std::fs::create_dir_all(folder.join("scheduler")).unwrap();
    std::fs::write(folder.join("scheduler/scheduler_config.json"), scheduler.to_string()).unwrap();

    let unet = json!({
        "_class_name": "UNet2DConditionModel", "sample_size": 8, "layers_per_block": 1, "norm_num_groups": 8,
        "block_out_channels": [16, 32], "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"], "cross_attention_dim": 32, "attention_head_dim": 4,
    });
    component(&folder.join("unet"), &unet, "diffusion_pytorch_model.safetensors", |config, weights| {
        UNet2DCondition::load(UNetConfig::from_json(config).unwrap(), weights, OpSet::Fused).unwrap();
    });
    let vae = json!({
        "_class_name": "AutoencoderKL", "block_out_channels": [16, 24, 32], "layers_per_block": 1,
        "norm_num_groups": 8, "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
        "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"],
    });
    component(&folder.join("vae"), &vae, "diffusion_pytorch_model.safetensors", |config, weights| {
        AutoencoderKl::load(&AutoencoderKlConfig::from_json(config).unwrap(), weights, OpSet::Fused).unwrap();
    });
    let text = json!({
        "architectures": ["CLIPTextModel"], "vocab_size": words, "max_position_embeddings": 16,
        "eos_token_id": words - 1, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4,
    });
    component(&folder.join("text_encoder"), &text, "model.safetensors", |config, weights| {
        ClipText::load(&ClipTextConfig::from_json(config).unwrap(), "text_encoder", weights, OpSet::Fused)
            .unwrap();
    });
}

/// Makes one of its weights no number.
pub fn break_unet(folder: &Path) {
    let path = folder.join("unet/diffusion_pytorch_model.safetensors");
    let mut weights = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    let bias = weights.get_mut("conv_out.bias").unwrap();
    *bias = (&*bias * f64::NAN).unwrap();
    candle_core::safetensors::save(&weights, &path).unwrap();
}
