//! How well visemes are heard: of frames, and of the jaw.

use crate::material::{Clip, clips};
use spinbot_models::Device;
use spinbot_models::visemes::{Frame, Mouth, RATE, Viseme, VisemeListener, timeline};
use std::path::Path;

/// Sums over clips.
#[derive(Default)]
struct Sums {
    frames: usize,
    right: usize,
    /// The same where something is said.
    spoken: usize,
    spoken_right: usize,
    /// After Viterbi.
    decoded: usize,
    /// Said and heard, by viseme.
    confusion: [[usize; 15]; 15],
    jaws: Vec<(f64, f64)>,
}

fn correlation(pairs: &[(f64, f64)]) -> f64 {
    let n = pairs.len() as f64;
    let mean = pairs.iter().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0 / n, sum.1 + pair.1 / n));
    let sum = |f: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|(a, b)| f(a - mean.0, b - mean.1)).sum::<f64>();
    sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
}

impl Sums {
    fn add(&mut self, truth: &[Mouth], frames: &[Frame], decoded: &[Viseme]) {
        for ((mouth, frame), viseme) in truth.iter().zip(frames).zip(decoded) {
            self.frames += 1;
            let right = usize::from(mouth.viseme == frame.viseme());
            self.right += right;
            if mouth.viseme != Viseme::Silence {
                self.spoken += 1;
                self.spoken_right += right;
            }
            self.decoded += usize::from(mouth.viseme == *viseme);
            self.confusion[mouth.viseme as usize][*viseme as usize] += 1;
            self.jaws.push((f64::from(mouth.jaw), f64::from(frame.jaw)));
        }
    }

    fn tell(&self, name: &str) {
        let share = |a: usize, b: usize| a as f64 / b.max(1) as f64;
        println!(
            "{name}: {} frames, right {:.3} (of speech {:.3}), decoded {:.3}, jaw r {:.3}",
            self.frames,
            share(self.right, self.frames),
            share(self.spoken_right, self.spoken),
            share(self.decoded, self.frames),
            correlation(&self.jaws)
        );
        let told: Vec<String> = (0..15)
            .map(|n| {
                let said = self.confusion[n].iter().sum();
                let heard: usize = self.confusion.iter().map(|row| row[n]).sum();
                let right = self.confusion[n][n];
                format!("{:?} {:.2}/{:.2}", Viseme::ALL[n], share(right, said), share(right, heard))
            })
            .collect();
        println!("  recall/precision: {}", told.join(", "));
    }
}

fn score(listener: &VisemeListener, clips: &[Clip], name: &str) {
    let mut sums = Sums::default();
    for clip in clips {
        let heard = listener.listen(&clip.samples).unwrap();
        let truth = timeline(&clip.utterance.phonemes, heard.frames.len(), RATE);
        let segments = heard.segments();
        let decoded: Vec<Viseme> = (0..heard.frames.len())
            .map(|frame| {
                let at = frame as f32 / RATE as f32;
                segments[segments.partition_point(|s| s.end <= at).min(segments.len() - 1)].viseme
            })
            .collect();
        sums.add(&truth, &heard.frames, &decoded);
    }
    sums.tell(name);
}

/// On the voices that were held out, and on real ones where `folder` has them aligned.
pub fn held_out(folder: &Path, weights: &Path) {
    let listener = VisemeListener::from_bytes(&std::fs::read(weights).unwrap(), &Device::cpu()).unwrap();
    for beginning in ["held-out-", "real-"] {
        let clips = clips(folder, beginning);
        if !clips.is_empty() {
            score(&listener, &clips, beginning);
        }
    }
}
