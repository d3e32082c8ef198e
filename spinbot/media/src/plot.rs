//! Curves of a training run as a small PNG: named series over a common axis, linear or logarithmic upwards.
//! Cheap enough to be drawn again several times a second.

use crate::{MediaError, Result, font, picture};
use image::RgbImage;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;
use plotters::style::register_font;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::sync::Once;

/// Points of a series that are drawn; more would not be seen on 640 pixels.
const MAX_POINTS: usize = 1000;
/// Drawn twice as large and averaged down by [`halved`]: plotters' bitmaps have no smooth lines of their own.
const FINE: u32 = 2;
const FONT: &str = "DejaVu Sans";
const INK: RGBColor = RGBColor(33, 37, 41);
const FAINT: RGBColor = RGBColor(108, 117, 125);
const LINE: RGBColor = RGBColor(233, 236, 239);
/// Told apart by most colour-blind readers (after Okabe and Ito, 2008), the yellow left out: too pale on white.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(73, 80, 87),
];

/// A plot to be filled and drawn.
#[derive(Debug, Clone)]
pub struct Curves {
    title: String,
    x_label: String,
    y_label: String,
    log_y: bool,
    size: (u32, u32),
    series: Vec<(String, Vec<(f64, f64)>)>,
}

impl Curves {
    /// A plot without series, 640x320 pixels.
    pub fn new(title: impl Into<String>) -> Self {
        Curves {
            title: title.into(),
            x_label: String::new(),
            y_label: String::new(),
            log_y: false,
            size: (640, 320),
            series: Vec::new(),
        }
    }

    /// Names the axes.
    #[must_use]
    pub fn labels(mut self, x: impl Into<String>, y: impl Into<String>) -> Self {
        self.x_label = x.into();
        self.y_label = y.into();
        self
    }

    /// Whether the upward axis is logarithmic; points at or below 0 are then left out.
    #[must_use]
    pub fn log_y(mut self, log: bool) -> Self {
        self.log_y = log;
        self
    }

    /// Sets the size in pixels, from 160x120 to 4000x4000.
    #[must_use]
    pub fn size(mut self, width: u32, height: u32) -> Self {
        self.size = (width.clamp(160, 4000), height.clamp(120, 4000));
        self
    }

    /// Adds a series of points in ascending x. Points that are not finite are left out.
    #[must_use]
    pub fn series(mut self, name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        self.series.push((name.into(), points));
        self
    }

    /// The plot as a PNG file.
    ///
    /// # Errors
    /// As [`Curves::render`].
    pub fn png(&self) -> Result<Vec<u8>> {
        picture::png_bytes(&self.render()?)
    }

    /// Draws the plot.
    ///
    /// # Errors
    /// If the drawing library fails.
    pub fn render(&self) -> Result<RgbImage> {
        static REGISTER: Once = Once::new();
        // Refused only if the bytes were no font; drawing then fails with its own error.
        REGISTER.call_once(|| drop(register_font(FONT, FontStyle::Normal, font::DEJAVU_SANS)));
        let (width, height) = (self.size.0 * FINE, self.size.1 * FINE);
        let mut buffer = vec![255; (width * height * 3) as usize];
        self.draw(&mut buffer).map_err(|e| MediaError::encode("drawing a plot", e))?;
        let fine = RgbImage::from_raw(width, height, buffer)
            .ok_or_else(|| MediaError::shape("drawing a plot", "a buffer", format!("{width}x{height} px")))?;
        Ok(halved(&fine))
    }

    fn draw(&self, buffer: &mut [u8]) -> Result<(), Box<dyn std::error::Error + '_>> {
        let series: Vec<_> = self.series.iter().map(|(_, points)| thin(&self.drawable(points))).collect();
        let (x_range, y_range) = (range(&series, |p| p.0, 0.0), range(&series, |p| p.1, 0.05));
        let x_ticks = ticks(x_range, 8);
        let y_ticks = if self.log_y { log_ticks(y_range) } else { ticks(y_range, 6) };
        let x_step = x_ticks.windows(2).map(|t| t[1] - t[0]).fold(f64::INFINITY, f64::min);
        let y_step = y_ticks.windows(2).map(|t| t[1] - t[0]).fold(f64::INFINITY, f64::min);

        let px = |pixels: u32| pixels * FINE;
        let size = (px(self.size.0), px(self.size.1));
        let root = BitMapBackend::with_buffer(buffer, size).into_drawing_area();
        root.fill(&WHITE)?;
        let text = |size: u32, colour: &RGBColor| (FONT, px(size)).into_font().color(colour);
        let label = text(12, &FAINT);
        let mut top = 8;
        if !self.title.is_empty() {
            let style = text(16, &INK).pos(Pos::new(HPos::Left, VPos::Top));
            root.draw(&Text::new(self.title.as_str(), (px(12) as i32, px(top) as i32), style))?;
            top += 26;
        }
        let (left, bottom) =
            (if self.y_label.is_empty() { 48 } else { 64 }, if self.x_label.is_empty() { 24 } else { 42 });
        let mut chart = ChartBuilder::on(&root)
            .margin_top(px(top))
            .margin_right(px(18))
            .margin_bottom(px(6))
            .margin_left(px(6))
            .set_label_area_size(LabelAreaPosition::Left, px(left))
            .set_label_area_size(LabelAreaPosition::Bottom, px(bottom))
            .build_cartesian_2d(
                Axis { range: x_range, ticks: x_ticks },
                Axis { range: y_range, ticks: y_ticks },
            )?;
        let log = self.log_y;
        chart
            .configure_mesh()
            .x_desc(self.x_label.as_str())
            .y_desc(self.y_label.as_str())
            .label_style(label.clone())
            .axis_desc_style(label.clone())
            .axis_style(FAINT)
            .set_all_tick_mark_size(px(4))
            .bold_line_style(LINE.stroke_width(FINE))
            .light_line_style(TRANSPARENT)
            .x_label_formatter(&|x| number(*x, x_step))
            .y_label_formatter(&|y| {
                if log { number(10f64.powf(*y), 10f64.powf(*y)) } else { number(*y, y_step) }
            })
            .draw()?;
        for (i, ((name, _), points)) in self.series.iter().zip(&series).enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            if let [point] = points[..] {
                chart.draw_series([Circle::new(point, px(3), colour.filled())])?;
            }
            let swatch = colour.stroke_width(px(2));
            // Piece by piece: in a path of several pieces plotters lengthens sharp corners into spikes that
            // are not in the data.
            let line = colour.stroke_width(px(3) / 2);
            let pieces = points.windows(2).map(|ends| PathElement::new([ends[0], ends[1]], line));
            chart
                .draw_series(pieces)?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + (16 * FINE) as i32, y)], swatch));
        }
        if self.series.len() > 1 {
            chart
                .configure_series_labels()
                .position(emptiest_corner(&series, x_range, y_range))
                .label_font(text(12, &INK))
                .background_style(WHITE.mix(0.85))
                .border_style(LINE)
                .legend_area_size(px(22))
                .margin(px(6))
                .draw()?;
        }
        if series.iter().all(Vec::is_empty) {
            let style = label.pos(Pos::new(HPos::Center, VPos::Center));
            root.draw(&Text::new("no points yet", ((size.0 / 2) as i32, (size.1 / 2) as i32), style))?;
        }
        root.present()?;
        Ok(())
    }

    /// Points as they lie on the axes.
    fn drawable(&self, points: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let upward = |y: f64| if self.log_y { y.log10() } else { y };
        points.iter().map(|(x, y)| (*x, upward(*y))).filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
    }
}

/// A linear axis with ticks of our own: plotters' own ticks crowd a logarithmic axis.
struct Axis {
    range: (f64, f64),
    ticks: Vec<f64>,
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = (value - self.range.0) / (self.range.1 - self.range.0);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.range.0..self.range.1
    }
}

/// At most [`MAX_POINTS`]: of each run of neighbours its lowest and its highest, in their order, so that no
/// spike is lost.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MAX_POINTS {
        return points.to_vec();
    }
    let run = points.len().div_ceil(MAX_POINTS / 2);
    let mut kept = Vec::with_capacity(MAX_POINTS);
    for part in points.chunks(run) {
        let by_height = |a: &usize, b: &usize| part[*a].1.total_cmp(&part[*b].1);
        let low = (0..part.len()).min_by(by_height).unwrap_or(0);
        let high = (0..part.len()).max_by(by_height).unwrap_or(0);
        kept.push(part[low.min(high)]);
        if low != high {
            kept.push(part[low.max(high)]);
        }
    }
    kept
}

/// The picture at half its size, each pixel the mean of four.
fn halved(fine: &RgbImage) -> RgbImage {
    let (width, height) = (fine.width() / 2, fine.height() / 2);
    let row = fine.width() as usize * 3;
    let mut small = RgbImage::new(width, height);
    for (line, pair) in small.chunks_exact_mut(width as usize * 3).zip(fine.as_raw().chunks_exact(row * 2)) {
        let (upper, lower) = pair.split_at(row);
        for ((pixel, a), b) in line.chunks_exact_mut(3).zip(upper.chunks_exact(6)).zip(lower.chunks_exact(6))
        {
            for c in 0..3 {
                let sum = u16::from(a[c]) + u16::from(a[c + 3]) + u16::from(b[c]) + u16::from(b[c + 3]);
                pixel[c] = ((sum + 2) / 4) as u8;
            }
        }
    }
    small
}

/// The corner with the fewest points, where the names of the series hide the least.
fn emptiest_corner(series: &[Vec<(f64, f64)>], x: (f64, f64), y: (f64, f64)) -> SeriesLabelPosition {
    let share = |value: f64, range: (f64, f64)| (value - range.0) / (range.1 - range.0);
    let corners = [
        (true, true, SeriesLabelPosition::UpperRight),
        (false, false, SeriesLabelPosition::LowerLeft),
        (true, false, SeriesLabelPosition::LowerRight),
        (false, true, SeriesLabelPosition::UpperLeft),
    ];
    let inside = |right: bool, upper: bool| {
        let hidden = |point: &&(f64, f64)| {
            let (across, up) = (share(point.0, x), share(point.1, y));
            (if right { across > 0.72 } else { across < 0.28 }) && (if upper { up > 0.65 } else { up < 0.35 })
        };
        series.iter().flatten().filter(hidden).count()
    };
    let best = corners.into_iter().min_by_key(|(right, upper, _)| inside(*right, *upper));
    best.map_or(SeriesLabelPosition::UpperRight, |(.., position)| position)
}

/// Smallest and largest coordinate with a margin of `slack` of their distance, never of no width.
fn range(series: &[Vec<(f64, f64)>], pick: impl Fn(&(f64, f64)) -> f64, slack: f64) -> (f64, f64) {
    let (low, high) = series
        .iter()
        .flatten()
        .map(pick)
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return (0.0, 1.0);
    }
    let middle = low + (high - low) / 2.0;
    // Below this the axis could not tell its ticks apart.
    let least = middle.abs().max(1e-9) * 1e-6;
    if high - low < least {
        let half = if middle == 0.0 { 0.5 } else { middle.abs() * 0.1 };
        return (middle - half, middle + half);
    }
    (low - (high - low) * slack, high + (high - low) * slack)
}

/// About `count` round values (1, 2 or 5 times a power of ten) inside a range.
fn ticks((low, high): (f64, f64), count: usize) -> Vec<f64> {
    let rough = (high - low) / count as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|f| f * power).find(|s| *s >= rough).unwrap_or(power * 10.0);
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    // A range of finite ends has a handful of ticks; an overflow in the division must not make it endless.
    (first..=last).take(4 * count).map(|i| i as f64 * step).collect()
}

/// Ticks for a range of decimal logarithms: 1, 2 and 5 of each decade, or every few decades of a long range.
fn log_ticks((low, high): (f64, f64)) -> Vec<f64> {
    if high - low > 4.0 {
        let step = ((high - low) / 6.0).ceil().max(1.0) as usize;
        return (low.ceil() as i32..=high.floor() as i32).step_by(step).map(f64::from).collect();
    }
    let mantissas: &[f64] = if high - low < 0.3 {
        &[1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    } else {
        &[1.0, 2.0, 5.0]
    };
    (low.floor() as i32..=high.ceil() as i32)
        .flat_map(|decade| mantissas.iter().map(move |m| m.log10() + f64::from(decade)))
        .filter(|t| (low..=high).contains(t))
        .collect()
}

/// A tick's value with as many decimals as a step of `step` needs.
fn number(value: f64, step: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e6).contains(&size) {
        let text = format!("{value:.1e}");
        return text.replace(".0e", "e");
    }
    if size >= 10_000.0 && step >= 1000.0 {
        return format!("{}k", value / 1000.0);
    }
    let decimals = if step.is_finite() && step > 0.0 {
        (-(step * 1.000_001).log10().floor()).clamp(0.0, 6.0) as usize
    } else {
        3
    };
    format!("{value:.decimals$}")
}
