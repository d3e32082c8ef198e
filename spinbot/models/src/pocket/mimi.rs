//! Mimi without its quantiser, as pocket-tts uses it (Défossez et al. 2024, arXiv 2410.00037): a decoder from latents to
//! samples and, where the release has one, the encoder for voice prompts. Both run over a stream.

use super::config::PocketTraits;
use super::file::{Tensors, refuse};
use super::layers::{Before, ChannelUpConv, Conv, Linear, Streams};
use super::seanet::SeaNet;
use super::transformer::{Cache, Transformer};
use crate::error::Result;
use candle_core::Tensor;

/// Latents that the encoder reads in one piece, so that its memory does not grow with the recording.
const ENCODED_AT_ONCE: usize = 12;
/// Samples a latent, at most; the releases have 1920.
const MAX_FRAME: usize = 24_000;

pub(super) struct Decoder {
    quantizer: Linear,
    upsample: ChannelUpConv,
    transformer: Transformer,
    net: SeaNet,
    /// Samples a latent.
    pub(super) frame: usize,
}

/// Where a decoding stands.
#[derive(Default)]
pub(super) struct DecoderState {
    streams: Streams,
    cache: Cache,
}

impl Decoder {
    pub(super) fn load(w: &Tensors<'_>, traits: &PocketTraits, latent: usize) -> Result<Self> {
        let net = SeaNet::decoder(w, "mimi.decoder")?;
        let (context, head) = (Some(traits.decoder_context), traits.decoder_head);
        let transformer = Transformer::load(w, "mimi.decoder_transformer.transformer", head, context)?;
        let up = "mimi.upsample.convtr.convtr.weight";
        let [width, _, kernel] = w.dims::<3>(up)?;
        let frame = net.hop.saturating_mul(kernel / 2);
        if kernel % 2 != 0 || !(1..=MAX_FRAME).contains(&frame) {
            return Err(refuse(format!(
                "`{up}` has {kernel} taps: {frame} samples a latent are not believed"
            )));
        }
        if transformer.width != width || net.channels != [width, 1] {
            return Err(refuse(format!(
                "its decoder takes {width}, its transformer {}, its network {:?} channels",
                transformer.width, net.channels
            )));
        }
        let quantizer = "mimi.quantizer.output_proj.weight";
        Ok(Decoder {
            quantizer: Linear::pointwise(w, quantizer, [latent, width])?,
            upsample: ChannelUpConv::load(w, up, width, kernel)?,
            transformer,
            net,
            frame,
        })
    }

    /// Latents [n, latent], in the codec's scale, to n frames of samples, after what the state has seen.
    pub(super) fn decode(&self, latents: &Tensor, state: &mut DecoderState) -> candle_core::Result<Tensor> {
        state.streams.rewind();
        let x = self.quantizer.forward(latents)?.t()?.contiguous()?;
        let x = self.upsample.forward(&x, &mut state.streams)?;
        let x = self.transformer.forward(&x.t()?.contiguous()?, &mut state.cache)?;
        self.net.forward(&x.t()?.contiguous()?, &mut state.streams)?.flatten_all()
    }
}

pub(super) struct Encoder {
    net: SeaNet,
    transformer: Transformer,
    downsample: Conv,
    /// Width of what it gives.
    pub(super) width: usize,
    frame: usize,
}

impl Encoder {
    pub(super) fn load(w: &Tensors<'_>, traits: &PocketTraits, frame: usize) -> Result<Self> {
        let net = SeaNet::encoder(w, "mimi.encoder")?;
        let (context, head) = (Some(traits.encoder_context), traits.encoder_head);
        let transformer = Transformer::load(w, "mimi.encoder_transformer.transformer", head, context)?;
        let down = "mimi.downsample.conv.conv";
        let [width, input, kernel] = w.dims::<3>(&format!("{down}.weight"))?;
        if net.channels != [1, input] || transformer.width != input || net.hop * (kernel / 2) != frame {
            return Err(refuse(format!(
                "its encoder gives {:?} channels every {} samples, its transformer {}, its `{down}` takes {input} and \
                 {} at a time, its decoder gives {frame} samples",
                net.channels,
                net.hop,
                transformer.width,
                kernel / 2
            )));
        }
        let downsample = Conv::down(w, down, [input, width, kernel], Before::FirstValue)?;
        Ok(Encoder { net, transformer, downsample, width, frame })
    }

    /// Samples to [latents, width]; the last frame is filled up with silence.
    pub(super) fn encode(
        &self,
        samples: &[f32],
        device: &candle_core::Device,
    ) -> candle_core::Result<Tensor> {
        let (mut streams, mut cache, mut latents) = (Streams::default(), Cache::default(), Vec::new());
        for piece in samples.chunks(ENCODED_AT_ONCE * self.frame) {
            let mut piece = piece.to_vec();
            piece.resize(piece.len().next_multiple_of(self.frame), 0.0);
            streams.rewind();
            let time = piece.len();
            let x = Tensor::from_vec(piece, (1, time), device)?;
            let x = self.net.forward(&x, &mut streams)?;
            let x = self.transformer.forward(&x.t()?.contiguous()?, &mut cache)?;
            let x = self.downsample.forward(&x.t()?.contiguous()?, &mut streams)?;
            latents.push(x.t()?.contiguous()?);
        }
        Tensor::cat(&latents, 0)
    }
}
