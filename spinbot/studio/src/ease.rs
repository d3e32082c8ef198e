//! The one soft step that moving and drawing share.

/// 0 up to `low`, 1 from `high` on, a smooth cubic between; `low` may be above `high`, and then it falls.
#[inline]
pub(crate) fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
