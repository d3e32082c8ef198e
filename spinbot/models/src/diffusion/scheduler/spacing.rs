//! Which timesteps and noise levels a run visits: the three spacings, LCM's, and Karras' and exponential levels.

use super::config::{BetaSchedule, FinalSigmasType, SchedulerConfig, TimestepSpacing};
use super::{NoiseSchedule, SchedulerKind, refuse};
use crate::error::Result;

/// A run's timesteps, noisy to clean, and its noise levels `sqrt((1 - alpha_bar) / alpha_bar)`, one more: the last
/// is where it ends. DDIM and LCM have none of the latter.
#[derive(Debug)]
pub(super) struct Visits {
    pub timesteps: Vec<f32>,
    pub sigmas: Vec<f32>,
}

/// What the schedules that divide by `sqrt(alpha_bar)` put for 0 at the noisy end: f16's smallest number.
const LEAST_ALPHA: f32 = 1.0 / 16_777_216.0;

pub(super) fn visits(
    kind: SchedulerKind,
    config: &SchedulerConfig,
    noise: &NoiseSchedule,
    steps: usize,
) -> Result<Visits> {
    let n = config.num_train_timesteps();
    if steps == 0 || steps > n {
        return Err(refuse(format!("{steps} steps asked for, 1 to {n} can be taken")));
    }
    let visits = match kind {
        SchedulerKind::Lcm => Ok(Visits { timesteps: lcm(config, n, steps)?, sigmas: Vec::new() }),
        SchedulerKind::Ddim => {
            let timesteps = spaced(config, TimestepSpacing::Leading, steps, f64::round_ties_even)?;
            Ok(Visits { timesteps, sigmas: Vec::new() })
        }
        SchedulerKind::Euler | SchedulerKind::EulerAncestral => euler(kind, config, noise, steps),
        SchedulerKind::DpmSolverMultistep => dpm(config, noise, steps),
    }?;
    // The end may be the last level itself, where `final_sigmas_type` is `sigma_min`.
    let (visited, end) = visits.sigmas.split_at(visits.timesteps.len().min(visits.sigmas.len()));
    if !visited.is_sorted_by(|a, b| a > b) || visited.last() < end.first() {
        return Err(refuse(format!("with {steps} steps its noise levels do not fall from step to step")));
    }
    Ok(visits)
}

/// The spacings of DDIM and Euler; `round` is what happens to linspace's fractions.
fn spaced(
    config: &SchedulerConfig,
    default: TimestepSpacing,
    steps: usize,
    round: impl Fn(f64) -> f64,
) -> Result<Vec<f32>> {
    let n = config.num_train_timesteps();
    let timesteps: Vec<f64> = match config.timestep_spacing.unwrap_or(default) {
        TimestepSpacing::Linspace => {
            let step = (n - 1) as f64 / (steps.max(2) - 1) as f64;
            (0..steps).rev().map(|i| round(i as f64 * step)).collect()
        }
        TimestepSpacing::Leading => {
            let offset = config.steps_offset.unwrap_or(0);
            (0..steps).rev().map(|i| (i * (n / steps) + offset) as f64).collect()
        }
        TimestepSpacing::Trailing => trailing(n, n, steps),
    };
    in_schedule(timesteps, n)
}

/// From `last` down in steps of `n / steps`.
fn trailing(n: usize, last: usize, steps: usize) -> Vec<f64> {
    let ratio = n as f64 / steps as f64;
    let value = |i: usize| last as f64 - i as f64 * ratio;
    (0..steps).map(value).take_while(|t| *t > 0.0).map(|t| t.round_ties_even() - 1.0).collect()
}

fn in_schedule(timesteps: Vec<f64>, n: usize) -> Result<Vec<f32>> {
    match timesteps.iter().find(|t| !(0.0..n as f64).contains(*t)) {
        Some(t) => {
            Err(refuse(format!("timestep {t} of this many steps is beyond the {n} it was trained on")))
        }
        None => Ok(timesteps.into_iter().map(|t| t as f32).collect()),
    }
}

/// Evenly chosen from the timesteps of the distillation.
fn lcm(config: &SchedulerConfig, n: usize, steps: usize) -> Result<Vec<f32>> {
    let original = config.original_inference_steps.unwrap_or(50);
    if original == 0 || original > n || steps > original {
        return Err(refuse(format!(
            "{steps} steps asked for, a model distilled for {original} of {n} takes 1 to that many"
        )));
    }
    let ratio = n / original;
    let distilled = |index: usize| ((original - index) * ratio - 1) as f32;
    let spacing = original as f64 / steps as f64;
    Ok((0..steps).map(|i| distilled((i as f64 * spacing) as usize)).collect())
}

/// Noise levels by training timestep, rising.
fn training_sigmas(config: &SchedulerConfig, noise: &NoiseSchedule) -> Vec<f32> {
    let mut alphas = noise.alphas_cumprod().to_vec();
    if let (Some(true), Some(last)) = (config.rescale_betas_zero_snr, alphas.last_mut()) {
        *last = LEAST_ALPHA;
    }
    alphas.into_iter().map(|alpha| ((1.0 - alpha) / alpha).sqrt()).collect()
}

fn euler(
    kind: SchedulerKind,
    config: &SchedulerConfig,
    noise: &NoiseSchedule,
    steps: usize,
) -> Result<Visits> {
    let training = training_sigmas(config, noise);
    let mut timesteps = spaced(config, TimestepSpacing::Linspace, steps, |t| t)?;
    let mut sigmas: Vec<f64> = timesteps.iter().map(|t| at(&training, f64::from(*t))).collect();
    let plain = kind == SchedulerKind::EulerAncestral;
    if let Some(spread) = (!plain).then(|| Spread::of(config)).flatten() {
        let high = config.sigma_max.unwrap_or(sigmas[0]);
        let low = config.sigma_min.unwrap_or(sigmas[steps - 1]);
        sigmas = spread.levels(high, low, steps)?;
        timesteps = sigmas.iter().map(|sigma| timestep_of(*sigma, &training) as f32).collect();
    }
    let last = if plain { 0.0 } else { last_sigma(config, &training) };
    Ok(Visits { timesteps, sigmas: ended(sigmas, last) })
}

fn dpm(config: &SchedulerConfig, noise: &NoiseSchedule, steps: usize) -> Result<Visits> {
    let n = config.num_train_timesteps();
    let training = training_sigmas(config, noise);
    let clip = config.lambda_min_clipped.unwrap_or(f64::NEG_INFINITY);
    // lambda = log(alpha / sigma) is the negative logarithm of the noise level, and it falls with time.
    let last = training.iter().take_while(|sigma| -f64::from(**sigma).ln() >= clip).count();
    let timesteps: Vec<f64> = match config.timestep_spacing.unwrap_or(TimestepSpacing::Linspace) {
        TimestepSpacing::Linspace => {
            let step = (last.max(1) - 1) as f64 / steps as f64;
            (1..=steps).rev().map(|i| (i as f64 * step).round_ties_even()).collect()
        }
        TimestepSpacing::Leading => {
            let offset = config.steps_offset.unwrap_or(0);
            (1..=steps).rev().map(|i| (i * (last / (steps + 1)) + offset) as f64).collect()
        }
        TimestepSpacing::Trailing => trailing(n, last, steps),
    };
    let mut timesteps = in_schedule(timesteps, n)?;
    if timesteps.is_empty() {
        return Err(refuse(format!("`lambda_min_clipped` {clip} leaves no timestep")));
    }
    let sigmas = match Spread::of(config) {
        Some(spread) => {
            let sigmas = spread.levels(f64::from(training[n - 1]), f64::from(training[0]), steps)?;
            let rounds = spread == Spread::Karras
                && config.beta_schedule.is_none_or(|schedule| schedule != BetaSchedule::SquaredcosCapV2);
            let whole = |t: f64| if rounds { t.round_ties_even() } else { t.trunc() };
            timesteps = sigmas.iter().map(|sigma| whole(timestep_of(*sigma, &training)) as f32).collect();
            sigmas
        }
        None => timesteps.iter().map(|t| at(&training, f64::from(*t))).collect(),
    };
    Ok(Visits { timesteps, sigmas: ended(sigmas, last_sigma(config, &training)) })
}

fn last_sigma(config: &SchedulerConfig, training: &[f32]) -> f32 {
    match config.final_sigmas_type.unwrap_or(FinalSigmasType::Zero) {
        FinalSigmasType::Zero => 0.0,
        FinalSigmasType::SigmaMin => training[0],
    }
}

fn ended(sigmas: Vec<f64>, last: f32) -> Vec<f32> {
    sigmas.into_iter().map(|sigma| sigma as f32).chain([last]).collect()
}

/// How noise levels lie between the highest and the lowest when it is not the timesteps that are spaced.
#[derive(Clone, Copy, PartialEq)]
enum Spread {
    Karras,
    Exponential,
}

impl Spread {
    fn of(config: &SchedulerConfig) -> Option<Spread> {
        match (config.use_karras_sigmas, config.use_exponential_sigmas) {
            (Some(true), _) => Some(Spread::Karras),
            (_, Some(true)) => Some(Spread::Exponential),
            _ => None,
        }
    }

    fn levels(self, high: f64, low: f64, steps: usize) -> Result<Vec<f64>> {
        if !(low > 0.0 && high >= low && high.is_finite()) {
            return Err(refuse(format!("noise levels from {high} to {low} cannot be spaced")));
        }
        // Karras et al. found 7 best for pictures.
        let rho = 7.0;
        type Map = fn(f64, f64) -> f64;
        let (to, from): (Map, Map) = match self {
            Spread::Karras => (|x, rho| x.powf(1.0 / rho), |x, rho| x.powf(rho)),
            Spread::Exponential => (|x, _| x.ln(), |x, _| x.exp()),
        };
        let (high, low) = (to(high, rho), to(low, rho));
        let ramp = |i: usize| i as f64 / (steps.max(2) - 1) as f64;
        Ok((0..steps).map(|i| from(high + ramp(i) * (low - high), rho)).collect())
    }
}

/// The noise level at a timestep between two whole ones.
fn at(training: &[f32], timestep: f64) -> f64 {
    let low = (timestep as usize).min(training.len() - 1);
    let high = (low + 1).min(training.len() - 1);
    let (from, to) = (f64::from(training[low]), f64::from(training[high]));
    from + (to - from) * (timestep - low as f64)
}

/// The timestep of a noise level, by its logarithm between those of whole timesteps.
fn timestep_of(sigma: f64, training: &[f32]) -> f64 {
    let log = sigma.max(1e-10).ln();
    let of = |index: usize| f64::from(training[index].ln());
    let below = training.iter().filter(|level| f64::from(level.ln()) <= log).count();
    let low = below.saturating_sub(1).min(training.len() - 2);
    let weight = ((of(low) - log) / (of(low) - of(low + 1))).clamp(0.0, 1.0);
    low as f64 + weight
}
