//! Everything raw: processes, descriptors, credentials, netlink. The only
//! module with `unsafe`; each wrapper is safe to call whatever the caller does.

#![expect(
    unsafe_code,
    reason = "this module is where the operating system is spoken to"
)]

pub mod beneath;
pub mod cut;
pub mod exe;
pub mod fs;
pub mod group;
pub mod host;
pub mod kill;
mod netlink;
pub mod nft;
pub mod null_routes;
pub mod process;
mod rtnetlink;
pub mod secret;
pub mod shadow;
pub mod timer;
pub mod xtables;
pub mod zone;
