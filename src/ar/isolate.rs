//! What `isolate-host` leaves open, and whether its manager is still reached.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ipnetwork::IpNetwork;

use crate::model::bundled::Options;
use crate::sys::host::{self, UnknownFact};
use crate::sys::nft::isolation::Allowed;

/// How long a manager that is there may take to answer.
const ANSWER: Duration = Duration::from_secs(3);

/// A word in `<extra_args>` that is nothing to leave open.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "leave {0:?} open: it is no numeric address, network, or address with a port\n(write 192.0.2.7, 192.0.2.0/24, 192.0.2.7:1517 or [2001:db8::7]:1517)"
)]
pub struct InvalidWord(String);

/// Why it is not known what to leave open.
#[derive(Debug, thiserror::Error)]
pub enum NotKnown {
    #[error(transparent)]
    Word(#[from] InvalidWord),
    #[error(transparent)]
    NameServers(#[from] UnknownFact),
}

/// What the words say, and the name servers of the host unless `--no-dns` is
/// given.
pub fn allowed(options: &Options) -> Result<Allowed, NotKnown> {
    let mut words = options.words().iter().map(String::as_str);
    let mut allowed = words.try_fold(Allowed::default(), with)?;
    if options.get("--no-dns").is_none() {
        allowed.name_servers = host::facts()?.name_servers;
    }
    Ok(allowed)
}

fn with(mut allowed: Allowed, word: &str) -> Result<Allowed, InvalidWord> {
    if let Ok(service) = word.parse::<SocketAddr>() {
        allowed.services.push(service);
    } else if let Ok(network) = word.parse::<IpNetwork>() {
        allowed.networks.push(network);
    } else {
        return Err(InvalidWord(word.to_owned()));
    }
    Ok(allowed)
}

/// Whether one of the managers answers. One that does not may be away.
pub fn is_reached(allowed: &Allowed) -> bool {
    let mut services = allowed.services.iter();
    services.any(|service| TcpStream::connect_timeout(service, ANSWER).is_ok())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::{allowed, is_reached};
    use crate::model::bundled::{Options, find};
    use crate::sys::nft::isolation::Allowed;

    fn open(words: &str) -> Result<Allowed, String> {
        let row = find("isolate-host").unwrap();
        let args: Vec<_> = words.split_whitespace().map(str::to_owned).collect();
        let options = Options::parse(row.options, &args).unwrap();
        allowed(&options).map_err(|error| error.to_string())
    }

    #[test]
    fn words_are_managers_hosts_and_networks_and_nothing_else() {
        let found =
            open("192.0.2.1:1517 --no-dns [2001:db8::1]:1517 10.0.0.0/8 192.0.2.9").unwrap();
        assert_eq!(found.services.len(), 2);
        assert_eq!(found.networks.len(), 2);
        assert_eq!(found.name_servers.len(), 0);
        for bad in ["manager.example:1517", "192.0.2.0/33", "192.0.2.1:", "x"] {
            let error = open(bad).unwrap_err();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
        }
    }

    #[test]
    fn a_manager_answers_or_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let words = format!("--no-dns {address}");
        assert!(is_reached(&open(&words).unwrap()));
        drop(listener);
        assert!(!is_reached(&open(&words).unwrap()));
    }
}
