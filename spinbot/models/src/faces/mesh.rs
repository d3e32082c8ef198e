//! A mesh of 468 points over a face whose landmarks are roughly known (Kartynnik et al. 2019, "Real-time facial surface
//! geometry from monocular video on mobile GPUs"). Lips and lids are drawn with more points than the 68 landmarks have,
//! and nearer to their edges.

use super::landmarks::Points;
use super::patch::{Patch, Pose};
use crate::device::Device;
use crate::error::{ModelError, Result};
use crate::mobile::{Constants, Conv, Slope};
use crate::picture::{Picture, View};
use candle_core::Tensor;

const ID: &str = "face-mesh";
/// Points of the mesh.
pub const MESH_POINTS: usize = 468;
/// Side of the network's input in pixels.
const INPUT: usize = 192;
/// Side of the square shown to the network over the extent of the mesh (as MediaPipe's), and over that of the 68
/// landmarks, which end at the brows.
const ROOM: f32 = 1.5;
const ROOM_OF_LANDMARKS: f32 = 1.7;
/// Side in pixels of the patch that views are taken from.
const PATCH: usize = 448;
/// Relative size and turn (radians) of the views whose mean the mesh is.
const VIEWS: [(f32, f32); 5] = [(1.0, 0.0), (0.94, 0.0), (1.06, 0.0), (1.0, -0.08), (1.0, 0.08)];

/// The points of the mesh that iBUG's 68 landmarks are.
const LANDMARKS: [usize; 68] = [
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389, 71, 63, 105, 66, 107,
    336, 296, 334, 293, 301, 168, 197, 5, 4, 75, 97, 2, 326, 305, 33, 160, 158, 133, 153, 144, 362, 385, 387,
    263, 373, 380, 61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
];

/// A line of the mesh, from the picture's left to its right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeshPart {
    /// The upper lip's edge to the skin.
    UpperLipOuter,
    /// The upper lip's edge to the mouth.
    UpperLipInner,
    /// The lower lip's edge to the mouth.
    LowerLipInner,
    /// The lower lip's edge to the skin.
    LowerLipOuter,
    /// The upper lid's edge of the eye on the picture's left.
    LeftUpperLid,
    /// The lower lid's.
    LeftLowerLid,
    /// The upper lid's edge of the eye on the picture's right.
    RightUpperLid,
    /// The lower lid's.
    RightLowerLid,
}

impl MeshPart {
    fn points(self) -> &'static [usize] {
        match self {
            MeshPart::UpperLipOuter => &[61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291],
            MeshPart::UpperLipInner => &[78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308],
            MeshPart::LowerLipInner => &[78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308],
            MeshPart::LowerLipOuter => &[61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291],
            MeshPart::LeftUpperLid => &[33, 246, 161, 160, 159, 158, 157, 173, 133],
            MeshPart::LeftLowerLid => &[33, 7, 163, 144, 145, 153, 154, 155, 133],
            MeshPart::RightUpperLid => &[362, 398, 384, 385, 386, 387, 388, 466, 263],
            MeshPart::RightLowerLid => &[362, 382, 381, 380, 374, 373, 390, 249, 263],
        }
    }
}

/// A face's mesh in a picture's pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Mesh {
    /// x and y of the [`MESH_POINTS`] points.
    pub points: Vec<[f32; 2]>,
    /// How sure the network is that there is a face, 0..=1.
    pub presence: f32,
}

impl Mesh {
    /// The 68 landmarks of it.
    pub fn landmarks(&self) -> Points {
        LANDMARKS.map(|n| self.points[n])
    }

    /// One of its lines.
    pub fn line(&self, part: MeshPart) -> Vec<[f32; 2]> {
        part.points().iter().map(|&n| self.points[n]).collect()
    }
}

/// Lays the mesh. Loaded once, used for many faces.
pub struct FaceMesh {
    device: candle_core::Device,
    stem: (Conv, Slope),
    trunk: Vec<Block>,
    presence: Head,
    mesh: Head,
}

/// Over the neighbourhood, across the channels, and added to what came in; where it halves the sides, to the largest of
/// each four of it.
struct Block {
    around: Conv,
    across: Conv,
    slope: Slope,
    halves: bool,
}

/// What is made of the trunk's output.
struct Head {
    blocks: Vec<Block>,
    narrow: (Conv, Slope),
    last: (Block, Conv),
}

impl Block {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let made = self.across.forward(&self.around.forward(x)?)?;
        let kept = if self.halves { x.max_pool2d(2)? } else { x.clone() };
        let more = made.dim(1)? - kept.dim(1)?;
        self.slope.forward(&(made + kept.pad_with_zeros(1, 0, more)?)?)
    }
}

impl Head {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let mut x = x.clone();
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        let x = self.narrow.1.forward(&self.narrow.0.forward(&x)?)?;
        self.last.1.within(&self.last.0.forward(&x)?)?.flatten_from(1)
    }
}

/// A block's convolutions, which run before its slope.
fn convolutions(w: &mut Constants, input: usize, output: usize, halves: bool) -> Result<(Conv, Conv)> {
    Ok((w.depthwise([input, 3], if halves { 2 } else { 1 })?, w.conv([input, output, 1], 1)?))
}

fn block(w: &mut Constants, input: usize, output: usize, halves: bool) -> Result<Block> {
    let (around, across) = convolutions(w, input, output, halves)?;
    Ok(Block { around, across, slope: w.slope(output)?, halves })
}

impl FaceMesh {
    /// Loads the built-in weights onto the device.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the device is out of memory.
    pub fn load(device: &Device) -> Result<Self> {
        let mut w = Constants::embedded(ID, &device.0)?;
        let stem = (w.conv([3, 16, 3], 2)?, w.slope(16)?);
        let mut trunk = Vec::new();
        for (input, output, halves) in [
            (16, 16, false),
            (16, 16, false),
            (16, 32, true),
            (32, 32, false),
            (32, 32, false),
            (32, 64, true),
            (64, 64, false),
            (64, 64, false),
            (64, 128, true),
            (128, 128, false),
            (128, 128, false),
            (128, 128, true),
            (128, 128, false),
            (128, 128, false),
        ] {
            trunk.push(block(&mut w, input, output, halves)?);
        }
        let deeper = [block(&mut w, 128, 128, true)?, block(&mut w, 128, 128, false)?];
        // The graph runs both heads side by side, layer by layer; the one of the presence first.
        let first = [w.depthwise([128, 3], 2)?, w.depthwise([128, 3], 1)?];
        let second = [w.conv([128, 128, 1], 1)?, w.conv([128, 128, 1], 1)?];
        let slopes = [w.slope(128)?, w.slope(128)?];
        let narrow = [w.conv([128, 32, 1], 1)?, w.conv([128, 32, 1], 1)?];
        let narrow_slopes = [w.slope(32)?, w.slope(32)?];
        let around = [w.depthwise([32, 3], 1)?, w.depthwise([32, 3], 1)?];
        let across = [w.conv([32, 32, 1], 1)?, w.conv([32, 32, 1], 1)?];
        let last_slopes = [w.slope(32)?, w.slope(32)?];
        let ends = [w.conv([32, 1, 3], 1)?, w.conv([32, 3 * MESH_POINTS, 3], 1)?];
        w.end()?;
        let [first_presence, first_mesh] = pairs(first, second, slopes);
        let [last_presence, last_mesh] = pairs(around, across, last_slopes);
        let [narrow_presence, narrow_mesh] = zip(narrow, narrow_slopes);
        let [end_presence, end_mesh] = ends;
        let head = |blocks, narrow, last, end| Head { blocks, narrow, last: (last, end) };
        let presence = head(
            vec![Block { halves: true, ..first_presence }],
            narrow_presence,
            last_presence,
            end_presence,
        );
        let [one, two] = deeper;
        let mesh = head(vec![one, two, first_mesh], narrow_mesh, last_mesh, end_mesh);
        Ok(FaceMesh { device: device.0.clone(), stem, trunk, presence, mesh })
    }

    /// The mesh over a face whose 68 landmarks are roughly known: settled in two looks, then the mean of several that
    /// differ in size and turn. `rgb` holds `3 * width * height` bytes.
    ///
    /// # Errors
    /// [`ModelError::Picture`] when the size makes no sense or does not fit the bytes; [`ModelError::FaceBox`] when the
    /// face lies outside the picture.
    pub fn lay(&self, rgb: &[u8], width: u32, height: u32, rough: &Points) -> Result<Mesh> {
        let picture = Picture::new(rgb, width, height)?;
        let mut mesh = self.look(&picture, &Pose::of(rough, ROOM_OF_LANDMARKS), &VIEWS[..1])?;
        for views in [&VIEWS[..1], &VIEWS[..]] {
            mesh = self.look(&picture, &mesh.pose(), views)?;
        }
        Ok(mesh)
    }

    fn look(&self, picture: &Picture, pose: &Pose, views: &[(f32, f32)]) -> Result<Mesh> {
        let patch = Patch::around(picture, pose, PATCH)?;
        let view = |&(size, turn): &(f32, f32)| View {
            centre: patch.inside(pose.centre),
            scale: pose.side * size / patch.pixel / INPUT as f32,
            angle: pose.angle + turn,
            mirrored: false,
            side: INPUT as f32,
        };
        let views: Vec<View> = views.iter().map(view).collect();
        let inputs: Vec<f32> = views.iter().flat_map(|view| patch.square.view(view, INPUT)).collect();
        let (points, presences) = self.run(inputs, views.len())?;
        let count = views.len() as f32;
        let mut mesh = Mesh { points: vec![[0.0; 2]; MESH_POINTS], presence: 0.0 };
        for ((view, seen), presence) in views.iter().zip(points.chunks_exact(3 * MESH_POINTS)).zip(presences)
        {
            mesh.presence += presence / count;
            for (mean, at) in mesh.points.iter_mut().zip(seen.chunks_exact(3)) {
                let [x, y] = patch.outside(view.source([at[0], at[1]]));
                mean[0] += x / count;
                mean[1] += y / count;
            }
        }
        Ok(mesh)
    }

    /// `count` inputs, one after the other, values 0..=255 -> x, y and depth of the points in pixels of the input, and how
    /// sure each is.
    fn run(&self, inputs: Vec<f32>, count: usize) -> Result<(Vec<f32>, Vec<f32>)> {
        let run = || {
            let x = (Tensor::from_vec(inputs, (count, 3, INPUT, INPUT), &self.device)? / 255.0)?;
            let mut x = self.stem.1.forward(&self.stem.0.forward(&x)?)?;
            for block in &self.trunk {
                x = block.forward(&x)?;
            }
            let presence = candle_nn::ops::sigmoid(&self.presence.forward(&x)?)?;
            Ok((self.mesh.forward(&x)?.flatten_all()?.to_vec1()?, presence.flatten_all()?.to_vec1()?))
        };
        run().map_err(ModelError::tensor("laying a mesh over a face"))
    }
}

impl Mesh {
    fn pose(&self) -> Pose {
        Pose::around(&self.points, &self.landmarks(), ROOM)
    }
}

fn zip<A, B>([a, b]: [A; 2], [c, d]: [B; 2]) -> [(A, B); 2] {
    [(a, c), (b, d)]
}

fn pairs(around: [Conv; 2], across: [Conv; 2], slopes: [Slope; 2]) -> [Block; 2] {
    zip(zip(around, across), slopes).map(|((around, across), slope)| Block {
        around,
        across,
        slope,
        halves: false,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::faces::{FaceDetector, Landmarker};
    use image::{RgbImage, imageops};
    use std::path::Path;

    fn repository(path: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
    }

    fn astronaut() -> RgbImage {
        image::open(repository("tests/fixtures/portraits/astronaut.png")).unwrap().to_rgb8()
    }

    #[test]
    fn points_and_presence_equal_those_of_tensorflow_lite() {
        let reference = std::fs::read_to_string(repository("tests/reference/mediapipe.json")).unwrap();
        let reference: serde_json::Value = serde_json::from_str(&reference).unwrap();
        let reference = &reference["mesh"];
        let [x, y, ..] = [0, 1, 2, 3].map(|n| reference["crop"][n].as_u64().unwrap() as u32);
        let crop = imageops::crop_imm(&astronaut(), x, y, INPUT as u32, INPUT as u32).to_image();
        let plane = |c: usize| crop.pixels().map(move |pixel| f32::from(pixel.0[c])).collect::<Vec<f32>>();
        let inputs = (0..3).flat_map(plane).collect();
        let (points, presence) = FaceMesh::load(&Device::cpu()).unwrap().run(inputs, 1).unwrap();
        assert!((f64::from(presence[0]) - reference["presence"].as_f64().unwrap()).abs() < 1e-3);
        let expected = reference["points"].as_array().unwrap();
        assert_eq!(points.len(), expected.len());
        let apart = points.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b.as_f64().unwrap()).abs());
        assert!(apart.clone().fold(0.0, f64::max) < 0.02, "{:?} px", apart.fold(0.0, f64::max));
    }

    #[test]
    fn the_mesh_lies_on_the_face_at_any_tilt_and_tells_where_there_is_none() {
        let (network, landmarker) =
            (FaceMesh::load(&Device::cpu()).unwrap(), Landmarker::load(&Device::cpu()).unwrap());
        let picture = astronaut();
        let face = FaceDetector::load(&Device::cpu()).unwrap().detect(picture.as_raw(), 512, 512).unwrap()[0];
        let rough = landmarker.landmarks_refined(picture.as_raw(), 512, 512, &face).unwrap();
        let mesh = network.lay(picture.as_raw(), 512, 512, &rough).unwrap();
        let near = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
        let eyes = near(rough[36], rough[45]);
        let apart: f32 =
            mesh.landmarks()[17..].iter().zip(&rough[17..]).map(|(a, b)| near(*a, *b)).sum::<f32>() / 51.0;
        assert!(mesh.presence > 0.95 && apart < 0.08 * eyes, "{} {apart} of {eyes}", mesh.presence);
        // Mirrored, each point lies where its twin was, as far as the network is even-handed.
        let mirrored = imageops::flip_horizontal(&picture);
        let flipped = rough.map(|[x, y]| [512.0 - x, y]);
        let other: Points = std::array::from_fn(|n| flipped[super::super::landmarks::MIRRORED[n]]);
        let seen = network.lay(mirrored.as_raw(), 512, 512, &other).unwrap();
        for (part, twin) in [
            (MeshPart::LeftUpperLid, MeshPart::RightUpperLid),
            (MeshPart::UpperLipInner, MeshPart::UpperLipInner),
            (MeshPart::LowerLipOuter, MeshPart::LowerLipOuter),
        ] {
            let (line, twin) = (mesh.line(part), seen.line(twin));
            for (a, b) in line.iter().zip(twin.iter().rev()) {
                assert!(near(*a, [512.0 - b[0], b[1]]) < 0.05 * eyes, "{part:?}: {a:?} {b:?}");
            }
        }
        let wall = rough.map(|[x, y]| [x + 150.0, y]);
        assert!(network.lay(picture.as_raw(), 512, 512, &wall).unwrap().presence < 0.5);
    }
}
