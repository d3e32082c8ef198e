//! The 68 landmarks of a face (iBUG's numbering): a small densely connected network on a 112x112 crop.

use super::detector::FaceBox;
use super::layers::{Conv, Separable, Weights};
use super::patch::{Patch, Pose, cut};
use crate::device::Device;
use crate::embedded;
use crate::error::{ModelError, Result};
use crate::ops::pad_same;
use crate::picture::{Picture, View};
use candle_core::Tensor;

const ID: &str = "face-landmarks";
/// What the network was trained to have subtracted, per channel.
const MEAN_RGB: [f32; 3] = [122.782, 117.001, 104.298];
/// Side of the network's input in pixels.
const INPUT: usize = 112;

/// Side of the square shown to the network over the extent of the landmarks, where its answers scatter least
/// (measured from 0.85 to 1.4 over fourteen faces: 3.8 % of the distance between the eyes at 0.85, 1.6 % at 1.15,
/// 2.2 % at 1.4) and differ least from those for the mirrored picture.
const STEADIEST: f32 = 1.18;
/// Side in pixels of the patch that views are taken from: a view of one of its pixels per 1.5 or so keeps detail.
const PATCH: usize = 288;
/// Relative size and turn (radians) of the views that settle the pose.
const ROUGH_VIEWS: [(f32, f32); 1] = [(1.0, 0.0)];
/// Relative size and turn (radians) of the views that are averaged.
const FINE_VIEWS: [(f32, f32); 5] = [(1.0, 0.0), (0.94, 0.0), (1.06, 0.0), (1.0, -0.08), (1.0, 0.08)];

/// x and y of the 68 landmarks in pixels: 0-16 jaw, 17-26 brows, 27-35 nose, 36-47 eyes, 48-59 outer lip, 60-67
/// inner lip, each from the picture's left to its right.
pub type Points = [[f32; 2]; 68];

/// For each landmark the one on the other half of the face that it becomes in a mirror.
pub(super) const MIRRORED: [usize; 68] = [
    16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 27, 28,
    29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40, 54, 53, 52, 51, 50, 49, 48,
    59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
];

/// Finds the landmarks of a face whose box is known. Loaded once, used for many faces.
pub struct Landmarker {
    device: candle_core::Device,
    blocks: [Block; 4],
    weights: Tensor,
    bias: Tensor,
}

/// Four convolutions, each fed with the sum of all before it; the first halves the size.
struct Block {
    first: First,
    others: [Separable; 3],
}

enum First {
    Full(Conv),
    Separable(Separable),
}

impl Landmarker {
    /// Loads the built-in weights onto the device.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the device is out of memory.
    pub fn load(device: &Device) -> Result<Self> {
        let file = embedded::bytes(ID).unwrap_or_default();
        let w = Weights::read(ID, file, &device.0)?;
        let separable =
            |block: usize, n: usize, sizes| Separable::load(&w, &format!("dense{block}/conv{n}"), sizes);
        let block = |n: usize| -> Result<Block> {
            let size = 32 << n;
            let first = match n {
                0 => First::Full(Conv::load(&w, "dense0/conv0", [3, size, 3])?),
                _ => First::Separable(separable(n, 0, [size / 2, size])?),
            };
            let sizes = [size, size];
            Ok(Block {
                first,
                others: [separable(n, 1, sizes)?, separable(n, 2, sizes)?, separable(n, 3, sizes)?],
            })
        };
        Ok(Landmarker {
            device: device.0.clone(),
            blocks: [block(0)?, block(1)?, block(2)?, block(3)?],
            weights: w.get("fc/weights", &[256, 136])?,
            bias: w.get("fc/bias", &[136])?,
        })
    }

    /// The landmarks of one face, in one pass, as face-api computes them: the box is cut to the picture, padded
    /// to a square and shown to the network.
    ///
    /// # Errors
    /// [`ModelError::Picture`] when the size makes no sense or does not fit the bytes; [`ModelError::FaceBox`]
    /// when the box lies outside the picture.
    pub fn landmarks(&self, rgb: &[u8], width: u32, height: u32, face: &FaceBox) -> Result<Points> {
        let picture = Picture::new(rgb, width, height)?;
        let crop = cut(face, &picture)?;
        let side = crop.w.max(crop.h);
        let offset = ((side - crop.w) / 2, (side - crop.h) / 2);
        let input = picture.square(crop, side, offset, INPUT).values;
        let mut points = self.run(input, 1)?[0];
        for [x, y] in &mut points {
            *x = *x * side as f32 - offset.0 as f32 + crop.x as f32;
            *y = *y * side as f32 - offset.1 as f32 + crop.y as f32;
        }
        Ok(points)
    }

    /// The landmarks of one face as steadily as this network can: for stills, where there is time.
    ///
    /// A first pass finds the face's middle, size and tilt; the face is then cut out upright at the size the
    /// network is steadiest at, in slightly different ways and each of them mirrored, twice over; the points are
    /// the mean of what is seen. Over boxes that are off by up to a tenth the points scatter by 0.25 % of the
    /// distance between the eyes, those of [`Landmarker::landmarks`] by 3.1 % (seven faces, four boxes each).
    /// Costs about twelve times as much.
    ///
    /// # Errors
    /// As [`Landmarker::landmarks`].
    pub fn landmarks_refined(&self, rgb: &[u8], width: u32, height: u32, face: &FaceBox) -> Result<Points> {
        let picture = Picture::new(rgb, width, height)?;
        let mut points = self.landmarks(rgb, width, height, face)?;
        for views in [&ROUGH_VIEWS[..], &FINE_VIEWS[..]] {
            points = self.upright(&picture, &points, views)?;
        }
        Ok(points)
    }

    /// Looks again at a face whose landmarks are roughly known, once for each (relative size, turn) of `views`
    /// and its mirror image, and averages what is seen.
    fn upright(&self, picture: &Picture, rough: &Points, views: &[(f32, f32)]) -> Result<Points> {
        let pose = Pose::of(rough, STEADIEST);
        let patch = Patch::around(picture, &pose, PATCH)?;
        let views: Vec<View> = views
            .iter()
            .flat_map(|&(size, turn)| [(size, turn, false), (size, turn, true)])
            .map(|(size, turn, mirrored)| View {
                centre: patch.inside(pose.centre),
                scale: pose.side * size / patch.pixel / INPUT as f32,
                angle: pose.angle + turn,
                mirrored,
                side: INPUT as f32,
            })
            .collect();
        let inputs = views.iter().flat_map(|view| patch.square.view(view, INPUT)).collect();
        let mut mean = [[0.0; 2]; 68];
        for (view, seen) in views.iter().zip(self.run(inputs, views.len())?) {
            for (n, mean) in mean.iter_mut().enumerate() {
                let [x, y] = seen[if view.mirrored { MIRRORED[n] } else { n }];
                let [x, y] = patch.outside(view.source([x * INPUT as f32, y * INPUT as f32]));
                mean[0] += x / views.len() as f32;
                mean[1] += y / views.len() as f32;
            }
        }
        Ok(mean)
    }

    /// `count` inputs, one after the other, values 0..=255 -> their landmarks as fractions of the input's side.
    fn run(&self, mut inputs: Vec<f32>, count: usize) -> Result<Vec<Points>> {
        for (plane, mean) in inputs.chunks_exact_mut(INPUT * INPUT).zip(MEAN_RGB.into_iter().cycle()) {
            plane.iter_mut().for_each(|value| *value = (*value - mean) / 255.0);
        }
        let values = Tensor::from_vec(inputs, (count, 3, INPUT, INPUT), &self.device)
            .and_then(|inputs| self.forward(&inputs)?.flatten_all()?.to_vec1::<f32>())
            .map_err(ModelError::tensor("finding landmarks"))?;
        let points = |values: &[f32]| {
            let mut points = [[0.0; 2]; 68];
            points.iter_mut().zip(values.chunks_exact(2)).for_each(|(point, xy)| point.copy_from_slice(xy));
            points
        };
        Ok(values.chunks_exact(136).map(points).collect())
    }

    /// [n, 3, 112, 112] -> [n, 136].
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let mut x = x.clone();
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        // The average pool's 7x7 window is all that is left of the picture.
        x.mean((2, 3))?.matmul(&self.weights)?.broadcast_add(&self.bias)
    }
}

impl Block {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let x = pad_same(x, 3, 2)?;
        let mut sum = match &self.first {
            First::Full(conv) => conv.forward(&x, 2)?,
            First::Separable(separable) => separable.forward(&x, 2)?,
        }
        .relu()?;
        // Each layer's output joins the sum before the activation, so only the sum itself is rectified; the
        // first output is already.
        for layer in &self.others {
            sum = (&sum + layer.forward(&pad_same(&sum.relu()?, 3, 1)?, 1)?)?;
        }
        sum.relu()
    }
}
