//! `ripost-agentd enroll`: makes this host an agent of a manager elsewhere.
//!
//! Everything that can be refused is looked at before the manager is asked,
//! because asking uses the token up. Then `etc/tls/agent.pem` is stored, and
//! last `agent.conf` is told of the manager. A crash between these two leaves
//! a host that is enrolled and does not know where to dial: if its `agent.conf`
//! named no manager before, the same command once more mends that without a
//! token. A crash before them leaves a host that is not enrolled, which needs a
//! new token for the id it was given.

mod wish;

pub use wish::{Held, Wish};
pub(super) use wish::{VERB, command, parse};

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::clock;
use crate::config::client::set_server;
use crate::config::{self, Context};
use crate::daemon::exit;
use crate::daemon::failure::Failure;
use crate::daemon::options::Options;
use crate::model::ServerAddress;
use crate::sys::exe::{ExeError, Home};
use crate::sys::fs;
use crate::transport::dial::{DialError, Trouble};
use crate::transport::enroll::{self, Enrolled};
use crate::transport::pki::{Credentials, PkiError};
use crate::wire::Denial;
use crate::wire::enroll::Token;

/// What to tell the person.
pub(super) struct Done {
    pub(super) text: String,
    /// What else was changed.
    pub(super) note: Option<String>,
}

/// Enrolls this host.
pub(super) async fn run(options: &Options, wish: &Wish) -> Result<Done, Failure> {
    let done = attempt(options, wish).await;
    // A text of the manager's may be in it.
    done.map_err(|failure| Failure::new(failure.code, escape(&failure.text)))
}

async fn attempt(options: &Options, wish: &Wish) -> Result<Done, Failure> {
    let place = Place::look(options, &wish.manager)?;
    let token = wish.token.read()?;
    if wish.held == Held::Keep
        && let Some(held) = place.held()?
    {
        place.resume(&held, &token)?;
        let text = place.resumed(&held, &wish.manager);
        return Ok(Done { text, note: None });
    }
    let name = match &wish.name {
        Some(name) => name.clone(),
        None => wish::own_name()?,
    };
    place.can_take()?;
    let enrolled = enroll::enroll(&wish.manager, &token, &name)
        .await
        .map_err(not_enrolled)?;
    place.take(&enrolled)?;
    Ok(Done {
        text: place.enrolled(&enrolled, &wish.manager),
        note: place.replaced(),
    })
}

/// The home of this host, found fit.
struct Place {
    home: PathBuf,
    tls: PathBuf,
    /// `agent.conf` without links, what it says and what it is to say.
    config: PathBuf,
    old: Vec<u8>,
    new: Vec<u8>,
    /// The managers it names so far; none where it is not valid as it is.
    named: Vec<ServerAddress>,
}

impl Place {
    fn look(options: &Options, manager: &ServerAddress) -> Result<Self, Failure> {
        let home = Home::open(&options.home).map_err(|error| match &error {
            ExeError::Open { path, source } if source.kind() == ErrorKind::NotFound => {
                // A home of a manager could not be enrolled.
                let hint = format!("(`ripostctl init --agent {}` makes it)", path.display());
                Failure::new(exit::CONFIGURATION, format!("{error}\n{hint}"))
            }
            _ => Failure::from(error),
        })?;
        let home = home.path().to_owned();
        if home.join("etc/manager.conf").exists() {
            let text = format!(
                "enroll {}: it has an etc/manager.conf, so this host is agent 000 of its own manager\n\
                 (that needs no token: start ripost-agentd; a home without a manager is made by \
                 `ripostctl init --agent DIR`)",
                home.display()
            );
            return Err(Failure::new(exit::FAILED, text));
        }
        Self::with_configuration(home, &options.config, manager)
    }

    /// A file whose only fault is in what is replaced is fit: those of OSSEC
    /// and Wazuh name a placeholder as their manager.
    fn with_configuration(
        home: PathBuf,
        file: &Path,
        manager: &ServerAddress,
    ) -> Result<Self, Failure> {
        // What cannot be resolved cannot be read either, which says why.
        let config = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        let Some(old) = fs::read(&config)? else {
            let text = format!(
                "read {}: there is no such file\n(`ripostctl init --agent DIR` makes a home with one)",
                config.display()
            );
            return Err(Failure::new(exit::CONFIGURATION, text));
        };
        let checked = config::agent(&old, &config, &Context::default());
        let problems = checked.problems();
        let new = set_server(&old, manager).map_err(|error| {
            let text = match &checked.value {
                Some(_) => error.to_string(),
                None => format!(
                    "use {}: it has errors, nothing was changed\n{}",
                    config.display(),
                    problems.trim_end()
                ),
            };
            Failure::new(exit::CONFIGURATION, text)
        })?;
        Ok(Self {
            tls: home.join("etc/tls"),
            home,
            config,
            old,
            new,
            named: checked.value.map(|it| it.servers).unwrap_or_default(),
        })
    }

    /// The identity the host has already.
    fn held(&self) -> Result<Option<Credentials>, Failure> {
        Credentials::load(&self.tls).map_err(|error| {
            let why = Failure::chain(exit::FAILED, &error);
            let text = format!("{}\n(or replace it: repeat this with --force)", why.text);
            Failure::new(exit::FAILED, text)
        })
    }

    /// Ends an enrollment that was interrupted: the identity is of the token's
    /// manager, and `agent.conf` names none yet. Whatever it names was there
    /// before, or was written since, and is not replaced unasked.
    fn resume(&self, held: &Credentials, token: &Token) -> Result<(), Failure> {
        let (id, config) = (held.agent_id(), self.config.display());
        let of_another = held.pin() != token.pin;
        let has_expired = held.not_after() <= clock::wall();
        if !of_another && !has_expired && self.named.is_empty() {
            return self.tell_config();
        }
        let fresh = format!("get a token with `ripostctl enroll token --id {id}` on its manager");
        let (problem, hint) = match (of_another, has_expired) {
            (true, _) => (
                " already, of another manager than the one the token is from",
                "to leave that one".to_owned(),
            ),
            (false, true) => (
                " already, and its certificate has expired",
                format!("to enroll it anew {fresh}, and"),
            ),
            (false, false) => (
                " already",
                format!(
                    "nothing is wrong if its manager shows it; another address of that manager is \
                     to be written into {config} by hand; to enroll it anew {fresh}, and"
                ),
            ),
        };
        let text = format!(
            "enroll {}: this host is agent {id}{problem}\n\
             ({hint} repeat this with --force: it replaces the key and the certificate of this \
             host, and the managers that {config} names)",
            self.home.display(),
        );
        Err(Failure::new(exit::FAILED, text))
    }

    /// Whether what the manager will give can be stored.
    fn can_take(&self) -> Result<(), Failure> {
        Credentials::can_store(&self.tls).map_err(pki_failure)?;
        match self.old == self.new {
            true => Ok(()),
            false => fs::can_replace(&self.config).map_err(Failure::from),
        }
    }

    /// Stores what the manager has given.
    fn take(&self, enrolled: &Enrolled) -> Result<(), Failure> {
        let id = enrolled.credentials.agent_id();
        enrolled.credentials.store(&self.tls).map_err(|error| {
            let why = pki_failure(error);
            let text = format!(
                "{}\n(the token is used up: when this is mended, get another with `ripostctl \
                 enroll token --id {id}` on the manager, and repeat this with it)",
                why.text
            );
            Failure::new(why.code, text)
        })?;
        self.tell_config().map_err(|why| {
            let rest = match self.named[..] {
                [] => "when it is mended, repeat the command",
                [..] => "write the manager into it by hand",
            };
            let text = format!(
                "{}\n(this host is agent {id} now, and only this is left: {rest})",
                why.text
            );
            Failure::new(why.code, text)
        })
    }

    fn tell_config(&self) -> Result<(), Failure> {
        if self.old == self.new {
            return Ok(());
        }
        fs::replace(&self.config, &self.new, 0o640).map_err(Failure::from)
    }

    fn enrolled(&self, enrolled: &Enrolled, manager: &ServerAddress) -> String {
        let groups: Vec<_> = enrolled.groups.iter().map(|group| group.as_str()).collect();
        let groups = match groups[..] {
            [] => String::new(),
            [..] => format!(" (groups: {})", groups.join(", ")),
        };
        let id = enrolled.credentials.agent_id();
        let name = &enrolled.name;
        format!(
            "enrolled as agent {id} {name}{groups} of {manager}\n{}",
            self.next()
        )
    }

    /// The managers that are not named any more.
    fn replaced(&self) -> Option<String> {
        if self.old == self.new || self.named.is_empty() {
            return None;
        }
        let named: Vec<_> = self.named.iter().map(ToString::to_string).collect();
        Some(format!(
            "note: {} does not name {} any more\n\
             (other addresses of the same manager may be added to it again by hand)\n",
            self.config.display(),
            named.join(", "),
        ))
    }

    fn resumed(&self, held: &Credentials, manager: &ServerAddress) -> String {
        let (id, config) = (held.agent_id(), self.config.display());
        format!(
            "this host was agent {id} of this manager already; {config} now names {manager}, and \
             the token was not used\n{}",
            self.next()
        )
    }

    fn next(&self) -> String {
        let home = self.home.display();
        format!("next: start `ripost-agentd --home {home}`, or restart it if it runs\n")
    }
}

fn not_enrolled(error: DialError) -> Failure {
    let code = match error {
        DialError::Pki(error) => return pki_failure(error),
        DialError::Tls {
            address,
            trouble: Trouble::UnknownCa,
        } => {
            let text = format!(
                "trust {address}: its certificate is not of the CA that the token is from\n\
                 (another machine answers there, or the token is not from that manager as it is \
                 set up now: `ripostctl enroll token` there prints one)"
            );
            return Failure::new(exit::NOT_PERMITTED, text);
        }
        DialError::NoServer
        | DialError::Lookup { .. }
        | DialError::Unreachable { .. }
        | DialError::Silent { .. }
        | DialError::Closed { .. }
        | DialError::Lost { .. } => exit::UNAVAILABLE,
        DialError::Tls { .. } => exit::NOT_PERMITTED,
        DialError::Denied { denial, .. } => match denial {
            Denial::NotPermitted | Denial::Token => exit::NOT_PERMITTED,
            Denial::Version => exit::UNAVAILABLE,
            Denial::Busy | Denial::Twice => exit::TRY_AGAIN,
        },
    };
    Failure::chain(code, &error)
}

fn pki_failure(error: PkiError) -> Failure {
    let code = match error {
        PkiError::File(error) => return error.into(),
        PkiError::Sent(_) => exit::NOT_PERMITTED,
        PkiError::Unusable { .. } => exit::FAILED,
        PkiError::Make(_) | PkiError::Random(_) | PkiError::Tls(_) | PkiError::Verifier(_) => {
            exit::INTERNAL
        }
    };
    Failure::chain(code, &error)
}

/// Several lines, and nothing else that a terminal would obey.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\'' | '"' | '\\' => escaped.push(c),
            c => escaped.extend(c.escape_debug()),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(
            escape("a\n\x1b[2J\u{202e} it's"),
            "a\n\\u{1b}[2J\\u{202e} it's"
        );
    }
}
