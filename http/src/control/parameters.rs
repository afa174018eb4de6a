//! What stands after the `?` of a question: strict, because a filter that is misspelled and
//! passed over would give wrong numbers that look right.
//!
//! Each parameter is described once, by the structs here: they are what OpenAPI shows, and
//! their names are those that are known.

use coo_llm_exporters::history::{Filter, Window};
use std::fmt;
use utoipa::IntoParams;

/// Bytes of a client's text that a message repeats.
const QUOTED_BYTES_MAX: usize = 64;

/// The last second that is one: the end of the year 9999. What is above is milliseconds.
const SECONDS_MAX: u64 = 253_402_300_799;

/// The window of a question.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "for the document and for the names; values are read by hand"
)]
pub(super) struct Times {
    /// The first second, as unix time; without it a time before `end` that the endpoint names.
    #[param(maximum = 253_402_300_799i64)]
    start: Option<u64>,
    /// The second after the last one, as unix time; without it everything up to now.
    #[param(minimum = 1, maximum = 253_402_300_799i64)]
    end: Option<u64>,
}

/// What a question is about.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "for the document and for the names; values are read by hand"
)]
pub(super) struct Filters {
    /// Only this provider.
    #[param(min_length = 1)]
    provider: Option<String>,
    /// Only this model.
    #[param(min_length = 1)]
    model: Option<String>,
    /// Only this client.
    #[param(min_length = 1)]
    client: Option<String>,
    /// Only this provider key, by its public id.
    #[param(min_length = 1)]
    key: Option<String>,
}

/// Whose numbers are asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "for the document and for the names; values are read by hand"
)]
pub(super) struct Scope {
    /// `instance`: those of this gateway. There is no other yet.
    #[param(pattern = "^instance$")]
    scope: Option<String>,
}

/// The names of some parameters.
pub(super) fn names<P: IntoParams>() -> Vec<String> {
    let parameters = P::into_params(|| None).into_iter();
    parameters.map(|parameter| parameter.name).collect()
}

/// What is wrong with a query. The message names the parameter and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BadParameter {
    /// Nothing of this name is known here.
    Unknown { name: String, known: Vec<String> },
    /// It came more than once.
    Twice(String),
    /// It has no value.
    Empty(&'static str),
    /// It is no whole number from `min` to `max`.
    NotWithin {
        name: &'static str,
        min: u64,
        max: u64,
    },
    /// The window ends before it starts.
    EmptyWindow { start: u64, end: u64 },
    /// The window starts in the future.
    Future { start: u64, now: u64 },
    /// Numbers of other instances are not here.
    Scope(String),
    /// There would be too many points.
    TooFine { points: u64, least: u64 },
    /// It is none of these words.
    NotOneOf {
        name: &'static str,
        value: String,
        known: &'static str,
    },
}

impl fmt::Display for BadParameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name, known } if known.is_empty() => {
                write!(f, "{name} is no parameter here; leave it out")
            }
            Self::Unknown { name, known } => {
                write!(
                    f,
                    "{name} is no parameter here; there are {}",
                    known.join(", ")
                )
            }
            Self::Twice(name) => write!(f, "{name} was given more than once; give it once"),
            Self::Empty(name) => write!(f, "{name} is empty; give it a value or leave it out"),
            Self::NotWithin { name, .. } if matches!(*name, "start" | "end") => {
                write!(f, "{name} must be whole unix seconds, such as 1700000000")
            }
            Self::NotWithin { name, min, max } => {
                write!(f, "{name} must be a whole number from {min} to {max}")
            }
            Self::EmptyWindow { start, end } => {
                write!(f, "start must be before end, but {start} >= {end}")
            }
            Self::Future { start, now } => {
                write!(f, "start must not be after now, but {start} > {now}")
            }
            Self::Scope(value) => write!(
                f,
                "scope={value} is not in this version; write scope=instance or leave it out"
            ),
            Self::TooFine { points, least } => write!(
                f,
                "step is too small: there would be {points} points; write step={least} or more, \
                 or ask for less time"
            ),
            Self::NotOneOf { name, value, known } => {
                write!(f, "{name} must be of {known}, but is {value}")
            }
        }
    }
}

/// The beginning of a client's text, for a message.
pub(super) fn quoted(text: &str) -> String {
    let mut end = text.len().min(QUOTED_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].escape_default().to_string()
}

/// Names and values, each name known and there once.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads a query of which only these names are known.
    pub(super) fn read(query: Option<&str>, known: &[String]) -> Result<Self, BadParameter> {
        let mut all: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !known.iter().any(|known| *known == name) {
                let (name, known) = (quoted(&name), known.to_vec());
                return Err(BadParameter::Unknown { name, known });
            }
            // At most as many as there are names, so that the search is short.
            if all.iter().any(|(have, _)| *have == name) {
                return Err(BadParameter::Twice(name.into_owned()));
            }
            all.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(all))
    }

    /// A value that is not empty.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<&str>, BadParameter> {
        let found = self.0.iter().find(|(have, _)| have == name);
        match found {
            Some((_, value)) if value.is_empty() => Err(BadParameter::Empty(name)),
            Some((_, value)) => Ok(Some(value)),
            None => Ok(None),
        }
    }

    /// A whole number from `min` to `max`.
    pub(super) fn number(
        &self,
        name: &'static str,
        min: u64,
        max: u64,
    ) -> Result<Option<u64>, BadParameter> {
        let Some((_, value)) = self.0.iter().find(|(have, _)| have == name) else {
            return Ok(None);
        };
        // `parse` would take a plus sign.
        let is_plain = value.bytes().all(|byte| byte.is_ascii_digit());
        let number = value.parse().ok().filter(|_| is_plain);
        let number = number.filter(|number| (min..=max).contains(number));
        number.map_or(Err(BadParameter::NotWithin { name, min, max }), |number| {
            Ok(Some(number))
        })
    }

    /// `start` and `end` as they were given.
    pub(super) fn times(&self) -> Result<Asked, BadParameter> {
        let start = self.number("start", 0, SECONDS_MAX)?;
        let end = self.number("end", 1, SECONDS_MAX)?;
        match (start, end) {
            (Some(start), Some(end)) if start >= end => {
                Err(BadParameter::EmptyWindow { start, end })
            }
            _ => Ok(Asked { start, end }),
        }
    }

    /// The filters of [`Filters`].
    pub(super) fn filter(&self) -> Result<Filter, BadParameter> {
        let owned = |name| Ok(self.text(name)?.map(ToOwned::to_owned));
        Ok(Filter {
            provider: owned("provider")?,
            model: owned("model")?,
            key: owned("key")?,
            client: owned("client")?,
        })
    }

    /// Fails where the numbers of other instances are asked for.
    pub(super) fn scope(&self) -> Result<(), BadParameter> {
        match self.text("scope")? {
            None | Some("instance") => Ok(()),
            Some(other) => Err(BadParameter::Scope(quoted(other))),
        }
    }
}

/// A window as it was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) start: Option<u64>,
    pub(super) end: Option<u64>,
}

impl Asked {
    /// The window in seconds: up to and with the present second where it has no end, and from
    /// `seconds` before its end, or before now, where it has no start.
    pub(super) fn seconds(self, seconds: u64, now_s: u64) -> Result<(u64, u64), BadParameter> {
        let end = self.end.unwrap_or(now_s + 1);
        let begin = end.min(now_s + 1).saturating_sub(seconds);
        let start = self.start.unwrap_or(begin);
        if start < end {
            Ok((start, end))
        } else {
            Err(BadParameter::Future { start, now: now_s })
        }
    }

    /// The same for the history. One that reaches up to now has all that is known: the
    /// history moves an end back to that of a bucket, and the present one is not over.
    pub(super) fn window(self, seconds: u64, now_s: u64) -> Result<Window, BadParameter> {
        let (start_s, end_s) = self.seconds(seconds, now_s)?;
        let end_s = if end_s >= now_s { u64::MAX } else { end_s };
        Ok(Window { start_s, end_s })
    }

    /// Whether the window leaves nothing out of `[since, now)`.
    pub(super) fn covers(self, since: u64, now_s: u64) -> bool {
        self.start.is_none_or(|start| start <= since) && self.end.is_none_or(|end| end >= now_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Parameters, BadParameter> {
        let known = [names::<Times>(), names::<Filters>(), names::<Scope>()].concat();
        Parameters::read(Some(query), &known)
    }

    #[test]
    fn windows_are_read_strictly() {
        let asked = |start, end| Ok(Asked { start, end });
        let no_seconds = |name| {
            Err(BadParameter::NotWithin {
                name,
                min: u64::from(name == "end"),
                max: SECONDS_MAX,
            })
        };
        let table = [
            ("", asked(None, None)),
            ("start=5&end=7", asked(Some(5), Some(7))),
            ("provider=x&start=5", asked(Some(5), None)),
            ("st%61rt=5", asked(Some(5), None)),
            ("start=", no_seconds("start")),
            ("start=-1", no_seconds("start")),
            ("start=%2B1", no_seconds("start")),
            ("end=1.5", no_seconds("end")),
            ("end=0", no_seconds("end")),
            // Milliseconds.
            ("end=1700000000000", no_seconds("end")),
            ("end=18446744073709551616", no_seconds("end")),
            ("end=1&end=1", Err(BadParameter::Twice("end".into()))),
            (
                "start=7&end=7",
                Err(BadParameter::EmptyWindow { start: 7, end: 7 }),
            ),
        ];
        for (query, want) in table {
            let have = read(query).and_then(|parameters| parameters.times());
            assert_eq!(have, want, "{query}");
        }
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        let window = |query| read(query).and_then(|p| p.times()?.window(100, 1000));
        let open = |start_s| Window {
            start_s,
            end_s: u64::MAX,
        };
        assert_eq!(window(""), Ok(open(901)));
        assert_eq!(window("start=5&end=1000"), Ok(open(5)));
        assert_eq!(window("end=99999"), Ok(open(901)));
        let (start_s, end_s) = (0, 1);
        assert_eq!(window("end=1"), Ok(Window { start_s, end_s }));
        assert_eq!(
            window("end=500"),
            Ok(Window {
                start_s: 400,
                end_s: 500
            })
        );
        let (start, now) = (1001, 1000);
        assert_eq!(
            window("start=1001"),
            Err(BadParameter::Future { start, now })
        );
        let covers = |query| read(query).and_then(|p| Ok(p.times()?.covers(100, 200)));
        for query in ["", "start=100", "end=200", "start=0&end=300"] {
            assert_eq!(covers(query), Ok(true), "{query}");
        }
        for query in ["start=101", "end=199", "start=150&end=300"] {
            assert_eq!(covers(query), Ok(false), "{query}");
        }
    }

    #[test]
    fn messages_name_the_parameter_and_the_way_out() {
        let of = |query: &str| {
            let read = read(query)?;
            read.scope()?;
            read.times()?;
            read.filter()
        };
        let table = [
            (
                "starts=1",
                "starts is no parameter here; there are start, end, provider, model, client, key, scope",
            ),
            ("model=", "model is empty; give it a value or leave it out"),
            ("key=a&key=b", "key was given more than once; give it once"),
            (
                "start=x",
                "start must be whole unix seconds, such as 1700000000",
            ),
            (
                "scope=cluster",
                "scope=cluster is not in this version; write scope=instance or leave it out",
            ),
        ];
        for (query, want) in table {
            let error = of(query).expect_err(query).to_string();
            assert_eq!(error, want);
        }
        let long = format!("{}=1", "%0a".repeat(100_000));
        let error = read(&long).expect_err("no such name").to_string();
        assert!(error.len() < 300 && !error.contains('\n'), "{error}");
    }
}
