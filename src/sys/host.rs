//! What the host knows of itself: its addresses, default gateways and name
//! servers, from which the guards of the agent are built; and what its kernel,
//! its libraries and its programs can do.

mod libraries;
pub(in crate::sys) mod nf_tables;
mod nft_monitor;
mod programs;
mod routes;

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::ptr;

pub use libraries::has_library;
pub use nf_tables::nf_tables;
pub use nft_monitor::{Monitor, Seen, Taken};
pub use programs::{PROGRAM_FOLDERS, find_program};

/// Where the resolver's configuration stands. Where systemd-resolved stands in
/// between, the first names only its stub and the second the real servers
/// (systemd-resolved.service(8)).
const RESOLV_CONF: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// The resolver's configuration is read no further than this.
const MAX_RESOLV_CONF: u64 = 64 << 10;

/// The addresses that a host cannot do without.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HostFacts {
    /// Of all interfaces, up or not.
    pub addresses: Vec<IpAddr>,
    /// Next hops of all default routes in all tables.
    pub gateways: Vec<IpAddr>,
    pub name_servers: Vec<IpAddr>,
}

/// Which fact could not be had.
#[derive(Debug, thiserror::Error)]
pub enum UnknownFact {
    #[error("list the addresses of this host")]
    Addresses(#[source] io::Error),
    #[error("list the default routes of this host")]
    Routes(#[source] io::Error),
    #[error("read name servers from {path}")]
    NameServers {
        path: &'static str,
        #[source]
        source: io::Error,
    },
}

/// Whether systemd started this host and its services (sd_booted(3)).
pub fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Asks the kernel and the resolver's configuration. Each address stands there
/// once, IPv4-mapped ones as IPv4. A missing resolver configuration is no
/// error. The cost grows with the number of routes (about 20 ms for 100,000),
/// so ask when something may have changed and not per action.
pub fn facts() -> Result<HostFacts, UnknownFact> {
    let mut servers = Vec::new();
    for path in RESOLV_CONF {
        let text = read_if_there(Path::new(path))
            .map_err(|source| UnknownFact::NameServers { path, source })?;
        servers.extend(name_servers(&text));
    }
    Ok(HostFacts {
        addresses: distinct(interface_addresses().map_err(UnknownFact::Addresses)?),
        gateways: distinct(routes::default_gateways().map_err(UnknownFact::Routes)?),
        name_servers: distinct(servers),
    })
}

/// Whether the host speaks IPv6: the kernel lists the addresses it has, loopback
/// included, in a file that is absent or empty where that is switched off.
pub fn has_ipv6() -> bool {
    read_if_there(Path::new("/proc/net/if_inet6")).is_ok_and(|text| !text.is_empty())
}

/// The kernel and its release, `Linux 6.1.0`.
pub fn system() -> String {
    let name = rustix::system::uname();
    let text = [name.sysname(), name.release()].map(|part| part.to_string_lossy());
    text.join(" ")
}

/// The name of this host (hostname(7)).
pub fn name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

fn distinct(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut addresses: Vec<_> = addresses.iter().map(IpAddr::to_canonical).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

fn read_if_there(path: &Path) -> io::Result<String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_RESOLV_CONF).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The `nameserver` lines of resolv.conf(5): the keyword stands at the start of
/// the line. The zone of a link-local server (`fe80::1%eth0`) is dropped.
fn name_servers(text: &str) -> Vec<IpAddr> {
    text.lines()
        .filter_map(|line| line.strip_prefix("nameserver"))
        .filter(|rest| rest.starts_with([' ', '\t']))
        .filter_map(|rest| rest.split_ascii_whitespace().next())
        .filter_map(|server| server.split('%').next())
        .filter_map(|server| server.parse().ok())
        .collect()
}

/// The list that getifaddrs(3) makes; freed when dropped.
struct Interfaces(*mut libc::ifaddrs);

impl Drop for Interfaces {
    fn drop(&mut self) {
        // SAFETY: the pointer comes from a getifaddrs(3) that succeeded and is
        // freed once, here.
        unsafe { libc::freeifaddrs(self.0) }
    }
}

fn interface_addresses() -> io::Result<Vec<IpAddr>> {
    let mut first = ptr::null_mut();
    // SAFETY: `first` is a valid place for the pointer that is written.
    if unsafe { libc::getifaddrs(&mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let interfaces = Interfaces(first);
    let mut addresses = Vec::new();
    let mut next = interfaces.0;
    while !next.is_null() {
        // SAFETY: not null, and an entry of the list, which lives until
        // `interfaces` is dropped. Nobody else knows of it.
        let entry = unsafe { &*next };
        addresses.extend(socket_address(entry));
        next = entry.ifa_next;
    }
    Ok(addresses)
}

/// The IP address of an entry, if it has one.
fn socket_address(entry: &libc::ifaddrs) -> Option<IpAddr> {
    let address = entry.ifa_addr;
    if address.is_null() {
        return None;
    }
    // SAFETY: not null, and every socket address begins with its family.
    let family = unsafe { (*address).sa_family };
    match i32::from(family) {
        libc::AF_INET => {
            // SAFETY: an address of family AF_INET is a `sockaddr_in`.
            let v4 = unsafe { ptr::read_unaligned(address.cast::<libc::sockaddr_in>()) };
            Some(Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes()).into())
        }
        libc::AF_INET6 => {
            // SAFETY: an address of family AF_INET6 is a `sockaddr_in6`.
            let v6 = unsafe { ptr::read_unaligned(address.cast::<libc::sockaddr_in6>()) };
            Some(Ipv6Addr::from(v6.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::path::Path;

    use super::{distinct, facts, has_ipv6, name, name_servers, read_if_there, system};

    #[test]
    fn name_servers_are_read_as_the_resolver_reads_them() {
        let text = "# nameserver 192.0.2.1\n\
                    ; nameserver 192.0.2.2\n\
                    nameserver 192.0.2.3\n\
                    nameserver\t2001:db8::53   # trailing\n\
                    nameserver fe80::1%eth0\n\
                    nameservers 192.0.2.4\n\
                    \x20nameserver 192.0.2.5\n\
                    nameserver\n\
                    nameserver dns.example\n\
                    search example.org\n\
                    nameserver 192.0.2.6";
        let found: Vec<_> = name_servers(text).iter().map(IpAddr::to_string).collect();
        assert_eq!(found, ["192.0.2.3", "2001:db8::53", "fe80::1", "192.0.2.6"]);
    }

    #[test]
    fn a_missing_resolver_configuration_names_no_servers() {
        assert_eq!(read_if_there(Path::new("/nonexistent/x")).unwrap(), "");
        assert!(read_if_there(Path::new("/")).is_err());
    }

    #[test]
    fn the_system_is_named_as_the_kernel_names_itself() {
        let text = |file: &str| std::fs::read_to_string(file).unwrap().trim().to_owned();
        let release = text("/proc/sys/kernel/osrelease");
        assert_eq!(system(), format!("Linux {release}"));
        assert_eq!(name(), text("/proc/sys/kernel/hostname"));
        let addresses = facts().unwrap().addresses;
        assert_eq!(has_ipv6(), addresses.iter().any(IpAddr::is_ipv6));
    }

    #[test]
    fn each_address_stands_once_and_in_one_form() {
        let parse = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(
            distinct(vec![parse("::ffff:192.0.2.1"), parse("192.0.2.1")]),
            [parse("192.0.2.1")]
        );
    }

    #[test]
    fn a_host_knows_an_address_of_its_own() {
        // Binding to an address is the kernel's own word that it is ours.
        let facts = facts().unwrap();
        assert!(!facts.addresses.is_empty());
        for address in facts.addresses {
            let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
            if !link_local {
                std::net::UdpSocket::bind((address, 0)).unwrap();
            }
        }
        assert!(std::net::UdpSocket::bind((Ipv4Addr::new(192, 0, 2, 77), 0)).is_err());
    }
}
