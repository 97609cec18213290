//! Sockets that are there already, and who may write to them.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;

use ripost::source::{Access, Door, DoorError};

fn open(path: &Path) -> Result<Door, DoorError> {
    Door::unix_stream(path, &Access::default())
}

#[test]
fn a_socket_that_a_killed_predecessor_left_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.sock");
    drop(open(&path).unwrap());
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    assert!(UnixStream::connect(&path).is_err());
    let _door = open(&path).unwrap();
    UnixStream::connect(&path).unwrap();

    let path = folder.path().join("datagrams.sock");
    drop(Door::unix_datagram(&path, &Access::default()).unwrap());
    let _door = Door::unix_datagram(&path, &Access::default()).unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    sender.send_to(b"{1}", &path).unwrap();
}

#[test]
fn a_socket_that_somebody_listens_at_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.sock");
    let other = UnixListener::bind(&path).unwrap();
    // More than wait to be accepted: to connect would take for ever.
    let _waiting: Vec<_> = (0..200)
        .map_while(|_| {
            let socket = rustix::net::socket_with(
                rustix::net::AddressFamily::UNIX,
                rustix::net::SocketType::STREAM,
                rustix::net::SocketFlags::NONBLOCK,
                None,
            );
            let address = rustix::net::SocketAddrUnix::new(&path).unwrap();
            let socket = socket.unwrap();
            rustix::net::connect(&socket, &address)
                .ok()
                .map(|()| socket)
        })
        .collect();
    for result in [open(&path), Door::unix_datagram(&path, &Access::default())] {
        let error = result.unwrap_err();
        assert!(matches!(error, DoorError::Taken { .. }), "{error}");
    }
    assert!(other.accept().is_ok());
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.sock");
    fs::write(&path, b"precious").unwrap();
    let link = folder.path().join("link.sock");
    let dead = folder.path().join("dead.sock");
    drop(UnixListener::bind(&dead).unwrap());
    std::os::unix::fs::symlink(&dead, &link).unwrap();
    for path in [&path, &link, &folder.path().to_owned()] {
        let error = open(path).unwrap_err();
        assert!(
            matches!(
                error,
                DoorError::NotASocket { .. } | DoorError::Exposed { .. }
            ),
            "{error}"
        );
    }
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn a_directory_that_others_can_write_to_is_no_place_for_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let open_to_all = folder.path().join("open");
    fs::create_dir(&open_to_all).unwrap();
    let path = open_to_all.join("alerts.sock");
    for (mode, fits) in [
        (0o777, false),
        (0o770, false),
        (0o1777, true),
        (0o755, true),
    ] {
        fs::set_permissions(&open_to_all, fs::Permissions::from_mode(mode)).unwrap();
        let opened = open(&path);
        assert_eq!(opened.is_ok(), fits, "{mode:o}: {opened:?}");
        assert_eq!(path.exists(), fits, "{mode:o}");
    }
    let error = open(&folder.path().join("none/alerts.sock")).unwrap_err();
    assert!(error.to_string().contains("No such file"), "{error}");
}

#[test]
fn a_socket_has_the_mode_and_group_that_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.sock");
    let there = || fs::metadata(&path).unwrap();
    let door = open(&path).unwrap();
    assert_eq!(there().mode() & 0o777, 0o600);
    let own = there().gid();
    let group = Access {
        mode: 0o660,
        group: Some(own.to_string()),
    };
    let again = door.with(&group, &[]).unwrap();
    drop(door);
    assert_eq!((there().mode() & 0o777, there().gid()), (0o660, own));
    // It is the same socket: nobody was turned away.
    UnixStream::connect(&path).unwrap();
    drop(again);
    let nobody = Access {
        mode: 0o660,
        group: Some("no such group".to_owned()),
    };
    let error = Door::unix_stream(&path, &nobody).unwrap_err();
    assert!(matches!(error, DoorError::NoGroup { .. }), "{error}");
}
