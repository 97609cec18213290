//! The tokens that were handed out: which can still be used, and which are not
//! to be used any more.

use crate::clock;
use crate::roster::Change;
use crate::wire::control::{Answer, WhichTokens};

use super::{Asker, Manager};

impl Manager {
    pub(super) fn list_tokens(&self, asker: Asker) {
        let tokens = self.roster.usable_tokens(clock::wall());
        // An asker who has gone needs no answer.
        let _ = asker.send(Answer::Usable { tokens });
    }

    /// Also where no agents are taken: they may be later.
    pub(super) async fn void_tokens(&mut self, which: &WhichTokens, asker: Asker) {
        let (tokens, changes) = self.roster.void_tokens(which, clock::wall());
        self.enrolled.append(changes);
        for token in &tokens {
            log::warn!(token:% = token.token, uses = token.uses; "a token is void");
        }
        self.answer_once_stored(asker, Answer::Usable { tokens })
            .await;
    }

    /// What is to be said of tokens where an agent was revoked by `changes`.
    pub(super) fn tokens_after(&self, changes: &[Change]) -> String {
        let void = changes
            .iter()
            .any(|change| matches!(change, Change::TokenGone(_)));
        let usable = self.roster.usable_tokens(clock::wall());
        let open = usable.iter().filter(|token| token.id.is_none()).count();
        let void = match void {
            true => "; the token for its id is void",
            false => "",
        };
        let open = match open {
            0 => String::new(),
            open => format!(
                "\ntokens with which any host may still enroll: {open} (`ripostctl enroll list` \
                 shows them, `ripostctl enroll revoke` makes them void)"
            ),
        };
        format!("{void}{open}")
    }
}
