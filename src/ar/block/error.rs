use std::sync::Arc;

use crate::ar::Cause;
use crate::ar::iptables::IptablesError;
use crate::sys::nft::NftError;
use crate::sys::null_routes::RouteError;

/// Why a network is not blocked, or still is. What is wrong with a whole batch
/// is wrong with each of it.
#[derive(Debug, thiserror::Error)]
pub(in crate::ar) enum BlockError {
    #[error(transparent)]
    NfTables(#[from] Arc<NftError>),
    #[error(transparent)]
    Iptables(#[from] Arc<IptablesError>),
    #[error(transparent)]
    Routes(#[from] Arc<RouteError>),
    #[error("block by any means of this host: {tried}\n({hint})")]
    Nothing {
        tried: String,
        hint: String,
        /// What the last of them is missing.
        lacks: Cause,
    },
}

impl BlockError {
    /// Whether it says that this host does not have the back end at all.
    pub(super) fn is_gap(&self) -> bool {
        match self {
            Self::NfTables(error) => matches!(**error, NftError::NotInKernel),
            Self::Iptables(error) => error.is_gap(),
            Self::Routes(error) => matches!(**error, RouteError::NoFamily(_)),
            Self::Nothing { .. } => true,
        }
    }

    /// All that was tried, and what would help each.
    pub(super) fn nothing(gaps: &[Self]) -> Self {
        let whole: Vec<String> = gaps.iter().map(|gap| gap.to_string()).collect();
        let parts = whole
            .iter()
            .map(|text| text.split_once('\n').unwrap_or((text, "")));
        let (tried, hints): (Vec<_>, Vec<_>) = parts.unzip();
        let bare = |hint: &str| {
            let inner = hint
                .strip_prefix('(')
                .and_then(|hint| hint.strip_suffix(')'));
            inner.unwrap_or(hint).to_owned()
        };
        let hints: Vec<_> = hints.into_iter().map(bare).collect();
        Self::Nothing {
            tried: tried.join("; "),
            hint: hints.join("; or: "),
            lacks: gaps.last().map_or(Cause::NotInKernel, |gap| Cause::of(gap)),
        }
    }
}
