//! The only place that asks for the time.
//!
//! Two clocks: wall time to show and to store, boot time to wait on. Boot time
//! (`CLOCK_BOOTTIME`, clock_gettime(2)) counts suspend and ignores every step
//! of the wall clock; it means nothing after a reboot, which the boot id tells.
//! Everything that decides gets a [`Now`] passed in.

#[cfg(test)]
pub(crate) mod simulated;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Local, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// The first and the last moment that RFC 3339 can write, in UTC.
const FIRST: i64 = -62_167_219_200_000;
const LAST: i64 = 253_402_300_799_999;

/// Wall time: milliseconds since the Unix epoch. Written as RFC 3339 in UTC,
/// which has the years 0 to 9999: a moment beyond them is the first or the last
/// of them, so that whatever is written can be read again.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Wall(i64);

impl Wall {
    pub const fn from_millis(millis: i64) -> Self {
        if millis < FIRST {
            Self(FIRST)
        } else if millis > LAST {
            Self(LAST)
        } else {
            Self(millis)
        }
    }

    pub fn millis(self) -> i64 {
        self.0
    }

    pub fn plus(self, span: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(signed(span)))
    }

    pub fn minus(self, span: Duration) -> Self {
        Self::from_millis(self.0.saturating_sub(signed(span)))
    }

    /// The span from `self` to `later`, zero if `later` is earlier.
    pub fn until(self, later: Wall) -> Duration {
        Duration::from_millis(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }

    /// Reads the timestamp of an alert: RFC 3339, or with a zone without colon
    /// as Wazuh writes it (`2026-03-04T05:06:07.089+0000`).
    pub fn of_alert(text: &str) -> Option<Self> {
        DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z")
            .or_else(|_| DateTime::parse_from_rfc3339(text))
            .ok()
            .map(|time| Self::from_millis(time.timestamp_millis()))
    }

    fn utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).expect("no year is beyond 9999")
    }

    /// `YYYY/MM/DD HH:MM:SS` in local time, the layout of
    /// `active-responses.log` (Wazuh 4.14 active_responses.c write_debug_file).
    pub fn local_log_stamp(self) -> String {
        let time = self.utc().with_timezone(&Local);
        time.format("%Y/%m/%d %H:%M:%S").to_string()
    }

    /// As date(1) prints it in the C locale, in local time if `zone` is what
    /// that is called then, else in UTC.
    pub fn date_line(self, zone: Option<&str>) -> String {
        let (time, zone) = match zone {
            Some(zone) => (self.utc().with_timezone(&Local).naive_local(), zone),
            None => (self.utc().naive_utc(), "UTC"),
        };
        let (start, year) = (time.format("%a %b %e %H:%M:%S"), time.format("%Y"));
        format!("{start} {zone} {year}")
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.utc().to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl From<Wall> for String {
    fn from(wall: Wall) -> Self {
        wall.to_string()
    }
}

impl TryFrom<String> for Wall {
    type Error = chrono::ParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        DateTime::parse_from_rfc3339(&text).map(|time| Self::from_millis(time.timestamp_millis()))
    }
}

/// Boot time: milliseconds since the machine started, suspend included.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Boot(u64);

impl Boot {
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    pub fn millis(self) -> u64 {
        self.0
    }

    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(unsigned(span)))
    }

    /// The span from `self` to `later`, zero if `later` is earlier.
    pub fn until(self, later: Boot) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

/// Names one boot of the machine: boot times of different boots mean nothing
/// to each other.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct BootId(pub Arc<str>);

/// The present boot (`/proc/sys/kernel/random/boot_id`, random(4)).
pub fn boot_id() -> std::io::Result<BootId> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(BootId(text.trim().into()))
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Now {
    pub wall: Wall,
    pub boot: Boot,
}

/// This moment.
pub fn now() -> Now {
    Now {
        wall: wall(),
        boot: boot(),
    }
}

/// This moment on the wall clock.
pub fn wall() -> Wall {
    #[cfg(test)]
    if let Some(clock) = simulated::present() {
        return clock.wall();
    }
    #[expect(clippy::disallowed_methods, reason = "this is the one caller")]
    Wall::from_millis(Utc::now().timestamp_millis())
}

/// This moment in boot time.
pub fn boot() -> Boot {
    #[cfg(test)]
    if let Some(clock) = simulated::present() {
        return clock.boot();
    }
    Boot(boot_nanos() / 1_000_000)
}

/// Boot time in nanoseconds, for durations that are shown with a fraction.
pub fn boot_nanos() -> u64 {
    #[cfg(test)]
    if let Some(clock) = simulated::present() {
        return clock.boot_nanos();
    }
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).expect("boot time is never negative");
    let nanos = u64::try_from(time.tv_nsec).expect("boot time is never negative");
    seconds * 1_000_000_000 + nanos
}

fn unsigned(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn signed(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Wall;

    #[test]
    fn wall_time_is_written_and_read_as_rfc_3339_with_milliseconds() {
        let wall = Wall::from_millis(1_795_514_400_123);
        assert_eq!(wall.to_string(), "2026-11-24T10:00:00.123Z");
        assert_eq!(Wall::try_from(wall.to_string()), Ok(wall));
    }

    #[test]
    fn a_moment_beyond_the_years_that_can_be_written_is_the_last_of_them() {
        let last = "9999-12-31T23:59:59.999Z";
        let first = "0000-01-01T00:00:00.000Z";
        let read = |text: &str| Wall::try_from(text.to_owned()).unwrap();
        for (wall, shown) in [
            (Wall::from_millis(i64::MAX), last),
            (read(last).plus(Duration::MAX), last),
            (read("9999-12-31T23:59:59-23:59"), last),
            (Wall::from_millis(i64::MIN), first),
            (read(first).minus(Duration::MAX), first),
            (read("0000-01-01T00:00:00+23:59"), first),
        ] {
            assert_eq!(wall.to_string(), shown);
            assert_eq!(read(shown), wall);
        }
    }

    #[test]
    fn a_span_to_an_earlier_moment_is_zero() {
        let later = Wall::from_millis(5_000);
        assert_eq!(later.until(Wall::from_millis(1_000)), Duration::ZERO);
    }
}
