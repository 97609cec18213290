//! Whether the kernel has nf_tables, asked of it over nfnetlink. Plain netlink:
//! what agentd is made of does not link libnftnl.

use std::io;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

const HEADER: usize = size_of::<libc::nlmsghdr>();
/// `struct nlattr`.
const ATTRIBUTE: usize = 4;
/// The answer is shorter.
const BUFFER_BYTES: usize = 4 << 10;
/// Loading the module takes much less; this only keeps a fault from becoming a
/// hang.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Asks for the generation of the ruleset, which every nf_tables answers and
/// which loads the module where that can be done. An error is the kernel's own
/// word on why there is none for this process: nfnetlink answers those who may
/// administer the network only (`EPERM`).
pub fn nf_tables() -> io::Result<()> {
    ask(&request(libc::NFT_MSG_GETGEN, 0, &[]), libc::NFT_MSG_NEWGEN)
}

/// Sends one question whose answer is of the type `wanted`. An error is the
/// errno of the kernel.
pub(in crate::sys) fn ask(question: &[u8], wanted: libc::c_int) -> io::Result<()> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::NETFILTER),
    )?;
    set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_WITHIN))?;
    send(&socket, question, SendFlags::empty())?;
    let mut buffer = [0; BUFFER_BYTES];
    let (received, _) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
    understand(&buffer[..received], kind(wanted))
}

fn kind(message: libc::c_int) -> u16 {
    let kind = (libc::NFNL_SUBSYS_NFTABLES << 8) | message;
    u16::try_from(kind).expect("both are small numbers")
}

/// A question about `family`, with its attributes. Sequence number and port:
/// one question per socket needs neither.
pub(in crate::sys) fn request(
    message: libc::c_int,
    family: u8,
    attributes: &[(u16, &str)],
) -> Vec<u8> {
    let mut payload = vec![family, 0, 0, 0];
    for (number, text) in attributes {
        // Texts end with a NUL byte; what follows is aligned to four bytes.
        let length = u16::try_from(ATTRIBUTE + text.len() + 1).expect("names are short");
        payload.extend(length.to_ne_bytes());
        payload.extend(number.to_ne_bytes());
        payload.extend(text.as_bytes());
        payload.push(0);
        payload.resize(payload.len().next_multiple_of(4), 0);
    }
    let length = u32::try_from(HEADER + payload.len()).expect("a few bytes");
    let mut request = Vec::new();
    request.extend(length.to_ne_bytes());
    request.extend(kind(message).to_ne_bytes());
    request.extend((libc::NLM_F_REQUEST as u16).to_ne_bytes());
    request.resize(HEADER, 0);
    request.extend(payload);
    request
}

fn understand(answer: &[u8], wanted: u16) -> io::Result<()> {
    let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "the answer is cut short");
    let field = answer.get(4..6).ok_or_else(cut)?;
    let got = u16::from_ne_bytes(field.try_into().map_err(|_| cut())?);
    if got == wanted {
        return Ok(());
    }
    if i32::from(got) != libc::NLMSG_ERROR {
        let text = format!("an answer of type {got} to another question");
        return Err(io::Error::other(text));
    }
    let code = answer.get(HEADER..HEADER + 4).ok_or_else(cut)?;
    let code = i32::from_ne_bytes(code.try_into().map_err(|_| cut())?);
    Err(io::Error::from_raw_os_error(code.wrapping_neg()))
}

#[cfg(test)]
mod tests {
    use super::{kind, nf_tables, understand};

    #[test]
    fn an_answer_is_a_generation_or_the_errno_of_the_kernel() {
        let message = |kind: u16, payload: &[u8]| {
            let mut bytes = 20_u32.to_ne_bytes().to_vec();
            bytes.extend(kind.to_ne_bytes());
            bytes.resize(16, 0);
            bytes.extend(payload);
            bytes
        };
        let understand = |answer: &[u8]| understand(answer, kind(libc::NFT_MSG_NEWGEN));
        understand(&message(kind(libc::NFT_MSG_NEWGEN), &[0; 12])).unwrap();
        let refused = message(2, &(-libc::EPERM).to_ne_bytes());
        let error = understand(&refused).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        for length in 0..refused.len() {
            assert!(understand(&refused[..length]).is_err());
        }
        assert!(understand(&message(kind(libc::NFT_MSG_GETGEN), &[])).is_err());
    }

    /// Nobody is left without an answer, whatever the kernel has and allows.
    #[test]
    fn the_kernel_answers() {
        if let Err(error) = nf_tables() {
            assert!(error.raw_os_error().is_some(), "{error}");
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock);
        }
    }
}
