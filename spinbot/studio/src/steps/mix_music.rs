//! `mix_music`: music under speech.

use super::speak::{LUFS, PEAK_DBFS, RATE};
use crate::step::{
    Inputs, MAX_SPEECH_SECONDS, Report, Run, StepError, StepOutput, in_range, input, media_fault,
};
use spinbot::{Fault, steps::MixMusic};
use spinbot_media::audio::{self, AudioCaps, MusicLevel};

/// Music quieter than this holds nothing that could be brought up.
const SILENCE_LUFS: f64 = -65.0;
/// Shortest music that is repeated, in seconds.
const MIN_SECONDS: f64 = 1.0;

impl Run for MixMusic {
    fn check(&self) -> Result<(), Fault> {
        in_range("below", self.below, 0.0, 60.0)?;
        in_range("ducking", self.ducking, 0.0, 30.0)
    }

    fn run(
        &self,
        inputs: &Inputs,
        _seed: u64,
        report: &mut dyn Report,
    ) -> Result<Vec<StepOutput>, StepError> {
        let (speech, file) = (input(inputs, "speech")?, input(inputs, "music")?);
        let caps = AudioCaps { max_seconds: MAX_SPEECH_SECONDS, ..AudioCaps::default() };
        let speech = audio::read(&speech.path, &speech.label, &caps)
            .and_then(|clip| clip.resampled(RATE))
            .map_err(|error| media_fault(error, "speech"))?;
        report.progress(1.0, 3.0, "parts");
        let fault = |error| media_fault(error, "music");
        let music = audio::read(&file.path, &file.label, &AudioCaps { min_seconds: MIN_SECONDS, ..caps });
        let music = music.map_err(fault)?;
        let loudness = music.loudness().map_err(fault)?;
        if music.samples.iter().any(|s| !s.is_finite()) || loudness < SILENCE_LUFS {
            return Err(Fault::new(format!("{}: the music is silent", file.label))
                .help("choose another file, or leave --music away")
                .about("music")
                .into());
        }
        report.progress(2.0, 3.0, "parts");
        if report.cancelled() {
            return Err(StepError::Cancelled);
        }
        let level = MusicLevel { below: self.below, ducking: self.ducking };
        let mixed = speech.with_music(&music, level, (LUFS, PEAK_DBFS)).map_err(fault)?;
        report.progress(3.0, 3.0, "parts");
        Ok(vec![StepOutput { name: "speech", media_type: "audio/wav", bytes: audio::wav_bytes(&mixed) }])
    }
}
