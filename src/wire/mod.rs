//! What travels between the programs: frames, the hello that starts each
//! connection, and the messages between manager and agent. Requests of
//! `ripostctl` and their answers travel in the same frames.
//!
//! # Frame
//!
//! ```text
//! length: u32, big endian    bytes that follow, at most MAX_FRAME
//! header length: u32, b. e.  bytes of the header, at most length - 4
//! header                     one JSON value, UTF-8
//! body                       the rest; bytes of any kind, often none
//! ```
//!
//! The body is there for alerts: they travel byte for byte as the source wrote
//! them, and those bytes need not be UTF-8.
//!
//! # Connection
//!
//! The side that dials sends a [`Hello`], the other answers with a
//! [`Greeting`]; each of these two frames has at most [`MAX_HELLO`] bytes.
//!
//! # Versions
//!
//! [`PROTOCOL`] changes when a message gets a meaning that the other side must
//! know. Fields that may be ignored are added without that: a reader skips
//! fields it does not know.

pub mod about;
pub mod control;
pub mod enroll;
pub mod frame;
pub mod hello;
pub mod message;
pub mod parts;
pub mod stream;

pub use frame::{Frame, FrameError};
pub use hello::{AgentHello, Daemon, Denial, Greeting, Hello, ManagerJournal};
pub use message::{Reverted, ToAgent, ToManager};
pub use stream::FrameReader;

/// The version of frames and messages.
pub const PROTOCOL: u32 = 1;

/// The most bytes that may follow the length of a frame.
pub const MAX_FRAME: usize = 2 * 1024 * 1024;

/// The same for the first frame in each direction, which comes from a peer
/// that nothing is known of.
pub const MAX_HELLO: usize = 16 * 1024;
