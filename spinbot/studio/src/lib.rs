//! The steps: one file each, with its parameters' meaning, its run and its progress.
//!
//! A step turns input files and typed parameters (`spinbot::steps`) into named outputs. It knows nothing of
//! queues, stores, journals or notebooks: it says how far it is through [`Report`] and asks it whether to stop.
//!
//! | where | what |
//! |---|---|
//! | `step` | the contract and the one list of steps: [`kinds`], [`check`], [`run`] |
//! | `steps/` | `read_portrait`, `read_speech`, `read_voice`, `speak`, `drive`, `articulate`, `animate`, `animate_wav2lip`, `encode`, `encode_speech`, `read_clips`, `check_cloner`, `clone_voice`, `listen`, `read_pictures`, `train_lora`, `draw`, `arrange_pictures`, `score_pictures`, `convert_lora`, `write_script` |
//! | `hearing` | how loud speech is, and where there is any |
//! | `viseme`, `coarticulation` | what phonemes and visemes tell of a mouth |
//! | `perform`, `gesture` | a mouth over time to the motion of a face; blinks and sway |
//! | `speaking`, `loaded` | a text said in a voice; the networks kept between steps |
//! | `clips`, `cloning/` | what is known of a voice's recordings; from them to a voice |
//! | `pictures/` | pictures to learn from: what is cut out of each, and what it is seen to show |
//! | `scoring` | what pictures are worth: identity, adherence, diversity |
//! | `writing/` | a script from a topic: what is asked, how answers are judged |
//! | `drawing` | what a drawing is made of, as its file says it |
//! | `portrait/` | one photo and a posture to one frame |
//! | `filming` | frames to a clip |
//! | `subtitles` | which words stand in which frame |
//!
//! ```
//! use spinbot::{Input, Step, steps::ReadPortrait};
//!
//! let step = Step::new(&ReadPortrait { size: 512, keep_aspect: false, face: None, bot: None })
//!     .with("portrait", Input::File("me.jpg".into()));
//! assert!(spinbot_studio::check(&step).is_ok());
//! assert!(spinbot_studio::kinds().iter().any(|kind| kind.kind == "animate"));
//! ```

mod clips;
mod cloning;
mod coarticulation;
mod committed;
mod drawing;
mod ease;
mod filming;
mod gesture;
mod hearing;
mod landmarks;
mod loaded;
mod matte;
mod motion;
mod perform;
mod pictures;
mod portrait;
mod scoring;
mod speaking;
mod step;
mod steps;
mod subtitles;
mod training;
mod viseme;
mod writing;

pub use clips::{ClipReport, Clips};
#[doc(hidden)]
pub use cloning::measure_stock_voices;
pub use landmarks::Landmarks;
pub use motion::{Motion, MotionFrame};
pub use step::{Kind, Report, StepError, StepInput, StepOutput, check, device_class, kinds, run};
