//! The photo as floats, and how it is sampled between its pixels. Pixel centres lie on whole coordinates.

/// Red, green, blue and a spare lane that keeps a pixel one SIMD register wide; 0..=255.
pub(crate) type Colour = [f32; 4];

/// A picture in memory.
#[derive(Clone)]
pub(crate) struct Raster {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pixels: Vec<Colour>,
}

impl Raster {
    /// From interleaved 8-bit RGB; `rgb` holds `3 * width * height` bytes and neither side is 0.
    pub(crate) fn from_rgb(rgb: &[u8], width: usize, height: usize) -> Self {
        let pixels =
            rgb.chunks_exact(3).map(|p| [f32::from(p[0]), f32::from(p[1]), f32::from(p[2]), 0.0]).collect();
        Raster { width, height, pixels }
    }

    /// The pixel at whole coordinates, the nearest one of the border where they lie outside.
    #[inline]
    pub(crate) fn at(&self, x: i32, y: i32) -> Colour {
        let x = x.clamp(0, self.width as i32 - 1) as usize;
        let y = y.clamp(0, self.height as i32 - 1) as usize;
        self.pixels[y * self.width + x]
    }

    /// Puts a colour at a pixel that lies inside.
    pub(crate) fn set(&mut self, x: usize, y: usize, colour: Colour) {
        self.pixels[y * self.width + x] = colour;
    }

    /// Bilinear sample.
    #[inline]
    pub(crate) fn linear(&self, x: f32, y: f32) -> Colour {
        let (x0, y0) = (x.floor(), y.floor());
        let (fx, fy) = (x - x0, y - y0);
        let (x0, y0) = (x0 as i32, y0 as i32);
        let top = mix(self.at(x0, y0), self.at(x0 + 1, y0), fx);
        let bottom = mix(self.at(x0, y0 + 1), self.at(x0 + 1, y0 + 1), fx);
        mix(top, bottom, fy)
    }

    /// Bicubic (Catmull-Rom) sample: sharper than [`Raster::linear`], which would blur a face that sways.
    #[inline]
    pub(crate) fn cubic(&self, x: f32, y: f32) -> Colour {
        let (x0, y0) = (x.floor(), y.floor());
        let (wx, wy) = (cubic_weights(x - x0), cubic_weights(y - y0));
        let (x0, y0) = (x0 as i32 - 1, y0 as i32 - 1);
        let mut sum = [0.0; 4];
        if x0 >= 0 && y0 >= 0 && x0 + 4 <= self.width as i32 && y0 + 4 <= self.height as i32 {
            let mut start = y0 as usize * self.width + x0 as usize;
            for weight in wy {
                let row = &self.pixels[start..start + 4];
                let mut line = [0.0; 4];
                for (pixel, w) in row.iter().zip(wx) {
                    add(&mut line, *pixel, w);
                }
                add(&mut sum, line, weight);
                start += self.width;
            }
        } else {
            for (dy, weight) in (0..).zip(wy) {
                for (dx, w) in (0..).zip(wx) {
                    add(&mut sum, self.at(x0 + dx, y0 + dy), w * weight);
                }
            }
        }
        sum
    }
}

#[inline]
fn cubic_weights(t: f32) -> [f32; 4] {
    let (t2, t3) = (t * t, t * t * t);
    [
        0.5 * (-t3 + 2.0 * t2 - t),
        0.5 * (3.0 * t3 - 5.0 * t2 + 2.0),
        0.5 * (-3.0 * t3 + 4.0 * t2 + t),
        0.5 * (t3 - t2),
    ]
}

#[inline]
fn add(sum: &mut Colour, colour: Colour, weight: f32) {
    for (s, c) in sum.iter_mut().zip(colour) {
        *s += c * weight;
    }
}

/// `a` at `t = 0`, `b` at `t = 1`.
#[inline]
pub(crate) fn mix(a: Colour, b: Colour, t: f32) -> Colour {
    let mut out = a;
    for (o, b) in out.iter_mut().zip(b) {
        *o += (b - *o) * t;
    }
    out
}

/// Every channel times that of `by`.
#[inline]
pub(crate) fn tinted(colour: Colour, by: Colour) -> Colour {
    std::array::from_fn(|k| colour[k] * by[k])
}

/// Every channel times `by`.
#[inline]
pub(crate) fn scaled(colour: Colour, by: f32) -> Colour {
    colour.map(|c| c * by)
}

/// Perceived brightness, 0..=255 (Rec. 601).
#[inline]
pub(crate) fn luma(c: Colour) -> f32 {
    0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2]
}
