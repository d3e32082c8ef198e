//! A stack of frozen LSTM layers that runs over a whole sequence at once, with its gradient to the input.
//!
//! On the CPU it is one custom operation: the products with the input are taken for all steps together, the
//! recurrent ones go through [`Panels`], and the way back through time is written out. On other devices it is the
//! same formula in candle's stock operations, which a test holds against the fused one.

use super::panels::{Panels, sigmoid, tanh};
use super::weights::Weights;
use crate::error::{ModelError, Result};
use candle_core::{CpuStorage, CustomOp1, D, IndexOp, Layout, Shape, Tensor};
use std::sync::{Arc, Mutex};

/// Frozen layers, each the input of the next.
pub(crate) struct Lstm {
    layers: Arc<Vec<Layer>>,
    hidden: usize,
    device: candle_core::Device,
}

/// Gates in PyTorch's order: input, forget, cell, output.
struct Layer {
    input: usize,
    /// [4 hidden, input]; `on_device` copies are made only where the CPU's panels are not used.
    stock: Option<Stock>,
    /// [input -> 4 hidden] and [hidden -> 4 hidden], and their transposes for the way back.
    from_input: Panels,
    from_hidden: Panels,
    to_input: Panels,
    to_hidden: Panels,
    /// Both biases added, [4 hidden].
    bias: Vec<f32>,
}

struct Stock {
    from_input: Tensor,
    from_hidden: Tensor,
    bias: Tensor,
}

/// One layer's weights as a file has them: PyTorch's layout.
pub(crate) struct LayerWeights {
    /// [4 hidden, input], row major.
    pub(crate) from_input: Vec<f32>,
    /// [4 hidden, hidden], row major.
    pub(crate) from_hidden: Vec<f32>,
    /// Both biases added, [4 hidden].
    pub(crate) bias: Vec<f32>,
    /// How many numbers a step of the input has.
    pub(crate) input: usize,
}

impl LayerWeights {
    /// Layer `nth` of a PyTorch LSTM whose tensors begin with that prefix.
    pub(crate) fn pytorch(
        w: &Weights,
        prefix: &str,
        nth: usize,
        input: usize,
        hidden: usize,
    ) -> Result<Self> {
        let name = |kind: &str| format!("{prefix}.{kind}_l{nth}");
        let bias = w.get(&name("bias_ih"), &[4 * hidden])?.into_iter();
        let other = w.get(&name("bias_hh"), &[4 * hidden])?;
        Ok(LayerWeights {
            from_input: w.get(&name("weight_ih"), &[4 * hidden, input])?,
            from_hidden: w.get(&name("weight_hh"), &[4 * hidden, hidden])?,
            bias: bias.zip(other).map(|(a, b)| a + b).collect(),
            input,
        })
    }
}

impl Lstm {
    /// Layers whose shapes already agree: the caller read them by shape.
    pub(crate) fn new(
        layers: Vec<LayerWeights>,
        hidden: usize,
        device: &candle_core::Device,
    ) -> Result<Self> {
        let layers = layers.into_iter().map(|w| Layer::new(w, hidden, device)).collect::<Result<_>>()?;
        Ok(Lstm { layers: Arc::new(layers), hidden, device: device.clone() })
    }

    /// The last layer's hidden state after the last step: [batch, steps, input] -> [batch, hidden]. The gradient
    /// reaches the input.
    pub(crate) fn last_hidden(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        if !self.device.is_cpu() {
            return self.stock(x);
        }
        let x = x.contiguous()?;
        let op = Run { layers: self.layers.clone(), hidden: self.hidden, tape: None };
        match x.track_op() {
            true => x.apply_op1(Run { tape: Some(Mutex::new(Vec::new())), ..op }),
            false => x.apply_op1_no_bwd(&op),
        }
    }

    /// The same in stock operations, one step after the other.
    fn stock(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let (batch, steps, _) = x.dims3()?;
        let mut x = x.clone();
        for layer in self.layers.iter() {
            let made;
            let stock = match &layer.stock {
                Some(stock) => stock,
                None => {
                    made = layer.stock_on(self.hidden, &self.device)?;
                    &made
                }
            };
            let projected = x.broadcast_matmul(&stock.from_input.t()?)?.broadcast_add(&stock.bias)?;
            let from_hidden = stock.from_hidden.t()?;
            let mut h = Tensor::zeros((batch, self.hidden), x.dtype(), &self.device)?;
            let mut c = h.clone();
            let mut all = Vec::with_capacity(steps);
            for step in 0..steps {
                let gates = (projected.i((.., step))? + h.matmul(&from_hidden)?)?;
                let gates = gates.chunk(4, D::Minus1)?;
                let sigmoid = |gate: &Tensor| (gate.neg()?.exp()? + 1.0)?.recip();
                c = ((sigmoid(&gates[1])? * &c)? + (sigmoid(&gates[0])? * gates[2].tanh()?)?)?;
                h = (sigmoid(&gates[3])? * c.tanh()?)?;
                all.push(h.clone());
            }
            x = Tensor::stack(&all, 1)?;
        }
        x.i((.., steps - 1))?.contiguous()
    }
}

impl Layer {
    fn new(w: LayerWeights, hidden: usize, device: &candle_core::Device) -> Result<Self> {
        let gates = 4 * hidden;
        let mut layer = Layer {
            input: w.input,
            stock: None,
            from_input: Panels::transposed(&w.from_input, gates, w.input),
            from_hidden: Panels::transposed(&w.from_hidden, gates, hidden),
            to_input: Panels::new(&w.from_input, gates, w.input),
            to_hidden: Panels::new(&w.from_hidden, gates, hidden),
            bias: w.bias,
        };
        if !device.is_cpu() {
            layer.stock =
                Some(layer.stock_on(hidden, device).map_err(ModelError::tensor("loading weights"))?);
        }
        Ok(layer)
    }

    fn stock_on(&self, hidden: usize, device: &candle_core::Device) -> candle_core::Result<Stock> {
        Ok(Stock {
            from_input: Tensor::from_vec(self.to_input.matrix(), (4 * hidden, self.input), device)?,
            from_hidden: Tensor::from_vec(self.to_hidden.matrix(), (4 * hidden, hidden), device)?,
            bias: Tensor::from_slice(&self.bias, 4 * hidden, device)?,
        })
    }

    /// `x` is [steps, batch, input]; returns hidden states [steps, batch, hidden] and keeps what the way back
    /// needs: gates after their functions [steps, batch, 4 hidden] and cells [steps, batch, hidden].
    fn forward(&self, x: &[f32], steps: usize, batch: usize, hidden: usize) -> (Vec<f32>, Trace) {
        let width = 4 * hidden;
        let mut gates = self.bias.repeat(steps * batch);
        self.from_input.multiply_add(x, &mut gates);
        let mut cells = vec![0.0_f32; steps * batch * hidden];
        let mut states = vec![0.0_f32; steps * batch * hidden];
        let step_size = batch * hidden;
        for (step, gates) in gates.chunks_exact_mut(batch * width).enumerate() {
            let (before, now) = states.split_at_mut(step * step_size);
            let (cells_before, cells_now) = cells.split_at_mut(step * step_size);
            if step > 0 {
                self.from_hidden.multiply_add(&before[(step - 1) * step_size..], gates);
            }
            for (row, gates) in gates.chunks_exact_mut(width).enumerate() {
                let here = row * hidden..(row + 1) * hidden;
                let (input_forget, rest) = gates.split_at_mut(2 * hidden);
                let (candidate, output) = rest.split_at_mut(hidden);
                sigmoid(input_forget);
                tanh(candidate);
                sigmoid(output);
                let (input, forget) = input_forget.split_at(hidden);
                let cell = &mut cells_now[here.clone()];
                for (cell, (i, g)) in cell.iter_mut().zip(input.iter().zip(&*candidate)) {
                    *cell = i * g;
                }
                if step > 0 {
                    let old = &cells_before[(step - 1) * step_size..][here.clone()];
                    for (cell, (f, old)) in cell.iter_mut().zip(forget.iter().zip(old)) {
                        *cell += f * old;
                    }
                }
                let state = &mut now[here];
                state.copy_from_slice(cell);
                tanh(state);
                state.iter_mut().zip(&*output).for_each(|(h, o)| *h *= o);
            }
        }
        (states, Trace { gates, cells })
    }

    /// From the gradient of the hidden states [steps, batch, hidden] to that of the input [steps, batch, input].
    fn backward(&self, mut grad: Vec<f32>, trace: &Trace, batch: usize, hidden: usize) -> Vec<f32> {
        let (width, step_size) = (4 * hidden, batch * hidden);
        let steps = grad.len() / step_size;
        let mut grad_gates = vec![0.0_f32; steps * batch * width];
        let mut grad_cell = vec![0.0_f32; step_size];
        let mut tanh_cell = vec![0.0_f32; hidden];
        for step in (0..steps).rev() {
            let gates = &trace.gates[step * batch * width..][..batch * width];
            let out = &mut grad_gates[step * batch * width..][..batch * width];
            for row in 0..batch {
                let here = step * step_size + row * hidden;
                let old = step.checked_sub(1).map(|_| &trace.cells[here - step_size..][..hidden]);
                tanh_cell.copy_from_slice(&trace.cells[here..][..hidden]);
                tanh(&mut tanh_cell);
                let gates = &gates[row * width..][..width];
                let out = &mut out[row * width..][..width];
                let grad_cell = &mut grad_cell[row * hidden..][..hidden];
                for n in 0..hidden {
                    let [i, f, g, o] = [0, 1, 2, 3].map(|gate| gates[gate * hidden + n]);
                    let (grad_h, tanh_c) = (grad[here + n], tanh_cell[n]);
                    let grad_c = grad_cell[n] + grad_h * o * (1.0 - tanh_c * tanh_c);
                    out[n] = grad_c * g * i * (1.0 - i);
                    out[hidden + n] = old.map_or(0.0, |old| grad_c * old[n] * f * (1.0 - f));
                    out[2 * hidden + n] = grad_c * i * (1.0 - g * g);
                    out[3 * hidden + n] = grad_h * tanh_c * o * (1.0 - o);
                    grad_cell[n] = grad_c * f;
                }
            }
            if step > 0 {
                self.to_hidden.multiply_add(out, &mut grad[(step - 1) * step_size..][..step_size]);
            }
        }
        let mut grad_x = vec![0.0_f32; steps * batch * self.input];
        self.to_input.multiply_add(&grad_gates, &mut grad_x);
        grad_x
    }
}

/// What one layer's forward pass leaves for its way back.
struct Trace {
    gates: Vec<f32>,
    cells: Vec<f32>,
}

/// One run of the stack. With a tape, the traces of the forward pass wait there for the backward one.
struct Run {
    layers: Arc<Vec<Layer>>,
    hidden: usize,
    tape: Option<Mutex<Vec<Trace>>>,
}

impl CustomOp1 for Run {
    fn name(&self) -> &'static str {
        "lstm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (batch, steps, input) = layout.shape().dims3()?;
        let (CpuStorage::F32(x), Some((from, to))) = (x, layout.contiguous_offsets()) else {
            candle_core::bail!("lstm: contiguous f32 only")
        };
        if steps == 0 || batch == 0 || self.layers.first().is_none_or(|layer| layer.input != input) {
            candle_core::bail!("lstm: input [{batch}, {steps}, {input}] does not fit the layers")
        }
        let mut x = swap_outer(&x[from..to], batch, steps, input);
        let mut traces = Vec::new();
        for layer in self.layers.iter() {
            let (states, trace) = layer.forward(&x, steps, batch, self.hidden);
            x = states;
            if self.tape.is_some() {
                traces.push(trace);
            }
        }
        if let Some(tape) = self.tape.as_ref().and_then(|tape| tape.lock().ok()).as_mut() {
            **tape = traces;
        }
        let last = x.split_off((steps - 1) * batch * self.hidden);
        Ok((CpuStorage::F32(last), Shape::from((batch, self.hidden))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let (batch, steps, input) = x.dims3()?;
        let Some(Ok(tape)) = self.tape.as_ref().map(|tape| tape.lock()) else {
            candle_core::bail!("lstm: no tape was kept for the backward pass")
        };
        let mut states = vec![0.0_f32; steps * batch * self.hidden];
        let last = grad.flatten_all()?.to_vec1::<f32>()?;
        states[(steps - 1) * batch * self.hidden..].copy_from_slice(&last);
        for (layer, trace) in self.layers.iter().zip(tape.iter()).rev() {
            states = layer.backward(states, trace, batch, self.hidden);
        }
        let grad = swap_outer(&states, steps, batch, input);
        Ok(Some(Tensor::from_vec(grad, (batch, steps, input), x.device())?))
    }
}

/// [a, b, inner] -> [b, a, inner].
fn swap_outer(x: &[f32], a: usize, b: usize, inner: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(x.len());
    for n in 0..b {
        for m in 0..a {
            out.extend_from_slice(&x[(m * b + n) * inner..][..inner]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{Device, Var};

    fn random(shape: &[usize], scale: f32) -> Vec<f32> {
        let all = Tensor::randn(0.0_f32, scale, shape, &Device::Cpu).unwrap();
        all.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn the_fused_stack_and_its_gradient_equal_the_stock_operations() {
        for (input, hidden, batch, steps) in [(5, 8, 1, 7), (40, 48, 3, 21), (3, 7, 2, 1)] {
            let layers = (0..2).map(|nth| {
                let input = if nth == 0 { input } else { hidden };
                LayerWeights {
                    from_input: random(&[4 * hidden, input], 0.4),
                    from_hidden: random(&[4 * hidden, hidden], 0.4),
                    bias: random(&[4 * hidden], 0.4),
                    input,
                }
            });
            let lstm = Lstm::new(layers.collect(), hidden, &Device::Cpu).unwrap();
            let x = Var::randn(0.0_f32, 1.0, (batch, steps, input), &Device::Cpu).unwrap();
            let weigh = Tensor::randn(0.0_f32, 1.0, (batch, hidden), &Device::Cpu).unwrap();
            let run = |out: Tensor| {
                let grads = (&out * &weigh).unwrap().sum_all().unwrap().backward().unwrap();
                (out, grads.get(&x).unwrap().clone())
            };
            let (fused, fused_grad) = run(lstm.last_hidden(&x).unwrap());
            let (stock, stock_grad) = run(lstm.stock(&x).unwrap());
            let untracked = lstm.last_hidden(&x.detach()).unwrap();
            let apart = |a: &Tensor, b: &Tensor| {
                (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap()
            };
            assert!(apart(&fused, &stock) < 1e-5);
            assert!(apart(&fused, &untracked) == 0.0);
            assert!(apart(&fused_grad, &stock_grad) < 1e-4);
            assert!(fused_grad.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap() > 1e-3);
        }
    }
}
