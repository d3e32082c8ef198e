//! The layers that every part is made of, and the convolutions that run over a stream piece by piece.
//!
//! Sequences of vectors are [time, width]; signals are [channels, time]. There is no batch: one voice speaks.

use super::file::{Tensors, refuse};
use crate::error::{ModelError, Result};
use candle_core::{D, Tensor};

/// A matrix on vectors, with or without a bias.
pub(super) struct Linear {
    /// [in, out], a view of what the file holds.
    transposed: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// `name` is the tensor's own, `.weight` included.
    pub(super) fn without_bias(w: &Tensors<'_>, name: &str, [input, output]: [usize; 2]) -> Result<Self> {
        let weight = w.get(name, &[output, input])?;
        Ok(Linear { transposed: weight.t().map_err(ModelError::tensor("loading weights"))?, bias: None })
    }

    /// A convolution of one tap, `name` as for [`Linear::without_bias`].
    pub(super) fn pointwise(w: &Tensors<'_>, name: &str, [input, output]: [usize; 2]) -> Result<Self> {
        let weight = w.get(name, &[output, input, 1])?.squeeze(2).and_then(|weight| weight.t());
        Ok(Linear { transposed: weight.map_err(ModelError::tensor("loading weights"))?, bias: None })
    }

    /// `name` is the layer's.
    pub(super) fn load(w: &Tensors<'_>, name: &str, sizes: [usize; 2]) -> Result<Self> {
        let bias = Some(w.get(&format!("{name}.bias"), &[sizes[1]])?);
        Ok(Linear { bias, ..Linear::without_bias(w, &format!("{name}.weight"), sizes)? })
    }

    /// [time, in] to [time, out].
    pub(super) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let y = x.matmul(&self.transposed)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// Layer normalisation, affine or plain.
pub(super) struct LayerNorm {
    affine: Option<(Tensor, Tensor)>,
    eps: f64,
}

impl LayerNorm {
    pub(super) fn plain(eps: f64) -> Self {
        LayerNorm { affine: None, eps }
    }

    pub(super) fn load(w: &Tensors<'_>, name: &str, width: usize, eps: f64) -> Result<Self> {
        let get = |part: &str| w.get(&format!("{name}.{part}"), &[width]);
        Ok(LayerNorm { affine: Some((get("weight")?, get("bias")?)), eps })
    }

    pub(super) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + self.eps)?.sqrt()?;
        let y = centred.broadcast_div(&deviation)?;
        match &self.affine {
            Some((weight, bias)) => y.broadcast_mul(weight)?.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// What a run of streaming layers remembers between two pieces: one slot for every layer, in the order in which they
/// run. Every piece starts with [`Streams::rewind`].
#[derive(Default)]
pub(super) struct Streams {
    slots: Vec<Option<Tensor>>,
    next: usize,
}

impl Streams {
    pub(super) fn rewind(&mut self) {
        self.next = 0;
    }

    fn slot(&mut self) -> &mut Option<Tensor> {
        if self.next == self.slots.len() {
            self.slots.push(None);
        }
        self.next += 1;
        &mut self.slots[self.next - 1]
    }
}

/// What stands before the first sample.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Before {
    Zeros,
    FirstValue,
}

/// A causal convolution: output t sees inputs up to t.
pub(super) struct Conv {
    /// One [out, in] matrix for every tap when the stride is 1, else the whole [out, in, kernel].
    taps: Vec<Tensor>,
    whole: Tensor,
    bias: Option<Tensor>,
    stride: usize,
    dilation: usize,
    before: Before,
}

impl Conv {
    pub(super) fn load(
        w: &Tensors<'_>,
        name: &str,
        [input, output, kernel]: [usize; 3],
        dilation: usize,
    ) -> Result<Self> {
        let bias = w.get(&format!("{name}.bias"), &[output])?;
        let bias = bias.unsqueeze(1).map_err(ModelError::tensor("loading weights"))?;
        let whole = w.get(&format!("{name}.weight"), &[output, input, kernel])?;
        Conv::new(whole, Some(bias), 1, dilation, Before::Zeros)
    }

    /// One whose kernel spans two strides, which is how every reduction of the rate is built here.
    pub(super) fn down(w: &Tensors<'_>, name: &str, sizes: [usize; 3], before: Before) -> Result<Self> {
        let [input, output, kernel] = sizes;
        if kernel % 2 != 0 {
            return Err(refuse(format!("`{name}.weight` has {kernel} taps, expected two strides")));
        }
        let whole = w.get(&format!("{name}.weight"), &[output, input, kernel])?;
        let bias = match w.shape(&format!("{name}.bias")) {
            Some(_) => {
                let bias = w.get(&format!("{name}.bias"), &[output])?;
                Some(bias.unsqueeze(1).map_err(ModelError::tensor("loading weights"))?)
            }
            None => None,
        };
        Conv::new(whole, bias, kernel / 2, 1, before)
    }

    fn new(
        whole: Tensor,
        bias: Option<Tensor>,
        stride: usize,
        dilation: usize,
        before: Before,
    ) -> Result<Self> {
        let kernel = whole.dim(2).map_err(ModelError::tensor("loading weights"))?;
        let taps = match stride {
            1 => (0..kernel).map(|n| whole.narrow(2, n, 1)?.squeeze(2)?.contiguous()).collect(),
            _ => Ok(Vec::new()),
        };
        let taps = taps.map_err(ModelError::tensor("loading weights"))?;
        Ok(Conv { taps, whole, bias, stride, dilation, before })
    }

    /// [in, time] to [out, time / stride]; `time` is a multiple of the stride.
    pub(super) fn forward(&self, x: &Tensor, streams: &mut Streams) -> candle_core::Result<Tensor> {
        let (channels, time) = x.dims2()?;
        let span = (self.whole.dim(2)? - 1) * self.dilation + 1;
        let keep = span - self.stride;
        let seen = if keep == 0 {
            x.contiguous()?
        } else {
            let slot = streams.slot();
            let past = match (slot.take(), self.before) {
                (Some(past), _) => past,
                (None, Before::Zeros) => Tensor::zeros((channels, keep), x.dtype(), x.device())?,
                (None, Before::FirstValue) => x.narrow(1, 0, 1)?.broadcast_as((channels, keep))?,
            };
            let seen = Tensor::cat(&[&past, x], 1)?;
            *slot = Some(seen.narrow(1, time, keep)?.contiguous()?);
            seen
        };
        let y = if self.stride == 1 {
            // A matrix product a tap reads the signal where it lies; the library's convolution copies it out first.
            let tap = |n: usize| self.taps[n].matmul(&seen.narrow(1, n * self.dilation, time)?);
            let mut sum = tap(0)?;
            for n in 1..self.taps.len() {
                sum = (sum + tap(n)?)?;
            }
            sum
        } else {
            seen.unsqueeze(0)?.conv1d(&self.whole, 0, self.stride, self.dilation, 1)?.squeeze(0)?
        };
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// A transposed convolution whose kernel spans two strides: every output lies under two inputs, the present one and
/// the one before, so that one matrix on both gives `stride` outputs at once, and the input before is all that a
/// stream has to keep.
pub(super) struct UpConv {
    /// [out * stride, 2 * in]: the present input's taps, then those of the one before.
    matrix: Tensor,
    /// [out, 1].
    bias: Tensor,
    stride: usize,
}

impl UpConv {
    pub(super) fn load(w: &Tensors<'_>, name: &str, [input, output, kernel]: [usize; 3]) -> Result<Self> {
        if kernel % 2 != 0 {
            return Err(refuse(format!("`{name}.weight` has {kernel} taps, expected two strides")));
        }
        let stride = kernel / 2;
        let weight = w.get(&format!("{name}.weight"), &[input, output, kernel])?;
        let bias = w.get(&format!("{name}.bias"), &[output])?;
        let half = |from: usize| weight.narrow(2, from, stride)?.permute((1, 2, 0))?.contiguous();
        let matrix = half(0).and_then(|present| {
            Tensor::cat(&[&present, &half(stride)?], 2)?.reshape((output * stride, 2 * input))
        });
        let bias = bias.unsqueeze(1);
        let loading = "loading weights";
        Ok(UpConv {
            matrix: matrix.map_err(ModelError::tensor(loading))?,
            bias: bias.map_err(ModelError::tensor(loading))?,
            stride,
        })
    }

    /// [in, time] to [out, time * stride].
    pub(super) fn forward(&self, x: &Tensor, streams: &mut Streams) -> candle_core::Result<Tensor> {
        let time = x.dim(1)?;
        let both = Tensor::cat(&[x, &delayed(x, streams)?], 0)?;
        let y = self.matrix.matmul(&both)?.reshape(((), self.stride, time))?;
        y.transpose(1, 2)?.contiguous()?.reshape(((), time * self.stride))?.broadcast_add(&self.bias)
    }
}

/// [`UpConv`] on each channel by itself, without a bias.
pub(super) struct ChannelUpConv {
    /// [channels, 1, stride] for the present input and for the one before.
    present: Tensor,
    before: Tensor,
    stride: usize,
}

impl ChannelUpConv {
    pub(super) fn load(w: &Tensors<'_>, name: &str, channels: usize, kernel: usize) -> Result<Self> {
        let weight = w.get(name, &[channels, 1, kernel])?;
        let half = |from: usize| weight.narrow(2, from, kernel / 2).and_then(|half| half.contiguous());
        let loading = "loading weights";
        Ok(ChannelUpConv {
            present: half(0).map_err(ModelError::tensor(loading))?,
            before: half(kernel / 2).map_err(ModelError::tensor(loading))?,
            stride: kernel / 2,
        })
    }

    /// [channels, time] to [channels, time * stride].
    pub(super) fn forward(&self, x: &Tensor, streams: &mut Streams) -> candle_core::Result<Tensor> {
        let (channels, time) = x.dims2()?;
        let past = delayed(x, streams)?.unsqueeze(2)?.broadcast_mul(&self.before)?;
        let y = (x.unsqueeze(2)?.broadcast_mul(&self.present)? + past)?;
        y.reshape((channels, time * self.stride))
    }
}

/// The signal one step late; the step that falls out waits for the next piece.
fn delayed(x: &Tensor, streams: &mut Streams) -> candle_core::Result<Tensor> {
    let (channels, time) = x.dims2()?;
    let slot = streams.slot();
    let past = match slot.take() {
        Some(past) => past,
        None => Tensor::zeros((channels, 1), x.dtype(), x.device())?,
    };
    *slot = Some(x.narrow(1, time - 1, 1)?.contiguous()?);
    Tensor::cat(&[&past, &x.narrow(1, 0, time - 1)?], 1)
}
