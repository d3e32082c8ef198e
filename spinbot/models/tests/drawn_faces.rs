//! The finder of drawn faces against a NumPy computation of the same weights, and on drawings that were labelled by eye:
//! the tutorial's robot, a character of faces.js, and what the embedded model draws.
#![allow(clippy::unwrap_used)]

use image::{Rgb, RgbImage, imageops};
use serde_json::Value;
use spinbot_models::Device;
use spinbot_models::faces::{DrawnFace, DrawnFaceFinder};
use std::path::{Path, PathBuf};

type Points = [[f32; 2]; 4];

fn tests(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests").join(path)
}

fn finder() -> DrawnFaceFinder {
    DrawnFaceFinder::load(&Device::cpu()).unwrap()
}

fn points(value: &Value) -> Points {
    let number = |value: &Value| value.as_f64().unwrap() as f32;
    std::array::from_fn(|n| [number(&value[n][0]), number(&value[n][1])])
}

/// Each drawing with the points that a person sees.
fn drawings() -> Vec<(String, RgbImage, Points)> {
    let text = std::fs::read_to_string(tests("fixtures/drawn/faces.json")).unwrap();
    let labels: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    let open = |name: &str| image::open(tests("fixtures/drawn").join(name)).unwrap().to_rgb8();
    labels.iter().map(|(name, label)| (name.clone(), open(name), points(label))).collect()
}

fn all(face: &DrawnFace) -> Points {
    [face.eyes[0], face.eyes[1], face.mouth[0], face.mouth[1]]
}

fn far(a: [f32; 2], b: [f32; 2]) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// Mean distance of the points in distances between the eyes.
fn off(face: &DrawnFace, wanted: &Points) -> f32 {
    let sum: f32 = all(face).iter().zip(wanted).map(|(a, b)| far(*a, *b)).sum();
    sum / 4.0 / far(wanted[0], wanted[1])
}

fn find(finder: &DrawnFaceFinder, picture: &RgbImage) -> DrawnFace {
    finder.find(picture.as_raw(), picture.width(), picture.height()).unwrap()
}

#[test]
fn one_look_equals_the_reference() {
    let text = std::fs::read_to_string(tests("reference/drawn_faces.json")).unwrap();
    let reference: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    let (finder, drawings) = (finder(), drawings());
    assert!(drawings.len() >= 18 && drawings.len() == reference.len());
    for (name, picture, _) in &drawings {
        let seen = finder.glance(picture.as_raw(), 128, 128).unwrap();
        let expected = &reference[name];
        let score = expected["score"].as_f64().unwrap();
        assert!((f64::from(seen.score) - score).abs() < 1e-4, "{name}: {} {score}", seen.score);
        for (point, wanted) in all(&seen).iter().zip(points(&expected["points"])) {
            // 1e-4 of the input's side.
            assert!(far(*point, wanted) < 0.0128, "{name}: {point:?} {wanted:?}");
        }
    }
}

#[test]
fn drawn_faces_are_found_where_a_person_sees_them() {
    let (finder, drawings) = (finder(), drawings());
    for (name, picture, wanted) in &drawings {
        let face = find(&finder, picture);
        assert!(face.score >= 0.5, "{name}: {face:?}");
        assert!(off(&face, wanted) < 0.15, "{name}: {} {face:?} {wanted:?}", off(&face, wanted));
    }
}

#[test]
fn mirrored_enlarged_and_in_a_wide_picture_a_face_is_the_same() {
    let finder = finder();
    for (name, picture, wanted) in drawings().into_iter().filter(|(name, ..)| name.contains("robot/")) {
        let mirrored = imageops::flip_horizontal(&picture);
        let there = [1, 0, 3, 2].map(|n| [128.0 - wanted[n][0], wanted[n][1]]);
        assert!(off(&find(&finder, &mirrored), &there) < 0.15, "{name} mirrored");
        let large = imageops::resize(&picture, 640, 640, imageops::FilterType::CatmullRom);
        assert!(off(&find(&finder, &large), &wanted.map(|p| p.map(|c| c * 5.0))) < 0.15, "{name} enlarged");
        let mut wide = RgbImage::from_pixel(256, 144, *picture.get_pixel(0, 0));
        imageops::replace(&mut wide, &picture, 90, 16);
        let there = wanted.map(|[x, y]| [x + 90.0, y + 16.0]);
        assert!(off(&find(&finder, &wide), &there) < 0.15, "{name} in a wide picture");
    }
}

#[test]
fn textures_landscapes_and_faces_upside_down_are_refused() {
    let finder = finder();
    let noise = |x: u32, y: u32| {
        (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)).wrapping_mul(2_246_822_519) >> 24
    };
    let pictures: [(&str, RgbImage); 7] =
        [
            ("grey", RgbImage::from_pixel(128, 128, Rgb([128; 3]))),
            (
                "noise",
                RgbImage::from_fn(200, 150, |x, y| {
                    Rgb([noise(x, y) as u8, noise(y, x) as u8, noise(x + y, x) as u8])
                }),
            ),
            (
                "stripes",
                RgbImage::from_fn(128, 128, |x, _| {
                    if x / 9 % 2 == 0 { Rgb([200, 40, 40]) } else { Rgb([90, 10, 10]) }
                }),
            ),
            (
                "checks",
                RgbImage::from_fn(300, 300, |x, y| {
                    if (x / 20 + y / 20) % 2 == 0 { Rgb([240; 3]) } else { Rgb([20; 3]) }
                }),
            ),
            (
                "meadow",
                RgbImage::from_fn(320, 240, |x, y| {
                    let sun = (x as f32 - 250.0).hypot(y as f32 - 50.0) < 24.0;
                    let hill = y as f32 > 150.0 + 18.0 * (x as f32 / 45.0).sin();
                    match (sun, hill) {
                        (true, _) => Rgb([255, 225, 80]),
                        (_, true) => Rgb([70, 150, 60]),
                        _ => Rgb([130, 190, 240]),
                    }
                }),
            ),
            (
                "dots",
                RgbImage::from_fn(128, 128, |x, y| {
                    let near = ((x % 24) as f32 - 12.0).hypot((y % 24) as f32 - 12.0) < 5.0;
                    if near { Rgb([30, 30, 90]) } else { Rgb([220, 200, 120]) }
                }),
            ),
            (
                "letters",
                RgbImage::from_fn(256, 128, |x, y| {
                    if y % 16 < 9 && noise(x / 3, y / 4) > 120 { Rgb([10; 3]) } else { Rgb([250; 3]) }
                }),
            ),
        ];
    for (name, picture) in &pictures {
        let face = find(&finder, picture);
        assert!(face.score < 0.5, "{name}: {face:?}");
    }
    let fallen = drawings().into_iter().filter(|(name, ..)| name.contains("robot/"));
    for (name, picture, _) in fallen {
        let face = find(&finder, &imageops::rotate180(&picture));
        assert!(face.score < 0.5, "{name} upside down: {face:?}");
    }
}

#[test]
fn a_picture_that_is_none_is_refused() {
    assert!(finder().find(&[0; 10], 128, 128).is_err());
    assert!(finder().find(&[0; 192], 8, 8).is_err());
}
