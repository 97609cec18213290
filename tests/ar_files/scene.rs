//! A folder that anybody may write to, with a file in it that an alert names.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, XattrFlags, lgetxattr, llistxattr, lsetxattr, open};

use crate::netns::run as tool;
use crate::run::{Home, Ran, answer, direct, feed, with_alert};

pub const QUARANTINE: &str = "quarantine-file";
pub const DELETE: &str = "delete-file";
pub const BYTES: &[u8] = b"\x7fELF not really\0\xff";

/// Where things are that are mounted for the test alone.
pub struct Scene {
    pub home: Home,
    /// Anybody may write to it, as to /dev/shm.
    pub open: PathBuf,
}

impl Scene {
    /// Once in a test. `/mnt` is the file system of the folder; that of the home
    /// is the same only if it stands there, too.
    pub fn new() -> Self {
        tool(
            "mount",
            &["-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/mnt"],
        );
        let open = PathBuf::from("/mnt/open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        Self {
            home: Home::new(),
            open,
        }
    }

    /// The file that alerts are about, with these bytes.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.open.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn add(&self, name: &str, args: &[&str], path: &Path) -> Ran {
        let input = message("add", args, &alert(path, "")) + &answer("continue", "{}");
        feed(direct(&self.home, name), input.as_bytes())
    }

    /// With these members beside the path.
    pub fn add_with(&self, name: &str, args: &[&str], path: &Path, beside: &str) -> Ran {
        let input = message("add", args, &alert(path, beside)) + &answer("continue", "{}");
        feed(direct(&self.home, name), input.as_bytes())
    }

    pub fn delete(&self, args: &[&str], path: &Path) -> Ran {
        let input = message("delete", args, &alert(path, ""));
        feed(direct(&self.home, QUARANTINE), input.as_bytes())
    }
}

/// A store on the same file system as the files, and one on another: the home's.
pub const STORES: [&[&str]; 2] = [&["--store=/mnt/store"], &[]];

/// Where a store is.
pub fn store(scene: &Scene, args: &[&str]) -> PathBuf {
    match args.first().and_then(|arg| arg.strip_prefix("--store=")) {
        Some(path) => path.into(),
        None => scene.home.file("queue/quarantine"),
    }
}

/// The names in a folder, without the lock.
pub fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != ".lock").collect();
    names.sort();
    names
}

pub fn message(command: &str, args: &[&str], alert: &str) -> String {
    let args = serde_json::to_string(args).unwrap();
    with_alert(command, alert).replace(r#""extra_args":[]"#, &format!(r#""extra_args":{args}"#))
}

pub fn alert(path: &Path, beside: &str) -> String {
    let path = serde_json::to_string(path.to_str().unwrap()).unwrap();
    format!(r#"{{"syscheck":{{"path":{path}{beside}}}}}"#)
}

/// All that a file is but its time of change, which nobody can set.
#[derive(Debug, Eq, PartialEq)]
pub struct Portrait {
    bytes: Vec<u8>,
    owner: (u32, u32),
    mode: u32,
    modified: (i64, i64),
    accessed: (i64, i64),
    extended: BTreeMap<String, Vec<u8>>,
}

pub fn portrait(path: &Path) -> Portrait {
    let stat = fs::symlink_metadata(path).unwrap();
    assert!(stat.is_file(), "{path:?}");
    let accessed = (stat.atime(), stat.atime_nsec());
    let mut buffer = vec![0; 4096];
    let length = llistxattr(path, &mut buffer[..]).unwrap();
    let names = buffer[..length].split(|byte| *byte == 0);
    let extended = names.filter(|name| !name.is_empty()).map(|name| {
        let mut value = vec![0; 4096];
        let length = lgetxattr(path, name, &mut value[..]).unwrap();
        (
            String::from_utf8(name.to_vec()).unwrap(),
            value[..length].to_vec(),
        )
    });
    Portrait {
        owner: (stat.uid(), stat.gid()),
        mode: stat.mode(),
        modified: (stat.mtime(), stat.mtime_nsec()),
        accessed,
        extended: extended.collect(),
        bytes: untouched(path),
    }
}

/// Reads a file without a trace in its times.
pub fn untouched(path: &Path) -> Vec<u8> {
    let flags = OFlags::RDONLY | OFlags::NOATIME | OFlags::CLOEXEC;
    let mut bytes = Vec::new();
    let mut file = fs::File::from(open(path, flags, Mode::empty()).unwrap());
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Makes a file special in all ways that are permitted here: without root some
/// are not.
pub fn adorn(path: &Path) {
    let _ = std::os::unix::fs::chown(path, Some(1234), Some(4321));
    fs::set_permissions(path, fs::Permissions::from_mode(0o6751)).unwrap();
    // cap_net_raw+ep (capabilities(7), struct vfs_cap_data of version 2).
    let capability = [
        1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    // user::rwx,user:99:r--,group::r-x,mask::r-x,other::--x (acl(5)).
    let entry = |tag: u16, bits: u16, id: u32| {
        let mut bytes = [tag.to_le_bytes(), bits.to_le_bytes()].concat();
        bytes.extend(id.to_le_bytes());
        bytes
    };
    let nobody = u32::MAX;
    let acl = [
        2_u32.to_le_bytes().to_vec(),
        entry(1, 7, nobody),
        entry(2, 4, 99),
        entry(4, 5, nobody),
        entry(16, 5, nobody),
        entry(32, 1, nobody),
    ]
    .concat();
    for (name, value) in [
        ("security.capability", capability.as_slice()),
        ("system.posix_acl_access", &acl),
        ("trusted.ripost", b"\0\xff"),
        ("user.origin", b"https://example.com/"),
    ] {
        let _ = lsetxattr(path, name, value, XattrFlags::empty());
    }
    tool(
        "touch",
        &[
            "-m",
            "-d",
            "2001-02-03 04:05:06.789",
            path.to_str().unwrap(),
        ],
    );
    tool(
        "touch",
        &[
            "-a",
            "-d",
            "2011-12-13 14:15:16.123456789",
            path.to_str().unwrap(),
        ],
    );
}
