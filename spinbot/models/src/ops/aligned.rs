//! Values that begin where a line of the cache does: a register's load that crosses two lines costs as much as two.

use std::ops::{Deref, DerefMut};

/// Bytes of a line, and of the widest register.
const LINE: usize = 64;

/// Values from the start of a line on.
#[derive(Debug)]
pub(super) struct Aligned {
    /// With room for a line more.
    values: Vec<f32>,
    start: usize,
    count: usize,
}

impl Aligned {
    pub(super) fn zeros(count: usize) -> Self {
        let values = vec![0.0_f32; count + LINE / size_of::<f32>()];
        // Where the way to the next line is not known, none is gone.
        let start = values.as_ptr().align_offset(LINE).min(LINE / size_of::<f32>());
        Aligned { values, start, count }
    }
}

/// The copy lies elsewhere, and its line begins elsewhere too.
impl Clone for Aligned {
    fn clone(&self) -> Self {
        let mut copy = Aligned::zeros(self.count);
        copy.copy_from_slice(self);
        copy
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[self.start..self.start + self.count]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[self.start..self.start + self.count]
    }
}
