//! A voice as a point on the unit sphere, and how alike two of them are.

/// What a speaker encoder heard: 256 numbers of unit length. Only prints of the same encoder can be compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Voiceprint(pub [f32; 256]);

impl Voiceprint {
    /// The direction of those numbers; of other counts, the missing ones are zero and the rest is dropped.
    pub(crate) fn unit(values: &[f32]) -> Self {
        let mut print = [0.0; 256];
        print.iter_mut().zip(values).for_each(|(to, from)| *to = *from);
        let length = print.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        if length > 0.0 {
            print.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
        }
        Voiceprint(print)
    }

    /// The cosine of the angle between two voices, -1 to 1: 1 is the same.
    pub fn similarity(&self, other: &Voiceprint) -> f32 {
        self.0.iter().zip(&other.0).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() as f32
    }
}

/// The middle of several voices, at unit length; of none, all zeros.
pub fn mean_voiceprint<'a>(prints: impl IntoIterator<Item = &'a Voiceprint>) -> Voiceprint {
    let mut sum = [0.0_f64; 256];
    for print in prints {
        sum.iter_mut().zip(&print.0).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    // Scaled before it becomes f32; the number of prints falls out at unit length.
    let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    Voiceprint::unit(&sum.map(|x| (x / length) as f32))
}
