//! Where an executable runs, and under which name.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::model::ExeName;

/// Why an executable does not know where it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoPlace {
    #[error("find its own file\n(is /proc mounted?)")]
    NoSelf(#[source] io::Error),
    #[error(
        "find its home from {0}\n(an executable works from HOME/active-response/bin only; `ripostctl init` makes such a home)"
    )]
    NotInHome(PathBuf),
    #[error("enter its home {home}")]
    Enter {
        home: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("learn its name")]
    NoName,
}

/// Enters the home: the directory above the `active-response/bin` that holds
/// the running file, links resolved, whatever the caller's directory is
/// (Wazuh 4.14 file_op.c w_homedir). Answers the name to log and report under.
pub(super) fn enter() -> Result<ExeName, NoPlace> {
    let file = std::env::current_exe().map_err(NoPlace::NoSelf)?;
    let home = home_of(&file).ok_or_else(|| NoPlace::NotInHome(file.clone()))?;
    std::env::set_current_dir(home).map_err(|source| NoPlace::Enter {
        home: home.to_owned(),
        source,
    })?;
    let called = std::env::args_os().next().unwrap_or_default();
    name_of(&called)
        .or_else(|| name_of(file.as_os_str()))
        .ok_or(NoPlace::NoName)
}

fn home_of(file: &Path) -> Option<&Path> {
    let bin = file.parent()?;
    let above = bin.parent()?;
    (bin.file_name() == Some(OsStr::new("bin"))
        && above.file_name() == Some(OsStr::new("active-response")))
    .then(|| above.parent())
    .flatten()
}

/// The last component of the path it was called by, so that a link reports
/// under its own name, as in 4.x.
fn name_of(called: &OsStr) -> Option<ExeName> {
    let name = called.as_bytes().rsplit(|&byte| byte == b'/').next()?;
    ExeName::parse(str::from_utf8(name).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::Path;

    use super::{home_of, name_of};

    #[test]
    fn a_home_is_above_active_response_bin() {
        for (file, home) in [
            (
                "/var/ossec/active-response/bin/firewall-drop",
                Some("/var/ossec"),
            ),
            // Replaced while it runs (proc(5)).
            ("/h/active-response/bin/host-deny (deleted)", Some("/h")),
            ("/active-response/bin/host-deny", Some("/")),
            ("/usr/local/bin/host-deny", None),
            ("/h/active-response/host-deny", None),
            ("/host-deny", None),
        ] {
            assert_eq!(home_of(Path::new(file)), home.map(Path::new), "{file}");
        }
    }

    #[test]
    fn the_name_is_the_last_component() {
        for (called, wanted) in [
            ("active-response/bin/firewall-drop", Some("firewall-drop")),
            ("firewall-drop", Some("firewall-drop")),
            ("x/", None),
            ("", None),
            ("a\nb", None),
        ] {
            let name = name_of(OsStr::new(called));
            assert_eq!(name.as_ref().map(|name| name.as_str()), wanted, "{called}");
        }
    }
}
