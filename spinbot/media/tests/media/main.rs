//! What this crate promises, from outside: files in, files out, and hostile files kept out.

#![allow(clippy::unwrap_used)]

mod drawings;
mod films;
mod hostile;
mod pictures;
mod recordings;
mod sounds;

use spinbot_media::RgbImage;
use spinbot_media::audio::Clip;
use std::path::PathBuf;

/// A file of tests/fixtures.
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A reader's voice of five seconds, 16 kHz.
pub fn reading() -> Clip {
    let path = fixture("../../../../tests/fixtures/voices/1688-142285-0003.flac");
    spinbot_media::audio::read(&path, "reading", &Default::default()).unwrap()
}

/// A sine of half amplitude.
pub fn tone(hertz: f64, seconds: f64, rate: u32) -> Clip {
    let step = std::f64::consts::TAU * hertz / f64::from(rate);
    Clip::new(
        (0..(seconds * f64::from(rate)) as usize).map(|i| (0.5 * (step * i as f64).sin()) as f32).collect(),
        rate,
    )
}

/// How often a second the middle half of a clip rises from below -0.02 to above 0.02: the edges may hold what a
/// coder adds, and the hiss of its silence does not count.
pub fn pitch(clip: &Clip) -> f64 {
    let middle = &clip.samples[clip.samples.len() / 4..clip.samples.len() * 3 / 4];
    let (mut low, mut count) = (true, 0);
    for sample in middle {
        count += u32::from(low && *sample > 0.02);
        low = if low { *sample <= 0.02 } else { *sample < -0.02 };
    }
    f64::from(count) * f64::from(clip.rate) / middle.len() as f64
}

/// Peak signal to noise ratio in dB.
pub fn psnr(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let squares =
        a.as_raw().iter().zip(b.as_raw()).map(|(x, y)| f64::from(x.abs_diff(*y)).powi(2)).sum::<f64>();
    10.0 * (255.0f64.powi(2) / (squares / a.as_raw().len() as f64).max(1e-9)).log10()
}

/// A soft ground with a bright square that moves 3 pixels a frame.
pub fn moving_square(frame: u32, width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let left = 8 + frame * 3 % (width - 40);
        if (left..left + 24).contains(&x) && (height / 3..height / 3 + 24).contains(&y) {
            [230, 60, 40].into()
        } else {
            [(x * 255 / width) as u8, 120, (y * 255 / height) as u8].into()
        }
    })
}
