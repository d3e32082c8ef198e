//! What is behind the figure: the picture without it, filled in from around, and the figure's share of each pixel. The figure
//! moves before it; it hardly moves itself.

use super::geometry::Point;
use super::raster::{Colour, Raster, mix, scaled};

/// Share from which a pixel is all figure, and up to which it is all background.
const WHOLE: f32 = 0.996;
const NONE: f32 = 0.004;
/// How far around the figure its colours may have got into the background, in pixels.
const RIM: usize = 2;

/// The background and the matte of a picture.
pub(crate) struct Backdrop {
    behind: Raster,
    shares: Vec<f32>,
    width: usize,
    height: usize,
}

impl Backdrop {
    /// `matte` holds the figure's share of each pixel of `photo`, 0..=255. Nothing where all of it is figure.
    pub(crate) fn new(photo: &Raster, matte: &[u8]) -> Option<Self> {
        if matte.iter().all(|share| *share == 255) {
            return None;
        }
        let (width, height) = (photo.width, photo.height);
        let shares: Vec<f32> = matte.iter().map(|share| f32::from(*share) / 255.0).collect();
        let rimmed = widened(&shares, width, RIM);
        let mut behind = photo.clone();
        let seen: Vec<(Colour, f32)> = (0..width * height)
            .map(|at| {
                let weight = if rimmed[at] <= 0.02 { 1.0 } else { 0.0 };
                (scaled(photo.at((at % width) as i32, (at / width) as i32), weight), weight)
            })
            .collect();
        let filled = filled(seen, width, height);
        for (at, colour) in filled.into_iter().enumerate() {
            behind.set(at % width, at / width, colour);
        }
        Some(Backdrop { behind, shares, width, height })
    }

    /// The figure's share at a place of the picture, bilinear; beyond its edges that of the edge.
    #[inline]
    pub(crate) fn share(&self, p: Point) -> f32 {
        let x = p[0].clamp(0.0, (self.width - 1) as f32);
        let y = p[1].clamp(0.0, (self.height - 1) as f32);
        let (x0, y0) = (x as usize, y as usize);
        let (fx, fy) = (x - x0 as f32, y - y0 as f32);
        let (x1, y1) = ((x0 + 1).min(self.width - 1), (y0 + 1).min(self.height - 1));
        let at = |x: usize, y: usize| self.shares[y * self.width + x];
        let top = at(x0, y0) + (at(x1, y0) - at(x0, y0)) * fx;
        let bottom = at(x0, y1) + (at(x1, y1) - at(x0, y1)) * fx;
        let share = top + (bottom - top) * fy;
        if share > WHOLE {
            1.0
        } else if share < NONE {
            0.0
        } else {
            share
        }
    }

    /// The background's colour at a place of the picture.
    #[inline]
    pub(crate) fn colour(&self, p: Point) -> Colour {
        self.behind.linear(p[0], p[1])
    }
}

/// The largest share within `reach` pixels, along rows and columns.
fn widened(shares: &[f32], width: usize, reach: usize) -> Vec<f32> {
    let height = shares.len() / width;
    let largest = |values: &dyn Fn(usize) -> f32, i: usize, length: usize| {
        (i.saturating_sub(reach)..(i + reach + 1).min(length)).map(values).fold(0.0, f32::max)
    };
    let across: Vec<f32> = (0..shares.len())
        .map(|at| {
            let row = at / width * width;
            largest(&|x| shares[row + x], at % width, width)
        })
        .collect();
    (0..shares.len()).map(|at| largest(&|y| across[y * width + at % width], at / width, height)).collect()
}

/// Colours times their weights -> colours, where those without weight are a smooth filling: of ever coarser means, as much as
/// each level knows ("pull-push", Gortler et al. 1996, "The lumigraph").
fn filled(seen: Vec<(Colour, f32)>, width: usize, height: usize) -> Vec<Colour> {
    if width * height == 1 || seen.iter().all(|(_, weight)| *weight >= 1.0) {
        return seen.into_iter().map(|(sum, weight)| scaled(sum, 1.0 / weight.max(1e-6))).collect();
    }
    let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
    let mut coarse = vec![([0.0; 4], 0.0_f32); half_width * half_height];
    for (at, (sum, weight)) in seen.iter().enumerate() {
        let (into, into_weight) = &mut coarse[at / width / 2 * half_width + at % width / 2];
        into.iter_mut().zip(sum).for_each(|(into, sum)| *into += sum);
        *into_weight += weight;
    }
    for (sum, weight) in &mut coarse {
        if *weight > 1.0 {
            *sum = scaled(*sum, 1.0 / *weight);
            *weight = 1.0;
        }
    }
    let coarse = filled(coarse, half_width, half_height);
    let at = |x: i32, y: i32| {
        let x = x.clamp(0, half_width as i32 - 1) as usize;
        let y = y.clamp(0, half_height as i32 - 1) as usize;
        coarse[y * half_width + x]
    };
    let blend = |i: usize| {
        let place = (i as f32 + 0.5) / 2.0 - 0.5;
        (place.floor() as i32, place - place.floor())
    };
    seen.into_iter()
        .enumerate()
        .map(|(n, (sum, weight))| {
            if weight >= 1.0 {
                return sum;
            }
            let ((x, fx), (y, fy)) = (blend(n % width), blend(n / width));
            let top = mix(at(x, y), at(x + 1, y), fx);
            let bottom = mix(at(x, y + 1), at(x + 1, y + 1), fx);
            let below = mix(top, bottom, fy);
            std::array::from_fn(|k| sum[k] + below[k] * (1.0 - weight))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_figure_hides_is_filled_from_around_and_the_rest_stays() {
        let (width, height) = (40, 30);
        let inside = |x: usize, y: usize| (12..28).contains(&x) && y >= 8;
        let rgb: Vec<u8> = (0..width * height)
            .flat_map(|at| match inside(at % width, at / width) {
                true => [250, 10, 10],
                false => [60, 100, 140],
            })
            .collect();
        let matte: Vec<u8> =
            (0..width * height).map(|at| if inside(at % width, at / width) { 255 } else { 0 }).collect();
        let photo = Raster::from_rgb(&rgb, width, height);
        let backdrop = Backdrop::new(&photo, &matte).unwrap();
        for (x, y) in [(0.0, 0.0), (20.0, 20.0), (12.0, 9.0), (39.0, 29.0)] {
            let colour = backdrop.colour([x, y]);
            let apart =
                [60.0, 100.0, 140.0].iter().zip(colour).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1.0, "{x},{y}: {colour:?}");
        }
        assert_eq!((backdrop.share([20.0, 20.0]), backdrop.share([3.0, 3.0])), (1.0, 0.0));
        assert!((backdrop.share([11.5, 20.0]) - 0.5).abs() < 1e-5);
        assert!(Backdrop::new(&photo, &vec![255; width * height]).is_none());
    }
}
