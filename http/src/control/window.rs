//! The window of a question: `start` and `end` of its query.

use std::fmt;

/// Why a window cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WindowError {
    /// A parameter is no whole number of unix seconds.
    NotSeconds(&'static str),
    /// A parameter came more than once.
    Twice(&'static str),
    /// It ends before it starts.
    Empty { start: u64, end: u64 },
    /// Only [since, now] is known.
    NoHistory { since: u64, now: u64 },
}

impl fmt::Display for WindowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSeconds(name) => write!(f, "{name} must be whole unix seconds"),
            Self::Twice(name) => write!(f, "{name} was given more than once"),
            Self::Empty { start, end } => {
                write!(f, "start must be before end, but {start} >= {end}")
            }
            Self::NoHistory { since, now } => write!(
                f,
                "history is not in this version yet: only the numbers since the start of the \
                 process are known; leave start and end out, or ask for a window that covers \
                 [{since}, {now})"
            ),
        }
    }
}

/// What a query asks for; half-open, unix seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    start: Option<u64>,
    end: Option<u64>,
}

impl Window {
    /// Reads `start` and `end`; other parameters are not looked at.
    pub(super) fn parse(query: &str) -> Result<Self, WindowError> {
        let mut window = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let (name, side) = match &*name {
                "start" => ("start", &mut window.start),
                "end" => ("end", &mut window.end),
                _ => continue,
            };
            // `parse` would take a plus sign.
            let digits = value.bytes().all(|byte| byte.is_ascii_digit());
            let seconds = value.parse().ok().filter(|_| digits);
            let seconds = seconds.ok_or(WindowError::NotSeconds(name))?;
            if side.replace(seconds).is_some() {
                return Err(WindowError::Twice(name));
            }
        }
        match (window.start, window.end) {
            (Some(start), Some(end)) if start >= end => Err(WindowError::Empty { start, end }),
            _ => Ok(window),
        }
    }

    /// The window, from `seconds` before its end where it has no start and up to `now` where it
    /// has no end.
    pub(super) fn last(self, seconds: u64, now: u64) -> Result<(u64, u64), WindowError> {
        let end = self.end.unwrap_or(now);
        let start = self.start.unwrap_or(end.saturating_sub(seconds));
        if start < end {
            Ok((start, end))
        } else {
            Err(WindowError::Empty { start, end })
        }
    }

    /// Fails where the window leaves out a part of [since, now).
    pub(super) fn covers(self, since: u64, now: u64) -> Result<(), WindowError> {
        let starts = self.start.is_none_or(|start| start <= since);
        let ends = self.end.is_none_or(|end| end >= now);
        if starts && ends {
            Ok(())
        } else {
            Err(WindowError::NoHistory { since, now })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read_strictly() {
        let window = |start, end| Ok(Window { start, end });
        let table = [
            ("", window(None, None)),
            ("start=5&end=7", window(Some(5), Some(7))),
            ("x=1&start=5", window(Some(5), None)),
            ("st%61rt=5", window(Some(5), None)),
            ("start=", Err(WindowError::NotSeconds("start"))),
            ("start=-1", Err(WindowError::NotSeconds("start"))),
            ("start=%2B1", Err(WindowError::NotSeconds("start"))),
            ("end=1.5", Err(WindowError::NotSeconds("end"))),
            (
                "end=18446744073709551616",
                Err(WindowError::NotSeconds("end")),
            ),
            ("end=1&end=1", Err(WindowError::Twice("end"))),
            (
                "start=7&end=7",
                Err(WindowError::Empty { start: 7, end: 7 }),
            ),
        ];
        for (query, want) in table {
            assert_eq!(Window::parse(query), want, "{query}");
        }
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        let last = |query| Window::parse(query).expect(query).last(100, 1000);
        assert_eq!(last(""), Ok((900, 1000)));
        assert_eq!(last("end=500"), Ok((400, 500)));
        assert_eq!(last("start=5"), Ok((5, 1000)));
        let (start, end) = (1000, 1000);
        assert_eq!(last("start=1000"), Err(WindowError::Empty { start, end }));
    }

    #[test]
    fn a_window_that_leaves_something_out_is_refused() {
        let covers = |query| Window::parse(query).expect(query).covers(100, 200);
        for query in ["", "start=100", "end=200", "start=0&end=300"] {
            assert_eq!(covers(query), Ok(()), "{query}");
        }
        for query in [
            "start=101",
            "end=199",
            "start=0&end=150",
            "start=150&end=300",
        ] {
            let error = covers(query).expect_err(query).to_string();
            assert!(error.contains("[100, 200)"), "{error}");
        }
    }
}
