//! `drive`: how the mouth, lids and head move, from the sound alone.

use crate::gesture::stresses;
use crate::hearing::{Hearing, RATE, smooth};
use crate::motion::{Motion, MotionFrame};
use crate::perform::{self, Performance};
use crate::step::{Inputs, Report, Run, StepError, StepOutput};
use spinbot::{Fault, steps::Drive};
use spinbot_media::audio::Clip;

impl Run for Drive {
    fn check(&self) -> Result<(), Fault> {
        perform::check(self.fps, self.liveliness)
    }

    fn run(&self, inputs: &Inputs, seed: u64, report: &mut dyn Report) -> Result<Vec<StepOutput>, StepError> {
        let clip = perform::speech(inputs)?;
        if report.cancelled() {
            return Err(StepError::Cancelled);
        }
        let motion = motion_of(&clip, self.fps, self.liveliness as f32, seed);
        Ok(perform::output(&motion, &clip, report)?)
    }
}

/// The motion of a face saying `clip`. `liveliness` is 0..=1.
fn motion_of(clip: &Clip, fps: u32, liveliness: f32, seed: u64) -> Motion {
    let heard = Hearing::listen(&clip.samples, clip.rate);
    let performance = Performance {
        seconds: clip.seconds(),
        mouth: speak(&heard),
        accents: stresses(&smooth(&heard.loud, 0.06), RATE),
        speech: heard.speech,
    };
    performance.motion(fps, liveliness, seed)
}

/// The mouth at every moment of hearing.
fn speak(heard: &Hearing) -> Vec<MotionFrame> {
    let n = heard.loud.len();
    let raw: Vec<f32> = (0..n)
        .map(|i| {
            let vowel = heard.loud[i].powf(1.35) * (0.70 + 0.42 * heard.open[i]);
            let hiss = heard.hiss[i];
            // Teeth nearly meet in a fricative.
            (vowel * (1.0 - 0.85 * hiss) + 0.10 * hiss).min(1.0)
        })
        .collect();
    // Opening is quick and closing lingers, both centred on the sound: a mouth moves ahead of its voice.
    let (quick, slow) = (smooth(&raw, 0.022), smooth(&raw, 0.05));
    let pauses: Vec<f32> = heard.speech.iter().map(|s| 1.0 - s).collect();
    let resting = smooth(&pauses.iter().map(|p| p.powi(2)).collect::<Vec<_>>(), 0.04);
    let round = smooth(&heard.front.iter().map(|f| (-f - 0.15).max(0.0)).collect::<Vec<_>>(), 0.03);
    let wide = smooth(&heard.front.iter().map(|f| (f - 0.1).max(0.0)).collect::<Vec<_>>(), 0.03);
    let mood = smooth(&pauses, 0.25);
    (0..n)
        .map(|i| {
            let jaw = quick[i].max(0.9 * slow[i]);
            let hiss = heard.hiss[i];
            MotionFrame {
                jaw,
                width: (0.8 * wide[i] + 0.25 * hiss - 0.4 * round[i]).clamp(-1.0, 1.0),
                round: (0.85 * round[i]).clamp(0.0, 1.0),
                upper: (0.25 * hiss + 0.3 * jaw * jaw).min(1.0),
                tuck: 0.0,
                seal: heard.closure[i].max(((resting[i] - 0.45) * 2.5).clamp(0.0, 1.0)),
                smile: (0.25 + 0.35 * mood[i] + 0.15 * wide[i] - 0.25 * round[i]).clamp(0.0, 1.0),
                ..MotionFrame::default()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gesture::Dice;
    use crate::perform::tests::assert_in_range;

    const RATE_HZ: u32 = 16_000;

    /// A voice of 120 Hz with all its harmonics, as loud over time as `level` says.
    fn voice(seconds: f32, level: impl Fn(f32) -> f32) -> Clip {
        let samples = (0..(seconds * RATE_HZ as f32) as usize).map(|i| {
            let t = i as f32 / RATE_HZ as f32;
            let tone: f32 =
                (1..30).map(|k| (std::f32::consts::TAU * 120.0 * k as f32 * t).sin() / k as f32).sum();
            level(t) * 0.2 * tone
        });
        Clip::new(samples.collect(), RATE_HZ)
    }

    #[test]
    fn lips_open_with_the_voice_and_shut_for_a_short_dip_and_for_silence() {
        // Speech from 0.5 to 2.5 s with one closure of 80 ms at 1.5 s.
        let clip = voice(3.2, |t| {
            let speaking = (0.5..2.5).contains(&t) && !(1.46..1.54).contains(&t);
            if speaking { 0.5 + 0.3 * (t * 25.0).sin().abs() } else { 0.001 }
        });
        let motion = motion_of(&clip, 25, 1.0, 3);
        assert_eq!(motion.frames.len(), 80);
        let aperture = |seconds: f32| motion.frames[(seconds * 25.0) as usize].aperture();
        for open in [0.8, 1.2, 1.8, 2.2] {
            assert!(aperture(open) > 0.3, "{open}: {}", aperture(open));
        }
        for shut in [0.1, 0.3, 1.5, 2.8, 3.1] {
            assert!(aperture(shut) < 0.05, "{shut}: {}", aperture(shut));
        }
        assert!(motion.frames.iter().any(|f| f.blink > 0.9));
        assert_eq!(motion, motion_of(&clip, 25, 1.0, 3));
        assert_ne!(motion, motion_of(&clip, 25, 1.0, 4));
        let still = motion_of(&clip, 25, 0.0, 3);
        assert!(still.frames.iter().all(|f| f.turn == 0.0 && f.tilt == 0.0 && f.shift == [0.0; 2]));
    }

    #[test]
    fn every_value_stays_in_its_range_whatever_is_heard() {
        let mut dice = Dice::new(1);
        let noise = Clip::new((0..40_000).map(|_| dice.between(-1.0, 1.0)).collect(), 8_000);
        let click = Clip::new((0..5_000).map(|i| f32::from(u8::from(i == 2_500))).collect(), 48_000);
        for clip in [noise, click, Clip::silence(0.1, 8_000), voice(1.0, |_| 1.0)] {
            for fps in [1, 25, 60] {
                let motion = motion_of(&clip, fps, 1.0, 9);
                assert_in_range(&motion);
            }
        }
    }
}
