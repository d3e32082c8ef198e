//! The steps a plan is made of: their parameters and the names of their inputs and outputs.
//!
//! Builders in this crate fill them in, `spinbot-studio` runs them. A change in what a step computes raises its
//! `VERSION`, so that results of the old code are not taken for its own.

mod pictures;
mod wav2lip;
mod writing;

use crate::face::PlacedFace;
pub use pictures::{
    AUTO, ArrangePictures, ConvertLora, Draw, LoraTargets, LrSchedule, Precision, ReadPictures,
    ScorePictures, TrainLora,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
pub use wav2lip::AnimateWav2lip;
pub use writing::{Llm, Tone, WriteScript};

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

/// Reads a picture: orients it by EXIF, finds the one face, photographed or drawn, or takes it where it was placed, crops
/// to it, scales, finds its 68 landmarks, lays a mesh over it where it is a photograph's, and tells the figure from its
/// background.
///
/// Input `portrait`: JPEG, PNG or WebP. Outputs: `picture` (PNG, the frame the video is made of), `landmarks`
/// (JSON `{width, height, score, drawn, points: [[x, y]; 68], mesh: [[x, y]; 468]}` in pixels of `picture`, without `mesh`
/// where none fits), `matte` (grey PNG, the figure's share of each pixel; white where the two could not be told apart),
/// `overlay` (JPEG, the landmarks drawn on it).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadPortrait {
    /// Longest side of the video in pixels, 128..=1024, rounded to a multiple of 16.
    pub size: u32,
    /// Keep the picture's own shape instead of a square around the face.
    pub keep_aspect: bool,
    /// Where the face is, in pixels of the picture as it is shown; it is looked for where nothing is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub face: Option<PlacedFace>,
    /// Whose drawing it is, where it is no file of the user's: what messages call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot: Option<String>,
}

impl StepParams for ReadPortrait {
    const KIND: &'static str = "read_portrait";
    const VERSION: u32 = 2;
    const INPUTS: &'static [&'static str] = &["portrait"];
    const OUTPUTS: &'static [&'static str] = &["picture", "landmarks", "matte", "overlay"];
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

/// Turns speech into how the mouth, lids and head move, frame by frame, from the audio alone: a network hears which viseme
/// is said when, and the mouth follows them as it follows phonemes in [`Articulate`].
///
/// Input `speech` (WAV of [`ReadSpeech`]). Output `motion` (JSON, `spinbot_studio::Motion`: fps, and per frame
/// jaw, width, round, upper, tuck, seal, smile, blink, brow, turn, nod, tilt, shift, gaze, breath).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drive {
    /// Frames per second, 1..=60.
    pub fps: u32,
    /// How much the head and brows move besides the mouth and lids: 0 still, 1 lively.
    pub liveliness: f64,
}

impl StepParams for Drive {
    const KIND: &'static str = "drive";
    const VERSION: u32 = 3;
    const INPUTS: &'static [&'static str] = &["speech"];
    const OUTPUTS: &'static [&'static str] = &["motion"];
}

/// Moves the picture by the motion and encodes the frames.
///
/// Inputs `picture`, `landmarks`, `matte`, `motion`, and `timing` (of [`Speak`]) where its words are to be burned in as subtitles.
/// Outputs: `video` (MP4, H.264, no sound), `first_frame` (JPEG, shown as a preview before the rest is drawn), `sheet`
/// (JPEG contact sheet of 24 frames).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Animate {
    /// H.264 quantizer, 10 (fine) ..= 40 (small).
    pub quantizer: u8,
}

impl StepParams for Animate {
    const KIND: &'static str = "animate";
    const VERSION: u32 = 3;
    const INPUTS: &'static [&'static str] = &["picture", "landmarks", "matte", "motion", "timing?"];
    const OUTPUTS: &'static [&'static str] = &["video", "first_frame", "sheet"];
}

/// Puts a card of two seconds before the video or after it: words on its first or last picture, blurred, fading in and out.
/// The speech gets silence there, and what is told of it comes later.
///
/// Inputs `video` (MP4 of [`Animate`]), `speech` (WAV), and `timing` of [`Speak`] where there is one. Outputs `video`
/// (MP4, no sound), `speech` (WAV), `timing` (JSON, [`crate::timing::SpeechTiming`]), `subtitles` (WebVTT); the last two
/// are empty without a timing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AddCards {
    /// Words before the video.
    pub intro: Option<String>,
    /// Words after it.
    pub outro: Option<String>,
    /// H.264 quantizer of the video, 10..=40: both are coded alike and joined as they are.
    pub quantizer: u8,
}

impl StepParams for AddCards {
    const KIND: &'static str = "add_cards";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["video", "speech", "timing?"];
    const OUTPUTS: &'static [&'static str] = &["video", "speech", "timing", "subtitles"];
}

/// Lays music under speech: repeated or cut to its length, faded in and out, turned down while words are said; the whole
/// at -16 LUFS (peaks below -1 dBFS).
///
/// Inputs `speech` (WAV), `music` (any audio format). Output `speech` (WAV, 48 kHz, mono, 16 bit).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MixMusic {
    /// Decibels the music is below the speech while words are said, 0..=60.
    pub below: f64,
    /// Decibels it is louder in pauses, 0..=30.
    pub ducking: f64,
}

impl Default for MixMusic {
    fn default() -> Self {
        MixMusic { below: 18.0, ducking: 8.0 }
    }
}

impl StepParams for MixMusic {
    const KIND: &'static str = "mix_music";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] = &["speech", "music"];
    const OUTPUTS: &'static [&'static str] = &["speech"];
}

/// Joins picture and sound: trims or pads the speech to the video's length, writes FLAC beside H.264 in an MP4 that says
/// it is synthetic and what it was made of.
///
/// Inputs `video`, `speech`, `provenance` ([`crate::Input::Provenance`]). Output `video` (MP4, its tags are
/// [`crate::provenance::Metadata`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Encode {
    /// Written into the file's metadata as its title.
    pub title: String,
}

impl StepParams for Encode {
    const KIND: &'static str = "encode";
    const VERSION: u32 = 2;
    const INPUTS: &'static [&'static str] = &["video", "speech", "provenance"];
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
/// Inputs `voice`, `weights` of pocket-tts where it is a voice of it, and `narration` (plain text) where what to say is
/// written by an earlier step. Outputs `speech` (WAV, 48 kHz, mono, 16 bit,
/// -16 LUFS), `timing` (JSON, [`crate::timing::SpeechTiming`]), `subtitles` (WebVTT). Previews: `sentence` (WAV), once,
/// as soon as the first sentence is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Speak {
    /// What to say; see `spinbot_g2p` for its markup. Empty where the input `narration` says it.
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
    const VERSION: u32 = 3;
    const INPUTS: &'static [&'static str] = &["voice", "weights?", "narration?"];
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
    const VERSION: u32 = 2;
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
