//! The fused convolution: what happens to its input, the taps, the adapter and the residual in one pass over
//! blocks of rows, and the gradients of everything but the frozen weights.
//!
//! A tap is a matrix product on rows shifted by its place: nothing is gathered, and dilation costs nothing.

use super::block::for_blocks;
use super::conv::ConvShape;
use super::gemm::{Matrix, multiply};
use super::simd::{self, Bend, Statistics};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// Frozen weights, one `[inputs, outputs]` matrix per tap.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    pub(super) shape: ConvShape,
    pub(super) taps: Vec<f32>,
    pub(super) bias: Option<Vec<f32>>,
}

/// [`Bend`] with what it needs.
#[derive(Clone)]
pub(super) enum OwnedBend {
    Not,
    Leaky(f32),
    Snake(Arc<[f32]>, Arc<[f32]>),
}

impl OwnedBend {
    fn borrowed(&self) -> Bend<'_> {
        match self {
            OwnedBend::Not => Bend::Not,
            OwnedBend::Leaky(slope) => Bend::Leaky(*slope),
            OwnedBend::Snake(alpha, inverse) => Bend::Snake(alpha, inverse),
        }
    }
}

/// One application of a frozen convolution to an input whose statistics are known.
///
/// As candle's operation it takes the input `[time, inputs]`, the parameters (γ and β of the normalisation, then
/// the adapter's A and B, those that are there, flat) and the residual, both of one element where there is none.
pub(super) struct FusedConv {
    pub(super) kernel: Arc<Kernel>,
    /// Per channel of the input; for a normalised one (1+γ)/σ and β − μ(1+γ)/σ.
    pub(super) scale: Vec<f32>,
    pub(super) offset: Vec<f32>,
    pub(super) bend: OwnedBend,
    /// Those of the input, if it is normalised.
    pub(super) statistics: Option<Statistics>,
    /// The adapter's rank, 0 for none.
    pub(super) rank: usize,
    /// Whether the output starts from the residual.
    pub(super) residual: bool,
}

/// The adapter's matrices as the blocks want them.
struct Adapter<'a> {
    rank: usize,
    /// `[inputs, taps·rank]`.
    down: Vec<f32>,
    /// `[outputs, rank]`, as given.
    up: &'a [f32],
}

impl FusedConv {
    fn adapter<'a>(&self, parameters: &'a [f32]) -> Option<Adapter<'a>> {
        let ConvShape { inputs, outputs, kernel, .. } = self.kernel.shape;
        let rank = self.rank;
        if rank == 0 {
            return None;
        }
        let start = if self.statistics.is_some() { 2 * inputs } else { 0 };
        let (a, up) = parameters[start..].split_at(rank * inputs * kernel);
        let mut down = vec![0.0; a.len()];
        for (r, a) in a.chunks_exact(inputs * kernel).enumerate() {
            for (i, a) in a.chunks_exact(kernel).enumerate() {
                for (tap, a) in a.iter().enumerate() {
                    down[(i * kernel + tap) * rank + r] = *a;
                }
            }
        }
        Some(Adapter { rank, down, up: &up[..outputs * rank] })
    }

    /// The bent input rows `first..first + rows`, zeros where there is no input.
    fn input_rows(&self, x: &[f32], first: isize, rows: usize) -> Vec<f32> {
        let channels = self.kernel.shape.inputs;
        let mut bent = vec![0.0; rows * channels];
        let (inside, at) = overlap(first, rows, x.len() / channels);
        simd::bend(
            &mut bent[at * channels..(at + inside.len()) * channels],
            &x[inside.start * channels..inside.end * channels],
            &self.scale,
            &self.offset,
            self.bend.borrowed(),
        );
        bent
    }

    /// Adds the convolution of x to `out`, `[time, outputs]`, which holds the residual or zeros.
    pub(super) fn forward(&self, x: &[f32], parameters: &[f32], out: &mut [f32]) {
        let Kernel { shape, taps, bias } = &*self.kernel;
        let ConvShape { inputs, outputs, kernel, dilation, padding } = *shape;
        let adapter = self.adapter(parameters);
        for_blocks(
            out,
            outputs,
            inputs,
            |first, rows| self.input_rows(x, first as isize - padding as isize, rows + shape.reach()),
            |bent, columns, out| {
                let rows = out.len() / columns.len();
                if let Some(bias) = bias {
                    for row in out.chunks_exact_mut(columns.len()) {
                        row.iter_mut().zip(&bias[columns.clone()]).for_each(|(out, bias)| *out += bias);
                    }
                }
                for tap in 0..kernel {
                    let rows = Matrix::by_rows(&bent[tap * dilation * inputs..], rows, inputs, inputs);
                    let weights = &taps[tap * inputs * outputs + columns.start..];
                    multiply(out, rows, Matrix::by_rows(weights, inputs, columns.len(), outputs), true);
                }
            },
            |_, bent, out| {
                if let Some(Adapter { rank, up, .. }) = adapter {
                    let inner = self.inner(adapter.as_ref(), bent, out.len() / outputs);
                    let inner = Matrix::by_rows(&inner, out.len() / outputs, rank, rank);
                    multiply(out, inner, Matrix::by_rows(up, outputs, rank, rank).transposed(), true);
                }
            },
        );
    }

    /// The adapter's inner values of `rows` output rows, `[rows, rank]`, from their bent input rows.
    fn inner(&self, adapter: Option<&Adapter>, bent: &[f32], rows: usize) -> Vec<f32> {
        let ConvShape { inputs, kernel, dilation, .. } = self.kernel.shape;
        let Some(Adapter { rank, down, .. }) = adapter else { return Vec::new() };
        let (width, bent_rows) = (kernel * rank, bent.len() / inputs);
        let mut products = vec![0.0; bent_rows * width];
        let bent = Matrix::by_rows(bent, bent_rows, inputs, inputs);
        multiply(&mut products, bent, Matrix::by_rows(down, inputs, width, width), false);
        let mut inner = vec![0.0; rows * rank];
        for (t, inner) in inner.chunks_exact_mut(*rank).enumerate() {
            for tap in 0..kernel {
                let product = &products[(t + tap * dilation) * width + tap * rank..][..*rank];
                inner.iter_mut().zip(product).for_each(|(inner, product)| *inner += product);
            }
        }
        inner
    }

    /// The gradients of the input and of the parameters, from that of the output.
    pub(super) fn backward(&self, x: &[f32], parameters: &[f32], grad: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let Kernel { shape, taps, .. } = &*self.kernel;
        let ConvShape { inputs, outputs, kernel, dilation, padding } = *shape;
        let adapter = self.adapter(parameters);
        let inner_grad = adapter.as_ref().map(|adapter| {
            let mut inner = vec![0.0; grad.len() / outputs * adapter.rank];
            inner.par_chunks_mut(ROWS * adapter.rank).zip(grad.par_chunks(ROWS * outputs)).for_each(
                |(inner, grad)| {
                    let grad = Matrix::by_rows(grad, grad.len() / outputs, outputs, outputs);
                    let up = Matrix::by_rows(adapter.up, outputs, adapter.rank, adapter.rank);
                    multiply(inner, grad, up, false);
                },
            );
            inner
        });
        let mut dx = vec![0.0; x.len()];
        let sums = for_blocks(
            &mut dx,
            inputs,
            outputs,
            |first, rows| {
                let first = first as isize + padding as isize - shape.reach() as isize;
                padded_rows(grad, outputs, first, rows + shape.reach())
            },
            |grad, columns, dx| {
                let rows = dx.len() / columns.len();
                for tap in 0..kernel {
                    let grad = &grad[(shape.reach() - tap * dilation) * outputs..];
                    let weights = &taps[(tap * inputs + columns.start) * outputs..];
                    let weights = Matrix::by_rows(weights, columns.len(), outputs, outputs).transposed();
                    multiply(dx, Matrix::by_rows(grad, rows, outputs, outputs), weights, tap > 0);
                }
            },
            |first, _, dx| {
                let rows = dx.len() / inputs;
                if let (Some(adapter), Some(inner)) = (&adapter, &inner_grad) {
                    let from = first as isize + padding as isize;
                    let spread = spread_taps(inner, adapter.rank, shape, from, rows);
                    let width = kernel * adapter.rank;
                    let down = Matrix::by_rows(&adapter.down, inputs, width, width).transposed();
                    multiply(dx, Matrix::by_rows(&spread, rows, width, width), down, true);
                }
                let x = &x[first * inputs..][..dx.len()];
                let (mut sums, mut products) = (vec![0.0; inputs], vec![0.0; inputs]);
                let statistics = self.statistics.as_ref();
                let both = (&mut sums[..], &mut products[..]);
                simd::bend_backward(dx, x, &self.scale, &self.offset, self.bend.borrowed(), statistics, both);
                (sums, products)
            },
        );
        let mut parameter_grads = Vec::with_capacity(parameters.len());
        if let Some(statistics) = &self.statistics {
            let beta = added(sums.iter().map(|sums| &sums.0[..]), inputs);
            let gamma = added(sums.iter().map(|sums| &sums.1[..]), inputs);
            let share = 1.0 / (x.len() / inputs) as f32;
            let mean = |sums: &[f32]| -> Vec<f32> { sums.iter().map(|sum| sum * share).collect() };
            let (mean_du, mean_product) = (mean(&beta), mean(&gamma));
            dx.par_chunks_mut(ROWS * inputs).zip(x.par_chunks(ROWS * inputs)).for_each(|(dx, x)| {
                simd::normalise_backward(dx, x, &self.scale, statistics, (&mean_du, &mean_product));
            });
            parameter_grads.extend(gamma);
            parameter_grads.extend(beta);
        }
        if let (Some(adapter), Some(inner)) = (&adapter, &inner_grad) {
            self.adapter_grads(x, grad, adapter, inner, &mut parameter_grads);
        }
        (dx, parameter_grads)
    }

    /// Appends the gradients of the adapter's A and B.
    fn adapter_grads(&self, x: &[f32], grad: &[f32], adapter: &Adapter, inner: &[f32], to: &mut Vec<f32>) {
        let shape = &self.kernel.shape;
        let ConvShape { inputs, outputs, kernel, padding, dilation } = *shape;
        let (rank, width) = (adapter.rank, kernel * adapter.rank);
        let parts: Vec<(Vec<f32>, Vec<f32>)> = grad
            .par_chunks(ROWS * outputs)
            .enumerate()
            .map(|(n, grad)| {
                let (first, rows) = (n * ROWS, grad.len() / outputs);
                let bent_rows = rows + shape.reach();
                let bent = self.input_rows(x, first as isize - padding as isize, bent_rows);
                let values = self.inner(Some(adapter), &bent, rows);
                let mut up = vec![0.0; outputs * rank];
                let grad = Matrix::by_rows(grad, rows, outputs, outputs).transposed();
                multiply(&mut up, grad, Matrix::by_rows(&values, rows, rank, rank), false);
                // Each input row meets tap k of the output row k·dilation before it.
                let mut spread = vec![0.0; bent_rows * width];
                for (t, inner) in inner[first * rank..(first + rows) * rank].chunks_exact(rank).enumerate() {
                    for tap in 0..kernel {
                        spread[(t + tap * dilation) * width + tap * rank..][..rank].copy_from_slice(inner);
                    }
                }
                let mut down = vec![0.0; width * inputs];
                let spread = Matrix::by_rows(&spread, bent_rows, width, width).transposed();
                multiply(&mut down, spread, Matrix::by_rows(&bent, bent_rows, inputs, inputs), false);
                (down, up)
            })
            .collect();
        let down = added(parts.iter().map(|part| &part.0[..]), width * inputs);
        for r in 0..rank {
            for i in 0..inputs {
                to.extend((0..kernel).map(|tap| down[(tap * rank + r) * inputs + i]));
            }
        }
        to.extend(added(parts.iter().map(|part| &part.1[..]), outputs * rank));
    }
}

/// The sum of vectors of that length, summed in f64.
fn added<'a>(parts: impl Iterator<Item = &'a [f32]>, length: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f64; length];
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += f64::from(*part));
    }
    sum.into_iter().map(|sum| sum as f32).collect()
}

/// Rows of the passes that need no taps.
const ROWS: usize = 256;

/// Which of the rows `0..length` lie in `first..first + rows`, and the place of the first of them in it.
fn overlap(first: isize, rows: usize, length: usize) -> (Range<usize>, usize) {
    let start = first.clamp(0, length as isize);
    let end = (first + rows as isize).clamp(start, length as isize);
    (start as usize..end as usize, (start - first).clamp(0, rows as isize) as usize)
}

/// Rows `first..first + rows` of `x`, zeros where there are none.
fn padded_rows<'a>(x: &'a [f32], columns: usize, first: isize, rows: usize) -> std::borrow::Cow<'a, [f32]> {
    let (inside, at) = overlap(first, rows, x.len() / columns);
    let values = &x[inside.start * columns..inside.end * columns];
    if inside.len() == rows {
        return values.into();
    }
    let mut padded = vec![0.0; rows * columns];
    padded[at * columns..at * columns + values.len()].copy_from_slice(values);
    padded.into()
}

/// For each of `rows` input rows, the inner gradients it meets: `[rows, taps·rank]`, where tap k is the output
/// row k·dilation before `first`.
fn spread_taps(inner: &[f32], rank: usize, shape: &ConvShape, first: isize, rows: usize) -> Vec<f32> {
    let width = shape.kernel * rank;
    let mut spread = vec![0.0; rows * width];
    for tap in 0..shape.kernel {
        let from = first - (tap * shape.dilation) as isize;
        let (inside, at) = overlap(from, rows, inner.len() / rank);
        for (row, inner) in inner[inside.start * rank..inside.end * rank].chunks_exact(rank).enumerate() {
            spread[(at + row) * width + tap * rank..][..rank].copy_from_slice(inner);
        }
    }
    spread
}
