//! The portrait renderer: one photo and its 68 landmarks in, one frame of a moving face out.
//!
//! Every output pixel is traced back through head sway, skin, lids and lips to one place in the photo and sampled
//! there once, so nothing is blurred twice. Sound, files and video are not known here.

mod backdrop;
mod cavity;
mod drawn;
mod field;
mod fill;
mod flat_eye;
mod gaze;
mod geometry;
mod head;
mod lids;
mod lips;
mod lower_face;
mod mouth;
mod raster;

use crate::motion::MotionFrame;
use backdrop::Backdrop;
use cavity::Cavity;
use field::{Backward, Field};
use flat_eye::FlatEye;
use gaze::Iris;
use geometry::{Curve, Point, SAMPLES, mean, middle, minus};
use head::{Head, Share};
use lids::Lid;
use lips::Lips;
pub(crate) use lower_face::{FaceBox, LowerFace};
use mouth::Mouth;
pub(crate) use raster::luma;
use raster::{Colour, Raster, mix, scaled, tinted};
use spinbot_models::faces::{Mesh, MeshPart};

/// A photo ready to be moved.
pub(crate) struct Portrait {
    photo: Raster,
    /// The photo without what its lips show between them.
    skin: Raster,
    /// The photo's own bytes: what does not move is copied from here.
    still: Vec<u8>,
    lips: Lips,
    lids: [Lid; 2],
    /// The eyes of a drawing, in place of lids; nothing of a photo.
    flat_eyes: Option<Vec<FlatEye>>,
    irises: Vec<Iris>,
    /// What is behind the figure, where that is known.
    backdrop: Option<Backdrop>,
    cavity: Cavity,
    head: Head,
    field: Field,
    controls: Vec<Control>,
    shares: Vec<Share>,
    /// Per row, the columns in which anything may move.
    moving: Vec<std::ops::Range<usize>>,
}

/// Where a face's features are in a photo.
pub(crate) struct Shape<'a> {
    pub(crate) points: &'a [Point; 68],
    pub(crate) mesh: Option<&'a Mesh>,
}

impl Shape<'_> {
    /// A line of the mesh, or the landmarks that lie on it.
    fn line(&self, part: MeshPart, landmarks: &[usize]) -> Vec<Point> {
        match self.mesh {
            Some(mesh) => mesh.line(part),
            None => landmarks.iter().map(|&n| self.points[n]).collect(),
        }
    }
}

/// What a control point of the skin follows.
struct Control {
    rest: Point,
    follows: Follows,
}

enum Follows {
    /// Nothing: it pins the skin.
    Bone,
    /// The chin, by this share.
    Jaw(f32),
    /// The brows, by this share.
    Brow(f32),
    /// The outer edge of a lip, at this `u`.
    UpperLip(f32),
    LowerLip(f32),
}

/// What talks in one frame.
enum Talking<'a> {
    /// The photo's own lips, posed.
    Lips(&'a Mouth),
    /// A lower face over a photo that keeps its mouth.
    LowerFace(&'a LowerFace),
}

/// What a thread keeps between frames.
#[derive(Default)]
pub(crate) struct Scratch {
    solved: Backward,
    displacements: Vec<Point>,
}

impl Portrait {
    /// `rgb` holds `3 * width * height` bytes; `matte` the figure's share of each pixel, 0..=255; `points` are the 68 landmarks
    /// in its pixels, `mesh` the mesh over the face, where one fits; `drawn` says that the face is known to be drawn, else it is
    /// seen whether it looks so.
    pub(crate) fn new(
        rgb: Vec<u8>,
        matte: &[u8],
        (width, height): (usize, usize),
        points: &[Point; 68],
        mesh: Option<Mesh>,
        drawn: bool,
    ) -> Self {
        let photo = Raster::from_rgb(&rgb, width, height);
        // Landmarks count from the corner of the first pixel, samples from its centre.
        let centred = |p: Point| p.map(|c| c - 0.5);
        let points = &points.map(centred);
        let mesh = mesh.map(|mesh| Mesh { points: mesh.points.into_iter().map(centred).collect(), ..mesh });
        let mesh = mesh.as_ref();
        let shape = Shape { points, mesh };
        let is_drawn = drawn || drawn::is_drawn(&photo, points);
        let lips = is_drawn.then(|| drawn::lips(&photo, points)).flatten();
        let lips = lips.unwrap_or_else(|| Lips::read(&photo, &shape));
        let brow = |range: std::ops::Range<usize>| mean(&points[range]);
        let lids = [
            (36..42, brow(18..21), [MeshPart::LeftUpperLid, MeshPart::LeftLowerLid]),
            (42..48, brow(23..26), [MeshPart::RightUpperLid, MeshPart::RightLowerLid]),
        ]
        .map(|(eye, brow, [top, bottom])| match mesh {
            Some(mesh) => Lid::along(&mesh.line(top), &mesh.line(bottom), brow),
            None => Lid::read(&photo, &points[eye], brow),
        });
        // Without a mesh the lids' edges are not known well enough to tell white from skin.
        let irises =
            lids.iter().filter(|_| mesh.is_some()).filter_map(|lid| Iris::find(&photo, lid)).collect();
        let flat_eyes = is_drawn.then(|| FlatEye::both(&photo, points));
        let backdrop = Backdrop::new(&photo, matte);
        let cheeks = [[1, 31], [2, 48], [15, 35], [14, 54]].map(|[a, b]| {
            let p = middle(points[a], points[b]);
            photo.linear(p[0], p[1])
        });
        let cheek = std::array::from_fn(|k| cheeks.iter().map(|c| c[k]).sum::<f32>() / 4.0);
        let lip = lips.axes.point(0.0, (lips.lower_inner.at(0.0) + lips.lower_outer.at(0.0)) / 2.0);
        let cavity = Cavity::new(&lips, cheek, lips.ink.unwrap_or_else(|| photo.linear(lip[0], lip[1])));
        let skin = fill::without_mouth(&photo, &lips);
        let head = Head::new(points);
        let controls = controls(points, &lips);
        let rest: Vec<Point> = controls.iter().map(|c| c.rest).collect();
        let field = Field::new(face_box(points, head.eyes()), &rest);
        let mut shares = Vec::with_capacity(width * height);
        let mut moving = Vec::with_capacity(height);
        for y in 0..height {
            let row = shares.len();
            shares.extend((0..width).map(|x| head.share([x as f32, y as f32], backdrop.is_some())));
            let moves = |s: &Share| backdrop.is_some() || s.sway > 0.0 || s.depth > 0.0;
            let first = shares[row..].iter().position(moves).unwrap_or(width);
            let last = shares[row..].iter().rposition(moves).map_or(first, |x| x + 1);
            moving.push(first..last);
        }
        Portrait {
            photo,
            skin,
            still: rgb,
            lips,
            lids,
            flat_eyes,
            irises,
            backdrop,
            cavity,
            head,
            field,
            controls,
            shares,
            moving,
        }
    }

    /// The photo's bytes.
    pub(crate) fn photo(&self) -> &[u8] {
        &self.still
    }

    /// Draws one frame into `out`, as many bytes as the photo had. With a lower face that one talks, whatever the motion
    /// says of the mouth.
    pub(crate) fn draw(
        &self,
        frame: &MotionFrame,
        lower_face: Option<&LowerFace>,
        scratch: &mut Scratch,
        out: &mut [u8],
    ) {
        let mouth;
        let talking = match lower_face {
            Some(lower_face) => Talking::LowerFace(lower_face),
            None => {
                mouth = Mouth::pose(&self.lips, frame);
                Talking::Lips(&mouth)
            }
        };
        scratch.displacements.clear();
        scratch.displacements.extend(self.controls.iter().map(|c| self.displacement(c, &talking, frame)));
        self.field.solve(&scratch.displacements, &mut scratch.solved);
        let sway = self.head.sway(frame);
        let width = self.photo.width;
        out.copy_from_slice(&self.still);
        for (y, columns) in self.moving.iter().enumerate() {
            for x in columns.clone() {
                let at = y * width + x;
                let here = [x as f32, y as f32];
                let on_head = self.head.back(here, self.shares[at], &sway);
                let back = self.field.back(&scratch.solved, on_head);
                let skin = [on_head[0] + back[0], on_head[1] + back[1]];
                let colour = match self.backdrop.as_ref().map(|backdrop| (backdrop, backdrop.share(skin))) {
                    Some((backdrop, share)) if share < 1.0 => {
                        let behind = backdrop.colour(self.head.behind(here, &sway));
                        match share > 0.0 {
                            true => mix(behind, self.trace(on_head, skin, &talking, frame), share),
                            false => behind,
                        }
                    }
                    _ => self.trace(on_head, skin, &talking, frame),
                };
                for (o, c) in out[3 * at..3 * at + 3].iter_mut().zip(colour) {
                    *o = (c + 0.5).clamp(0.0, 255.0) as u8;
                }
            }
        }
    }

    /// The colour of a point `p` of the posed, unswayed head, whose skin is at `skin` in the photo.
    #[inline]
    fn trace(&self, p: Point, skin: Point, talking: &Talking, frame: &MotionFrame) -> Colour {
        if let Talking::Lips(mouth) = talking
            && let Some(lip) = mouth.pixel(&self.lips, p)
        {
            let w = lip.weight;
            let source = [skin[0] + (lip.source[0] - skin[0]) * w, skin[1] + (lip.source[1] - skin[1]) * w];
            let mut colour = [0.0; 4];
            if let Some(ink) = self.lips.ink {
                colour = mix(self.skin.cubic(skin[0], skin[1]), ink, w);
            } else if lip.inside < 1.0 {
                let light = mix([1.0; 4], lip.light, w);
                colour = tinted(self.skin.cubic(source[0], source[1]), light);
            }
            if lip.inside > 0.0 {
                colour = mix(colour, self.cavity.colour(&self.photo, &self.lips, mouth, p), lip.inside);
            }
            return colour;
        }
        let looked = self.irises.iter().find_map(|iris| iris.looked(skin, frame.gaze)).unwrap_or(skin);
        let shut = frame.blink.clamp(0.0, 1.0);
        let mut flat = self.flat_eyes.iter().flatten().filter(|_| shut > 0.0);
        let pressed = flat.find_map(|eye| eye.pressed(skin, shut));
        let looked = pressed.as_ref().map_or(looked, |pixel| pixel.source);
        if shut > 0.0 && self.flat_eyes.is_none() {
            for lid in &self.lids {
                let [left, top, right, bottom] = lid.bounds();
                if skin[0] < left || skin[0] > right || skin[1] < top || skin[1] > bottom {
                    continue;
                }
                if let Some(pixel) = lid.pixel(skin, shut) {
                    let eye = scaled(self.photo.cubic(looked[0], looked[1]), pixel.under);
                    let lid = self.photo.cubic(pixel.source[0], pixel.source[1]);
                    return mix(eye, scaled(lid, pixel.light), pixel.cover);
                }
            }
        }
        let colour = match talking {
            Talking::Lips(_) => self.skin.cubic(looked[0], looked[1]),
            Talking::LowerFace(face) => face.over(looked, self.photo.cubic(looked[0], looked[1])),
        };
        pressed.map_or(colour, |pixel| mix(colour, pixel.line, pixel.cover))
    }

    fn displacement(&self, control: &Control, talking: &Talking, frame: &MotionFrame) -> Point {
        let brow = |share: f32| [0.0, -share * frame.brow.clamp(-1.0, 1.0) * 0.07 * self.head.eyes()];
        let mouth = match (talking, &control.follows) {
            (Talking::Lips(mouth), _) => mouth,
            (Talking::LowerFace(_), Follows::Brow(share)) => return brow(*share),
            (Talking::LowerFace(_), _) => return [0.0; 2],
        };
        let lip = |u: f32, v: f32| {
            let p = mouth.axes.point(u, v);
            [p[0] - control.rest[0], p[1] - control.rest[1]]
        };
        match control.follows {
            Follows::Bone => [0.0; 2],
            // A drawn mouth is laid over skin without one.
            Follows::UpperLip(_) | Follows::LowerLip(_) if self.lips.ink.is_some() => [0.0; 2],
            // Along the face's own axis, which a tilted head does not share with the picture.
            Follows::Jaw(share) => minus(mouth.axes.point(0.0, share * mouth.chin), mouth.axes.centre),
            Follows::Brow(share) => brow(share),
            Follows::UpperLip(u) => lip(u, mouth.upper_outer.at(u)),
            Follows::LowerLip(u) => lip(u, mouth.lower_outer.at(u)),
        }
    }
}

/// Whether the face with these landmarks looks drawn, in a picture of `3 * width * height` bytes.
pub(crate) fn looks_drawn(rgb: &[u8], (width, height): (u32, u32), points: &[Point; 68]) -> bool {
    drawn::is_drawn(&Raster::from_rgb(rgb, width as usize, height as usize), points)
}

/// The box of skin that moves, with room around the face.
fn face_box(points: &[Point; 68], eyes: f32) -> [f32; 4] {
    let fold =
        |axis: usize, pick: fn(f32, f32) -> f32, from: f32| points.iter().map(|p| p[axis]).fold(from, pick);
    [
        fold(0, f32::min, f32::MAX) - 0.25 * eyes,
        fold(1, f32::min, f32::MAX) - 0.45 * eyes,
        fold(0, f32::max, f32::MIN) + 0.25 * eyes,
        fold(1, f32::max, f32::MIN) + 0.55 * eyes,
    ]
}

fn controls(points: &[Point; 68], lips: &Lips) -> Vec<Control> {
    /// Share of the chin's way, from the ear to the chin.
    const JAW: [f32; 9] = [0.0, 0.0, 0.04, 0.12, 0.30, 0.56, 0.82, 0.96, 1.0];
    let mut all = Vec::new();
    for (i, &rest) in points[..17].iter().enumerate() {
        all.push(Control { rest, follows: Follows::Jaw(JAW[i.min(16 - i)]) });
    }
    for (i, &rest) in points[17..27].iter().enumerate() {
        // The inner ends move most.
        let share = [0.5, 0.75, 0.9, 1.0, 1.0][i.min(9 - i)];
        all.push(Control { rest, follows: Follows::Brow(share) });
    }
    let bones = [27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 39, 40, 41, 42, 45, 46, 47];
    all.extend(bones.map(|i| Control { rest: points[i], follows: Follows::Bone }));
    for k in 0..=8_u8 {
        let i = usize::from(k) * (SAMPLES - 1) / 8;
        let u = Curve::u(i);
        all.push(Control { rest: lips.axes.point(u, lips.upper_outer.0[i]), follows: Follows::UpperLip(u) });
        if k > 0 && k < 8 {
            all.push(Control {
                rest: lips.axes.point(u, lips.lower_outer.0[i]),
                follows: Follows::LowerLip(u),
            });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A face's landmarks, roughly, in a square of `side` pixels.
    fn sketch(side: f32) -> [Point; 68] {
        let arc = |from: Point, to: Point, sag: f32, k: usize, n: usize| {
            let t = k as f32 / (n - 1) as f32;
            let bow = 4.0 * t * (1.0 - t) * sag;
            [from[0] + (to[0] - from[0]) * t, from[1] + (to[1] - from[1]) * t + bow]
        };
        let features: [(Point, Point, f32, usize); 12] = [
            ([0.25, 0.40], [0.75, 0.40], 0.40, 17),
            ([0.28, 0.34], [0.45, 0.34], -0.03, 5),
            ([0.55, 0.34], [0.72, 0.34], -0.03, 5),
            ([0.50, 0.40], [0.50, 0.54], 0.0, 4),
            ([0.44, 0.57], [0.56, 0.57], 0.02, 5),
            ([0.32, 0.41], [0.43, 0.41], -0.03, 4),
            ([0.41, 0.43], [0.35, 0.43], 0.0, 2),
            ([0.57, 0.41], [0.68, 0.41], -0.03, 4),
            ([0.65, 0.43], [0.59, 0.43], 0.0, 2),
            ([0.38, 0.66], [0.62, 0.66], -0.02, 7),
            ([0.58, 0.69], [0.42, 0.69], 0.02, 5),
            ([0.39, 0.66], [0.61, 0.66], 0.0, 5),
        ];
        let mut points = Vec::new();
        for (from, to, sag, n) in features {
            points.extend((0..n).map(|k| arc(from, to, sag, k, n)));
        }
        points.extend((0..3).map(|k| arc([0.56, 0.67], [0.44, 0.67], 0.0, k, 3)));
        std::array::from_fn(|i| points[i].map(|c| c * side))
    }

    fn speckled(width: usize, height: usize) -> Vec<u8> {
        (0..3 * width * height).map(|i| (i * 7919 % 251) as u8).collect()
    }

    #[test]
    fn the_head_moves_and_the_background_never_does() {
        let (width, height) = (128, 160);
        let rgb = speckled(width, height);
        let matte = vec![255; width * height];
        let portrait = Portrait::new(rgb.clone(), &matte, (width, height), &sketch(96.0), None, false);
        let mut out = vec![0; rgb.len()];
        let lively = MotionFrame {
            jaw: 0.8,
            blink: 0.7,
            tilt: 0.1,
            turn: 1.0,
            shift: [0.2, 0.1],
            ..Default::default()
        };
        portrait.draw(&lively, None, &mut Scratch::default(), &mut out);
        assert!(out != rgb, "nothing moved");
        let last_rows = 3 * width * (height - 12);
        assert!(out[last_rows..] == rgb[last_rows..], "the shoulders moved");
    }

    #[test]
    fn before_a_known_background_the_head_leaves_it_as_it_is() {
        let (width, height) = (128, 160);
        let rgb = speckled(width, height);
        // A head about the face and a body below it.
        let figure = |at: usize| {
            let (x, y) = ((at % width) as f32, (at / width) as f32);
            ((x - 48.0) / 34.0).hypot((y - 42.0) / 40.0) < 1.0 || (y > 90.0 && (x - 48.0).abs() < 46.0)
        };
        let matte: Vec<u8> = (0..width * height).map(|at| if figure(at) { 255 } else { 0 }).collect();
        let portrait = Portrait::new(rgb.clone(), &matte, (width, height), &sketch(96.0), None, false);
        let mut out = vec![0; rgb.len()];
        let tilted = MotionFrame { tilt: 0.12, turn: 0.8, ..Default::default() };
        portrait.draw(&tilted, None, &mut Scratch::default(), &mut out);
        assert!(out != rgb, "nothing moved");
        // Ten pixels off the figure nothing has changed, not even right beside the head.
        let far = |at: usize| {
            let (x, y) = ((at % width) as i64, (at / width) as i64);
            (-10..=10).all(|dy| {
                (-10..=10).all(|dx| {
                    let (x, y) = (x + dx, y + dy);
                    let inside = (0..width as i64).contains(&x) && (0..height as i64).contains(&y);
                    !inside || !figure((y * width as i64 + x) as usize)
                })
            })
        };
        let background: Vec<usize> = (0..width * height).filter(|at| far(*at)).collect();
        assert!(background.len() > 2000);
        let changed =
            background.iter().filter(|at| out[3 * **at..3 * **at + 3] != rgb[3 * **at..3 * **at + 3]);
        assert_eq!(changed.count(), 0);
        // Breathing lifts the shoulders.
        let breathing = MotionFrame { breath: 1.0, ..Default::default() };
        portrait.draw(&breathing, None, &mut Scratch::default(), &mut out);
        let shoulder = 3 * ((height - 30) * width + 48);
        assert!(out[shoulder..shoulder + 3] != rgb[shoulder..shoulder + 3]);
    }

    #[test]
    fn landmarks_that_make_no_face_are_drawn_without_a_panic() {
        let (width, height) = (96, 64);
        let good = sketch(64.0);
        let cases: [[Point; 68]; 5] = [
            [[32.0, 32.0]; 68],
            good.map(|p| [96.0 - p[0], p[1]]),
            good.map(|p| [p[0], 64.0 - p[1]]),
            good.map(|p| [p[0] - 60.0, p[1] + 50.0]),
            std::array::from_fn(|i| [(i * 37 % 96) as f32, (i * 53 % 64) as f32]),
        ];
        let mut out = vec![0; 3 * width * height];
        for (points, drawn) in cases.into_iter().flat_map(|points| [(points, false), (points, true)]) {
            let matte: Vec<u8> = (0..width * height).map(|at| (at * 31 % 256) as u8).collect();
            let portrait =
                Portrait::new(speckled(width, height), &matte, (width, height), &points, None, drawn);
            for jaw in [0.0, 0.4, 1.0] {
                let frame =
                    MotionFrame { jaw, blink: jaw, round: jaw, turn: -jaw, smile: jaw, ..Default::default() };
                portrait.draw(&frame, None, &mut Scratch::default(), &mut out);
            }
        }
    }
}
