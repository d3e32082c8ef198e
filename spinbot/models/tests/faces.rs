//! Faces found in real pictures, held against the numbers of `tests/reference/faceapi.py`.
#![allow(clippy::unwrap_used)]

use image::{RgbImage, imageops};
use spinbot_models::Device;
use spinbot_models::faces::{FaceBox, FaceDetector, FaceRecogniser, Landmarker, Points};
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
    }
}

#[test]
fn a_face_is_recognised_as_the_reference_does_and_across_crops() {
    let reference = std::fs::read_to_string(repository("tests/reference/faceapi.json")).unwrap();
    let reference: serde_json::Value = serde_json::from_str(&reference).unwrap();
    let number = |value: &serde_json::Value| value.as_f64().unwrap() as f32;
    let expected = &reference["faces"][0];
    let points: Points = std::array::from_fn(|n| {
        let point = &expected["landmarks"][n];
        [number(&point[0]), number(&point[1])]
    });
    let picture = astronaut();
    let recogniser = FaceRecogniser::load(&Device::cpu()).unwrap();
    let print = recogniser.recognise(picture.as_raw(), 512, 512, &points).unwrap();
    for (n, value) in print.0.iter().enumerate() {
        let wanted = number(&expected["print"][n]);
        assert!((value - wanted).abs() < 1e-4, "number {n}: {value}, {wanted}");
    }
    // The same face smaller, darker and mirrored is the same person's.
    let landmarker = Landmarker::load(&Device::cpu()).unwrap();
    let seen = |picture: &RgbImage| {
        let (width, height) = picture.dimensions();
        let face = detect(picture)[0];
        let points = landmarker.landmarks_refined(picture.as_raw(), width, height, &face).unwrap();
        recogniser.recognise(picture.as_raw(), width, height, &points).unwrap()
    };
    let small = imageops::resize(&picture, 300, 300, imageops::FilterType::Triangle);
    for other in [small, imageops::colorops::brighten(&picture, -60), imageops::flip_horizontal(&picture)] {
        let distance = seen(&other).distance(&print);
        assert!(distance < 0.45, "{distance}");
    }
    let outside = [[-900.0; 2]; 68];
    assert!(recogniser.recognise(picture.as_raw(), 512, 512, &outside).is_err());
}

#[test]
fn a_face_is_found_whether_it_fills_the_picture_or_is_lost_in_it() {
    let astronaut = astronaut();
    // How much of the picture is seen around the face, from brow to chin only, to half the picture.
    for (x, y, w, h) in [(176, 84, 92, 100), (165, 72, 112, 118), (150, 50, 150, 160), (90, 0, 256, 300)] {
        let crop = imageops::crop_imm(&astronaut, x, y, w, h).to_image();
        for side in [w, 480] {
            let crop = imageops::resize(&crop, side, side * h / w, imageops::FilterType::Triangle);
            let faces = detect(&crop);
            assert_eq!(faces.len(), 1, "{w}x{h} at {x},{y}, {side} pixels wide: {faces:?}");
            let scale = w as f32 / side as f32;
            let [found_x, found_y] = [faces[0].x + faces[0].w / 2.0, faces[0].y + faces[0].h / 2.0];
            let off = (found_x * scale + x as f32 - 221.0).hypot(found_y * scale + y as f32 - 131.0);
            assert!(off < 20.0, "{w}x{h} at {x},{y}, {side} pixels wide: off by {off}");
        }
    }
    for (width, height, side) in [(1600, 1200, 240), (3000, 2000, 520), (4000, 3000, 700)] {
        let mut large = RgbImage::from_pixel(width, height, image::Rgb([90, 120, 150]));
        let small = imageops::resize(&astronaut, side, side, imageops::FilterType::Triangle);
        imageops::replace(&mut large, &small, 700, 500);
        let faces = detect(&large);
        assert_eq!(faces.len(), 1, "{side} in {width}x{height}: {faces:?}");
        let scale = side as f32 / 512.0;
        let off = (faces[0].x + faces[0].w / 2.0 - 700.0 - 221.0 * scale).abs();
        assert!(off < 25.0 * scale, "{side} in {width}x{height}: {faces:?}");
    }
}

#[test]
fn two_people_are_two_faces() {
    let one = astronaut();
    let mut two = RgbImage::new(1024, 512);
    imageops::replace(&mut two, &one, 0, 0);
    imageops::replace(&mut two, &imageops::flip_horizontal(&one), 512, 0);
    let mut faces = detect(&two);
    faces.sort_by(|a, b| a.x.total_cmp(&b.x));
    assert_eq!(faces.len(), 2, "{faces:?}");
    let middle = |face: &FaceBox| face.x + face.w / 2.0;
    assert!((middle(&faces[0]) - 221.0).abs() < 10.0 && (middle(&faces[1]) - (1024.0 - 221.0)).abs() < 10.0);
}

#[test]
fn where_nobody_is_nobody_is_found() {
    let mut state = 1_u32;
    let mut noise = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let noise = RgbImage::from_fn(500, 400, |_, _| image::Rgb([noise(), noise(), noise()]));
    // Sky, hills, a field and a sun.
    let landscape = RgbImage::from_fn(1280, 720, |x, y| {
        let (fx, fy) = (x as f32 / 1280.0, y as f32 / 720.0);
        let hill = 0.5 + 0.1 * (fx * 9.0).sin() + 0.04 * (fx * 31.0).sin();
        let sun = (fx * 1280.0 - 950.0).hypot(fy * 720.0 - 150.0) < 60.0;
        let texture = ((x * 7 + y * 13) % 23) as u8;
        match (sun, fy > hill) {
            (true, _) => image::Rgb([255, 240, 180]),
            (_, true) => image::Rgb([60 + texture, 110 + texture, 50]),
            _ => image::Rgb([120, 170, 200 + (fy * 50.0) as u8]),
        }
    });
    let hands_and_suit = imageops::crop_imm(&astronaut(), 0, 260, 512, 250).to_image();
    for (name, picture) in [("noise", noise), ("landscape", landscape), ("suit", hands_and_suit)] {
        let (faces, best) = detector().search(picture.as_raw(), picture.width(), picture.height()).unwrap();
        assert!(faces.is_empty(), "{name}: {faces:?}");
        assert!(best > 0.0 && best < 0.5, "{name}: best score {best}");
    }
}

#[test]
fn pictures_and_boxes_that_make_no_sense_are_refused_with_a_sentence() {
    let detector = detector();
    for (width, height, bytes, sentence) in [
        (1, 1, 3, "the picture is 1x1: too small to hold a face"),
        (0, 0, 0, "too small"),
        (500, 15, 500 * 15 * 3, "too small"),
        (30_000, 30_000, 3, "the picture is 30000x30000: larger than"),
        (20, 20, 1199, "1199 bytes were given, RGB at that size has 1200"),
    ] {
        let error = detector.detect(&vec![0; bytes], width, height).unwrap_err();
        assert!(error.to_string().contains(sentence), "{error}");
        assert!(error.help().is_some());
    }
    let landmarker = Landmarker::load(&Device::cpu()).unwrap();
    let picture = astronaut();
    for (x, y, w, h) in [
        (600.0, 0.0, 50.0, 50.0),
        (-60.0, 0.0, 50.0, 50.0),
        (10.0, 10.0, 0.0, 50.0),
        (10.0, 10.0, -5.0, 50.0),
        (f32::NAN, 10.0, 50.0, 50.0),
        (10.0, 10.0, 50.0, f32::NAN),
    ] {
        for refined in [false, true] {
            let face = around(x, y, w, h);
            let result = match refined {
                true => landmarker.landmarks_refined(picture.as_raw(), 512, 512, &face),
                false => landmarker.landmarks(picture.as_raw(), 512, 512, &face),
            };
            assert!(result.unwrap_err().to_string().contains("has no pixels in the 512x512 picture"));
        }
    }
}

#[test]
fn refined_landmarks_hardly_depend_on_the_box_and_follow_a_mirror() {
    let picture = astronaut();
    let landmarker = Landmarker::load(&Device::cpu()).unwrap();
    let face = detect(&picture)[0];
    let single = |face: &FaceBox| landmarker.landmarks(picture.as_raw(), 512, 512, face).unwrap();
    let refined = |face: &FaceBox| landmarker.landmarks_refined(picture.as_raw(), 512, 512, face).unwrap();
    let best = refined(&face);
    assert!(apart(&best, &single(&face)) < 4.0, "they are the same face's points");
    let (mut single_off, mut refined_off) = (0.0, 0.0);
    for (dx, dy, grow) in [(9.0, -9.0, 1.0), (-9.0, 4.0, 1.1), (0.0, 9.0, 0.9), (-6.0, -6.0, 0.95)] {
        let (w, h) = (face.w * grow, face.h * grow);
        let moved = around(face.x + (face.w - w) / 2.0 + dx, face.y + (face.h - h) / 2.0 + dy, w, h);
        single_off += apart(&single(&moved), &single(&face)) / 4.0;
        refined_off += apart(&refined(&moved), &best) / 4.0;
    }
    assert!(
        refined_off < 0.3 && refined_off < single_off / 4.0,
        "refined {refined_off}, single {single_off}"
    );

    let mirrored = imageops::flip_horizontal(&picture);
    let face = around(512.0 - face.x - face.w, face.y, face.w, face.h);
    let mut seen = landmarker.landmarks_refined(mirrored.as_raw(), 512, 512, &face).unwrap();
    seen.iter_mut().for_each(|point| point[0] = 512.0 - point[0]);
    // The jaw's ends, the eyes' outer corners and the mouth's corners change places.
    for (left, right) in [(0, 16), (36, 45), (48, 54), (17, 26), (31, 35), (60, 64)] {
        for (here, there) in [(left, right), (right, left)] {
            let off = (seen[here][0] - best[there][0]).hypot(seen[here][1] - best[there][1]);
            assert!(off < 0.3, "point {here}: off by {off}");
        }
    }
}

#[test]
fn refined_landmarks_turn_with_the_picture() {
    let picture = astronaut();
    let landmarker = Landmarker::load(&Device::cpu()).unwrap();
    let face = detect(&picture)[0];
    let upright = landmarker.landmarks_refined(picture.as_raw(), 512, 512, &face).unwrap();
    for degrees in [-25.0_f32, -12.0, 12.0, 25.0] {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let (cx, cy) = (face.x + face.w / 2.0, face.y + face.h / 2.0);
        let turned = RgbImage::from_fn(512, 512, |x, y| {
            let (dx, dy) = (x as f32 + 0.5 - cx, y as f32 + 0.5 - cy);
            let (sx, sy) = (cx + dx * cos + dy * sin, cy - dx * sin + dy * cos);
            imageops::interpolate_bilinear(&picture, sx - 0.5, sy - 0.5).unwrap_or(image::Rgb([0, 0, 0]))
        });
        let seen = landmarker.landmarks_refined(turned.as_raw(), 512, 512, &face).unwrap();
        let mut expected = upright;
        for [x, y] in &mut expected {
            let (dx, dy) = (*x - cx, *y - cy);
            (*x, *y) = (cx + dx * cos - dy * sin, cy + dx * sin + dy * cos);
        }
        let off = apart(&seen, &expected);
        assert!(off < 1.0, "turned by {degrees} degrees: off by {off}");
    }
}
