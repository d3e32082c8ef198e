//! A text said by pocket-tts, with weights of the user's own: it reads by itself, and tells when each part of a text is
//! said, not when a word is.

use super::{Spoken, seconds, too_long};
use crate::loaded;
use crate::step::{MAX_SPEECH_SECONDS, StepError, StepInput, model_fault};
use spinbot::Fault;
use spinbot::timing::TimedSentence;
use spinbot_models::pocket::{Pocket, PocketChunk, PocketOptions, PocketVoice};
use std::ops::ControlFlow;
use std::sync::Arc;

/// A voice of pocket-tts ready to speak.
pub(crate) struct PocketSpeaker {
    pub(crate) pocket: Arc<Pocket>,
    pub(crate) voice: PocketVoice,
}

/// A voice of pocket-tts came alone.
pub(crate) fn unnamed() -> Fault {
    Fault::new("this voice speaks with pocket-tts, and no weights of it are named")
        .help("use it by its name, or give the step the model it was made with")
        .about("voice")
}

impl PocketSpeaker {
    /// The voice in a file, and the weights it speaks with, loaded where they are not yet.
    pub(crate) fn read(bytes: &[u8], weights: Option<&StepInput>) -> Result<Self, Fault> {
        let weights = weights.ok_or_else(unnamed)?;
        let pocket = loaded::pocket(weights)?;
        let voice =
            pocket.voice_from_safetensors(bytes).map_err(|error| model_fault(error).about("voice"))?;
        Ok(PocketSpeaker { pocket, voice })
    }

    /// Says `text`. `each` hears what was said so far, with how many characters that were and how many there are; its
    /// error ends the speech.
    pub(crate) fn say(
        &self,
        text: &str,
        seed: u64,
        before: Option<Spoken>,
        each: &mut dyn FnMut(&Spoken, usize, usize) -> Result<(), StepError>,
    ) -> Result<Spoken, StepError> {
        let parted = spinbot_g2p::passages(text)
            .map_err(|error| Fault::new(error.to_string()).help(error.help()).about("text"))?;
        if let Some(word) = parted.pronounced.first() {
            return Err(Fault::new(format!("pocket-tts cannot be told how `{word}` is pronounced"))
                .help("spell it as it sounds, or choose a stock voice or a profile made without --with")
                .about("text")
                .into());
        }
        let said = |text: &str| text.chars().any(char::is_alphanumeric);
        if !parted.passages.iter().any(|(text, _)| said(text)) {
            return Err(Fault::new("there is nothing in the text that can be said")
                .help("write some words; signs alone have no sound")
                .about("text")
                .into());
        }
        let length = |text: &str| text.chars().count();
        let total = parted.passages.iter().map(|(text, _)| length(text)).sum();
        let mut spoken = before.unwrap_or_default();
        let mut done = parted.passages.iter().take(spoken.parts).map(|(text, _)| length(text)).sum();
        for ((text, pause), nth) in parted.passages.iter().zip(0_u64..).skip(spoken.parts) {
            if said(text) {
                let seed = seed.wrapping_add(nth);
                let within = &mut |spoken: &Spoken, share: f64| {
                    each(spoken, done + (share * length(text) as f64) as usize, total)
                };
                self.add(text, seed, &mut spoken, within)?;
            }
            done += length(text);
            spoken.pause(*pause);
            spoken.part_ends();
            each(&spoken, done, total)?;
        }
        Ok(spoken)
    }

    /// Says a passage after what was said already. `each` hears, after every piece of sound, which share of its parts
    /// are said.
    fn add(
        &self,
        text: &str,
        seed: u64,
        spoken: &mut Spoken,
        each: &mut dyn FnMut(&Spoken, f64) -> Result<(), StepError>,
    ) -> Result<(), StepError> {
        let options = PocketOptions { seed, ..PocketOptions::default() };
        let mut ended = Ok(());
        let mut open: Option<(usize, TimedSentence)> = None;
        let mut on_audio = |chunk: PocketChunk<'_>| {
            let start = seconds(spoken.samples.len());
            if let Some((_, said)) = open.take_if(|(part, _)| *part != chunk.part) {
                spoken.timing.sentences.push(said);
            }
            spoken.samples.extend_from_slice(chunk.samples);
            spoken.timing.seconds = seconds(spoken.samples.len());
            let (_, sentence) = open.get_or_insert_with(|| {
                (chunk.part, TimedSentence { text: chunk.text.to_owned(), start, end: start })
            });
            sentence.end = spoken.timing.seconds;
            ended = match spoken.timing.seconds > MAX_SPEECH_SECONDS {
                true => Err(too_long().into()),
                false => each(spoken, chunk.part as f64 / chunk.parts as f64),
            };
            if ended.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let speech = self.pocket.speak(text, &self.voice, &options, &mut on_audio);
        let speech = speech.map_err(|error| model_fault(error).about("text"))?;
        ended?;
        spoken.timing.sentences.extend(open.map(|(_, said)| said));
        spoken.unended += speech.unended;
        Ok(())
    }
}
