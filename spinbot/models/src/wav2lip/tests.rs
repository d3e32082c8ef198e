//! The network and its ear held against the same in PyTorch and numpy with random weights (`tests/reference/wav2lip.py`),
//! and what is refused.
#![allow(clippy::unwrap_used)]

use super::mel::{BANDS, FRAMES, Heard};
use super::*;
use crate::tensor_file::TensorFile;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use std::path::PathBuf;

const TOLERANCE: f32 = 1e-4;

fn reference(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/wav2lip").join(name)
}

fn case(name: &str) -> Vec<f32> {
    let cases = TensorFile::open("cases", &reference("cases.safetensors")).unwrap();
    cases.stored(name).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn hold(what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{what}: length");
    let apart = got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("{what}: {apart:e} apart");
    assert!(got.iter().all(|x| x.is_finite()) && apart <= TOLERANCE, "{what}: {apart:e} apart");
}

/// The face of the reference script.
fn face() -> Vec<u8> {
    (0..3 * SIDE * SIDE).map(|i| ((7919 * i + 13) % 251) as u8).collect()
}

/// A picture of `SIDE` pixels a row as the reference has it: planes of blue, green and red, each so manieth row.
fn planes(drawn: &[[f32; 3]], every: usize) -> Vec<f32> {
    let plane = |k: usize| {
        drawn.chunks(SIDE).step_by(every).flatten().map(move |pixel| pixel[k] / 255.0).collect::<Vec<_>>()
    };
    [2, 1, 0].map(plane).concat()
}

/// Mel frames that begin at these, one window after the other, as if a picture were shown with each.
fn windows(mel: &[f32], starts: &[usize]) -> Vec<Heard> {
    let window = |start: &usize| Heard { values: mel[start * BANDS..][..FRAMES * BANDS].to_vec() };
    starts.iter().map(window).collect()
}

#[test]
fn mels_are_the_originals() {
    let network = Wav2Lip::load(&reference("weights.safetensors")).unwrap();
    let heard = network.hear(&case("samples")).unwrap();
    hold("mel", &heard.values, &case("mel"));
}

#[test]
fn faces_are_drawn_like_the_reference() {
    let network = Wav2Lip::load(&reference("weights.safetensors")).unwrap();
    let seen = network.see(&face()).unwrap();
    let heard = windows(&case("mel"), &[3, 22]);
    for (n, (heard, every)) in heard.iter().zip([1, 4]).enumerate() {
        let drawn = network.speak(&seen, heard, 0..1, 25).unwrap();
        hold(&format!("picture {n}"), &planes(&drawn[0], every), &case(&format!("drawn{}", n + 1)));
    }
}

#[test]
fn frames_drawn_together_are_those_drawn_alone() {
    let network = Wav2Lip::load(&reference("weights.safetensors")).unwrap();
    let seen = network.see(&face()).unwrap();
    let heard = network.hear(&case("samples")).unwrap();
    let together = network.speak(&seen, &heard, 0..12, 25).unwrap();
    assert_eq!(together.len(), 12);
    for (frame, drawn) in together.iter().enumerate() {
        let alone = &network.speak(&seen, &heard, frame..frame + 1, 25).unwrap()[0];
        assert!(alone == drawn, "frame {frame} depends on those beside it");
    }
    assert!(together[2] != together[8], "the lips do not move");
}

#[test]
fn windows_follow_the_frames_and_end_with_the_sound() {
    let values = (0..40 * BANDS).map(|n| (n / BANDS) as f32).collect();
    let long = Heard { values };
    let first = |heard: &Heard, frame: usize, fps: u32| heard.window(frame, fps)[0] as usize;
    // Of 25 a second each takes 3.2 mel frames, from the one before.
    let starts: Vec<usize> = (0..11).map(|frame| first(&long, frame, 25)).collect();
    assert_eq!(starts, [0, 0, 3, 6, 9, 12, 16, 19, 22, 24, 24]);
    assert_eq!(first(&long, 500, 25), 24);
    assert_eq!(first(&long, 11, 50), 16);
    let window = long.window(6, 25);
    assert_eq!((window.len(), window[FRAMES - 1], window[FRAMES]), (BANDS * FRAMES, 31.0, 16.0));
    let short = Heard { values: vec![1.0; 3 * BANDS] };
    assert_eq!(short.window(4, 25)[..5], [1.0, 1.0, 1.0, -4.0, -4.0]);
}

/// The checkpoint with what `change` makes of each tensor; without those it makes nothing of.
fn checkpoint(
    folder: &Path,
    change: impl Fn(&str, TensorView<'_>) -> Option<(String, Vec<usize>, Vec<u8>)>,
) -> PathBuf {
    let bytes = std::fs::read(reference("weights.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let kept: Vec<_> = file.iter().filter_map(|(name, view)| change(name, view)).collect();
    let views = kept.iter().map(|(name, shape, data)| {
        (name, TensorView::new(safetensors::Dtype::F32, shape.clone(), data).unwrap())
    });
    let path = folder.join("changed.safetensors");
    std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    path
}

#[test]
fn a_checkpoint_of_several_devices_is_read_and_what_is_none_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let whole =
        |name: &str, view: &TensorView<'_>| (name.to_owned(), view.shape().to_vec(), view.data().to_vec());
    let parallel = checkpoint(folder.path(), |name, view| {
        let (name, shape, data) = whole(name, &view);
        Some((format!("module.{name}"), shape, data))
    });
    let network = Wav2Lip::load(&parallel).unwrap();
    let heard = windows(&case("mel"), &[3]);
    let drawn = network.speak(&network.see(&face()).unwrap(), &heard[0], 0..1, 25).unwrap();
    hold("with a prefix", &planes(&drawn[0], 1), &case("drawn1"));

    let refused = |path: &Path| Wav2Lip::load(path).map(|_| ()).unwrap_err();
    let missing = checkpoint(folder.path(), |name, view| {
        (name != "face_decoder_blocks.3.1.conv_block.1.running_var").then(|| whole(name, &view))
    });
    let sentence = refused(&missing).to_string();
    let expected = "weights of `wav2lip`: `face_decoder_blocks.3.1.conv_block.1.running_var` is missing";
    assert_eq!(sentence, expected);
    let bent = checkpoint(folder.path(), |name, view| {
        let (name, mut shape, data) = whole(name, &view);
        if name == "audio_encoder.3.conv_block.0.weight" {
            shape.swap(0, 1);
        }
        Some((name, shape, data))
    });
    let sentence = refused(&bent).to_string();
    assert!(
        sentence
            .contains("`audio_encoder.3.conv_block.0.weight` has shape [5, 7, 3, 3], expected [5, 5, 3, 3]"),
        "{sentence}"
    );
    let other = folder.path().join("other.safetensors");
    std::fs::copy(reference("cases.safetensors"), &other).unwrap();
    assert!(refused(&other).to_string().contains("`face_encoder_blocks.0.0.conv_block.0.weight` is missing"));
    let pickle = folder.path().join("wav2lip_gan.pth");
    std::fs::write(&pickle, b"PK").unwrap();
    let error = refused(&pickle);
    assert!(error.to_string().contains("pickled weights can run code"), "{error}");
    assert!(
        error.help().is_some_and(|help| help.contains("state_dict") && help.contains("weights_only=True"))
    );

    let network = Wav2Lip::load(&reference("weights.safetensors")).unwrap();
    assert!(network.see(&[0; 12]).unwrap_err().to_string().contains("12 bytes are no face of 96x96"));
    assert!(network.hear(&[]).unwrap_err().to_string().contains("empty"));
}
