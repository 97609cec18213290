//! What opens a service, somebody else's or ours: kept in a file that nobody
//! else can read, and shown to nobody.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::sys::fs::FsError;

/// Longer than any token or hook.
const MAX_BYTES: u64 = 4_096;

/// A token, or a URL that is one.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(String);

/// Why a file is no place for a secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error(transparent)]
    File(#[from] FsError),
    #[error("use the secret in {}: others can read or change it\n(chmod 600 it)", .0.display())]
    Mode(PathBuf),
    #[error("use the secret in {}: it belongs to user {uid}\n(chown it to root)", path.display())]
    Owner { path: PathBuf, uid: u32 },
    #[error(
        "use the secret in {}: it is not one line of printable ASCII without blanks",
        .0.display()
    )]
    Form(PathBuf),
}

impl Secret {
    /// Reads the one line in a file. Whoever could read or change it could do
    /// as we do, so it must be its owner's alone, and the owner root or who we
    /// run as.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)
            .map_err(FsError::io("open", path))?;
        let metadata = file.metadata().map_err(FsError::io("look at", path))?;
        if !metadata.is_file() {
            return Err(FsError::NotRegular(path.to_owned()).into());
        }
        let own = rustix::process::geteuid().as_raw();
        match metadata.uid() {
            uid if uid != 0 && uid != own => {
                let path = path.to_owned();
                return Err(SecretError::Owner { path, uid });
            }
            _ if metadata.mode() & 0o077 != 0 => return Err(SecretError::Mode(path.to_owned())),
            _ => {}
        }
        let mut text = String::new();
        let read = file.take(MAX_BYTES).read_to_string(&mut text);
        read.map_err(FsError::io("read", path))?;
        Self::parse(&text).ok_or_else(|| SecretError::Form(path.to_owned()))
    }

    /// A line with nothing in it that could end a header or a request line.
    fn parse(text: &str) -> Option<Self> {
        let line = text.trim_ascii();
        let is_good = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_graphic());
        is_good.then(|| Self(line.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(...)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::{Secret, SecretError};
    use crate::sys::fs::replace_secret;

    fn read(path: &Path, bytes: &[u8]) -> Result<Secret, SecretError> {
        replace_secret(path, bytes).unwrap();
        Secret::read(path)
    }

    #[test]
    fn a_secret_is_one_line_and_shown_to_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for bytes in [b"t0ken_-.~".as_slice(), b"t0ken_-.~\n", b" t0ken_-.~\r\n"] {
            let secret = read(&path, bytes).unwrap();
            assert_eq!(secret.as_str(), "t0ken_-.~");
            assert!(!format!("{secret:?}").contains("t0ken"));
        }
        for bytes in [
            b"".as_slice(),
            b"\n",
            b"two words",
            b"two\nlines",
            b"a\r\nX: y",
            "t\u{f6}ken".as_bytes(),
            b"a\0b",
        ] {
            let secret = read(&path, bytes);
            assert!(matches!(secret, Err(SecretError::Form(_))), "{secret:?}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_or_change_holds_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for mode in [0o640, 0o604, 0o620, 0o602, 0o601] {
            replace_secret(&path, b"x").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let secret = Secret::read(&path);
            assert!(matches!(secret, Err(SecretError::Mode(_))), "{mode:o}");
        }
        replace_secret(&path, b"x").unwrap();
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(Secret::read(&link), Err(SecretError::File(_))));
        assert!(matches!(
            Secret::read(folder.path()),
            Err(SecretError::File(_))
        ));
    }
}
