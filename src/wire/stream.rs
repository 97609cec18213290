//! Frames over an asynchronous connection.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::wire::frame::decode;
use crate::wire::{Frame, FrameError, MAX_FRAME, MAX_HELLO};

/// Taken from the connection at once: what one record of TLS can hold.
const CHUNK: usize = 16 * 1024;

/// Takes frames from a connection. The first may have [`MAX_HELLO`] bytes, all
/// others [`MAX_FRAME`]. While it waits between two frames it holds no buffer:
/// most of a manager's connections are idle.
#[derive(Debug)]
pub struct FrameReader<R> {
    inner: R,
    /// What has arrived: never more than twice as much room as that needs,
    /// whatever is announced.
    bytes: Vec<u8>,
    /// Where in `bytes` the next frame starts.
    start: usize,
    limit: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            bytes: Vec::new(),
            start: 0,
            limit: MAX_HELLO,
        }
    }

    /// The next frame, or `None` if the other side closed the connection
    /// between two. May be dropped while it waits (in `select!`): what has
    /// arrived is kept for the next call. After an error the connection is of
    /// no more use.
    pub async fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some((frame, used)) = decode(&self.bytes[self.start..], self.limit)? {
                self.start += used;
                self.limit = MAX_FRAME;
                return Ok(Some(frame));
            }
            self.forget_used();
            let taken = poll_fn(|context| self.poll_take(context)).await;
            if taken.map_err(FrameError::Io)? == 0 {
                return match self.bytes.len() {
                    0 => Ok(None),
                    _ => Err(FrameError::ClosedMidFrame),
                };
            }
        }
    }

    /// Appends what has arrived, or waits. The bytes go through the stack, so
    /// that waiting needs no buffer.
    fn poll_take(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut chunk = [MaybeUninit::uninit(); CHUNK];
        let mut chunk = ReadBuf::uninit(&mut chunk);
        ready!(Pin::new(&mut self.inner).poll_read(context, &mut chunk))?;
        self.bytes.extend_from_slice(chunk.filled());
        Poll::Ready(Ok(chunk.filled().len()))
    }

    fn forget_used(&mut self) {
        self.bytes.drain(..self.start);
        self.start = 0;
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }
}

/// Writes one frame. Not to be dropped while it waits: a part of the frame may
/// be gone already.
pub async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    frame: &Frame,
) -> Result<(), FrameError> {
    write_encoded(writer, &frame.encode()).await
}

/// The same with frames that are encoded already, one behind the other.
pub async fn write_encoded(
    writer: &mut (impl AsyncWrite + Unpin),
    frames: &[u8],
) -> Result<(), FrameError> {
    writer.write_all(frames).await.map_err(FrameError::Io)?;
    writer.flush().await.map_err(FrameError::Io)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncWriteExt, duplex};

    use super::{CHUNK, FrameReader, write};
    use crate::wire::{Frame, FrameError, MAX_FRAME, MAX_HELLO};

    fn frame(text: &str, body: Vec<u8>) -> Frame {
        Frame::with_body(&text, body.into()).unwrap()
    }

    #[tokio::test]
    async fn frames_arrive_whole_and_in_order_whatever_the_reads_bring() {
        for pipe in [1, 7, 4096, MAX_FRAME] {
            let (mut near, far) = duplex(pipe);
            let sent: Vec<_> = (0..40)
                .map(|n| frame(&n.to_string(), vec![n; usize::from(n) * 11]))
                .collect();
            let writer = {
                let sent = sent.clone();
                tokio::spawn(async move {
                    for frame in &sent {
                        write(&mut near, frame).await.unwrap();
                    }
                })
            };
            let mut reader = FrameReader::new(far);
            for frame in sent {
                assert_eq!(reader.next().await.unwrap(), Some(frame));
            }
            writer.await.unwrap();
            assert_eq!(reader.next().await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn a_read_that_is_given_up_loses_nothing() {
        let (mut near, far) = duplex(4096);
        let mut reader = FrameReader::new(far);
        let bytes = frame("cut", b"body".to_vec()).encode();
        for byte in &bytes[..bytes.len() - 1] {
            near.write_all(&[*byte]).await.unwrap();
            let given_up = tokio::time::timeout(Duration::ZERO, reader.next()).await;
            assert!(given_up.is_err());
        }
        near.write_all(&bytes[bytes.len() - 1..]).await.unwrap();
        let whole = reader.next().await.unwrap();
        assert_eq!(whole, Some(frame("cut", b"body".to_vec())));
    }

    #[tokio::test]
    async fn only_the_first_frame_is_held_to_the_limit_of_a_hello() {
        let (mut near, far) = duplex(MAX_FRAME * 2);
        let mut reader = FrameReader::new(far);
        write(&mut near, &frame("hello", Vec::new())).await.unwrap();
        write(&mut near, &frame("long", vec![0; MAX_HELLO]))
            .await
            .unwrap();
        assert!(reader.next().await.unwrap().is_some());
        assert!(reader.next().await.unwrap().is_some());

        let (mut near, far) = duplex(MAX_FRAME);
        write(&mut near, &frame("hello", vec![0; MAX_HELLO]))
            .await
            .unwrap();
        let refused = FrameReader::new(far).next().await;
        assert!(matches!(refused, Err(FrameError::TooLong { .. })));
    }

    #[tokio::test]
    async fn an_idle_connection_keeps_no_buffer_after_a_long_frame() {
        let (mut near, far) = duplex(MAX_FRAME * 2);
        let mut reader = FrameReader::new(far);
        write(&mut near, &frame("hello", Vec::new())).await.unwrap();
        write(&mut near, &frame("long", vec![0; 1024 * 1024]))
            .await
            .unwrap();
        reader.next().await.unwrap();
        reader.next().await.unwrap();
        let waiting = tokio::time::timeout(Duration::ZERO, reader.next()).await;
        assert!(waiting.is_err());
        assert_eq!(reader.bytes.capacity(), 0);
    }

    #[tokio::test]
    async fn memory_grows_with_what_arrives_and_not_with_what_is_announced() {
        let (mut near, far) = duplex(4096);
        let mut reader = FrameReader::new(far);
        write(&mut near, &frame("hello", Vec::new())).await.unwrap();
        reader.next().await.unwrap();
        let announced = u32::try_from(MAX_FRAME).unwrap().to_be_bytes();
        near.write_all(&announced).await.unwrap();
        let waiting = tokio::time::timeout(Duration::ZERO, reader.next()).await;
        assert!(waiting.is_err());
        assert!(reader.bytes.capacity() <= CHUNK);
    }

    #[tokio::test]
    async fn a_connection_cut_within_a_frame_is_an_error() {
        let (mut near, far) = duplex(64);
        near.write_all(&[0, 0, 0, 9, 0]).await.unwrap();
        drop(near);
        let cut = FrameReader::new(far).next().await;
        assert!(matches!(cut, Err(FrameError::ClosedMidFrame)));
    }
}
