//! What this host can do: looked up at start, at each reload and session, and
//! when something changes in `active-response/bin`. No executable is run for it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{Notify, mpsc};

use crate::model::bundled::{Backend, Bundled, Library, System};
use crate::model::{Ability, Capabilities, ExeName};
use crate::sys::exe::{ExeError, Home, Kind, RECORD};
use crate::sys::host;
use crate::wire::MAX_FRAME;

/// The executables, below the home.
const BIN: &str = "active-response/bin";

/// No more executables than this are told of: far more than anybody has.
const MAX_EXECUTABLES: usize = 2_000;

/// Nor more bytes of them: what is told must fit one message, and without it
/// nothing else leaves.
const MAX_BYTES: usize = MAX_FRAME / 2;

/// How long a folder that is being written to is left alone.
const SETTLE: Duration = Duration::from_millis(500);

/// Hints are lost (inotify(7)), and some things give none, such as a kernel
/// module that is loaded.
const LOOK_AGAIN: Duration = Duration::from_secs(600);

/// Looks this host over now, and again after each hint or a while, and tells
/// what is new. Ends when nobody listens.
pub(super) async fn watch(home: Home, hints: Arc<Notify>, told: mpsc::Sender<Box<Capabilities>>) {
    let mut known = None;
    let mut watcher = watcher(&hints);
    while !told.is_closed() {
        if let Some(watcher) = &mut watcher {
            renew(watcher, home.path());
        }
        let looked_at = home.clone();
        let found = tokio::task::spawn_blocking(move || look(&looked_at)).await;
        let found = found.expect("looking at files does not panic");
        if known.as_ref() != Some(&found) {
            for gap in found.gaps() {
                log::warn!(gap = gap.as_str(); "an executable cannot work on this host; the manager is told");
            }
            known = Some(found.clone());
            if told.send(Box::new(found)).await.is_err() {
                return;
            }
        }
        // Either way it is time to look again.
        let _ = tokio::time::timeout(LOOK_AGAIN, hints.notified()).await;
        tokio::time::sleep(SETTLE).await;
    }
}

/// Without one, changes are found later.
fn watcher(hints: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let hints = Arc::clone(hints);
    let made = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // That someone reads a file, such as this module, is no hint.
        if !matches!(&event, Ok(event) if matches!(event.kind, EventKind::Access(_))) {
            hints.notify_one();
        }
    });
    made.inspect_err(|error| log::warn!(error:% = error; "active-response/bin cannot be watched; changes there are noticed within 10 minutes or at a reload"))
        .ok()
}

/// Watches what stands there now: an old watch stays with an inode that has
/// lost the name.
fn renew(watcher: &mut RecommendedWatcher, home: &Path) {
    for path in [BIN, RECORD] {
        let path = home.join(path);
        // It may never have been watched, or not be there: then it is looked at
        // again after a while.
        drop(watcher.unwatch(&path));
        drop(watcher.watch(&path, RecursiveMode::NonRecursive));
    }
}

/// Looks at the files and asks the kernel. Blocks.
fn look(home: &Home) -> Capabilities {
    let seen = Seen {
        nf_tables: host::nf_tables(),
        has_library: host::has_library,
        has_program: |name| host::find_program(name).is_some(),
        has_systemd: host::has_systemd(),
        system: System::here(),
    };
    let names = names(&home.path().join(BIN));
    Capabilities {
        executables: that_fit(names.into_iter().map(|name| {
            let ability = ability(home, &name, &seen);
            (name, ability)
        })),
        contracts: Capabilities::known_contracts(),
        fields: true,
        ipv6: host::has_ipv6(),
        system: host::system(),
    }
}

/// As many as one message holds.
fn that_fit(found: impl Iterator<Item = (ExeName, Ability)>) -> BTreeMap<ExeName, Ability> {
    let mut room = MAX_BYTES;
    let mut told = BTreeMap::new();
    for (name, ability) in found {
        let bytes = serde_json::to_vec(&(&name, &ability)).map_or(MAX_BYTES, |text| text.len());
        let Some(left) = room.checked_sub(bytes) else {
            log::warn!(told = told.len(); "what is to be told of active-response/bin is so long that the manager is told of the first files only");
            break;
        };
        room = left;
        told.insert(name, ability);
    }
    told
}

/// What lies there under a name that an executable may have. A folder that
/// cannot be read holds nothing that could be run.
fn names(folder: &Path) -> Vec<ExeName> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            log::error!(folder:% = folder.display(), error:% = error; "the folder of the executables cannot be read");
            return Vec::new();
        }
    };
    let mut names: Vec<_> = entries
        .flatten()
        .filter(|entry| !entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| ExeName::parse(entry.file_name().to_str()?).ok())
        .collect();
    names.sort_unstable();
    if names.len() > MAX_EXECUTABLES {
        log::warn!(files = names.len(); "so many files lie in active-response/bin that the manager is told of the first {MAX_EXECUTABLES} only");
        names.truncate(MAX_EXECUTABLES);
    }
    names
}

/// What the host has that back ends need.
struct Seen {
    /// Or why not.
    nf_tables: io::Result<()>,
    has_library: fn(&str) -> bool,
    has_program: fn(&str) -> bool,
    has_systemd: bool,
    system: System,
}

fn ability(home: &Home, name: &ExeName, seen: &Seen) -> Ability {
    match home.executable(name).map(|exe| exe.kind()) {
        Ok(Kind::Script) => Ability::default(),
        Ok(Kind::Bundled(row)) => {
            let (backend, gap) = match backend(row, seen) {
                Ok(backend) => (Some(backend.to_owned()), None),
                Err(gap) => (None, Some(gap)),
            };
            let mut backends = row.backends.iter();
            Ability {
                bundled: true,
                backend,
                gap,
                foreign: backends.all(|backend| is_foreign(*backend, seen)),
            }
        }
        Err(error) => Ability {
            gap: Some(reason(&error)),
            ..Ability::default()
        },
    }
}

/// In one line.
fn reason(error: &ExeError) -> String {
    error.to_string().replace('\n', " ")
}

/// With what a bundled executable works here, or why it cannot.
fn backend(row: &Bundled, seen: &Seen) -> Result<&'static str, String> {
    let missing = row
        .libraries
        .iter()
        .find(|library| !(seen.has_library)(library.file));
    if let Some(Library { file, package }) = missing {
        return Err(format!(
            "the library {file} is missing (Debian and Ubuntu: apt install {package})"
        ));
    }
    let mut gaps = Vec::new();
    for backend in row.backends {
        match usable(*backend, seen) {
            Ok(()) => return Ok(backend.name()),
            Err(gap) => gaps.push(gap),
        }
    }
    Err(gaps.join("; and "))
}

/// Whether a back end is of hosts of another kind, so that nobody could mend it
/// here.
fn is_foreign(backend: Backend, seen: &Seen) -> bool {
    let is_systemd = matches!(backend, Backend::Logind | Backend::Systemd);
    backend.objection(seen.system).is_some() || (is_systemd && !seen.has_systemd)
}

/// Whether a back end is there, or why not.
fn usable(backend: Backend, seen: &Seen) -> Result<(), String> {
    if let Some(gap) = backend.objection(seen.system) {
        return Err(gap);
    }
    match backend {
        Backend::NfTables => seen.nf_tables.as_ref().copied().map_err(|why| {
            format!("the kernel does not answer for nf_tables: {why} (as root: modprobe nf_tables)")
        }),
        Backend::Iptables => iptables(seen),
        Backend::Logind | Backend::Systemd if !seen.has_systemd => {
            Err("systemd does not run this host".to_owned())
        }
        Backend::Firewalld
        | Backend::HostsDeny
        | Backend::Https
        | Backend::InitScripts
        | Backend::Ipfw
        | Backend::Logind
        | Backend::Markers
        | Backend::Netsh
        | Backend::Npf
        | Backend::Pf
        | Backend::Quarantine
        | Backend::RouteTool
        | Backend::Routes
        | Backend::Shadow
        | Backend::Signals
        | Backend::Systemd
        | Backend::Unlink => Ok(()),
    }
}

/// Whether its kernel part can be had shows when it is used: legacy iptables
/// loads it then.
fn iptables(seen: &Seen) -> Result<(), String> {
    let nf_tables = seen.nf_tables.as_ref().err();
    // The kernel says the same to iptables.
    if nf_tables.is_some_and(|why| why.kind() == io::ErrorKind::PermissionDenied) {
        return Err("iptables is not permitted either".to_owned());
    }
    let names = ["iptables", "iptables-legacy"];
    match names.into_iter().any(seen.has_program) {
        true => Ok(()),
        false => Err("iptables is missing (Debian and Ubuntu: apt install iptables)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::io;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::{Notify, mpsc};

    use super::{BIN, Seen, ability, backend, look, that_fit, watch};
    use crate::model::action::sample;
    use crate::model::bundled::{BUNDLED, System, find};
    use crate::model::{Ability, Capabilities, ExeName};
    use crate::sys::exe::Home;
    use crate::wire::ToManager;

    /// A home with an executable of this name.
    fn home(folder: &Path, name: &str) -> Home {
        for path in ["active-response", BIN, "queue"] {
            std::fs::create_dir(folder.join(path)).unwrap();
        }
        put(folder, name, 0o750);
        Home::open(folder).unwrap()
    }

    fn put(folder: &Path, name: &str, mode: u32) {
        let path = folder.join(BIN).join(name);
        crate::sys::fs::replace(&path, b"#!/bin/sh\n", 0o600).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }

    fn name(text: &str) -> ExeName {
        ExeName::parse(text).unwrap()
    }

    const EVERYTHING: Seen = Seen {
        nf_tables: Ok(()),
        has_library: |_| true,
        has_program: |_| true,
        has_systemd: true,
        system: System::Linux,
    };

    /// Without nf_tables, for this reason.
    fn no_kernel(errno: i32) -> Seen {
        Seen {
            nf_tables: Err(io::Error::from_raw_os_error(errno)),
            ..EVERYTHING
        }
    }

    #[test]
    fn every_bundled_executable_has_a_back_end() {
        for row in BUNDLED {
            let preferred = row.backends[0];
            let is_of = |system: &&System| preferred.objection(**system).is_none();
            let system = *System::ALL.iter().find(is_of).unwrap();
            let seen = Seen {
                system,
                ..EVERYTHING
            };
            assert_eq!(backend(row, &seen), Ok(preferred.name()), "{}", row.name);
        }
        let gap = backend(find("pf").unwrap(), &EVERYTHING).unwrap_err();
        assert_eq!(gap, "pf is of FreeBSD, macOS, OpenBSD, and this is Linux");
    }

    #[test]
    fn a_back_end_needs_its_kernel_part_and_its_libraries() {
        let row = find("firewall-drop").unwrap();
        let forbidden = no_kernel(libc::EPERM);
        let gap = backend(row, &forbidden).unwrap_err();
        assert!(gap.contains("nf_tables: Operation not permitted"), "{gap}");
        let no_library = Seen {
            has_library: |file| file != "libmnl.so.0",
            ..EVERYTHING
        };
        let gap = backend(row, &no_library).unwrap_err();
        assert!(gap.contains("apt install libmnl0"), "{gap}");
        for seen in [forbidden, no_library] {
            let plain = find("host-deny").unwrap();
            assert_eq!(backend(plain, &seen), Ok("hosts.deny"));
        }
    }

    #[test]
    fn without_nf_tables_the_next_back_end_that_is_there_is_told() {
        let (drop, block) = (find("firewall-drop").unwrap(), find("block-ip").unwrap());
        let old = no_kernel(libc::EPROTONOSUPPORT);
        assert_eq!(backend(drop, &old), Ok("iptables"));
        assert_eq!(backend(block, &old), Ok("iptables"));
        let bare = Seen {
            has_program: |_| false,
            ..old
        };
        let gap = backend(drop, &bare).unwrap_err();
        assert!(gap.contains("modprobe nf_tables"), "{gap}");
        assert!(gap.contains("apt install iptables"), "{gap}");
        assert_eq!(backend(block, &bare), Ok("routes"));
    }

    #[test]
    fn a_file_is_bundled_by_its_recorded_hash_and_a_fault_is_a_gap() {
        let folder = tempfile::tempdir().unwrap();
        let home = home(folder.path(), "host-deny");
        let of = |text: &str| ability(&home, &name(text), &EVERYTHING);
        assert_eq!(of("host-deny"), Ability::default());
        home.record(&[find("host-deny").unwrap()]).unwrap();
        let bundled = Ability {
            bundled: true,
            backend: Some("hosts.deny".to_owned()),
            ..Ability::default()
        };
        assert_eq!(of("host-deny"), bundled);
        put(folder.path(), "pf", 0o750);
        home.record(&[find("pf").unwrap()]).unwrap();
        let pf = of("pf");
        assert!(pf.foreign && pf.gap.unwrap().contains("this is Linux"));
        for name in ["restart-ossec", "restart-wazuh"] {
            put(folder.path(), name, 0o750);
        }
        let seen = Seen {
            has_systemd: false,
            ..EVERYTHING
        };
        home.record(&[find("restart-wazuh").unwrap()]).unwrap();
        let restart = ability(&home, &name("restart-wazuh"), &seen);
        assert!(restart.foreign && restart.gap.unwrap().contains("systemd does not run"));
        put(folder.path(), "open.sh", 0o777);
        let gap = of("open.sh").gap.unwrap();
        assert!(gap.contains("can be written by group or others"), "{gap}");
        assert!(!gap.contains('\n'), "{gap}");
        let link = folder.path().join(BIN).join("link.sh");
        std::os::unix::fs::symlink("host-deny", link).unwrap();
        assert!(of("link.sh").gap.unwrap().contains("symbolic link"));
    }

    #[test]
    fn everything_with_a_possible_name_is_told_of_and_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let home = home(folder.path(), "notify.sh");
        std::fs::create_dir(folder.path().join(BIN).join("old")).unwrap();
        put(folder.path(), "plain.txt", 0o640);
        let found = look(&home);
        let names: Vec<_> = found.executables.keys().map(ExeName::as_str).collect();
        assert_eq!(names, ["notify.sh", "plain.txt"]);
        assert_eq!(found.lacks(&sample::action(1, "notify.sh", None)), None);
        assert!(
            found
                .lacks(&sample::action(1, "plain.txt", None))
                .unwrap()
                .contains("not executable")
        );
        assert!(found.lacks(&sample::action(1, "old", None)).is_some());
        assert!(found.system.starts_with("Linux "));
    }

    #[test]
    fn what_is_told_fits_a_message_however_long_names_and_gaps_are() {
        let found = |count: usize| {
            (0..count).map(|number| {
                let gap = format!("open /home/{}: no such file", "\"".repeat(2_000));
                let ability = Ability {
                    gap: Some(gap),
                    ..Ability::default()
                };
                (name(&format!("{number:0>255}")), ability)
            })
        };
        assert_eq!(that_fit(found(3)).len(), 3);
        let executables = that_fit(found(2_000));
        assert!(executables.len() > 200, "{}", executables.len());
        let capabilities = Box::new(Capabilities {
            executables,
            ..Capabilities::default()
        });
        let message = ToManager::Capabilities { capabilities };
        let frame = message.to_frame().unwrap();
        assert_eq!(ToManager::from_frame(&frame).unwrap(), message);
    }

    #[tokio::test]
    async fn a_change_of_the_folder_is_told_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let home = home(folder.path(), "a.sh");
        let hints = Arc::new(Notify::new());
        let (sender, mut told) = mpsc::channel(8);
        let watching = tokio::spawn(watch(home, Arc::clone(&hints), sender));
        // A file may be seen before its mode is set.
        let mut until = async |wanted: &[&str]| {
            let told = async {
                while told
                    .recv()
                    .await
                    .unwrap()
                    .executables
                    .into_keys()
                    .ne(wanted.iter().map(|text| name(text)))
                {}
            };
            let told = tokio::time::timeout(Duration::from_secs(30), told).await;
            assert!(told.is_ok(), "{wanted:?}");
        };
        until(&["a.sh"]).await;
        hints.notify_one();
        put(folder.path(), "b.sh", 0o750);
        until(&["a.sh", "b.sh"]).await;
        std::fs::remove_file(folder.path().join(BIN).join("a.sh")).unwrap();
        until(&["b.sh"]).await;
        drop(told);
        hints.notify_one();
        let ended = tokio::time::timeout(Duration::from_secs(30), watching).await;
        ended.unwrap().unwrap();
    }
}
