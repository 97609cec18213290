//! `ip-customblock`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::netns::{reexec_in_namespace, run as tool};
use crate::quarantine::ended;
use crate::run::{Home, Ran, answer, direct, feed};
use crate::scene::{message, names};

const NAME: &str = "ip-customblock";

fn run(home: &Home, command: &str, args: &[&str], srcip: &str) -> Ran {
    let alert = format!(r#"{{"data":{{"srcip":"{srcip}"}}}}"#);
    let mut input = message(command, args, &alert);
    if command == "add" {
        input += &answer("continue", "{}");
    }
    feed(direct(home, NAME), input.as_bytes())
}

#[test]
fn an_address_has_a_file_of_its_name_until_it_is_taken_away() {
    reexec_in_namespace(|| {
        tool(
            "mount",
            &["-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/mnt"],
        );
        let home = Home::new();
        let folder = Path::new("/mnt/a/ipblock");
        let args = &["--directory", "/mnt/a/ipblock"];
        for (more, srcip, file) in [
            (&[][..], "192.0.2.10", "192.0.2.10"),
            (&[], "2001:0DB8:0:0:0:0:0:0011", "2001:db8::11"),
            (&[], "::ffff:192.0.2.11", "192.0.2.11"),
            (&[], "198.51.100.7/24", "198.51.100.0_24"),
            (&["--ipv6-prefix=64"], "2001:db8::1", "2001:db8::_64"),
        ] {
            let args = &[args, more].concat();
            ended(&run(&home, "add", args, srcip), "applied");
            assert_eq!(names(folder), [file]);
            let again = run(&home, "add", args, srcip);
            assert_eq!(again.result()["detail"], "was in force already");
            ended(&run(&home, "delete", args, srcip), "reverted");
            assert_eq!(names(folder), [] as [&str; 0]);
            let ran = run(&home, "delete", args, srcip);
            ended(&ran, "absent");
        }
        let mode = fs::metadata(folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        for srcip in [
            "../../etc/passwd",
            "192.0.2.1/../x",
            ".",
            "",
            "127.1",
            "0.0.0.0/0",
        ] {
            assert_eq!(run(&home, "add", args, srcip).code, Some(255), "{srcip}");
        }
        assert_eq!(names(folder), [] as [&str; 0]);
    });
}

#[test]
fn without_an_option_it_is_the_folder_of_4_x() {
    reexec_in_namespace(|| {
        // The root of the machine is not the test's to write to.
        tool(
            "mount",
            &["-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/mnt"],
        );
        for folder in ["/mnt/upper", "/mnt/work", "/mnt/root"] {
            fs::create_dir(folder).unwrap();
        }
        let home = Home::new();
        let layers = "lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work";
        let overlay = ["-t", "overlay", "-o", layers, "overlay", "/mnt/root"];
        let mounted = Command::new("mount").args(overlay).output().unwrap();
        if !mounted.status.success() {
            eprintln!("SKIPPED: this system lays no file system over another");
            return;
        }
        tool("mount", &["-t", "proc", "proc", "/mnt/root/proc"]);
        let program = home.file("active-response/bin").join(NAME);
        if !Path::new("/mnt/root")
            .join(program.strip_prefix("/").unwrap())
            .exists()
        {
            eprintln!("SKIPPED: the folder for temporary files is a mount of its own");
            return;
        }
        let mut command = Command::new("chroot");
        command.arg("/mnt/root").arg(program);
        let alert = r#"{"data":{"srcip":"192.0.2.1"}}"#;
        let input = message("add", &[], alert) + &answer("continue", "{}");
        ended(&feed(command, input.as_bytes()), "applied");
        assert_eq!(names(Path::new("/mnt/root/ipblock")), ["192.0.2.1"]);
    });
}

#[test]
fn what_the_administrator_has_there_stays() {
    reexec_in_namespace(|| {
        tool(
            "mount",
            &["-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/mnt"],
        );
        let home = Home::new();
        fs::write("/mnt/elsewhere", "").unwrap();
        fs::create_dir("/mnt/d").unwrap();
        let args = &["--directory=/mnt/d"];
        let marker = Path::new("/mnt/d/192.0.2.1");
        for make in [
            || fs::write("/mnt/d/192.0.2.1", "").unwrap(),
            || fs::write("/mnt/d/192.0.2.1", "made by me\n").unwrap(),
            || fs::create_dir("/mnt/d/192.0.2.1").unwrap(),
            || symlink("/mnt/elsewhere", "/mnt/d/192.0.2.1").unwrap(),
            || drop(tool("mkfifo", &["/mnt/d/192.0.2.1"])),
        ] {
            make();
            let kind = fs::symlink_metadata(marker).unwrap().file_type();
            ended(&run(&home, "add", args, "192.0.2.1"), "already");
            ended(&run(&home, "delete", args, "192.0.2.1"), "absent");
            assert_eq!(fs::symlink_metadata(marker).unwrap().file_type(), kind);
            assert_eq!(fs::read("/mnt/elsewhere").unwrap(), b"");
            fs::remove_file(marker)
                .or_else(|_| fs::remove_dir(marker))
                .unwrap();
        }
    });
}

#[test]
fn a_folder_that_others_can_write_to_and_a_full_disk_take_no_marker() {
    reexec_in_namespace(|| {
        tool(
            "mount",
            &["-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/mnt"],
        );
        let home = Home::new();
        fs::create_dir("/mnt/open").unwrap();
        fs::set_permissions("/mnt/open", fs::Permissions::from_mode(0o1777)).unwrap();
        fs::create_dir("/mnt/full").unwrap();
        tool(
            "mount",
            &[
                "-t",
                "tmpfs",
                "-o",
                "size=4k,mode=0755",
                "tmpfs",
                "/mnt/full",
            ],
        );
        fs::write("/mnt/full/filler", [0; 4096]).unwrap();
        symlink("/mnt", "/mnt/open/link").unwrap();
        for (folder, why) in [
            ("/mnt/open", "others can write"),
            ("/mnt/open/new", "others can write"),
            ("/mnt/open/link/new", "symlink"),
            ("/mnt/full", "No space left"),
        ] {
            let ran = run(&home, "add", &["--directory", folder], "192.0.2.1");
            ended(&ran, "failed");
            assert!(
                ran.result()["detail"].as_str().unwrap().contains(why),
                "{ran:?}"
            );
        }
        assert_eq!(names(Path::new("/mnt/open")), ["link"]);
        assert_eq!(names(Path::new("/mnt/full")), ["filler"]);
        // A run that was killed has left the beginning of a marker.
        fs::create_dir("/mnt/d").unwrap();
        fs::write("/mnt/d/.192.0.2.1.ripost", "ma").unwrap();
        ended(
            &run(&home, "add", &["--directory=/mnt/d"], "192.0.2.1"),
            "applied",
        );
        assert_eq!(names(Path::new("/mnt/d")), ["192.0.2.1"]);
    });
}
