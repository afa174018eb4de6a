//! One line of the text format.

use super::{Decimal, Labels, Sample};

pub(super) enum Line {
    Nothing,
    Help(String),
    Type(String, String),
    Sample(Sample),
}

fn is_name(text: &str, colon: bool) -> bool {
    let mut chars = text.chars();
    let ok = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colon && c == ':');
    chars.next().is_some_and(|c| ok(c) && !c.is_ascii_digit()) && chars.all(ok)
}

pub(super) fn parse(text: &str) -> Result<Line, String> {
    if text.ends_with('\r') || text.starts_with([' ', '\t']) {
        return Err("white space at the start or a carriage return".to_owned());
    }
    if text.is_empty() {
        return Ok(Line::Nothing);
    }
    if let Some(rest) = text.strip_prefix("# HELP ") {
        let (name, help) = rest.split_once(' ').ok_or("HELP without a text")?;
        if !is_name(name, true) || help.trim().is_empty() {
            return Err(format!("HELP for {name:?}"));
        }
        return Ok(Line::Help(name.to_owned()));
    }
    if let Some(rest) = text.strip_prefix("# TYPE ") {
        let (name, kind) = rest.split_once(' ').ok_or("TYPE without a type")?;
        let known = matches!(
            kind,
            "counter" | "gauge" | "histogram" | "summary" | "untyped"
        );
        if !is_name(name, true) || !known {
            return Err(format!("TYPE {kind:?} for {name:?}"));
        }
        return Ok(Line::Type(name.to_owned(), kind.to_owned()));
    }
    if text.starts_with('#') {
        return Ok(Line::Nothing);
    }
    sample(text).map(Line::Sample)
}

fn sample(text: &str) -> Result<Sample, String> {
    let end = text.find(['{', ' ']).ok_or("a sample without a value")?;
    let (name, rest) = text.split_at(end);
    if !is_name(name, true) {
        return Err(format!("the metric name {name:?}"));
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::new(), rest),
    };
    let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
    let (value, timestamp) = value
        .split_once(' ')
        .map_or((value, None), |(v, t)| (v, Some(t)));
    if timestamp.is_some_and(|t| t.parse::<i64>().is_err()) {
        return Err("a timestamp that is no integer".to_owned());
    }
    Ok(Sample {
        name: name.to_owned(),
        labels,
        value: Decimal::parse(value).ok_or_else(|| format!("the value {value:?}"))?,
    })
}

/// Reads `name="value",...}` and returns what follows.
fn labels(mut rest: &str) -> Result<(Labels, &str), String> {
    let mut labels = Labels::new();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((labels, rest));
        }
        let (name, after) = rest.split_once("=\"").ok_or("a label without a value")?;
        if !is_name(name, false) {
            return Err(format!("the label name {name:?}"));
        }
        let (value, after) = quoted(after)?;
        if labels.insert(name.to_owned(), value).is_some() {
            return Err(format!("the label {name} twice"));
        }
        rest = match after.strip_prefix(',') {
            Some(after) => after,
            None if after.starts_with('}') => after,
            None => return Err("no comma between labels".to_owned()),
        };
    }
}

/// Reads a label value up to its closing quote.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('\\') => value.push('\\'),
                Some('"') => value.push('"'),
                Some('n') => value.push('\n'),
                other => return Err(format!("the escape \\{other:?}")),
            },
            c => value.push(c),
        }
    }
    Err("a label value without an end".to_owned())
}
