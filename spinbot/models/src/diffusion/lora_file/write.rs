//! Writing a LoRA, whole or not at all, for diffusers or for everything that reads kohya's files.

use super::{LoraMetadata, TriggerEmbedding, names::flattened};
use crate::diffusion::adapters::{Adapters, LowRank, Site, SiteKind};
use crate::error::{ModelError, Result};
use crate::store::write_whole;
use candle_core::{DType, Device, Tensor};
use safetensors::View;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Whose names the file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoraFormat {
    /// `unet.down_blocks.0...to_q.lora_A.weight`. It has no place for alpha, which is folded into B.
    Diffusers,
    /// `lora_unet_down_blocks_0_..._to_q.lora_down.weight` with alpha: kohya's, for ComfyUI and A1111 too.
    Kohya,
}

/// Writes the adapters of some components, as [`bytes`] gives them.
///
/// # Errors
/// [`ModelError::Weights`] when there is nothing to write, [`ModelError::Io`] when the disk refuses it.
pub fn write(
    path: &Path,
    format: LoraFormat,
    components: &[(&[Site], &Adapters)],
    trigger: Option<&TriggerEmbedding>,
    metadata: &LoraMetadata,
    dtype: DType,
) -> Result<()> {
    write_whole(path, &bytes(format, components, trigger, metadata, dtype)?)
}

/// A file of the adapters of some components, given with their sites, as f32, f16 or bf16. Where a site carries several
/// pairs, as in a mixture, they become one of the sum of their ranks, which gives the same. A trigger's embeddings go
/// along.
///
/// # Errors
/// [`ModelError::Weights`] when there is nothing to write.
pub fn bytes(
    format: LoraFormat,
    components: &[(&[Site], &Adapters)],
    trigger: Option<&TriggerEmbedding>,
    metadata: &LoraMetadata,
    dtype: DType,
) -> Result<Vec<u8>> {
    let second = |site: &Site| site.path.starts_with("text_encoder_2.");
    let two_encoders = metadata.base_model_version.as_deref().is_some_and(|base| base.starts_with("sdxl"))
        || components.iter().any(|(sites, _)| sites.iter().any(second));
    let mut tensors = Vec::new();
    for (sites, adapters) in components {
        for site in *sites {
            let Some(pair) = joined(adapters.at(site.index))? else { continue };
            named(site, pair, format, two_encoders, &mut tensors)
                .map_err(ModelError::tensor("writing a LoRA"))?;
        }
    }
    if tensors.is_empty() {
        return Err(ModelError::Weights {
            model: "LoRA".into(),
            reason: "it has no adapters to write".into(),
        });
    }
    tensors.extend(trigger.into_iter().flat_map(TriggerEmbedding::named));
    serialize(tensors, &metadata.fields(), dtype)
}

/// The pairs of a site as one.
fn joined(pairs: &[LowRank]) -> Result<Option<LowRank>> {
    let [first, rest @ ..] = pairs else { return Ok(None) };
    if rest.is_empty() {
        return Ok(Some(first.clone()));
    }
    let join = || -> candle_core::Result<LowRank> {
        let downs: Vec<_> = pairs.iter().map(|pair| &pair.down).collect();
        let ups = pairs.iter().map(|pair| pair.up.affine(pair.scale, 0.0));
        let ups = ups.collect::<candle_core::Result<Vec<_>>>()?;
        Ok(LowRank { down: Tensor::cat(&downs, 0)?, up: Tensor::cat(&ups, 1)?, scale: 1.0 })
    };
    join().map(Some).map_err(ModelError::tensor("writing a LoRA"))
}

fn named(
    site: &Site,
    pair: LowRank,
    format: LoraFormat,
    two_encoders: bool,
    tensors: &mut Vec<(String, Tensor)>,
) -> candle_core::Result<()> {
    let rank = pair.rank();
    let up = match site.kind {
        SiteKind::Linear => pair.up,
        SiteKind::Conv { .. } => pair.up.reshape((site.outputs, rank, 1, 1))?,
    };
    match format {
        LoraFormat::Diffusers => {
            tensors.push((format!("{}.lora_A.weight", site.path), pair.down));
            tensors.push((format!("{}.lora_B.weight", site.path), up.affine(pair.scale, 0.0)?));
        }
        LoraFormat::Kohya => {
            let (component, path) = site.path.split_once('.').unwrap_or(("unet", &site.path));
            let flat = flattened(path);
            let name = match component {
                "text_encoder_2" => format!("lora_te2_text_model_{flat}"),
                "text_encoder" if two_encoders => format!("lora_te1_text_model_{flat}"),
                "text_encoder" => format!("lora_te_text_model_{flat}"),
                component => format!("lora_{component}_{flat}"),
            };
            let alpha = Tensor::new((pair.scale * rank as f64) as f32, &Device::Cpu)?;
            tensors.push((format!("{name}.lora_down.weight"), pair.down));
            tensors.push((format!("{name}.lora_up.weight"), up));
            tensors.push((format!("{name}.alpha"), alpha));
        }
    }
    Ok(())
}

/// The file's bytes, in an order that depends on nothing but its content.
fn serialize(
    mut tensors: Vec<(String, Tensor)>,
    metadata: &Map<String, Value>,
    dtype: DType,
) -> Result<Vec<u8>> {
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let (kind, dtype) = match dtype {
        DType::F16 => ("F16", dtype),
        DType::BF16 => ("BF16", dtype),
        _ => ("F32", DType::F32),
    };
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".into(), Value::Object(metadata.clone()));
    }
    let mut data = Vec::new();
    for (name, tensor) in tensors {
        let from = data.len();
        let stored = tensor.to_dtype(dtype).and_then(|tensor| tensor.to_device(&Device::Cpu)?.contiguous());
        let stored = stored.map_err(ModelError::tensor("writing a LoRA"))?;
        data.extend_from_slice(&View::data(&stored));
        header.insert(
            name,
            json!({ "dtype": kind, "shape": tensor.dims(), "data_offsets": [from, data.len()] }),
        );
    }
    let mut head = Value::Object(header).to_string().into_bytes();
    // The format's tensors begin at a multiple of 8.
    head.resize(head.len().next_multiple_of(8), b' ');
    Ok([&(head.len() as u64).to_le_bytes()[..], &head, &data].concat())
}
