//! Faces found in real pictures, held against the numbers of `tests/reference/faceapi.py`.
#![allow(clippy::unwrap_used)]

use image::{RgbImage, imageops};
use spinbot_models::Device;
use spinbot_models::faces::{FaceBox, FaceDetector, Landmarker, Points};
use std::path::{Path, PathBuf};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn astronaut() -> RgbImage {
    image::open(repository("tests/fixtures/portraits/astronaut.png")).unwrap().to_rgb8()
}

fn detector() -> FaceDetector {
    FaceDetector::load(&Device::cpu()).unwrap()
}

fn detect(picture: &RgbImage) -> Vec<FaceBox> {
    detector().detect(picture.as_raw(), picture.width(), picture.height()).unwrap()
}

/// Mean distance of two sets of landmarks, in pixels.
fn apart(a: &Points, b: &Points) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1])).sum::<f32>() / 68.0
}

fn around(x: f32, y: f32, w: f32, h: f32) -> FaceBox {
    FaceBox { score: 1.0, x, y, w, h }
}

#[test]
fn boxes_and_landmarks_equal_the_reference_within_a_tenth_of_a_pixel() {
    let reference = std::fs::read_to_string(repository("tests/reference/faceapi.json")).unwrap();
    let reference: serde_json::Value = serde_json::from_str(&reference).unwrap();
    let number = |value: &serde_json::Value| value.as_f64().unwrap() as f32;
    let picture = astronaut();
    let faces = detect(&picture);
    let expected = reference["faces"].as_array().unwrap();
    assert_eq!(faces.len(), expected.len());
    let landmarker = Landmarker::load(&Device::cpu()).unwrap();
    for (face, expected) in faces.iter().zip(expected) {
        assert!((face.score - number(&expected["score"])).abs() < 1e-4);
        for (side, name) in [(face.x, "x"), (face.y, "y"), (face.w, "w"), (face.h, "h")] {
            assert!((side - number(&expected[name])).abs() < 0.1, "{name}: {side}, {}", expected[name]);
        }
        let points = landmarker.landmarks(picture.as_raw(), 512, 512, face).unwrap();
        let mut worst = 0.0_f32;
        for (point, expected) in points.iter().zip(expected["landmarks"].as_array().unwrap()) {
            worst = worst.max((point[0] - number(&expected[0])).hypot(point[1] - number(&expected[1])));
        }
        assert!(worst < 0.1, "a landmark is {worst} px from the reference");
        println!("worst {worst}");
    }
}
