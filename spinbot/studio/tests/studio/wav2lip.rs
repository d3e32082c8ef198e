//! Wav2Lip with small random weights: what it draws is noise, but where it lies, when it moves, how it is coded and refused
//! is real.

use crate::chain::{Chain, Told, fixture};
use spinbot::steps::{Animate, AnimateWav2lip};
use spinbot_media::{RgbImage, mp4, video};
use spinbot_studio::{Landmarks, StepError};
use std::path::{Path, PathBuf};

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/wav2lip").join(name)
}

/// How far two pictures are apart in those rows and columns, in levels of a channel.
fn apart(a: &RgbImage, b: &RgbImage, [left, top, right, bottom]: [f32; 4]) -> f64 {
    let places = (top as u32..bottom as u32).flat_map(|y| (left as u32..right as u32).map(move |x| (x, y)));
    let off = |(x, y): (u32, u32)| -> f64 {
        let pair = a.get_pixel(x, y).0.into_iter().zip(b.get_pixel(x, y).0);
        pair.map(|(a, b)| f64::from(a.abs_diff(b))).sum()
    };
    let all: Vec<f64> = places.map(off).collect();
    all.iter().sum::<f64>() / (3 * all.len()) as f64
}

#[test]
fn the_lower_face_is_drawn_and_goes_with_the_head_while_the_rest_is_as_ever() {
    let chain = Chain::new("wav2lip");
    let weights = reference("weights.safetensors");
    let voice = fixture("voices/1688-142285-0002.flac");
    let told = chain.render_wav2lip(fixture("portraits/astronaut.png"), voice, 256, &weights);
    assert_eq!(told.previews, ["first_frame"]);
    let file = chain.bytes("video");
    let notice = mp4::read_tags(&file).unwrap().comment;
    assert!(notice.ends_with("research and non-commercial use only"), "{notice}");
    let frames = |bytes: &[u8]| video::decode(&mp4::read_video(bytes).unwrap()).unwrap();
    let talking = frames(&file);
    let scene = ["picture", "landmarks", "matte", "motion"].map(|name| (name, chain.path(name)));
    let ever = chain.attempt(&Animate { quantizer: 24 }, &scene, &mut Told::default()).unwrap();
    let ever = frames(&ever[0].bytes);
    assert_eq!((talking.len(), talking[0].dimensions()), (ever.len(), ever[0].dimensions()));

    let landmarks: Landmarks = serde_json::from_slice(&chain.bytes("landmarks")).unwrap();
    let points = &landmarks.points;
    let [eyes, mouth] = [36..48, 48..68].map(|range: std::ops::Range<usize>| {
        let edge = |axis: usize, pick: fn(f32, f32) -> f32, from: f32| {
            points[range.clone()].iter().map(|p| p[axis]).fold(from, pick)
        };
        let (low, high) = (f32::MAX, f32::MIN);
        [edge(0, f32::min, low), edge(1, f32::min, low), edge(0, f32::max, high), edge(1, f32::max, high)]
    });
    // The same head, lids and brows in every frame, and what is no face.
    let outside = [0.0, 0.0, 256.0, 8.0];
    for (n, (one, other)) in talking.iter().zip(&ever).enumerate() {
        let (around, above) = (apart(one, other, eyes), apart(one, other, outside));
        assert!(around < 5.0 && above < 2.0, "frame {n}: {around} at the eyes, {above} above");
    }
    let moved: Vec<f64> = talking.iter().map(|frame| apart(frame, &talking[0], mouth)).collect();
    let most = moved.iter().copied().fold(0.0, f64::max);
    chain.note(&format!("the mouth moves by up to {most:.1} levels"));
    assert!(most > 6.0, "{moved:?}");

    // The same again, and stopped.
    let inputs = [&scene[..], &[("speech", chain.path("speech")), ("weights", weights)]].concat();
    let animate = AnimateWav2lip { quantizer: 24 };
    let again = chain.attempt(&animate, &inputs, &mut Told::default()).unwrap();
    assert!(again[0].bytes == chain.bytes("silent_video"), "another run drew another video");
    let mut told = Told { cancel_after: Some(1), ..Told::default() };
    assert!(matches!(chain.attempt(&animate, &inputs, &mut told), Err(StepError::Cancelled)));
    assert!(told.progress.len() <= 2, "{:?}", told.progress);

    // What it cannot draw with.
    let pickle = chain.path("wav2lip_gan.pth");
    std::fs::write(&pickle, "PK").unwrap();
    for (weights, words, help) in [
        (reference("cases.safetensors"), "`face_encoder_blocks.0.0.conv_block.0.weight` is missing", None),
        (pickle, "pickled weights can run code", Some("weights_only=True")),
    ] {
        let inputs = [&inputs[..5], &[("weights", weights)]].concat();
        let refused = chain.attempt(&animate, &inputs, &mut Told::default());
        let Err(StepError::Fault(fault)) = refused else { panic!("{words}: was taken") };
        assert!(fault.message.contains(words), "{fault}");
        assert_eq!(fault.argument.as_deref(), Some("variant"));
        assert_eq!(help.is_some(), fault.help.is_some_and(|told| told.contains(help.unwrap_or(""))));
    }
    let mut far = landmarks.clone();
    let right = points.iter().map(|p| p[0]).fold(f32::MIN, f32::max);
    far.points.iter_mut().for_each(|p| p[0] -= right - 10.0);
    std::fs::write(chain.path("far"), serde_json::to_vec(&far).unwrap()).unwrap();
    let mut inputs = inputs;
    inputs[1].1 = chain.path("far");
    let refused = chain.attempt(&animate, &inputs, &mut Told::default());
    let Err(StepError::Fault(fault)) = refused else { panic!("a face outside was taken") };
    assert!(fault.message.contains("too far outside the picture"), "{fault}");
}
