//! How the head sways against a still background: a tilt about the neck, a shift, and a turn or nod that moves
//! what stands out of the face further than its rim.

use super::geometry::{Point, distance, middle};
use crate::ease::smoothstep;
use crate::motion::MotionFrame;

/// Share of the head's way that the camera goes with it.
const FOLLOWS: f32 = 0.25;

/// Where the head is and how it hangs on the neck.
pub(crate) struct Head {
    centre: Point,
    radii: Point,
    pivot: Point,
    /// Distance between the eyes in pixels.
    eyes: f32,
    /// Row of the chin.
    chin: f32,
}

/// One frame's sway in pixels and radians.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sway {
    tilt: f32,
    shift: Point,
    turn: Point,
    /// How far the chest is up, in pixels.
    breath: f32,
}

/// How much a pixel takes part.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Share {
    /// In tilt and shift: 1 on the head, 0 on the background.
    pub(crate) sway: f32,
    /// In turn and nod: 1 at the nose, 0 at the rim.
    pub(crate) depth: f32,
    /// In breathing: 1 from the shoulders down.
    pub(crate) body: f32,
}

impl Head {
    /// From the 68 landmarks.
    pub(crate) fn new(points: &[Point; 68]) -> Self {
        let eye = |from: usize| super::geometry::mean(&points[from..from + 6]);
        let (left, right) = (eye(36), eye(42));
        let width = distance(points[0], points[16]).max(8.0);
        let height = distance(points[27], points[8]).max(8.0);
        let temples = middle(points[0], points[16]);
        Head {
            centre: [temples[0], middle(left, right)[1] + 0.10 * height],
            radii: [0.78 * width, 1.35 * height],
            pivot: [points[8][0], points[8][1] + 0.45 * height],
            eyes: distance(left, right).max(4.0),
            chin: points[8][1],
        }
    }

    /// Distance between the eyes in pixels.
    pub(crate) fn eyes(&self) -> f32 {
        self.eyes
    }

    /// Which part of the sway the pixel at `p` takes. Where the figure is `apart` from its background all of it sways; else
    /// the background bends with it, and less the further away it is.
    pub(crate) fn share(&self, p: Point, apart: bool) -> Share {
        let (x, y) = ((p[0] - self.centre[0]) / self.radii[0], (p[1] - self.centre[1]) / self.radii[1]);
        let out = x.hypot(y);
        // Below the chin the shoulders hold still.
        let neck = 1.0 - smoothstep(self.chin, self.chin + 1.1 * self.radii[0], p[1]);
        let near = if apart { 1.0 } else { 1.0 - smoothstep(0.95, 2.1, out) };
        let rise = (1.0 - out * out).max(0.0);
        Share {
            sway: near * neck,
            depth: rise * rise.sqrt() * neck,
            body: if apart { smoothstep(self.chin, self.chin + 1.6 * self.radii[0], p[1]) } else { 0.0 },
        }
    }

    /// A frame's sway.
    pub(crate) fn sway(&self, frame: &MotionFrame) -> Sway {
        Sway {
            tilt: frame.tilt.clamp(-0.2, 0.2),
            shift: frame.shift.map(|s| s.clamp(-0.3, 0.3) * self.eyes),
            turn: [
                frame.turn.clamp(-1.0, 1.0) * 0.16 * self.eyes,
                frame.nod.clamp(-1.0, 1.0) * 0.12 * self.eyes,
            ],
            breath: frame.breath.clamp(0.0, 1.0) * 0.035 * self.eyes,
        }
    }

    /// Where in the background the pixel at `p` is: the camera follows the head a little, and what is far away moves against it.
    #[inline]
    pub(crate) fn behind(&self, p: Point, sway: &Sway) -> Point {
        [p[0] + FOLLOWS * sway.shift[0], p[1] + FOLLOWS * sway.shift[1]]
    }

    /// Where on the unmoved head the pixel at `p` is.
    #[inline]
    pub(crate) fn back(&self, p: Point, share: Share, sway: &Sway) -> Point {
        let (rx, ry) = (p[0] - self.pivot[0], p[1] - self.pivot[1]);
        let angle = sway.tilt * share.sway;
        [
            p[0] + angle * ry - share.sway * sway.shift[0] - share.depth * sway.turn[0],
            // The shoulders rise with the chest, and the head a little with them.
            p[1] - angle * rx - share.sway * sway.shift[1] - share.depth * sway.turn[1]
                + (share.body + 0.3 * share.sway) * sway.breath,
        ]
    }
}
