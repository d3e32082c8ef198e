//! From a picture, its landmarks and a motion to a silent clip: what every variant of animating shares. What talks in the
//! frames comes with the variant.
//!
//! Frames are drawn on all cores, a batch at a time, while the batch before is coded in order: memory stays at
//! two batches however long the clip is.

use crate::landmarks::Landmarks;
use crate::motion::Motion;
use crate::portrait::{LowerFace, Portrait, Scratch};
use crate::step::{Inputs, Report, StepError, StepOutput, input, json_input, media_fault};
use crate::subtitles::Subtitles;
use rayon::prelude::*;
use spinbot::Fault;
use spinbot::timing::SpeechTiming;
use spinbot_media::picture::{self, Caps};
use spinbot_media::video::{self, Encoder, VideoSettings};
use spinbot_media::{MediaError, RgbImage, mp4};
use std::ops::Range;

/// An hour at 60 frames a second.
const MAX_FRAMES: usize = 216_000;
/// Longest side of the picture: what `read_portrait` leaves.
const MAX_SIDE: u32 = 1024;
const SHEET_FRAMES: usize = 24;
const SHEET_COLUMNS: u32 = 6;
const SHEET_FRAME_WIDTH: u32 = 212;

/// Lower faces of some frames, or none where the photo's own lips talk.
pub(crate) type LowerFaces<'a> = dyn Fn(Range<usize>) -> Result<Vec<LowerFace>, Fault> + Sync + 'a;

/// What is filmed.
pub(crate) struct Scene {
    pub(crate) portrait: Portrait,
    pub(crate) landmarks: Landmarks,
    pub(crate) motion: Motion,
    subtitles: Option<Subtitles>,
}

impl Scene {
    /// Reads the inputs `picture`, `landmarks`, `motion` and, where there is one, `timing`.
    ///
    /// # Errors
    /// One of them is missing, or is not what it should be.
    pub(crate) fn read(inputs: &Inputs) -> Result<Self, Fault> {
        let source = input(inputs, "picture")?;
        let caps = Caps { min_side: 16, max_side: MAX_SIDE, ..Caps::default() };
        let picture = picture::read(&source.path, &source.label, &caps)
            .map_err(|error| media_fault(error, "portrait"))?;
        let landmarks: Landmarks = json_input(inputs, "landmarks")?;
        let motion: Motion = json_input(inputs, "motion")?;
        let timing: Option<SpeechTiming> =
            inputs.contains_key("timing").then(|| json_input(inputs, "timing")).transpose()?;
        let subtitles = timing.map(|timing| Subtitles::new(&timing, &landmarks)).transpose()?;
        let portrait = portrait_of(picture, &landmarks)?;
        let (total, fps) = (motion.frames.len(), motion.fps);
        if total == 0 || total > MAX_FRAMES || !(1..=60).contains(&fps) {
            return Err(Fault::new(format!("the motion has {total} frames at {fps} a second")));
        }
        Ok(Scene { portrait, landmarks, motion, subtitles })
    }

    fn draw(
        &self,
        number: usize,
        lower_face: Option<&LowerFace>,
        scratch: &mut Scratch,
        frame: &mut RgbImage,
    ) {
        self.portrait.draw(&self.motion.frames[number], lower_face, scratch, frame);
        if let Some(subtitles) = &self.subtitles {
            subtitles.draw((number as f64 + 0.5) / f64::from(self.motion.fps), frame);
        }
    }

    /// Draws and codes every frame: the outputs `video`, `first_frame` and `sheet` of [`spinbot::steps::Animate`], and the
    /// preview `first_frame`. `batch` frames are drawn between two looks at [`Report::cancelled`].
    ///
    /// # Errors
    /// [`StepError::Cancelled`] between two batches; what `lower_faces` cannot draw; what cannot be coded.
    pub(crate) fn film(
        &self,
        quantizer: u8,
        batch: usize,
        lower_faces: &LowerFaces,
        report: &mut dyn Report,
    ) -> Result<Vec<StepOutput>, StepError> {
        let fault = |error: MediaError| media_fault(error, "portrait");
        let (width, height, fps) = (self.landmarks.width, self.landmarks.height, self.motion.fps);
        let total = self.motion.frames.len();
        let mut encoder = Encoder::new(VideoSettings { width, height, fps, quantizer }).map_err(fault)?;
        let first_frame = {
            let mut frame = RgbImage::new(width, height);
            self.draw(0, lower_faces(0..1)?.first(), &mut Scratch::default(), &mut frame);
            picture::jpeg_bytes(&frame, 88).map_err(fault)?
        };
        report.preview("first_frame", "image/jpeg", &first_frame);

        let mut sheet = Sheet::new(total);
        let blank = || vec![RgbImage::new(width, height); batch.min(total)];
        let (mut drawing, mut drawn) = (blank(), blank());
        let mut waiting = 0;
        let mut done = 0;
        for batch in self.motion.frames.chunks(batch).map(Some).chain([None]) {
            if report.cancelled() {
                return Err(StepError::Cancelled);
            }
            let numbers = done + waiting..done + waiting + batch.map_or(0, <[_]>::len);
            let (coded, talked) = rayon::join(
                || {
                    drawn[..waiting].iter().enumerate().try_for_each(|(i, frame)| {
                        sheet.take(done + i, frame);
                        encoder.push(frame)
                    })
                },
                || {
                    let faces = match numbers.is_empty() {
                        true => Vec::new(),
                        false => lower_faces(numbers.clone())?,
                    };
                    let frames = numbers.clone().into_par_iter().zip(&mut drawing).enumerate();
                    frames.for_each_init(Scratch::default, |scratch, (n, (number, frame))| {
                        self.draw(number, faces.get(n), scratch, frame);
                    });
                    Ok::<(), Fault>(())
                },
            );
            coded.map_err(fault)?;
            talked?;
            done += waiting;
            waiting = numbers.len();
            std::mem::swap(&mut drawing, &mut drawn);
            report.progress(done as f64, total as f64, "frames");
        }
        let track = encoder.finish().map_err(fault)?;
        let video = mp4::write(&track, None, &mp4::Tags::default()).map_err(fault)?;
        let columns = SHEET_COLUMNS.min(total as u32);
        let sheet = video::contact_sheet(&sheet.frames, columns).map_err(fault)?;
        let sheet = picture::jpeg_bytes(&sheet, 85).map_err(fault)?;
        Ok(vec![
            StepOutput { name: "video", media_type: "video/mp4", bytes: video },
            StepOutput { name: "first_frame", media_type: "image/jpeg", bytes: first_frame },
            StepOutput { name: "sheet", media_type: "image/jpeg", bytes: sheet },
        ])
    }
}

/// Frames kept for the contact sheet, spread over the whole clip, already small.
struct Sheet {
    wanted: Vec<usize>,
    frames: Vec<RgbImage>,
}

impl Sheet {
    fn new(total: usize) -> Self {
        let count = SHEET_FRAMES.min(total);
        Sheet { wanted: (0..count).map(|k| (2 * k + 1) * total / (2 * count)).collect(), frames: Vec::new() }
    }

    /// Keeps frame `at` if it is wanted; frames come in order.
    fn take(&mut self, at: usize, frame: &RgbImage) {
        if self.wanted.get(self.frames.len()) == Some(&at) {
            let height = (frame.height() * SHEET_FRAME_WIDTH).div_ceil(frame.width());
            self.frames.push(picture::resize(frame, SHEET_FRAME_WIDTH, height));
        }
    }
}

fn portrait_of(picture: RgbImage, landmarks: &Landmarks) -> Result<Portrait, Fault> {
    let (width, height) = picture.dimensions();
    let count = landmarks.points.len();
    let points: Option<[[f32; 2]; 68]> = landmarks.points.clone().try_into().ok();
    // A face may be cut off by the picture's edge, but most of it lies inside.
    let reach = width.max(height) as f32;
    let near = |p: &[[f32; 2]; 68]| p.iter().flatten().all(|c| (-0.5 * reach..1.5 * reach).contains(c));
    match points.filter(near) {
        Some(points) if (width, height) == (landmarks.width, landmarks.height) => {
            Ok(Portrait::new(picture.into_raw(), width as usize, height as usize, &points))
        }
        _ => Err(Fault::new(format!(
            "{count} landmarks of a {}x{} picture do not fit one of {width}x{height}",
            landmarks.width, landmarks.height
        ))),
    }
}
