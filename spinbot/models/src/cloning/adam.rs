//! Adam (Kingma and Ba 2015) over a few tensors with a rate each call may set.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};

/// Keeps a quotient finite.
const EPSILON: f64 = 1e-8;

/// The moments of some variables.
pub(crate) struct Adam {
    variables: Vec<Var>,
    moments: Vec<(Tensor, Tensor)>,
    betas: (f64, f64),
    steps: i32,
}

impl Adam {
    pub(crate) fn new(variables: Vec<Var>, betas: (f64, f64)) -> Result<Self> {
        let zeros = variables.iter().map(|var| Ok((var.zeros_like()?, var.zeros_like()?)));
        let moments = zeros.collect::<Result<_>>()?;
        Ok(Adam { variables, moments, betas, steps: 0 })
    }

    /// Moves every variable that has a gradient.
    pub(crate) fn step(&mut self, gradients: &GradStore, rate: f64) -> Result<()> {
        self.steps += 1;
        let (first, second) = self.betas;
        let (full_first, full_second) = (1.0 - first.powi(self.steps), 1.0 - second.powi(self.steps));
        for (variable, (mean, square)) in self.variables.iter().zip(&mut self.moments) {
            let Some(gradient) = gradients.get(variable) else { continue };
            let gradient = gradient.detach();
            // Detached, or every step would keep the graph of all before it.
            *mean = ((&*mean * first)? + (&gradient * (1.0 - first))?)?.detach();
            *square = ((&*square * second)? + (gradient.sqr()? * (1.0 - second))?)?.detach();
            let scale = ((&*square / full_second)?.sqrt()? + EPSILON)?;
            let change = ((&*mean * (rate / full_first))? / scale)?;
            variable.set(&(variable.as_tensor().detach() - change)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_first_steps_are_those_of_the_paper() {
        // The gradient of 3 x is 3: each step moves by the rate, whatever the gradient's size.
        let x = Var::new(&[1.0_f32], &Device::Cpu).unwrap();
        let mut adam = Adam::new(vec![x.clone()], (0.8, 0.95)).unwrap();
        for (step, expected) in [(1, 0.9_f32), (2, 0.8), (3, 0.7)] {
            let gradients = (x.as_tensor() * 3.0).unwrap().sum_all().unwrap().backward().unwrap();
            adam.step(&gradients, 0.1).unwrap();
            let got = x.to_vec1::<f32>().unwrap()[0];
            assert!((got - expected).abs() < 1e-5, "step {step}: {got}");
        }
        // And it finds the bottom of a bowl.
        let x = Var::new(&[1.0_f32, -2.0], &Device::Cpu).unwrap();
        let mut adam = Adam::new(vec![x.clone()], (0.9, 0.999)).unwrap();
        for _ in 0..400 {
            let gradients =
                (x.as_tensor() - 0.5).unwrap().sqr().unwrap().sum_all().unwrap().backward().unwrap();
            adam.step(&gradients, 0.05).unwrap();
        }
        assert!(x.to_vec1::<f32>().unwrap().iter().all(|v| (v - 0.5).abs() < 1e-2), "{x:?}");
    }
}
