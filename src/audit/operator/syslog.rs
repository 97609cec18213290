//! The operator log over `/dev/log`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::Level;
use syslog::{Error, LogFormat, Logger, LoggerBackend, Severity};

use super::priority;
use crate::clock::{self, Boot};

/// A line that a syslog daemon does not take within this time goes elsewhere:
/// a full socket must not hold the daemon up.
const PATIENCE: Duration = Duration::from_millis(100);

/// For how long nothing is sent after that.
const PAUSE: Duration = Duration::from_secs(1);

/// The facility `daemon` of syslog(3).
const DAEMON: u8 = 3 << 3;

/// A connection to the syslog daemon.
pub(super) struct Syslog {
    path: PathBuf,
    layout: Layout,
    connection: Logger<LoggerBackend, Layout>,
    /// When it last did not take a line in time.
    stuck: Option<Boot>,
}

impl Syslog {
    pub(super) fn open(path: &Path, program: &'static str) -> Result<Self, Error> {
        let layout = Layout { program };
        Ok(Self {
            path: path.to_owned(),
            layout,
            connection: connect(path, layout)?,
            stuck: None,
        })
    }

    /// Sends a line; connects anew if the syslog daemon was restarted.
    pub(super) fn send(&mut self, level: Level, text: &str) -> Result<(), Error> {
        let now = clock::boot();
        if self.stuck.is_some_and(|since| since.until(now) < PAUSE) {
            return Err(Error::Write(io::ErrorKind::WouldBlock.into()));
        }
        let mut sent = self.try_send(level, text);
        if sent.is_err() && !is_stuck(&sent) {
            self.connection = connect(&self.path, self.layout)?;
            sent = self.try_send(level, text);
        }
        self.stuck = is_stuck(&sent).then(clock::boot);
        sent
    }

    fn try_send(&mut self, level: Level, text: &str) -> Result<(), Error> {
        match level {
            Level::Error => self.connection.err(text),
            Level::Warn => self.connection.warning(text),
            Level::Info => self.connection.info(text),
            Level::Debug | Level::Trace => self.connection.debug(text),
        }
    }
}

fn is_stuck(sent: &Result<(), Error>) -> bool {
    matches!(sent, Err(Error::Write(error)) if error.kind() == io::ErrorKind::WouldBlock)
}

fn connect(path: &Path, layout: Layout) -> Result<Logger<LoggerBackend, Layout>, Error> {
    let connection = syslog::unix_custom(layout, path)?;
    match &connection.backend {
        LoggerBackend::Unix(socket) => socket.set_write_timeout(Some(PATIENCE))?,
        LoggerBackend::UnixStream(stream) => stream.get_ref().set_write_timeout(Some(PATIENCE))?,
        // Not what a path leads to.
        LoggerBackend::Udp(..) | LoggerBackend::Tcp(_) => {}
    }
    Ok(connection)
}

/// The layout of RFC 3164 without the host name, as syslog(3) writes it. The
/// formatter of the crate would give UTC for local time.
#[derive(Clone, Copy)]
struct Layout {
    program: &'static str,
}

impl LogFormat<&str> for Layout {
    fn format<W: Write>(&self, to: &mut W, severity: Severity, text: &str) -> Result<(), Error> {
        let level = match severity {
            Severity::LOG_EMERG | Severity::LOG_ALERT | Severity::LOG_CRIT | Severity::LOG_ERR => {
                Level::Error
            }
            Severity::LOG_WARNING => Level::Warn,
            Severity::LOG_NOTICE | Severity::LOG_INFO => Level::Info,
            Severity::LOG_DEBUG => Level::Debug,
        };
        write!(
            to,
            "<{}>{} {}[{}]: {text}",
            DAEMON | priority(level),
            stamp(&clock::wall().local_log_stamp()),
            self.program,
            std::process::id()
        )
        .map_err(Error::Write)
    }
}

/// `Nov  5 10:00:00` of `2026/11/05 10:00:00`.
fn stamp(local: &str) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (date, time) = local.split_once(' ').unwrap_or((local, "00:00:00"));
    let mut parts = date
        .split('/')
        .skip(1)
        .map(|part| part.parse().unwrap_or(1));
    let (month, day): (usize, usize) = (parts.next().unwrap_or(1), parts.next().unwrap_or(1));
    let month = MONTHS[month.clamp(1, 12) - 1];
    format!("{month} {day:>2} {time}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use log::Level;

    use super::{PATIENCE, Syslog, stamp};
    use crate::clock;

    fn receive(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 1024];
        let size = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..size].to_vec()).unwrap()
    }

    #[test]
    fn a_line_is_one_datagram_and_a_restarted_syslog_gets_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::open(&path, "ripost-manager").unwrap();
        syslog.send(Level::Warn, "WARN one").unwrap();
        let line = receive(&socket);
        let end = format!(" ripost-manager[{}]: WARN one", std::process::id());
        assert!(line.starts_with("<28>"), "{line}");
        assert!(line.ends_with(&end), "{line}");

        drop(socket);
        std::fs::remove_file(&path).unwrap();
        assert!(syslog.send(Level::Error, "ERROR lost").is_err());
        let socket = UnixDatagram::bind(&path).unwrap();
        syslog.send(Level::Error, "ERROR two").unwrap();
        let line = receive(&socket);
        assert!(
            line.starts_with("<27>") && line.ends_with("ERROR two"),
            "{line}"
        );
    }

    #[test]
    fn a_syslog_that_takes_nothing_does_not_hold_anybody_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let _socket = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::open(&path, "ripost-manager").unwrap();
        let mut send = || syslog.send(Level::Info, "INFO x");
        let full = (0..100_000).any(|_| send().is_err());
        assert!(full, "a line was taken that nobody reads");
        // Each of these would wait if it was tried.
        let began = clock::boot();
        assert!((0..100).all(|_| send().is_err()));
        assert!(began.until(clock::boot()) < 50 * PATIENCE);
    }

    #[test]
    fn the_day_is_padded_with_a_blank() {
        assert_eq!(stamp("2026/11/05 10:00:01"), "Nov  5 10:00:01");
        assert_eq!(stamp("2026/01/31 23:59:59"), "Jan 31 23:59:59");
    }
}
