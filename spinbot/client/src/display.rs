//! Showing things from a Rust cell: displays that update in place, clearing, a progress bar.
//!
//! Outside a kernel the same calls print the plain text, so that code moves between a cell and a program.

use crate::bundle::{Bundle, Show, Text};
use crate::cell::{self, Message};
use std::time::{Duration, Instant};

/// Shows `thing` and returns a handle with which it can be replaced in place.
pub fn display(thing: impl Show) -> DisplayHandle {
    let id = cell::unique_id();
    cell::send(&Message::Display { bundle: thing.bundle(), display_id: Some(id.clone()), update: false });
    DisplayHandle { id }
}

/// Removes what the cell has shown so far; with `wait`, only when the next output comes (no flicker).
pub fn clear_output(wait: bool) {
    cell::send(&Message::Clear { wait });
}

/// A display already on the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisplayHandle {
    id: String,
}

impl DisplayHandle {
    /// Replaces what is shown, wherever it is shown.
    pub fn update(&self, thing: impl Show) {
        cell::send(&Message::Display {
            bundle: thing.bundle(),
            display_id: Some(self.id.clone()),
            update: true,
        });
    }

    /// The Jupyter display id.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Wraps an iterator with a live bar: `for x in spinbot::progress(items) { .. }`.
pub fn progress<I: IntoIterator>(items: I) -> Progress<I::IntoIter> {
    let items = items.into_iter();
    let total = items.size_hint().1;
    Progress { items, total, done: 0, started: Instant::now(), shown: None }
}

/// The iterator of [`progress`].
#[derive(Debug)]
pub struct Progress<I> {
    items: I,
    total: Option<usize>,
    done: usize,
    started: Instant,
    shown: Option<(DisplayHandle, Instant)>,
}

/// Jupyter Server drops what comes faster than it can pass on; a bar needs no more than this.
const REDRAW: Duration = Duration::from_millis(150);

impl<I> Progress<I> {
    fn bundle(&self) -> Bundle {
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = self.done as f64 / seconds.max(1e-9);
        let text = match self.total {
            Some(total) => format!("{}/{total}, {seconds:.1} s, {rate:.1}/s", self.done),
            None => format!("{}, {seconds:.1} s, {rate:.1}/s", self.done),
        };
        let percent = self.total.map_or(100.0, |total| 100.0 * self.done as f64 / total.max(1) as f64);
        Text(text.clone()).bundle().with("text/html", bar(percent / 100.0, &text))
    }

    fn draw(&mut self) {
        let bundle = self.bundle();
        let handle = match self.shown.take() {
            Some((handle, _)) => {
                handle.update(bundle);
                handle
            }
            None => display(bundle),
        };
        self.shown = Some((handle, Instant::now()));
    }
}

impl<I: Iterator> Iterator for Progress<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        if self.shown.as_ref().is_none_or(|(_, at)| at.elapsed() >= REDRAW) {
            self.draw();
        }
        let item = self.items.next();
        match item {
            Some(_) => self.done += 1,
            None => self.draw(),
        }
        item
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

/// A bar filled to `fraction` (0..=1) with a caption, in HTML that survives the sanitiser of an untrusted notebook.
pub fn bar(fraction: f64, caption: &str) -> String {
    let percent = (fraction.clamp(0.0, 1.0) * 100.0).round();
    format!(
        "<div style=\"max-width:32em\"><div style=\"border-radius:4px;background:#dddddd;background:var(--jp-layout-color3,#ddd);height:8px\">\
         <div style=\"border-radius:4px;background:#1976d2;background:var(--jp-brand-color1,#1976d2);height:8px;width:{percent}%\"></div></div>\
         <div style=\"font-size:85%\">{}</div></div>",
        crate::bundle::escape(caption)
    )
}
