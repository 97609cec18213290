//! Ends what is open with the addresses of a batch: sockets of this host, and
//! connections that it tracks for itself and for those it forwards or
//! translates for. Other network namespaces (containers) have sockets of their
//! own, which stay; the packets of what is open with them are tracked here.
//!
//! Nothing is asked about a single address: the kernel lists what is open once
//! for each batch, the list is matched here, and each match is ended by what
//! identifies it and nothing else. Sockets come before tracked connections,
//! since the reset that the other side is sent may have to be translated.
//!
//! What is protected must not be in the batch: whoever calls this has asked
//! the guards.

mod batch;
mod conntrack;
mod sockets;
mod sweep;

use std::fmt;
use std::io;

use ipnetwork::IpNetwork;

use batch::Batch;

/// What can be open with an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Open {
    Sockets,
    Flows,
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sockets => "sockets",
            Self::Flows => "tracked connections",
        })
    }
}

/// Why something may still be open.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    #[error("cut {0}\n(run as root, or with CAP_NET_ADMIN in this network namespace)")]
    NotPermitted(Open, #[source] io::Error),
    #[error("cut {0}")]
    Kernel(Open, #[source] io::Error),
    #[error("talk to the kernel about {0}")]
    Socket(Open, #[source] io::Error),
    #[error(
        "cut {0}: they change faster than they can be listed\n(see `ss -nt` and `conntrack -L`)"
    )]
    Restless(Open),
}

/// What was cut of one network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cut {
    /// Connections that the kernel tracked. One of this host's own was open as
    /// a socket as well.
    pub flows: usize,
    pub sockets: Sockets,
}

/// What became of the sockets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sockets {
    /// So many were ended: their owners see `ECONNABORTED`, the other side of a
    /// TCP connection a reset.
    Ended(usize),
    /// Some may be open: this kernel cannot list sockets, or not end them
    /// (CONFIG_INET_DIAG, CONFIG_INET_DIAG_DESTROY).
    Unsupported,
}

impl Cut {
    /// What people are told; nothing if there is nothing to tell.
    pub fn summary(&self) -> Option<String> {
        let counted = |count, one: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            _ => Some(format!("{count} {one}s")),
        };
        let (sockets, note) = match self.sockets {
            Sockets::Ended(count) => (counted(count, "socket"), None),
            Sockets::Unsupported => (None, Some("sockets stay open: this kernel cannot end them")),
        };
        let cut: Vec<_> = sockets
            .into_iter()
            .chain(counted(self.flows, "tracked connection"))
            .collect();
        let cut = (!cut.is_empty()).then(|| format!("cut {}", cut.join(" and ")));
        let told: Vec<_> = cut.into_iter().chain(note.map(str::to_owned)).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }
}

/// Ends what is open with any address of these networks, and says for each in
/// their order what was. What is in several of them is counted for the
/// narrowest; of equal ones, for the last. That nothing is open is no error.
pub fn cut(networks: &[IpNetwork]) -> Result<Vec<Cut>, CutError> {
    let batch = Batch::of(networks);
    let sockets = sockets::end(&batch);
    let flows = conntrack::end(&batch);
    let both = flows?.into_iter().zip(sockets?);
    Ok(both
        .map(|(flows, sockets)| Cut { flows, sockets })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::{Cut, Sockets};

    #[test]
    fn what_was_cut_is_told_and_nothing_is_not() {
        for (flows, sockets, told) in [
            (0, Sockets::Ended(0), None),
            (0, Sockets::Ended(1), Some("cut 1 socket")),
            (1, Sockets::Ended(0), Some("cut 1 tracked connection")),
            (
                3,
                Sockets::Ended(2),
                Some("cut 2 sockets and 3 tracked connections"),
            ),
            (
                0,
                Sockets::Unsupported,
                Some("sockets stay open: this kernel cannot end them"),
            ),
            (
                1,
                Sockets::Unsupported,
                Some("cut 1 tracked connection; sockets stay open: this kernel cannot end them"),
            ),
        ] {
            let cut = Cut { flows, sockets };
            assert_eq!(cut.summary().as_deref(), told, "{cut:?}");
        }
    }
}
