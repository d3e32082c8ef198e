//! Between tensors and RGB bytes.

use crate::Device;
use crate::error::{ModelError, Result};
use candle_core::{DType, Tensor};

/// A picture in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rgb8 {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// Red, green, blue of each pixel, row by row from the top left.
    pub pixels: Vec<u8>,
}

/// `[batch, 3, height, width]` in -1..1 to bytes; what lies outside is clipped.
///
/// # Errors
/// [`ModelError::Tensor`] when it has another shape.
pub fn to_rgb8(pictures: &Tensor) -> Result<Vec<Rgb8>> {
    let build = || -> candle_core::Result<Vec<Rgb8>> {
        let (batch, channels, height, width) = pictures.dims4()?;
        if channels != 3 {
            candle_core::bail!("pictures of {channels} channels");
        }
        let scaled = ((pictures.to_dtype(DType::F32)? + 1.0)? * 127.5)?.clamp(0.0, 255.0)?.round()?;
        let bytes = scaled.permute((0, 2, 3, 1))?.to_dtype(DType::U8)?;
        let picture = |at| Ok(Rgb8 { width, height, pixels: bytes.get(at)?.flatten_all()?.to_vec1()? });
        (0..batch).map(picture).collect()
    };
    build().map_err(ModelError::tensor("turning pictures into bytes"))
}

/// Bytes to `[1, 3, height, width]` in -1..1.
///
/// # Errors
/// [`ModelError::Drawing`] when there are not three bytes a pixel, [`ModelError::Tensor`] when the device fails.
pub fn from_rgb8(picture: &Rgb8, device: &Device) -> Result<Tensor> {
    let Rgb8 { width, height, pixels } = picture;
    if width.checked_mul(*height).and_then(|count| count.checked_mul(3)) != Some(pixels.len()) {
        return Err(ModelError::Drawing {
            reason: format!("{} bytes are no RGB picture of {width}x{height}", pixels.len()),
            advice: "give three bytes for each pixel".into(),
        });
    }
    let values: Vec<f32> = pixels.iter().map(|&byte| f32::from(byte) / 127.5 - 1.0).collect();
    Tensor::from_vec(values, (1, *height, *width, 3), &device.0)
        .and_then(|picture| picture.permute((0, 3, 1, 2))?.contiguous())
        .map_err(ModelError::tensor("reading a picture's bytes"))
}

/// The mask of a picture, `[1, 1, height, width]`: 1 where it is light, to be redrawn, 0 where it is dark.
///
/// # Errors
/// As [`from_rgb8`].
pub fn mask_from_rgb8(picture: &Rgb8, device: &Device) -> Result<Tensor> {
    let light = from_rgb8(picture, device)?;
    (light.mean_keepdim(1).and_then(|light| light.ge(0.0)?.to_dtype(DType::F32)))
        .map_err(ModelError::tensor("reading a mask"))
}
