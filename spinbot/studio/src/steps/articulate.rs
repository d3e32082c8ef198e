//! `articulate`: how the mouth, lids and head move, from the exact times of the phonemes.

use crate::coarticulation::Score;
use crate::hearing::Hearing;
use crate::motion::Motion;
use crate::perform::{self, Performance};
use crate::step::{Inputs, Report, Run, StepError, StepOutput, json_input};
use spinbot::timing::SpeechTiming;
use spinbot::{Fault, steps::Articulate};
use spinbot_media::audio::Clip;

impl Run for Articulate {
    fn check(&self) -> Result<(), Fault> {
        perform::check(self.fps, self.liveliness)
    }

    fn run(&self, inputs: &Inputs, seed: u64, report: &mut dyn Report) -> Result<Vec<StepOutput>, StepError> {
        let clip = perform::speech(inputs)?;
        let timing: SpeechTiming = json_input(inputs, "timing")?;
        if report.cancelled() {
            return Err(StepError::Cancelled);
        }
        let motion = motion_of(&clip, &timing, self.fps, self.liveliness as f32, seed);
        Ok(perform::output(&motion, &clip, report)?)
    }
}

/// The motion of a face saying `clip`, whose phonemes `timing` knows. `liveliness` is 0..=1.
fn motion_of(clip: &Clip, timing: &SpeechTiming, fps: u32, liveliness: f32, seed: u64) -> Motion {
    let heard = Hearing::listen(&clip.samples, clip.rate);
    let score = Score::new(&timing.phonemes, clip.seconds());
    let exposures: Vec<f32> =
        (0..perform::frame_count(clip.seconds(), fps)).map(|i| perform::exposure(i, fps)).collect();
    let performance = Performance {
        seconds: clip.seconds(),
        mouth: score.mouth(&heard.loud, &heard.speech, &exposures),
        speech: score.speech(),
        accents: score.accents(&heard.loud),
    };
    performance.motion(fps, liveliness, seed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::coarticulation::SHORTEST;
    use crate::perform::tests::assert_in_range;
    use proptest::prelude::*;
    use spinbot::timing::TimedPhoneme;

    /// A buzz of 120 Hz.
    fn buzz(seconds: f32) -> Clip {
        let sample = |i| ((i as f32 * 120.0 / 8000.0).fract() - 0.5) * 0.4;
        Clip::new((0..(seconds * 8000.0) as usize).map(sample).collect(), 8000)
    }

    /// `said`, each for so many milliseconds, the first after so many.
    fn timing(first: u32, said: &[(char, u32)]) -> SpeechTiming {
        let mut at = first;
        let phonemes = said.iter().map(|&(symbol, millis)| {
            let start = f64::from(at) / 1000.0;
            at += millis;
            TimedPhoneme { symbol, start, end: f64::from(at) / 1000.0, stress: 2 }
        });
        let phonemes = phonemes.collect();
        SpeechTiming { seconds: f64::from(at) / 1000.0, phonemes, ..SpeechTiming::default() }
    }

    #[test]
    fn vowels_open_labials_shut_rounding_spreads_and_silence_rests() {
        let said = [
            ('ɑ', 160),
            ('p', 70),
            ('ɑ', 160),
            ('m', 25),
            ('i', 160),
            ('s', 100),
            ('t', 60),
            ('ɹ', 60),
            ('u', 160),
            ('f', 90),
            ('ɑ', 160),
            (',', 500),
            ('b', 60),
            ('æ', 160),
        ];
        let timing = timing(400, &said);
        let clip = buzz(timing.seconds as f32 + 0.5);
        let motion = motion_of(&clip, &timing, 50, 1.0, 3);
        let frame = |index: usize| {
            let p = &timing.phonemes[index];
            motion.frames[(((p.start + p.end) / 2.0) * 50.0) as usize]
        };
        for open in [0, 2, 10, 13] {
            assert!(frame(open).aperture() > 0.55, "{open}: {:?}", frame(open));
        }
        for shut in [1, 3, 12] {
            assert_eq!(frame(shut).aperture(), 0.0, "{shut}: {:?}", frame(shut));
        }
        assert!(frame(4).width > 0.4 && frame(8).round > 0.6, "{:?} {:?}", frame(4), frame(8));
        assert!(frame(9).tuck > 0.8 && frame(9).jaw < 0.35, "{:?}", frame(9));
        assert!(frame(2).tuck < 0.05 && frame(11).jaw < 0.05, "{:?}", frame(11));
        // The lips round for "u" in the consonants before it, and more the nearer it comes.
        assert!(frame(7).round > frame(6).round && frame(6).round > 0.25, "{:?} {:?}", frame(6), frame(7));
        for rest in [0.0, 0.1, 0.2] {
            assert!(motion.frames[(rest * 50.0) as usize].aperture() < 0.03, "{rest}");
        }
        assert_eq!(motion, motion_of(&clip, &timing, 50, 1.0, 3));
        assert_ne!(motion, motion_of(&clip, &timing, 50, 1.0, 4));
        assert!(motion.frames.iter().any(|f| f.blink > 0.9));
    }

    #[test]
    fn times_that_are_none_are_left_out() {
        let phoneme = |symbol, start, end| TimedPhoneme { symbol, start, end, stress: 9 };
        let cases = [
            vec![],
            vec![phoneme('p', f64::NAN, 0.2), phoneme('ɑ', 0.1, f64::INFINITY)],
            vec![phoneme('m', -1e300, 1e300)],
            vec![phoneme('ɑ', 0.5, 0.3), phoneme('b', 0.3, 0.3)],
            vec![phoneme('ɑ', 0.3, 0.5), phoneme('b', 0.1, 0.4), phoneme('u', 0.2, 0.35)],
            vec![phoneme('ː', 0.1, 0.3), phoneme('ˈ', 0.3, 0.5), phoneme('\0', 0.5, 0.7)],
            vec![phoneme('ɑ', 1e9, 2e9)],
            (0..20_000).map(|i| phoneme('b', f64::from(i) * 1e-6, 1.0)).collect(),
        ];
        for phonemes in cases {
            let timing = SpeechTiming { seconds: f64::NAN, phonemes, ..SpeechTiming::default() };
            for fps in [1, 25, 60] {
                assert_in_range(&motion_of(&buzz(0.8), &timing, fps, 1.0, 1));
                assert_in_range(&motion_of(&Clip::silence(0.01, 8000), &timing, fps, 0.0, 1));
            }
        }
    }

    proptest! {
        #[test]
        fn any_timing_moves_a_face_and_shuts_its_lips(
            said in prop::collection::vec(
                (prop::sample::select("pbmfvwɑiuIʧsθhlɹəA ,.ːʔ?".chars().collect::<Vec<_>>()), 25_u32..300),
                0..40,
            ),
            first in 0_u32..500,
            cut in 0.2_f32..6.0,
            fps in 1_u32..=60,
            seed: u64,
        ) {
            let timing = timing(first, &said);
            let clip = buzz(cut);
            let motion = motion_of(&clip, &timing, fps, 1.0, seed);
            assert_in_range(&motion);
            prop_assert_eq!(&motion, &motion_of(&clip, &timing, fps, 1.0, seed));
            for (i, frame) in motion.frames.iter().enumerate() {
                let middle = f64::from(perform::exposure(i, fps));
                // What the clip's end leaves of one may be too short to count.
                let counts = |p: &TimedPhoneme| p.end.min(clip.seconds()) - p.start > SHORTEST;
                let shut = |p: &TimedPhoneme| {
                    "pbm".contains(p.symbol) && counts(p) && p.start + 1e-4 < middle && middle < p.end - 1e-4
                };
                if middle < clip.seconds() && timing.phonemes.iter().any(shut) {
                    prop_assert!(frame.aperture() == 0.0, "frame {i} at {middle}: {frame:?}");
                }
            }
        }
    }
}
