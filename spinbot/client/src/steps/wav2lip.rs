//! The step that animates with Wav2Lip.

use super::StepParams;
use serde::{Deserialize, Serialize};

/// Moves the picture's head, lids and brows by the motion, puts a lower face into it that Wav2Lip draws from the sound, and
/// encodes the frames.
///
/// Inputs `picture`, `landmarks`, `matte`, `motion` (its mouth is not used), `speech` (WAV), `weights` (a checkpoint of Wav2Lip as
/// safetensors, `spinbot_models::wav2lip`), and `timing` as of [`super::Animate`]. Outputs as of [`super::Animate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnimateWav2lip {
    /// H.264 quantizer, 10 (fine) ..= 40 (small).
    pub quantizer: u8,
}

impl StepParams for AnimateWav2lip {
    const KIND: &'static str = "animate_wav2lip";
    const VERSION: u32 = 1;
    const INPUTS: &'static [&'static str] =
        &["picture", "landmarks", "matte", "motion", "speech", "weights", "timing?"];
    const OUTPUTS: &'static [&'static str] = super::Animate::OUTPUTS;
}
