//! The loss, and what each noise level counts.

use super::config::TrainConfig;
use crate::diffusion::scheduler::{NoiseSchedule, PredictionType};
use crate::error::Result;
use candle_core::{DType, Tensor};

/// Min-SNR weights (Hang et al. 2023, with the target of each kind of prediction): 1 where gamma is nothing.
pub(super) fn weights(config: &TrainConfig, noise: &NoiseSchedule, timesteps: &[usize]) -> Result<Vec<f32>> {
    let weight = |timestep: &usize| -> Result<f32> {
        let Some(gamma) = config.min_snr_gamma else { return Ok(1.0) };
        let snr = noise.snr(*timestep)?;
        let capped = snr.min(gamma as f32);
        Ok(match noise.prediction_type() {
            // Where nothing of the picture is left, the ratio of two zeros is that of their limits.
            PredictionType::Epsilon => {
                if snr > 0.0 {
                    capped / snr
                } else {
                    1.0
                }
            }
            PredictionType::VPrediction => capped / (snr + 1.0),
            PredictionType::Sample => capped,
        })
    };
    timesteps.iter().map(weight).collect()
}

/// The mean squared error, f32, each sample counted by its weight.
pub(super) fn weighted(prediction: &Tensor, target: &Tensor, weights: &[f32]) -> candle_core::Result<Tensor> {
    let error = (prediction.to_dtype(DType::F32)? - target.to_dtype(DType::F32)?)?.sqr()?;
    if weights.iter().all(|weight| *weight == 1.0) {
        return error.mean_all();
    }
    let weights = Tensor::from_slice(weights, weights.len(), error.device())?;
    (error.flatten_from(1)?.mean(1)? * weights)?.mean_all()
}
