//! A labelled grid of pictures, for sweeps: one picture a cell, names of rows and columns at the edges, a
//! marked cell where there is none. It draws; what the axes mean is the caller's.

use crate::font::Text;
use crate::{MediaError, Result, picture};
use image::{Rgb, RgbImage, imageops};

const INK: Rgb<u8> = Rgb([33, 37, 41]);
const FAINT: Rgb<u8> = Rgb([108, 117, 125]);
const PAPER: Rgb<u8> = Rgb([255, 255, 255]);
const EMPTY: Rgb<u8> = Rgb([241, 243, 245]);
const STRIPE: Rgb<u8> = Rgb([226, 230, 234]);
const GAP: u32 = 6;
const MARGIN: u32 = 12;
/// Widest a row's name may make its column of names.
const NAMES_WIDTH: u32 = 180;
/// Most pixels a grid may have; a sweep that needs more is no longer looked at as one picture.
const MAX_PIXELS: u64 = 100_000_000;

/// A grid to be filled and drawn.
#[derive(Debug, Clone)]
pub struct Grid {
    title: String,
    rows: Vec<String>,
    columns: Vec<String>,
    row_axis: String,
    column_axis: String,
    side: u32,
    cells: Vec<Cell>,
}

#[derive(Debug, Clone)]
enum Cell {
    Missing(String),
    Picture(RgbImage),
}

impl Grid {
    /// A grid of `rows.len()` by `columns.len()` missing cells of 256 pixels. Names may be empty.
    pub fn new(title: impl Into<String>, rows: Vec<String>, columns: Vec<String>) -> Self {
        let cells = vec![Cell::Missing(String::new()); rows.len() * columns.len()];
        Grid {
            title: title.into(),
            rows,
            columns,
            row_axis: String::new(),
            column_axis: String::new(),
            side: 256,
            cells,
        }
    }

    /// What the rows and the columns vary (`strength`, `seed`).
    #[must_use]
    pub fn axes(mut self, rows: impl Into<String>, columns: impl Into<String>) -> Self {
        self.row_axis = rows.into();
        self.column_axis = columns.into();
        self
    }

    /// Sets the side of a cell in pixels, 32 to 1024. Pictures are fitted into it keeping their shape.
    #[must_use]
    pub fn cell_side(mut self, pixels: u32) -> Self {
        self.side = pixels.clamp(32, 1024);
        self
    }

    /// Puts a picture into a cell.
    ///
    /// # Errors
    /// If there is no such cell or the picture has no pixels.
    pub fn set(&mut self, row: usize, column: usize, content: RgbImage) -> Result<()> {
        let (width, height) = content.dimensions();
        if width == 0 || height == 0 {
            return Err(MediaError::shape(
                "filling a grid",
                format!("{width}x{height} px"),
                "a picture with pixels",
            ));
        }
        let (width, height) = fit(width, height, self.side);
        *self.cell(row, column)? = Cell::Picture(picture::resize(&content, width, height));
        Ok(())
    }

    /// Marks a cell as missing and says why (`cancelled`).
    ///
    /// # Errors
    /// If there is no such cell.
    pub fn missing(&mut self, row: usize, column: usize, why: impl Into<String>) -> Result<()> {
        *self.cell(row, column)? = Cell::Missing(why.into());
        Ok(())
    }

    fn cell(&mut self, row: usize, column: usize) -> Result<&mut Cell> {
        let (rows, columns) = (self.rows.len(), self.columns.len());
        let cell = if column < columns { self.cells.get_mut(row * columns + column) } else { None };
        cell.ok_or_else(|| {
            MediaError::shape(
                "filling a grid",
                format!("cell {row},{column}"),
                format!("inside {rows}x{columns}"),
            )
        })
    }

    /// Draws the grid.
    ///
    /// # Errors
    /// If it has no cells, or would have more than 100 megapixels.
    pub fn render(&self) -> Result<RgbImage> {
        let (rows, columns) = (self.rows.len() as u64, self.columns.len() as u64);
        let cells_width = columns * u64::from(self.side + GAP);
        let cells_height = rows * u64::from(self.side + GAP);
        if self.cells.is_empty() || (cells_width + 400).saturating_mul(cells_height + 400) > MAX_PIXELS {
            return Err(MediaError::shape(
                "drawing a grid",
                format!("{rows}x{columns} cells of {} px", self.side),
                format!("1 cell or more, up to {} megapixels", MAX_PIXELS / 1_000_000),
            ));
        }
        let sheet = Sheet::new(self);
        Ok(sheet.draw(self, cells_width as u32, cells_height as u32))
    }
}

/// The largest size of the shape `width` x `height` that fits a square of `side`.
fn fit(width: u32, height: u32, side: u32) -> (u32, u32) {
    let scale = f64::from(side) / f64::from(width.max(height));
    let scaled = |length: u32| ((f64::from(length) * scale).round() as u32).clamp(1, side);
    (scaled(width), scaled(height))
}

/// Text broken into lines, and where the cells begin.
struct Sheet {
    names: Text,
    heading: Text,
    axis: Text,
    title: Vec<String>,
    rows: Vec<Vec<String>>,
    columns: Vec<Vec<String>>,
    left: u32,
    top: u32,
}

impl Sheet {
    fn new(grid: &Grid) -> Self {
        let small = (grid.side as f32 / 14.0).clamp(11.0, 17.0);
        let names = Text { size: small, colour: INK };
        let heading = Text { size: small + 5.0, colour: INK };
        let axis = Text { size: small, colour: FAINT };
        let lines = (grid.side / line_height(&names)).max(1) as usize;
        let rows: Vec<_> = grid.rows.iter().map(|name| names.wrap(name, NAMES_WIDTH, lines.min(6))).collect();
        let columns: Vec<_> = grid.columns.iter().map(|name| names.wrap(name, grid.side, 3)).collect();
        let widest = rows.iter().flatten().map(|line| names.width(line)).max().unwrap_or(0);
        let names_width = widest.max(axis.width(&grid.row_axis).min(NAMES_WIDTH));
        let left = MARGIN + if names_width > 0 { names_width + 2 * GAP } else { 0 };
        let sheet_width = (grid.side + GAP) * grid.columns.len() as u32 + left - MARGIN;
        let title = heading.wrap(&grid.title, sheet_width.saturating_sub(GAP), 2);
        let deepest = columns.iter().map(Vec::len).max().unwrap_or(0) as u32;
        let axes = u32::from(!grid.row_axis.is_empty() || !grid.column_axis.is_empty());
        let mut top = MARGIN;
        if !title.is_empty() {
            top += title.len() as u32 * line_height(&heading) + GAP;
        }
        top += axes * line_height(&axis);
        if deepest > 0 {
            top += deepest * line_height(&names) + GAP;
        }
        Sheet { names, heading, axis, title, rows, columns, left, top }
    }

    fn draw(&self, grid: &Grid, cells_width: u32, cells_height: u32) -> RgbImage {
        let (width, height) =
            (self.left + cells_width - GAP + MARGIN, self.top + cells_height - GAP + MARGIN);
        let mut sheet = RgbImage::from_pixel(width, height, PAPER);
        let line = line_height(&self.names) as i32;
        let mut y = MARGIN as i32;
        for text in &self.title {
            self.heading.draw(&mut sheet, MARGIN as i32, y, text);
            y += line_height(&self.heading) as i32;
        }
        // The axis of the columns stands over the first of them, the one of the rows over their names.
        let deepest = self.columns.iter().map(Vec::len).max().unwrap_or(0) as i32;
        let names_top = self.top as i32 - if deepest > 0 { GAP as i32 } else { 0 };
        let axis_top = names_top - deepest * line - line_height(&self.axis) as i32;
        self.axis.draw(&mut sheet, self.left as i32, axis_top, &grid.column_axis);
        let row_axis = self.axis.wrap(&grid.row_axis, NAMES_WIDTH, 1);
        self.axis.draw(
            &mut sheet,
            MARGIN as i32,
            names_top - line_height(&self.axis) as i32,
            &row_axis.concat(),
        );
        for (column, lines) in self.columns.iter().enumerate() {
            let x = self.left + column as u32 * (grid.side + GAP);
            for (i, text) in lines.iter().rev().enumerate() {
                let centred = x as i32 + (grid.side as i32 - self.names.width(text) as i32) / 2;
                self.names.draw(&mut sheet, centred, names_top - (i as i32 + 1) * line, text);
            }
        }
        for (row, lines) in self.rows.iter().enumerate() {
            let y = self.top + row as u32 * (grid.side + GAP);
            let middle = y as i32 + (grid.side as i32 - lines.len() as i32 * line) / 2;
            for (i, text) in lines.iter().enumerate() {
                let x = self.left as i32 - 2 * GAP as i32 - self.names.width(text) as i32;
                self.names.draw(&mut sheet, x, middle + i as i32 * line, text);
            }
        }
        for (i, cell) in grid.cells.iter().enumerate() {
            let (row, column) = ((i / grid.columns.len()) as u32, (i % grid.columns.len()) as u32);
            let (x, y) = (self.left + column * (grid.side + GAP), self.top + row * (grid.side + GAP));
            match cell {
                Cell::Missing(why) => self.draw_missing(&mut sheet, x, y, grid.side, why),
                Cell::Picture(picture) => {
                    let (dx, dy) = ((grid.side - picture.width()) / 2, (grid.side - picture.height()) / 2);
                    imageops::replace(&mut sheet, picture, i64::from(x + dx), i64::from(y + dy));
                }
            }
        }
        sheet
    }

    /// A striped square with the reason in its middle.
    fn draw_missing(&self, sheet: &mut RgbImage, x: u32, y: u32, side: u32, why: &str) {
        for dy in 0..side {
            for dx in 0..side {
                let stripe = (dx + dy) % 24 < 4;
                sheet.put_pixel(x + dx, y + dy, if stripe { STRIPE } else { EMPTY });
            }
        }
        let lines = self.axis.wrap(if why.is_empty() { "missing" } else { why }, side - 2 * GAP, 4);
        let line = line_height(&self.axis);
        let widest = lines.iter().map(|text| self.axis.width(text)).max().unwrap_or(0);
        let block = lines.len() as u32 * line;
        // A plain ground behind the words, or the stripes run through them.
        let (left, top) = (x + (side - widest.min(side)) / 2, y + (side - block.min(side)) / 2);
        for py in top.saturating_sub(3)..(top + block + 3).min(y + side) {
            for px in left.saturating_sub(5)..(left + widest + 5).min(x + side) {
                sheet.put_pixel(px, py, EMPTY);
            }
        }
        for (i, text) in lines.iter().enumerate() {
            let x = x as i32 + (side as i32 - self.axis.width(text) as i32) / 2;
            self.axis.draw(sheet, x, (top + i as u32 * line) as i32, text);
        }
    }
}

fn line_height(text: &Text) -> u32 {
    (text.size * 1.25).ceil() as u32
}
