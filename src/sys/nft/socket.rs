//! The netlink socket.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::NftError;
use super::answer::{self, Reply};
use super::wire::Messages;

/// Below this the default send buffer (212,992 bytes) takes a transaction.
const SMALL: usize = 128 * 1024;

#[derive(Debug)]
pub(super) struct Socket {
    descriptor: OwnedFd,
    buffer: Vec<u8>,
}

impl Socket {
    pub(super) fn open() -> Result<Self, NftError> {
        let descriptor = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(rustix::net::netlink::NETFILTER),
        )
        .map_err(|errno| match errno {
            Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT => NftError::NotInKernel,
            _ => socket_error("open a socket", errno),
        })?;
        Ok(Self {
            descriptor,
            buffer: vec![0; 64 * 1024],
        })
    }

    /// Sends `messages` at once and reads what the kernel has answered by
    /// then. `false`: some answers did not fit the receive buffer, which says
    /// nothing about what happened, only that it must be looked up.
    pub(super) fn exchange(
        &mut self,
        messages: &Messages,
        mut each: impl FnMut(Reply<'_>),
    ) -> Result<bool, NftError> {
        let bytes = messages.bytes();
        if bytes.len() > SMALL {
            self.widen(bytes.len());
        }
        rustix::net::send(&self.descriptor, bytes, SendFlags::empty())
            .map_err(|errno| socket_error("send", errno))?;
        let mut complete = true;
        loop {
            match rustix::net::recv(&self.descriptor, &mut self.buffer[..], RecvFlags::DONTWAIT) {
                Ok((length, _)) => answer::replies(&self.buffer[..length]).for_each(&mut each),
                Err(Errno::AGAIN) => return Ok(complete),
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => complete = false,
                Err(errno) => return Err(socket_error("receive", errno)),
            }
        }
    }

    /// Makes room for a large transaction. In a user namespace only the
    /// bounded form is permitted; if both fail, sending says so.
    fn widen(&self, length: usize) {
        let room = length * 2;
        if rustix::net::sockopt::set_socket_send_buffer_size_force(&self.descriptor, room).is_err()
        {
            let _ = rustix::net::sockopt::set_socket_send_buffer_size(&self.descriptor, room);
        }
    }
}

fn socket_error(action: &'static str, errno: Errno) -> NftError {
    NftError::Socket {
        action,
        source: io::Error::from(errno),
    }
}
