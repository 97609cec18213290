use std::io;

/// Why nf_tables did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    #[error(
        "use nf_tables: operation not permitted\n(it needs root, or CAP_NET_ADMIN in this network namespace)"
    )]
    NotPermitted,
    #[error(
        "write table `inet ripost`: it belongs to another program alone\n(`nft list table inet ripost` names it behind `progname`; the table goes away with it)"
    )]
    Owned,
    #[error(
        "use nf_tables: this kernel has none\n(load the module nf_tables, or build the kernel with CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET)"
    )]
    NotInKernel,
    #[error(
        "write table `inet ripost`: it holds objects of another shape\n(look with `nft list table inet ripost`; `nft delete table inet ripost` lets it be made anew)"
    )]
    OtherShape,
    #[error(
        "write table `inet ripost`: the set is full\n(it was made with a size; `nft delete table inet ripost` lets it be made anew, without one)"
    )]
    Full,
    #[error(
        "write table `inet ripost`: it is in use by another program\n(find what else writes it with `nft monitor`)"
    )]
    Busy,
    #[error(
        "write table `inet ripost`: the kernel has no memory for it\n(an entry takes about 200 bytes of kernel memory; look at `dmesg` and at the limits of the control group)"
    )]
    NoMemory,
    #[error(
        "write table `inet ripost`: the kernel cannot count to such an end\n(use a shorter timeout, or none)"
    )]
    TooLong,
    #[error(
        "write table `inet ripost`: a network of the length 0 is everything\n(name a part of it)"
    )]
    Everything,
    #[error("write table `inet ripost`")]
    Kernel(#[source] io::Error),
    #[error("write table `inet ripost`: the kernel did not confirm the transaction")]
    NoAnswer,
    #[error(
        "write table `inet ripost`: the rules change faster than they can be written\n(find the program that does it with `nft monitor`)"
    )]
    Contended,
    #[error("speak to nf_tables over netlink: {action}")]
    Socket {
        action: &'static str,
        #[source]
        source: io::Error,
    },
}

impl NftError {
    /// What this errno, the answer to a request, means.
    pub(super) fn of(errno: i32) -> Self {
        match errno {
            libc::EPERM => Self::NotPermitted,
            libc::EOPNOTSUPP | libc::EAFNOSUPPORT => Self::NotInKernel,
            // EINVAL: a key of another length than the set's.
            libc::EEXIST | libc::EINVAL => Self::OtherShape,
            libc::ENFILE => Self::Full,
            libc::EBUSY => Self::Busy,
            libc::ENOMEM | libc::ENOBUFS => Self::NoMemory,
            libc::ERANGE => Self::TooLong,
            _ => Self::Kernel(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Whether this errno says the same of every element of a transaction.
    pub(super) fn concerns_all(errno: i32) -> bool {
        matches!(errno, libc::EPERM | libc::EOPNOTSUPP | libc::EAFNOSUPPORT)
    }
}

#[cfg(test)]
mod tests {
    use super::NftError;

    /// Those that a kernel cannot be made to give in a test.
    #[test]
    fn each_errno_is_an_error_of_its_own_with_a_hint() {
        for (errno, words) in [
            (libc::EPERM, "not permitted"),
            (libc::EOPNOTSUPP, "this kernel has none"),
            (libc::EEXIST, "another shape"),
            (libc::ENFILE, "is full"),
            (libc::EBUSY, "in use"),
            (libc::ENOMEM, "no memory"),
            (libc::ERANGE, "such an end"),
        ] {
            let error = NftError::of(errno).to_string();
            assert!(error.contains(words), "{error}");
            assert!(error.contains("\n("), "{error}");
        }
    }
}
