//! DNSMOS: what listeners would say of a recording's quality, by the networks of "DNSMOS P.835" (Reddy et al. 2022)
//! and "DNSMOS" (P.808, Reddy et al. 2021) as the package speechmos 0.0.1.1 runs them.
//!
//! They judge 9.01 s at a time, every second; what is shorter is repeated.

use super::check_samples;
use super::conv::Conv;
use super::spectrogram::{MelSpectrogram, RATE, Shape, hann};
use super::weights::Weights;
use crate::device::Device;
use crate::embedded;
use crate::error::{ModelError, Result};
use candle_core::Tensor;

const ID: &str = "dnsmos";
/// Samples judged at a time: 9.01 s.
const SPAN: usize = 144_160;
const HOP: usize = 160;
const BINS: usize = 161;
/// Frames of a span.
const FRAMES: usize = 900;
const MELS: usize = 120;

/// Mean opinion scores, from 1 (bad) to 5 (excellent).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// The whole: P.835's overall score.
    pub ovrl: f32,
    /// The voice itself.
    pub sig: f32,
    /// How little the background disturbs.
    pub bak: f32,
    /// The older single score, P.808.
    pub p808: f32,
}

/// Scores recordings.
pub struct Dnsmos {
    /// [320, 2 * 161]: windowed cosines and sines, as the network stores them.
    basis: Tensor,
    p835: Network,
    mel: MelSpectrogram,
    p808: Network,
    device: candle_core::Device,
}

/// Convolutions, the maximum of each channel, and dense layers.
struct Network {
    convs: Vec<Conv>,
    /// [in, out] and [out].
    dense: Vec<(Tensor, Tensor)>,
}

/// A convolution's name, its channels in and out, and whether a maximum follows.
type ConvSpec = (&'static str, usize, usize, bool);

const P835_CONVS: [ConvSpec; 7] = [
    ("conv2d", 1, 128, false),
    ("conv2d_1", 128, 64, false),
    ("conv2d_2", 64, 64, false),
    ("conv2d_3", 64, 32, true),
    ("conv2d_4", 32, 32, true),
    ("conv2d_5", 32, 32, true),
    ("conv2d_6", 32, 64, false),
];
const P808_CONVS: [ConvSpec; 5] = [
    ("conv2d_5", 1, 32, true),
    ("conv2d_6", 32, 32, true),
    ("conv2d_7", 32, 32, false),
    ("conv2d_8", 32, 32, true),
    ("conv2d_9", 32, 64, false),
];

impl Dnsmos {
    /// From the weights built into the program.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the device refuses the weights.
    pub fn load(device: &Device) -> Result<Self> {
        let file = embedded::bytes(ID).ok_or_else(|| ModelError::NotFetched { id: ID.into() })?;
        let w = Weights::read(ID, file)?;
        let device = &device.0;
        let part = |name: &str| {
            let kernel = w.get(&format!("sig_bak_ovr/time2freq/{name}/kernel:0"), &[BINS, 2 * HOP, 1])?;
            Tensor::from_vec(kernel, (BINS, 2 * HOP), device).map_err(ModelError::tensor("loading weights"))
        };
        let basis =
            Tensor::cat(&[part("stft-real")?, part("stft-imag")?], 0).and_then(|b| b.t()?.contiguous());
        let (p835, p808) = ("mos_estimator_logpow", "mos_estimator_small_1");
        let p835 = [("dense", 64, 128), ("dense_1", 128, 64), ("dense_3", 64, 3)]
            .map(|(name, i, o)| (format!("{p835}/{name}"), i, o));
        let p808 = [("dense_3", 64, 64), ("dense_4", 64, 64), ("dense_5", 64, 1)]
            .map(|(name, i, o)| (format!("{p808}/{name}"), i, o));
        let window = hann(2 * HOP + 1);
        let shape = Shape { fft: 2 * HOP + 1, window: &window, hop: HOP, mels: MELS };
        Ok(Dnsmos {
            basis: basis.map_err(ModelError::tensor("loading weights"))?,
            p835: Network::load(&w, "sig_bak_ovr", &P835_CONVS, &p835, device)?,
            mel: MelSpectrogram::new(&shape, device)?,
            p808: Network::load(&w, "model_v8", &P808_CONVS, &p808, device)?,
            device: device.clone(),
        })
    }

    /// The recording's scores: the mean over its spans, as speechmos computes them.
    ///
    /// # Errors
    /// [`ModelError::Sound`] when there are no samples, too many or some are not numbers.
    pub fn score(&self, samples: &[f32]) -> Result<Quality> {
        check_samples(samples)?;
        let mut samples = samples.to_vec();
        while samples.len() < SPAN {
            samples.extend_from_within(..);
        }
        // speechmos: whole seconds less 9.01, rounded towards zero, and one more.
        let spans = (samples.len() / RATE).saturating_sub(10) + 1;
        let mut sums = [0.0_f64; 4];
        let mut counted = 0;
        // speechmos takes a span's end in floating point and passes over those that come out a sample short, the
        // eighth to the twenty-fourth. Means are only comparable with its own when the same are passed over.
        let whole = |&n: &usize| ((n as f64 + 9.01) * RATE as f64) as usize == n * RATE + SPAN;
        for span in (0..spans).filter(whole).filter_map(|n| samples.get(n * RATE..n * RATE + SPAN)) {
            let scores = self.span(span).map_err(ModelError::tensor("judging quality"))?;
            sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score);
            counted += 1;
        }
        let [ovrl, sig, bak, p808] = sums.map(|sum| (sum / f64::from(counted)) as f32);
        Ok(Quality { ovrl, sig, bak, p808 })
    }

    /// Overall, signal, background, P.808.
    fn span(&self, samples: &[f32]) -> candle_core::Result<[f64; 4]> {
        let all = Tensor::from_slice(samples, SPAN, &self.device)?;
        let rows = all.reshape((FRAMES + 1, HOP))?;
        let framed = Tensor::cat(&[rows.narrow(0, 0, FRAMES)?, rows.narrow(0, 1, FRAMES)?], 1)?;
        let parts = framed.matmul(&self.basis)?.sqr()?;
        let power = (parts.narrow(1, 0, BINS)? + parts.narrow(1, BINS, BINS)?)?;
        let raw = self.p835.forward(&(power.maximum(1e-12)?.log()? * (1.0 / 10.0_f64.ln()))?)?;

        let padded = all.narrow(0, 0, SPAN - HOP)?.pad_with_zeros(0, HOP, HOP)?;
        let decibels = (self.mel.forward(&padded)?.maximum(1e-10)?.log()? * (10.0 / 10.0_f64.ln()))?;
        let loudest = f64::from(decibels.max_all()?.to_scalar::<f32>()?);
        let scaled = ((decibels.maximum(loudest - 80.0)? - loudest)? + 40.0)?;
        let p808 = self.p808.forward(&(scaled * (1.0 / 40.0))?)?;

        let (Some(&[sig, bak, ovrl]), Some(&p808)) = (raw.first_chunk::<3>(), p808.first()) else {
            candle_core::bail!("dnsmos: {} and {} scores", raw.len(), p808.len())
        };
        // The fit of the network's scores to listeners', highest power first.
        let fit = |[a, b, c]: [f64; 3], x: f32| (a * f64::from(x) + b) * f64::from(x) + c;
        Ok([
            fit([-0.067_662_83, 1.115_464_68, 0.046_025_35], ovrl),
            fit([-0.083_972_78, 1.220_839_53, 0.005_243_9], sig),
            fit([-0.131_668_88, 1.609_155_14, -0.396_045_46], bak),
            f64::from(p808),
        ])
    }
}

impl Network {
    fn load(
        w: &Weights,
        file: &str,
        convs: &[ConvSpec],
        dense: &[(String, usize, usize)],
        device: &candle_core::Device,
    ) -> Result<Self> {
        let loading = || ModelError::tensor("loading weights");
        let convs = convs.iter().map(|&(name, input, output, pool)| {
            let kernel = w.get(&format!("{file}/{name}/kernel:0"), &[output, input, 3, 3])?;
            let bias = w.get(&format!("{file}/{name}/bias:0"), &[output])?;
            Conv::new(&kernel, bias, pool, device).map_err(loading())
        });
        let dense = dense.iter().map(|(name, input, output)| {
            let read = |kind: &str, shape: &[usize]| {
                let values = w.get(&format!("{file}/{name}/{kind}/ReadVariableOp/resource:0"), shape)?;
                Tensor::from_vec(values, shape, device).map_err(loading())
            };
            Ok((read("MatMul", &[*input, *output])?, read("BiasAdd", &[*output])?))
        });
        Ok(Network { convs: convs.collect::<Result<_>>()?, dense: dense.collect::<Result<_>>()? })
    }

    /// A picture [frames, bands] -> the last layer's numbers.
    fn forward(&self, picture: &Tensor) -> candle_core::Result<Vec<f32>> {
        let mut x = picture.unsqueeze(2)?;
        for conv in &self.convs {
            x = conv.forward(&x)?;
        }
        let mut x = x.flatten_to(1)?.max(0)?.unsqueeze(0)?;
        for (nth, (weight, bias)) in self.dense.iter().enumerate() {
            x = x.matmul(weight)?.broadcast_add(bias)?;
            if nth + 1 < self.dense.len() {
                x = x.relu()?;
            }
        }
        x.squeeze(0)?.to_vec1()
    }
}
