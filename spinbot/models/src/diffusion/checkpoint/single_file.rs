//! Single files with LDM's names: which components are in them, and their configurations, read off the shapes.

use super::component_names::Naming;
use super::unet_names::Numbering;
use super::{Family, Part, refuse};
use crate::diffusion::scheduler::{PredictionType, SchedulerConfig};
use crate::error::Result;
use crate::tensor_file::TensorFile;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const UNET: &str = "model.diffusion_model.";
/// More levels or layers than any of these networks has.
const MOST: usize = 64;

/// The components of the file by diffusers' names.
pub(super) fn parts(label: &str, file: TensorFile<'static>) -> Result<BTreeMap<String, Part>> {
    let file = Arc::new(vec![file]);
    let shapes = Shapes { file: &file[0] };
    let mut found: BTreeMap<String, (Value, Naming)> = BTreeMap::new();
    let mut family = None;
    if shapes.has("model.diffusion_model.input_blocks.0.0.weight") {
        let names = shapes.file.names().filter_map(|name| name.strip_prefix(UNET));
        let numbering = Numbering::of_ldm(names);
        let config = shapes.unet(&numbering).ok_or_else(|| {
            refuse(label, "its UNet is of no kind that is built (Stable Diffusion 1, 2 and XL are)".into())
        })?;
        family = Family::of(&config);
        found.insert("unet".into(), (config, Naming::LdmUNet(numbering)));
    }
    for prefix in ["first_stage_model.", ""] {
        if shapes.has(&format!("{prefix}decoder.mid.block_1.conv1.weight")) {
            let xl = matches!(family, Some(Family::Sdxl | Family::SdxlRefiner));
            if let Some((config, levels)) = shapes.vae(prefix, if xl { 0.13025 } else { 0.18215 }) {
                found.insert("vae".into(), (config, Naming::LdmVae(prefix, levels)));
            }
            break;
        }
    }
    for (component, prefix) in [
        ("text_encoder", "cond_stage_model.transformer."),
        ("text_encoder", "conditioner.embedders.0.transformer."),
    ] {
        if let Some(config) = shapes.clip(prefix) {
            found.insert(component.into(), (config, Naming::Clip(prefix)));
        }
    }
    for (component, prefix, dropped) in [
        // Stable Diffusion 2 takes the last layer but one, so that the last is not loaded.
        ("text_encoder", "cond_stage_model.model.", 1),
        ("text_encoder_2", "conditioner.embedders.1.model.", 0),
        ("text_encoder_2", "conditioner.embedders.0.model.", 0),
    ] {
        if let Some(config) = shapes.open_clip(prefix, dropped) {
            found.insert(component.into(), (config, Naming::OpenClip(prefix)));
        }
    }
    if found.is_empty() {
        return Err(refuse(label, "it holds no UNet, text encoder or autoencoder under LDM's names".into()));
    }
    let part = |(config, naming)| Part { config, naming, files: file.clone() };
    Ok(found.into_iter().map(|(component, found)| (component, part(found))).collect())
}

/// The noise schedule of Stable Diffusion, and what the network predicts as far as the file shows: its model spec,
/// the marks `v_pred` and `ztsnr` of SDXL fine-tunes, or for Stable Diffusion 2 the training step of its 512 px base,
/// which alone predicts the noise.
pub(super) fn scheduler(file: &TensorFile<'_>, family: Option<Family>) -> SchedulerConfig {
    let said = file.metadata().get("modelspec.prediction_type").map(String::as_str);
    let base_512 = || {
        file.stored("global_step").ok().and_then(|step| {
            let step = step.to_dtype(candle_core::DType::F64).ok()?.flatten_all().ok()?;
            step.get(0).ok()?.to_scalar::<f64>().ok()
        }) == Some(875_000.0)
    };
    let velocity = match said {
        Some("v") => true,
        Some(_) => false,
        None => file.shape("v_pred").is_some() || (family == Some(Family::Sd2) && !base_512()),
    };
    let prediction = if velocity { PredictionType::VPrediction } else { PredictionType::Epsilon };
    let mut config = SchedulerConfig::stable_diffusion(prediction);
    if file.shape("ztsnr").is_some() {
        config.rescale_betas_zero_snr = Some(true);
        config.timestep_spacing = Some(crate::diffusion::scheduler::TimestepSpacing::Trailing);
    }
    config
}

struct Shapes<'a> {
    file: &'a TensorFile<'static>,
}

impl Shapes<'_> {
    fn has(&self, name: &str) -> bool {
        self.file.shape(name).is_some()
    }

    fn dim(&self, name: &str, axis: usize) -> Option<usize> {
        self.file.shape(name)?.get(axis).copied().filter(|n| *n > 0)
    }

    /// How many of `before0after`, `before1after`, ... there are without a gap.
    fn count(&self, before: &str, after: &str) -> usize {
        (0..MOST).take_while(|n| self.has(&format!("{before}{n}{after}"))).count()
    }

    fn unet(&self, numbering: &Numbering) -> Option<Value> {
        let layers = numbering.layers_per_block().filter(|layers| (1..MOST).contains(layers))?;
        let block = |n: usize| format!("{UNET}input_blocks.{n}");
        let inputs = (1..MOST * 4)
            .take_while(|n| {
                self.has(&format!("{}.0.in_layers.2.weight", block(*n)))
                    || self.has(&format!("{}.0.op.weight", block(*n)))
            })
            .count();
        let levels = (inputs + 1) / (layers + 1);
        let first = |level: usize| block(level * (layers + 1) + 1);
        let mut channels = Vec::new();
        let mut depths = Vec::new();
        let mut cross = None;
        for level in 0..levels {
            channels.push(self.dim(&format!("{}.0.out_layers.3.weight", first(level)), 0)?);
            let transformer = format!("{}.1.transformer_blocks.", first(level));
            depths.push(self.count(&transformer, ".attn1.to_q.weight"));
            cross = cross.or(self.dim(&format!("{transformer}0.attn2.to_k.weight"), 1));
        }
        let cross = cross?;
        let middle = self.count(&format!("{UNET}middle_block.1.transformer_blocks."), ".attn1.to_q.weight");
        let attends: Vec<bool> = depths.iter().map(|depth| *depth > 0).collect();
        let attending = attends.iter().position(|attends| *attends)?;
        let linear = self.file.shape(&format!("{}.1.proj_in.weight", first(attending)))?.len() == 2;
        let heads: Vec<usize> =
            channels.iter().map(|channels| if linear { (channels / 64).max(1) } else { 8 }).collect();
        // diffusers' middle block is as deep as the last level says, be there attention in that level or not.
        let mut depths: Vec<usize> = depths.into_iter().map(|depth| depth.max(1)).collect();
        *depths.last_mut()? = middle.max(1);
        let kind =
            |attends: bool, cross: &'static str, plain: &'static str| if attends { cross } else { plain };
        let down = attends.iter().map(|attends| kind(*attends, "CrossAttnDownBlock2D", "DownBlock2D"));
        let up = attends.iter().rev().map(|attends| kind(*attends, "CrossAttnUpBlock2D", "UpBlock2D"));
        let mut config = json!({
            "in_channels": self.dim(&format!("{UNET}input_blocks.0.0.weight"), 1)?,
            "out_channels": self.dim(&format!("{UNET}out.2.weight"), 0)?,
            "block_out_channels": channels,
            "layers_per_block": layers,
            "cross_attention_dim": cross,
            "attention_head_dim": heads,
            "use_linear_projection": linear,
            "transformer_layers_per_block": depths,
            "down_block_types": down.collect::<Vec<_>>(),
            "up_block_types": up.collect::<Vec<_>>(),
            "sample_size": match cross { 2048 | 1280 => 128, 1024 => 96, _ => 64 },
        });
        if let Some(width) = self.dim(&format!("{UNET}label_emb.0.0.weight"), 1) {
            config["addition_embed_type"] = "text_time".into();
            config["addition_time_embed_dim"] = 256.into();
            config["projection_class_embeddings_input_dim"] = width.into();
        }
        Some(config)
    }

    fn vae(&self, prefix: &str, scaling_factor: f64) -> Option<(Value, usize)> {
        let name = |rest: &str| format!("{prefix}{rest}");
        let levels = self.count(&name("encoder.down."), ".block.0.conv1.weight");
        let channels = (0..levels)
            .map(|level| self.dim(&name(&format!("encoder.down.{level}.block.0.conv2.weight")), 0));
        let channels = channels.collect::<Option<Vec<_>>>()?;
        let config = json!({
            "in_channels": self.dim(&name("encoder.conv_in.weight"), 1)?,
            "out_channels": self.dim(&name("decoder.conv_out.weight"), 0)?,
            "latent_channels": self.dim(&name("decoder.conv_in.weight"), 1)?,
            "block_out_channels": channels,
            "layers_per_block": self.count(&name("encoder.down.0.block."), ".conv1.weight"),
            "down_block_types": vec!["DownEncoderBlock2D"; levels],
            "up_block_types": vec!["UpDecoderBlock2D"; levels],
            "use_quant_conv": self.has(&name("quant_conv.weight")),
            "use_post_quant_conv": self.has(&name("post_quant_conv.weight")),
            "scaling_factor": scaling_factor,
        });
        (levels > 0).then_some((config, levels))
    }

    fn clip(&self, prefix: &str) -> Option<Value> {
        let root = [format!("{prefix}text_model."), prefix.to_owned()]
            .into_iter()
            .find(|root| self.has(&format!("{root}embeddings.token_embedding.weight")))?;
        self.text(
            &format!("{root}embeddings.token_embedding.weight"),
            &format!("{root}embeddings.position_embedding.weight"),
            &format!("{root}encoder.layers.0.mlp.fc1.weight"),
            self.count(&format!("{root}encoder.layers."), ".mlp.fc1.weight"),
            ("quick_gelu", None),
        )
    }

    fn open_clip(&self, prefix: &str, dropped: usize) -> Option<Value> {
        let layers = self.count(&format!("{prefix}transformer.resblocks."), ".mlp.c_fc.weight");
        self.text(
            &format!("{prefix}token_embedding.weight"),
            &format!("{prefix}positional_embedding"),
            &format!("{prefix}transformer.resblocks.0.mlp.c_fc.weight"),
            layers.saturating_sub(dropped),
            ("gelu", self.dim(&format!("{prefix}text_projection"), 1)),
        )
    }

    fn text(
        &self,
        tokens: &str,
        positions: &str,
        fc1: &str,
        layers: usize,
        (act, projection): (&str, Option<usize>),
    ) -> Option<Value> {
        let width = self.dim(tokens, 1)?;
        Some(json!({
            "vocab_size": self.dim(tokens, 0)?,
            "hidden_size": width,
            "max_position_embeddings": self.dim(positions, 0)?,
            "intermediate_size": self.dim(fc1, 0)?,
            "num_hidden_layers": layers,
            "num_attention_heads": (width / 64).max(1),
            "hidden_act": act,
            "projection_dim": projection.unwrap_or(width),
            "architectures": [if projection.is_some() { "CLIPTextModelWithProjection" } else { "CLIPTextModel" }],
        }))
    }
}
