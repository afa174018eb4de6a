//! Rows that a store refuses for what they are: kept in a file, with its reasons.

use super::SetAside;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;

/// Bytes of a file before the next one begins; the one before it is kept, older ones go.
const BYTES_MAX: u64 = 32 << 20;

/// The file of one sink: `<folder>/<sink>.refused.jsonl`.
#[derive(Debug)]
pub struct AsideFile {
    path: PathBuf,
    open: Option<File>,
}

impl AsideFile {
    /// In a folder, which is made when the first row comes.
    #[must_use]
    pub fn new(folder: &std::path::Path, sink: &str) -> Self {
        Self {
            path: folder.join(format!("{sink}.refused.jsonl")),
            open: None,
        }
    }

    /// Keeps rows; when it returns they are on the disk.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn keep(&mut self, rows: &[SetAside]) -> io::Result<()> {
        let kept = self.write(rows);
        if kept.is_err() {
            self.open = None;
        }
        kept
    }

    fn write(&mut self, rows: &[SetAside]) -> io::Result<()> {
        if let Some(file) = &self.open
            && file.metadata()?.len() > BYTES_MAX
        {
            self.open = None;
            fs::rename(&self.path, self.path.with_extension("jsonl.1"))?;
        }
        let file = match &mut self.open {
            Some(file) => file,
            None => {
                if let Some(folder) = self.path.parent() {
                    fs::create_dir_all(folder)?;
                }
                let file = OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(&self.path)?;
                self.open.insert(file)
            }
        };
        let mut lines = String::new();
        for SetAside { row, reason } in rows {
            let line = serde_json::json!({ "row": row, "reason": reason });
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        file.write_all(lines.as_bytes())?;
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_lines_whatever_is_in_them_and_old_files_go() {
        let name = format!("coo-llm-aside-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let mut file = AsideFile::new(&folder, "influxdb");
        let row = |n: usize| SetAside {
            row: format!("{n}\n\"{}", "x".repeat(n)),
            reason: "no \\ field".to_owned(),
        };
        file.keep(&[row(1), row(2)]).expect("a disk");
        let text = fs::read_to_string(folder.join("influxdb.refused.jsonl")).expect("a file");
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1]["row"], "2\n\"xx");
        for _ in 0..70 {
            file.keep(&[row(1 << 20)]).expect("a disk");
        }
        let bytes: u64 = fs::read_dir(&folder)
            .expect("a folder")
            .map(|file| file.and_then(|file| file.metadata()).expect("a file").len())
            .sum();
        assert!(bytes < 3 * BYTES_MAX, "{bytes}");
        fs::remove_dir_all(&folder).expect("it goes");
    }
}
