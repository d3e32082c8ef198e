//! The thin crate every cell sees: what can be shown, what can be planned, and the engine's door.
//!
//! It knows serde and a Unix socket and nothing heavier, so a cell that links it compiles in the time of a
//! bare `rustc` call. How a step computes lives in `spinbot-studio`; how a job is queued, in `spinbot-engine`.
//! There is no process-wide mutable state here: statics are duplicated in every compiled cell.
//!
//! ```no_run
//! use spinbot::prelude::*;
//! let take = spinbot::render().portrait("me.jpg").speech("hello.wav").run()?;
//! spinbot::display(Video::file(take.path())?);
//! # Ok::<(), spinbot::Fault>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod base_model;
pub mod bundle;
pub mod capabilities;
pub mod cell;
pub mod clone_voice;
pub mod display;
pub mod draw;
pub mod drawn;
pub mod engine;
pub mod event;
pub mod face;
pub mod fault;
pub mod follow;
pub mod home;
pub mod listen;
pub mod loras;
pub mod models;
pub mod pictures;
pub mod plan;
pub mod protocol;
pub mod provenance;
pub mod render;
pub mod scores;
pub mod script;
pub mod speak;
pub mod steps;
pub mod style;
pub mod suggest;
pub mod take;
pub mod takes;
pub mod timing;
pub mod train_lora;
pub mod training;
pub mod variants;
pub mod voices;

mod container;
mod expand;
mod mp4;
mod narration;

pub use base_model::{base_model, base_model_for};
pub use bundle::{
    Audio, Bundle, Html, Image, Jpeg, Json, Latex, Markdown, Png, Show, Svg, Table, Text, Vega, Video,
};
pub use capabilities::{Capabilities, capabilities};
pub use clone_voice::{CloneVoice, clone_voice};
pub use display::{DisplayHandle, clear_output, display, progress};
pub use draw::{Draw, Sampler, draw};
pub use drawn::{Drawn, DrawnPicture};
pub use engine::{Engine, Job};
pub use event::{Event, EventBody, JobState, JobView};
pub use fault::{Fault, Result};
pub use listen::{Heard, Listen, listen};
pub use loras::{Lora, LoraFormat, Loras, loras};
pub use narration::{DEFAULT_VOICE, SPEEDS};
pub use plan::{Digest, Input, Plan, Step};
pub use render::{Render, Subtitles, render};
pub use scores::{Answered, Identity, IdentityBy, PictureScores, Scores};
pub use script::{Script, ScriptWriter, script};
pub use speak::{SoundFormat, Speak, Spoken, speak};
pub use take::Take;
pub use takes::Takes;
pub use timing::SpeechTiming;
pub use train_lora::{TrainLora, train_lora};
pub use training::{TrainReport, TrainedLora};
pub use variants::Variant;
pub use voices::{Accent, VoiceProfile, voices};

/// What a Rust cell has in scope before its first line.
pub mod prelude {
    pub use crate::bundle::{
        Audio, Bundle, Html, Image, Jpeg, Json, Latex, Markdown, Png, Show, Svg, Table, Text, Vega, Video,
    };
    pub use crate::capabilities::Capabilities;
    pub use crate::display::DisplayHandle;
    pub use crate::draw::Sampler;
    pub use crate::drawn::{Drawn, DrawnPicture};
    pub use crate::engine::{Engine, Job};
    pub use crate::event::{Event, JobView};
    pub use crate::fault::Fault;
    pub use crate::listen::{Dnsmos, Heard, Likeness};
    pub use crate::loras::{Lora, LoraFormat};
    pub use crate::pictures::{Captions, Crop, PicturesRead};
    pub use crate::plan::{Plan, Step};
    pub use crate::provenance::{Metadata, Provenance};
    pub use crate::render::{Render, Subtitles};
    pub use crate::scores::{Answered, PictureScores, Scores};
    pub use crate::script::{Attempt, Script, ScriptReport};
    pub use crate::speak::{SoundFormat, Spoken};
    pub use crate::steps::Tone;
    pub use crate::take::Take;
    pub use crate::takes::Takes;
    pub use crate::timing::{SpeechTiming, TimedWord};
    pub use crate::train_lora::TrainLora;
    pub use crate::training::{TrainReport, TrainedLora};
    pub use crate::variants::Variant;
    pub use crate::voices::{
        Accent, EncoderScale, Pitch, PitchScores, Stage, StageScore, Verdict, VoiceProfile, VoiceScores,
        Voices,
    };
}
