//! A voice of Kokoro's that sounds like a given speaker.
//!
//! Two stages, each optional and each judged by whoever calls ([`crate::listen`] hears the results):
//!
//! - [`invert`]: starting from a stock voice, its 128 numbers of sound are moved until the speaker encoder hears
//!   the speaker, by gradient descent through decoder and encoder, pulled back towards the stock voices;
//! - [`adapt`]: adapters in the decoder learn from the recordings themselves, whose words are known.
//!
//! | file | what |
//! |---|---|
//! | `stock` | how the stock voices are heard: where a search starts |
//! | `inversion` | the first stage |
//! | `alignment`, `loss`, `adaptation` | the second: durations from the recording, how far two sounds are apart |
//!
//! Which clips, which sentences, what is kept and why is the caller's business.

mod adam;
mod adaptation;
mod alignment;
mod inversion;
mod loss;
mod stock;

pub use adaptation::{Adaptation, Lesson, adapt, lesson};
pub use inversion::{Inversion, invert, style_spread};
pub use stock::{StockPrint, stock_prints, stock_prints_file};

use crate::Result;
use crate::kokoro::voice::{ROWS, STYLE, VoicePack};

/// Numbers of a style that say how a voice sounds; the rest say how it speaks.
pub const SOUND: usize = 128;

/// What a stage tells after each of its steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// Steps done, from 1.
    pub done: usize,
    /// Steps in all.
    pub total: usize,
    /// How like the speaker the crop of this step sounded to the speaker encoder, -1..=1.
    pub similarity: f32,
    /// What is being made smaller.
    pub loss: f32,
}

/// The pack with `offset` added to the sound of each of its styles.
///
/// # Errors
/// [`crate::ModelError::Voice`] when the offset is not finite.
pub fn moved(pack: &VoicePack, offset: &[f32; SOUND]) -> Result<VoicePack> {
    let mut styles = pack.styles().to_vec();
    debug_assert_eq!(styles.len(), ROWS * STYLE);
    for style in styles.chunks_exact_mut(STYLE) {
        style.iter_mut().zip(offset).for_each(|(value, offset)| *value += offset);
    }
    VoicePack::new(styles)
}
