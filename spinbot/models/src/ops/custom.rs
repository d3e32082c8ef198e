//! The fused convolution and the addition as candle's operations: what is theirs of the storage, the shapes and the
//! graph, and nothing of the arithmetic.

use super::fused::FusedConv;
use candle_core::{
    CpuStorage, CustomOp3, Device, InplaceOp2, InplaceOp3, Layout, Result, Shape, Storage, Tensor, bail,
};
use rayon::prelude::*;

/// The values of a contiguous f32 tensor in the CPU's memory.
pub(super) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a fused operation needs contiguous values"),
    }
}

/// Calls `with` on the values of a tensor.
pub(super) fn with_values<R>(tensor: &Tensor, with: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(with(values(storage, layout)?)),
        _ => bail!("a fused operation needs the CPU"),
    }
}

impl CustomOp3 for FusedConv {
    fn name(&self) -> &'static str {
        "fused convolution"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        parameters: &CpuStorage,
        parameters_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = &self.kernel.shape;
        let (x, parameters) = (values(x, x_layout)?, values(parameters, parameters_layout)?);
        let rows = shape.rows(x.len() / shape.inputs);
        let mut out = if self.residual {
            values(residual, residual_layout)?.to_vec()
        } else {
            vec![0.0; rows * shape.outputs]
        };
        if out.len() != rows * shape.outputs {
            bail!("the residual has {} values, the output {}", out.len(), rows * shape.outputs);
        }
        self.forward(x, parameters, &mut out);
        Ok((CpuStorage::F32(out), (rows, shape.outputs).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        parameters: &Tensor,
        residual: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dp) = with_values(x, |x_values| {
            with_values(parameters, |p| with_values(grad, |grad| self.backward(x_values, p, grad)))
        })???;
        let dx = if x.track_op() { Some(Tensor::from_vec(dx, x.shape(), &Device::Cpu)?) } else { None };
        let parameters = match parameters.track_op() {
            true => Some(Tensor::from_vec(dp, parameters.shape(), &Device::Cpu)?),
            false => None,
        };
        Ok((dx, parameters, (self.residual && residual.track_op()).then(|| grad.clone())))
    }
}

/// Adds a tensor to another of the same shape.
pub(super) struct AddTo;

impl InplaceOp2 for AddTo {
    fn name(&self) -> &'static str {
        "addition in place"
    }

    fn cpu_fwd(
        &self,
        sum: &mut CpuStorage,
        sum_layout: &Layout,
        x: &CpuStorage,
        x_layout: &Layout,
    ) -> Result<()> {
        let x = values(x, x_layout)?;
        let (CpuStorage::F32(sum), Some((start, end))) = (sum, sum_layout.contiguous_offsets()) else {
            bail!("a fused operation needs contiguous f32 values");
        };
        let pairs = sum[start..end].par_chunks_mut(1 << 16).zip(x.par_chunks(1 << 16));
        pairs.for_each(|(sum, x)| sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x));
        Ok(())
    }
}

impl InplaceOp3 for FusedConv {
    fn name(&self) -> &'static str {
        "fused convolution in place"
    }

    /// Adds to the destination where it is the residual, else overwrites it.
    fn cpu_fwd(
        &self,
        out: &mut CpuStorage,
        out_layout: &Layout,
        x: &CpuStorage,
        x_layout: &Layout,
        parameters: &CpuStorage,
        parameters_layout: &Layout,
    ) -> Result<()> {
        let (x, parameters) = (values(x, x_layout)?, values(parameters, parameters_layout)?);
        let (CpuStorage::F32(out), Some((start, end))) = (out, out_layout.contiguous_offsets()) else {
            bail!("a fused operation needs contiguous f32 values");
        };
        let (out, shape) = (&mut out[start..end], &self.kernel.shape);
        if out.len() != shape.rows(x.len() / shape.inputs) * shape.outputs {
            bail!("the output has {} values, which is not what the input makes", out.len());
        }
        if !self.residual {
            out.fill(0.0);
        }
        self.forward(x, parameters, out);
        Ok(())
    }
}
