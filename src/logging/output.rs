//! Where lines go, with a buffer in front.

use super::rotate::RotatingFile;
use coo_llm_config::Logging;
use std::io::{self, Write as _};

/// Bytes that are gathered before a write: one system call for a few hundred lines.
const BUFFER_BYTES: usize = 64 * 1024;

enum Sink {
    Stderr,
    File(RotatingFile),
}

/// Where lines go. Whole lines wait in a buffer until it is full or flushed.
pub(crate) struct Output {
    sink: Sink,
    buffer: String,
    buffered_lines: u64,
    /// The last write failed: it has been said once on stderr.
    failing: bool,
}

impl Output {
    /// The output that the configuration asks for.
    pub(crate) fn open(config: &Logging) -> io::Result<Self> {
        let file = &config.file;
        if !file.enabled {
            return Ok(Self::to(Sink::Stderr));
        }
        let bytes_max = file.max_size_mb.saturating_mul(1024 * 1024);
        let file = RotatingFile::open(&file.path, bytes_max, file.max_backups)?;
        Ok(Self::to(Sink::File(file)))
    }

    fn to(sink: Sink) -> Self {
        Self {
            sink,
            buffer: String::new(),
            buffered_lines: 0,
            failing: false,
        }
    }

    #[cfg(test)]
    pub(crate) fn file(file: RotatingFile) -> Self {
        Self::to(Sink::File(file))
    }

    /// Takes a line; gives the number of lines that were lost by it.
    pub(crate) fn write(&mut self, line: &str) -> u64 {
        let mut lost = 0;
        if self.buffer.len() + line.len() > BUFFER_BYTES {
            lost += self.flush();
        }
        if let Sink::File(file) = &self.sink
            && !file.has_room((self.buffer.len() + line.len()) as u64)
        {
            lost += self.flush();
            self.make_room(line.len() as u64);
        }
        self.buffer.push_str(line);
        self.buffered_lines += 1;
        lost
    }

    /// Writes what is buffered; gives the number of lines that were lost.
    pub(crate) fn flush(&mut self) -> u64 {
        if self.buffer.is_empty() {
            return 0;
        }
        let written = match &mut self.sink {
            Sink::Stderr => io::stderr().lock().write_all(self.buffer.as_bytes()),
            Sink::File(file) => file.write(self.buffer.as_bytes()),
        };
        let lost = if written.is_ok() {
            0
        } else {
            self.buffered_lines
        };
        self.buffer.clear();
        self.buffered_lines = 0;
        self.note(written);
        lost
    }

    /// Starts a new file where `bytes` more do not fit.
    fn make_room(&mut self, bytes: u64) {
        if let Sink::File(file) = &mut self.sink
            && !file.has_room(bytes)
            && !file.is_empty()
        {
            let rotated = file.rotate();
            self.note(rotated);
        }
    }

    /// Says the first failure of a row on stderr, where it may still be seen.
    fn note(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => self.failing = false,
            Err(_) if self.failing => {}
            Err(error) => {
                self.failing = true;
                // Where stderr fails too there is no one left to tell; the counter tells.
                let _nobody_listens =
                    writeln!(io::stderr(), "coo-llm: the log cannot be written: {error}");
            }
        }
    }
}
