//! Clocks that a test can move: the wall clock of the daemons, and the whole
//! machine's, by a reboot that only they see.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::Command;

use super::home::Home;
use super::isolation::{mount, run};
use super::net::Net;

const SHIM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/wallclock.c");
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const TIME_NAMESPACE: &str = "/run/boot-time";

/// The wall clock as daemons started through it see it.
pub struct WallClock {
    library: PathBuf,
    offset: PathBuf,
}

impl WallClock {
    pub fn new(home: &Home) -> Self {
        let library = home.beside().join("wallclock.so");
        run(
            "cc",
            &[
                "-shared",
                "-fPIC",
                "-O1",
                "-Wall",
                "-Werror",
                "-o",
                library.to_str().unwrap(),
                SHIM,
            ],
        );
        let clock = Self {
            library,
            offset: home.beside().join("wallclock.offset"),
        };
        clock.set(0);
        clock
    }

    /// Puts the clock this many seconds before (negative) or after the true
    /// time, at once for every daemon that runs.
    pub fn set(&self, seconds: i64) {
        // Written in place: the daemons have mapped this very file.
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.offset)
            .unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(&(seconds * 1000).to_ne_bytes()).unwrap();
    }

    /// Makes a command line start its program under this clock.
    pub fn applied_to(&self, mut command: Command) -> Command {
        command
            .env("LD_PRELOAD", &self.library)
            .env("RIPOST_TEST_WALLCLOCK", &self.offset);
        command
    }
}

/// The machine as daemons see it, which can be started anew.
pub struct Machine {
    boots: u32,
}

impl Machine {
    /// A machine that has not been started anew yet; boot id and boot time are
    /// the real ones.
    pub fn new() -> Self {
        Self { boots: 0 }
    }

    /// What a power cut and the next start change: the ruleset is empty, the
    /// boot id is another, boot time starts again. The daemons must have been
    /// killed, and be started with [`Machine::on_server`] from here on.
    pub fn reboot(&mut self, net: &Net, home: &Home) {
        self.boots += 1;
        net.server("nft", &["flush", "ruleset"]);

        let id = home.beside().join(format!("boot_id.{}", self.boots));
        fs::write(&id, format!("00000000-0000-4000-8000-{:012}\n", self.boots)).unwrap();
        mount(&["--bind", id.to_str().unwrap(), BOOT_ID]);

        // time_namespaces(7): a process inside sees CLOCK_BOOTTIME moved.
        let uptime = fs::read_to_string("/proc/uptime").unwrap();
        let seconds: u64 = uptime.split('.').next().unwrap().parse().unwrap();
        let back = seconds.saturating_sub(5);
        let name = self.namespace();
        fs::write(&name, "").unwrap();
        run(
            "unshare",
            &[
                &format!("--time={name}"),
                &format!("--boottime=-{back}"),
                "--fork",
                "true",
            ],
        );
    }

    fn namespace(&self) -> String {
        format!("{TIME_NAMESPACE}.{}", self.boots)
    }

    /// The command line that starts a program on the server as it was booted
    /// last, to be completed.
    pub fn on_server(&self, net: &Net) -> Command {
        let mut command = net.on_server();
        if self.boots > 0 {
            command.arg(format!("--time={}", self.namespace()));
        }
        command
    }
}
