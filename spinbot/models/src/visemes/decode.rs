//! From shares frame by frame to what is said from when to when: Viterbi's algorithm (1967) over the visemes.

use super::{Frame, RATE, Viseme};

const STATES: usize = Viseme::ALL.len();
/// What it costs to go from one viseme to another, in natural logarithms of shares: a viseme must be heard for some
/// frames to be believed.
const CHANGE: f32 = 3.0;

/// What shut lips are given beside their share, in natural logarithms: one closure missed shows more than one too many.
const SHUT: f32 = 0.7;

/// One viseme from when to when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    /// What is seen.
    pub viseme: Viseme,
    /// Where it begins, in seconds.
    pub start: f32,
    /// Where it ends.
    pub end: f32,
    /// How far the jaw is down meanwhile, 0..=1.
    pub jaw: f32,
}

/// The most likely sequence of visemes, silence included, without gaps.
pub(super) fn segments(frames: &[Frame]) -> Vec<Segment> {
    let mut best = [0.0_f32; STATES];
    let mut from: Vec<[u8; STATES]> = Vec::with_capacity(frames.len());
    for frame in frames {
        let top = (0..STATES).max_by(|a, b| best[*a].total_cmp(&best[*b])).unwrap_or(0);
        let mut came = [0_u8; STATES];
        let mut next = [0.0; STATES];
        for state in 0..STATES {
            let changed = best[top] - CHANGE;
            let (score, before) = if best[state] >= changed { (best[state], state) } else { (changed, top) };
            came[state] = before as u8;
            let given = if Viseme::ALL[state] == Viseme::Bilabial { SHUT } else { 0.0 };
            next[state] = score + frame.shares[state].max(1e-6).ln() + given;
        }
        // Only differences matter; sums over an hour would lose them.
        let most = next.iter().copied().fold(f32::MIN, f32::max);
        best = next.map(|score| score - most);
        from.push(came);
    }
    let mut state = (0..STATES).max_by(|a, b| best[*a].total_cmp(&best[*b])).unwrap_or(0);
    let mut path = vec![0; frames.len()];
    for (at, came) in from.iter().enumerate().rev() {
        path[at] = state;
        state = usize::from(came[state]);
    }
    let mut segments = Vec::new();
    let mut start = 0;
    for run in path.chunk_by(|a, b| a == b) {
        let end = start + run.len();
        let jaw = frames[start..end].iter().map(|frame| frame.jaw).sum::<f32>() / run.len() as f32;
        // Frame `i` stands for the time around `i / RATE`.
        let at = |frame: usize| ((frame as f32 - 0.5) / RATE as f32).max(0.0);
        segments.push(Segment { viseme: Viseme::ALL[run[0]], start: at(start), end: at(end), jaw });
        start = end;
    }
    segments
}
