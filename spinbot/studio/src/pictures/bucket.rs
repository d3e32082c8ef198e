//! Aspect buckets: the sizes that pictures of one model may have, all of about the same area (as NovelAI described
//! it in 2022, and kohya's scripts do it), so that a wide picture is not squeezed and a batch costs what the next does.

/// The sizes for a resolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Buckets {
    sizes: Vec<(u32, u32)>,
}

/// The widest over the tallest side; what is more than twice as long is cropped.
const LONGEST: f64 = 2.0;

impl Buckets {
    /// Every size of at most `resolution` squared pixels whose sides are multiples of `multiple` and at most twice
    /// each other, as large as it gets for its width; the square is always there.
    pub(crate) fn new(resolution: u32, multiple: u32) -> Self {
        let multiple = multiple.max(1);
        let square = (resolution / multiple).max(1) * multiple;
        let area = u64::from(resolution) * u64::from(resolution);
        let mut sizes = vec![(square, square)];
        for width in (1..=2 * square / multiple).map(|n| n * multiple) {
            let height = (area / u64::from(width)) as u32 / multiple * multiple;
            let ratio = f64::from(width) / f64::from(height.max(1));
            if height > 0 && (1.0 / LONGEST..=LONGEST).contains(&ratio) && width != height {
                sizes.push((width, height));
            }
        }
        Buckets { sizes }
    }

    /// The square.
    pub(crate) fn square(&self) -> (u32, u32) {
        self.sizes[0]
    }

    /// The size whose shape is nearest; of two as near, the larger.
    pub(crate) fn nearest(&self, width: u32, height: u32) -> (u32, u32) {
        let shape = |w: u32, h: u32| (f64::from(w.max(1)) / f64::from(h.max(1))).ln();
        let wanted = shape(width, height);
        let key = |&(w, h): &(u32, u32)| ((shape(w, h) - wanted).abs(), -i64::from(w) * i64::from(h));
        let nearest = self.sizes.iter().copied().min_by(|a, b| {
            let (a, b) = (key(a), key(b));
            a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
        });
        nearest.unwrap_or(self.square())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_shape_and_area() {
        let sd = Buckets::new(512, 64);
        for ((width, height), expected) in [
            ((4000, 4000), (512, 512)),
            ((4000, 3000), (576, 448)),
            ((3000, 4000), (448, 576)),
            ((1920, 1080), (640, 384)),
            ((9000, 100), (704, 320)),
            ((1, 4000), (384, 640)),
        ] {
            let found = sd.nearest(width, height);
            let ratio = f64::from(found.0) / f64::from(found.1);
            assert!((0.5..=2.0).contains(&ratio), "{found:?}");
            if width.max(height) < 2 * width.min(height) {
                assert_eq!(found, expected);
            }
        }
        assert_eq!(Buckets::new(128, 32).nearest(300, 200), (160, 96));
        // A model of its own kind, and a resolution that is no multiple.
        for (resolution, multiple) in [(64, 64), (100, 64), (1024, 64), (768, 8), (30, 32)] {
            let buckets = Buckets::new(resolution, multiple);
            for &(w, h) in &buckets.sizes {
                assert!(w % multiple == 0 && h % multiple == 0 && w > 0 && h > 0, "{w}x{h}");
                assert!(w * h <= resolution.max(multiple).pow(2), "{w}x{h} of {resolution}");
            }
        }
    }
}
