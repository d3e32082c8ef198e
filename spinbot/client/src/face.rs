//! Where a face is, told by hand: for drawings, masks and robots in which no detector sees one.

use crate::{Fault, Result};
use serde::{Deserialize, Serialize};

/// Narrowest distance of the eyes, in pixels, that still leaves lips to move.
const MIN_EYES: f32 = 8.0;

/// A face in a picture, in pixels from its top left corner, left and right as one sees them.
///
/// Written as four points: `"49,54 80,54 52,79 77,79"` (left eye, right eye, the mouth's left and right corner).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PlacedFace {
    /// The eyes' centres.
    pub eyes: [[f32; 2]; 2],
    /// The mouth's corners.
    pub mouth: [[f32; 2]; 2],
}

impl PlacedFace {
    /// From the four points. Two that were told the wrong way about are exchanged.
    ///
    /// # Errors
    /// A fault when they make no face: eyes too near to each other, or a mouth that does not lie below them.
    pub fn new(mut eyes: [[f32; 2]; 2], mut mouth: [[f32; 2]; 2]) -> Result<PlacedFace> {
        for pair in [&mut eyes, &mut mouth] {
            if pair[0][0] > pair[1][0] {
                pair.swap(0, 1);
            }
        }
        let face = PlacedFace { eyes, mouth };
        let fault = |what: String| Err(Fault::new(what).help(WRITTEN).about("face"));
        let apart = face.across()[0].hypot(face.across()[1]);
        if !eyes.iter().chain(&mouth).flatten().all(|number| number.is_finite()) || apart < MIN_EYES {
            return fault(format!("the eyes are {apart:.0} px apart, need {MIN_EYES:.0}"));
        }
        let [across, down] = [face.across(), face.down()];
        // How far the mouth is below the eyes, seen upright.
        let below = (across[0] * down[1] - across[1] * down[0]) / apart;
        if below < 0.3 * apart {
            return fault(format!("the mouth is {below:.0} px below the eyes, need {:.0}", 0.3 * apart));
        }
        Ok(face)
    }

    /// From the left eye to the right one.
    pub fn across(&self) -> [f32; 2] {
        let [left, right] = self.eyes;
        [right[0] - left[0], right[1] - left[1]]
    }

    /// From between the eyes to the middle of the mouth.
    pub fn down(&self) -> [f32; 2] {
        let middle = |[a, b]: [[f32; 2]; 2]| [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0];
        let (eyes, mouth) = (middle(self.eyes), middle(self.mouth));
        [mouth[0] - eyes[0], mouth[1] - eyes[1]]
    }
}

const WRITTEN: &str = "a face is four points, as `49,54 80,54 52,79 77,79`: the left and the right eye, the mouth's left \
                       and right corner, in pixels from the picture's top left corner";

impl std::str::FromStr for PlacedFace {
    type Err = Fault;

    fn from_str(written: &str) -> Result<Self> {
        let numbers: Option<Vec<f32>> = written
            .split(|c: char| c == ',' || c == ';' || c.is_whitespace())
            .filter(|part| !part.is_empty())
            .map(|part| part.parse().ok())
            .collect();
        match numbers.as_deref() {
            Some(&[a, b, c, d, e, f, g, h]) => PlacedFace::new([[a, b], [c, d]], [[e, f], [g, h]]),
            _ => Err(Fault::new(format!("`{written}` is not a face")).help(WRITTEN).about("face")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn four_points_are_a_face_whichever_way_about_and_others_are_refused() {
        let face: PlacedFace = "80,54 49,54; 77,79 52,79".parse().unwrap();
        assert_eq!(face, "49,54 80,54 52,79 77,79".parse().unwrap());
        assert_eq!((face.across(), face.down()), ([31.0, 0.0], [0.0, 25.0]));
        for (written, word) in [
            ("", "not a face"),
            ("49,54 80,54 52,79", "not a face"),
            ("49,54 80,54 52,79 77,x", "not a face"),
            ("49,54 50,54 48,79 51,79", "apart"),
            ("49,54 80,54 52,30 77,30", "below"),
            ("49,54 80,54 NaN,79 77,79", "apart"),
        ] {
            let fault = written.parse::<PlacedFace>().unwrap_err();
            assert!(fault.message.contains(word) && fault.help.is_some(), "{written}: {fault:?}");
            assert_eq!(fault.argument.as_deref(), Some("face"));
        }
    }
}
