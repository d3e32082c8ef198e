//! RGB to I420 and back: BT.709, limited range, 8 bit, chroma in the middle of each 2x2 block. Integer
//! arithmetic in plain loops over rows, which the compiler turns into vector code.

use image::RgbImage;

/// Fraction bits of the coefficients below.
const BITS: i32 = 14;
const HALF: i32 = 1 << (BITS - 1);
/// Y' = 16 + 219/255 (0.2126 R + 0.7152 G + 0.0722 B).
const Y: [i32; 3] = [2991, 10064, 1016];
/// Cb = 128 + 224/255 (B - Y) / 1.8556; the three sum to 0, so that grey has no colour.
const CB: [i32; 3] = [-1649, -5547, 7196];
/// Cr = 128 + 224/255 (R - Y) / 1.5748.
const CR: [i32; 3] = [7196, -6536, -660];

/// One picture as three planes; the chroma planes have half the width and height.
pub(crate) struct I420 {
    width: usize,
    pub(crate) y: Vec<u8>,
    pub(crate) u: Vec<u8>,
    pub(crate) v: Vec<u8>,
    /// Channel sums over two rows, kept between calls.
    sums: [Vec<i16>; 3],
}

impl I420 {
    /// A black picture. Both sides are even.
    pub(crate) fn new(width: usize, height: usize) -> Self {
        I420 {
            width,
            y: vec![16; width * height],
            u: vec![128; width * height / 4],
            v: vec![128; width * height / 4],
            sums: std::array::from_fn(|_| vec![0; width]),
        }
    }

    /// Converts a picture of the same size.
    pub(crate) fn fill(&mut self, picture: &RgbImage) {
        let width = self.width;
        let rows = picture.as_raw().chunks_exact(width * 3 * 2);
        let y = self.y.chunks_exact_mut(width * 2);
        let chroma = self.u.chunks_exact_mut(width / 2).zip(self.v.chunks_exact_mut(width / 2));
        for ((pair, y), (u, v)) in rows.zip(y).zip(chroma) {
            let (upper, lower) = pair.split_at(width * 3);
            let (y_upper, y_lower) = y.split_at_mut(width);
            luma(upper, y_upper);
            luma(lower, y_lower);
            let [red, green, blue] = &mut self.sums;
            let sums = red.iter_mut().zip(green).zip(blue);
            for ((((r, g), b), above), below) in sums.zip(upper.chunks_exact(3)).zip(lower.chunks_exact(3)) {
                *r = i16::from(above[0]) + i16::from(below[0]);
                *g = i16::from(above[1]) + i16::from(below[1]);
                *b = i16::from(above[2]) + i16::from(below[2]);
            }
            let [red, green, blue] = &self.sums;
            let pairs = red.chunks_exact(2).zip(green.chunks_exact(2)).zip(blue.chunks_exact(2));
            for (((r, g), b), (u, v)) in pairs.zip(u.iter_mut().zip(v)) {
                let block = [r, g, b].map(|c| i32::from(c[0]) + i32::from(c[1]));
                *u = difference(CB, block);
                *v = difference(CR, block);
            }
        }
    }
}

fn luma(rgb: &[u8], y: &mut [u8]) {
    for (y, pixel) in y.iter_mut().zip(rgb.chunks_exact(3)) {
        let sum = Y[0] * i32::from(pixel[0]) + Y[1] * i32::from(pixel[1]) + Y[2] * i32::from(pixel[2]);
        // At most 16 + 219: the coefficients sum to 219/255 of 1.
        *y = (16 + ((sum + HALF) >> BITS)) as u8;
    }
}

/// A chroma value from the sums of four pixels.
fn difference(coefficients: [i32; 3], [r, g, b]: [i32; 3]) -> u8 {
    let sum = coefficients[0] * r + coefficients[1] * g + coefficients[2] * b;
    // Within 128 +- 112 for any input, so the cast loses nothing.
    (128 + ((sum + (HALF << 2)) >> (BITS + 2))) as u8
}

/// Planes of a decoder, with their strides, as RGB. Chroma is repeated over its block.
///
/// `width` and `height` are the picture's; the planes hold at least that.
pub(crate) fn to_rgb(planes: [&[u8]; 3], strides: [usize; 3], width: usize, height: usize) -> RgbImage {
    /// Fraction bits; 255/219, 2 (1 - Kr) 255/224 and so on follow from the same Kr = 0.2126, Kb = 0.0722.
    const BITS: i32 = 13;
    const LUMA: i32 = 9539;
    const RED: i32 = 14686;
    const GREEN: [i32; 2] = [-1747, -4366];
    const BLUE: i32 = 17305;
    let mut rgb = vec![0u8; width * height * 3];
    for (row, line) in rgb.chunks_exact_mut(width * 3).enumerate() {
        let y = &planes[0][row * strides[0]..][..width];
        let u = &planes[1][row / 2 * strides[1]..][..width.div_ceil(2)];
        let v = &planes[2][row / 2 * strides[2]..][..width.div_ceil(2)];
        for (x, (pixel, y)) in line.chunks_exact_mut(3).zip(y).enumerate() {
            let (cb, cr) = (i32::from(u[x / 2]) - 128, i32::from(v[x / 2]) - 128);
            let luma = (i32::from(*y) - 16) * LUMA + (1 << (BITS - 1));
            let clip = |value: i32| (value >> BITS).clamp(0, 255) as u8;
            pixel[0] = clip(luma + RED * cr);
            pixel[1] = clip(luma + GREEN[0] * cb + GREEN[1] * cr);
            pixel[2] = clip(luma + BLUE * cb);
        }
    }
    // The buffer was made for exactly this size.
    RgbImage::from_raw(width as u32, height as u32, rgb).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values from the definition of BT.709 in floating point.
    fn reference([r, g, b]: [u8; 3]) -> [f64; 3] {
        let [r, g, b] = [r, g, b].map(|c| f64::from(c) / 255.0);
        let y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
        [16.0 + 219.0 * y, 128.0 + 224.0 * (b - y) / 1.8556, 128.0 + 224.0 * (r - y) / 1.5748]
    }

    #[test]
    fn colours_follow_bt709_and_come_back() {
        let steps = [0u8, 1, 60, 128, 200, 254, 255];
        for r in steps {
            for g in steps {
                for b in steps {
                    let colour = [r, g, b];
                    let mut planes = I420::new(4, 2);
                    planes.fill(&RgbImage::from_pixel(4, 2, colour.into()));
                    let got = [planes.y[0], planes.u[0], planes.v[0]];
                    for (got, expected) in got.iter().zip(reference(colour)) {
                        assert!(
                            (f64::from(*got) - expected).abs() <= 0.75,
                            "{colour:?}: {got} for {expected}"
                        );
                    }
                    let back = to_rgb([&planes.y, &planes.u, &planes.v], [4, 2, 2], 4, 2);
                    for (got, sent) in back.get_pixel(3, 1).0.iter().zip(colour) {
                        assert!(
                            got.abs_diff(sent) <= 3,
                            "{colour:?} came back as {:?}",
                            back.get_pixel(3, 1)
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn chroma_is_the_mean_of_its_four_pixels() {
        let mut picture = RgbImage::new(2, 2);
        picture.put_pixel(0, 0, [255, 0, 0].into());
        picture.put_pixel(1, 1, [0, 0, 255].into());
        let mut planes = I420::new(2, 2);
        planes.fill(&picture);
        let sum = [[255, 0, 0], [0, 0, 255], [0; 3], [0; 3]].map(reference);
        let mean = |i: usize| sum.iter().map(|c| c[i]).sum::<f64>() / 4.0;
        assert!((f64::from(planes.u[0]) - mean(1)).abs() <= 0.75);
        assert!((f64::from(planes.v[0]) - mean(2)).abs() <= 0.75);
        assert_eq!([planes.y[1], planes.y[2]], [16, 16]);
    }
}
