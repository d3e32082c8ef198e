//! Joined speech in parts of a few seconds, cut where it is quietest, and which of them are kept back.

use spinbot_media::audio::Clip;

/// Longest part, in seconds: what a lesson and speech recognition take well.
const LONGEST: f64 = 11.0;
/// A part that must be cut is cut between these shares of it.
const MIDDLE: (f64, f64) = (0.4, 0.7);
/// What is kept back to score the clone, as a share of all speech.
const KEPT_BACK: f64 = 1.0 / 3.0;
/// Resolution of looking for a quiet place, in seconds, and over how long it must be quiet.
const HOP: f64 = 0.01;
const QUIET: usize = 8;

/// Speech parted into what is learned from and what is kept back; neither is ever empty.
pub(super) struct Parts {
    pub(super) reference: Vec<Clip>,
    pub(super) held_out: Vec<Clip>,
}

/// Parts the speech of those spans (start and end, in seconds). Recordings stay whole as far as possible; the last
/// of them are kept back, as near to a third of the time as cuts at quiet places allow.
pub(super) fn part(speech: &Clip, spans: &[(f64, f64)]) -> Parts {
    let mut all: Vec<Clip> = Vec::new();
    for &(start, end) in spans {
        let mut rest = cut_out(speech, start, end);
        while rest.seconds() > LONGEST {
            let (head, tail) = split(&rest, 0.5 * LONGEST, LONGEST.min(rest.seconds() - 1.0));
            all.push(head);
            rest = tail;
        }
        if !rest.samples.is_empty() {
            all.push(rest);
        }
    }
    let total: f64 = all.iter().map(Clip::seconds).sum();
    let off = |kept: usize, all: &[Clip]| {
        let held: f64 = all[all.len() - kept..].iter().map(Clip::seconds).sum();
        (held / total.max(1e-9) - KEPT_BACK).abs()
    };
    let best = (1..all.len()).min_by(|a, b| off(*a, &all).total_cmp(&off(*b, &all)));
    let kept = match best {
        Some(kept) if off(kept, &all) < 0.2 => kept,
        _ => {
            // One long part among short ones, or only one: the longest is cut in two, the second kept back.
            let longest = (0..all.len()).max_by(|a, b| all[*a].seconds().total_cmp(&all[*b].seconds()));
            let Some(longest) = longest else {
                return Parts { reference: vec![speech.clone()], held_out: vec![speech.clone()] };
            };
            let whole = all.remove(longest);
            let seconds = whole.seconds();
            let (head, tail) = split(&whole, MIDDLE.0 * seconds, MIDDLE.1 * seconds);
            all.push(head);
            all.push(tail);
            1
        }
    };
    let held_out = all.split_off(all.len() - kept);
    Parts { reference: all, held_out }
}

fn cut_out(clip: &Clip, start: f64, end: f64) -> Clip {
    let at =
        |seconds: f64| ((seconds * f64::from(clip.rate)).round().max(0.0) as usize).min(clip.samples.len());
    let (from, to) = (at(start), at(end));
    Clip::new(clip.samples[from..to.max(from)].to_vec(), clip.rate)
}

/// Two clips of one, cut at the quietest place between those seconds.
fn split(clip: &Clip, from: f64, to: f64) -> (Clip, Clip) {
    let envelope = clip.rms_envelope(HOP);
    let hop = |seconds: f64| (seconds / HOP) as usize;
    let loudness = |at: usize| envelope.iter().skip(at).take(QUIET).sum::<f32>();
    let quietest =
        (hop(from)..hop(to).max(hop(from) + 1)).min_by(|a, b| loudness(*a).total_cmp(&loudness(*b)));
    let at = (quietest.unwrap_or(0) + QUIET / 2) as f64 * HOP;
    (cut_out(clip, 0.0, at), cut_out(clip, at, clip.seconds()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 8000;

    /// Speech of those lengths in seconds, with half a second of silence behind each.
    fn speech(lengths: &[f64]) -> Clip {
        let mut samples = Vec::new();
        for length in lengths {
            let count = (length * f64::from(RATE)) as usize;
            samples.extend((0..count).map(|n| 0.3 * (n as f32 * 0.7).sin()));
            samples.extend(vec![0.0; RATE as usize / 2]);
        }
        Clip::new(samples, RATE)
    }

    fn check(lengths: &[f64], spans: &[(f64, f64)]) -> (Vec<f64>, Vec<f64>) {
        let speech = speech(lengths);
        let parts = part(&speech, spans);
        let seconds = |clips: &[Clip]| clips.iter().map(Clip::seconds).collect::<Vec<_>>();
        let (reference, held_out) = (seconds(&parts.reference), seconds(&parts.held_out));
        assert!(!reference.is_empty() && !held_out.is_empty());
        assert!(reference.iter().chain(&held_out).all(|s| *s > 0.0 && *s <= LONGEST + 0.1), "{reference:?}");
        let all: f64 = reference.iter().chain(&held_out).sum();
        let given: f64 = spans.iter().map(|(start, end)| end - start).sum();
        assert!((all - given).abs() < 0.01, "{all} of {given}");
        let share = held_out.iter().sum::<f64>() / all;
        assert!((0.1..0.65).contains(&share), "{share} of {reference:?} and {held_out:?}");
        (reference, held_out)
    }

    #[test]
    fn a_third_is_kept_back_and_cuts_lie_in_the_silence() {
        let (reference, held_out) = check(&[4.0, 4.0, 4.0], &[(0.0, 4.5), (4.5, 9.0), (9.0, 13.5)]);
        assert_eq!((reference.len(), held_out.len()), (2, 1));
        let (reference, _) = check(&[2.0, 2.0], &[(0.0, 5.0)]);
        assert!((reference[0] - 2.25).abs() < 0.25, "cut at {reference:?}, not in the pause");
        check(&[3.0], &[(0.0, 3.5)]);
        check(&[1.0, 20.0], &[(0.0, 1.5), (1.5, 22.0)]);
        check(&[6.0; 8], &[(0.0, 52.0)]);
    }
}
