//! Faces in drawings: where the eyes and the mouth of a person, a robot or an animal are that somebody drew.
//!
//! One small network, trained for this project on drawings whose points are known
//! (`recipes/tiny/train/train_points.py`). It tells four points and no landmarks: drawings have too many kinds of
//! noses. For photographs there is [`super::FaceDetector`].

use crate::device::Device;
use crate::embedded;
use crate::error::{ModelError, Result};
use crate::picture::{Crop, Picture};
use crate::residual::{Stage, Weights};
use crate::tensor_file::TensorFile;
use candle_core::{D, Module, Tensor};
use candle_nn::ops::softmax;
use candle_nn::{Conv2d, Linear};

const ID: &str = "drawn-faces";
/// Side of the network's input in pixels.
const INPUT: usize = 128;
/// Outputs of its stages, each of which halves the side.
const WIDTHS: [usize; 5] = [16, 32, 64, 96, 112];
/// Of the way up again: at 32, 16 and 8 cells a side.
const SIDES: [usize; 3] = [32, 48, 64];
/// Cells of a point's map along a side.
const MAP: usize = 32;
/// Numbers by which it is told whether there is a face.
const FEATURES: usize = 32;
/// Side of the square that is looked at again around a face, in distances between its eyes, or between eyes and mouth
/// where that is more.
const AROUND: f32 = 4.6;

/// The face of a drawn figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DrawnFace {
    /// How sure the network is, 0..=1.
    pub score: f32,
    /// The eyes' centres in pixels, the left one in the picture first.
    pub eyes: [[f32; 2]; 2],
    /// The mouth's corners in pixels, the left one in the picture first.
    pub mouth: [[f32; 2]; 2],
}

/// Finds the face of a drawn figure. Loaded once, used for many pictures.
pub struct DrawnFaceFinder {
    device: candle_core::Device,
    stages: Vec<Stage>,
    ways_up: Vec<WayUp>,
    maps: Conv2d,
    seen: Linear,
    face: Linear,
}

/// One step up: what comes from below, enlarged, and what comes across from the way down.
struct WayUp {
    below: Conv2d,
    across: Conv2d,
    conv: Conv2d,
}

/// What the network answers to one input: a score, and four points as fractions of the input's side.
struct Answer {
    score: f32,
    points: [[f32; 2]; 4],
}

impl DrawnFaceFinder {
    /// Loads the built-in weights onto the device.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the device is out of memory.
    pub fn load(device: &Device) -> Result<Self> {
        let file = TensorFile::from_bytes(ID, embedded::bytes(ID).unwrap_or_default())?;
        let weights = Weights { model: ID, file, device: device.0.clone() };
        let deepest = WIDTHS[WIDTHS.len() - 1];
        let way_up = |n: usize| {
            let below = SIDES.get(n + 1).copied().unwrap_or(deepest);
            Ok(WayUp {
                below: weights.pointwise(&format!("up.{n}.below"), below, SIDES[n], false)?,
                across: weights.pointwise(&format!("up.{n}.across"), WIDTHS[n + 1], SIDES[n], true)?,
                conv: weights.conv(&format!("up.{n}.conv"), SIDES[n], SIDES[n], 1)?,
            })
        };
        Ok(DrawnFaceFinder {
            stages: weights.stages(&WIDTHS)?,
            ways_up: (0..SIDES.len()).map(way_up).collect::<Result<_>>()?,
            maps: weights.conv("maps", SIDES[0], 4, 1)?,
            seen: weights.linear("seen", 2 * deepest, FEATURES)?,
            face: weights.linear("face", FEATURES, 1)?,
            device: weights.device,
        })
    }

    /// The face in a picture of `width * height * 3` RGB bytes, in one look at the whole of it. There always is an
    /// answer; `score` says what it is worth.
    ///
    /// # Errors
    /// [`ModelError::Picture`] when the size makes no sense or does not fit the bytes.
    pub fn glance(&self, rgb: &[u8], width: u32, height: u32) -> Result<DrawnFace> {
        let picture = Picture::new(rgb, width, height)?;
        let side = picture.width.max(picture.height);
        let corner = [-(((side - picture.width) / 2) as f32), -(((side - picture.height) / 2) as f32)];
        let answer = &self.look(vec![input(&picture, corner, side)])?[0];
        Ok(face_of(answer.score, laid(answer.points, corner, side)))
    }

    /// As [`DrawnFaceFinder::glance`], and then twice more at what is around the face, as it is and mirrored: the points
    /// are the mean of those two looks, the score is the lowest of the three, and lower where they disagree.
    ///
    /// # Errors
    /// As [`DrawnFaceFinder::glance`].
    pub fn find(&self, rgb: &[u8], width: u32, height: u32) -> Result<DrawnFace> {
        let first = self.glance(rgb, width, height)?;
        let picture = Picture::new(rgb, width, height)?;
        let (centre, size) = (first.centre(), first.size());
        let side = (AROUND * size).round().clamp(16.0, 2.0 * width.max(height) as f32);
        let corner = centre.map(|c| (c - side / 2.0).round());
        let side = side as usize;
        let straight = input(&picture, corner, side);
        let mirrored: Vec<f32> =
            straight.chunks_exact(INPUT).flat_map(|row| row.iter().rev().copied()).collect();
        let answers = self.look(vec![straight, mirrored])?;
        let [straight, mirrored] = &answers[..] else { return Ok(first) };
        let other = [1, 0, 3, 2].map(|n| [1.0 - mirrored.points[n][0], mirrored.points[n][1]]);
        let (one, two) = (laid(straight.points, corner, side), laid(other, corner, side));
        let mean: [[f32; 2]; 4] = std::array::from_fn(|n| [0, 1].map(|k| (one[n][k] + two[n][k]) / 2.0));
        let apart = |a: &[[f32; 2]; 4], b: &[[f32; 2]; 4]| {
            a.iter().zip(b).map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1])).fold(0.0, f32::max) / size
        };
        let glanced = [first.eyes[0], first.eyes[1], first.mouth[0], first.mouth[1]];
        let score = first.score.min(straight.score).min(mirrored.score);
        let doubt = (apart(&one, &two) / SAME_POINT).max(apart(&mean, &glanced) / SAME_GLANCE).max(1.0);
        Ok(face_of(score / doubt, mean))
    }

    /// The network's answers to inputs.
    fn look(&self, inputs: Vec<Vec<f32>>) -> Result<Vec<Answer>> {
        let count = inputs.len();
        self.forward(inputs.concat(), count).map_err(ModelError::tensor("looking for a drawn face"))
    }

    fn forward(&self, inputs: Vec<f32>, count: usize) -> candle_core::Result<Vec<Answer>> {
        let mut x = Tensor::from_vec(inputs, (count, 3, INPUT, INPUT), &self.device)?;
        let mut steps = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            x = stage.forward(&x)?;
            steps.push(x.clone());
        }
        let cells = x.flatten_from(2)?;
        let whole = Tensor::cat(&[cells.mean(D::Minus1)?, cells.max(D::Minus1)?], 1)?;
        let score =
            self.face.forward(&self.seen.forward(&whole)?.relu()?)?.flatten_all()?.to_vec1::<f32>()?;
        for (n, way) in self.ways_up.iter().enumerate().rev() {
            let side = INPUT >> (n + 2);
            let below = way.below.forward(&x)?.upsample_nearest2d(side, side)?;
            x = way.conv.forward(&(below + way.across.forward(&steps[n + 1])?)?.relu()?)?.relu()?;
        }
        let maps = softmax(&self.maps.forward(&x)?.flatten_from(2)?, D::Minus1)?;
        let maps = maps.flatten_all()?.to_vec1::<f32>()?;
        let answers = score.into_iter().zip(maps.chunks_exact(4 * MAP * MAP));
        Ok(answers
            .map(|(logit, maps)| Answer {
                score: 1.0 / (1.0 + (-logit).exp()),
                points: std::array::from_fn(|n| mean(&maps[n * MAP * MAP..][..MAP * MAP])),
            })
            .collect())
    }
}

impl DrawnFace {
    /// Between eyes and mouth.
    fn centre(&self) -> [f32; 2] {
        [0, 1].map(|k| self.eyes.iter().chain(&self.mouth).map(|p| p[k]).sum::<f32>() / 4.0)
    }

    /// The eyes' distance, or that between them and the mouth where it is more.
    fn size(&self) -> f32 {
        let middle = |[a, b]: [[f32; 2]; 2]| [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0];
        let far = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
        far(self.eyes[0], self.eyes[1]).max(far(middle(self.eyes), middle(self.mouth)))
    }
}

/// How far two looks at the same part of a picture may put a point apart, in sizes of the face, without being doubted.
const SAME_POINT: f32 = 0.15;
/// As [`SAME_POINT`], between the first glance, in which a face may be small, and the closer looks.
const SAME_GLANCE: f32 = 0.35;

fn face_of(score: f32, [a, b, c, d]: [[f32; 2]; 4]) -> DrawnFace {
    DrawnFace { score, eyes: [a, b], mouth: [c, d] }
}

/// The square of `side` pixels whose top left corner lies at `corner`, whole pixels of the picture, as the network takes
/// it; black where it reaches beyond the picture.
fn input(picture: &Picture, corner: [f32; 2], side: usize) -> Vec<f32> {
    let span = |corner: f32, length: usize| {
        let first = corner.max(0.0).min(length as f32 - 1.0);
        let end = (corner + side as f32).clamp(first + 1.0, length as f32);
        (first as usize, (end - first) as usize, (first - corner).max(0.0) as usize)
    };
    let (x, w, left) = span(corner[0], picture.width);
    let (y, h, top) = span(corner[1], picture.height);
    let mut values = picture.square(Crop { x, y, w, h }, side, (left, top), INPUT).values;
    values.iter_mut().for_each(|value| *value = *value / 127.5 - 1.0);
    values
}

/// Points of an input laid back into the picture.
fn laid(points: [[f32; 2]; 4], corner: [f32; 2], side: usize) -> [[f32; 2]; 4] {
    points.map(|p| [0, 1].map(|k| corner[k] + p[k] * side as f32))
}

/// The mean place of a map whose cells sum to 1, as fractions of its side.
fn mean(map: &[f32]) -> [f32; 2] {
    let mut sum = [0.0; 2];
    for (n, share) in map.iter().enumerate() {
        sum[0] += share * ((n % MAP) as f32 + 0.5) / MAP as f32;
        sum[1] += share * ((n / MAP) as f32 + 0.5) / MAP as f32;
    }
    sum
}
