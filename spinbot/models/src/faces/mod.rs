//! Faces in pictures: where they are, where their 68 landmarks lie, and whose they are.
//!
//! The networks for photographs are face-api's (npm `@vladmandic/face-api` 1.7.15, MIT) and MediaPipe's mesh (PyPI
//! `mediapipe` 0.10.14, Apache-2.0), computed in candle from weights that are built in; the one for drawings,
//! [`DrawnFaceFinder`], was trained for this project. Pictures come as rows of RGB bytes; coordinates are pixels of that
//! picture, with (0, 0) the top left corner of the top left pixel.

mod detector;
mod drawn;
mod landmarks;
mod layers;
mod mesh;
mod patch;
mod recognition;

pub use detector::{FaceBox, FaceDetector};
pub use drawn::{DrawnFace, DrawnFaceFinder};
pub use landmarks::{Landmarker, Points};
pub use mesh::{FaceMesh, MESH_POINTS, Mesh, MeshPart};
pub use recognition::{FaceRecogniser, Faceprint, SAME_PERSON};
