/// What differs between kernels.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Kernel {
    /// The end of a transaction is confirmed if asked for (since 6.10).
    pub confirms: bool,
    /// Adding an element that is there renews its end (since 6.12); before, it
    /// silently keeps the old one.
    pub renews: bool,
    /// A set can count packets for each of its elements (since 5.7).
    pub counts: bool,
}

impl Kernel {
    /// The running kernel. One whose version cannot be read is taken for an
    /// old one, which every kernel understands.
    pub fn probe() -> Self {
        let name = rustix::system::uname();
        Self::of_release(&name.release().to_string_lossy())
    }

    fn of_release(release: &str) -> Self {
        let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
        let version = match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
            _ => (0, 0),
        };
        Self {
            confirms: version >= (6, 10),
            renews: version >= (6, 12),
            counts: version >= (5, 7),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Kernel;

    #[test]
    fn kernels_are_told_apart_by_their_release() {
        for (release, confirms, renews, counts) in [
            ("6.18.44-fc-v657", true, true, true),
            ("6.12.0", true, true, true),
            ("6.11-rc1", true, false, true),
            ("6.10", true, false, true),
            ("6.9.12-generic", false, false, true),
            ("5.15.0-91-generic", false, false, true),
            ("5.6.1", false, false, false),
            ("unknown", false, false, false),
        ] {
            let wanted = Kernel {
                confirms,
                renews,
                counts,
            };
            assert_eq!(Kernel::of_release(release), wanted, "{release}");
        }
    }
}
