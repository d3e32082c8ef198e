//! From a mouth over time to the motion of a whole face, frame by frame: what `drive` and `articulate` share.
//! Where the mouth's curves come from is not known here.

use crate::gesture::{Breath, Dice, Gaze, HeadGesture, blink, blinks};
use crate::hearing::RATE;
use crate::motion::{Motion, MotionFrame};
use crate::step::{Inputs, MAX_SPEECH_SECONDS, Report, StepOutput, in_range, input, media_fault};
use spinbot::Fault;
use spinbot_media::audio::{self, AudioCaps, Clip};

/// What a face is to do. Curves have [`RATE`] values a second; value `i` is at `i / RATE` seconds.
pub(crate) struct Performance {
    /// How long it takes, in seconds.
    pub(crate) seconds: f64,
    /// The mouth; at least one value.
    pub(crate) mouth: Vec<MotionFrame>,
    /// Whether there is speech, 0..=1; at least one value.
    pub(crate) speech: Vec<f32>,
    /// Time in seconds and strength, 0..=1, of the stresses that head and brows go with.
    pub(crate) accents: Vec<(f32, f32)>,
}

impl Performance {
    /// The frames. `liveliness` is 0..=1.
    pub(crate) fn motion(&self, fps: u32, liveliness: f32, seed: u64) -> Motion {
        let mut dice = Dice::new(seed);
        let blinks = blinks(&self.speech, RATE, &mut dice);
        let head = HeadGesture::new(&self.accents, liveliness, &mut dice);
        let gaze = Gaze::new(&self.speech, RATE, liveliness, &mut dice);
        let breath = Breath::new(&self.speech, RATE, liveliness, &mut dice);
        let frames = (0..frame_count(self.seconds, fps)).map(|i| {
            let at = exposure(i, fps);
            let mut frame = sampled(&self.mouth, at, 1.0 / fps as f32);
            frame.blink = blinks.iter().map(|start| blink(at - start)).fold(0.0, f32::max);
            head.pose(&mut frame, at);
            frame.gaze = gaze.at(at, &frame);
            frame.breath = breath.at(at);
            rounded(frame)
        });
        Motion { fps, frames: frames.collect() }
    }
}

/// Frames of a clip, at least one.
pub(crate) fn frame_count(seconds: f64, fps: u32) -> usize {
    ((seconds * f64::from(fps)).ceil() as usize).max(1)
}

/// The middle of frame `i`'s exposure, in seconds.
pub(crate) fn exposure(i: usize, fps: u32) -> f32 {
    (i as f32 + 0.5) / fps as f32
}

/// Whether the parameters that every motion has are in range.
pub(crate) fn check(fps: u32, liveliness: f64) -> Result<(), Fault> {
    in_range("fps", fps, 1, 60)?;
    in_range("liveliness", liveliness, 0.0, 1.0)
}

/// The step's input `speech`.
pub(crate) fn speech(inputs: &Inputs) -> Result<Clip, Fault> {
    let speech = input(inputs, "speech")?;
    let caps = AudioCaps { max_seconds: MAX_SPEECH_SECONDS, ..AudioCaps::default() };
    audio::read(&speech.path, &speech.label, &caps).map_err(|error| media_fault(error, "speech"))
}

/// The step's output `motion`, with the curve of its aperture reported.
pub(crate) fn output(
    motion: &Motion,
    clip: &Clip,
    report: &mut dyn Report,
) -> Result<Vec<StepOutput>, Fault> {
    for (i, frame) in motion.frames.iter().enumerate().step_by((motion.frames.len() / 200).max(1)) {
        report.metric("aperture", i as f64 / f64::from(motion.fps), f64::from(frame.aperture()));
    }
    report.progress(clip.seconds(), clip.seconds(), "s");
    let bytes = serde_json::to_vec(motion)
        .map_err(|error| Fault::new(format!("the motion could not be written: {error}")))?;
    Ok(vec![StepOutput { name: "motion", media_type: "application/json", bytes }])
}

/// The mean of the moments within `span` seconds around `at`, but the tightest seal of the middle ones: a closure
/// shorter than a frame must still be seen.
fn sampled(moments: &[MotionFrame], at: f32, span: f32) -> MotionFrame {
    let index = |t: f32| ((t * RATE as f32).round().max(0.0) as usize).min(moments.len() - 1);
    let within = &moments[index(at - span / 2.0)..=index(at + span / 2.0)];
    let mean = |value: fn(&MotionFrame) -> f32| within.iter().map(value).sum::<f32>() / within.len() as f32;
    let middle = &moments[index(at - span / 4.0)..=index(at + span / 4.0)];
    MotionFrame {
        jaw: mean(|m| m.jaw),
        width: mean(|m| m.width),
        round: mean(|m| m.round),
        upper: mean(|m| m.upper),
        tuck: mean(|m| m.tuck),
        seal: middle.iter().map(|m| m.seal).fold(0.0, f32::max),
        smile: mean(|m| m.smile),
        ..MotionFrame::default()
    }
}

/// To four decimals: a tenth of a pixel is a thousandth of a face.
fn rounded(frame: MotionFrame) -> MotionFrame {
    let r = |x: f32| (x * 1e4).round() / 1e4;
    MotionFrame {
        jaw: r(frame.jaw),
        width: r(frame.width),
        round: r(frame.round),
        upper: r(frame.upper),
        tuck: r(frame.tuck),
        seal: r(frame.seal),
        smile: r(frame.smile),
        blink: r(frame.blink),
        brow: r(frame.brow),
        turn: r(frame.turn),
        nod: r(frame.nod),
        tilt: r(frame.tilt),
        shift: frame.shift.map(r),
        gaze: frame.gaze.map(r),
        breath: r(frame.breath),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Panics unless there are frames and every value of each is in its range.
    pub(crate) fn assert_in_range(motion: &Motion) {
        assert!(!motion.frames.is_empty());
        for f in &motion.frames {
            let shares = [f.jaw, f.round, f.upper, f.tuck, f.seal, f.smile, f.blink, f.breath];
            assert!(shares.iter().all(|x| (0.0..=1.0).contains(x)), "{f:?}");
            let signed = [f.width, f.brow, f.turn, f.nod, f.gaze[0], f.gaze[1]];
            assert!(signed.iter().all(|x| (-1.0..=1.0).contains(x)), "{f:?}");
        }
    }
}
