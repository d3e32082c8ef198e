//! A copy of the photo whose open mouth is filled with the lips around it, so that lips moved elsewhere bring no
//! rim of teeth and no dark corner with them.

use super::geometry::Curve;
use super::lips::Lips;
use super::raster::{Colour, Raster, luma};

/// Passes of the filling; the mouth is some 30 pixels high at most in a 1024-pixel frame.
const PASSES: usize = 240;

/// The photo with the opening between the lips, and a little around it, filled smoothly from its rim; a drawing without
/// its mouth. Photos of closed mouths are returned as they are.
pub(crate) fn without_mouth(photo: &Raster, lips: &Lips) -> Raster {
    let mut out = photo.clone();
    let shut = lips.inset <= 0.0 || (0..super::geometry::SAMPLES).all(|i| lips.gap(i) < 1.0);
    if lips.ink.is_none() && shut {
        return out;
    }
    let reach = 1.2 * lips.axes.half;
    let [cx, cy] = lips.axes.centre;
    let (left, top) = ((cx - reach).max(0.0) as usize, (cy - reach).max(0.0) as usize);
    let right = ((cx + reach).max(0.0) as usize).min(photo.width.saturating_sub(1));
    let bottom = ((cy + reach).max(0.0) as usize).min(photo.height.saturating_sub(1));
    let mut holes = Vec::new();
    for y in top..bottom {
        for x in left..right {
            if is_mouth(photo, lips, [x as f32, y as f32]) {
                holes.push((x as i32, y as i32));
            }
        }
    }
    // Start from the rim's mean, then let every hole become the mean of its neighbours, over and over: the fill
    // that bends least. Over-relaxation gets there in a tenth of the passes.
    let start = mean_beside(&out, &holes);
    for &(x, y) in &holes {
        out.set(x as usize, y as usize, start);
    }
    for _ in 0..PASSES {
        for &(x, y) in &holes {
            let around = [out.at(x - 1, y), out.at(x + 1, y), out.at(x, y - 1), out.at(x, y + 1)];
            let mut colour = out.at(x, y);
            for (k, c) in colour.iter_mut().enumerate() {
                let mean = around.iter().map(|a| a[k]).sum::<f32>() / 4.0;
                *c += 1.7 * (mean - *c);
            }
            out.set(x as usize, y as usize, colour);
        }
    }
    out
}

/// Between the inner edges, or dark like the corners of an open mouth and next to them.
fn is_mouth(photo: &Raster, lips: &Lips, p: [f32; 2]) -> bool {
    let (u, v) = lips.axes.local(p);
    if u.abs() > 1.1 {
        return false;
    }
    if lips.ink.is_some() {
        // With the soft rim of its ink.
        let rim = 1.0 + 0.1 * lips.axes.half;
        return v > lips.upper_outer.at(u) - rim && v < lips.lower_outer.at(u) + rim;
    }
    let (upper, lower) = (lips.upper_inner.at(u), lips.lower_inner.at(u));
    let margin = lips.inset + 0.5;
    if u.abs() < 0.97 && v > upper - margin && v < lower + margin {
        return true;
    }
    let beside = 0.16 * lips.axes.half;
    let middle =
        lips.axes.point(0.0, (lips.lower_inner.0[Curve::MIDDLE] + lips.lower_outer.0[Curve::MIDDLE]) / 2.0);
    let lip = luma(photo.linear(middle[0], middle[1]));
    let (x, y) = (p[0] as i32, p[1] as i32);
    // With its neighbours, so that the half-dark pixels around go too.
    let darkest = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
        .map(|(dx, dy)| luma(photo.at(x + dx, y + dy)))
        .into_iter()
        .fold(f32::MAX, f32::min);
    u.abs() > 0.6 && v > upper - beside && v < lower + beside && darkest < 0.76 * lip
}

/// Mean colour of the pixels that touch `holes` and are none.
fn mean_beside(photo: &Raster, holes: &[(i32, i32)]) -> Colour {
    let set: std::collections::BTreeSet<_> = holes.iter().copied().collect();
    let (mut sum, mut count) = ([0.0; 4], 0.0_f32);
    for &(x, y) in holes {
        for beside in [(x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)] {
            if !set.contains(&beside) {
                let c = photo.at(beside.0, beside.1);
                sum = std::array::from_fn(|k| sum[k] + c[k]);
                count += 1.0;
            }
        }
    }
    sum.map(|s| s / count.max(1.0))
}
