//! `read_portrait`: a picture of the user's, cropped to its one face, scaled, with the face's landmarks. A photographed
//! face is looked for first, then a drawn one. Where no face is found, rulers are shown that it can be placed with.

use crate::landmarks::{self, Landmarks};
use crate::matte;
use crate::portrait;
use crate::step::{Inputs, Report, Run, StepError, StepOutput, in_range, input, media_fault, model_fault};
use spinbot::{Fault, face::PlacedFace, steps::ReadPortrait};
use spinbot_media::picture::{self, Caps};
use spinbot_media::{MediaError, RgbImage, ruler};
use spinbot_models::Device;
use spinbot_models::faces::{
    DrawnFace, DrawnFaceFinder, FaceBox, FaceDetector, FaceMesh, Landmarker, Points,
};

/// Score from which a box counts as a face.
const NEED: f32 = 0.5;
/// Score from which four points count as a drawn face.
const NEED_DRAWN: f32 = 0.5;
/// Narrowest photographed face that still has lips to move, in pixels of the picture.
const MIN_FACE: f32 = 40.0;
/// As [`MIN_FACE`], of a drawn face or one placed by hand: few lines survive being enlarged.
const MIN_PLACED_FACE: f32 = 28.0;
/// As [`MIN_FACE`], in pixels of the video.
const MIN_SHOWN_FACE: f32 = 32.0;
/// How sure the mesh must be of its face, and how far it may lie from the landmarks, in distances between the eyes.
const MESH: f32 = 0.5;
const MESH_OFF: f32 = 0.12;
/// Sides of a video are multiples of this.
const BLOCK: u32 = 16;
/// Height of brow-to-chin in a head-and-shoulders crop.
const FACE_SHARE: f32 = 0.36;

impl Run for ReadPortrait {
    const MODELS: &'static [&'static str] =
        &["face-detector", "face-landmarks", "drawn-faces", "face-mesh", "matte"];

    fn check(&self) -> Result<(), Fault> {
        in_range("size", self.size, 128, 1024)
    }

    fn run(
        &self,
        inputs: &Inputs,
        _seed: u64,
        report: &mut dyn Report,
    ) -> Result<Vec<StepOutput>, StepError> {
        let fault = |error: MediaError| media_fault(error, "portrait");
        let source = input(inputs, "portrait")?;
        let photo = picture::read(&source.path, &source.label, &Caps::default()).map_err(fault)?;
        report.progress(1.0, 5.0, "parts");
        let device = Device::cpu();
        let named = Named::new(&source.label, self.bot.as_deref());
        let found = match &self.face {
            Some(face) => {
                let face = inside(face, &photo, &named)?;
                // Whether it is a drawing's decides how it moves.
                let seen = drawn_face(&photo, &device)?.score;
                Found::Placed { face, score: 1.0, drawn: seen >= NEED_DRAWN }
            }
            None => the_one_face(&photo, &named, &device, report).inspect_err(|_| {
                // From here the user can tell where it is.
                if let Ok(rulers) = picture::jpeg_bytes(&ruler::with_rulers(&photo), 88) {
                    report.preview("rulers", "image/jpeg", &rulers);
                }
            })?,
        };
        let drawn = matches!(found, Found::Placed { drawn: true, .. });
        let (points, score, landmarker, need) = match found {
            Found::Placed { face, score, .. } => {
                (landmarks::placed(&face, &photo), score, None, MIN_PLACED_FACE)
            }
            Found::Photographed(face) => {
                let landmarker = Landmarker::load(&device).map_err(model_fault)?;
                (find(&landmarker, &photo, &face)?, face.score, Some(landmarker), MIN_FACE)
            }
        };
        let [left, top, right, bottom] = Landmarks::bounds(&points);
        if right - left < need {
            let width = (right - left).max(0.0);
            return Err(Fault::new(format!(
                "{}: the face is {width:.0} px wide, need {need:.0}",
                named.what
            ))
            .help(named.help("use a picture with a face at least 128 px wide"))
            .about(if self.face.is_some() { "face" } else { named.argument })
            .into());
        }
        report.progress(2.0, 5.0, "parts");
        if report.cancelled() {
            return Err(StepError::Cancelled);
        }
        let window = if self.keep_aspect {
            whole(photo.dimensions(), self.size)
        } else {
            head_and_shoulders(photo.dimensions(), [left, top, right, bottom], self.size)
        };
        let cut =
            image::imageops::crop_imm(&photo, window.x, window.y, window.width, window.height).to_image();
        let picture = picture::resize(&cut, window.to_width, window.to_height);
        let (sx, sy) =
            (window.to_width as f32 / window.width as f32, window.to_height as f32 / window.height as f32);
        let moved = FaceBox {
            score,
            x: (left - window.x as f32) * sx,
            y: (top - window.y as f32) * sy,
            w: (right - left) * sx,
            h: (bottom - top) * sy,
        };
        // The square around a face never makes it that small.
        if self.keep_aspect && moved.w < MIN_SHOWN_FACE {
            let (width, height) = (window.to_width, window.to_height);
            return Err(Fault::new(format!(
                "{}: the face is {:.0} px wide in a video of {width}x{height}, need {MIN_SHOWN_FACE:.0}",
                named.what, moved.w
            ))
            .help("crop the photo closer to the face, or leave --keep-aspect away")
            .about("portrait")
            .into());
        }
        let (points, mesh) = match &landmarker {
            Some(landmarker) => meshed(find(landmarker, &picture, &moved)?, &picture, &device)?,
            None => {
                let moved = |[x, y]: [f32; 2]| [(x - window.x as f32) * sx, (y - window.y as f32) * sy];
                (points.map(moved), Vec::new())
            }
        };
        let (width, height) = (window.to_width, window.to_height);
        let landmarks = Landmarks { width, height, score, drawn, points: points.to_vec(), mesh };
        report.progress(3.0, 5.0, "parts");
        if report.cancelled() {
            return Err(StepError::Cancelled);
        }
        let (matte, found) = matte::of(&picture, &landmarks)?;
        if found == matte::Found::Nothing {
            report.log("figure and background could not be told apart: the background moves with the head");
        }
        report.progress(4.0, 5.0, "parts");
        let overlay = picture::jpeg_bytes(&landmarks.drawn_on(&picture), 88).map_err(fault)?;
        report.preview("overlay", "image/jpeg", &overlay);
        let json = serde_json::to_vec(&landmarks)
            .map_err(|error| Fault::new(format!("the landmarks could not be written: {error}")))?;
        let png = picture::png_bytes(&picture).map_err(fault)?;
        let mut matte_png = std::io::Cursor::new(Vec::new());
        matte
            .write_to(&mut matte_png, image::ImageFormat::Png)
            .map_err(|error| Fault::new(format!("the matte could not be written: {error}")))?;
        report.progress(5.0, 5.0, "parts");
        Ok(vec![
            StepOutput { name: "picture", media_type: "image/png", bytes: png },
            StepOutput { name: "landmarks", media_type: "application/json", bytes: json },
            StepOutput { name: "matte", media_type: "image/png", bytes: matte_png.into_inner() },
            StepOutput { name: "overlay", media_type: "image/jpeg", bytes: overlay },
        ])
    }
}

fn find(landmarker: &Landmarker, picture: &RgbImage, face: &FaceBox) -> Result<[[f32; 2]; 68], Fault> {
    landmarker
        .landmarks_refined(picture.as_raw(), picture.width(), picture.height(), face)
        .map_err(model_fault)
}

/// The mesh over a face whose landmarks are roughly known, with its own landmarks; the rough ones where it sees no face or
/// another one.
fn meshed(rough: Points, picture: &RgbImage, device: &Device) -> Result<(Points, Vec<[f32; 2]>), Fault> {
    let network = FaceMesh::load(device).map_err(model_fault)?;
    let (width, height) = picture.dimensions();
    let mesh = network.lay(picture.as_raw(), width, height, &rough).map_err(model_fault)?;
    let points = mesh.landmarks();
    let apart = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
    let eyes = apart(rough[36], rough[45]);
    // Jaw and brows are drawn differently; eyes, nose and lips are not.
    let off = rough[27..].iter().zip(&points[27..]).map(|(a, b)| apart(*a, *b)).sum::<f32>() / 41.0;
    match mesh.presence >= MESH && off <= MESH_OFF * eyes {
        true => Ok((points, mesh.points)),
        false => Ok((rough, Vec::new())),
    }
}

/// How messages call the picture, and which argument they are about.
struct Named {
    what: String,
    argument: &'static str,
}

impl Named {
    fn new(label: &str, bot: Option<&str>) -> Self {
        match bot {
            Some(bot) => Named { what: format!("the drawing of {bot}"), argument: "bot" },
            None => Named { what: label.to_owned(), argument: "portrait" },
        }
    }

    /// What helps: another picture, as `other` says, or another drawing.
    fn help(&self, other: &str) -> String {
        let drawn = self.argument == "bot";
        if drawn { "draw another with --seed or another --stage".to_owned() } else { other.to_owned() }
    }
}

/// A face that was found or placed.
enum Found {
    /// A photograph's, whose landmarks a network sees.
    Photographed(FaceBox),
    /// Four points, how sure they are, and whether the face is drawn: the landmarks are laid over them.
    Placed { face: PlacedFace, score: f32, drawn: bool },
}

/// What may be the face of a drawing.
fn drawn_face(photo: &RgbImage, device: &Device) -> Result<DrawnFace, Fault> {
    let finder = DrawnFaceFinder::load(device).map_err(model_fault)?;
    finder.find(photo.as_raw(), photo.width(), photo.height()).map_err(model_fault)
}

/// The face that was placed, all of whose points lie in the picture.
fn inside(face: &PlacedFace, photo: &RgbImage, named: &Named) -> Result<PlacedFace, Fault> {
    let (width, height) = photo.dimensions();
    let within = |[x, y]: &[f32; 2]| (0.0..=width as f32).contains(x) && (0.0..=height as f32).contains(y);
    match face.eyes.iter().chain(&face.mouth).find(|point| !within(point)) {
        None => Ok(*face),
        Some([x, y]) => {
            let what = &named.what;
            Err(Fault::new(format!("{what}: it has {width}x{height} pixels, and {x},{y} is outside"))
                .help("the points are in pixels from the picture's top left corner")
                .about("face"))
        }
    }
}

/// A face that a network is sure of: a photograph's, else a drawing's. One that both see in flat colours is a drawing's.
fn the_one_face(
    photo: &RgbImage,
    named: &Named,
    device: &Device,
    report: &mut dyn Report,
) -> Result<Found, Fault> {
    const PLACE: &str = "place it by hand by the rulers shown: `--face \"X,Y X,Y X,Y X,Y\"`, left eye, right eye, the \
                         mouth's left and right corner";
    let what = &named.what;
    let detector = FaceDetector::load(device).map_err(model_fault)?.with_threshold(NEED);
    let (faces, best) =
        detector.search(photo.as_raw(), photo.width(), photo.height()).map_err(model_fault)?;
    let seen = match faces.as_slice() {
        [face] => {
            let points = find(&Landmarker::load(device).map_err(model_fault)?, photo, face)?;
            if !portrait::looks_drawn(photo.as_raw(), photo.dimensions(), &points) {
                return Ok(Found::Photographed(*face));
            }
            Some(*face)
        }
        [] => None,
        many => {
            return Err(Fault::new(format!("{what}: {} faces found, need exactly one", many.len()))
                .help(format!("{}, or {PLACE}", named.help("crop the photo to one person")))
                .about(named.argument));
        }
    };
    let drawn = drawn_face(photo, device)?;
    // Four points that make no face are none, however sure.
    let face = PlacedFace::new(drawn.eyes, drawn.mouth).and_then(|face| inside(&face, photo, named));
    if let (true, Ok(face)) = (drawn.score >= NEED_DRAWN, face) {
        report.log(&format!("a drawn face was found (score {:.2}): look at the landmarks", drawn.score));
        return Ok(Found::Placed { face, score: drawn.score, drawn: true });
    }
    if let Some(face) = seen {
        return Ok(Found::Photographed(face));
    }
    let scores = format!("best score {best:.2} as a photo, {:.2} as a drawing, need {NEED:.2}", drawn.score);
    let other = named.help("use a front-facing picture with a face at least 128 px wide");
    Err(Fault::new(format!("{what}: no face found ({scores})"))
        .help(format!("{other}, or {PLACE}"))
        .about(named.argument))
}

/// A part of the photo and the size it is scaled to, in pixels.
#[derive(Debug, PartialEq)]
struct Window {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
    to_width: u32,
    to_height: u32,
}

fn block(side: f32) -> u32 {
    ((side / BLOCK as f32).round() as u32).max(1) * BLOCK
}

/// A square around the face, within the photo.
fn head_and_shoulders((width, height): (u32, u32), face: [f32; 4], size: u32) -> Window {
    let [left, top, right, bottom] = face;
    let tall = (bottom - top).max(right - left);
    // The landmarks end at the brows. A square smaller than the video would have to be enlarged: better show
    // somewhat more of the photo.
    let tight = tall / FACE_SHARE;
    let side = tight.max((size as f32).min(1.1 * tight)).min(width.min(height) as f32).floor();
    let place = |middle: f32, share: f32, length: u32| {
        (middle - share * side).clamp(0.0, length as f32 - side).round() as u32
    };
    let to = block(size as f32);
    Window {
        x: place((left + right) / 2.0, 0.5, width),
        y: place((top + bottom) / 2.0, 0.47, height),
        width: side as u32,
        height: side as u32,
        to_width: to,
        to_height: to,
    }
}

/// The whole photo but for the strip that makes its sides multiples of a block.
fn whole((width, height): (u32, u32), size: u32) -> Window {
    let scale = size as f32 / width.max(height) as f32;
    let (to_width, to_height) = (block(width as f32 * scale), block(height as f32 * scale));
    let fit = (width as f32 / to_width as f32).min(height as f32 / to_height as f32);
    let (w, h) = ((to_width as f32 * fit).floor() as u32, (to_height as f32 * fit).floor() as u32);
    let (w, h) = (w.clamp(1, width), h.clamp(1, height));
    Window { x: (width - w) / 2, y: (height - h) / 2, width: w, height: h, to_width, to_height }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_lie_within_the_photo_and_end_in_blocks() {
        let cases = [
            ((512, 512), [176.0, 86.0, 271.0, 178.0], 512),
            ((4000, 3000), [1800.0, 900.0, 2300.0, 1450.0], 512),
            ((300, 900), [100.0, 10.0, 200.0, 120.0], 256),
            ((900, 300), [-3.0, 180.0, 90.0, 302.0], 1024),
        ];
        for ((width, height), face, size) in cases {
            for window in [head_and_shoulders((width, height), face, size), whole((width, height), size)] {
                assert!(window.x + window.width <= width && window.y + window.height <= height, "{window:?}");
                assert!(window.to_width % BLOCK == 0 && window.to_height % BLOCK == 0, "{window:?}");
                assert!(window.to_width.max(window.to_height) <= size + BLOCK / 2, "{window:?}");
                let shape = |w: u32, h: u32| w as f32 / h as f32;
                let ratio = shape(window.width, window.height) / shape(window.to_width, window.to_height);
                assert!((ratio - 1.0).abs() < 0.02, "{window:?}");
            }
        }
    }
}
