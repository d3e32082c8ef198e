//! `drive`: how the mouth, lids and head move, from the sound alone: visemes are heard, and the mouth goes from one to the
//! next as `articulate` moves it by phonemes.

use crate::coarticulation::Score;
use crate::gesture::stresses;
use crate::hearing::{Hearing, RATE, smooth};
use crate::loaded;
use crate::motion::Motion;
use crate::perform::{self, Performance};
use crate::step::{Inputs, Report, Run, StepError, StepOutput, media_fault, model_fault};
use spinbot::{Fault, steps::Drive};
use spinbot_media::audio::Clip;
use spinbot_models::visemes::{self, VisemeListener};

impl Run for Drive {
    const MODELS: &'static [&'static str] = &["visemes"];

    fn check(&self) -> Result<(), Fault> {
        perform::check(self.fps, self.liveliness)
    }

    fn run(&self, inputs: &Inputs, seed: u64, report: &mut dyn Report) -> Result<Vec<StepOutput>, StepError> {
        let clip = perform::speech(inputs)?;
        if report.cancelled() {
            return Err(StepError::Cancelled);
        }
        let listener = loaded::viseme_listener()?;
        let motion = motion_of(&clip, &listener, self.fps, self.liveliness as f32, seed)?;
        Ok(perform::output(&motion, &clip, report)?)
    }
}

/// The motion of a face saying `clip`. `liveliness` is 0..=1.
fn motion_of(
    clip: &Clip,
    listener: &VisemeListener,
    fps: u32,
    liveliness: f32,
    seed: u64,
) -> Result<Motion, Fault> {
    let samples = clip.resampled(visemes::SAMPLE_RATE).map_err(|error| media_fault(error, "speech"))?.samples;
    let heard = listener.listen(&samples).map_err(|error| model_fault(error).about("speech"))?;
    let sound = Hearing::listen(&clip.samples, clip.rate);
    let score = Score::heard(&heard.segments(), &sound.loud, clip.seconds());
    let exposures: Vec<f32> =
        (0..perform::frame_count(clip.seconds(), fps)).map(|i| perform::exposure(i, fps)).collect();
    let performance = Performance {
        seconds: clip.seconds(),
        mouth: score.mouth(&sound.loud, &sound.speech, &exposures),
        accents: stresses(&smooth(&sound.loud, 0.06), RATE),
        speech: score.speech(),
    };
    Ok(performance.motion(fps, liveliness, seed))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::gesture::Dice;
    use crate::perform::tests::assert_in_range;
    use spinbot::timing::SpeechTiming;
    use spinbot_media::audio::{AudioCaps, read};
    use spinbot_models::Device;
    use std::path::Path;

    fn listener() -> VisemeListener {
        VisemeListener::load(&Device::cpu()).unwrap()
    }

    fn fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
    }

    #[test]
    fn lips_shut_for_labials_and_pauses_and_open_for_vowels() {
        let clip = read(&fixture("spoken/boat.flac"), "boat.flac", &AudioCaps::default()).unwrap();
        let timing = std::fs::read(fixture("spoken/boat.timing.json")).unwrap();
        let timing: SpeechTiming = serde_json::from_slice(&timing).unwrap();
        let motion = motion_of(&clip, &listener(), 25, 1.0, 3).unwrap();
        assert_eq!(motion.frames.len(), (clip.seconds() * 25.0).ceil() as usize);
        // The mean of the frames in the middles of these symbols.
        let mean = |symbols: &str| {
            let said = timing.phonemes.iter().filter(|phoneme| symbols.contains(phoneme.symbol));
            let frames = said.map(|p| motion.frames[((p.start + p.end) / 2.0 * 25.0) as usize].aperture());
            let frames: Vec<f32> = frames.collect();
            frames.iter().sum::<f32>() / frames.len() as f32
        };
        let (shut, open) = (mean("pbm"), mean("ɑæɛʌɔ"));
        assert!(shut < 0.12 && open > 0.4, "{shut} {open}");
        let first = &motion.frames[0];
        assert!(first.aperture() < 0.05, "{first:?}");
        assert!(motion.frames.iter().any(|f| f.blink > 0.9));

        assert_eq!(motion, motion_of(&clip, &listener(), 25, 1.0, 3).unwrap());
        assert_ne!(motion, motion_of(&clip, &listener(), 25, 1.0, 4).unwrap());
        let still = motion_of(&clip, &listener(), 25, 0.0, 3).unwrap();
        assert!(still.frames.iter().all(|f| f.turn == 0.0 && f.tilt == 0.0 && f.shift == [0.0; 2]));
    }

    #[test]
    fn every_value_stays_in_its_range_whatever_is_heard() {
        let listener = listener();
        let mut dice = Dice::new(1);
        let noise = Clip::new((0..40_000).map(|_| dice.between(-1.0, 1.0)).collect(), 8_000);
        let click = Clip::new((0..5_000).map(|i| f32::from(u8::from(i == 2_500))).collect(), 48_000);
        for clip in [noise, click, Clip::silence(0.1, 8_000)] {
            for fps in [1, 25, 60] {
                assert_in_range(&motion_of(&clip, &listener, fps, 1.0, 9).unwrap());
            }
        }
        let silence = motion_of(&Clip::silence(2.0, 48_000), &listener, 25, 1.0, 9).unwrap();
        assert!(silence.frames.iter().all(|frame| frame.aperture() < 0.03));
    }

    #[test]
    fn what_is_no_sound_is_refused() {
        let wrong = Clip::new(vec![f32::NAN; 16_000], 16_000);
        assert!(motion_of(&wrong, &listener(), 25, 1.0, 1).is_err());
        assert!(motion_of(&Clip::new(Vec::new(), 16_000), &listener(), 25, 1.0, 1).is_err());
    }
}
