//! The whole of pocket-tts: loading, speaking, and making voices.

use super::cloning::{self, Cloner};
use super::config::PocketTraits;
use super::error::PocketError;
use super::file::{PocketFiles, Tensors};
use super::lm::LanguageModel;
use super::mimi::{Decoder, DecoderState};
use super::text::{self, Part, PocketLanguage, Rules};
use super::tokenizer::Tokenizer;
use super::voice::PocketVoice;
use super::{SAMPLE_RATE, flow};
use crate::device::Device;
use crate::error::{ModelError, Result};
use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use std::ops::ControlFlow;
use std::path::Path;

/// Frames in which no end is believed: before speech starts, some voices announce one.
const FRAMES_BEFORE_EOS: usize = 6;
/// Estimate of the speech in a text, with room: tokens a second, and seconds beyond.
const TOKENS_PER_SECOND: f64 = 3.0;
const SPARE_SECONDS: f64 = 2.0;
/// Tokens in one part, at most. Parts are cut at 50; only a text without any mark has longer ones.
const MAX_PART_TOKENS: usize = 400;
/// Latents that are decoded together after the first, which goes alone so that sound comes early.
const DECODED_AT_ONCE: usize = 4;
/// Samples that fade in where a part begins: a codec that starts from nothing clicks (5 ms).
const FADE_IN: usize = SAMPLE_RATE as usize / 200;

/// How to speak.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PocketOptions {
    /// Draws the noise: the same seed, text, voice and weights give the same sound on the same kind of device.
    pub seed: u64,
    /// Variance of the noise, 0 to 2. Lower is steadier, higher livelier.
    pub temperature: f64,
    /// Steps from noise to latent, 1 to 128; more cost more. What the head was trained for when none: 1, or 16 for one
    /// of plain flow matching. A head without time conditions takes only 1.
    pub steps: Option<usize>,
    /// The logit above which speech is at its end; the release's own when none. Higher speaks longer.
    pub eos_threshold: Option<f32>,
    /// Frames of 80 ms after the end was announced; by the text's length when none (3, or 5 for up to four words).
    pub frames_after_eos: Option<usize>,
}

impl Default for PocketOptions {
    fn default() -> Self {
        PocketOptions { seed: 0, temperature: 0.3, steps: None, eos_threshold: None, frames_after_eos: None }
    }
}

/// A piece of speech as it comes.
#[derive(Debug, Clone, Copy)]
pub struct PocketChunk<'a> {
    /// Mono at 24 kHz, following the piece before without a gap.
    pub samples: &'a [f32],
    /// Which part of the text it belongs to, from 0.
    pub part: usize,
    /// How many parts the text was cut into.
    pub parts: usize,
    /// The part's text, as it is spelled for the network.
    pub text: &'a str,
}

/// A finished speech.
#[derive(Debug, Clone, PartialEq)]
pub struct PocketSpeech {
    /// Mono at 24 kHz, around -1 to 1 but not clipped.
    pub samples: Vec<f32>,
    /// Parts of the text whose end was never announced: they were cut at the length they should have had, and may hold
    /// babble.
    pub unended: usize,
    /// Whether the callback stopped it, so that words are missing.
    pub stopped: bool,
}

/// The model, loaded once and used for many texts and voices. It may be used from several threads.
pub struct Pocket {
    lm: LanguageModel,
    decoder: Decoder,
    cloner: std::result::Result<Cloner, String>,
    tokenizer: Tokenizer,
    rules: Rules,
    eos_threshold: f32,
    device: candle_core::Device,
}

impl Pocket {
    /// Loads the weights and the tokenizer of a release for texts in that language. All sizes come from the file;
    /// what shapes do not tell is known for the releases.
    ///
    /// # Errors
    /// [`PocketError::Missing`] for a file that is not there, [`PocketError::UnknownRelease`] for widths of no release,
    /// [`ModelError::Weights`] for a damaged or foreign file, [`PocketError::Tokenizer`] for one that does not belong
    /// to it, [`ModelError::Tensor`] when the device is out of memory.
    pub fn load(files: &PocketFiles, language: PocketLanguage, device: &Device) -> Result<Self> {
        Pocket::open(files, language, None, device)
    }

    /// Loads weights of no release, say of one's own training, with the traits that their shapes do not tell.
    ///
    /// # Errors
    /// As [`Pocket::load`].
    pub fn load_with(
        files: &PocketFiles,
        language: PocketLanguage,
        traits: PocketTraits,
        device: &Device,
    ) -> Result<Self> {
        Pocket::open(files, language, Some(traits), device)
    }

    fn open(
        files: &PocketFiles,
        language: PocketLanguage,
        traits: Option<PocketTraits>,
        device: &Device,
    ) -> Result<Self> {
        files.check()?;
        let w = Tensors::open(&files.weights, "weights", &device.0)?;
        let traits = match traits {
            Some(traits) => traits,
            None => PocketTraits::recognise(&w)?,
        };
        let tokenizer = Tokenizer::open(&files.tokenizer)?;
        let lm = LanguageModel::load(&w, &traits)?;
        tokenizer.check(lm.tokens())?;
        let decoder = Decoder::load(&w, &traits, lm.flow.latent)?;
        let cloner = Cloner::load(&w, &traits, decoder.frame, lm.transformer().width)?;
        w.all_taken()?;
        let rules = Rules {
            language,
            dashes_as_commas: traits.dashes_as_commas,
            // Only the first release has no vector before the voice, and it was trained on longer texts.
            pad_short: lm.bos_before_voice.is_none(),
        };
        let eos_threshold = traits.eos_threshold;
        Ok(Pocket { lm, decoder, cloner, tokenizer, rules, eos_threshold, device: device.0.clone() })
    }

    /// Whether [`Pocket::voice_from`] can work with these weights.
    ///
    /// # Errors
    /// [`PocketError::CannotClone`] with what in the file shows that it cannot: it is the open release, whose encoder
    /// is zero, or the encoder was left out.
    pub fn can_clone(&self) -> Result<()> {
        match &self.cloner {
            Ok(_) => Ok(()),
            Err(reason) => Err(PocketError::CannotClone { reason: reason.clone() }.into()),
        }
    }

    /// Makes a voice from a recording of one speaker: mono at 24 kHz, 1 to 60 s; 3 to 30 s are best. The silence at its
    /// end is cut.
    ///
    /// # Errors
    /// As [`Pocket::can_clone`]; [`PocketError::Recording`] for one that is too short, too long or silent.
    pub fn voice_from(&self, samples: &[f32]) -> Result<PocketVoice> {
        self.can_clone()?;
        cloning::check(samples)?;
        match &self.cloner {
            Ok(cloner) => PocketVoice::from_prompt(&cloner.prompt(samples, &self.device)?, &self.lm),
            Err(reason) => Err(PocketError::CannotClone { reason: reason.clone() }.into()),
        }
    }

    /// Reads a voice from a file: one of the release's presets (`embeddings/NAME.safetensors`), one that the PyPI
    /// package exported, or one of [`PocketVoice::to_safetensors`]. Needs no cloning.
    ///
    /// # Errors
    /// [`PocketError::Missing`]; [`PocketError::Voice`] for one of other weights; [`ModelError::Weights`] for a damaged
    /// file.
    pub fn voice(&self, path: &Path) -> Result<PocketVoice> {
        PocketVoice::read(&Tensors::open(path, "voice", &self.device)?, &self.lm)
    }

    /// Reads a voice from the bytes of such a file.
    ///
    /// # Errors
    /// As [`Pocket::voice`].
    pub fn voice_from_safetensors(&self, bytes: &[u8]) -> Result<PocketVoice> {
        PocketVoice::read(&Tensors::from_bytes(bytes, &self.device)?, &self.lm)
    }

    /// Says a text in that voice. Long texts are cut at sentence ends into parts of some ten seconds, each spoken from
    /// the voice alone. `on_audio` gets every piece as soon as it is decoded (the first after one frame of 80 ms) and
    /// can stop the speech, which then returns what was said so far.
    ///
    /// There are no times of words: the model does not tell them. Lip sync is driven from the audio.
    ///
    /// # Errors
    /// [`PocketError::Text`], [`PocketError::Option`], [`PocketError::Voice`] for a voice of other weights,
    /// [`PocketError::NotFinite`] for damaged weights, [`ModelError::Tensor`] when the device fails.
    pub fn speak(
        &self,
        text: &str,
        voice: &PocketVoice,
        options: &PocketOptions,
        on_audio: &mut dyn FnMut(PocketChunk<'_>) -> ControlFlow<()>,
    ) -> Result<PocketSpeech> {
        if !(0.0..=2.0).contains(&options.temperature) {
            return Err(option(format!("temperature {}", options.temperature), "it goes from 0 to 2"));
        }
        let mut random = ChaCha8Rng::seed_from_u64(options.seed);
        let deviation = options.temperature.sqrt() as f32;
        let mut noise =
            || deviation * <StandardNormal as Distribution<f32>>::sample(&StandardNormal, &mut random);
        self.speak_with(text, voice, options, &mut noise, on_audio)
    }

    /// [`Pocket::speak`] with the noise drawn by the caller, one number at a time.
    pub(super) fn speak_with(
        &self,
        text: &str,
        voice: &PocketVoice,
        options: &PocketOptions,
        noise: &mut dyn FnMut() -> f32,
        on_audio: &mut dyn FnMut(PocketChunk<'_>) -> ControlFlow<()>,
    ) -> Result<PocketSpeech> {
        if voice.fingerprint != self.lm.fingerprint {
            return Err(PocketError::Voice { reason: "it was made with other weights".into() }.into());
        }
        let (usual, most) = self.lm.flow.steps();
        let steps = options.steps.unwrap_or(usual);
        if !(1..=most).contains(&steps) {
            let range = format!("these weights take 1 to {most}");
            return Err(option(format!("{steps} steps"), &range));
        }
        let threshold = options.eos_threshold.unwrap_or(self.eos_threshold);
        let path = self.lm.flow.path(steps).map_err(ModelError::tensor("speaking"))?;
        let parts = text::parts(text, self.rules, &self.tokenizer)?;
        let mut speech = PocketSpeech { samples: Vec::new(), unended: 0, stopped: false };
        for (n, part) in parts.iter().enumerate() {
            let mut on_piece = |samples: &[f32]| {
                speech.samples.extend_from_slice(samples);
                on_audio(PocketChunk { samples, part: n, parts: parts.len(), text: part.text.trim() })
            };
            let speaker = Speaker { pocket: self, path: &path, threshold };
            let frames_after = options.frames_after_eos.unwrap_or(part.frames_after_eos);
            match speaker.say(part, frames_after, voice, noise, &mut on_piece)? {
                End::Announced => (),
                End::Cut => speech.unended += 1,
                End::Stopped => {
                    speech.stopped = true;
                    break;
                }
            }
        }
        Ok(speech)
    }
}

/// How a part came to its end.
enum End {
    Announced,
    Cut,
    Stopped,
}

/// What stays the same for all parts of a text.
struct Speaker<'a> {
    pocket: &'a Pocket,
    path: &'a flow::Path,
    threshold: f32,
}

impl Speaker<'_> {
    fn say(
        &self,
        part: &Part,
        frames_after_eos: usize,
        voice: &PocketVoice,
        noise: &mut dyn FnMut() -> f32,
        on_piece: &mut dyn FnMut(&[f32]) -> ControlFlow<()>,
    ) -> Result<End> {
        let failed = ModelError::tensor;
        let lm = &self.pocket.lm;
        let tokens = self.pocket.tokens(part)?;
        let mut cache = voice.cache.clone();
        let embedded = lm.embed(&tokens).map_err(failed("speaking"))?;
        lm.hidden(&embedded, &mut cache).map_err(failed("speaking"))?;
        let rate = f64::from(SAMPLE_RATE) / self.pocket.decoder.frame as f64;
        let most = ((tokens.len() as f64 / TOKENS_PER_SECOND + SPARE_SECONDS) * rate).ceil() as usize;
        let mut codec =
            Codec { decoder: &self.pocket.decoder, lm, state: DecoderState::default(), begun: false };
        let (mut waiting, mut before, mut eos_at) = (Vec::new(), None, None);
        let mut end = End::Cut;
        for frame in 0..most {
            let drawn: Vec<f32> = (0..lm.flow.latent).map(|_| noise()).collect();
            let drawn = Tensor::from_vec(drawn, (1, lm.flow.latent), &self.pocket.device);
            let step = drawn.and_then(|drawn| lm.step(before.as_ref(), &drawn, self.path, &mut cache));
            let step = step.map_err(failed("speaking"))?;
            if !step.eos.is_finite() {
                return Err(PocketError::NotFinite { doing: "speaking" }.into());
            }
            if eos_at.is_none() && frame >= FRAMES_BEFORE_EOS && step.eos > self.threshold {
                eos_at = Some(frame);
            }
            if eos_at.is_some_and(|at| frame >= at + frames_after_eos) {
                end = End::Announced;
                break;
            }
            waiting.push(step.latent.clone());
            before = Some(step.latent);
            let enough = if codec.begun { DECODED_AT_ONCE } else { 1 };
            if waiting.len() >= enough && codec.decode(&mut waiting, on_piece)?.is_break() {
                return Ok(End::Stopped);
            }
        }
        if !waiting.is_empty() && codec.decode(&mut waiting, on_piece)?.is_break() {
            return Ok(End::Stopped);
        }
        Ok(end)
    }
}

impl Pocket {
    fn tokens(&self, part: &Part) -> Result<Vec<u32>> {
        let refuse = |reason: String| Err(PocketError::Text { reason }.into());
        let tokens = self.tokenizer.encode(&part.text)?;
        if tokens.is_empty() || tokens.len() > MAX_PART_TOKENS {
            return refuse(format!(
                "{} tokens stand without a comma or a sentence end, expected 1 to {MAX_PART_TOKENS}",
                tokens.len()
            ));
        }
        if let Some(token) = tokens.iter().find(|token| **token as usize >= self.lm.tokens()) {
            return refuse(format!("its token {token} is none that the weights know"));
        }
        Ok(tokens)
    }
}

/// The decoding of one part.
struct Codec<'a> {
    decoder: &'a Decoder,
    lm: &'a LanguageModel,
    state: DecoderState,
    begun: bool,
}

impl Codec<'_> {
    /// Decodes the waiting latents and hands them on.
    fn decode(
        &mut self,
        waiting: &mut Vec<Tensor>,
        on_piece: &mut dyn FnMut(&[f32]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let samples = Tensor::cat(waiting, 0)
            .and_then(|latents| self.lm.denormalise(&latents))
            .and_then(|latents| self.decoder.decode(&latents, &mut self.state)?.to_vec1::<f32>());
        waiting.clear();
        let mut samples = samples.map_err(ModelError::tensor("decoding speech"))?;
        if samples.iter().any(|x| !x.is_finite()) {
            return Err(PocketError::NotFinite { doing: "decoding speech" }.into());
        }
        if !self.begun {
            let faded = samples.iter_mut().take(FADE_IN).enumerate();
            faded.for_each(|(n, x)| *x *= n as f32 / (FADE_IN - 1) as f32);
            self.begun = true;
        }
        Ok(on_piece(&samples))
    }
}

fn option(option: String, reason: &str) -> ModelError {
    PocketError::Option { option, reason: reason.into() }.into()
}
