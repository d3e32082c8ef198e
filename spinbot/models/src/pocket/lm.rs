//! The language model over latents: text table, transformer, end of speech, and the flow head.

use super::config::PocketTraits;
use super::file::Tensors;
use super::flow::{FlowHead, Path};
use super::layers::{LayerNorm, Linear};
use super::transformer::{Cache, Transformer};
use crate::error::{ModelError, Result};
use candle_core::Tensor;

const PREFIX: &str = "flow_lm";

pub(super) struct LanguageModel {
    /// Token embeddings, [tokens + 1, rank]; the last row is padding and never used.
    table: Tensor,
    table_proj: Option<Linear>,
    input: Linear,
    transformer: Transformer,
    out_norm: LayerNorm,
    /// Narrows what the heads are given.
    z_proj: Option<Linear>,
    out_eos: Linear,
    pub(super) flow: FlowHead,
    /// The latent before the first one, [1, latent].
    bos: Tensor,
    /// The vector before a voice, [1, width], in releases that were trained with one.
    pub(super) bos_before_voice: Option<Tensor>,
    /// Scale and mean that latents were normalised with, [latent].
    std: Tensor,
    mean: Tensor,
    /// SHA-256 over tensors that every training changes, hex: tells whose voice state is whose.
    pub(super) fingerprint: String,
}

/// One step of speech.
pub(super) struct Step {
    /// The next latent, normalised, [1, latent].
    pub(super) latent: Tensor,
    /// Above the threshold, speech is at its end.
    pub(super) eos: f32,
}

impl LanguageModel {
    pub(super) fn load(w: &Tensors<'_>, traits: &PocketTraits) -> Result<Self> {
        let name = |part: &str| format!("{PREFIX}.{part}");
        let transformer = Transformer::load(w, &name("transformer"), traits.head, None)?;
        let width = transformer.width;
        let flow = FlowHead::load(w, &name("flow_net"), traits.one_step)?;
        let latent = flow.latent;
        let [rows, rank] = w.dims::<2>(&name("conditioner.embed.weight"))?;
        let has = |part: &str| w.shape(&name(part)).is_some();
        let table_proj = has("conditioner.proj.weight")
            .then(|| Linear::without_bias(w, &name("conditioner.proj.weight"), [rank, width]));
        let z_width = if has("z_proj.weight") { w.dims::<2>(&name("z_proj.weight"))?[0] } else { width };
        let z_proj =
            has("z_proj.weight").then(|| Linear::without_bias(w, &name("z_proj.weight"), [width, z_width]));
        let bos = w.get(&name("bos_emb"), &[latent])?;
        let std = w.get(&name("emb_std"), &[latent])?;
        let mean = w.get(&name("emb_mean"), &[latent])?;
        let eos_weight = w.get(&name("out_eos.weight"), &[1, z_width])?;
        let fingerprint = fingerprint(&[&bos, &std, &mean, &eos_weight]);
        let bos_before_voice = has("bos_before_voice")
            .then(|| w.get(&name("bos_before_voice"), &[1, 1, width]).and_then(|x| ok(x.squeeze(0))));
        Ok(LanguageModel {
            table: w.get(&name("conditioner.embed.weight"), &[rows, rank])?,
            table_proj: table_proj.transpose()?,
            input: Linear::without_bias(w, &name("input_linear.weight"), [latent, width])?,
            out_norm: LayerNorm::load(w, &name("out_norm"), width, 1e-5)?,
            out_eos: Linear::load(w, &name("out_eos"), [z_width, 1])?,
            z_proj: z_proj.transpose()?,
            bos: ok(bos.unsqueeze(0))?,
            bos_before_voice: bos_before_voice.transpose()?,
            fingerprint: ok(fingerprint)?,
            transformer,
            flow,
            std,
            mean,
        })
    }

    /// How many tokens the table knows, the row of padding left out.
    pub(super) fn tokens(&self) -> usize {
        self.table.dims()[0] - 1
    }

    pub(super) fn transformer(&self) -> &Transformer {
        &self.transformer
    }

    /// Token ids, all below [`LanguageModel::tokens`], to [n, width].
    pub(super) fn embed(&self, tokens: &[u32]) -> candle_core::Result<Tensor> {
        let ids = Tensor::new(tokens, self.table.device())?;
        let rows = self.table.index_select(&ids, 0)?;
        match &self.table_proj {
            Some(proj) => proj.forward(&rows),
            None => Ok(rows),
        }
    }

    /// Reads vectors [n, width] into the cache and gives what the heads see of them, [n, z].
    pub(super) fn hidden(&self, x: &Tensor, cache: &mut Cache) -> candle_core::Result<Tensor> {
        let x = self.out_norm.forward(&self.transformer.forward(x, cache)?)?;
        match &self.z_proj {
            Some(proj) => proj.forward(&x),
            None => Ok(x),
        }
    }

    /// The logit that speech is over, for each of [n, z].
    pub(super) fn eos(&self, hidden: &Tensor) -> candle_core::Result<Vec<f32>> {
        self.out_eos.forward(hidden)?.flatten_all()?.to_vec1()
    }

    /// What the transformer reads for the latent before, [1, width].
    pub(super) fn input_of(&self, before: Option<&Tensor>) -> candle_core::Result<Tensor> {
        self.input.forward(before.unwrap_or(&self.bos))
    }

    /// One step: reads the latent before (none at the start) and makes the next one out of noise [1, latent].
    pub(super) fn step(
        &self,
        before: Option<&Tensor>,
        noise: &Tensor,
        path: &Path,
        cache: &mut Cache,
    ) -> candle_core::Result<Step> {
        let hidden = self.hidden(&self.input_of(before)?, cache)?;
        let eos = self.eos(&hidden)?.first().copied().unwrap_or(f32::NAN);
        Ok(Step { latent: self.flow.decode(&hidden, noise, path)?, eos })
    }

    /// Latents [n, latent] in the scale of the codec.
    pub(super) fn denormalise(&self, latents: &Tensor) -> candle_core::Result<Tensor> {
        latents.broadcast_mul(&self.std)?.broadcast_add(&self.mean)
    }
}

fn ok<T>(result: candle_core::Result<T>) -> Result<T> {
    result.map_err(ModelError::tensor("loading weights"))
}

fn fingerprint(tensors: &[&Tensor]) -> candle_core::Result<String> {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for tensor in tensors {
        for value in tensor.flatten_all()?.to_vec1::<f32>()? {
            hash.update(value.to_le_bytes());
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
