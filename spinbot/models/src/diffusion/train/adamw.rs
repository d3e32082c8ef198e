//! AdamW (Loshchilov and Hutter 2019) as PyTorch computes it.

use crate::error::{ModelError, Result};
use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use std::collections::HashMap;

/// Adam with decoupled weight decay and bias correction over named variables.
#[derive(Debug)]
pub struct AdamW {
    variables: Vec<(String, Var)>,
    moments: Vec<(Tensor, Tensor)>,
    steps: u32,
    /// Decay of the first and the second moment.
    pub betas: (f64, f64),
    /// Added to the denominator.
    pub epsilon: f64,
    /// Share of the rate by which weights shrink each step.
    pub weight_decay: f64,
}

impl AdamW {
    /// With PyTorch's defaults: betas 0.9 and 0.999, epsilon 1e-8, weight decay 0.01.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the device refuses the moments.
    pub fn new(variables: Vec<(String, Var)>) -> Result<Self> {
        let zeros = |(_, v): &(String, Var)| Ok((v.zeros_like()?, v.zeros_like()?));
        let moments = variables.iter().map(zeros).collect::<candle_core::Result<_>>();
        let moments = moments.map_err(ModelError::tensor("making the optimiser's state"))?;
        Ok(AdamW { variables, moments, steps: 0, betas: (0.9, 0.999), epsilon: 1e-8, weight_decay: 0.01 })
    }

    /// How many steps it has made.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// The variables that it moves, by name.
    pub fn variables(&self) -> &[(String, Var)] {
        &self.variables
    }

    /// Moves every variable that has a gradient; those without are left as they are, moments included.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when shapes do not fit.
    pub fn step(&mut self, gradients: &GradStore, rate: f64) -> Result<()> {
        self.steps += 1;
        self.moved(gradients, rate).map_err(ModelError::tensor("an optimiser's step"))
    }

    fn moved(&mut self, gradients: &GradStore, rate: f64) -> candle_core::Result<()> {
        let (first, second) = self.betas;
        let full_first = 1.0 - first.powi(self.steps as i32);
        let full_second = (1.0 - second.powi(self.steps as i32)).sqrt();
        for ((_, variable), (mean, square)) in self.variables.iter().zip(&mut self.moments) {
            let Some(gradient) = gradients.get(variable) else { continue };
            // Detached, or every step would keep the graph of all before it.
            let gradient = gradient.detach().to_dtype(variable.dtype())?;
            let weight = (variable.as_tensor().detach() * (1.0 - rate * self.weight_decay))?;
            *mean = ((&*mean * first)? + (&gradient * (1.0 - first))?)?;
            *square = ((&*square * second)? + (gradient.sqr()? * (1.0 - second))?)?;
            let scale = ((square.sqrt()? / full_second)? + self.epsilon)?;
            variable.set(&(weight - ((&*mean / scale)? * (rate / full_first))?)?)?;
        }
        Ok(())
    }

    /// Its state, to be kept: both moments of each variable under its name with `.exp_avg` and `.exp_avg_sq`, and the
    /// steps, u32, as `step`.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the device refuses it.
    pub fn state(&self) -> Result<HashMap<String, Tensor>> {
        let mut state = HashMap::new();
        for ((name, _), (mean, square)) in self.variables.iter().zip(&self.moments) {
            state.insert(format!("{name}.exp_avg"), mean.clone());
            state.insert(format!("{name}.exp_avg_sq"), square.clone());
        }
        let steps = Tensor::new(self.steps, &candle_core::Device::Cpu);
        state.insert("step".into(), steps.map_err(ModelError::tensor("keeping the optimiser's state"))?);
        Ok(state)
    }

    /// Continues from what [`AdamW::state`] gave.
    ///
    /// # Errors
    /// [`ModelError::Weights`] when a tensor is missing or has another shape; nothing has changed then.
    pub fn restore(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        let refuse = |reason| ModelError::Weights { model: "optimiser state".into(), reason };
        let steps =
            state.get("step").and_then(|t| t.flatten_all().ok()?.get(0).ok()?.to_scalar::<u32>().ok());
        let steps = steps.ok_or_else(|| refuse("`step` is missing or no number".to_owned()))?;
        let mut moments = Vec::with_capacity(self.variables.len());
        for (name, variable) in &self.variables {
            let get = |kind: &str| {
                let name = format!("{name}.{kind}");
                let Some(tensor) = state.get(&name).filter(|t| t.dims() == variable.dims()) else {
                    return Err(refuse(format!("`{name}` is missing or has another shape")));
                };
                let moved = tensor.to_dtype(variable.dtype()).and_then(|t| t.to_device(variable.device()));
                moved.map_err(ModelError::tensor("reading the optimiser's state"))
            };
            moments.push((get("exp_avg")?, get("exp_avg_sq")?));
        }
        (self.moments, self.steps) = (moments, steps);
        Ok(())
    }
}
