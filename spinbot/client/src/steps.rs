//! The steps a plan is made of: their parameters and the names of their inputs and outputs.
//!
//! Builders in this crate fill them in, `spinbot-studio` runs them. A change in what a step computes raises its
//! `VERSION`, so that results of the old code are not taken for its own.

use crate::pictures::{Captions, Crop};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// Parameters of one kind of step.
pub trait StepParams: Serialize + DeserializeOwned {
    /// The step's name in plans, journals and metrics.
    const KIND: &'static str;
    /// Raised when the same parameters and inputs give another result.
    const VERSION: u32;
    /// The files it reads: names of its inputs. `name*` stands for any number of inputs `name1`, `name2`, ...,
    /// `name+` for at least one of them, `name?` for one that may be left out.
    const INPUTS: &'static [&'static str];
    /// What it leaves: names of its outputs.
    const OUTPUTS: &'static [&'static str];
}

/// Reads a picture: orients it by EXIF, finds the one face, crops to it, scales, finds its 68 landmarks.
///
/// Input `portrait`: JPEG, PNG or WebP. Outputs: `picture` (PNG, the frame the video is made of), `landmarks`
/// (JSON `{width, height, score, points: [[x, y]; 68]}` in pixels of `picture`), `overlay` (JPEG, the landmarks
/// drawn on it).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadPortrait {
    /// Longest side of the video in pixels, 128..=1024, rounded to a multiple of 16.
    pub size: u32,
    /// Keep the picture's own shape instead of a square around the face.
    pub keep_aspect: bool,
}

impl StepParams for ReadPortrait {
    const KIND: &'static str = "read_portrait";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["portrait"];
    const OUTPUTS: &'static [&'static str] = &["picture", "landmarks", "overlay"];
}

/// Reads a clip: any audio format, to mono, 48 kHz, -16 LUFS (peaks below -1 dBFS).
///
/// Input `speech`. Output `speech` (WAV, 48 kHz, mono, 16 bit).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadSpeech {
    /// Longest clip taken, in seconds.
    pub max_seconds: f64,
}

impl StepParams for ReadSpeech {
    const KIND: &'static str = "read_speech";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["speech"];
    const OUTPUTS: &'static [&'static str] = &["speech"];
}

/// Turns speech into how the mouth, lids and head move, frame by frame, from the audio alone.
///
/// Input `speech` (WAV of [`ReadSpeech`]). Output `motion` (JSON, `spinbot_studio::Motion`: fps, and per frame
/// jaw, width, round, upper, tuck, seal, smile, blink, brow, turn, nod, tilt, shift).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drive {
    /// Frames per second, 1..=60.
    pub fps: u32,
    /// How much the head and brows move besides the mouth and lids: 0 still, 1 lively.
    pub liveliness: f64,
}

impl StepParams for Drive {
    const KIND: &'static str = "drive";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["speech"];
    const OUTPUTS: &'static [&'static str] = &["motion"];
}

/// Moves the picture by the motion and encodes the frames.
///
/// Inputs `picture`, `landmarks`, `motion`. Outputs: `video` (MP4, H.264, no sound), `first_frame` (JPEG,
/// shown as a preview before the rest is drawn), `sheet` (JPEG contact sheet of 24 frames).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Animate {
    /// H.264 quantizer, 10 (fine) ..= 40 (small).
    pub quantizer: u8,
}

impl StepParams for Animate {
    const KIND: &'static str = "animate";
    const VERSION: u32 = 2;
    const INPUTS: &'static [&'static str] = &["picture", "landmarks", "motion"];
    const OUTPUTS: &'static [&'static str] = &["video", "first_frame", "sheet"];
}

/// Joins picture and sound: trims or pads the speech to the video's length, writes FLAC beside H.264 in an MP4.
///
/// Inputs `video`, `speech`. Output `video` (MP4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Encode {
    /// Written into the file's metadata as its title.
    pub title: String,
}

impl StepParams for Encode {
    const KIND: &'static str = "encode";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["video", "speech"];
    const OUTPUTS: &'static [&'static str] = &["video"];
}

/// Makes one voice of several: stock voices by name, profiles by their files, each with its weight. Or reads the one
/// voice of a model of the user's own.
///
/// Inputs `profile1`, ... (voice files), and `weights` of pocket-tts where `profile1` is a voice of it. Output `voice`
/// (safetensors, see `spinbot_models::kokoro` and `spinbot_models::pocket`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadVoice {
    /// What it is mixed of; weights are positive and need not sum to one.
    pub blend: Vec<BlendPart>,
}

/// One part of a blend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlendPart {
    /// A stock voice (`af_heart`), or the name of one of the step's inputs (`profile1`).
    pub voice: String,
    /// Its share, above 0.
    pub weight: f64,
}

impl StepParams for ReadVoice {
    const KIND: &'static str = "read_voice";
    const VERSION: u32 = 2;
    const INPUTS: &'static [&'static str] = &["profile*", "weights?"];
    const OUTPUTS: &'static [&'static str] = &["voice"];
}

/// Says a text in a voice, sentence by sentence.
///
/// Inputs `voice`, and `weights` of pocket-tts where it is a voice of it. Outputs `speech` (WAV, 48 kHz, mono, 16 bit,
/// -16 LUFS), `timing` (JSON, [`crate::timing::SpeechTiming`]), `subtitles` (WebVTT). Previews: `sentence` (WAV), once,
/// as soon as the first sentence is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Speak {
    /// What to say; see `spinbot_g2p` for its markup.
    pub text: String,
    /// How fast, 0.5..=2.
    pub speed: f64,
    /// `us` or `uk`; the voice's own when it is nothing.
    pub accent: Option<String>,
    /// Words whose pronunciation is given, in Kokoro's alphabet.
    pub lexicon: BTreeMap<String, String>,
}

impl StepParams for Speak {
    const KIND: &'static str = "speak";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["voice", "weights?"];
    const OUTPUTS: &'static [&'static str] = &["speech", "timing", "subtitles"];
}

/// Writes speech in the format asked for.
///
/// Input `speech`. Output `sound`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EncodeSpeech {
    /// `wav`, `flac` or `mp3`.
    pub format: String,
}

impl StepParams for EncodeSpeech {
    const KIND: &'static str = "encode_speech";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["speech"];
    const OUTPUTS: &'static [&'static str] = &["sound"];
}

/// How the mouth, lids and head move, from the exact times of the phonemes.
///
/// Inputs `speech` (WAV; blinks and nods go with its loudness) and `timing`. Output `motion`, as of [`Drive`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Articulate {
    /// Frames per second, 1..=60.
    pub fps: u32,
    /// How much the head and brows move besides the mouth and lids: 0 still, 1 lively.
    pub liveliness: f64,
}

impl StepParams for Articulate {
    const KIND: &'static str = "articulate";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["speech", "timing"];
    const OUTPUTS: &'static [&'static str] = &["motion"];
}

/// Reads clips of one person's voice: checks them (length, clipping, noise, music, more than one speaker), cleans
/// them (trims, evens the loudness, takes noise out if asked) and joins them.
///
/// Inputs `clip1`, ... Outputs `speech` (WAV, 24 kHz, mono), `clips` (JSON: where each lies and what was found).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadClips {
    /// Take steady noise out.
    pub denoise: bool,
}

impl StepParams for ReadClips {
    const KIND: &'static str = "read_clips";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["clip+"];
    const OUTPUTS: &'static [&'static str] = &["speech", "clips"];
}

/// Sees that a model of the user's own can clone a voice, before anything is made of the recordings.
///
/// Input `weights`, of pocket-tts. Output `report` (JSON, `{"synthesiser": "pocket-tts"}`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckCloner {}

impl StepParams for CheckCloner {
    const KIND: &'static str = "check_cloner";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["weights"];
    const OUTPUTS: &'static [&'static str] = &["report"];
}

/// Finds the voice that sounds most like the speaker of some clips: gradient style inversion through Kokoro, then,
/// if asked, small adapters in its decoder. Each stage is kept only where it helps. With pocket-tts it is made of the
/// clips at once.
///
/// Inputs `speech` and `clips` of [`ReadClips`], and `weights` of pocket-tts where it is to speak. Outputs `voice` (safetensors), `scores` (JSON,
/// [`crate::voices::VoiceScores`]), `original` and `clone` (WAV: the held-out part, and the clone saying its
/// words), `picture` (PNG: both spectrograms). Metrics: `similarity` by step. Preview: `similarity` (PNG plot).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CloneVoice {
    /// What is said in the clips; heard by speech recognition when it is nothing.
    pub transcript: Option<String>,
    /// Also train adapters in the decoder.
    pub finetune: bool,
}

impl StepParams for CloneVoice {
    const KIND: &'static str = "clone_voice";
    const VERSION: u32 = 4;
    const INPUTS: &'static [&'static str] = &["speech", "clips", "weights?"];
    const OUTPUTS: &'static [&'static str] = &["voice", "scores", "original", "clone", "picture"];
}

/// Hears a clip: what is said, how well it sounds, whose voice it resembles.
///
/// Inputs `speech`, and `profile1`, ... (voice files) of the voices to compare it with. Output `report` (JSON,
/// [`crate::listen::Heard`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listen {
    /// What the profiles are called, in their order.
    pub profiles: Vec<String>,
}

impl StepParams for Listen {
    const KIND: &'static str = "listen";
    const VERSION: u32 = 3;
    const INPUTS: &'static [&'static str] = &["speech", "profile*"];
    const OUTPUTS: &'static [&'static str] = &["report"];
}

/// Teaches a model what some pictures show: adapters (LoRA) beside its layers, and, where asked, a word of its own.
///
/// Inputs `pictures` of `read_pictures` and `model`. Outputs `lora` (safetensors, diffusers' names, kohya's `ss_*`
/// metadata), `report` (JSON, [`crate::training::TrainReport`]), `grid` (PNG: a row for each preview prompt, before and
/// after). Metrics: `loss` (smoothed) and `validation` by step. Previews, each in the place of the one before: `curve`
/// (PNG plot of both), `grid` (PNG, a column for each time of looking).
///
/// What is trained is kept every [`save_every`](Self::save_every) steps and when it is stopped: the same step, run again,
/// goes on there, and ends bit for bit as if it had never stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainLora {
    /// What the LoRA says it is called.
    pub name: String,
    /// Optimiser steps, 1..=100,000.
    pub steps: u32,
    /// Rank of the adapters, 1..=256.
    pub rank: u32,
    /// What they count by, times the rank, above 0; as the rank when it is nothing.
    pub alpha: Option<f64>,
    /// Which layers get adapters; all for the embedded model and attention for others when it is nothing.
    pub targets: Option<LoraTargets>,
    /// Adapters in the text encoder too.
    pub text_encoder: bool,
    /// Embeddings that the trigger word is taught, 0..=8. They are in the file, but programs other than SpinBot and
    /// A1111 ignore them. 1 for the embedded model and 0 for others when it is nothing.
    pub trigger_vectors: Option<u32>,
    /// What the trigger word is one of (`person`): where its embeddings begin, and what stands in its place in the
    /// prompts of the prior.
    pub class: String,
    /// The rate at the end of the warm-up, above 0; 1.5e-3 for the embedded model, 1e-4 for others when it is nothing.
    pub lr: Option<f64>,
    /// That of the text encoder; a quarter of `lr` when it is nothing.
    pub text_lr: Option<f64>,
    /// Steps in which the rate rises.
    pub warm_up: u32,
    /// What the rate does then.
    pub schedule: LrSchedule,
    /// Pictures of a step, 1..=64; 8 for the embedded model, 1 for others when it is nothing.
    pub batch: Option<u32>,
    /// Batches of a step, 1..=64: their gradients are averaged.
    pub accumulate: u32,
    /// The gradient's largest norm; no bound when it is nothing.
    pub clip_norm: Option<f64>,
    /// Gamma of min-SNR weighting; all noise levels count alike when it is nothing.
    pub min_snr_gamma: Option<f64>,
    /// How much of the noise is the same for a whole channel, 0..=1.
    pub noise_offset: f64,
    /// Share of captions that are left out, 0..=1; where the model has pictures of its own (`prior_share`), of theirs only.
    pub caption_dropout: f64,
    /// Share of what adapters see that is dropped, 0..=0.9.
    pub dropout: f64,
    /// Share of the pictures of a batch that the model drew itself before it was taught, 0..=0.9: they keep it from
    /// forgetting what else it knows.
    pub prior_share: f64,
    /// How many of those there are, 1..=200.
    pub prior_pictures: u32,
    /// Decay of the running mean of weights that is taken in their place; none when it is nothing.
    pub ema: Option<f64>,
    /// Prompts of the previews and the grid, `{}` for the trigger word, at most 8; made of the captions when there are
    /// none.
    pub prompts: Vec<String>,
    /// Steps between previews; 0 for before and after only.
    pub preview_every: u32,
    /// Steps between measurements on pictures that are held out, or, where none are, on those that are learned; 0 for
    /// the end only.
    pub validate_every: u32,
    /// Steps of training that may be lost, at least 1.
    pub save_every: u32,
    /// In what the network computes.
    pub precision: Precision,
    /// Run the network twice instead of keeping what it computed: a quarter to a half of the memory.
    pub gradient_checkpointing: bool,
}

impl Default for TrainLora {
    /// What makes a character of six pictures recognisable with the embedded model in about a minute on two cores.
    fn default() -> Self {
        TrainLora {
            name: "lora".into(),
            steps: 250,
            rank: 8,
            alpha: None,
            targets: None,
            text_encoder: true,
            trigger_vectors: None,
            class: "person".into(),
            lr: None,
            text_lr: None,
            warm_up: 10,
            schedule: LrSchedule::Cosine,
            batch: None,
            accumulate: 1,
            clip_norm: Some(1.0),
            min_snr_gamma: None,
            noise_offset: 0.0,
            caption_dropout: 0.1,
            dropout: 0.0,
            prior_share: 0.4,
            prior_pictures: 16,
            ema: None,
            prompts: Vec::new(),
            preview_every: 100,
            validate_every: 50,
            save_every: 50,
            precision: Precision::F32,
            gradient_checkpointing: false,
        }
    }
}

/// Which layers of the UNet get adapters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoraTargets {
    /// The four projections of every attention.
    Attention,
    /// Those and all other linear layers of the transformers.
    AttentionMlp,
    /// Those and the convolutions of the residual blocks.
    All,
}

/// What the learning rate does after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LrSchedule {
    /// It stays.
    Constant,
    /// It falls to nothing along half a cosine.
    Cosine,
}

/// In what a network computes; adapters and optimiser are f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Single.
    F32,
    /// The upper half of it: for devices that have it.
    Bf16,
    /// Half: for devices that have it.
    F16,
}

impl StepParams for TrainLora {
    const KIND: &'static str = "train_lora";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["pictures", "model"];
    const OUTPUTS: &'static [&'static str] = &["lora", "report", "grid"];
}

/// Reads pictures to learn from: oriented by EXIF, each cropped and scaled to its aspect bucket, with its caption.
/// What cannot be read is left out as long as something is left.
///
/// Inputs `picture1`, ...; `caption1`, ... (text), each of the picture of its number; `model`, which is to learn them,
/// where the resolution is to be its own. Outputs `pictures` (safetensors: `picture.0`, ... U8 `[height, width, 3]`, RGB;
/// under `spinbot.pictures` in its metadata what `report` says), `sheet` (PNG contact sheet with the captions), `report`
/// (JSON, [`crate::pictures::PicturesRead`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadPictures {
    /// Side in pixels of the square whose area each picture has, 64..=2048; the model's own when it is nothing.
    pub resolution: Option<u32>,
    /// How much of each picture is taken.
    pub crop: Crop,
    /// Where captions come from.
    pub captions: Captions,
    /// The word that stands for what is learned: in place of `{}` in a caption, else before one that has it not.
    pub trigger: String,
    /// Learn from the mirror images too.
    pub flip: bool,
    /// Keep one picture back to measure on where there are five or more, and one more for every twenty, up to four.
    pub hold_out: bool,
    /// Files that hold nothing: named with what else was left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub empty: Vec<String>,
}

impl StepParams for ReadPictures {
    const KIND: &'static str = "read_pictures";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["picture+", "caption*", "model?"];
    const OUTPUTS: &'static [&'static str] = &["pictures", "sheet", "report"];
}

/// Draws one picture, so that each seed of several is kept alone.
///
/// Inputs `model` (a diffusers folder or a single file of Stable Diffusion's kind), `lora1`, ... (files), `image` to begin
/// from, `mask` of it (light is redrawn). The step's seed is the picture's. Output `picture` (PNG, with what it was made
/// of in its text chunks `spinbot.plan`, as JSON, and `parameters`, as the webui writes it). Previews: `seed N`, a small
/// picture of what is foreseen, then of the result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draw {
    /// What it shows, in the webui's syntax: `(word:1.3)`, `[word]`, `BREAK`.
    pub prompt: String,
    /// What it must not show.
    pub negative: Option<String>,
    /// Steps of the sampling method, 1..=200.
    pub steps: u32,
    /// Weight of the prompt against the negative one, 1..=30; 1 is without guidance.
    pub cfg: f64,
    /// How far guided predictions are brought back to the deviation of unguided ones, 0..=1.
    pub rescale: f64,
    /// The sampling method, one of [`crate::draw::Sampler`]; the model's own when it is nothing.
    pub sampler: Option<crate::draw::Sampler>,
    /// Width and height in pixels; the size the model was trained on, or that of `image`, when it is nothing.
    pub size: Option<(u32, u32)>,
    /// How much of `image` may change, 0..=1.
    pub strength: f64,
    /// The weight of each LoRA, in their order.
    pub weights: Vec<f64>,
    /// Layers of the text encoder left out at the end, 0..=11.
    pub clip_skip: u32,
}

impl StepParams for Draw {
    const KIND: &'static str = "draw";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["model", "lora*", "image?", "mask?"];
    const OUTPUTS: &'static [&'static str] = &["picture"];
}

/// Lays pictures out as a grid with a label over each.
///
/// Inputs `picture1`, ... Output `grid` (JPEG, less than 1.4 MB).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArrangePictures {
    /// What stands over the whole.
    pub title: String,
    /// What stands over each picture.
    pub labels: Vec<String>,
}

impl StepParams for ArrangePictures {
    const KIND: &'static str = "arrange_pictures";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["picture+"];
    const OUTPUTS: &'static [&'static str] = &["grid"];
}

/// Writes a LoRA under other names.
///
/// Inputs `lora`, and the `model` it was made for, whose layers give the names. Output `lora` (safetensors).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConvertLora {
    /// Whose names.
    pub format: crate::loras::LoraFormat,
}

impl StepParams for ConvertLora {
    const KIND: &'static str = "convert_lora";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["lora", "model"];
    const OUTPUTS: &'static [&'static str] = &["lora"];
}
