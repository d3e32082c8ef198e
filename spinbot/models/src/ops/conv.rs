//! A convolution with frozen weights, what happens to its input first, and the adapter beside it.

use super::OpSet;
use super::custom::{AddTo, with_values};
use super::fused::{FusedConv, Kernel, OwnedBend};
use super::norm;
use super::simd::Statistics;
use candle_core::{D, Result, Tensor};
use std::sync::Arc;

/// The sizes of a convolution over time with stride 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConvShape {
    /// Channels in.
    pub(crate) inputs: usize,
    /// Channels out.
    pub(crate) outputs: usize,
    /// Taps.
    pub(crate) kernel: usize,
    /// Rows from one tap to the next.
    pub(crate) dilation: usize,
    /// Rows of zeros before the first and after the last.
    pub(crate) padding: usize,
}

impl ConvShape {
    /// Rows from the first tap to the last.
    pub(crate) fn reach(&self) -> usize {
        (self.kernel - 1) * self.dilation
    }

    /// Rows that come out of so many.
    pub(crate) fn rows(&self, rows: usize) -> usize {
        (rows + 2 * self.padding).saturating_sub(self.reach())
    }
}

/// The snake activation's frequencies (Ziyin et al. 2020), one per channel: `u + sin²(αu)/α`.
#[derive(Debug, Clone)]
pub(crate) struct Snake {
    alpha: Tensor,
    values: Arc<[f32]>,
    inverse: Arc<[f32]>,
}

impl Snake {
    /// From α, as many values as channels in any shape.
    pub(crate) fn new(alpha: &Tensor) -> Result<Snake> {
        let alpha = alpha.flatten_all()?;
        let values = alpha.to_vec1::<f32>()?;
        let inverse = values.iter().map(|alpha| alpha.recip()).collect();
        Ok(Snake { alpha, values: values.into(), inverse })
    }

    fn apply(&self, u: &Tensor) -> Result<Tensor> {
        u + u.broadcast_mul(&self.alpha)?.sin()?.sqr()?.broadcast_div(&self.alpha)?
    }
}

/// The activation after a normalisation.
#[derive(Clone, Copy)]
pub(crate) enum Then<'a> {
    /// Leaky ReLU with that slope.
    Leaky(f32),
    /// Snake.
    Snake(&'a Snake),
}

/// What happens to a convolution's input first.
#[derive(Clone, Copy)]
pub(crate) enum Before<'a> {
    /// Nothing.
    Nothing,
    /// Leaky ReLU with that slope of that multiple of the input.
    Leaky {
        /// The multiple.
        scale: f32,
        /// The slope below zero.
        slope: f32,
    },
    /// AdaIN with γ and β of that style, `[2·inputs]`, then an activation.
    Norm(&'a Tensor, Then<'a>),
}

/// Leaky ReLU in candle's operations.
fn leaky(u: &Tensor, slope: f32) -> Result<Tensor> {
    let slope = f64::from(slope);
    (u.relu()? * (1.0 - slope))? + (u * slope)?
}

impl Before<'_> {
    /// In candle's operations.
    pub(crate) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Before::Nothing => Ok(x.clone()),
            Before::Leaky { scale, slope } => leaky(&(x * f64::from(*scale))?, *slope),
            Before::Norm(style, then) => {
                let u = norm::normalise(x, style)?;
                match then {
                    Then::Leaky(slope) => leaky(&u, *slope),
                    Then::Snake(snake) => snake.apply(&u),
                }
            }
        }
    }
}

/// A low-rank adapter of a convolution (LoRA; Hu et al. 2021): `B·A`, shaped like the weights, is added to them.
#[derive(Debug, Clone)]
pub(crate) struct LowRank {
    /// A, `[rank, inputs·taps]`, the tap running fastest.
    pub(crate) down: Tensor,
    /// B, `[outputs, rank]`.
    pub(crate) up: Tensor,
}

/// Where a result goes.
pub(crate) enum Target {
    /// To memory of its own.
    New,
    /// Over that tensor, which nobody reads any more, where no gradient is wanted; else as `New`.
    Over(Tensor),
    /// Added to that tensor, in memory of its own.
    Plus(Tensor),
    /// Added to that tensor, over it where no gradient is wanted; nobody else may read it any more.
    Onto(Tensor),
}

#[derive(Debug, Clone)]
enum Weights {
    /// `[outputs, inputs, taps]`, `[outputs]`.
    Stock(Tensor, Option<Tensor>),
    Fused(Arc<Kernel>),
}

/// A convolution over time with stride 1 and frozen weights.
#[derive(Debug, Clone)]
pub(crate) struct Conv {
    shape: ConvShape,
    weights: Weights,
}

impl Conv {
    /// From weights `[outputs, inputs, taps]` and a bias `[outputs]`.
    pub(crate) fn new(
        set: OpSet,
        weight: &Tensor,
        bias: Option<&Tensor>,
        dilation: usize,
        padding: usize,
    ) -> Result<Conv> {
        let (outputs, inputs, kernel) = weight.dims3()?;
        let shape = ConvShape { inputs, outputs, kernel, dilation, padding };
        let weights = match set {
            OpSet::Stock => Weights::Stock(weight.clone(), bias.cloned()),
            OpSet::Fused => {
                let taps = weight.permute((2, 1, 0))?.flatten_all()?.to_vec1()?;
                let bias = bias.map(Tensor::to_vec1).transpose()?;
                Weights::Fused(Arc::new(Kernel { shape, taps, bias }))
            }
        };
        Ok(Conv { shape, weights })
    }

    /// The transposed convolution with stride s, 2·s taps and padding s/2, from weights `[inputs, outputs, 2·s]`:
    /// a convolution of two taps that makes the s rows between two inputs at once. See [`unfold_transposed`].
    pub(crate) fn transposed(set: OpSet, weight: &Tensor, bias: &Tensor, stride: usize) -> Result<Conv> {
        let (inputs, outputs, _) = weight.dims3()?;
        let weight = weight.reshape((inputs, outputs, 2, stride))?;
        // The row before gives its second half, the row itself its first.
        let weight = Tensor::cat(&[weight.narrow(2, 1, 1)?, weight.narrow(2, 0, 1)?], 2)?;
        let weight = weight.permute((3, 1, 0, 2))?.contiguous()?.reshape((stride * outputs, inputs, 2))?;
        let bias = bias.unsqueeze(0)?.repeat((stride, 1))?.flatten_all()?;
        Conv::new(set, &weight, Some(&bias), 1, 1)
    }

    /// Adds the adapter to the weights for good.
    pub(crate) fn merge(&mut self, adapter: &LowRank) -> Result<()> {
        let ConvShape { inputs, outputs, kernel, .. } = self.shape;
        let delta = adapter.up.detach().matmul(&adapter.down.detach())?.reshape((outputs, inputs, kernel))?;
        match &mut self.weights {
            Weights::Stock(weight, _) => *weight = (&*weight + delta)?,
            Weights::Fused(kernel) => {
                let delta = delta.permute((2, 1, 0))?.flatten_all()?.to_vec1::<f32>()?;
                let taps = &mut Arc::make_mut(kernel).taps;
                taps.iter_mut().zip(delta).for_each(|(weight, delta)| *weight += delta);
            }
        }
        Ok(())
    }

    /// Adds that to the bias for good, `[outputs]`.
    pub(crate) fn shift(&mut self, by: &Tensor) -> Result<()> {
        match &mut self.weights {
            Weights::Stock(_, bias) => {
                *bias = Some(match bias.take() {
                    Some(bias) => (bias + by.detach())?,
                    None => by.detach(),
                });
            }
            Weights::Fused(kernel) => {
                let by = by.to_vec1::<f32>()?;
                let bias = Arc::make_mut(kernel).bias.get_or_insert_with(|| vec![0.0; by.len()]);
                bias.iter_mut().zip(by).for_each(|(bias, by)| *bias += by);
            }
        }
        Ok(())
    }

    /// Convolves `x`, `[time, inputs]`, to `[time, outputs]`.
    pub(crate) fn run(
        &self,
        x: &Tensor,
        before: Before,
        adapter: Option<&LowRank>,
        target: Target,
    ) -> Result<Tensor> {
        match &self.weights {
            Weights::Stock(weight, bias) => {
                let y = self.run_stock(&before.apply(x)?, weight, bias.as_ref(), adapter)?;
                match target {
                    Target::New | Target::Over(_) => Ok(y),
                    Target::Plus(residual) | Target::Onto(residual) => residual + y,
                }
            }
            Weights::Fused(kernel) => run_fused(kernel, x, before, adapter, target),
        }
    }

    fn run_stock(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        adapter: Option<&LowRank>,
    ) -> Result<Tensor> {
        let ConvShape { dilation, padding, .. } = self.shape;
        let weight = match adapter {
            Some(LowRank { down, up }) => (weight + up.matmul(down)?.reshape(weight.shape())?)?,
            None => weight.clone(),
        };
        let channels_first = x.t()?.unsqueeze(0)?.contiguous()?;
        let y = channels_first.conv1d(&weight, padding, 1, dilation, 1)?.squeeze(0)?.t()?.contiguous()?;
        match bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// Makes of what [`Conv::transposed`] gives for `rows` rows the rows of the transposed convolution.
pub(crate) fn unfold_transposed(y: &Tensor, rows: usize, stride: usize) -> Result<Tensor> {
    let outputs = y.dim(D::Minus1)? / stride;
    y.reshape(((rows + 1) * stride, outputs))?.narrow(0, stride / 2, rows * stride)
}

/// `sum + x`: over `sum`, which nobody else may read, where no gradient is wanted.
pub(crate) fn accumulate(sum: Tensor, x: &Tensor) -> Result<Tensor> {
    let on_cpu = sum.device().is_cpu() && sum.is_contiguous() && x.is_contiguous();
    if sum.track_op() || x.track_op() || !on_cpu || sum.dims() != x.dims() {
        return sum + x;
    }
    sum.inplace_op2(x, &AddTo)?;
    Ok(sum)
}

fn run_fused(
    kernel: &Arc<Kernel>,
    x: &Tensor,
    before: Before,
    adapter: Option<&LowRank>,
    target: Target,
) -> Result<Tensor> {
    let inputs = kernel.shape.inputs;
    let x = x.contiguous()?;
    let mut parameters = Vec::with_capacity(3);
    let (mut scale, mut offset) = (vec![1.0; inputs], vec![0.0; inputs]);
    let (bend, statistics) = match before {
        Before::Nothing => (OwnedBend::Not, None),
        Before::Leaky { scale: factor, slope } => {
            scale.fill(factor);
            (OwnedBend::Leaky(slope), None)
        }
        Before::Norm(style, then) => {
            let statistics = with_values(&x, |x| norm::statistics(x, inputs))?;
            with_values(style, |style| affine(style, &statistics, &mut scale, &mut offset))?;
            parameters.push(style.clone());
            let bend = match then {
                Then::Leaky(slope) => OwnedBend::Leaky(slope),
                Then::Snake(snake) => OwnedBend::Snake(snake.values.clone(), snake.inverse.clone()),
            };
            (bend, Some(statistics))
        }
    };
    let mut rank = 0;
    if let Some(LowRank { down, up }) = adapter {
        rank = up.dim(1)?;
        parameters.extend([down.flatten_all()?, up.flatten_all()?]);
    }
    let none = || Tensor::zeros(1, x.dtype(), x.device());
    let parameters = match parameters.len() {
        0 => none()?,
        1 => parameters.remove(0),
        _ => Tensor::cat(&parameters, 0)?,
    };
    let residual = matches!(target, Target::Plus(_) | Target::Onto(_));
    let op = FusedConv { kernel: kernel.clone(), scale, offset, bend, statistics, rank, residual };
    let tracked = x.track_op() || parameters.track_op();
    match target {
        Target::Over(out) if !tracked => out.inplace_op3(&x, &parameters, &op).map(|()| out),
        Target::Onto(out) if !tracked && !out.track_op() => {
            out.inplace_op3(&x, &parameters, &op).map(|()| out)
        }
        Target::Plus(residual) | Target::Onto(residual) => {
            x.apply_op3(&parameters, &residual.contiguous()?, op)
        }
        Target::New | Target::Over(_) => x.apply_op3(&parameters, &none()?, op),
    }
}

/// The one factor and the one addend per channel that normalise, scale and shift.
fn affine(style: &[f32], statistics: &Statistics, scale: &mut [f32], offset: &mut [f32]) {
    let (gamma, beta) = style.split_at(style.len() / 2);
    for c in 0..scale.len() {
        scale[c] = (1.0 + gamma[c]) * statistics.inverse_deviation[c];
        offset[c] = beta[c] - statistics.mean[c] * scale[c];
    }
}
