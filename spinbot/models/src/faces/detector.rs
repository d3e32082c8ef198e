//! The tiny face detector: a small YOLO-v2 with separable convolutions and five box shapes a cell.

use super::layers::{Conv, Separable, Weights};
use crate::device::Device;
use crate::embedded;
use crate::error::{ModelError, Result};
use crate::picture::Picture;
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

const ID: &str = "face-detector";
/// What the network was trained to have subtracted, per channel.
const MEAN_RGB: [f32; 3] = [117.001, 114.697, 97.404];
/// Widths and heights of the five box shapes, in cells.
const ANCHORS: [[f32; 2]; 5] = [
    [1.603231, 2.094468],
    [6.041143, 7.080126],
    [2.882459, 3.518061],
    [4.266906, 5.178857],
    [9.041765, 10.66308],
];
/// Input pixels per cell.
const CELL: usize = 32;
/// Boxes that overlap a better one by more than this are the same face.
const SAME_FACE: f32 = 0.3;
/// The score from which a box counts as a face.
const DEFAULT_THRESHOLD: f32 = 0.5;

/// A face found in a picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FaceBox {
    /// How sure the detector is, 0..=1.
    pub score: f32,
    /// Left edge in pixels; a little below 0 when the face touches the picture's edge.
    pub x: f32,
    /// Top edge in pixels.
    pub y: f32,
    /// Width in pixels.
    pub w: f32,
    /// Height in pixels.
    pub h: f32,
}

impl FaceBox {
    /// Area of both boxes' intersection over that of their union, 0..=1.
    pub fn overlap(&self, other: &FaceBox) -> f32 {
        let w = (self.x + self.w).min(other.x + other.w) - self.x.max(other.x);
        let h = (self.y + self.h).min(other.y + other.h) - self.y.max(other.y);
        let both = w.max(0.0) * h.max(0.0);
        both / (self.w * self.h + other.w * other.h - both)
    }
}

/// Finds faces. Loaded once, used for many pictures.
pub struct FaceDetector {
    device: candle_core::Device,
    threshold: f32,
    first: Conv,
    middle: [Separable; 5],
    last: Conv,
}

/// One look at a picture: how it is laid into the network's input.
struct Look {
    /// The black square the picture is laid on, as a multiple of its longer side.
    canvas: f32,
    /// Side of the network's input in pixels, a multiple of [`CELL`].
    input: usize,
}

/// The look that finds nearly every face, the one the network was trained for.
const FIRST_LOOK: Look = Look { canvas: 1.0, input: 416 };
/// Tried in order when the first finds nothing: faces that fill the picture, then small ones in large pictures
/// (a face needs some 40 pixels of the input). A still larger input was tried and left out: it found faces of 36
/// pixels, which are of no use here, and saw some where nobody was.
const FURTHER_LOOKS: [Look; 4] = [
    Look { canvas: 1.6, input: 416 },
    Look { canvas: 2.4, input: 416 },
    Look { canvas: 1.0, input: 736 },
    Look { canvas: 1.0, input: 1216 },
];
/// The most an input may enlarge a picture when looking for small faces: beyond it the pixels hold nothing new.
const MOST_ENLARGED: f32 = 1.5;

impl FaceDetector {
    /// Loads the built-in weights onto the device.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the device is out of memory.
    pub fn load(device: &Device) -> Result<Self> {
        let file = embedded::bytes(ID).unwrap_or_default();
        let w = Weights::read(ID, file, &device.0)?;
        let separable = |n: usize| Separable::load(&w, &format!("conv{n}"), [8 << n, 16 << n]);
        Ok(FaceDetector {
            device: device.0.clone(),
            threshold: DEFAULT_THRESHOLD,
            first: Conv::load(&w, "conv0", [3, 16, 3])?,
            middle: [separable(1)?, separable(2)?, separable(3)?, separable(4)?, separable(5)?],
            last: Conv::load(&w, "conv8", [512, 25, 1])?,
        })
    }

    /// With another score, 0..=1, from which a box counts as a face; 0.5 if never said.
    #[must_use]
    pub fn with_threshold(mut self, threshold: f32) -> Self {
        self.threshold = threshold;
        self
    }

    /// The faces of a picture of `width * height * 3` RGB bytes, best first; empty when there are none.
    ///
    /// Looks once the way the network was trained; only if that finds nothing it looks again for faces that fill
    /// the picture and for small ones.
    ///
    /// # Errors
    /// [`ModelError::Picture`] when the size makes no sense or does not fit the bytes.
    pub fn detect(&self, rgb: &[u8], width: u32, height: u32) -> Result<Vec<FaceBox>> {
        Ok(self.search(rgb, width, height)?.0)
    }

    /// As [`FaceDetector::detect`], and the best score seen in any look, 0..=1: what to tell when no face
    /// reached the threshold.
    ///
    /// # Errors
    /// As [`FaceDetector::detect`].
    pub fn search(&self, rgb: &[u8], width: u32, height: u32) -> Result<(Vec<FaceBox>, f32)> {
        let picture = Picture::new(rgb, width, height)?;
        let mut best = 0.0_f32;
        for look in std::iter::once(&FIRST_LOOK).chain(&FURTHER_LOOKS) {
            let longer = picture.width.max(picture.height) as f32;
            if look.input > FIRST_LOOK.input && look.input as f32 > longer * MOST_ENLARGED {
                continue;
            }
            let boxes = self.look(&picture, look)?;
            best = boxes.iter().fold(best, |best, face| best.max(face.score));
            let faces: Vec<_> = boxes.into_iter().filter(|face| face.score >= self.threshold).collect();
            if !faces.is_empty() {
                return Ok((best_of_each(faces), best));
            }
        }
        Ok((Vec::new(), best))
    }

    /// Every box of one look, of any score.
    fn look(&self, picture: &Picture, look: &Look) -> Result<Vec<FaceBox>> {
        let longer = picture.width.max(picture.height);
        let canvas = (longer as f32 * look.canvas).round() as usize;
        let offset = if look.canvas > 1.0 {
            ((canvas - picture.width) / 2, (canvas - picture.height) / 2)
        } else {
            (0, 0)
        };
        let mut input = picture.square(picture.whole(), canvas, offset, look.input).values;
        for (plane, mean) in input.chunks_exact_mut(look.input * look.input).zip(MEAN_RGB) {
            plane.iter_mut().for_each(|value| *value = (*value - mean) / 255.0);
        }
        let shape = (1, 3, look.input, look.input);
        let cells = Tensor::from_vec(input, shape, &self.device)
            .and_then(|input| {
                self.forward(&input)?.squeeze(0)?.permute((1, 2, 0))?.flatten_all()?.to_vec1::<f32>()
            })
            .map_err(ModelError::tensor("looking for faces"))?;
        let count = look.input / CELL;
        let to_picture = canvas as f32 / count as f32;
        let mut boxes = Vec::with_capacity(count * count * ANCHORS.len());
        for (cell, values) in cells.chunks_exact(5 * ANCHORS.len()).enumerate() {
            let (column, row) = ((cell % count) as f32, (cell / count) as f32);
            for (values, [anchor_w, anchor_h]) in values.chunks_exact(5).zip(ANCHORS) {
                let (w, h) = (values[2].exp() * anchor_w, values[3].exp() * anchor_h);
                boxes.push(FaceBox {
                    score: sigmoid(values[4]),
                    x: (column + sigmoid(values[0]) - w / 2.0) * to_picture - offset.0 as f32,
                    y: (row + sigmoid(values[1]) - h / 2.0) * to_picture - offset.1 as f32,
                    w: w * to_picture,
                    h: h * to_picture,
                });
            }
        }
        Ok(boxes)
    }

    /// [1, 3, n, n] -> [1, 25, n / 32, n / 32]: for each of five box shapes x, y, w, h, score before their
    /// activations.
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        // The first convolution is the only one without padding, here as in the original.
        let mut x = leaky(&self.first.forward(x, 1)?)?;
        for layer in &self.middle {
            x = pool(&x, 2)?.pad_with_zeros(2, 1, 1)?.pad_with_zeros(3, 1, 1)?;
            x = leaky(&layer.forward(&x, 1)?)?;
        }
        let x = pool(&x, 1)?;
        self.last.forward(&x, 1)
    }
}

/// Leaves the best of boxes that show the same face, best first.
fn best_of_each(mut boxes: Vec<FaceBox>) -> Vec<FaceBox> {
    boxes.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<FaceBox> = Vec::new();
    for face in boxes {
        if kept.iter().all(|better| better.overlap(&face) <= SAME_FACE) {
            kept.push(face);
        }
    }
    kept
}

/// The maximum of 2x2 windows with that stride, ceil(n / stride) of them (TensorFlow's SAME). Repeating the edge is
/// padding with minus infinity, as far as a maximum is concerned.
fn pool(x: &Tensor, stride: usize) -> candle_core::Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let missing = |n: usize| (n.div_ceil(stride) - 1) * stride + 2 - n;
    x.pad_with_same(2, 0, missing(h))?.pad_with_same(3, 0, missing(w))?.max_pool2d_with_stride(2, stride)
}

fn leaky(x: &Tensor) -> candle_core::Result<Tensor> {
    x.maximum(&(x * 0.1)?)
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
