//! People and what is behind them: a network of MobileNetV3's kind that tells the share of a person in each pixel.

use crate::device::Device;
use crate::error::{ModelError, Result};
use crate::mobile::{Constants, Conv, Doubling, doubled, hard_swish};
use crate::picture::Picture;
use candle_core::Tensor;

const ID: &str = "matte";
/// Side of the network's input and output in pixels.
const SIDE: usize = 256;

/// Tells people from the background: MediaPipe's general selfie segmentation. Loaded once, used for many pictures.
pub struct Matte {
    device: candle_core::Device,
    stem: Conv,
    body: Vec<Block>,
    pooled: [Conv; 2],
    narrow: [Conv; 3],
    joints: [Joint; 3],
    last: Doubling,
}

#[derive(Clone, Copy)]
enum Activation {
    Relu,
    HardSwish,
}

impl Activation {
    fn of(self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Activation::Relu => x.relu(),
            Activation::HardSwish => hard_swish(x),
        }
    }
}

/// Wider, over the neighbourhood, weighed by channel where it has `squeeze`, narrower; added to what came in where the
/// sizes agree.
struct Block {
    activation: Activation,
    wider: Conv,
    around: Conv,
    squeeze: Option<Squeeze>,
    narrower: Conv,
    adds: bool,
}

impl Block {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let wide = self.activation.of(&self.wider.forward(x)?)?;
        let mut wide = self.activation.of(&self.around.forward(&wide)?)?;
        if let Some(squeeze) = &self.squeeze {
            wide = wide.broadcast_mul(&squeeze.forward(&wide)?)?;
        }
        let narrow = self.narrower.forward(&wide)?;
        if self.adds { narrow + x } else { Ok(narrow) }
    }
}

/// A weight a channel, of the channels' means.
struct Squeeze([Conv; 2]);

impl Squeeze {
    fn load(w: &mut Constants, channels: usize, narrow: usize) -> Result<Self> {
        Ok(Squeeze([w.conv([channels, narrow, 1], 1)?, w.conv([narrow, channels, 1], 1)?]))
    }

    /// [batch, c, h, w] -> [batch, c, 1, 1].
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let mean = x.mean_keepdim((2, 3))?;
        candle_nn::ops::sigmoid(&self.0[1].forward(&self.0[0].forward(&mean)?.relu()?)?)
    }
}

/// What came down and what was kept on the way, joined.
struct Joint {
    weigh: Squeeze,
    mix: Conv,
    around: Conv,
}

impl Joint {
    fn load(w: &mut Constants, channels: usize) -> Result<Self> {
        Ok(Joint {
            weigh: Squeeze::load(w, channels, channels)?,
            mix: w.conv([channels, channels, 1], 1)?,
            around: w.depthwise([channels, 3], 1)?,
        })
    }

    fn forward(&self, kept: &Tensor, came: &Tensor) -> candle_core::Result<Tensor> {
        let weight = self.weigh.forward(&(kept + came)?)?;
        let mixed = self.mix.forward(&(kept.broadcast_mul(&weight)? + came)?)?.relu()?;
        let around = self.around.forward(&mixed)?.relu()?;
        mixed + around
    }
}

impl Matte {
    /// Loads the built-in weights onto the device.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the device is out of memory.
    pub fn load(device: &Device) -> Result<Self> {
        use Activation::{HardSwish, Relu};
        let mut w = Constants::embedded(ID, &device.0)?;
        let stem = w.conv([3, 16, 3], 2)?;
        let mut body = Vec::new();
        for (activation, [input, wide, output], [kernel, stride], squeeze) in [
            (Relu, [16, 16, 16], [3, 2], Some(8)),
            (Relu, [16, 72, 24], [3, 2], None),
            (Relu, [24, 88, 24], [3, 1], None),
            (HardSwish, [24, 96, 32], [5, 2], Some(24)),
            (HardSwish, [32, 128, 32], [5, 1], Some(32)),
            (HardSwish, [32, 128, 32], [5, 1], Some(32)),
            (HardSwish, [32, 96, 32], [5, 1], Some(24)),
            (HardSwish, [32, 96, 32], [5, 1], Some(24)),
        ] {
            body.push(Block {
                activation,
                wider: w.conv([input, wide, 1], 1)?,
                around: w.depthwise([wide, kernel], stride)?,
                squeeze: squeeze.map(|narrow| Squeeze::load(&mut w, wide, narrow)).transpose()?,
                narrower: w.conv([wide, output, 1], 1)?,
                adds: stride == 1 && input == output,
            });
        }
        let pooled = [w.conv([32, 128, 1], 1)?, w.conv([32, 128, 1], 1)?];
        let (first, one) = (w.conv([128, 24, 1], 1)?, Joint::load(&mut w, 24)?);
        let (second, two) = (w.conv([24, 16, 1], 1)?, Joint::load(&mut w, 16)?);
        let (third, three) = (w.conv([16, 16, 1], 1)?, Joint::load(&mut w, 16)?);
        let last = w.doubling([16, 1])?;
        w.end()?;
        let (narrow, joints) = ([first, second, third], [one, two, three]);
        Ok(Matte { device: device.0.clone(), stem, body, pooled, narrow, joints, last })
    }

    /// The share of a person, 0..=1, in each of `256 x 256` equal parts of the picture, row by row: the picture is
    /// stretched to a square, as MediaPipe does. `rgb` holds `3 * width * height` bytes.
    ///
    /// # Errors
    /// [`ModelError::Picture`] when the size makes no sense or does not fit the bytes.
    pub fn of(&self, rgb: &[u8], width: u32, height: u32) -> Result<Vec<f32>> {
        let input = Picture::new(rgb, width, height)?.stretched(SIDE);
        let input = Tensor::from_vec(input, (1, 3, SIDE, SIDE), &self.device).and_then(|x| x / 255.0);
        let made = input.and_then(|x| self.forward(&x)?.flatten_all()?.to_vec1());
        made.map_err(ModelError::tensor("finding people"))
    }

    /// Side of what [`Matte::of`] gives.
    pub fn side() -> usize {
        SIDE
    }

    /// [1, 3, 256, 256], 0..=1 -> [1, 1, 256, 256].
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let widest = hard_swish(&self.stem.forward(x)?)?;
        let mut x = widest.clone();
        let mut kept = Vec::new();
        for block in &self.body {
            x = block.forward(&x)?;
            kept.push(x.clone());
        }
        let [of_all, of_mean] = &self.pooled;
        let mean = candle_nn::ops::sigmoid(&of_mean.forward(&x.mean_keepdim((2, 3))?)?)?;
        x = of_all.forward(&x)?.relu()?.broadcast_mul(&mean)?;
        // What is kept: after the third block, after the first, and before all.
        let kept = [&kept[2], &kept[0], &widest];
        for ((narrow, joint), kept) in self.narrow.iter().zip(&self.joints).zip(kept) {
            x = joint.forward(kept, &narrow.forward(&doubled(&x)?)?)?;
        }
        candle_nn::ops::sigmoid(&self.last.forward(&x)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::path::Path;

    #[test]
    fn shares_equal_those_of_mediapipe() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let reference = std::fs::read_to_string(repository.join("tests/reference/mediapipe.json")).unwrap();
        let reference: serde_json::Value = serde_json::from_str(&reference).unwrap();
        let reference = &reference["matte"];
        let [x, y, ..] = [0, 1, 2, 3].map(|n| reference["crop"][n].as_u64().unwrap() as u32);
        let picture =
            image::open(repository.join("tests/fixtures/portraits/astronaut.png")).unwrap().to_rgb8();
        let crop = image::imageops::crop_imm(&picture, x, y, SIDE as u32, SIDE as u32).to_image();
        let matte = Matte::load(&Device::cpu()).unwrap().of(crop.as_raw(), SIDE as u32, SIDE as u32).unwrap();
        let every = reference["every"].as_u64().unwrap() as usize;
        let rows = matte.chunks_exact(SIDE).step_by(every);
        let shares = rows.flat_map(|row| row.iter().step_by(every));
        let mut worst = 0.0_f64;
        for (share, expected) in shares.zip(reference["shares"].as_array().unwrap()) {
            worst = worst.max((f64::from(*share) - expected.as_f64().unwrap()).abs());
        }
        // The package computes in f16 where the processor can.
        assert!(worst < 0.02, "{worst}");
    }
}
