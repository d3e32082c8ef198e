//! Who a face is: a residual network makes 128 numbers of a face that lie near one another for one person and apart for
//! two.

use super::landmarks::Points;
use super::layers::Weights;
use crate::device::Device;
use crate::embedded;
use crate::error::{ModelError, Result};
use crate::picture::{Crop, Picture};
use candle_core::{D, Tensor};

const ID: &str = "face-recognition";
/// What the network was trained to have subtracted, per channel.
const MEAN_RGB: [f32; 3] = [122.782, 117.001, 104.298];
/// Side of the network's input in pixels.
const INPUT: usize = 150;
/// Where the middle of eyes and mouth lies in the square that is shown, and the distance from eyes to mouth, as shares of
/// its side (dlib's alignment, as face-api cuts it).
const MIDDLE: [f32; 2] = [0.5, 0.43];
const EYES_TO_MOUTH: f32 = 0.45;
/// Faces nearer than this are taken for one person's, farther ones for two people's (dlib's and face-api's own mark).
pub const SAME_PERSON: f32 = 0.6;

/// A face as 128 numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Faceprint(pub [f32; 128]);

impl Faceprint {
    /// How far apart two faces are: 0 to about 1.4; see [`SAME_PERSON`].
    pub fn distance(&self, other: &Faceprint) -> f32 {
        self.0.iter().zip(&other.0).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
    }
}

/// Tells people apart. Loaded once, used for many faces.
pub struct FaceRecogniser {
    device: candle_core::Device,
    first: Layer,
    blocks: Vec<Block>,
    last: Tensor,
}

/// A convolution whose outputs are scaled and shifted, both folded into its weights.
struct Layer {
    filters: Tensor,
    bias: Tensor,
}

/// Two convolutions beside a shortcut; one that goes `down` halves the size.
struct Block {
    down: bool,
    layers: [Layer; 2],
}

impl Layer {
    fn load(w: &Weights, name: &str, [input, output, kernel]: [usize; 3]) -> Result<Self> {
        let filters = w.get(&format!("{name}/conv/filters"), &[output, input, kernel, kernel])?;
        let of = |name: String| w.get(&name, &[output]);
        let (bias, scale) = (of(format!("{name}/conv/bias"))?, of(format!("{name}/scale/weights"))?);
        let shift = of(format!("{name}/scale/biases"))?;
        let fold = || -> candle_core::Result<Layer> {
            let filters = filters.broadcast_mul(&scale.reshape((output, 1, 1, 1))?)?;
            let bias = ((bias * &scale)? + shift)?.reshape((1, output, 1, 1))?;
            Ok(Layer { filters, bias })
        };
        fold().map_err(ModelError::tensor("loading weights"))
    }

    fn forward(&self, x: &Tensor, padding: usize, stride: usize) -> candle_core::Result<Tensor> {
        x.conv2d(&self.filters, padding, stride, 1, 1)?.broadcast_add(&self.bias)
    }
}

impl Block {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let [first, second] = &self.layers;
        if !self.down {
            let out = second.forward(&first.forward(x, 1, 1)?.relu()?, 1, 1)?;
            return (out + x)?.relu();
        }
        let out = second.forward(&first.forward(x, 0, 2)?.relu()?, 1, 1)?;
        let pooled = x.avg_pool2d(2)?;
        // Where the window of three does not reach the last pixels, and where the block widens, there are zeros.
        let (_, channels, h, w) = out.dims4()?;
        let (_, before, height, width) = pooled.dims4()?;
        let out = out.pad_with_zeros(2, 0, height - h)?.pad_with_zeros(3, 0, width - w)?;
        (out + pooled.pad_with_zeros(1, 0, channels - before)?)?.relu()
    }
}

impl FaceRecogniser {
    /// Loads the built-in weights onto the device.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the device is out of memory.
    pub fn load(device: &Device) -> Result<Self> {
        let file = embedded::bytes(ID).unwrap_or_default();
        let w = Weights::read(ID, file, &device.0)?;
        let block = |name: &str, input: usize, output: usize, down: bool| -> Result<Block> {
            let layers = [
                Layer::load(&w, &format!("{name}/conv1"), [input, output, 3])?,
                Layer::load(&w, &format!("{name}/conv2"), [output, output, 3])?,
            ];
            Ok(Block { down, layers })
        };
        let mut blocks = Vec::new();
        for (width, before, count) in [(32, 32, 3), (64, 32, 3), (128, 64, 2), (256, 128, 2)] {
            if before != width {
                blocks.push(block(&format!("conv{width}_down"), before, width, true)?);
            }
            for n in 1..=count {
                blocks.push(block(&format!("conv{width}_{n}"), width, width, false)?);
            }
        }
        blocks.push(block("conv256_down_out", 256, 256, true)?);
        Ok(FaceRecogniser {
            device: device.0.clone(),
            first: Layer::load(&w, "conv32_down", [3, 32, 7])?,
            blocks,
            last: w.get("fc", &[256, 128])?,
        })
    }

    /// The face of these landmarks in a picture of `width * height * 3` RGB bytes.
    ///
    /// # Errors
    /// [`ModelError::Picture`] when the size makes no sense or does not fit the bytes; [`ModelError::FaceBox`] when the
    /// landmarks lie outside the picture.
    pub fn recognise(&self, rgb: &[u8], width: u32, height: u32, points: &Points) -> Result<Faceprint> {
        let picture = Picture::new(rgb, width, height)?;
        let (crop, side, offset) = aligned(points, &picture)?;
        let mut input = picture.square(crop, side, offset, INPUT).values;
        for (plane, mean) in input.chunks_exact_mut(INPUT * INPUT).zip(MEAN_RGB) {
            plane.iter_mut().for_each(|value| *value = (*value - mean) / 255.0);
        }
        let numbers = Tensor::from_vec(input, (1, 3, INPUT, INPUT), &self.device)
            .and_then(|input| self.forward(&input)?.flatten_all()?.to_vec1::<f32>())
            .map_err(ModelError::tensor("recognising a face"))?;
        let mut print = [0.0; 128];
        print.iter_mut().zip(numbers).for_each(|(place, number)| *place = number);
        Ok(Faceprint(print))
    }

    /// [n, 3, 150, 150] -> [n, 128].
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let mut x = self.first.forward(x, 0, 2)?.relu()?.max_pool2d_with_stride(3, 2)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        x.mean((D::Minus2, D::Minus1))?.matmul(&self.last)
    }
}

/// The square around a face as the network wants it: what of it lies in the picture, its side, and where in it that begins.
fn aligned(points: &Points, picture: &Picture) -> Result<(Crop, usize, (usize, usize))> {
    let mean = |range: std::ops::Range<usize>| {
        let count = range.len() as f32;
        range.fold([0.0; 2], |sum, i| [sum[0] + points[i][0] / count, sum[1] + points[i][1] / count])
    };
    let (left, right, mouth) = (mean(36..42), mean(42..48), mean(48..68));
    let to_mouth = |eye: [f32; 2]| (eye[0] - mouth[0]).hypot(eye[1] - mouth[1]);
    let side = ((to_mouth(left) + to_mouth(right)) / 2.0 / EYES_TO_MOUTH).floor();
    let begin = |axis: usize| ((left[axis] + right[axis] + mouth[axis]) / 3.0 - MIDDLE[axis] * side).floor();
    let (x, y) = (begin(0), begin(1));
    let inside = |begin: f32, size: usize| (begin.max(0.0), (begin + side).min(size as f32));
    let ((x0, x1), (y0, y1)) = (inside(x, picture.width), inside(y, picture.height));
    // Written so that numbers that are none are refused too.
    if !(side >= 1.0 && x1 - x0 >= 1.0 && y1 - y0 >= 1.0) {
        let (width, height) = (picture.width as u32, picture.height as u32);
        return Err(ModelError::FaceBox { x, y, w: side, h: side, width, height });
    }
    let crop = Crop { x: x0 as usize, y: y0 as usize, w: (x1 - x0) as usize, h: (y1 - y0) as usize };
    Ok((crop, side as usize, ((x0 - x) as usize, (y0 - y) as usize)))
}
