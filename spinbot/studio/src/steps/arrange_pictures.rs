//! `arrange_pictures`: several pictures as one, with a label over each.

use crate::step::{Inputs, Report, Run, StepError, StepOutput, media_fault, numbered};
use spinbot::draw::MOST_PICTURES;
use spinbot::{Fault, steps::ArrangePictures};
use spinbot_media::grid::Grid;
use spinbot_media::picture::{self, Caps};
use spinbot_media::{MediaError, RgbImage};

/// Cells beside one another.
const MOST_COLUMNS: usize = 4;
/// Sides of a cell in pixels: what small pictures are enlarged to, and the largest with which the file is small enough.
const USUAL_SIDE: u32 = 256;
const LARGEST_SIDE: u32 = 512;
const SMALLEST_SIDE: u32 = 64;
/// Most bytes of the file, so that it can lie in a notebook.
const LARGEST: usize = 1_400_000;

impl Run for ArrangePictures {
    fn check(&self) -> Result<(), Fault> {
        if self.labels.is_empty() || self.labels.len() > MOST_PICTURES {
            return Err(Fault::new(format!("a grid of {} pictures", self.labels.len()))
                .help(format!("arrange 1 to {MOST_PICTURES}")));
        }
        Ok(())
    }

    fn run(
        &self,
        inputs: &Inputs,
        _seed: u64,
        report: &mut dyn Report,
    ) -> Result<Vec<StepOutput>, StepError> {
        let failed = |error: MediaError| media_fault(error, "picture");
        let files = numbered(inputs, "picture");
        if files.len() != self.labels.len() {
            let (files, labels) = (files.len(), self.labels.len());
            return Err(Fault::new(format!("the grid has {files} pictures and {labels} labels")).into());
        }
        let caps = Caps { min_side: 8, ..Caps::default() };
        let mut pictures = Vec::with_capacity(files.len());
        for (_, file) in &files {
            pictures.push(picture::read(&file.path, &file.label, &caps).map_err(failed)?);
        }
        let edge = pictures.iter().map(|picture| picture.width().max(picture.height())).max().unwrap_or(1);
        // Two by two rather than three and one.
        let columns = match files.len() {
            4 => 2,
            count => count.min(MOST_COLUMNS),
        };
        let mut side = edge.clamp(USUAL_SIDE, LARGEST_SIDE);
        let bytes = loop {
            let bytes = arranged(self, &pictures, columns, side).map_err(failed)?;
            if bytes.len() <= LARGEST || side == SMALLEST_SIDE {
                break bytes;
            }
            side = (side * 3 / 4).max(SMALLEST_SIDE);
        };
        report.progress(1.0, 1.0, "grid");
        Ok(vec![StepOutput { name: "grid", media_type: "image/jpeg", bytes }])
    }
}

/// The grid as JPEG: rows of `columns` pictures, each row a grid of its own, so that every picture has its label.
fn arranged(
    step: &ArrangePictures,
    pictures: &[RgbImage],
    columns: usize,
    side: u32,
) -> Result<Vec<u8>, MediaError> {
    let mut rows = Vec::new();
    for (at, (row, labels)) in pictures.chunks(columns).zip(step.labels.chunks(columns)).enumerate() {
        let title = if at == 0 { step.title.clone() } else { String::new() };
        let mut grid = Grid::new(title, vec![String::new()], labels.to_vec()).cell_side(side);
        for (column, picture) in row.iter().enumerate() {
            grid.set(0, column, picture.clone())?;
        }
        rows.push(grid.render()?);
    }
    let width = rows.iter().map(RgbImage::width).max().unwrap_or(1);
    let height = rows.iter().map(RgbImage::height).sum();
    let mut sheet = RgbImage::from_pixel(width, height, image::Rgb([255; 3]));
    let mut top = 0;
    for row in &rows {
        image::imageops::replace(&mut sheet, row, 0, top);
        top += i64::from(row.height());
    }
    picture::jpeg_bytes(&sheet, 90)
}
