//! How far an export is, on stderr where that is a terminal.

use coo_llm_exporters::history::Window;
use indicatif::{ProgressBar, ProgressStyle};

/// Rows between two looks at the clock.
const ROWS: u64 = 4096;

pub(super) struct Progress {
    bar: ProgressBar,
    window: Window,
}

impl Progress {
    pub(super) fn begin(window: Window) -> Self {
        // Draws to stderr, and nothing where that is no terminal.
        let bar = ProgressBar::new(window.end_s - window.start_s);
        let style = "{wide_bar} {percent}% {msg} {elapsed} (left {eta})";
        // The default style, were this one wrong.
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self { bar, window }
    }

    pub(super) fn is_at(&self, second: u64, rows: u64) {
        if rows.is_multiple_of(ROWS) {
            self.bar.set_position(second - self.window.start_s);
            self.bar.set_message(format!("{rows} rows"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
