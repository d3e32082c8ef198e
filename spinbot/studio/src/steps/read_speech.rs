//! `read_speech`: a clip of the user's as one channel of even loudness.

use crate::step::{
    Inputs, MAX_SPEECH_SECONDS, Report, Run, StepError, StepOutput, in_range, input, media_fault,
};
use spinbot::{Fault, steps::ReadSpeech};
use spinbot_media::audio::{self, AudioCaps};

/// Samples a second of everything downstream.
const RATE: u32 = 48_000;
const LUFS: f64 = -16.0;
const PEAK_DBFS: f64 = -1.0;
/// Shortest clip that can be lip-synced.
const MIN_SECONDS: f64 = 0.3;
/// Clips below this loudness hold no speech that could be brought up.
const SILENCE_LUFS: f64 = -65.0;

impl Run for ReadSpeech {
    fn check(&self) -> Result<(), Fault> {
        in_range("max_seconds", self.max_seconds, 1.0, MAX_SPEECH_SECONDS)
    }

    fn run(
        &self,
        inputs: &Inputs,
        _seed: u64,
        report: &mut dyn Report,
    ) -> Result<Vec<StepOutput>, StepError> {
        let speech = input(inputs, "speech")?;
        let fault = |error| media_fault(error, "speech");
        let caps =
            AudioCaps { min_seconds: MIN_SECONDS, max_seconds: self.max_seconds, ..AudioCaps::default() };
        let clip = audio::read(&speech.path, &speech.label, &caps).map_err(fault)?;
        if report.cancelled() {
            return Err(StepError::Cancelled);
        }
        let loudness = clip.loudness().map_err(fault)?;
        if clip.samples.iter().any(|s| !s.is_finite()) || loudness < SILENCE_LUFS {
            return Err(Fault::new(format!("{}: the recording is silent", speech.label))
                .help("record again with the microphone on, or choose another clip")
                .about("speech")
                .into());
        }
        let clip = clip.resampled(RATE).and_then(|clip| clip.normalized(LUFS, PEAK_DBFS)).map_err(fault)?;
        report.log(&format!("{}: {:.2} s, {loudness:.1} LUFS", speech.label, clip.seconds()));
        report.progress(clip.seconds(), clip.seconds(), "s");
        Ok(vec![StepOutput { name: "speech", media_type: "audio/wav", bytes: audio::wav_bytes(&clip) }])
    }
}
