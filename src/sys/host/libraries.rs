//! Whether the loader would find a library, looked up where it looks
//! (ld.so(8)) without loading anything.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What ldconfig(8) has found. Read no further than this.
const CACHE: &str = "/etc/ld.so.cache";
const MAX_CACHE: u64 = 16 << 20;

/// Where it looks besides; each also with the folder of the architecture that
/// Debian has there.
const FOLDERS: [&str; 4] = ["/lib", "/usr/lib", "/lib64", "/usr/lib64"];

/// Whether a program of the same kind as this one finds the library `file`.
pub fn has_library(file: &str) -> bool {
    let mut cache = Vec::new();
    if let Ok(source) = File::open(CACHE) {
        // One that cannot be read is one that the loader does without.
        let _ = source.take(MAX_CACHE).read_to_end(&mut cache);
    }
    let ours = kind(Path::new("/proc/self/exe"));
    cached(&cache, file)
        .chain(usual(file))
        .any(|path| ours.is_some() && kind(&path) == ours)
}

/// The paths of the cache that end in `/file`. Its strings end with a NUL byte;
/// all else in it is of no interest here.
fn cached<'a>(cache: &'a [u8], file: &'a str) -> impl Iterator<Item = PathBuf> + 'a {
    cache
        .split(|byte| *byte == 0)
        .map(|text| Path::new(OsStr::from_bytes(text)))
        .filter(move |path| path.is_absolute() && path.file_name() == Some(OsStr::new(file)))
        .map(Path::to_owned)
}

fn usual(file: &str) -> impl Iterator<Item = PathBuf> {
    let architecture = format!("{}-linux-gnu", std::env::consts::ARCH);
    FOLDERS.iter().flat_map(move |folder| {
        let folder = Path::new(folder);
        [folder.join(file), folder.join(&architecture).join(file)]
    })
}

/// Word size, byte order and machine of an ELF file (elf(5)): libraries of
/// another kind are passed over by the loader.
fn kind(path: &Path) -> Option<([u8; 2], [u8; 2])> {
    let mut head = [0; 20];
    File::open(path).ok()?.read_exact(&mut head).ok()?;
    head.starts_with(b"\x7fELF")
        .then_some(([head[4], head[5]], [head[18], head[19]]))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{cached, has_library, kind};

    #[test]
    fn what_this_program_is_loaded_with_is_found_and_nothing_else() {
        assert!(has_library("libc.so.6"));
        assert!(!has_library("libripost-has-none.so.1"));
        assert!(!has_library("x86_64-linux-gnu"));
    }

    #[test]
    fn a_cache_names_a_library_by_its_whole_name() {
        let cache = b"glibc-ld.so.cache1.1\x02\0\0libx.so.1\0/lib/libx.so.1\0\
                      /lib/liblibx.so.1\0/lib/libx.so.11\0/opt/a b/libx.so.1";
        let found: Vec<_> = cached(cache, "libx.so.1").collect();
        assert_eq!(
            found,
            ["/lib/libx.so.1", "/opt/a b/libx.so.1"].map(PathBuf::from)
        );
    }

    #[test]
    fn a_file_of_another_kind_is_no_library() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        assert_eq!(kind(&path), None);
        let script = b"/* GNU ld script, not a library */";
        crate::sys::fs::replace(&path, script, 0o600).unwrap();
        assert_eq!(kind(&path), None);
        assert!(kind(Path::new("/proc/self/exe")).is_some());
        let mut head = std::fs::read("/proc/self/exe").unwrap();
        head.truncate(64);
        head[18] ^= 0xff;
        crate::sys::fs::replace(&path, &head, 0o600).unwrap();
        assert_ne!(kind(&path), kind(Path::new("/proc/self/exe")));
    }
}
