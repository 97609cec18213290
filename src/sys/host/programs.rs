//! Where administrators' programs lie.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where they are looked for. The environment is not asked: it is the caller's.
pub const PROGRAM_FOLDERS: &[&str] = &[
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// The first program of this name.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let mut paths = PROGRAM_FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(name));
    paths.find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::find_program;

    #[test]
    fn a_program_is_a_file_that_can_be_executed() {
        assert!(find_program("sh").is_some_and(|path| path.ends_with("sh")));
        for name in ["no-such-program", "", ".", "../../etc/passwd"] {
            assert_eq!(find_program(name), None, "{name}");
        }
    }
}
