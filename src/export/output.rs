//! Where an export goes: stdout, or a file that is there whole or not at all.

use super::{Format, Options};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

/// Why it was not opened.
#[derive(Debug)]
pub(super) enum Refused {
    /// The call is wrong.
    Call(String),
    /// The system does not let us.
    System(String),
}

/// A file under another name until it is whole.
#[derive(Debug)]
struct Making {
    path: PathBuf,
    making: PathBuf,
    force: bool,
    is_done: bool,
}

impl Drop for Making {
    fn drop(&mut self) {
        if !self.is_done {
            // What is left of it stays then, beside a message that says what went wrong.
            let _best_effort = fs::remove_file(&self.making);
        }
    }
}

/// The output.
pub(super) struct Output {
    to: BufWriter<File>,
    /// `None` of stdout.
    making: Option<Making>,
    /// The first error, where someone else wraps it.
    error: Option<io::Error>,
}

fn is_there(path: &Path) -> Refused {
    Refused::Call(format!(
        "{} is there already; write --force to replace it",
        path.display()
    ))
}

impl Output {
    pub(super) fn open(options: &Options) -> Result<Self, Refused> {
        let Some(path) = &options.output else {
            let stdout = io::stdout();
            if options.format == Format::Parquet && stdout.is_terminal() {
                let line = "Parquet is not for terminals; name a file with --output";
                return Err(Refused::Call(line.to_owned()));
            }
            // Past the buffer of lines that stdout itself has.
            let out = stdout.as_fd().try_clone_to_owned();
            let out = out.map_err(|error| Refused::System(format!("stdout: {error}")))?;
            return Ok(Self::to(out.into(), None));
        };
        if !options.force && path.symlink_metadata().is_ok() {
            return Err(is_there(path));
        }
        if path.is_dir() {
            return Err(Refused::Call(format!("{} is a folder", path.display())));
        }
        let mut name = OsString::from(path);
        name.push(format!(".{}.part", std::process::id()));
        let making = PathBuf::from(name);
        let file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&making);
        let file = file.map_err(|e| Refused::System(format!("{}: {e}", making.display())))?;
        let making = Making {
            path: path.clone(),
            making,
            force: options.force,
            is_done: false,
        };
        Ok(Self::to(file, Some(making)))
    }

    fn to(to: File, making: Option<Making>) -> Self {
        Self {
            to: BufWriter::with_capacity(1 << 16, to),
            making,
            error: None,
        }
    }

    /// The error that someone else may have wrapped.
    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    /// Writes what is left; a file gets its name when it is on the disk.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.to.flush()?;
        let Some(making) = &mut self.making else {
            return Ok(());
        };
        self.to.get_ref().sync_all()?;
        making.is_done = true;
        let named = if making.force {
            fs::rename(&making.making, &making.path)
        } else {
            // A rename would replace one that came meanwhile.
            match fs::hard_link(&making.making, &making.path) {
                Ok(()) => fs::remove_file(&making.making),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
                Err(_no_links_here) => fs::rename(&making.making, &making.path),
            }
        };
        if named.is_err() {
            making.is_done = false;
        }
        named
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to
            .write(bytes)
            .inspect_err(|error| self.error = Some(same(error)))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to
            .flush()
            .inspect_err(|error| self.error = Some(same(error)))
    }
}

/// A copy of an error: the system's number, or its kind.
fn same(error: &io::Error) -> io::Error {
    let number = error.raw_os_error().map(io::Error::from_raw_os_error);
    number.unwrap_or_else(|| error.kind().into())
}
