//! The anchor: a file that names the last row, so that a trail that was cut shows.

use super::chain::Link;
use super::error::{Broken, TrailError};
use super::verify::Anchor;
use crate::control::hex;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const FILE: &str = "anchor";

/// The anchor of a trail's folder; `None` where there is none.
pub(super) fn read(folder: &Path) -> Result<Option<Anchor>, TrailError> {
    let path = folder.join(FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(TrailError::File(path, error)),
    };
    let anchor = text.strip_suffix(b"\n").and_then(Anchor::parse);
    let what = "this is no anchor".to_owned();
    let place = Some((path, 1));
    anchor.map(Some).ok_or(Broken { place, what }.into())
}

/// Writes the anchor anew, beside the old one until it is whole.
pub(super) fn write(folder: &Path, link: Link) -> io::Result<()> {
    let draft = folder.join("anchor.new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&draft)?;
    let text = format!("{}:{}\n", link.seq, hex::of(&link.hash));
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    fs::rename(&draft, folder.join(FILE))
}
