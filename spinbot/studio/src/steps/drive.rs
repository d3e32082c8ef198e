//! `drive`: how the mouth, lids and head move, from the sound alone.

use crate::gesture::{Dice, Wander, blink, blinks, stresses};
use crate::hearing::{Hearing, RATE, smooth};
use crate::motion::{Motion, MotionFrame};
use crate::step::{
    Inputs, MAX_SPEECH_SECONDS, Report, Run, StepError, StepOutput, in_range, input, media_fault,
};
use spinbot::{Fault, steps::Drive};
use spinbot_media::audio::{self, AudioCaps, Clip};

impl Run for Drive {
    fn check(&self) -> Result<(), Fault> {
        in_range("fps", self.fps, 1, 60)?;
        in_range("liveliness", self.liveliness, 0.0, 1.0)
    }

    fn run(&self, inputs: &Inputs, seed: u64, report: &mut dyn Report) -> Result<Vec<StepOutput>, StepError> {
        let speech = input(inputs, "speech")?;
        let caps = AudioCaps { max_seconds: MAX_SPEECH_SECONDS, ..AudioCaps::default() };
        let clip =
            audio::read(&speech.path, &speech.label, &caps).map_err(|error| media_fault(error, "speech"))?;
        if report.cancelled() {
            return Err(StepError::Cancelled);
        }
        let motion = motion_of(&clip, self.fps, self.liveliness as f32, seed);
        for (i, frame) in motion.frames.iter().enumerate().step_by((motion.frames.len() / 200).max(1)) {
            report.metric("aperture", i as f64 / f64::from(self.fps), f64::from(frame.aperture()));
        }
        report.progress(clip.seconds(), clip.seconds(), "s");
        let bytes = serde_json::to_vec(&motion)
            .map_err(|error| Fault::new(format!("the motion could not be written: {error}")))?;
        Ok(vec![StepOutput { name: "motion", media_type: "application/json", bytes }])
    }
}

/// The motion of a face saying `clip`. `liveliness` is 0..=1.
pub(crate) fn motion_of(clip: &Clip, fps: u32, liveliness: f32, seed: u64) -> Motion {
    let heard = Hearing::listen(&clip.samples, clip.rate);
    let curves = speak(&heard);
    let mut dice = Dice::new(seed);
    let blinks = blinks(&heard.speech, RATE, &mut dice);
    let head = HeadGesture::new(&heard.loud, liveliness, &mut dice);
    let count = ((clip.seconds() * f64::from(fps)).ceil() as usize).max(1);
    let frames = (0..count).map(|i| {
        let at = (i as f32 + 0.5) / fps as f32;
        let mut frame = sampled(&curves, at, 1.0 / fps as f32);
        frame.blink = blinks.iter().map(|start| blink(at - start)).fold(0.0, f32::max);
        head.pose(&mut frame, at);
        rounded(frame)
    });
    Motion { fps, frames: frames.collect() }
}

/// The mouth at every moment of hearing.
fn speak(heard: &Hearing) -> Vec<MotionFrame> {
    let n = heard.loud.len();
    let raw: Vec<f32> = (0..n)
        .map(|i| {
            let vowel = heard.loud[i].powf(1.35) * (0.70 + 0.42 * heard.open[i]);
            let hiss = heard.hiss[i];
            // Teeth nearly meet in a fricative.
            (vowel * (1.0 - 0.85 * hiss) + 0.10 * hiss).min(1.0)
        })
        .collect();
    // Opening is quick and closing lingers, both centred on the sound: a mouth moves ahead of its voice.
    let (quick, slow) = (smooth(&raw, 0.022), smooth(&raw, 0.05));
    let pauses: Vec<f32> = heard.speech.iter().map(|s| 1.0 - s).collect();
    let resting = smooth(&pauses.iter().map(|p| p.powi(2)).collect::<Vec<_>>(), 0.04);
    let round = smooth(&heard.front.iter().map(|f| (-f - 0.15).max(0.0)).collect::<Vec<_>>(), 0.03);
    let wide = smooth(&heard.front.iter().map(|f| (f - 0.1).max(0.0)).collect::<Vec<_>>(), 0.03);
    let mood = smooth(&pauses, 0.25);
    (0..n)
        .map(|i| {
            let jaw = quick[i].max(0.9 * slow[i]);
            let hiss = heard.hiss[i];
            MotionFrame {
                jaw,
                width: (0.8 * wide[i] + 0.25 * hiss - 0.4 * round[i]).clamp(-1.0, 1.0),
                round: (0.85 * round[i]).clamp(0.0, 1.0),
                upper: (0.25 * hiss + 0.3 * jaw * jaw).min(1.0),
                tuck: 0.0,
                seal: heard.closure[i].max(((resting[i] - 0.45) * 2.5).clamp(0.0, 1.0)),
                smile: (0.25 + 0.35 * mood[i] + 0.15 * wide[i] - 0.25 * round[i]).clamp(0.0, 1.0),
                ..MotionFrame::default()
            }
        })
        .collect()
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

/// How the head and brows go with the speech.
struct HeadGesture {
    liveliness: f32,
    turn: Wander,
    nod: Wander,
    tilt: Wander,
    shift: [Wander; 2],
    /// Time and strength of each stress, with how much of it brows and head show.
    accents: Vec<(f32, f32, f32)>,
}

impl HeadGesture {
    fn new(loud: &[f32], liveliness: f32, dice: &mut Dice) -> Self {
        let mut wander = |hz| Wander::new(hz, dice);
        let (turn, nod, tilt) = (wander(0.11), wander(0.16), wander(0.10));
        let shift = [wander(0.09), wander(0.14)];
        let accents = stresses(&smooth(loud, 0.06), RATE)
            .into_iter()
            .map(|(at, strength)| (at, strength * dice.between(0.0, 1.0), strength * dice.between(0.3, 1.0)))
            .collect();
        HeadGesture { liveliness, turn, nod, tilt, shift, accents }
    }

    fn pose(&self, frame: &mut MotionFrame, at: f32) {
        let bump = |centre: f32, seconds: f32| (-0.5 * ((at - centre) / seconds).powi(2)).exp();
        let (mut brow, mut nod) = (0.0_f32, 0.0_f32);
        for &(time, raise, dip) in &self.accents {
            brow = brow.max(raise * bump(time, 0.16));
            nod = nod.max(dip * bump(time + 0.04, 0.13));
        }
        let l = self.liveliness;
        frame.brow = l * (0.9 * brow).clamp(-1.0, 1.0);
        frame.turn = l * (0.75 * self.turn.at(at)).clamp(-1.0, 1.0);
        frame.nod = l * (0.4 * self.nod.at(at) + 0.45 * nod).clamp(-1.0, 1.0);
        frame.tilt = l * 0.028 * self.tilt.at(at);
        frame.shift = [l * 0.05 * self.shift[0].at(at), l * (0.025 * self.shift[1].at(at) + 0.03 * nod)];
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE_HZ: u32 = 16_000;

    /// A voice of 120 Hz with all its harmonics, as loud over time as `level` says.
    fn voice(seconds: f32, level: impl Fn(f32) -> f32) -> Clip {
        let samples = (0..(seconds * RATE_HZ as f32) as usize).map(|i| {
            let t = i as f32 / RATE_HZ as f32;
            let tone: f32 =
                (1..30).map(|k| (std::f32::consts::TAU * 120.0 * k as f32 * t).sin() / k as f32).sum();
            level(t) * 0.2 * tone
        });
        Clip::new(samples.collect(), RATE_HZ)
    }

    #[test]
    fn lips_open_with_the_voice_and_shut_for_a_short_dip_and_for_silence() {
        // Speech from 0.5 to 2.5 s with one closure of 80 ms at 1.5 s.
        let clip = voice(3.2, |t| {
            let speaking = (0.5..2.5).contains(&t) && !(1.46..1.54).contains(&t);
            if speaking { 0.5 + 0.3 * (t * 25.0).sin().abs() } else { 0.001 }
        });
        let motion = motion_of(&clip, 25, 1.0, 3);
        assert_eq!(motion.frames.len(), 80);
        let aperture = |seconds: f32| motion.frames[(seconds * 25.0) as usize].aperture();
        for open in [0.8, 1.2, 1.8, 2.2] {
            assert!(aperture(open) > 0.3, "{open}: {}", aperture(open));
        }
        for shut in [0.1, 0.3, 1.5, 2.8, 3.1] {
            assert!(aperture(shut) < 0.05, "{shut}: {}", aperture(shut));
        }
        assert!(motion.frames.iter().any(|f| f.blink > 0.9));
        assert_eq!(motion, motion_of(&clip, 25, 1.0, 3));
        assert_ne!(motion, motion_of(&clip, 25, 1.0, 4));
        let still = motion_of(&clip, 25, 0.0, 3);
        assert!(still.frames.iter().all(|f| f.turn == 0.0 && f.tilt == 0.0 && f.shift == [0.0; 2]));
    }

    #[test]
    fn every_value_stays_in_its_range_whatever_is_heard() {
        let mut dice = Dice::new(1);
        let noise = Clip::new((0..40_000).map(|_| dice.between(-1.0, 1.0)).collect(), 8_000);
        let click = Clip::new((0..5_000).map(|i| f32::from(u8::from(i == 2_500))).collect(), 48_000);
        for clip in [noise, click, Clip::silence(0.1, 8_000), voice(1.0, |_| 1.0)] {
            for fps in [1, 25, 60] {
                let motion = motion_of(&clip, fps, 1.0, 9);
                assert!(!motion.frames.is_empty());
                for f in &motion.frames {
                    let shares = [f.jaw, f.round, f.upper, f.tuck, f.seal, f.smile, f.blink];
                    assert!(shares.iter().all(|x| (0.0..=1.0).contains(x)), "{f:?}");
                    let signed = [f.width, f.brow, f.turn, f.nod];
                    assert!(signed.iter().all(|x| (-1.0..=1.0).contains(x)), "{f:?}");
                }
            }
        }
    }
}
