//! `add_cards`: a title before the video and words after it.

use crate::ease::smoothstep;
use crate::step::{
    Inputs, MAX_SPEECH_SECONDS, Report, Run, StepError, StepOutput, in_range, input, json_input, media_fault,
};
use spinbot::timing::SpeechTiming;
use spinbot::{Fault, steps::AddCards};
use spinbot_media::audio::{self, AudioCaps, Clip};
use spinbot_media::card::{blend, card};
use spinbot_media::video::{Encoder, VideoSettings, VideoTrack};
use spinbot_media::{RgbImage, mp4};

/// How long a card stands, in seconds.
const SECONDS: f64 = 2.0;
/// Of which it fades from or to black, and from or to the video.
const BLACK: f64 = 0.3;
const VIDEO: f64 = 0.6;
/// Most characters of a card.
const MAX_CHARACTERS: usize = 200;

impl Run for AddCards {
    fn check(&self) -> Result<(), Fault> {
        in_range("quantizer", self.quantizer, 10, 40)?;
        for (name, words) in [("intro", &self.intro), ("outro", &self.outro)] {
            let length = words.as_ref().map_or(1, |words| words.trim().chars().count());
            if !(1..=MAX_CHARACTERS).contains(&length) {
                return Err(Fault::new(format!(
                    "the {name} has {length} characters, need 1 to {MAX_CHARACTERS}"
                ))
                .help("a card is for a title; say the rest")
                .about(name));
            }
        }
        Ok(())
    }

    fn run(
        &self,
        inputs: &Inputs,
        _seed: u64,
        report: &mut dyn Report,
    ) -> Result<Vec<StepOutput>, StepError> {
        let fault = |error| media_fault(error, "intro");
        let (video, speech) = (input(inputs, "video")?, input(inputs, "speech")?);
        let file = std::fs::read(&video.path)
            .map_err(|error| Fault::new(format!("{}: could not be read ({error})", video.label)))?;
        let track = mp4::read_video(&file).map_err(fault)?;
        let caps = AudioCaps { max_seconds: MAX_SPEECH_SECONDS, ..AudioCaps::default() };
        let clip =
            audio::read(&speech.path, &speech.label, &caps).map_err(|error| media_fault(error, "speech"))?;
        let timing: Option<SpeechTiming> =
            inputs.contains_key("timing").then(|| json_input(inputs, "timing")).transpose()?;
        let (first, last) = track.ends().map_err(fault)?;
        report.progress(1.0, 3.0, "parts");
        let settings = VideoSettings {
            width: track.width,
            height: track.height,
            fps: track.fps,
            quantizer: self.quantizer,
        };
        let filmed = |words: &Option<String>, picture: &RgbImage, back: bool| {
            words.as_ref().map(|words| film(settings, &card(picture, words), picture, back)).transpose()
        };
        let intro = filmed(&self.intro, &first, false).map_err(fault)?;
        report.progress(2.0, 3.0, "parts");
        if report.cancelled() {
            return Err(StepError::Cancelled);
        }
        let outro = filmed(&self.outro, &last, true).map_err(fault)?;
        let silence = |card: &Option<VideoTrack>| card.as_ref().map_or(0.0, VideoTrack::seconds);
        let (before, after) = (silence(&intro), silence(&outro));
        let own = track.seconds();
        let tracks: Vec<VideoTrack> = intro.into_iter().chain([track]).chain(outro).collect();
        let whole = VideoTrack::joined(&tracks).map_err(fault)?;
        let samples = |seconds: f64| (seconds * f64::from(clip.rate)).round() as usize;
        let spoken = clip.fitted(samples(own)).samples;
        let padded = [vec![0.0; samples(before)], spoken, vec![0.0; samples(after)]].concat();
        let timing = timing.map(|timing| timing.delayed(before)).unwrap_or_default();
        let json = serde_json::to_vec(&timing)
            .map_err(|error| Fault::new(format!("the timing could not be written: {error}")))?;
        let video = mp4::write(&whole, None, &mp4::Tags::default()).map_err(fault)?;
        let speech = audio::wav_bytes(&Clip::new(padded, clip.rate));
        report.progress(3.0, 3.0, "parts");
        Ok(vec![
            StepOutput { name: "video", media_type: "video/mp4", bytes: video },
            StepOutput { name: "speech", media_type: "audio/wav", bytes: speech },
            StepOutput { name: "timing", media_type: "application/json", bytes: json },
            StepOutput { name: "subtitles", media_type: "text/vtt", bytes: timing.webvtt().into_bytes() },
        ])
    }
}

/// The card coming out of black and turning into the picture, or that backwards.
fn film(
    settings: VideoSettings,
    card: &RgbImage,
    picture: &RgbImage,
    back: bool,
) -> spinbot_media::Result<VideoTrack> {
    let count = (SECONDS * f64::from(settings.fps)).round() as u32;
    let black = RgbImage::new(card.width(), card.height());
    let mut encoder = Encoder::new(settings)?;
    for number in 0..count {
        let number = if back { count - 1 - number } else { number };
        let at = (f64::from(number) + 0.5) / f64::from(settings.fps);
        let fade = |from: f64, to: f64| smoothstep(from as f32, to as f32, at as f32);
        let frame = match at < BLACK {
            true => blend(&black, card, fade(0.0, BLACK)),
            false => blend(card, picture, fade(SECONDS - VIDEO, SECONDS)),
        };
        encoder.push(&frame)?;
    }
    encoder.finish()
}
