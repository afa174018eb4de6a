//! The key that signs tokens: random, of its own, kept in a file that only we may read.

use super::AuthError;
use crate::control::hex;
use ring::rand::{SecureRandom, SystemRandom};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The file, in the folder `auth` of the data folder.
const FILE: &str = "signing.key";
/// 64 digits and a line end.
const FILE_BYTES: u64 = 65;

/// 256 random bits: as many as the MAC's hash has (RFC 7518, 3.2).
#[derive(Clone)]
pub(super) struct SigningKey([u8; 32]);

impl SigningKey {
    /// A new one, for this process alone.
    pub(super) fn random() -> Result<Self, AuthError> {
        random().map(Self)
    }

    /// That of the folder; made at the first start.
    pub(super) fn kept_in(folder: &Path) -> Result<Self, AuthError> {
        let wrong = |error| AuthError::File(folder.to_owned(), error);
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(folder).map_err(wrong)?;
        let path = folder.join(FILE);
        match read(&path) {
            Err(AuthError::File(_, error)) if error.kind() == io::ErrorKind::NotFound => {
                make(&path)?;
                read(&path)
            }
            other => other,
        }
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Random bytes of the system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], AuthError> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| AuthError::Random)?;
    Ok(bytes)
}

fn read(path: &Path) -> Result<SigningKey, AuthError> {
    let wrong = |error| AuthError::File(path.to_owned(), error);
    let file = File::open(path).map_err(wrong)?;
    let metadata = file.metadata().map_err(wrong)?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(AuthError::KeyIsOpen(path.to_owned()));
    }
    let mut text = Vec::new();
    file.take(FILE_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(wrong)?;
    let digits = text.strip_suffix(b"\n").unwrap_or(&text);
    let key = hex::digest(digits).ok_or_else(|| AuthError::KeyIsBroken(path.to_owned()))?;
    Ok(SigningKey(key))
}

/// Writes a key under another name and links it: a file of that name is whole, and where two
/// processes start at once both take the first one's.
fn make(path: &Path) -> Result<(), AuthError> {
    let wrong = |error| AuthError::File(path.to_owned(), error);
    let key = SigningKey::random()?;
    let name = format!("{FILE}.{}", hex::of(&random::<8>()?));
    let draft = path.with_file_name(name);
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&draft)?;
        writeln!(file, "{}", hex::of(key.bytes()))?;
        file.sync_all()?;
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    };
    let made = write().map_err(wrong);
    // It may not be there; the key is, or `made` says why not.
    let _cleaned = fs::remove_file(&draft);
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::tests::Folder;

    #[test]
    fn it_is_made_once_and_only_its_owner_may_read_it() {
        let folder = Folder::new();
        let of = |name: &str| folder.path().join(name);
        let key = SigningKey::kept_in(&of("auth")).expect("a key");
        let again = SigningKey::kept_in(&of("auth")).expect("the key");
        assert_eq!(key.bytes(), again.bytes());
        let other = SigningKey::kept_in(&of("other")).expect("a key");
        assert_ne!(key.bytes(), other.bytes());
        let path = of("auth").join(FILE);
        let mode = |path: &Path| {
            fs::metadata(path)
                .expect("it is there")
                .permissions()
                .mode()
        };
        assert_eq!(mode(&path) & 0o777, 0o600);
        assert_eq!(mode(&of("auth")) & 0o777, 0o700);
        let files = fs::read_dir(of("auth")).expect("a folder").count();
        assert_eq!(files, 1, "no draft is left");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("ours");
        let open = SigningKey::kept_in(&of("auth")).err();
        assert!(matches!(open, Some(AuthError::KeyIsOpen(_))), "{open:?}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
        fs::write(&path, "short\n").expect("ours");
        let broken = SigningKey::kept_in(&of("auth")).err();
        assert!(
            matches!(broken, Some(AuthError::KeyIsBroken(_))),
            "{broken:?}"
        );
    }
}
