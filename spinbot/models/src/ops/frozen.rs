//! A linear layer or 2-d convolution with frozen weights on channels-last values: what comes before it, the product,
//! low-rank adapters and what is added, as one operation whose backward gives the gradients of everything but the
//! weights.

use super::before::First;
use super::custom::{values, with_values};
use super::gemm::{Matrix, multiply};
use super::product::{Columns, Geometry, Packed, Sources, accumulate};
use super::winograd::{self, Pictures};
use candle_core::{CpuStorage, CustomOp1, CustomOp3, D, Device, Layout, Result, Shape, Tensor, bail};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Frozen weights, packed.
#[derive(Debug)]
pub(crate) struct Frozen {
    geometry: Geometry,
    /// Of taps, or of [`winograd`]'s places where the geometry fits.
    forward: Packed,
    /// For gradients of the input; made when the first is wanted.
    backward: OnceLock<Packed>,
    bias: Option<Vec<f32>>,
}

/// A low-rank adapter of some of a layer's outputs.
pub(crate) struct Adapter<'a> {
    /// A, `[rank, inputs]` or `[rank, inputs, kernel, kernel]`.
    pub(crate) down: &'a Tensor,
    /// B, `[outputs of the part, rank]`.
    pub(crate) up: &'a Tensor,
    /// What the product counts by.
    pub(crate) scale: f64,
    /// The first of the part's outputs.
    pub(crate) first: usize,
}

impl Frozen {
    /// From weights `[outputs, inputs]` or `[outputs, inputs, kernel, kernel]`, f32 on the CPU.
    pub(crate) fn new(weight: &Tensor, bias: Option<&Tensor>, geometry: Geometry) -> Result<Self> {
        let (outputs, inputs) = (weight.dim(0)?, weight.dim(1)?);
        let taps = geometry.taps();
        if weight.elem_count() != outputs * inputs * taps {
            bail!("a kernel of {taps} taps with weights {:?}", weight.dims());
        }
        let bias = bias.map(Tensor::to_vec1).transpose()?;
        let forward = with_values(weight, |weight| match winograd::fits(geometry) {
            true => Packed::new(winograd::PLACES, inputs, outputs, |place, i, o| {
                winograd::weight(place, |tap| weight[(o * inputs + i) * taps + tap])
            }),
            false => Packed::new(taps, inputs, outputs, |tap, i, o| weight[(o * inputs + i) * taps + tap]),
        })?;
        Ok(Frozen { geometry, forward, backward: OnceLock::new(), bias })
    }

    fn backward(&self) -> &Packed {
        let Packed { taps, inputs, outputs, .. } = self.forward;
        self.backward.get_or_init(|| match winograd::fits(self.geometry) {
            true => Packed::new(taps, outputs, inputs, |place, o, i| {
                self.forward.at(winograd::turned(place), i, o)
            }),
            false => Packed::new(taps, outputs, inputs, |tap, o, i| self.forward.at(tap, i, o)),
        })
    }

    /// The layer's output for x, `[.., inputs]`; a convolution's is `[batch, height, width, inputs]`. `plus` is added:
    /// as large as the output, or `[batch, 1, .., outputs]`.
    pub(crate) fn run(
        self: &Arc<Self>,
        x: &Tensor,
        first: First,
        adapters: &[Adapter],
        plus: Option<&Tensor>,
    ) -> Result<Tensor> {
        let mut parameters = Vec::with_capacity(2 * adapters.len());
        let mut pairs = Vec::with_capacity(adapters.len());
        for adapter in adapters {
            let (outputs, rank) = adapter.up.dims2()?;
            if adapter.first + outputs > self.forward.outputs
                || adapter.down.elem_count() != rank * self.inner()
            {
                bail!(
                    "an adapter of shapes {:?} and {:?} does not fit",
                    adapter.down.dims(),
                    adapter.up.dims()
                );
            }
            parameters.extend([adapter.down.flatten_all()?, adapter.up.flatten_all()?]);
            pairs.push(Pair { first: adapter.first, outputs, rank, scale: adapter.scale as f32 });
        }
        let none = || Tensor::zeros(1, x.dtype(), x.device());
        let parameters = if pairs.is_empty() { none()? } else { Tensor::cat(&parameters, 0)? };
        let op =
            Application { layer: self.clone(), first, pairs, plus: plus.is_some(), inners: Mutex::default() };
        let plus = plus.map_or_else(none, Tensor::contiguous)?;
        x.contiguous()?.apply_op3(&parameters.contiguous()?, &plus, op)
    }

    /// Values that each output and each row of A sees.
    fn inner(&self) -> usize {
        self.geometry.taps() * self.forward.inputs
    }
}

struct Pair {
    first: usize,
    outputs: usize,
    rank: usize,
    scale: f32,
}

struct Application {
    layer: Arc<Frozen>,
    first: First,
    pairs: Vec<Pair>,
    plus: bool,
    /// What A gave for each pair on the way forward, if anyone will ask for gradients of B.
    inners: Mutex<Vec<Vec<f32>>>,
}

/// The shape of an application.
struct Extent {
    samples: usize,
    height: usize,
    width: usize,
    out: Vec<usize>,
}

impl Extent {
    fn rows(&self) -> usize {
        self.height * self.width
    }

    fn pictures(&self) -> Pictures {
        Pictures { count: self.samples, height: self.height, width: self.width }
    }

    fn sources(&self, geometry: Geometry) -> Sources {
        Sources::conv(geometry, self.samples, self.height, self.width)
    }
}

impl Application {
    fn extent(&self, dims: &[usize]) -> Result<Extent> {
        let (layer, mut out) = (&self.layer, dims.to_vec());
        let channels = dims.last().copied().unwrap_or(0);
        if dims.len() < 2 || self.first.width(channels) != layer.forward.inputs {
            bail!("a layer of {} inputs was given {dims:?}", layer.forward.inputs);
        }
        let rank = dims.len();
        out[rank - 1] = layer.forward.outputs;
        if layer.geometry == Geometry::POINT {
            let width = dims[1..rank - 1].iter().product();
            return Ok(Extent { samples: dims[0], height: 1, width, out });
        }
        let &[samples, height, width, _] = dims else { bail!("a convolution was given {dims:?}") };
        out[1] = layer.geometry.length(height);
        out[2] = layer.geometry.length(width);
        Ok(Extent { samples, height, width, out })
    }

    /// A and B of each pair.
    fn split<'a>(&'a self, parameters: &'a [f32]) -> impl Iterator<Item = (&'a Pair, &'a [f32], &'a [f32])> {
        let inner = self.layer.inner();
        self.pairs.iter().scan(parameters, move |rest, pair| {
            let (down, after) = rest.split_at(pair.rank * inner);
            let (up, after) = after.split_at(pair.outputs * pair.rank);
            *rest = after;
            Some((pair, down, up))
        })
    }

    fn forward(
        &self,
        x: &[f32],
        channels: usize,
        extent: &Extent,
        parameters: &[f32],
        plus: &[f32],
    ) -> Result<Vec<f32>> {
        let Frozen { geometry, forward, .. } = &*self.layer;
        let Packed { inputs, outputs, .. } = *forward;
        let count: usize = extent.out.iter().product();
        let sample = (count / extent.samples.max(1)).max(1);
        let mut out = self.start(count, sample, plus)?;
        let seen = self.first.apply(x, channels, extent.rows());
        let (all_in, all_out) = (Columns { first: 0, of: inputs }, Columns { first: 0, of: outputs });
        let whole = winograd::fits(*geometry);
        if whole {
            winograd::accumulate(&mut out, &seen, forward, extent.pictures());
        }
        if whole && self.pairs.is_empty() {
            return Ok(out);
        }
        let (taps, sources) = (geometry.taps(), extent.sources(*geometry));
        if !whole {
            accumulate(&mut out, all_out, &seen, all_in, forward, &sources);
        }
        let mut inners = Vec::with_capacity(self.pairs.len());
        for (pair, down, up) in self.split(parameters) {
            let down = Packed::new(taps, inputs, pair.rank, |tap, i, r| down[(r * inputs + i) * taps + tap]);
            let inner_columns = Columns { first: 0, of: pair.rank };
            let mut inner = vec![0.0; sources.rows * pair.rank];
            accumulate(&mut inner, inner_columns, &seen, all_in, &down, &sources);
            let up = Packed::new(1, pair.rank, pair.outputs, |_, r, o| pair.scale * up[o * pair.rank + r]);
            let part = Columns { first: pair.first, of: outputs };
            accumulate(&mut out, part, &inner, inner_columns, &up, &Sources::identity(sources.rows));
            inners.push(inner);
        }
        *self.inners.lock().unwrap_or_else(PoisonError::into_inner) = inners;
        Ok(out)
    }

    /// What the products are added to: the bias and what is to be added besides.
    fn start(&self, count: usize, sample: usize, plus: &[f32]) -> Result<Vec<f32>> {
        let outputs = self.layer.forward.outputs;
        let bias = self.layer.bias.as_deref();
        let with_bias = |out: &mut Vec<f32>, row: &[f32]| match bias {
            Some(bias) => out.extend(row.iter().zip(bias).map(|(plus, bias)| plus + bias)),
            None => out.extend_from_slice(row),
        };
        let mut out = Vec::with_capacity(count);
        match (self.plus, bias) {
            (false, None) => return Ok(vec![0.0; count]),
            (false, Some(bias)) => (0..count / outputs).for_each(|_| out.extend_from_slice(bias)),
            _ if plus.len() == count => plus.chunks_exact(outputs).for_each(|row| with_bias(&mut out, row)),
            _ if plus.len() * sample == count * outputs => {
                let mut row = Vec::with_capacity(outputs);
                for plus in plus.chunks_exact(outputs) {
                    row.clear();
                    with_bias(&mut row, plus);
                    (0..sample / outputs).for_each(|_| out.extend_from_slice(&row));
                }
            }
            _ => bail!("what is added has {} values, the output {count}", plus.len()),
        }
        Ok(out)
    }

    /// Gradients of x, where wanted, and of the parameters.
    fn gradients(
        &self,
        x: &[f32],
        channels: usize,
        extent: &Extent,
        parameters: &[f32],
        grad: &[f32],
        wanted: (bool, bool),
    ) -> (Option<Vec<f32>>, Vec<f32>) {
        let Frozen { geometry, forward, .. } = &*self.layer;
        let Packed { inputs, outputs, .. } = *forward;
        let (all_in, all_out) = (Columns { first: 0, of: inputs }, Columns { first: 0, of: outputs });
        let whole = winograd::fits(*geometry);
        let mut d_seen = Vec::new();
        if wanted.0 {
            d_seen = vec![0.0; extent.samples * extent.rows() * inputs];
        }
        if wanted.0 && whole {
            winograd::accumulate(&mut d_seen, grad, self.layer.backward(), extent.pictures());
        }
        if whole && self.pairs.is_empty() {
            return (wanted.0.then(|| self.first.backward(x, channels, extent.rows(), d_seen)), Vec::new());
        }
        let (taps, sources) = (geometry.taps(), extent.sources(*geometry));
        let back = Sources::conv_backward(*geometry, extent.samples, extent.height, extent.width);
        if wanted.0 && !whole {
            accumulate(&mut d_seen, all_in, grad, all_out, self.layer.backward(), &back);
        }
        let mut d_parameters = Vec::with_capacity(parameters.len());
        let seen = match self.pairs.is_empty() || !wanted.1 {
            true => Default::default(),
            false => self.first.apply(x, channels, extent.rows()),
        };
        let inners = self.inners.lock().unwrap_or_else(PoisonError::into_inner);
        for ((pair, down, up), inner) in self.split(parameters).zip(&*inners) {
            let Pair { first, outputs: part, rank, scale } = *pair;
            let (part_columns, inner_columns) =
                (Columns { first, of: outputs }, Columns { first: 0, of: rank });
            let rows = sources.rows;
            let packed = Packed::new(1, part, rank, |_, o, r| scale * up[o * rank + r]);
            let mut d_inner = vec![0.0; rows * rank];
            accumulate(&mut d_inner, inner_columns, grad, part_columns, &packed, &Sources::identity(rows));
            if wanted.0 {
                let packed = Packed::new(taps, rank, inputs, |tap, r, i| down[(r * inputs + i) * taps + tap]);
                accumulate(&mut d_seen, all_in, &d_inner, inner_columns, &packed, &back);
            }
            if !wanted.1 {
                continue;
            }
            let d_inner = Matrix::by_rows(&d_inner, rows, rank, rank).transposed();
            let mut d_down = vec![0.0; rank * inputs * taps];
            let mut d_tap = vec![0.0; rank * inputs];
            for tap in 0..taps {
                let gathered = (*geometry != Geometry::POINT).then(|| sources.gather(&seen, inputs, tap));
                let rows_of = Matrix::by_rows(gathered.as_deref().unwrap_or(&seen), rows, inputs, inputs);
                multiply(&mut d_tap, d_inner, rows_of, false);
                d_down[tap..].iter_mut().step_by(taps).zip(&d_tap).for_each(|(all, one)| *all = *one);
            }
            d_parameters.extend(d_down);
            let mut d_up = vec![0.0; part * rank];
            let grad = Matrix::by_rows(&grad[first..], rows, part, outputs).transposed();
            multiply(&mut d_up, grad, Matrix::by_rows(inner, rows, rank, rank), false);
            d_parameters.extend(d_up.iter().map(|d| scale * d));
        }
        (wanted.0.then(|| self.first.backward(x, channels, extent.rows(), d_seen)), d_parameters)
    }
}

impl CustomOp3 for Application {
    fn name(&self) -> &'static str {
        "frozen layer"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        parameters: &CpuStorage,
        parameters_layout: &Layout,
        plus: &CpuStorage,
        plus_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let extent = self.extent(x_layout.dims())?;
        let channels = x_layout.shape().dim(D::Minus1)?;
        let parameters = values(parameters, parameters_layout)?;
        let out =
            self.forward(values(x, x_layout)?, channels, &extent, parameters, values(plus, plus_layout)?)?;
        Ok((CpuStorage::F32(out), extent.out.into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        parameters: &Tensor,
        plus: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (extent, channels) = (self.extent(x.dims())?, x.dim(D::Minus1)?);
        let wanted = (x.track_op(), parameters.track_op());
        let (mut dx, mut d_parameters) = (None, None);
        if wanted.0 || wanted.1 {
            let (from_x, from_parameters) = with_values(x, |x| {
                with_values(parameters, |p| {
                    with_values(grad, |grad| self.gradients(x, channels, &extent, p, grad, wanted))
                })
            })???;
            dx = from_x.map(|dx| Tensor::from_vec(dx, x.shape(), &Device::Cpu)).transpose()?;
            if wanted.1 {
                d_parameters = Some(Tensor::from_vec(from_parameters, parameters.shape(), &Device::Cpu)?);
            }
        }
        let d_plus = match self.plus && plus.track_op() {
            false => None,
            true if plus.elem_count() == grad.elem_count() => Some(grad.reshape(plus.shape())?),
            true => {
                let outputs = self.layer.forward.outputs;
                Some(grad.reshape((extent.samples, (), outputs))?.sum(1)?.reshape(plus.shape())?)
            }
        };
        Ok((dx, d_parameters, d_plus))
    }
}

impl First {
    /// Does it as an operation of its own.
    pub(crate) fn run(self, x: &Tensor) -> Result<Tensor> {
        x.contiguous()?.apply_op1(Alone(self))
    }
}

struct Alone(First);

impl CustomOp1 for Alone {
    fn name(&self) -> &'static str {
        "normalisation or gate"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (mut dims, channels) = (layout.dims().to_vec(), layout.shape().dim(D::Minus1)?);
        let out = self.0.apply(values(x, layout)?, channels, rows(&dims)).into_owned();
        if let Some(last) = dims.last_mut() {
            *last = self.0.width(channels);
        }
        Ok((CpuStorage::F32(out), dims.into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let channels = x.dim(D::Minus1)?;
        let dx = with_values(x, |x_values| {
            with_values(grad, |grad| self.0.backward(x_values, channels, rows(x.dims()), grad.to_vec()))
        })??;
        Ok(Some(Tensor::from_vec(dx, x.shape(), &Device::Cpu)?))
    }
}

/// Rows of a sample: all dimensions but the first and the last.
fn rows(dims: &[usize]) -> usize {
    dims.get(1..dims.len() - 1).map_or(1, |dims| dims.iter().product())
}
