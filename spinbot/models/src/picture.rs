//! From a picture's bytes to what the networks take: a square of floats, resized and padded.
//!
//! Decoding files is `spinbot-media`'s business; here a picture is rows of RGB bytes.

use crate::error::{ModelError, Result};

/// Sides longer than this are refused before anything is allocated.
const MAX_SIDE: u32 = 16_384;
/// Pictures smaller than this hold no face that could be found.
const MIN_SIDE: u32 = 16;

/// A picture as rows of RGB bytes, checked: the slice has exactly width x height x 3 bytes.
#[derive(Clone, Copy)]
pub(crate) struct Picture<'a> {
    rgb: &'a [u8],
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// A rectangle of whole pixels inside a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crop {
    pub(crate) x: usize,
    pub(crate) y: usize,
    pub(crate) w: usize,
    pub(crate) h: usize,
}

/// A square of RGB floats, channel after channel: `values[(c * side + y) * side + x]`, 0..=255.
pub(crate) struct Square {
    pub(crate) values: Vec<f32>,
    pub(crate) side: usize,
}

impl<'a> Picture<'a> {
    pub(crate) fn new(rgb: &'a [u8], width: u32, height: u32) -> Result<Self> {
        let refuse = |reason: String| Err(ModelError::Picture { width, height, reason });
        if width.min(height) < MIN_SIDE {
            return refuse(format!("too small to hold a face, the shorter side needs {MIN_SIDE} pixels"));
        }
        if width.max(height) > MAX_SIDE {
            return refuse(format!("larger than the {MAX_SIDE} pixels a side that are read"));
        }
        let expected = width as usize * height as usize * 3;
        if rgb.len() != expected {
            return refuse(format!("{} bytes were given, RGB at that size has {expected}", rgb.len()));
        }
        Ok(Picture { rgb, width: width as usize, height: height as usize })
    }

    pub(crate) fn whole(&self) -> Crop {
        Crop { x: 0, y: 0, w: self.width, h: self.height }
    }

    /// The largest square in its middle.
    pub(crate) fn middle(&self) -> Crop {
        let side = self.width.min(self.height);
        Crop { x: (self.width - side) / 2, y: (self.height - side) / 2, w: side, h: side }
    }

    /// The whole picture stretched to a square of `side` pixels, channel after channel, 0..=255.
    pub(crate) fn stretched(&self, side: usize) -> Vec<f32> {
        let (columns, rows) =
            (taps(self.width, self.width, 0, side), taps(self.height, self.height, 0, side));
        self.resampled(self.whole(), &columns, &rows)
    }

    /// The crop, put on a black square `side_before` pixels wide with its top left corner at `offset`, and
    /// that square resized to `side` pixels.
    ///
    /// The resize is bilinear with pixel centres at half coordinates; when it shrinks, the triangle widens to
    /// the shrink factor (as PIL's BILINEAR does), so that a large photo is averaged and not sampled in dots.
    pub(crate) fn square(
        &self,
        crop: Crop,
        side_before: usize,
        offset: (usize, usize),
        side: usize,
    ) -> Square {
        let columns = taps(crop.w, side_before, offset.0, side);
        let rows = taps(crop.h, side_before, offset.1, side);
        Square { values: self.resampled(crop, &columns, &rows), side }
    }

    /// The crop with an output column and row for each of the taps, channel after channel.
    fn resampled(&self, crop: Crop, columns: &[Taps], rows: &[Taps]) -> Vec<f32> {
        let (side, tall) = (columns.len(), rows.len());
        // Across first: one row of the crop at a time, only those that some output row needs.
        let mut across = vec![0.0_f32; crop.h * side * 3];
        for (y, out) in across.chunks_exact_mut(side * 3).enumerate() {
            let start = ((crop.y + y) * self.width + crop.x) * 3;
            let row = &self.rgb[start..start + crop.w * 3];
            for (taps, out) in columns.iter().zip(out.chunks_exact_mut(3)) {
                for (pixel, weight) in row[taps.first * 3..].chunks_exact(3).zip(&taps.weights) {
                    for (sum, value) in out.iter_mut().zip(pixel) {
                        *sum += weight * f32::from(*value);
                    }
                }
            }
        }
        let mut values = vec![0.0_f32; 3 * side * tall];
        let mut sums = vec![0.0_f32; side * 3];
        for (y, taps) in rows.iter().enumerate() {
            sums.fill(0.0);
            let used = across.chunks_exact(side * 3).skip(taps.first);
            for (row, weight) in used.zip(&taps.weights) {
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
            }
            for (x, pixel) in sums.chunks_exact(3).enumerate() {
                for (c, value) in pixel.iter().enumerate() {
                    values[(c * tall + y) * side + x] = *value;
                }
            }
        }
        values
    }
}

/// What one output coordinate is made of: consecutive input positions and their weights.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// The taps that resize `before` positions to `after`, where only `content` positions from `offset` on hold
/// anything; the others are zero and are left out, but still count in the weights' sum.
fn taps(content: usize, before: usize, offset: usize, after: usize) -> Vec<Taps> {
    let scale = before as f64 / after as f64;
    let reach = scale.max(1.0);
    (0..after)
        .map(|out| {
            let centre = (out as f64 + 0.5) * scale - 0.5;
            let low = (centre - reach).ceil().max(0.0) as usize;
            let high = ((centre + reach).floor() as usize).min(before - 1);
            let weight = |position: usize| (1.0 - (position as f64 - centre).abs() / reach).max(0.0);
            let sum: f64 = (low..=high).map(weight).sum();
            let (from, to) = (low.max(offset), (high + 1).min(offset + content));
            Taps {
                first: from.saturating_sub(offset).min(content),
                weights: (from..to).map(|position| (weight(position) / sum) as f32).collect(),
            }
        })
        .collect()
}

impl Square {
    /// A point of the square, in pixels from its top left corner, as bilinear mixture; black outside.
    fn at(&self, channel: usize, x: f32, y: f32) -> f32 {
        let (left, top) = (x.floor(), y.floor());
        let (fx, fy) = (x - left, y - top);
        let pixel = |dx: i64, dy: i64| {
            let (x, y) = (left as i64 + dx, top as i64 + dy);
            match (usize::try_from(x), usize::try_from(y)) {
                (Ok(x), Ok(y)) if x < self.side && y < self.side => {
                    self.values[(channel * self.side + y) * self.side + x]
                }
                _ => 0.0,
            }
        };
        let upper = pixel(0, 0) * (1.0 - fx) + pixel(1, 0) * fx;
        let lower = pixel(0, 1) * (1.0 - fx) + pixel(1, 1) * fx;
        upper * (1.0 - fy) + lower * fy
    }

    /// A turned, shifted, scaled and possibly mirrored square of `side` pixels out of this one: output pixel
    /// (x, y) is taken from `view.source(x, y)`.
    pub(crate) fn view(&self, view: &View, side: usize) -> Vec<f32> {
        let mut values = Vec::with_capacity(3 * side * side);
        for channel in 0..3 {
            for y in 0..side {
                for x in 0..side {
                    let [sx, sy] = view.source([x as f32 + 0.5, y as f32 + 0.5]);
                    values.push(self.at(channel, sx - 0.5, sy - 0.5));
                }
            }
        }
        values
    }
}

/// A similarity transform from the coordinates of a network's input to those of a [`Square`], with an optional
/// mirroring of the input first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    /// Where the middle of the input lies in the square.
    pub(crate) centre: [f32; 2],
    /// Pixels of the square per pixel of the input.
    pub(crate) scale: f32,
    /// Turn in radians; positive turns the input's x axis towards the square's y axis.
    pub(crate) angle: f32,
    /// Whether the input is mirrored left to right.
    pub(crate) mirrored: bool,
    /// Side of the input in pixels.
    pub(crate) side: f32,
}

impl View {
    /// Where a point of the input lies in the square.
    pub(crate) fn source(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let x = if self.mirrored { self.side - x } else { x };
        let (dx, dy) = ((x - self.side / 2.0) * self.scale, (y - self.side / 2.0) * self.scale);
        let (sin, cos) = self.angle.sin_cos();
        [self.centre[0] + dx * cos - dy * sin, self.centre[1] + dx * sin + dy * cos]
    }
}
