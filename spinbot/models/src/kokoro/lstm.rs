//! The bidirectional LSTM (256 hidden units a direction) that Kokoro has six of.
//!
//! The inputs' share of the gates is one matrix product over the whole time. What is left is a product of the
//! recurrent weights with the last state, step after step: the CPU has its own loop for that, other devices use
//! stock operations.

use super::exp::{sigmoid, tanh, wide};
use crate::error::{ModelError, Result};
use crate::tensor_file::TensorFile;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

/// Hidden units of one direction.
const HIDDEN: usize = 256;
/// Rows of the weights: input, forget, cell and output gate of every unit.
const GATES: usize = 4 * HIDDEN;
/// Units whose gates are summed together: 4 x 16 sums fill half the registers of AVX2.
const UNITS: usize = 16;

/// Forward and backward LSTM over the same input, their states side by side.
pub(super) struct BiLstm {
    /// Both directions' input weights, [in, 2 x GATES].
    input: Tensor,
    /// Both directions' two biases, added up, [2 x GATES].
    bias: Tensor,
    recurrent: Recurrent,
}

/// The recurrent weights of both directions, in the shape the device wants them.
enum Recurrent {
    Packed([Packed; 2]),
    /// [HIDDEN, GATES] each.
    Stock([Tensor; 2]),
}

impl BiLstm {
    pub(super) fn load(
        weights: &TensorFile<'_>,
        name: &str,
        inputs: usize,
        device: &candle_core::Device,
    ) -> Result<Self> {
        let mut input = Vec::with_capacity(2 * GATES * inputs);
        let mut bias = Vec::with_capacity(2 * GATES);
        let mut recurrent = Vec::with_capacity(2);
        for suffix in ["", "_reverse"] {
            let at = |part: &str| format!("{name}.{part}_l0{suffix}");
            input.extend(weights.values(&at("weight_ih"), &[GATES, inputs])?);
            let biases =
                [weights.values(&at("bias_ih"), &[GATES])?, weights.values(&at("bias_hh"), &[GATES])?];
            bias.extend(biases[0].iter().zip(&biases[1]).map(|(a, b)| a + b));
            recurrent.push(weights.values(&at("weight_hh"), &[GATES, HIDDEN])?);
        }
        let build = || {
            let input = Tensor::from_vec(input, (2 * GATES, inputs), device)?.t()?.contiguous()?;
            let bias = Tensor::from_vec(bias, 2 * GATES, device)?;
            let stock =
                |n: usize| Tensor::from_slice(&recurrent[n], (GATES, HIDDEN), device)?.t()?.contiguous();
            let recurrent = if device.is_cpu() {
                Recurrent::Packed([Packed::new(&recurrent[0]), Packed::new(&recurrent[1])])
            } else {
                Recurrent::Stock([stock(0)?, stock(1)?])
            };
            Ok(BiLstm { input, bias, recurrent })
        };
        build().map_err(ModelError::tensor("loading weights"))
    }

    /// [time, in] -> [time, 2 x HIDDEN]: the forward states, then the backward ones.
    pub(super) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let gates = x.matmul(&self.input)?.broadcast_add(&self.bias)?;
        match &self.recurrent {
            Recurrent::Packed(weights) => gates.apply_op1_no_bwd(&CpuLoop(weights)),
            Recurrent::Stock([forward, backward]) => {
                let time = x.dim(0)?;
                let forward = stock(&gates.narrow(1, 0, GATES)?, forward, 0..time)?;
                let backward = stock(&gates.narrow(1, GATES, GATES)?, backward, (0..time).rev())?;
                Tensor::cat(&[forward, backward], 1)
            }
        }
    }
}

/// One direction in stock operations: the states in the order of time.
fn stock(
    gates: &Tensor,
    recurrent: &Tensor,
    steps: impl Iterator<Item = usize>,
) -> candle_core::Result<Tensor> {
    let time = gates.dim(0)?;
    let mut state = Tensor::zeros((1, HIDDEN), gates.dtype(), gates.device())?;
    let mut cell = state.clone();
    let mut states = vec![state.clone(); time];
    for t in steps {
        let sums = (gates.narrow(0, t, 1)? + state.matmul(recurrent)?)?;
        let gate = |n: usize| sums.narrow(1, n * HIDDEN, HIDDEN);
        let [input, forget, output] = [gate(0)?, gate(1)?, gate(3)?].map(|sum| candle_nn::ops::sigmoid(&sum));
        cell = ((forget? * cell)? + (input? * gate(2)?.tanh()?)?)?;
        state = (output? * cell.tanh()?)?;
        states[t] = state.clone();
    }
    Tensor::cat(&states, 0)
}

/// One direction's recurrent weights: for every [`UNITS`] units, for every unit of the last state, their four
/// gates' weights. A step reads them from front to back.
struct Packed(Vec<f32>);

impl Packed {
    /// From PyTorch's [GATES, HIDDEN].
    fn new(weights: &[f32]) -> Packed {
        let mut packed = Vec::with_capacity(weights.len());
        for first in (0..HIDDEN).step_by(UNITS) {
            for from in 0..HIDDEN {
                for gate in 0..4 {
                    packed.extend(
                        (first..first + UNITS).map(|unit| weights[(gate * HIDDEN + unit) * HIDDEN + from]),
                    );
                }
            }
        }
        Packed(packed)
    }

    /// The states of one direction, [time, HIDDEN], from rows of gates of which `offset` is the first of its own.
    fn run(&self, gates: &[f32], offset: usize, backward: bool) -> Vec<f32> {
        wide!(steps(weights: &[f32] = &self.0, gates: &[f32] = gates, offset: usize = offset, backward: bool = backward) -> Vec<f32>)
    }
}

/// The loop itself. `FUSED` says that the processor multiplies and adds in one instruction; without one,
/// `mul_add` would be a slow function call.
#[inline(always)]
fn steps<const FUSED: bool>(weights: &[f32], gates: &[f32], offset: usize, backward: bool) -> Vec<f32> {
    let time = gates.len() / (2 * GATES);
    let mut states = vec![0.0_f32; time * HIDDEN];
    let (mut state, mut next, mut cells) = ([0.0_f32; HIDDEN], [0.0_f32; HIDDEN], [0.0_f32; HIDDEN]);
    for n in 0..time {
        let t = if backward { time - 1 - n } else { n };
        let gates = &gates[t * 2 * GATES + offset..][..GATES];
        for (block, weights) in weights.chunks_exact(HIDDEN * 4 * UNITS).enumerate() {
            let first = block * UNITS;
            let mut sums = [[0.0_f32; UNITS]; 4];
            for (gate, sums) in sums.iter_mut().enumerate() {
                sums.copy_from_slice(&gates[gate * HIDDEN + first..][..UNITS]);
            }
            for (from, weights) in state.iter().zip(weights.chunks_exact(4 * UNITS)) {
                for (sums, weights) in sums.iter_mut().zip(weights.chunks_exact(UNITS)) {
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum = if FUSED { from.mul_add(*weight, *sum) } else { from * weight + *sum };
                    }
                }
            }
            for unit in 0..UNITS {
                let [input, forget, cell, output] = [0, 1, 2, 3].map(|gate: usize| sums[gate][unit]);
                let cell = sigmoid(forget) * cells[first + unit] + sigmoid(input) * tanh(cell);
                cells[first + unit] = cell;
                next[first + unit] = sigmoid(output) * tanh(cell);
            }
        }
        state = next;
        states[t * HIDDEN..][..HIDDEN].copy_from_slice(&state);
    }
    states
}

/// The CPU's loop over [time, 2 x GATES] gates, as an operation.
struct CpuLoop<'a>(&'a [Packed; 2]);

impl CustomOp1 for CpuLoop<'_> {
    fn name(&self) -> &'static str {
        "bidirectional lstm"
    }

    fn cpu_fwd(&self, gates: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (CpuStorage::F32(gates), Some((from, to))) = (gates, layout.contiguous_offsets()) else {
            candle_core::bail!("bidirectional lstm: contiguous f32 only")
        };
        let (time, width) = layout.shape().dims2()?;
        if width != 2 * GATES {
            candle_core::bail!("bidirectional lstm: {width} gates, expected {}", 2 * GATES)
        }
        let gates = &gates[from..to];
        let [forward, backward] = self.0;
        let (forward, backward) =
            rayon::join(|| forward.run(gates, 0, false), || backward.run(gates, GATES, true));
        let rows = forward.chunks_exact(HIDDEN).zip(backward.chunks_exact(HIDDEN));
        let states = rows.flat_map(|(forward, backward)| forward.iter().chain(backward)).copied().collect();
        Ok((CpuStorage::F32(states), Shape::from((time, 2 * HIDDEN))))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_cpus_loop_equals_stock_operations() {
        let random =
            |shape: (usize, usize), spread: f32| Tensor::randn(0.0_f32, spread, shape, &Device::Cpu).unwrap();
        let weights = [0, 1].map(|_| random((GATES, HIDDEN), 0.1));
        let packed =
            [0, 1].map(|n: usize| Packed::new(&weights[n].flatten_all().unwrap().to_vec1::<f32>().unwrap()));
        let turned = weights.map(|weights| weights.t().unwrap().contiguous().unwrap());
        for time in [1, 2, 9] {
            let gates = random((time, 2 * GATES), 2.0);
            let fast = gates.apply_op1_no_bwd(&CpuLoop(&packed)).unwrap();
            let forward = stock(&gates.narrow(1, 0, GATES).unwrap(), &turned[0], 0..time).unwrap();
            let backward =
                stock(&gates.narrow(1, GATES, GATES).unwrap(), &turned[1], (0..time).rev()).unwrap();
            let expected = Tensor::cat(&[forward, backward], 1).unwrap();
            let apart: f32 =
                (fast - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap();
            assert!(apart < 2e-6, "{time} steps: {apart}");
        }
    }
}
