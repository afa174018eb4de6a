//! Tokens that were given back before their time.
//!
//! A token is remembered until it would have ended by itself. Where too many are, the one that
//! ends first is forgotten, and with it every token that ends no later is refused: some log in
//! again, but no revoked token comes back.

use super::AuthError;
use crate::control::lock;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Tokens that are remembered, about 100 bytes each.
const REVOKED_MAX: usize = 10_000;

/// The file, in the folder `auth` of the data folder: a line `exp jti` each, or `exp *` where
/// everything that ends up to then is refused.
const FILE: &str = "revoked";
const ALL: &str = "*";

/// Lines that are appended before the file is written anew.
const APPENDED_MAX: usize = 2 * REVOKED_MAX;

/// What was revoked.
#[derive(Debug, Default)]
pub(super) struct Revoked {
    /// By the end of their time, unix seconds.
    tokens: BTreeSet<(u64, String)>,
    /// Tokens that end by then are refused, all of them.
    floor: u64,
}

impl Revoked {
    /// Whether a token is revoked.
    pub(super) fn has(&self, jti: &str, exp: u64) -> bool {
        exp <= self.floor || self.tokens.contains(&(exp, jti.to_owned()))
    }

    /// Revokes a token; gives the lines that say so.
    pub(super) fn revoke(&mut self, jti: &str, exp: u64, now: u64) -> String {
        while let Some(first) = self.tokens.first()
            && first.0 <= now
        {
            self.tokens.pop_first();
        }
        self.tokens.insert((exp, jti.to_owned()));
        let mut lines = format!("{exp} {jti}\n");
        if self.tokens.len() > REVOKED_MAX
            && let Some((exp, _)) = self.tokens.pop_first()
        {
            self.floor = self.floor.max(exp);
            lines.push_str(&format!("{exp} {ALL}\n"));
        }
        lines
    }

    fn parse(text: &str, now: u64) -> Option<Self> {
        let mut revoked = Self::default();
        // A line without its end was being written when the machine stopped: nobody has been
        // told yet that this token is revoked.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines() {
            let (exp, jti) = line.split_once(' ')?;
            let exp = exp.parse().ok()?;
            if jti == ALL {
                revoked.floor = revoked.floor.max(exp);
            } else if exp > now {
                revoked.revoke(jti, exp, now);
            }
        }
        Some(revoked)
    }

    fn text(&self) -> String {
        let mut text = format!("{} {ALL}\n", self.floor);
        for (exp, jti) in &self.tokens {
            text.push_str(&format!("{exp} {jti}\n"));
        }
        text
    }
}

/// Where it is kept.
#[derive(Debug)]
pub(super) struct RevokedFile {
    path: PathBuf,
    appended: usize,
}

impl RevokedFile {
    /// Opens that of the folder; with it comes what it knows and is not over at `now`, in unix
    /// seconds.
    pub(super) fn open(folder: &Path, now: u64) -> Result<(Self, Revoked), AuthError> {
        let path = folder.join(FILE);
        let wrong = |error| AuthError::File(folder.join(FILE), error);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(wrong(error)),
        };
        let revoked = Revoked::parse(&text, now);
        let revoked = revoked.ok_or_else(|| AuthError::RevokedIsBroken(path.clone()))?;
        let mut file = Self { path, appended: 0 };
        file.rewrite(&revoked.text()).map_err(wrong)?;
        Ok((file, revoked))
    }

    /// Revokes a token and writes it down; returns when it is on the disk. Requests go on
    /// meanwhile: `revoked` is locked only for the first part.
    ///
    /// # Errors
    /// It cannot be written: the token is refused, and after a restart it is good again.
    pub(super) fn revoke(
        &mut self,
        revoked: &Mutex<Revoked>,
        jti: &str,
        exp: u64,
        now: u64,
    ) -> io::Result<()> {
        let (lines, whole) = {
            let mut revoked = lock(revoked);
            let lines = revoked.revoke(jti, exp, now);
            let whole = (self.appended >= APPENDED_MAX).then(|| revoked.text());
            (lines, whole)
        };
        if let Some(whole) = whole {
            return self.rewrite(&whole);
        }
        self.appended += 1;
        let mut file = options().append(true).create(true).open(&self.path)?;
        file.write_all(lines.as_bytes())?;
        file.sync_data()
    }

    /// Writes the file anew, beside the old one until it is whole.
    fn rewrite(&mut self, text: &str) -> io::Result<()> {
        let draft = self.path.with_extension("new");
        let mut options = options();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        fs::rename(&draft, &self.path)?;
        self.appended = 0;
        Ok(())
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::tests::Folder;

    #[test]
    fn a_revoked_token_stays_so_over_restarts() {
        let folder = Folder::new();
        let open = |now| RevokedFile::open(folder.path(), now).expect("the file");
        let (mut file, revoked) = open(0);
        let revoked = Mutex::new(revoked);
        file.revoke(&revoked, "a", 100, 10).expect("written");
        file.revoke(&revoked, "b", 200, 10).expect("written");
        let has = |jti: &str, exp| lock(&revoked).has(jti, exp);
        assert!(has("a", 100) && !has("a", 200) && !has("c", 100));
        // What is over is not kept; a line that was not finished does no harm.
        let path = folder.path().join(FILE);
        let mut text = fs::read_to_string(&path).expect("the file");
        text.push_str("300 c");
        fs::write(&path, text).expect("ours");
        let (_, revoked) = open(150);
        assert_eq!(fs::read_to_string(&path).expect("the file"), "0 *\n200 b\n");
        assert!(revoked.has("b", 200) && !revoked.has("c", 300));
        fs::write(&path, "x y\n").expect("ours");
        let broken = RevokedFile::open(folder.path(), 0).err();
        assert!(matches!(broken, Some(AuthError::RevokedIsBroken(_))));
    }

    #[test]
    fn what_is_forgotten_for_want_of_room_is_still_refused() {
        let folder = Folder::new();
        let mut revoked = Revoked::default();
        for n in 0..REVOKED_MAX as u64 {
            revoked.revoke(&format!("t{n}"), 1000 + n, 0);
        }
        assert!(!revoked.has("other", 1000));
        let revoked = Mutex::new(revoked);
        let (mut file, _) = RevokedFile::open(folder.path(), 0).expect("the file");
        file.appended = APPENDED_MAX;
        file.revoke(&revoked, "one-more", 50_000, 0)
            .expect("written");
        assert_eq!(file.appended, 0, "the file was written anew");
        let (_, again) = RevokedFile::open(folder.path(), 0).expect("the file");
        for revoked in [&*lock(&revoked), &again] {
            assert_eq!(revoked.tokens.len(), REVOKED_MAX);
            for jti in ["t0", "other"] {
                assert!(revoked.has(jti, 1000), "{jti}");
            }
            assert!(revoked.has("t1", 1001) && !revoked.has("other", 1001));
            assert!(revoked.has("one-more", 50_000));
        }
    }
}
