//! `scheduler_config.json` as diffusers writes it: every field is optional, and what a missing one means depends on
//! the scheduler that reads it.

use super::refuse;
use crate::error::{ModelError, Result};
use serde::Deserialize;
use std::path::Path;

/// A sampling method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchedulerKind {
    /// Denoising diffusion implicit models, deterministic (<https://arxiv.org/abs/2010.02502>).
    Ddim,
    /// Euler's method on the probability flow ODE (<https://arxiv.org/abs/2206.00364>, algorithm 2 without churn).
    Euler,
    /// Euler steps that go below the next noise level and add fresh noise back ("Euler a").
    EulerAncestral,
    /// DPM-Solver++ in its multistep form, "DPM++ 2M" (<https://arxiv.org/abs/2211.01095>), also as its SDE.
    DpmSolverMultistep,
    /// Latent consistency models, for weights or a LoRA distilled for 1-8 steps (<https://arxiv.org/abs/2310.04378>).
    Lcm,
}

impl SchedulerKind {
    /// All of them.
    pub const ALL: [SchedulerKind; 5] = [
        SchedulerKind::Ddim,
        SchedulerKind::Euler,
        SchedulerKind::EulerAncestral,
        SchedulerKind::DpmSolverMultistep,
        SchedulerKind::Lcm,
    ];

    /// The class name in diffusers.
    pub fn class_name(self) -> &'static str {
        match self {
            SchedulerKind::Ddim => "DDIMScheduler",
            SchedulerKind::Euler => "EulerDiscreteScheduler",
            SchedulerKind::EulerAncestral => "EulerAncestralDiscreteScheduler",
            SchedulerKind::DpmSolverMultistep => "DPMSolverMultistepScheduler",
            SchedulerKind::Lcm => "LCMScheduler",
        }
    }
}

/// How the noise grows over the training timesteps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BetaSchedule {
    /// Betas in equal steps.
    Linear,
    /// Square roots of betas in equal steps: Stable Diffusion's.
    ScaledLinear,
    /// The cosine schedule of improved DDPM (<https://arxiv.org/abs/2102.09672>).
    SquaredcosCapV2,
}

/// What the network's output means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictionType {
    /// The noise.
    Epsilon,
    /// `sqrt(alpha_bar) noise - sqrt(1 - alpha_bar) x_0` (<https://arxiv.org/abs/2202.00512>).
    VPrediction,
    /// The clean sample.
    Sample,
}

/// Which training timesteps are visited (table 2 of <https://arxiv.org/abs/2305.08891>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestepSpacing {
    /// Multiples from the clean end, which misses the noisiest step.
    Leading,
    /// Multiples from the noisy end.
    Trailing,
    /// Both ends and equal steps between.
    Linspace,
}

/// The noise level after the last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinalSigmasType {
    /// None.
    Zero,
    /// That of training timestep 0.
    SigmaMin,
}

/// The fields of a `scheduler_config.json`; `None` is the default of the scheduler that it is used for, so that one
/// model's config serves every [`SchedulerKind`].
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SchedulerConfig {
    /// The class in diffusers that the model was saved with.
    #[serde(rename = "_class_name")]
    pub class_name: Option<String>,
    /// Training timesteps, 1000.
    pub num_train_timesteps: Option<usize>,
    /// Beta at the clean end, 0.0001 (LCM: 0.00085).
    pub beta_start: Option<f64>,
    /// Beta at the noisy end, 0.02 (LCM: 0.012).
    pub beta_end: Option<f64>,
    /// How beta grows, linear (LCM: scaled linear).
    pub beta_schedule: Option<BetaSchedule>,
    /// The betas themselves, instead of the three fields above.
    pub trained_betas: Option<Vec<f32>>,
    /// What the network's output means, epsilon.
    pub prediction_type: Option<PredictionType>,
    /// Which timesteps are visited; leading for DDIM and LCM (which has its own way whatever is said here), else
    /// linspace.
    pub timestep_spacing: Option<TimestepSpacing>,
    /// Added to each timestep in leading spacing, 0.
    pub steps_offset: Option<usize>,
    /// Whether the noisy end is pure noise (algorithm 1 of <https://arxiv.org/abs/2305.08891>), no.
    pub rescale_betas_zero_snr: Option<bool>,
    /// DDIM, LCM: whether the last step goes to no noise at all or to that of training timestep 0, yes.
    pub set_alpha_to_one: Option<bool>,
    /// DDIM, LCM: whether the predicted clean sample is clipped, yes for DDIM and no for LCM.
    pub clip_sample: Option<bool>,
    /// DDIM, LCM: to which magnitude, 1.
    pub clip_sample_range: Option<f64>,
    /// Euler, DPM++: noise levels after Karras et al. (<https://arxiv.org/abs/2206.00364>, equation 5), no.
    pub use_karras_sigmas: Option<bool>,
    /// Euler, DPM++: noise levels equally spaced in their logarithm, no.
    pub use_exponential_sigmas: Option<bool>,
    /// Euler, DPM++: the noise level after the last step, zero.
    pub final_sigmas_type: Option<FinalSigmasType>,
    /// Euler: the lowest noise level of the Karras or exponential spacing, the schedule's own.
    pub sigma_min: Option<f64>,
    /// Euler: the highest.
    pub sigma_max: Option<f64>,
    /// DPM++: 1 or 2, 2.
    pub solver_order: Option<usize>,
    /// DPM++: `dpmsolver++` or `sde-dpmsolver++`, the former.
    pub algorithm_type: Option<String>,
    /// DPM++: `midpoint` or `heun`, the former.
    pub solver_type: Option<String>,
    /// DPM++: whether the last steps of fewer than 15 are of first order, yes.
    pub lower_order_final: Option<bool>,
    /// DPM++: whether the last step always is, no.
    pub euler_at_final: Option<bool>,
    /// DPM++: steps with a lower half-log-SNR are not visited, minus infinity.
    pub lambda_min_clipped: Option<f64>,
    /// LCM: steps of the distillation, 50.
    pub original_inference_steps: Option<usize>,
    /// LCM: factor on timesteps in the boundary condition, 10.
    pub timestep_scaling: Option<f64>,
}

/// The most training timesteps that are believed.
const MAX_TRAIN_TIMESTEPS: usize = 100_000;

impl SchedulerConfig {
    /// Reads the file's text.
    ///
    /// # Errors
    /// [`ModelError::Scheduler`] when it is no such JSON, names values that do not exist, or asks for a variant that
    /// is not built (flow matching, EDM, dynamic thresholding, beta or Lu spacing, learned variance).
    pub fn from_json(text: &str) -> Result<SchedulerConfig> {
        // diffusers writes Python's `-Infinity` for `lambda_min_clipped`, which is not JSON; null is its default.
        let text = text.replace("-Infinity", "null");
        let unreadable = |e: serde_json::Error| refuse(format!("its config cannot be read: {e}"));
        let fields: serde_json::Value = serde_json::from_str(&text).map_err(unreadable)?;
        check_unbuilt(&fields)?;
        let config: SchedulerConfig = serde_json::from_value(fields).map_err(unreadable)?;
        config.check()?;
        Ok(config)
    }

    /// [`SchedulerConfig::from_json`] of a file.
    ///
    /// # Errors
    /// The same, and [`ModelError::Io`].
    pub fn from_file(path: &Path) -> Result<SchedulerConfig> {
        SchedulerConfig::from_json(&std::fs::read_to_string(path).map_err(ModelError::io("reading", path))?)
    }

    /// The noise schedule of Stable Diffusion 1 and 2 and SDXL: what single files, which carry no config, were
    /// trained with.
    pub fn stable_diffusion(prediction_type: PredictionType) -> SchedulerConfig {
        SchedulerConfig {
            beta_start: Some(0.00085),
            beta_end: Some(0.012),
            beta_schedule: Some(BetaSchedule::ScaledLinear),
            prediction_type: Some(prediction_type),
            set_alpha_to_one: Some(false),
            clip_sample: Some(false),
            steps_offset: Some(1),
            ..SchedulerConfig::default()
        }
    }

    /// The sampling method that the config names, or the nearest to it of those built here: DDIM for PNDM and DDPM,
    /// Euler for LMS, Heun and KDPM2, DPM++ for UniPC, DEIS and the other DPM-Solvers. DDIM when it names none.
    ///
    /// # Errors
    /// [`ModelError::Scheduler`] when the class is of another family.
    pub fn kind(&self) -> Result<SchedulerKind> {
        Ok(match self.class_name.as_deref() {
            None
            | Some("DDIMScheduler" | "DDIMParallelScheduler" | "PNDMScheduler")
            | Some("DDPMScheduler" | "DDPMParallelScheduler") => SchedulerKind::Ddim,
            Some("EulerDiscreteScheduler" | "LMSDiscreteScheduler" | "HeunDiscreteScheduler")
            | Some("KDPM2DiscreteScheduler") => SchedulerKind::Euler,
            Some("EulerAncestralDiscreteScheduler" | "KDPM2AncestralDiscreteScheduler") => {
                SchedulerKind::EulerAncestral
            }
            Some(
                "DPMSolverMultistepScheduler" | "DPMSolverSinglestepScheduler" | "DPMSolverSDEScheduler",
            )
            | Some("UniPCMultistepScheduler" | "DEISMultistepScheduler") => SchedulerKind::DpmSolverMultistep,
            Some("LCMScheduler") => SchedulerKind::Lcm,
            Some(other) => return Err(refuse(format!("`{other}` is not built here"))),
        })
    }

    /// What the network's output means.
    pub fn prediction_type(&self) -> PredictionType {
        self.prediction_type.unwrap_or(PredictionType::Epsilon)
    }

    /// How many timesteps the network was trained on.
    pub fn num_train_timesteps(&self) -> usize {
        self.trained_betas.as_ref().map_or(self.num_train_timesteps.unwrap_or(1000), Vec::len)
    }

    fn check(&self) -> Result<()> {
        let n = self.num_train_timesteps();
        if !(2..=MAX_TRAIN_TIMESTEPS).contains(&n) {
            return Err(refuse(format!("its config says {n} training timesteps")));
        }
        if self.use_karras_sigmas == Some(true) && self.use_exponential_sigmas == Some(true) {
            return Err(refuse("its config asks for Karras and exponential sigmas at once".into()));
        }
        Ok(())
    }
}

/// Refuses the variants that are not built, none of which Stable Diffusion was published with.
fn check_unbuilt(fields: &serde_json::Value) -> Result<()> {
    if !fields.is_object() {
        return Err(refuse("its config cannot be read: it is no JSON object".into()));
    }
    for field in ["thresholding", "use_beta_sigmas", "use_lu_lambdas", "use_flow_sigmas"] {
        if fields.get(field).and_then(|value| value.as_bool()) == Some(true) {
            return Err(refuse(format!("`{field}` is not built here")));
        }
    }
    for (field, only) in [("timestep_type", "discrete"), ("interpolation_type", "linear")] {
        match fields.get(field).and_then(|value| value.as_str()) {
            Some(other) if other != only => {
                return Err(refuse(format!("`{field}` is {other}, only {only} is built")));
            }
            _ => {}
        }
    }
    let variance = fields.get("variance_type").and_then(|value| value.as_str());
    if variance.is_some_and(|value| value.starts_with("learned")) {
        return Err(refuse("a network that predicts its variance is not built".into()));
    }
    Ok(())
}
