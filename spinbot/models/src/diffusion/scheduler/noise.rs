//! The forward process: how much of a sample is left at each training timestep, and what training asks of it.

use super::{Levels, PredictionType, SchedulerConfig, combine, config::BetaSchedule, refuse};
use crate::error::{ModelError, Result};
use candle_core::{DType, Tensor};

/// `alpha_bar` by training timestep: `x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise`.
///
/// Kept in f32 and computed in diffusers' order of operations, because with `rescale_betas_zero_snr` the noisiest
/// levels are differences of nearly equal numbers.
#[derive(Debug, Clone)]
pub struct NoiseSchedule {
    alphas_cumprod: Vec<f32>,
    prediction_type: PredictionType,
}

impl NoiseSchedule {
    /// The schedule for training: betas of the config's own scheduler.
    ///
    /// # Errors
    /// [`ModelError::Scheduler`] when the config's scheduler is of another family or its betas are no betas.
    pub fn new(config: &SchedulerConfig) -> Result<NoiseSchedule> {
        let lcm = config.kind()? == super::SchedulerKind::Lcm;
        NoiseSchedule::of(config, lcm)
    }

    /// `lcm`: with the defaults of LCM for what the config leaves out.
    pub(super) fn of(config: &SchedulerConfig, lcm: bool) -> Result<NoiseSchedule> {
        let n = config.num_train_timesteps();
        let (start, end, schedule) = match lcm {
            true => (0.00085, 0.012, BetaSchedule::ScaledLinear),
            false => (0.0001, 0.02, BetaSchedule::Linear),
        };
        let start = config.beta_start.unwrap_or(start);
        let end = config.beta_end.unwrap_or(end);
        let mut betas = match (&config.trained_betas, config.beta_schedule.unwrap_or(schedule)) {
            (Some(betas), _) => betas.clone(),
            (None, BetaSchedule::Linear) => linspace(start, end, n),
            (None, BetaSchedule::ScaledLinear) => {
                linspace(start.sqrt(), end.sqrt(), n).into_iter().map(|root| root * root).collect()
            }
            (None, BetaSchedule::SquaredcosCapV2) => squared_cosine(n),
        };
        if !betas.iter().all(|beta| (0.0..1.0).contains(beta)) {
            return Err(refuse("its betas are not all between 0 and 1".into()));
        }
        if config.rescale_betas_zero_snr == Some(true) {
            betas = rescale_zero_terminal_snr(&betas);
        }
        let alphas_cumprod = cumprod(betas.iter().map(|beta| 1.0 - beta));
        Ok(NoiseSchedule { alphas_cumprod, prediction_type: config.prediction_type() })
    }

    /// `alpha_bar` by timestep, falling.
    pub fn alphas_cumprod(&self) -> &[f32] {
        &self.alphas_cumprod
    }

    /// What the network's output means.
    pub fn prediction_type(&self) -> PredictionType {
        self.prediction_type
    }

    /// Signal-to-noise ratio `alpha_bar / (1 - alpha_bar)` of a timestep: what min-SNR weighting caps
    /// (<https://arxiv.org/abs/2303.09556>).
    ///
    /// # Errors
    /// [`ModelError::Scheduler`] when the timestep lies beyond the schedule.
    pub fn snr(&self, timestep: usize) -> Result<f32> {
        let alpha = self.alpha(timestep)?;
        Ok(alpha / (1.0 - alpha))
    }

    /// `x_t` of each clean sample of a batch at its own timestep. Shapes `[b, ...]`, one timestep per sample.
    ///
    /// # Errors
    /// [`ModelError::Scheduler`] for timesteps beyond the schedule, [`ModelError::Tensor`] for shapes that differ.
    pub fn add_noise(&self, original: &Tensor, noise: &Tensor, timesteps: &[usize]) -> Result<Tensor> {
        self.mix(timesteps, original, noise, |alpha| (alpha.sqrt(), (1.0 - alpha).sqrt()))
    }

    /// The target of v-prediction, `sqrt(alpha_bar) noise - sqrt(1 - alpha_bar) x_0`. Shapes as in
    /// [`add_noise`](NoiseSchedule::add_noise).
    ///
    /// # Errors
    /// The same.
    pub fn velocity(&self, original: &Tensor, noise: &Tensor, timesteps: &[usize]) -> Result<Tensor> {
        self.mix(timesteps, original, noise, |alpha| (-(1.0 - alpha).sqrt(), alpha.sqrt()))
    }

    /// What the network is trained to say: the noise, the velocity or the clean sample.
    ///
    /// # Errors
    /// As [`velocity`](NoiseSchedule::velocity).
    pub fn target(&self, original: &Tensor, noise: &Tensor, timesteps: &[usize]) -> Result<Tensor> {
        match self.prediction_type {
            PredictionType::Epsilon => Ok(noise.clone()),
            PredictionType::VPrediction => self.velocity(original, noise, timesteps),
            PredictionType::Sample => Ok(original.clone()),
        }
    }

    pub(super) fn alpha(&self, timestep: usize) -> Result<f32> {
        let n = self.alphas_cumprod.len();
        let beyond = || refuse(format!("timestep {timestep} is beyond the {n} it was trained on"));
        self.alphas_cumprod.get(timestep).copied().ok_or_else(beyond)
    }

    /// `sqrt(alpha_bar)` and `sqrt(1 - alpha_bar)`.
    pub(super) fn levels(&self, timestep: usize) -> Result<Levels> {
        let alpha = f64::from(self.alpha(timestep)?);
        Ok(Levels { alpha: alpha.sqrt(), sigma: (1.0 - alpha).sqrt() })
    }

    fn mix(
        &self,
        timesteps: &[usize],
        original: &Tensor,
        noise: &Tensor,
        weights: impl Fn(f32) -> (f32, f32),
    ) -> Result<Tensor> {
        let pairs: Vec<_> = timesteps.iter().map(|t| self.alpha(*t).map(&weights)).collect::<Result<_>>()?;
        if let [(of_original, of_noise)] = pairs[..] {
            return combine(&[(original, of_original.into()), (noise, of_noise.into())]);
        }
        let column = |values: Vec<f32>| -> candle_core::Result<Tensor> {
            let mut shape = vec![1; original.rank()];
            if let Some(first) = shape.first_mut() {
                *first = values.len();
            }
            Tensor::from_vec(values, shape, original.device())
        };
        let mixed = || -> candle_core::Result<Tensor> {
            let (of_original, of_noise) = pairs.into_iter().unzip();
            let original = original.to_dtype(DType::F32)?.broadcast_mul(&column(of_original)?)?;
            let noise = noise.to_dtype(DType::F32)?.broadcast_mul(&column(of_noise)?)?;
            original + noise
        };
        mixed().and_then(|mixed| mixed.to_dtype(original.dtype())).map_err(ModelError::tensor("adding noise"))
    }
}

/// `n` values from `start` to `end`, each counted from the nearer end, as PyTorch does in f32.
fn linspace(start: f64, end: f64, n: usize) -> Vec<f32> {
    let (start, end) = (start as f32, end as f32);
    let step = (end - start) / (n.max(2) - 1) as f32;
    let value = |i: usize| if i < n / 2 { start + step * i as f32 } else { end - step * (n - 1 - i) as f32 };
    (0..n).map(value).collect()
}

/// Betas whose `alpha_bar` falls as a squared cosine, none above 0.999.
fn squared_cosine(n: usize) -> Vec<f32> {
    let alpha_bar = |t: f64| ((t + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
    let at = |i: usize| alpha_bar(i as f64 / n as f64);
    (0..n).map(|i| (1.0 - at(i + 1) / at(i)).min(0.999) as f32).collect()
}

/// Products of all up to each, carried in f64 and rounded where they are kept.
fn cumprod(factors: impl Iterator<Item = f32>) -> Vec<f32> {
    let product = |all: &mut f64, factor: f32| {
        *all *= f64::from(factor);
        Some(*all as f32)
    };
    factors.scan(1.0, product).collect()
}

/// Algorithm 1 of <https://arxiv.org/abs/2305.08891>: shifts and scales `sqrt(alpha_bar)` so that it ends at 0 and
/// begins where it did.
fn rescale_zero_terminal_snr(betas: &[f32]) -> Vec<f32> {
    let mut roots: Vec<f32> =
        cumprod(betas.iter().map(|beta| 1.0 - beta)).into_iter().map(f32::sqrt).collect();
    if let (Some(&first), Some(&last)) = (roots.first(), roots.last()) {
        let scale = first / (first - last);
        roots.iter_mut().for_each(|root| *root = (*root - last) * scale);
    }
    let bars: Vec<f32> = roots.into_iter().map(|root| root * root).collect();
    let alpha = |i: usize| if i == 0 { bars[0] } else { bars[i] / bars[i - 1] };
    (0..bars.len()).map(|i| 1.0 - alpha(i)).collect()
}
