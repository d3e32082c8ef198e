//! LoRA files, read and written: diffusers' and peft's dotted names, kohya's flattened ones, LDM's block names.
//!
//! Reading goes from a network's sites to the file: each pair in it is looked up among the sites under the names
//! that writers give them, and what finds no site is reported, never dropped in silence.

mod metadata;
mod names;
#[cfg(test)]
mod tests;
mod trigger;
mod write;

pub use metadata::LoraMetadata;
pub use trigger::TriggerEmbedding;
pub use write::{LoraFormat, bytes, write};

use super::adapters::{Adapters, LowRank, Site, SiteKind};
use super::checkpoint::unet_names::Numbering;
use crate::added;
use crate::error::{ModelError, Result};
use crate::tensor_file::TensorFile;
use candle_core::{DType, Device, Tensor};
use names::{Leaf, LoraName, flattened};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// An opened LoRA file. Its tensors are read when they are put to use.
#[derive(Debug)]
pub struct LoraFile {
    path: PathBuf,
    label: String,
    tensors: TensorFile<'static>,
    pairs: Vec<Pair>,
    metadata: LoraMetadata,
    unknown: Vec<String>,
}

/// Two matrices of the file that belong together, by the names of their tensors.
#[derive(Debug)]
struct Pair {
    /// The layer as the file calls it.
    written: String,
    name: LoraName,
    down: String,
    up: String,
    /// Of LoCon's decomposed convolutions.
    mid: Option<String>,
    /// What the product is scaled by, but for the weight it is asked for with.
    scale: f64,
}

/// What of a file found its place in a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoraMatch {
    /// Layers that got a pair.
    pub matched: usize,
    /// Layers of this component that the file names and the network does not have, as the file calls them.
    pub unmatched: Vec<String>,
}

impl LoraFile {
    /// Opens a LoRA and pairs its tensors.
    ///
    /// # Errors
    /// [`ModelError::Format`] for a pickle and for what is no LoRA but DoRA, LoHa, LoKr, OFT, IA3 or whole weights;
    /// [`ModelError::Weights`] for a damaged file, one without a pair and pairs that are none.
    pub fn open(path: &Path) -> Result<LoraFile> {
        added::check_format(path)?;
        let label = path.file_name().map_or_else(|| "LoRA".into(), |name| name.to_string_lossy());
        LoraFile::open_stored(path, &label)
    }

    /// As [`LoraFile::open`], of a safetensors file by whatever name; `label` is what it is called.
    ///
    /// # Errors
    /// As [`LoraFile::open`].
    pub fn open_stored(path: &Path, label: &str) -> Result<LoraFile> {
        let tensors = TensorFile::open(label, path)?;
        let refuse = |reason| ModelError::Weights { model: label.to_owned(), reason };
        let alphas = metadata::peft_alphas(path, &tensors)?;
        let mut layers: BTreeMap<(&str, bool), BTreeMap<Leaf, &str>> = BTreeMap::new();
        let mut unknown = Vec::new();
        for name in tensors.names().filter(|name| !TriggerEmbedding::is_part(name)) {
            if let Some(method) = names::other_method(name) {
                return Err(ModelError::Format {
                    path: path.to_owned(),
                    reason: format!("`{name}` is of {method}, and only LoRA is applied"),
                    convert: "merge it into its model with the program that made it, or train a plain LoRA"
                        .into(),
                });
            }
            match names::split(name) {
                Some((layer, leaf, old)) => {
                    layers.entry((layer, old)).or_default().insert(leaf, name);
                }
                None => unknown.push(name.to_owned()),
            }
        }
        let mut pairs = Vec::new();
        for ((layer, old), leaves) in layers {
            let (Some(down), Some(up)) = (leaves.get(&Leaf::Down), leaves.get(&Leaf::Up)) else {
                unknown.extend(leaves.values().map(|name| (*name).to_owned()));
                continue;
            };
            let Some(name) = LoraName::read(layer, old) else {
                unknown.push((*down).to_owned());
                continue;
            };
            let rank = tensors.shape(down).and_then(|shape| shape.first()).copied().unwrap_or(0);
            if rank == 0 {
                return Err(refuse(format!("`{down}` has no rank")));
            }
            let alpha = match leaves.get(&Leaf::Alpha) {
                Some(alpha) => Some(scalar(&tensors, alpha)?),
                None => None,
            };
            let scale = alpha.map_or_else(|| alphas.scale(&name, rank), |alpha| alpha / rank as f64);
            if !scale.is_finite() {
                return Err(refuse(format!("the alpha of `{layer}` is no number")));
            }
            let mid = leaves.get(&Leaf::Mid).map(|name| (*name).to_owned());
            let (down, up) = ((*down).to_owned(), (*up).to_owned());
            pairs.push(Pair { written: layer.to_owned(), name, down, up, mid, scale });
        }
        if pairs.is_empty() {
            return Err(refuse("it holds no LoRA: no pair of tensors in it is named like one".into()));
        }
        let metadata = LoraMetadata::read(tensors.metadata());
        Ok(LoraFile { path: path.to_owned(), label: label.to_owned(), pairs, metadata, unknown, tensors })
    }

    /// What it says of itself.
    pub fn metadata(&self) -> &LoraMetadata {
        &self.metadata
    }

    /// The word that it taught the text encoders, where it did: [`Pipeline::teach`](super::pipeline::Pipeline::teach).
    ///
    /// # Errors
    /// [`ModelError::Weights`] when it is none.
    pub fn trigger(&self) -> Result<Option<TriggerEmbedding>> {
        TriggerEmbedding::read(&self.tensors)
    }

    /// What it is called, for messages.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The components that it changes: `unet`, `text_encoder`, `text_encoder_2`.
    pub fn components(&self) -> BTreeSet<&str> {
        self.pairs.iter().map(|pair| pair.name.component).collect()
    }

    /// Tensors that are no part of any pair.
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// Adds its pairs for one component's sites to `adapters`, counted by `weight` (1 as it was trained, negative
    /// for its opposite). Call it for each component, and for each LoRA of a mixture.
    ///
    /// # Errors
    /// [`ModelError::Weights`] when a pair's shape is not its site's: then it was trained for another model.
    pub fn apply(
        &self,
        sites: &[Site],
        weight: f64,
        adapters: &mut Adapters,
        device: &Device,
    ) -> Result<LoraMatch> {
        let Some(component) = sites.first().and_then(|site| site.path.split('.').next()) else {
            return Ok(LoraMatch::default());
        };
        let places = places(component, sites);
        let mut found = LoraMatch::default();
        let mut taken = BTreeSet::new();
        for pair in self.pairs.iter().filter(|pair| pair.name.component == component) {
            let Some(site) = places.get(pair.name.flat.as_str()) else {
                found.unmatched.push(pair.written.clone());
                continue;
            };
            if !taken.insert(site.index) {
                return Err(self.refuse(format!("it names the layer `{}` twice", site.path)));
            }
            adapters.push(site, self.load(pair, site, weight, device)?);
            found.matched += 1;
        }
        Ok(found)
    }

    fn load(&self, pair: &Pair, site: &Site, weight: f64, device: &Device) -> Result<LowRank> {
        let full = |name: &str| -> Result<Tensor> {
            let tensor = self.tensors.stored(name)?.to_dtype(DType::F32);
            tensor.map_err(ModelError::tensor("reading a LoRA"))
        };
        let (down, up) = (full(&pair.down)?, full(&pair.up)?);
        let composed = || -> candle_core::Result<Option<(Tensor, Tensor)>> {
            let down = match &pair.mid {
                Some(mid) => match compose(&down, &full(mid).map_err(candle_core::Error::wrap)?)? {
                    Some(down) => down,
                    None => return Ok(None),
                },
                None => down.clone(),
            };
            let rank = down.dim(0)?;
            let (expected, raised) = (site.down_shape(rank), vec![site.outputs, rank]);
            let fits = same_but_for_ones(down.dims(), &expected) && same_but_for_ones(up.dims(), &raised);
            match fits {
                true => Ok(Some((
                    down.reshape(expected)?.to_device(device)?,
                    up.reshape(raised)?.to_device(device)?,
                ))),
                false => Ok(None),
            }
        };
        match composed().map_err(ModelError::tensor("reading a LoRA"))? {
            Some((down, up)) => Ok(LowRank { down, up, scale: pair.scale * weight }),
            None => {
                let kind = match site.kind {
                    SiteKind::Linear => "linear layer".to_owned(),
                    SiteKind::Conv { kernel, .. } => format!("{kernel}x{kernel} convolution"),
                };
                Err(self.refuse(format!(
                    "`{}` is {:?} and {:?}, and the model has a {kind} from {} to {} there: it was made for \
                     another kind of model",
                    pair.written,
                    down.dims(),
                    up.dims(),
                    site.inputs,
                    site.outputs
                )))
            }
        }
    }

    fn refuse(&self, reason: String) -> ModelError {
        ModelError::Weights { model: self.label.clone(), reason }
    }
}

/// Every name that a site can have in a file, flattened.
fn places<'s>(component: &str, sites: &'s [Site]) -> HashMap<String, &'s Site> {
    let within = |site: &'s Site| site.path.get(component.len() + 1..).unwrap_or_default();
    let mut places: HashMap<_, _> = HashMap::with_capacity(sites.len() * 2);
    if component == "unet" {
        let numbering = Numbering::of_diffusers(sites.iter().map(within));
        let ldm = |site| Some((flattened(&numbering.ldm(within(site))?), site));
        places.extend(sites.iter().filter_map(ldm));
    }
    places.extend(sites.iter().map(|site| (flattened(within(site)), site)));
    places
}

/// A 1x1 convolution down, and LoCon's `[rank, rank, k, k]` after it, as the one k x k convolution that they are.
fn compose(down: &Tensor, mid: &Tensor) -> candle_core::Result<Option<Tensor>> {
    let ([inner, inputs, 1, 1], [rank, from, height, width]) = (down.dims(), mid.dims()) else {
        return Ok(None);
    };
    if inner != from {
        return Ok(None);
    }
    let taps = mid.permute((0, 2, 3, 1))?.reshape((rank * height * width, *inner))?;
    let composed = taps.matmul(&down.reshape((*inner, *inputs))?)?;
    let composed = composed.reshape((*rank, *height, *width, *inputs))?.permute((0, 3, 1, 2))?;
    Ok(Some(composed.contiguous()?))
}

/// Whether two shapes differ only by ones behind: a linear layer and a 1x1 convolution are the same layer.
fn same_but_for_ones(shape: &[usize], other: &[usize]) -> bool {
    let trimmed = |shape: &[usize]| {
        let end = shape.iter().rposition(|n| *n != 1).map_or(0, |last| last + 1);
        shape[..end].to_vec()
    };
    trimmed(shape) == trimmed(other)
}

fn scalar(tensors: &TensorFile<'_>, name: &str) -> Result<f64> {
    let one = tensors.shape(name).is_some_and(|shape| shape.iter().all(|n| *n == 1));
    if !one {
        return Ok(f64::NAN);
    }
    let value = tensors.stored(name)?;
    let value = value.to_dtype(DType::F64).and_then(|value| value.flatten_all()?.get(0)?.to_scalar());
    value.map_err(ModelError::tensor("reading a LoRA"))
}
