//! Real speech laid beside our own synthesis of the same words, to learn how long the speaker held each phoneme.
//!
//! The synthesis is exact about its durations, so warping its time onto the recording's gives the recording's. No
//! recogniser is needed, only what the two have in common: cepstra of mel powers, evened over each recording, so
//! that the voices' differences drop out. Nothing here touches a network.

use realfft::RealFftPlanner;

/// Samples between two frames at 24 kHz: 12.5 ms, two frames of Kokoro's F0 and energy for each unit of duration.
pub(crate) const HOP: usize = 300;
/// Samples in a unit of duration: 25 ms.
pub(crate) const UNIT: usize = 2 * HOP;
const FFT: usize = 2048;
const WINDOW: usize = 1200;
const MELS: usize = 80;
/// Mel bands the cepstra are taken of, from below: the rest holds little but hiss.
const CEPSTRAL_BANDS: usize = 64;
const CEPSTRA: usize = 20;
/// How much more a step in one direction only costs than a diagonal one; without it paths lie flat.
const SLOPE: f32 = 0.3;

/// Mel powers of one frame.
pub(crate) type MelFrame = [f32; MELS];

/// Mel powers every 12.5 ms as Kokoro's training took them: StyleTTS 2's 2048-point transform, 1200-sample Hann
/// window, reflected ends, HTK bands laid out for 16 kHz though the sound has 24. `samples / 300 + 1` frames.
pub(crate) fn mel_frames(samples: &[f32]) -> Vec<MelFrame> {
    let bank = htk_bank();
    let fft = RealFftPlanner::<f32>::new().plan_fft_forward(FFT);
    let (mut input, mut output) = (fft.make_input_vec(), fft.make_output_vec());
    let hann: Vec<f32> = (0..WINDOW)
        .map(|n| (0.5 - 0.5 * (std::f64::consts::TAU * n as f64 / WINDOW as f64).cos()) as f32)
        .collect();
    let reflected = |at: isize| -> f32 {
        let last = samples.len() as isize - 1;
        let at = if at < 0 { -at } else { at };
        let at = if at > last { 2 * last - at } else { at };
        usize::try_from(at).ok().and_then(|at| samples.get(at)).copied().unwrap_or(0.0)
    };
    (0..=samples.len() / HOP)
        .map(|frame| {
            input.fill(0.0);
            let start = (frame * HOP) as isize - (WINDOW / 2) as isize;
            // Where in the transform the window lies does not change the power.
            for (n, (slot, weight)) in input.iter_mut().zip(&hann).enumerate() {
                *slot = reflected(start + n as isize) * weight;
            }
            let mut frame = [0.0; MELS];
            // The buffers are of the plan's own sizes, the one thing it can refuse.
            if fft.process(&mut input, &mut output).is_ok() {
                for (band, slot) in bank.iter().zip(&mut frame) {
                    *slot =
                        band.weights.iter().zip(&output[band.first..]).map(|(w, c)| w * c.norm_sqr()).sum();
                }
            }
            frame
        })
        .collect()
}

/// Kokoro's energy of each frame: the logarithm of the length of its mel powers (measured against the network's
/// own prediction on its own speech: correlation 0.996, slope 1).
pub(crate) fn energy(frames: &[MelFrame]) -> Vec<f32> {
    let length = |frame: &MelFrame| frame.iter().map(|power| (power + 1e-5).powi(2)).sum::<f32>().sqrt();
    frames.iter().map(|frame| length(frame).ln()).collect()
}

/// How long the speaker of `real` held each token, in units of 25 ms, given how long `synthetic` did. They sum to
/// `real_units`; a token may be skipped (0).
pub(crate) fn durations(
    synthetic: &[MelFrame],
    held: &[usize],
    real: &[MelFrame],
    real_units: usize,
) -> Vec<usize> {
    let where_in_real = warp(&cepstra(synthetic), &cepstra(real));
    let mut boundary = 0;
    let mut at = 0;
    let mut out = Vec::with_capacity(held.len());
    for (token, units) in held.iter().enumerate() {
        boundary += 2 * units;
        let mapped = where_in_real.get(boundary).copied().unwrap_or(f32::MAX) / 2.0;
        let last = token + 1 == held.len();
        let end = if last { real_units } else { (mapped.round() as usize).clamp(at, real_units) };
        out.push(end - at);
        at = end;
    }
    out
}

/// For each frame of `a`, where in `b` it is (the mean, where it is in several places).
fn warp(a: &[[f32; CEPSTRA]], b: &[[f32; CEPSTRA]]) -> Vec<f32> {
    let (rows, columns) = (a.len(), b.len());
    if rows == 0 || columns == 0 {
        return vec![0.0; rows];
    }
    #[derive(Clone, Copy)]
    enum From {
        Both,
        A,
        B,
    }
    let distance = |x: &[f32; CEPSTRA], y: &[f32; CEPSTRA]| {
        x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum::<f32>().sqrt()
    };
    let mut back = vec![From::Both; rows * columns];
    let mut above = vec![f32::INFINITY; columns + 1];
    above[0] = 0.0;
    let mut here = above.clone();
    for (i, x) in a.iter().enumerate() {
        here[0] = f32::INFINITY;
        for (j, y) in b.iter().enumerate() {
            let cost = distance(x, y);
            let straight = (1.0 + SLOPE) * cost;
            let (both, only_a, only_b) = (above[j] + cost, above[j + 1] + straight, here[j] + straight);
            let (best, from) = match (both <= only_a, both <= only_b, only_a <= only_b) {
                (true, true, _) => (both, From::Both),
                (_, _, true) => (only_a, From::A),
                _ => (only_b, From::B),
            };
            here[j + 1] = best;
            back[i * columns + j] = from;
        }
        std::mem::swap(&mut above, &mut here);
        above[0] = f32::INFINITY;
    }
    let mut sums = vec![(0.0_f32, 0.0_f32); rows];
    let (mut i, mut j) = (rows - 1, columns - 1);
    loop {
        sums[i].0 += j as f32;
        sums[i].1 += 1.0;
        match (i, j, back[i * columns + j]) {
            (0, 0, _) => break,
            (0, _, _) => j -= 1,
            (_, 0, _) => i -= 1,
            (_, _, From::Both) => (i, j) = (i - 1, j - 1),
            (_, _, From::A) => i -= 1,
            (_, _, From::B) => j -= 1,
        }
    }
    sums.into_iter().map(|(sum, count)| sum / count.max(1.0)).collect()
}

/// Cepstra without the voice: mean and spread of each coefficient are taken out, loudness counts once and a half.
fn cepstra(frames: &[MelFrame]) -> Vec<[f32; CEPSTRA]> {
    let basis: Vec<[f32; CEPSTRAL_BANDS]> = (0..CEPSTRA)
        .map(|k| {
            std::array::from_fn(|n| {
                let angle = std::f64::consts::PI * k as f64 * (n as f64 + 0.5) / CEPSTRAL_BANDS as f64;
                angle.cos() as f32
            })
        })
        .collect();
    let mut all: Vec<[f32; CEPSTRA]> = frames
        .iter()
        .map(|frame| {
            let logs: [f32; CEPSTRAL_BANDS] = std::array::from_fn(|n| (frame[n] + 1e-4).ln());
            std::array::from_fn(|k| basis[k].iter().zip(&logs).map(|(b, l)| b * l).sum())
        })
        .collect();
    for k in 0..CEPSTRA {
        let count = all.len().max(1) as f32;
        let mean = all.iter().map(|c| c[k]).sum::<f32>() / count;
        let spread = (all.iter().map(|c| (c[k] - mean).powi(2)).sum::<f32>() / count).sqrt() + 1e-6;
        // The finer the ripple, the more it is the voice's own.
        let weight = if k == 0 { 1.5 } else { 1.0 - 0.5 * (k - 1) as f32 / (CEPSTRA - 2) as f32 };
        all.iter_mut().for_each(|c| c[k] = (c[k] - mean) / spread * weight);
    }
    all
}

/// One band: its first bin and the weights from there.
struct Band {
    first: usize,
    weights: Vec<f32>,
}

fn htk_bank() -> Vec<Band> {
    const NOMINAL: f64 = 16_000.0;
    let mel = |hertz: f64| 2595.0 * (1.0 + hertz / 700.0).log10();
    let hertz = |mel: f64| 700.0 * (10.0_f64.powf(mel / 2595.0) - 1.0);
    let edge = |n: usize| hertz(mel(NOMINAL / 2.0) * n as f64 / (MELS + 1) as f64);
    let bin = |k: usize| k as f64 * NOMINAL / FFT as f64;
    (0..MELS)
        .map(|band| {
            let (low, middle, high) = (edge(band), edge(band + 1), edge(band + 2));
            let weight = |k: usize| ((bin(k) - low) / (middle - low)).min((high - bin(k)) / (high - middle));
            let inside: Vec<usize> = (0..=FFT / 2).filter(|k| weight(*k) > 0.0).collect();
            let first = inside.first().copied().unwrap_or(0);
            Band { first, weights: inside.into_iter().map(|k| weight(k) as f32).collect() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Syllables of unlike harmonic sounds, each as long as asked, at 24 kHz.
    fn syllables(units: &[usize], pitch: f32) -> Vec<f32> {
        let mut out = Vec::new();
        for (kind, units) in units.iter().enumerate() {
            for n in 0..units * UNIT {
                let t = n as f32 / 24_000.0;
                let tone: f32 = (1..30)
                    .map(|k| {
                        let hertz = pitch * k as f32;
                        let formant = 500.0 + 600.0 * kind as f32;
                        (-((hertz - formant) / 350.0).powi(2)).exp()
                            * (std::f32::consts::TAU * hertz * t).sin()
                    })
                    .sum();
                out.push(0.1 * tone);
            }
        }
        out
    }

    #[test]
    fn another_voice_saying_the_same_at_another_pace_is_followed() {
        let ours = [8, 12, 6, 10, 8];
        let theirs = [12, 10, 9, 16, 5];
        let (a, b) = (mel_frames(&syllables(&ours, 110.0)), mel_frames(&syllables(&theirs, 130.0)));
        let total = theirs.iter().sum();
        let found = durations(&a, &ours, &b, total);
        assert_eq!(found.iter().sum::<usize>(), total);
        for (found, truth) in found.iter().zip(theirs) {
            assert!(found.abs_diff(truth) <= 2, "{found} for {truth}");
        }
    }

    #[test]
    fn nothing_and_silence_end_without_a_panic() {
        for samples in [vec![], vec![0.0; 1], vec![0.0; 100], vec![0.0; 24_000]] {
            let frames = mel_frames(&samples);
            assert_eq!(frames.len(), samples.len() / HOP + 1);
            assert!(energy(&frames).iter().all(|e| e.is_finite()));
            let units = samples.len() / UNIT;
            assert_eq!(durations(&frames, &[1, 2, 1], &frames, units).iter().sum::<usize>(), units);
        }
        assert!(durations(&[], &[], &[], 0).is_empty());
    }
}
