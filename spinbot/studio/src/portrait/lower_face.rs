//! A lower face that was drawn elsewhere, put over the photo's own: where on the photo it belongs, how its colours are
//! brought to the photo's, and how it fades into it. What draws it is not known here.

use super::geometry::Point;
use super::raster::{Colour, Raster, mix};
use crate::ease::smoothstep;
use spinbot_media::{RgbImage, picture};

/// Height above the brows that still belongs to the box, and below the chin, as shares of the way from brow to chin: the
/// forehead, as of the detector's boxes that Wav2Lip was trained with, and what its script adds for the chin.
const ABOVE: f32 = 0.35;
const BELOW: f32 = 0.06;
/// Smallest box, in pixels.
const LEAST: u32 = 24;

/// Where a face lies in a photo: from the forehead to under the chin, from ear to ear; inside the photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FaceBox {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

impl FaceBox {
    /// Of the face with these 68 landmarks; nothing where too little of it is in the photo.
    pub(crate) fn around(points: &[[f32; 2]], width: u32, height: u32) -> Option<Self> {
        let (jaw, brows) = (points.get(..17)?, points.get(17..27)?);
        let edge = |points: &[[f32; 2]], axis: usize, pick: fn(f32, f32) -> f32, from: f32| {
            points.iter().map(|p| p[axis]).fold(from, pick)
        };
        let (brow, chin) = (edge(brows, 1, f32::min, f32::MAX), edge(jaw, 1, f32::max, f32::MIN));
        let tall = chin - brow;
        // Casts saturate: what lies outside is cut off.
        let inside = |from: f32, to: f32, length: u32| {
            let from = (from.round().max(0.0) as u32).min(length);
            (from, (to.round().max(0.0) as u32).min(length).saturating_sub(from))
        };
        let (left, wide) = inside(edge(jaw, 0, f32::min, f32::MAX), edge(jaw, 0, f32::max, f32::MIN), width);
        let (top, tall) = inside(brow - ABOVE * tall, chin + BELOW * tall, height);
        (wide >= LEAST && tall >= LEAST).then_some(FaceBox { left, top, width: wide, height: tall })
    }

    /// What the photo, RGB bytes of rows of `width` pixels, shows there, as a square of that side.
    pub(crate) fn cut(&self, photo: &[u8], width: u32, side: u32) -> RgbImage {
        let face = RgbImage::from_fn(self.width, self.height, |x, y| {
            let at = 3 * ((self.top + y) * width + self.left + x) as usize;
            [photo[at], photo[at + 1], photo[at + 2]].into()
        });
        picture::resize(&face, side, side)
    }
}

/// What is put over the lower half of a face.
pub(crate) struct LowerFace {
    drawn: Raster,
    place: FaceBox,
}

impl LowerFace {
    /// What was drawn of the face that was cut out as `seen`, RGB of 0..=255 row by row, as large as that.
    pub(crate) fn new(place: FaceBox, seen: &RgbImage, mut drawn: Vec<[f32; 3]>) -> Self {
        let side = seen.width() as usize;
        // By how much it differs where it will meet the photo, on average.
        let (mut apart, mut sum) = ([0.0; 3], 0.0);
        for (n, (there, own)) in seen.pixels().zip(&drawn).enumerate() {
            let share = share([(n % side) as f32 + 0.5, (n / side) as f32 + 0.5].map(|c| c / side as f32));
            let meets = share * (1.0 - share);
            sum += meets;
            for k in 0..3 {
                apart[k] += meets * (f32::from(there.0[k]) - own[k]);
            }
        }
        let apart = apart.map(|apart| apart / f32::max(sum, f32::MIN_POSITIVE));
        let mut raster = Raster::from_rgb(seen.as_raw(), side, seen.height() as usize);
        for (n, colour) in drawn.iter_mut().enumerate() {
            let [red, green, blue] = std::array::from_fn(|k| (colour[k] + apart[k]).clamp(0.0, 255.0));
            raster.set(n % side, n / side, [red, green, blue, 0.0]);
        }
        LowerFace { drawn: raster, place }
    }

    /// What is seen at a point of the photo, which has that colour there.
    #[inline]
    pub(crate) fn over(&self, p: Point, photo: Colour) -> Colour {
        let FaceBox { left, top, width, height } = self.place;
        // Pixel centres lie on whole coordinates.
        let within = [(p[0] - left as f32 + 0.5) / width as f32, (p[1] - top as f32 + 0.5) / height as f32];
        let share = share(within);
        if share <= 0.0 {
            return photo;
        }
        let at = [within[0] * self.drawn.width as f32 - 0.5, within[1] * self.drawn.height as f32 - 0.5];
        mix(photo, self.drawn.cubic(at[0], at[1]), share)
    }
}

/// How much of the drawn face is seen at a place of the box, whose corners are 0, 0 and 1, 1: all of it around the mouth,
/// nothing from the middle of the nose upwards and beside jaw and chin.
#[inline]
fn share([x, y]: Point) -> f32 {
    let out = ((x - 0.5) / 0.47).hypot((y - 0.70) / 0.31);
    if out >= 1.0 {
        return 0.0;
    }
    (1.0 - smoothstep(0.78, 1.0, out)) * smoothstep(0.50, 0.62, y)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn points() -> Vec<[f32; 2]> {
        let mut points = vec![[50.0, 80.0]; 68];
        points[0] = [20.0, 50.0];
        points[16] = [80.4, 50.0];
        points[8] = [50.0, 100.0];
        points[17] = [30.0, 40.0];
        points
    }

    #[test]
    fn the_box_reaches_from_the_forehead_to_under_the_chin_and_stays_inside() {
        let place = |width, height| FaceBox::around(&points(), width, height);
        assert_eq!(place(128, 128), Some(FaceBox { left: 20, top: 19, width: 60, height: 85 }));
        assert_eq!(place(60, 90), Some(FaceBox { left: 20, top: 19, width: 40, height: 71 }));
        assert_eq!(place(40, 90), None);
        let far: Vec<[f32; 2]> = points().iter().map(|p| [p[0] - 500.0, p[1]]).collect();
        assert_eq!(FaceBox::around(&far, 128, 128), None);
        assert_eq!(FaceBox::around(&[[f32::NAN; 2]; 68], 128, 128), None);
    }

    #[test]
    fn what_is_drawn_takes_the_photos_colours_and_leaves_the_rest_alone() {
        let (width, height) = (128, 128);
        let photo: Vec<u8> = (0..width * height).flat_map(|_| [180, 120, 90]).collect();
        let place = FaceBox::around(&points(), width, height).unwrap();
        let seen = place.cut(&photo, width, 96);
        assert_eq!((seen.dimensions(), seen.get_pixel(50, 70).0), ((96, 96), [180, 120, 90]));
        // The same face in another light, with a dark mouth.
        let mouth = |n: usize| (66..74).contains(&(n / 96)) && (40..56).contains(&(n % 96));
        let drawn = (0..96 * 96).map(|n| if mouth(n) { [20.0; 3] } else { [130.0, 130.0, 130.0] }).collect();
        let face = LowerFace::new(place, &seen, drawn);
        let skin: Colour = [180.0, 120.0, 90.0, 0.0];
        for (p, expected) in [
            ([50.0, 26.0], skin),
            ([50.0, 60.0], skin),
            ([5.0, 90.0], skin),
            ([22.0, 102.0], skin),
            ([35.0, 85.0], skin),
            ([50.0, 96.0], skin),
            ([49.0, 82.0], [70.0, 10.0, 0.0, 0.0]),
        ] {
            let got = face.over(p, skin);
            let near = got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() < 1.0);
            assert!(near, "at {p:?}: {got:?}, expected {expected:?}");
        }
    }
}
