//! What every parser of bytes from outside must hold, whatever the bytes: one
//! function for each target. It panics where a promise is broken, and says
//! whether the bytes were taken for what they are meant to be.
//!
//! libFuzzer calls these through `fuzz_targets/`; `tests/seeds.rs` of the main
//! package includes this file and feeds the seeds to them, so that `make test`
//! notices when a message changes and its seed does not.

mod alerts;
mod configuration;
mod contract;
mod reading;

use std::fmt::Debug;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use ripost::config::client::set_server;
use ripost::ctl::import::keys;
use ripost::model::{Selector, ServerAddress};
use ripost::wire::control::{Answer, Request};
use ripost::wire::enroll::{EnrollAnswer, EnrollRequest, Token};
use ripost::wire::frame::decode;
use ripost::wire::parts::Part;
use ripost::wire::{
    Frame, FrameReader, Greeting, Hello, MAX_FRAME, MAX_HELLO, ToAgent, ToManager, parts,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, ReadBuf};

pub use alerts::alert;
pub use configuration::configuration;
pub use contract::{script_input, script_reply};
pub use reading::reading;

/// One target: whether it takes these bytes for what they are meant to be.
pub type Target = fn(&[u8]) -> bool;

/// Every target by the name of its program and of the folder with its seeds.
pub const TARGETS: &[(&str, Target)] = &[
    ("frame", frame),
    ("hello", hello),
    ("to_manager", to_manager),
    ("to_agent", to_agent),
    ("enroll", enroll),
    ("control", control),
    ("client_keys", client_keys),
    ("set_server", set_the_server),
    ("words", words),
    ("configuration", configuration),
    ("script_reply", script_reply),
    ("script_input", script_input),
    ("reading", reading),
    ("alert_wazuh", |bytes| alert("wazuh", bytes)),
    ("alert_wazuh5", |bytes| alert("wazuh5", bytes)),
    ("alert_ossec", |bytes| alert("ossec", bytes)),
    ("alert_suricata", |bytes| alert("suricata", bytes)),
    ("alert_falco", |bytes| alert("falco", bytes)),
    ("alert_crowdsec", |bytes| alert("crowdsec", bytes)),
    ("alert_generic", |bytes| alert("generic", bytes)),
];

/// The bytes of a connection: frames come out the same however the reads cut
/// them, no frame is longer than its limit, and each encodes to its own bytes.
pub fn frame(bytes: &[u8]) -> bool {
    let (Some((&chunk, stream)), Some(whole)) = (bytes.split_first(), frames_of(bytes)) else {
        return false;
    };
    let in_pieces = read_in_pieces(stream, usize::from(chunk));
    assert_eq!(in_pieces, whole, "reads of {chunk} bytes change the frames");
    !whole.is_empty()
}

/// The frames after the first byte, as [`FrameReader`] must find them.
fn frames_of(bytes: &[u8]) -> Option<Vec<Frame>> {
    let mut rest = bytes.get(1..)?;
    let mut limit = MAX_HELLO;
    let mut frames = Vec::new();
    while let Ok(Some((frame, used))) = decode(rest, limit) {
        assert!(used <= limit + 4, "a frame of {used} bytes");
        assert_eq!(frame.length(), used);
        assert_eq!(frame.encode(), &rest[..used]);
        rest = &rest[used..];
        limit = MAX_FRAME;
        frames.push(frame);
    }
    Some(frames)
}

fn read_in_pieces(stream: &[u8], chunk: usize) -> Vec<Frame> {
    let mut reader = FrameReader::new(Pieces {
        rest: stream,
        chunk: chunk + 1,
        quiet: false,
    });
    let mut frames = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    loop {
        let next = pin!(reader.next()).poll(&mut context);
        match next {
            Poll::Ready(Ok(Some(frame))) => frames.push(frame),
            Poll::Ready(Ok(None) | Err(_)) => return frames,
            // A read that is given up must lose nothing.
            Poll::Pending => {}
        }
    }
}

/// A connection on which a few bytes arrive at a time, and nothing in between.
struct Pieces<'a> {
    rest: &'a [u8],
    chunk: usize,
    /// Whether nothing arrives this time.
    quiet: bool,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.quiet = !self.quiet;
        if self.quiet {
            return Poll::Pending;
        }
        let length = self.rest.len().min(self.chunk).min(buffer.remaining());
        let (piece, rest) = self.rest.split_at(length);
        buffer.put_slice(piece);
        self.rest = rest;
        Poll::Ready(Ok(()))
    }
}

/// The first frame in each direction.
pub fn hello(bytes: &[u8]) -> bool {
    survives::<Hello>(bytes) | survives::<Greeting>(bytes)
}

/// What an agent may send.
pub fn to_manager(bytes: &[u8]) -> bool {
    let Some(message) = carry(bytes).and_then(|frame| ToManager::from_frame(&frame).ok()) else {
        return false;
    };
    let Ok(sent) = message.to_frame() else {
        panic!("no frame for {message:?}");
    };
    let Some(arrived) = over(&sent) else {
        return true;
    };
    assert_eq!(ToManager::from_frame(&arrived).ok(), Some(message));
    true
}

/// What a manager may send.
pub fn to_agent(bytes: &[u8]) -> bool {
    let Some(message) = carry(bytes).and_then(|frame| ToAgent::from_frame(frame).ok()) else {
        return false;
    };
    let Ok(sent) = message.clone().into_frame() else {
        panic!("no frame for {message:?}");
    };
    let Some(arrived) = over(&sent) else {
        return true;
    };
    assert_eq!(ToAgent::from_frame(arrived).ok(), Some(message));
    true
}

/// What a host asks that wants to become an agent, the answer, and the token.
pub fn enroll(bytes: &[u8]) -> bool {
    survives::<EnrollRequest>(bytes) | survives::<EnrollAnswer>(bytes) | token(bytes)
}

fn token(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Ok(token) = Token::parse(&text) else {
        return false;
    };
    assert_eq!(Token::parse(&token.reveal()), Ok(token));
    true
}

/// What `ripostctl` asks, and what it is answered. An answer that is cut into
/// parts comes together again.
pub fn control(bytes: &[u8]) -> bool {
    if let Some(answer) = read::<Answer>(bytes) {
        let mut cut = parts::split(answer.clone()).into_iter();
        let Some(mut whole) = cut.next().map(|part| part.answer) else {
            panic!("no part of {answer:?}");
        };
        for part in cut {
            assert_eq!(parts::append(&mut whole, part.answer), Ok(()));
        }
        assert_eq!(whole, answer);
    }
    survives::<Request>(bytes) | survives::<Answer>(bytes) | survives::<Part>(bytes)
}

/// The `client.keys` of an installation: no id and no name comes out twice.
pub fn client_keys(bytes: &[u8]) -> bool {
    keys::looks_like(bytes);
    let Ok(agents) = keys::read(bytes) else {
        return false;
    };
    assert!(agents.is_sorted_by(|one, other| one.id < other.id));
    let lines = bytes.split(|byte| *byte == b'\n').count();
    assert!(agents.len() <= lines);
    !agents.is_empty()
}

/// An `agent.conf` that is told its manager: what is written can be read, says
/// the same, and is left alone the next time.
pub fn set_the_server(bytes: &[u8]) -> bool {
    let server = ServerAddress::parse("manager.example.org:9").expect("it is one");
    let Ok(text) = set_server(bytes, &server) else {
        return false;
    };
    let again = set_server(&text, &server);
    assert_eq!(again.as_deref(), Ok(text.as_slice()));
    true
}

/// A selector of agents or the address of a manager: reads what it writes.
pub fn words(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let selector = Selector::parse(text);
    if let Ok(selector) = &selector {
        assert_eq!(
            Selector::parse(&selector.to_string()).as_ref(),
            Ok(selector)
        );
        assert!(selector.includes(selector) && selector.may_meet(selector));
    }
    let server = ServerAddress::parse(text);
    if let Ok(server) = &server {
        assert_eq!(
            ServerAddress::parse(&server.to_string()).as_ref(),
            Ok(server)
        );
        assert_eq!(
            ServerAddress::at(&server.host, server.port).as_ref(),
            Ok(server)
        );
    }
    selector.is_ok() || server.is_ok()
}

/// Whether a frame with this content is a `T`; one that is must encode to
/// something that decodes to the same.
fn survives<T: Debug + DeserializeOwned + PartialEq + Serialize>(bytes: &[u8]) -> bool {
    let Some(message) = read::<T>(bytes) else {
        return false;
    };
    let Ok(sent) = Frame::new(&message) else {
        panic!("no frame for {message:?}");
    };
    if let Some(arrived) = over(&sent) {
        assert_eq!(arrived.message::<T>().ok(), Some(message));
    }
    true
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    carry(bytes)?.message().ok()
}

/// The frame of a header and a body, with a zero byte, which JSON does not
/// have, between them: so that a seed is a text that a person can read.
fn carry(bytes: &[u8]) -> Option<Frame> {
    let mut halves = bytes.splitn(2, |byte| *byte == 0);
    let header = halves.next().unwrap_or_default();
    let body = halves.next().unwrap_or_default();
    let number = |length: usize| u32::try_from(length).ok().map(u32::to_be_bytes);
    let mut frame = Vec::new();
    frame.extend(number(4 + header.len() + body.len())?);
    frame.extend(number(header.len())?);
    frame.extend_from_slice(header);
    frame.extend_from_slice(body);
    decode(&frame, MAX_FRAME).ok()?.map(|(frame, _)| frame)
}

/// The frame as it arrives; none if it is too long to be sent.
fn over(frame: &Frame) -> Option<Frame> {
    let bytes = frame.encode();
    let arrived = decode(&bytes, MAX_FRAME).expect("it is a frame");
    let (arrived, used) = arrived.expect("it is whole");
    assert_eq!(used, bytes.len());
    Some(arrived)
}
