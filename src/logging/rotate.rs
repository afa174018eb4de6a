//! A file that starts anew when it is full: `app.log` becomes `app.log.1`, that
//! becomes `app.log.2`, and what is older than the backups asked for is gone.
//!
//! Ours, since the crates for it bring chrono and flate2 along for names and
//! compression that nobody asked for here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A log file bounded in size. One process writes to it.
#[derive(Debug)]
pub(crate) struct RotatingFile {
    path: PathBuf,
    bytes_max: u64,
    backups_max: u32,
    file: File,
    bytes: u64,
}

impl RotatingFile {
    /// Opens or creates the file, and its folder where that is missing.
    pub(crate) fn open(path: &Path, bytes_max: u64, backups_max: u32) -> io::Result<Self> {
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            fs::create_dir_all(folder)?;
        }
        let file = append(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self {
            path: path.into(),
            bytes_max,
            backups_max,
            file,
            bytes,
        })
    }

    /// Whether so many more bytes fit.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.bytes.saturating_add(bytes) <= self.bytes_max
    }

    /// Whether nothing is in it: then it takes a line of any length.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Writes whole lines; they stay in one file.
    pub(crate) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines)?;
        self.bytes += lines.len() as u64;
        Ok(())
    }

    /// Starts a new file. On an error the old one goes on.
    pub(crate) fn rotate(&mut self) -> io::Result<()> {
        if self.backups_max == 0 {
            self.file.set_len(0)?;
            self.bytes = 0;
            return Ok(());
        }
        for number in (1..self.backups_max).rev() {
            match fs::rename(self.backup(number), self.backup(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.backup(1))?;
        self.file = append(&self.path)?;
        self.bytes = 0;
        Ok(())
    }

    fn backup(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::tests::Folder;

    fn write(log: &mut RotatingFile, line: &str) {
        if !log.has_room(line.len() as u64) && !log.is_empty() {
            log.rotate().expect("rotate");
        }
        log.write(line.as_bytes()).expect("write");
    }

    #[test]
    fn the_newest_backup_is_number_one_and_the_oldest_goes() {
        let folder = Folder::new();
        let path = folder.path("sub/app.log");
        let mut log = RotatingFile::open(&path, 8, 2).expect("open");
        for line in ["one\n", "two\n", "three\n", "four\n", "five\n"] {
            write(&mut log, line);
        }
        let read = |name: &str| fs::read_to_string(folder.path(name)).ok();
        assert_eq!(read("sub/app.log").as_deref(), Some("five\n"));
        assert_eq!(read("sub/app.log.1").as_deref(), Some("four\n"));
        assert_eq!(read("sub/app.log.2").as_deref(), Some("three\n"));
        assert_eq!(read("sub/app.log.3"), None);
    }

    #[test]
    fn a_restart_goes_on_where_the_file_ends() {
        let folder = Folder::new();
        let path = folder.path("app.log");
        write(
            &mut RotatingFile::open(&path, 8, 1).expect("open"),
            "12345\n",
        );
        let mut log = RotatingFile::open(&path, 8, 1).expect("open");
        assert!(log.has_room(2) && !log.has_room(3));
        write(&mut log, "678\n");
        assert_eq!(
            fs::read_to_string(folder.path("app.log.1")).expect("backup"),
            "12345\n"
        );
        assert_eq!(fs::read_to_string(&path).expect("log"), "678\n");
    }

    #[test]
    fn without_backups_the_file_is_emptied() {
        let folder = Folder::new();
        let path = folder.path("app.log");
        let mut log = RotatingFile::open(&path, 4, 0).expect("open");
        write(&mut log, "a line of any length\n");
        write(&mut log, "b\n");
        assert_eq!(fs::read_to_string(&path).expect("log"), "b\n");
        assert!(!folder.path("app.log.1").exists());
    }
}
