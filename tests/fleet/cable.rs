//! A bad cable: frames that go through it are lost, late, doubled and
//! overtaken. It is made here, and not by tc(8) or nft(8), since not every
//! kernel has what these need.

use std::collections::BTreeMap;
use std::io::{PipeReader, PipeWriter, pipe};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::packets::Packets;
use crate::support::random::Random;

/// Of a hundred frames, how many are lost, come twice, and take the short way.
const LOST: u64 = 15;
const DOUBLED: u64 = 5;
const SHORTER: u64 = 20;

/// How long a frame is on its way.
pub const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_millis(100);

/// How many bytes may be on their way; what does not fit is lost.
const ROOM: usize = 8 * 1024 * 1024;

/// The luck of all cables of a test: one seed repeats it.
#[derive(Clone)]
pub struct Luck(Arc<Mutex<Random>>);

impl Luck {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Random::new())))
    }
}

/// What a cable has done to frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct Harm {
    pub lost: u64,
    /// Arrived at least [`SHORTEST`] after they were sent.
    pub late: u64,
    pub doubled: u64,
    /// Arrived after one that was sent later in the same direction.
    pub overtaken: u64,
}

impl Harm {
    /// How often it did what it did least.
    pub fn least(&self) -> u64 {
        let Self {
            lost,
            late,
            doubled,
            overtaken,
        } = *self;
        lost.min(late).min(doubled).min(overtaken)
    }
}

/// A cable between two interfaces, with somebody in it who does the harm.
#[derive(Debug)]
#[must_use = "it is cut when it is dropped"]
pub struct Cable {
    /// Closed, it tells the thread to end.
    stop: PipeWriter,
    thread: JoinHandle<Harm>,
}

impl Cable {
    pub fn between(one: &str, other: &str, luck: &Luck) -> Self {
        let mut ends = [one, other].map(Packets::of);
        let (stopped, stop) = pipe().unwrap();
        let luck = luck.clone();
        let thread = spawn(move || carry(&mut ends, &stopped, &luck));
        Self { stop, thread }
    }

    /// Takes it away, with what is on its way.
    #[track_caller]
    pub fn end(self) -> Harm {
        drop(self.stop);
        self.thread.join().unwrap()
    }
}

/// Carries frames between two interfaces until it is stopped.
fn carry(ends: &mut [Packets; 2], stopped: &PipeReader, luck: &Luck) -> Harm {
    let mut road = Road::default();
    loop {
        if wait(ends, stopped, road.next()) {
            return road.harm;
        }
        for (from, end) in ends.iter_mut().enumerate() {
            if let Some(bytes) = end.receive() {
                road.enter(from, bytes, Instant::now(), &mut luck.0.lock().unwrap());
            }
        }
        while let Some(frame) = road.leave(Instant::now()) {
            if !ends[1 - frame.from].send(&frame.bytes) {
                road.harm.lost += 1;
            }
        }
    }
}

/// Waits until a frame comes, one is `due`, or it is over; whether it is over.
fn wait(ends: &[Packets; 2], stopped: &PipeReader, due: Option<Instant>) -> bool {
    let rest = due.map(|due| due.saturating_duration_since(Instant::now()));
    let rest = rest.map(|rest| Timespec::try_from(rest).unwrap());
    let mut waiting = [
        PollFd::new(&ends[0], PollFlags::IN),
        PollFd::new(&ends[1], PollFlags::IN),
        PollFd::new(stopped, PollFlags::IN),
    ];
    poll(&mut waiting, rest.as_ref()).unwrap();
    !waiting[2].revents().is_empty()
}

/// A frame on its way.
struct Frame {
    /// The end at which it came in.
    from: usize,
    sent: Instant,
    bytes: Vec<u8>,
}

/// What is on its way, and what has happened on it.
#[derive(Default)]
struct Road {
    /// By the moment at which they arrive, and in the order they were sent.
    frames: BTreeMap<(Instant, u64), Frame>,
    bytes: usize,
    sent: u64,
    /// Of each direction: when the last one arrives of those that keep in line,
    /// and the number of the one that was sent last of those that arrived.
    line: [Option<Instant>; 2],
    arrived: [u64; 2],
    harm: Harm,
}

impl Road {
    fn next(&self) -> Option<Instant> {
        self.frames.keys().next().map(|(due, _)| *due)
    }

    fn enter(&mut self, from: usize, bytes: Vec<u8>, now: Instant, random: &mut Random) {
        if random.below(100) < LOST || self.bytes + 2 * bytes.len() > ROOM {
            self.harm.lost += 1;
            return;
        }
        let due = if random.below(100) < SHORTER {
            now + SHORTEST
        } else {
            let late = now + SHORTEST + random.span(LONGEST - SHORTEST);
            let due = self.line[from].map_or(late, |last| last.max(late));
            self.line[from] = Some(due);
            due
        };
        if random.below(100) < DOUBLED {
            self.harm.doubled += 1;
            self.send(due, from, bytes.clone(), now);
        }
        self.send(due, from, bytes, now);
    }

    fn send(&mut self, due: Instant, from: usize, bytes: Vec<u8>, sent: Instant) {
        self.sent += 1;
        self.bytes += bytes.len();
        let frame = Frame { from, sent, bytes };
        self.frames.insert((due, self.sent), frame);
    }

    /// The next frame that has arrived.
    fn leave(&mut self, now: Instant) -> Option<Frame> {
        let first = self.frames.first_entry()?;
        let (due, number) = *first.key();
        if due > now {
            return None;
        }
        let frame = first.remove();
        self.bytes -= frame.bytes.len();
        if now - frame.sent >= SHORTEST {
            self.harm.late += 1;
        }
        let last = &mut self.arrived[frame.from];
        if number < *last {
            self.harm.overtaken += 1;
        }
        *last = number.max(*last);
        Some(frame)
    }
}

/// Sends a frame each millisecond, and returns those that arrived with the time
/// they took.
fn sent(road: &mut Road, count: u16, random: &mut Random) -> Vec<(u16, Duration)> {
    let start = Instant::now();
    let mut came = Vec::new();
    for moment in 0..=count + 100 {
        let now = start + Duration::from_millis(moment.into());
        if moment < count {
            road.enter(0, moment.to_be_bytes().to_vec(), now, random);
        }
        while let Some(frame) = road.leave(now) {
            let number = u16::from_be_bytes(frame.bytes.try_into().unwrap());
            came.push((number, now - frame.sent));
        }
    }
    came
}

#[test]
fn a_bad_cable_does_each_harm_and_counts_it() {
    const COUNT: u16 = 2_000;
    let mut road = Road::default();
    let came = sent(&mut road, COUNT, &mut Random::new());
    let harm = road.harm;
    assert!(road.frames.is_empty() && road.bytes == 0);

    let mut times = vec![0_u64; COUNT.into()];
    let mut last = 0;
    let mut overtaken = 0;
    for (number, lasted) in came {
        assert!((SHORTEST..=LONGEST + Duration::from_millis(1)).contains(&lasted));
        times[usize::from(number)] += 1;
        overtaken += u64::from(number < last);
        last = last.max(number);
    }
    let counted = |wanted| times.iter().filter(|times| **times == wanted).count() as u64;
    assert_eq!(harm.lost, counted(0));
    assert_eq!(harm.doubled, counted(2));
    assert_eq!(harm.overtaken, overtaken);
    assert_eq!(harm.late, times.iter().sum::<u64>());
    // Five standard deviations and more: no seed gets there.
    assert!((200..=400).contains(&harm.lost), "{harm:?}");
    assert!((40..=140).contains(&harm.doubled), "{harm:?}");
    assert!(harm.overtaken > 200, "{harm:?}");
}
