//! `encode_speech`: speech as a file to keep.

use crate::step::{Inputs, MAX_SPEECH_SECONDS, Report, Run, StepError, StepOutput, input, media_fault};
use spinbot::{Fault, steps::EncodeSpeech};
use spinbot_media::audio::{self, AudioCaps};

/// Samples a second of what is written.
const RATE: u32 = 48_000;
/// Bit rate of an MP3 in kbit/s: shine's speech is 29 to 34 dB above what it adds at 64, 48 to 50 dB at 128.
const MP3_KBIT: u32 = 96;

impl Run for EncodeSpeech {
    fn check(&self) -> Result<(), Fault> {
        match self.format.as_str() {
            "wav" | "flac" | "mp3" => Ok(()),
            other => Err(Fault::new(format!("format is {other}, need wav, flac or mp3"))
                .help("choose wav, flac or mp3")
                .about("format")),
        }
    }

    fn run(
        &self,
        inputs: &Inputs,
        _seed: u64,
        report: &mut dyn Report,
    ) -> Result<Vec<StepOutput>, StepError> {
        let speech = input(inputs, "speech")?;
        let fault = |error| media_fault(error, "speech");
        let caps = AudioCaps { max_seconds: MAX_SPEECH_SECONDS, ..AudioCaps::default() };
        let clip = audio::read(&speech.path, &speech.label, &caps)
            .and_then(|clip| clip.resampled(RATE))
            .map_err(fault)?;
        if report.cancelled() {
            return Err(StepError::Cancelled);
        }
        let (media_type, bytes) = match self.format.as_str() {
            "flac" => ("audio/flac", audio::flac_bytes(&clip).map_err(fault)?),
            "mp3" => ("audio/mpeg", audio::mp3_bytes(&clip, MP3_KBIT).map_err(fault)?),
            _ => ("audio/wav", audio::wav_bytes(&clip)),
        };
        report.progress(clip.seconds(), clip.seconds(), "s");
        Ok(vec![StepOutput { name: "sound", media_type, bytes }])
    }
}
