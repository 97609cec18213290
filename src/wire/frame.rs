//! One frame: bytes in, header and body out, and back. Nothing is allocated
//! for bytes that are only announced.

use std::io::{self, Read, Write};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::wire::MAX_FRAME;

/// Bytes of each of the two lengths.
const LENGTH: usize = 4;

/// Most headers have so many bytes at most, and so are not moved while they are
/// written.
const USUAL: usize = 1_000;

/// Why there is no frame, or not the expected one.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {length} bytes, where {limit} are allowed")]
    TooLong { length: usize, limit: usize },
    #[error("a frame of {length} bytes whose header would have {header}")]
    Lengths { length: usize, header: usize },
    #[error("the connection was closed in the middle of a frame")]
    ClosedMidFrame,
    #[error("a frame whose header is not the expected JSON")]
    Json(#[source] serde_json::Error),
    #[error("a frame with a body of {0} bytes, where none belongs")]
    UnexpectedBody(usize),
    #[error("the other side has been silent for too long")]
    Silent,
    #[error("the connection failed")]
    Io(#[source] io::Error),
}

/// A header, which is one JSON value, and the bytes that go with it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    // Both are shared: the same alert, and the same list, go to thousands of agents.
    header: Arc<[u8]>,
    body: Arc<[u8]>,
}

impl Frame {
    /// A frame without body.
    pub fn new<T: Serialize>(message: &T) -> Result<Self, FrameError> {
        Self::with_body(message, Arc::default())
    }

    /// Fails if it would be longer than [`MAX_FRAME`]: the other side would end
    /// the connection, and with it whatever is behind.
    pub fn with_body<T: Serialize>(message: &T, body: Arc<[u8]>) -> Result<Self, FrameError> {
        let mut header = Vec::with_capacity(USUAL);
        serde_json::to_writer(&mut header, message).map_err(FrameError::Json)?;
        let length = LENGTH + header.len() + body.len();
        if length > MAX_FRAME {
            return Err(FrameError::TooLong {
                length,
                limit: MAX_FRAME,
            });
        }
        Ok(Self {
            header: header.into(),
            body,
        })
    }

    /// The message of a frame that must have no body.
    pub fn message<T: DeserializeOwned>(&self) -> Result<T, FrameError> {
        if !self.body.is_empty() {
            return Err(FrameError::UnexpectedBody(self.body.len()));
        }
        serde_json::from_slice(&self.header).map_err(FrameError::Json)
    }

    /// The message and the body.
    pub fn into_parts<T: DeserializeOwned>(self) -> Result<(T, Arc<[u8]>), FrameError> {
        let message = serde_json::from_slice(&self.header).map_err(FrameError::Json)?;
        Ok((message, self.body))
    }

    /// How many bytes it takes.
    pub fn length(&self) -> usize {
        2 * LENGTH + self.header.len() + self.body.len()
    }

    /// The bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.length());
        self.append_to(&mut bytes);
        bytes
    }

    /// The same behind others.
    pub fn append_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend(number(self.length() - LENGTH));
        bytes.extend(number(self.header.len()));
        bytes.extend_from_slice(&self.header);
        bytes.extend_from_slice(&self.body);
    }
}

fn number(length: usize) -> [u8; LENGTH] {
    u32::try_from(length)
        .expect("lengths stay below the limit of a frame")
        .to_be_bytes()
}

/// Takes one frame of at most `limit` bytes from the start of `bytes`: the
/// frame and how many bytes it took, or `None` while bytes are missing. A frame
/// that will be refused is refused as soon as its lengths are there.
pub fn decode(bytes: &[u8], limit: usize) -> Result<Option<(Frame, usize)>, FrameError> {
    let Some(length) = length_at(bytes, 0) else {
        return Ok(None);
    };
    if length > limit {
        return Err(FrameError::TooLong { length, limit });
    }
    if length < LENGTH {
        return Err(FrameError::Lengths { length, header: 0 });
    }
    let Some(header) = length_at(bytes, LENGTH) else {
        return Ok(None);
    };
    if header > length - LENGTH {
        return Err(FrameError::Lengths { length, header });
    }
    let Some(content) = bytes.get(2 * LENGTH..LENGTH + length) else {
        return Ok(None);
    };
    let (header, body) = content.split_at(header);
    let frame = Frame {
        header: header.into(),
        body: body.into(),
    };
    Ok(Some((frame, LENGTH + length)))
}

fn length_at(bytes: &[u8], at: usize) -> Option<usize> {
    let field = bytes.get(at..)?.first_chunk::<LENGTH>()?;
    usize::try_from(u32::from_be_bytes(*field)).ok()
}

/// How many bytes are still missing before [`decode`] can say more, zero if it
/// can already.
fn missing(bytes: &[u8]) -> usize {
    let wanted = length_at(bytes, 0).map_or(LENGTH, |length| LENGTH.saturating_add(length));
    wanted.saturating_sub(bytes.len())
}

/// Reads one frame, waiting for it; `None` if the other side closed the
/// connection before its first byte.
pub fn read(reader: &mut impl Read, limit: usize) -> Result<Option<Frame>, FrameError> {
    let mut bytes = Vec::new();
    loop {
        if let Some((frame, _)) = decode(&bytes, limit)? {
            return Ok(Some(frame));
        }
        // `read_to_end` grows the buffer by what has arrived, not by what is
        // announced.
        let wanted = u64::try_from(missing(&bytes)).expect("a length fits");
        let taken = reader
            .by_ref()
            .take(wanted)
            .read_to_end(&mut bytes)
            .map_err(FrameError::Io)?;
        if taken == 0 {
            return match bytes.len() {
                0 => Ok(None),
                _ => Err(FrameError::ClosedMidFrame),
            };
        }
    }
}

/// Writes one frame.
pub fn write(writer: &mut impl Write, frame: &Frame) -> Result<(), FrameError> {
    writer.write_all(&frame.encode()).map_err(FrameError::Io)?;
    writer.flush().map_err(FrameError::Io)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    use super::{Frame, FrameError, decode, read, write};
    use crate::wire::{MAX_FRAME, MAX_HELLO};

    fn frame(text: &str, body: &[u8]) -> Frame {
        Frame::with_body(&text, body.into()).unwrap()
    }

    /// A reader that gives one byte at a time and counts them.
    struct Dribble<'a> {
        bytes: &'a [u8],
        given: usize,
    }

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match (self.bytes.get(self.given), buffer.first_mut()) {
                (Some(byte), Some(place)) => {
                    *place = *byte;
                    self.given += 1;
                    Ok(1)
                }
                (None, _) | (_, None) => Ok(0),
            }
        }
    }

    #[test]
    fn the_layout_is_two_lengths_the_header_and_the_body() {
        let bytes = frame("a", b"\xff\0").encode();
        assert_eq!(bytes, b"\0\0\0\x09\0\0\0\x03\"a\"\xff\0");
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_by_its_length_alone() {
        let over = u32::try_from(MAX_FRAME + 1).unwrap().to_be_bytes();
        assert!(matches!(
            decode(&over, MAX_FRAME),
            Err(FrameError::TooLong { .. })
        ));
        let hello = u32::try_from(MAX_HELLO + 1).unwrap().to_be_bytes();
        assert!(matches!(
            read(&mut hello.as_slice(), MAX_HELLO),
            Err(FrameError::TooLong { .. })
        ));
        assert!(decode(&hello, MAX_FRAME).unwrap().is_none());
    }

    #[test]
    fn what_would_be_too_long_is_no_frame() {
        let room = MAX_FRAME - 4 - frame("", b"").header.len();
        for (header, body) in [("", room), ("x", room - 1)] {
            let longest = frame(header, &vec![0; body]).encode();
            assert!(decode(&longest, MAX_FRAME).unwrap().is_some());
            assert!(matches!(
                Frame::with_body(&header, vec![0; body + 1].into()),
                Err(FrameError::TooLong { .. })
            ));
        }
    }

    #[test]
    fn lengths_that_contradict_each_other_are_refused() {
        for bytes in [b"\0\0\0\x03".as_slice(), b"\0\0\0\x05\0\0\0\x02x"] {
            assert!(matches!(
                decode(bytes, MAX_FRAME),
                Err(FrameError::Lengths { .. })
            ));
        }
    }

    #[test]
    fn a_connection_may_end_between_frames_but_not_within_one() {
        let bytes = frame("hello", b"body").encode();
        assert!(read(&mut [].as_slice(), MAX_FRAME).unwrap().is_none());
        for cut in 1..bytes.len() {
            let result = read(&mut &bytes[..cut], MAX_FRAME);
            assert!(matches!(result, Err(FrameError::ClosedMidFrame)), "{cut}");
        }
    }

    #[test]
    fn reading_takes_no_byte_of_the_next_frame() {
        let mut bytes = frame("one", b"").encode();
        let first = bytes.len();
        write(&mut bytes, &frame("two", b"")).unwrap();
        let mut reader = Dribble {
            bytes: &bytes,
            given: 0,
        };
        assert_eq!(
            read(&mut reader, MAX_FRAME).unwrap(),
            Some(frame("one", b""))
        );
        assert_eq!(reader.given, first);
    }

    #[test]
    fn a_body_where_none_belongs_is_an_error() {
        assert!(matches!(
            frame("a", b"x").message::<String>(),
            Err(FrameError::UnexpectedBody(1))
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn what_is_encoded_is_decoded(text in any::<String>(), body in any::<Vec<u8>>(), rest in any::<Vec<u8>>()) {
            let sent = frame(&text, &body);
            let mut bytes = sent.encode();
            let length = bytes.len();
            bytes.extend(rest);
            let (received, used) = decode(&bytes, MAX_FRAME).unwrap().unwrap();
            prop_assert_eq!(used, length);
            let (message, received_body): (String, _) = received.into_parts().unwrap();
            prop_assert_eq!(message, text);
            prop_assert_eq!(&*received_body, &*body);
        }

        #[test]
        fn a_prefix_is_never_taken_for_a_frame(text in any::<String>(), body in any::<Vec<u8>>(), cut in any::<proptest::sample::Index>()) {
            let bytes = frame(&text, &body).encode();
            let cut = cut.index(bytes.len());
            prop_assert!(decode(&bytes[..cut], MAX_FRAME).unwrap().is_none());
        }

        #[test]
        fn garbage_is_an_error_or_a_frame_within_its_bytes(bytes in any::<Vec<u8>>()) {
            if let Ok(Some((frame, used))) = decode(&bytes, MAX_FRAME) {
                prop_assert!(used <= bytes.len());
                prop_assert_eq!(frame.encode(), &bytes[..used]);
            }
        }
    }
}
