//! How a face moves: what `drive` writes and `animate` reads. Nothing here knows of sound or pixels.

use serde::{Deserialize, Serialize};

/// A face's motion, frame by frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Motion {
    /// Frames per second.
    pub fps: u32,
    /// One posture per frame, in order.
    pub frames: Vec<MotionFrame>,
}

/// A face's posture in one frame. All zero is a closed, resting mouth and open eyes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MotionFrame {
    /// How far the jaw is down: 0 shut, 1 as wide as in a loud open vowel.
    pub jaw: f32,
    /// Lips drawn wide (1, as in "see") or narrow (-1).
    pub width: f32,
    /// Lips rounded and pushed forward, 0..=1, as in "two".
    pub round: f32,
    /// Upper lip raised off the teeth, 0..=1.
    pub upper: f32,
    /// Lower lip drawn under the upper teeth, 0..=1, as in "f".
    pub tuck: f32,
    /// Lips pressed together whatever the jaw does, 0..=1, as in "m".
    pub seal: f32,
    /// How much of the photo's own smile is kept, 0..=1.
    pub smile: f32,
    /// Lids: 0 as in the photo, 1 shut.
    pub blink: f32,
    /// Brows: 1 raised, -1 lowered.
    pub brow: f32,
    /// Head turned to its left or right, -1..=1.
    pub turn: f32,
    /// Head nodded down (1) or up (-1).
    pub nod: f32,
    /// Head tilted on the neck, radians, clockwise in the picture.
    pub tilt: f32,
    /// Head moved, in distances between the eyes, right and down.
    pub shift: [f32; 2],
    /// Where the eyes look besides straight ahead, -1..=1, right and down.
    pub gaze: [f32; 2],
    /// How far the chest is up in breathing, 0..=1.
    pub breath: f32,
}

impl MotionFrame {
    /// How far the lips are apart, 0..=1: the jaw, unless the lips are sealed; a tucked lower lip comes halfway up.
    pub fn aperture(&self) -> f32 {
        let tucked = 1.0 - 0.5 * self.tuck.clamp(0.0, 1.0);
        self.jaw.clamp(0.0, 1.0) * tucked * (1.0 - self.seal.clamp(0.0, 1.0))
    }
}
