//! The operating systems that back ends belong to.

use super::Backend;

/// The back ends that are not for every system this is built for, and whose
/// they are.
const FOREIGN: &[(Backend, &[System])] = &[
    (Backend::Firewalld, &[System::Linux]),
    (Backend::Ipfw, &[System::FreeBsd]),
    (Backend::Netsh, &[System::Windows]),
    (Backend::Npf, &[System::NetBsd]),
    (
        Backend::Pf,
        &[System::FreeBsd, System::MacOs, System::OpenBsd],
    ),
    (
        Backend::RouteTool,
        &[
            System::FreeBsd,
            System::MacOs,
            System::NetBsd,
            System::OpenBsd,
            System::Windows,
        ],
    ),
    (Backend::Routes, &[System::Linux]),
];

/// An operating system.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum System {
    FreeBsd,
    Linux,
    MacOs,
    NetBsd,
    OpenBsd,
    Windows,
    /// One that no back end is for.
    Other,
}

impl System {
    pub const ALL: &[Self] = &[
        Self::FreeBsd,
        Self::Linux,
        Self::MacOs,
        Self::NetBsd,
        Self::OpenBsd,
        Self::Windows,
        Self::Other,
    ];

    /// The one that this program was built for.
    pub fn here() -> Self {
        let mut all = Self::ALL.iter().copied();
        all.find(|system| system.word() == std::env::consts::OS)
            .unwrap_or(Self::Other)
    }

    /// As [`std::env::consts::OS`] calls it.
    fn word(self) -> &'static str {
        match self {
            Self::FreeBsd => "freebsd",
            Self::Linux => "linux",
            Self::MacOs => "macos",
            Self::NetBsd => "netbsd",
            Self::OpenBsd => "openbsd",
            Self::Windows => "windows",
            Self::Other => "other",
        }
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::FreeBsd => "FreeBSD",
            Self::Linux => "Linux",
            Self::MacOs => "macOS",
            Self::NetBsd => "NetBSD",
            Self::OpenBsd => "OpenBSD",
            Self::Windows => "Windows",
            Self::Other => "another system",
        }
    }
}

impl Backend {
    /// Why it cannot be used on a system, if that is so: for people.
    pub fn objection(self, here: System) -> Option<String> {
        let (_, of) = FOREIGN.iter().find(|(backend, _)| *backend == self)?;
        if of.contains(&here) {
            return None;
        }
        let of: Vec<_> = of.iter().map(|system| system.name()).collect();
        let (name, of, here) = (self.name(), of.join(", "), here.name());
        Some(format!("{name} is of {of}, and this is {here}"))
    }
}

#[cfg(test)]
mod tests {
    use super::System;
    use crate::model::bundled::Backend;

    #[test]
    fn a_back_end_says_whose_it_is() {
        let why = Backend::Pf.objection(System::Linux).unwrap();
        assert_eq!(why, "pf is of FreeBSD, macOS, OpenBSD, and this is Linux");
        assert_eq!(Backend::Pf.objection(System::OpenBsd), None);
        for system in System::ALL {
            assert_eq!(Backend::HostsDeny.objection(*system), None);
        }
    }

    #[test]
    fn the_system_here_is_known() {
        let is_here = |system: &&System| system.word() == std::env::consts::OS;
        assert_eq!(System::ALL.iter().find(is_here), Some(&System::here()));
    }
}
