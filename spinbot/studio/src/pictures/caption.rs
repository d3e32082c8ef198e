//! Captions: those people wrote, with the trigger word put in, and those that say what the landmarks and the pixels
//! tell. Only what is measured is said; where a measure is in doubt, nothing is.

use super::colour;
use spinbot_media::RgbImage;
use spinbot_models::faces::Points;

/// What stands for the trigger word in a caption.
const PLACE: &str = "{}";
/// Longest caption taken from a file, in bytes; CLIP reads the first 75 tokens of it.
pub(crate) const LONGEST: usize = 2000;

/// A caption as someone wrote it, on one line, with the trigger word in it; and whether it had to be put before it.
pub(crate) fn with_trigger(text: &str, trigger: &str) -> (String, bool) {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.contains(PLACE) {
        return (text.replace(PLACE, trigger), false);
    }
    let has = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).eq_ignore_ascii_case(trigger);
    match text.split([' ', ',', '\'', '-']).any(has) {
        true => (text, false),
        false if text.is_empty() => (trigger.to_owned(), true),
        false => (format!("{trigger}, {text}"), true),
    }
}

/// The caption of the mirror image: left is right there.
pub(crate) fn mirrored(caption: &str) -> String {
    let turned = caption.split(' ').map(|word| match word.trim_end_matches([',', '.', ';']) {
        "left" => word.replacen("left", "right", 1),
        "right" => word.replacen("right", "left", 1),
        _ => word.to_owned(),
    });
    turned.collect::<Vec<_>>().join(" ")
}

/// What is seen in a picture, as a caption. `landmarks` are of the face in it, in its pixels.
pub(crate) fn seen(picture: &RgbImage, landmarks: Option<&Points>, trigger: &str) -> String {
    let face = landmarks.map(Face::of);
    let black_and_white = is_black_and_white(picture);
    let kind = match (&face, black_and_white) {
        (Some(_), false) => "a portrait of",
        (Some(_), true) => "a black and white portrait of",
        (None, false) => "a picture of",
        (None, true) => "a black and white picture of",
    };
    let mut parts = vec![format!("{kind} {trigger}")];
    parts.extend(face.iter().flat_map(Face::words).map(str::to_owned));
    parts.extend(background(picture, landmarks).map(|colour| format!("plain {colour} background")));
    parts.join(", ")
}

/// What landmarks tell of a face.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Face {
    /// Where the nose's tip lies between the jaw's ends, from -0.5 at the picture's left to 0.5.
    turn: f32,
    /// Gap of the inner lips over their width.
    gap: f32,
    /// How far the corners of the mouth lie above the middle of the lips, over the mouth's width.
    lift: f32,
}

impl Face {
    /// Measured along the line through the eyes, so that a tilted head is told like an upright one.
    fn of(points: &Points) -> Self {
        let mean = |range: std::ops::Range<usize>| {
            let count = range.len() as f32;
            range.fold([0.0; 2], |sum, i| [sum[0] + points[i][0] / count, sum[1] + points[i][1] / count])
        };
        let (left, right) = (mean(36..42), mean(42..48));
        let (dx, dy) = (right[0] - left[0], right[1] - left[1]);
        let length = dx.hypot(dy).max(1e-6);
        let across = |p: [f32; 2]| (p[0] * dx + p[1] * dy) / length;
        let down = |p: [f32; 2]| (p[1] * dx - p[0] * dy) / length;
        let (from, to) = (across(points[0]), across(points[16]));
        let mouth = (across(points[54]) - across(points[48])).abs().max(1e-6);
        let corners = (down(points[48]) + down(points[54])) / 2.0;
        let middle = (down(points[51]) + down(points[57])) / 2.0;
        Face {
            turn: (across(points[30]) - from) / (to - from).abs().max(1e-6) - 0.5,
            gap: (down(points[66]) - down(points[62])).max(0.0)
                / (across(points[64]) - across(points[60])).abs().max(1e-6),
            lift: (middle - corners) / mouth,
        }
    }

    fn words(&self) -> impl Iterator<Item = &'static str> + use<> {
        let turn = match self.turn {
            turn if turn <= -TURNED => Some("facing left"),
            turn if turn >= TURNED => Some("facing right"),
            turn if turn.abs() <= FRONTAL => Some("facing the viewer"),
            _ => None,
        };
        let smile = (self.lift >= SMILING).then_some("smiling");
        let mouth = match self.gap {
            gap if gap >= OPEN => Some("mouth open"),
            gap if gap <= CLOSED => Some("mouth closed"),
            _ => None,
        };
        [turn, smile, mouth].into_iter().flatten()
    }
}

/// Where the measures of twenty faces that were looked at part: photographs that smile have a lift of 0.10 to 0.19, those
/// that do not and drawn mouths below 0.08.
const TURNED: f32 = 0.14;
const FRONTAL: f32 = 0.06;
const SMILING: f32 = 0.095;
const OPEN: f32 = 0.25;
const CLOSED: f32 = 0.06;

/// Colours of the ground that are further from their median than this are something else than a plain ground.
const SAME_COLOUR: f32 = 0.06;
/// The share of the ground that must have that colour.
const PLAIN: f32 = 0.85;
/// Pixels on each side of the grid that is looked at.
const LOOKS: u32 = 64;

/// The colour of the ground behind a figure, where it is one colour: along the top and down both sides to the middle,
/// which head and shoulders leave free.
fn background(picture: &RgbImage, landmarks: Option<&Points>) -> Option<String> {
    let (width, height) = picture.dimensions();
    let face = landmarks.map(|points| {
        let x = points.iter().map(|p| p[0]);
        let (left, right) = x.fold((f32::INFINITY, f32::NEG_INFINITY), |(l, r), x| (l.min(x), r.max(x)));
        // Hair stands out beyond the jaw.
        let hair = 0.45 * (right - left);
        (left - hair, right + hair)
    });
    let mut ground: Vec<[f32; 3]> = Vec::new();
    for row in 0..LOOKS / 2 {
        for column in 0..LOOKS {
            let edge = row < LOOKS / 16 || !(LOOKS / 8..LOOKS - LOOKS / 8).contains(&column);
            let (x, y) = (column * width / LOOKS, row * height / LOOKS);
            let behind = face.is_some_and(|(left, right)| (left..right).contains(&(x as f32)));
            if edge && !behind {
                ground.push(picture.get_pixel(x, y).0.map(f32::from));
            }
        }
    }
    let median = |channel: usize| {
        let mut values: Vec<f32> = ground.iter().map(|pixel| pixel[channel]).collect();
        values.sort_by(f32::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let middle = [median(0)?, median(1)?, median(2)?];
    let same = ground.iter().filter(|pixel| colour::distance(**pixel, middle) <= SAME_COLOUR).count();
    (same as f32 >= PLAIN * ground.len() as f32).then(|| colour::name(middle))
}

/// Whether there is no colour in it, but for what JPEG makes of grey.
fn is_black_and_white(picture: &RgbImage) -> bool {
    let step = (picture.width() * picture.height() / 4096).max(1) as usize;
    let looked: Vec<f32> =
        picture.pixels().step_by(step).map(|pixel| colour::chroma(pixel.0.map(f32::from))).collect();
    looked.iter().filter(|chroma| **chroma > 0.02).count() * 100 <= looked.len()
}
