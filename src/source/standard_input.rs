//! Lines from a descriptor that is read once, to its end: standard input.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::{mpsc, watch};

use super::framing::{Framing, parts};
use super::outlet::{End, Outlet};
use super::wake::Wake;
use super::{Accept, Event, Follower, Units};

/// How much is read at once, in bytes.
const CHUNK: usize = 64 << 10;

/// How often it is asked whether it is to stop, while nothing comes.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 250_000_000,
};

/// Starts a thread that reads `input` to its end, where it says
/// [`Event::Ended`]. `accept_tail` tells whether an end without newline is a
/// whole line. `events` bounds what is in flight, as with [`super::follow`].
///
/// # Errors
/// The thread cannot be started.
pub fn read(
    input: OwnedFd,
    (accept_tail, units): (Accept, Units),
    events: mpsc::Sender<Event>,
) -> io::Result<Follower> {
    let (stop, stopped) = watch::channel(false);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut outlet = Outlet::new(events, stopped, runtime, None);
    let thread = std::thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || work(input, (&accept_tail, units), &mut outlet).or_else(End::into_result))?;
    Ok(Follower {
        stop,
        wake: Arc::new(Wake::default()),
        thread: Some(thread),
    })
}

fn work(
    input: OwnedFd,
    (accept_tail, units): (&Accept, Units),
    outlet: &mut Outlet,
) -> Result<(), End> {
    let mut framing = Framing::begin(units).map_err(End::Failed)?;
    outlet.send(Event::Listening)?;
    outlet.send(framing.begun())?;
    let mut input = File::from(input);
    let mut buffer = vec![0; CHUNK];
    loop {
        let mut waited = [PollFd::new(&input, PollFlags::IN)];
        match poll(&mut waited, Some(&LOOK)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {
                outlet.check()?;
                continue;
            }
            Ok(_) => {}
            Err(error) => return Err(End::Failed(error.into())),
        }
        let count = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) =>
            {
                continue;
            }
            Err(error) => return Err(End::Failed(error)),
        };
        for event in parts(&buffer[..count]).flat_map(|part| framing.take(part)) {
            outlet.send(event)?;
        }
    }
    while let Some(event) = framing.end(accept_tail) {
        outlet.send(event)?;
    }
    outlet.send(Event::Ended)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tokio::sync::mpsc;

    use super::read;
    use crate::source::{Accept, Event, Units};

    #[test]
    fn a_pipe_is_read_to_its_end_also_without_a_newline() {
        for (text, wanted) in [
            ("{1}\n{2}", vec!["{1}", "{2}", "ended"]),
            ("{1}\n{2", vec!["{1}", "half a line", "ended"]),
            ("", vec!["ended"]),
        ] {
            let (reader, mut writer) = std::io::pipe().unwrap();
            let (sender, mut events) = mpsc::channel(1);
            let accept = Accept::new(|text| text.ends_with(b"}"));
            let running = read(reader.into(), (accept, Units::Lines), sender).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
            drop(writer);
            let mut found = Vec::new();
            while let Some(event) = events.blocking_recv() {
                match event {
                    Event::Listening | Event::Begun { .. } => {}
                    Event::Lines { lines, .. } => found.extend(
                        lines
                            .into_iter()
                            .map(|line| String::from_utf8(line.bytes).unwrap()),
                    ),
                    Event::PassedOver { kind, .. } => found.push(kind.label().to_owned()),
                    Event::Ended => found.push("ended".to_owned()),
                    event => panic!("{event:?}"),
                }
            }
            assert_eq!(found, wanted);
            running.stop().unwrap();
        }
    }

    #[test]
    fn it_stops_when_it_is_told_though_nothing_comes_and_nobody_listens() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let (sender, mut events) = mpsc::channel(1);
        let running = read(reader.into(), (Accept::new(|_| true), Units::Lines), sender).unwrap();
        assert!(matches!(events.blocking_recv(), Some(Event::Listening)));
        // More than the channel takes: it waits for its owner.
        writer.write_all(&b"a\n".repeat(5_000)).unwrap();
        running.stop().unwrap();
        let (reader, _writer) = std::io::pipe().unwrap();
        let (sender, _events) = mpsc::channel(4);
        let running = read(reader.into(), (Accept::new(|_| true), Units::Lines), sender).unwrap();
        running.stop().unwrap();
    }
}
