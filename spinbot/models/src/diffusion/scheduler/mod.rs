//! Schedulers: which noise levels a run visits, and the step from one to the next, to diffusers' numbers.
//!
//! A run is `for index in scheduler.start(strength)..scheduler.timesteps().len()`: the network sees
//! [`scale_model_input`](Scheduler::scale_model_input) of the sample at `timesteps()[index]`, and
//! [`step`](Scheduler::step) takes its output to the next sample. Noise comes from the caller, so that seeds are
//! his. Training needs no run, only a [`NoiseSchedule`].

mod config;
mod noise;
mod spacing;
#[cfg(test)]
mod tests;

pub use config::{
    BetaSchedule, FinalSigmasType, PredictionType, SchedulerConfig, SchedulerKind, TimestepSpacing,
};
pub use noise::NoiseSchedule;

use crate::error::{ModelError, Result};
use candle_core::{DType, Tensor};

/// A run of a sampling method over so many steps.
#[derive(Debug)]
pub struct Scheduler {
    kind: SchedulerKind,
    noise: NoiseSchedule,
    timesteps: Vec<f32>,
    sigmas: Vec<f32>,
    init_noise_sigma: f64,
    clip: Option<f64>,
    /// `sqrt(alpha_bar)` after the last step of DDIM.
    end: Levels,
    /// DDIM's distance between timesteps.
    stride: usize,
    timestep_scaling: f64,
    dpm: Dpm,
    /// The clean sample predicted at the step before, by its index: what a multistep method extrapolates from.
    before: Option<(usize, Tensor)>,
}

/// What distinguishes the variants of DPM-Solver++.
#[derive(Debug, Clone, Copy)]
struct Dpm {
    order: usize,
    sde: bool,
    heun: bool,
    lower_order_last: bool,
}

/// One step's results.
#[derive(Debug)]
pub struct Step {
    /// The sample at the next noise level.
    pub prev_sample: Tensor,
    /// The clean sample as predicted at this step: what a preview shows.
    pub pred_original_sample: Tensor,
}

/// How much clean sample and how much noise: `alpha x_0 + sigma noise`.
#[derive(Debug, Clone, Copy)]
struct Levels {
    alpha: f64,
    sigma: f64,
}

impl Levels {
    /// Of a noise level relative to the clean sample.
    fn of(sigma: f32) -> Levels {
        let sigma = f64::from(sigma);
        let alpha = (sigma * sigma + 1.0).sqrt().recip();
        Levels { alpha, sigma: sigma * alpha }
    }

    /// Half the logarithm of the signal-to-noise ratio.
    fn lambda(self) -> f64 {
        self.alpha.ln() - self.sigma.ln()
    }
}

impl Scheduler {
    /// A run of that method over `steps` steps, with `config`'s values where it has them and the method's own where
    /// not. The method need not be the one that the config names.
    ///
    /// # Errors
    /// [`ModelError::Scheduler`] when the number of steps or the config's values cannot be met.
    pub fn new(kind: SchedulerKind, config: &SchedulerConfig, steps: usize) -> Result<Scheduler> {
        let noise = NoiseSchedule::of(config, kind == SchedulerKind::Lcm)?;
        let spacing::Visits { timesteps, sigmas } = spacing::visits(kind, config, &noise, steps)?;
        let linear = match config.timestep_spacing {
            Some(spacing) => spacing != TimestepSpacing::Leading,
            None => true,
        };
        let highest = f64::from(sigmas.iter().copied().fold(0.0, f32::max));
        let init_noise_sigma = match kind {
            SchedulerKind::Euler | SchedulerKind::EulerAncestral if linear => highest,
            SchedulerKind::Euler | SchedulerKind::EulerAncestral => highest.hypot(1.0),
            _ => 1.0,
        };
        let clips = config.clip_sample.unwrap_or(kind == SchedulerKind::Ddim)
            && matches!(kind, SchedulerKind::Ddim | SchedulerKind::Lcm);
        let last = timesteps.len() - 1;
        let dpm = Dpm::new(kind, config, timesteps.len())?;
        let scheduler = Scheduler {
            kind,
            end: match config.set_alpha_to_one.unwrap_or(true) {
                true => Levels { alpha: 1.0, sigma: 0.0 },
                false => noise.levels(0)?,
            },
            noise,
            init_noise_sigma,
            clip: clips.then(|| config.clip_sample_range.unwrap_or(1.0)),
            stride: config.num_train_timesteps() / steps,
            timestep_scaling: config.timestep_scaling.unwrap_or(10.0),
            dpm,
            before: None,
            timesteps,
            sigmas,
        };
        let first = scheduler.levels(0)?;
        let (by_alpha, by_sigma) = match config.prediction_type() {
            PredictionType::Epsilon => (first.alpha == 0.0, false),
            PredictionType::Sample => (false, scheduler.levels(last)?.sigma == 0.0),
            PredictionType::VPrediction => (false, false),
        };
        if by_alpha || by_sigma {
            return Err(refuse(format!(
                "a network that predicts {} says nothing at timestep {}",
                if by_alpha { "the noise" } else { "the sample" },
                scheduler.timesteps[if by_alpha { 0 } else { last }]
            )));
        }
        Ok(scheduler)
    }

    /// The timesteps the network is asked at, noisy to clean; fractions with Euler.
    pub fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    /// The noise levels `sqrt((1 - alpha_bar) / alpha_bar)` visited, the end included; empty for DDIM and LCM.
    pub fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    /// What unit noise is multiplied with to begin a run from pure noise.
    pub fn init_noise_sigma(&self) -> f64 {
        self.init_noise_sigma
    }

    /// The index at which a run that starts from a picture begins: `strength` of 1 leaves nothing of it and begins
    /// at 0, one of 0 takes no step.
    pub fn start(&self, strength: f64) -> usize {
        let steps = self.timesteps.len();
        steps - ((steps as f64 * strength.clamp(0.0, 1.0)) as usize).min(steps)
    }

    /// Whether the step at that index adds fresh noise.
    pub fn wants_noise(&self, index: usize) -> bool {
        match self.kind {
            SchedulerKind::Ddim | SchedulerKind::Euler => false,
            SchedulerKind::EulerAncestral => self.sigmas.get(index + 1).is_some_and(|sigma| *sigma > 0.0),
            SchedulerKind::DpmSolverMultistep => {
                self.dpm.sde && self.sigmas.get(index + 1).is_some_and(|sigma| *sigma > 0.0)
            }
            SchedulerKind::Lcm => index + 1 < self.timesteps.len(),
        }
    }

    /// A clean sample with the noise that the run expects at that index: the start of a run from a picture, and the
    /// known part in inpainting. At the index behind the last step, the clean sample.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] for shapes that differ, [`ModelError::Scheduler`] beyond the run.
    pub fn add_noise(&self, original: &Tensor, noise: &Tensor, index: usize) -> Result<Tensor> {
        if index == self.timesteps.len() {
            return Ok(original.clone());
        }
        let levels = self.levels(index)?;
        match self.is_euler() {
            true => combine(&[(original, 1.0), (noise, f64::from(self.sigmas[index]))]),
            false => combine(&[(original, levels.alpha), (noise, levels.sigma)]),
        }
    }

    /// What the network is given for a sample at that index.
    ///
    /// # Errors
    /// [`ModelError::Scheduler`] beyond the run.
    pub fn scale_model_input(&self, sample: &Tensor, index: usize) -> Result<Tensor> {
        match self.is_euler() {
            true => combine(&[(sample, self.levels(index)?.alpha)]),
            false => Ok(sample.clone()),
        }
    }

    /// The sample at the next noise level, from the network's output at that index. Computed in f32 and given back
    /// in the sample's dtype. `noise` of the sample's shape, where [`wants_noise`](Scheduler::wants_noise) says so.
    ///
    /// # Errors
    /// [`ModelError::Scheduler`] beyond the run and for missing noise, [`ModelError::Tensor`] for shapes that differ.
    pub fn step(
        &mut self,
        model_output: &Tensor,
        index: usize,
        sample: &Tensor,
        noise: Option<&Tensor>,
    ) -> Result<Step> {
        let levels = self.levels(index)?;
        let noise = match (self.wants_noise(index), noise) {
            (true, None) => return Err(refuse(format!("step {index} needs noise and was given none"))),
            (true, noise) => noise,
            (false, _) => None,
        };
        let dtype = sample.dtype();
        let full =
            |tensor: &Tensor| tensor.to_dtype(DType::F32).map_err(ModelError::tensor("a sampling step"));
        let (sample, output) = (full(sample)?, full(model_output)?);
        let mut original = self.original(&output, &sample, index, levels)?;
        if let Some(range) = self.clip {
            original = original.clamp(-range, range).map_err(ModelError::tensor("a sampling step"))?;
        }
        let prev = match self.kind {
            SchedulerKind::Ddim => self.ddim(&output, &sample, &original, index, levels),
            SchedulerKind::Euler | SchedulerKind::EulerAncestral => {
                self.euler(&sample, &original, index, noise)
            }
            SchedulerKind::DpmSolverMultistep => self.dpm(&sample, &original, index, noise),
            SchedulerKind::Lcm => self.lcm(&sample, &original, index, noise),
        }?;
        let back = |tensor: Tensor| tensor.to_dtype(dtype).map_err(ModelError::tensor("a sampling step"));
        Ok(Step { prev_sample: back(prev)?, pred_original_sample: back(original)? })
    }

    fn is_euler(&self) -> bool {
        matches!(self.kind, SchedulerKind::Euler | SchedulerKind::EulerAncestral)
    }

    fn levels(&self, index: usize) -> Result<Levels> {
        let timestep = self.timesteps.get(index).ok_or_else(|| {
            refuse(format!("step {index} was asked for in a run of {}", self.timesteps.len()))
        })?;
        match self.sigmas.get(index) {
            Some(sigma) => Ok(Levels::of(*sigma)),
            None => self.noise.levels(*timestep as usize),
        }
    }

    /// The clean sample that the network's output means.
    fn original(&self, output: &Tensor, sample: &Tensor, index: usize, levels: Levels) -> Result<Tensor> {
        let Levels { alpha, sigma } = levels;
        // Euler's samples are not scaled down as noise comes in: they are the others' divided by alpha.
        let (of_sample, of_noise) = match self.is_euler() {
            true => (1.0, f64::from(self.sigmas[index])),
            false => (1.0 / alpha, sigma / alpha),
        };
        match self.noise.prediction_type() {
            PredictionType::Epsilon => combine(&[(sample, of_sample), (output, -of_noise)]),
            PredictionType::Sample => Ok(output.clone()),
            PredictionType::VPrediction => {
                let scale = if self.is_euler() { alpha } else { 1.0 };
                combine(&[(sample, scale * alpha), (output, -sigma)])
            }
        }
    }

    /// Formula 12 of the paper with no variance.
    fn ddim(
        &self,
        output: &Tensor,
        sample: &Tensor,
        original: &Tensor,
        index: usize,
        Levels { alpha, sigma }: Levels,
    ) -> Result<Tensor> {
        let next = match (self.timesteps[index] as usize).checked_sub(self.stride) {
            Some(timestep) => self.noise.levels(timestep)?,
            None => self.end,
        };
        // The noise is that of the output even where the clean sample was clipped.
        let epsilon = match self.noise.prediction_type() {
            PredictionType::Epsilon => output.clone(),
            PredictionType::Sample => combine(&[(sample, 1.0 / sigma), (original, -alpha / sigma)])?,
            PredictionType::VPrediction => combine(&[(output, alpha), (sample, sigma)])?,
        };
        combine(&[(original, next.alpha), (&epsilon, next.sigma)])
    }

    fn euler(
        &self,
        sample: &Tensor,
        original: &Tensor,
        index: usize,
        noise: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (from, to) = (f64::from(self.sigmas[index]), f64::from(self.sigmas[index + 1]));
        let up = match noise {
            Some(_) => (to * to * (from * from - to * to) / (from * from)).sqrt(),
            None => 0.0,
        };
        let down = (to * to - up * up).sqrt();
        let kept = down / from;
        let mut terms = vec![(sample, kept), (original, 1.0 - kept)];
        terms.extend(noise.map(|noise| (noise, up)));
        combine(&terms)
    }

    /// First order for the first step of a run and at its end, else second order from the step before.
    fn dpm(
        &mut self,
        sample: &Tensor,
        original: &Tensor,
        index: usize,
        noise: Option<&Tensor>,
    ) -> Result<Tensor> {
        let before = self.before.replace((index, original.clone()));
        let (now, next) = (Levels::of(self.sigmas[index]), Levels::of(self.sigmas[index + 1]));
        if next.sigma == 0.0 {
            return Ok(original.clone());
        }
        let h = next.lambda() - now.lambda();
        if h == 0.0 {
            return Ok(sample.clone());
        }
        let decay = if self.dpm.sde { (-2.0 * h).exp() } else { (-h).exp() };
        let kept = if self.dpm.sde { next.sigma / now.sigma * (-h).exp() } else { next.sigma / now.sigma };
        let first = next.alpha * (1.0 - decay);
        let mut terms = vec![(sample, kept), (original, first)];
        if let Some(noise) = noise {
            terms.push((noise, next.sigma * (1.0 - decay).sqrt()));
        }
        let last = index + 1 == self.timesteps.len();
        match &before {
            Some((at, earlier))
                if at + 1 == index && self.dpm.order == 2 && !(last && self.dpm.lower_order_last) =>
            {
                let exponent = if self.dpm.sde { 2.0 * h } else { h };
                let second = match self.dpm.heun {
                    true => next.alpha * (1.0 - (1.0 - decay) / exponent),
                    false => 0.5 * first,
                };
                let slope = second * h / (now.lambda() - Levels::of(self.sigmas[*at]).lambda());
                terms[1].1 += slope;
                terms.push((earlier, -slope));
                combine(&terms)
            }
            _ => combine(&terms),
        }
    }

    fn lcm(
        &self,
        sample: &Tensor,
        original: &Tensor,
        index: usize,
        noise: Option<&Tensor>,
    ) -> Result<Tensor> {
        // The paper's boundary condition, with the deviation of the data taken as one half.
        let scaled = f64::from(self.timesteps[index]) * self.timestep_scaling;
        let skip = 0.25 / (scaled * scaled + 0.25);
        let out = scaled / (scaled * scaled + 0.25).sqrt();
        let (alpha, noise) = match noise {
            Some(noise) => {
                let next = self.levels(index + 1)?;
                (next.alpha, Some((noise, next.sigma)))
            }
            None => (1.0, None),
        };
        let terms: Vec<_> =
            [(original, out * alpha), (sample, skip * alpha)].into_iter().chain(noise).collect();
        combine(&terms)
    }
}

impl Dpm {
    fn new(kind: SchedulerKind, config: &SchedulerConfig, steps: usize) -> Result<Dpm> {
        let order = config.solver_order.unwrap_or(2);
        let algorithm = config.algorithm_type.as_deref().unwrap_or("dpmsolver++");
        let solver = config.solver_type.as_deref().unwrap_or("midpoint");
        if kind == SchedulerKind::DpmSolverMultistep {
            if !(1..=2).contains(&order) {
                return Err(refuse(format!("DPM++ of order {order} is not built, 1 and 2 are")));
            }
            // What DEIS and UniPC name here is read as DPM++, as diffusers does.
            if !["dpmsolver++", "sde-dpmsolver++", "deis"].contains(&algorithm) {
                return Err(refuse(format!(
                    "`{algorithm}` is not built, dpmsolver++ and sde-dpmsolver++ are"
                )));
            }
            if !["midpoint", "heun", "logrho", "bh1", "bh2"].contains(&solver) {
                return Err(refuse(format!("the solver `{solver}` is not built, midpoint and heun are")));
            }
        }
        Ok(Dpm {
            order,
            sde: algorithm.starts_with("sde"),
            heun: solver == "heun",
            lower_order_last: config.euler_at_final.unwrap_or(false)
                || (config.lower_order_final.unwrap_or(true) && steps < 15)
                || config.final_sigmas_type.unwrap_or(FinalSigmasType::Zero) == FinalSigmasType::Zero,
        })
    }
}

/// The sum of the tensors with those weights, in f32, in the first one's dtype.
fn combine(terms: &[(&Tensor, f64)]) -> Result<Tensor> {
    let sum = || -> candle_core::Result<Option<Tensor>> {
        let mut sum: Option<Tensor> = None;
        for (tensor, weight) in terms {
            let term = tensor.to_dtype(DType::F32)?.affine(*weight, 0.0)?;
            sum = Some(match sum {
                Some(sum) => (sum + term)?,
                None => term,
            });
        }
        let dtype = terms.first().map_or(DType::F32, |(tensor, _)| tensor.dtype());
        sum.map(|sum| sum.to_dtype(dtype)).transpose()
    };
    match sum().map_err(ModelError::tensor("mixing samples"))? {
        Some(sum) => Ok(sum),
        None => Err(refuse("nothing to mix".into())),
    }
}

fn refuse(reason: String) -> ModelError {
    ModelError::Scheduler { reason }
}
