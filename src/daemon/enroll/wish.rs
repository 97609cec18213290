//! The command line of `enroll`, the token and the name of the host.

use std::io::{BufRead, IsTerminal, Read, Write};

use clap::{Args, FromArgMatches};

use crate::daemon::exit;
use crate::daemon::failure::Failure;
use crate::daemon::options::Stop;
use crate::model::{AgentName, ServerAddress};
use crate::wire::enroll::Token;

pub(in crate::daemon) const VERB: &str = "enroll";

/// More than any token has.
const MAX_TOKEN: u64 = 4_096;

/// What this host wants to become.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wish {
    pub manager: ServerAddress,
    pub token: GivenToken,
    /// None: the name of the host.
    pub name: Option<AgentName>,
    /// What is to become of an identity the host has already.
    pub held: Held,
}

/// Where the token is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum GivenToken {
    OnCommandLine(Token),
    OnStdin,
}

/// What is to become of an identity the host has already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Held {
    Keep,
    /// `--force`
    Replace,
}

const EXIT_CODES: &str = "\
A token on the command line can be seen by everybody who lists processes while
this runs; `--token -` reads it from stdin instead.

Exit codes: 0 enrolled, 1 refused on this host, 64 usage, 69 the manager cannot
be reached, 75 try again, 77 denied, 78 the configuration or the home is unfit.";

/// What was typed.
#[derive(Args, Debug)]
struct LowArgs {
    /// Where the manager listens [default port: 1517]
    #[arg(long, value_name = "HOST:PORT", value_parser = ServerAddress::parse)]
    manager: ServerAddress,
    /// What `ripostctl enroll token` has printed; `-` reads it from stdin
    #[arg(long, value_name = "T")]
    token: String,
    /// The name this host wishes, unless the token has one [default: the host's]
    #[arg(long, value_name = "NAME", value_parser = AgentName::parse)]
    name: Option<AgentName>,
    /// Enroll though this host is an agent already: replaces its key and its
    /// certificate, and the managers that agent.conf names
    #[arg(long)]
    force: bool,
}

/// The word as the parser knows it.
pub(in crate::daemon) fn command() -> clap::Command {
    // The parser takes the comment on the arguments for the description.
    LowArgs::augment_args(clap::Command::new(VERB))
        .about("Make this host an agent of a manager elsewhere")
        .after_help(EXIT_CODES)
}

pub(in crate::daemon) fn parse(matches: &clap::ArgMatches) -> Result<Wish, Stop> {
    let low = LowArgs::from_arg_matches(matches)?;
    let token = match low.token.as_str() {
        "-" => GivenToken::OnStdin,
        // Not by the parser, which would quote it.
        text => GivenToken::OnCommandLine(
            Token::parse(text).map_err(|error| Stop::usage(format!("error: {error}\n")))?,
        ),
    };
    let held = match low.force {
        true => Held::Replace,
        false => Held::Keep,
    };
    Ok(Wish {
        manager: low.manager,
        token,
        name: low.name,
        held,
    })
}

impl GivenToken {
    pub(super) fn read(&self) -> Result<Token, Failure> {
        match self {
            Self::OnCommandLine(token) => Ok(token.clone()),
            Self::OnStdin => {
                let mut line = String::new();
                if std::io::stdin().is_terminal() {
                    // Whoever cannot see this knows what they are asked for.
                    let _ = std::io::stderr().write_all(b"paste the token and press Enter: ");
                }
                std::io::stdin()
                    .lock()
                    .take(MAX_TOKEN)
                    .read_line(&mut line)
                    .map_err(|error| {
                        Failure::new(exit::USAGE, format!("read the token from stdin: {error}"))
                    })?;
                Token::parse(&line).map_err(|error| Failure::new(exit::USAGE, error))
            }
        }
    }
}

/// The name of this host as that of an agent.
pub(super) fn own_name() -> Result<AgentName, Failure> {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    made_valid(&host).ok_or_else(|| {
        let text = format!(
            "name this host: nothing of `{host}` can be the name of an agent\n(give one with --name)"
        );
        Failure::new(exit::FAILED, text)
    })
}

/// Names of hosts may begin with a digit (RFC 1123 2.1), those of agents not;
/// the kernel takes anything at all. `(none)` is what it says if nobody has
/// set one.
fn made_valid(host: &str) -> Option<AgentName> {
    if host == "(none)" || !host.contains(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let plain: String = host
        .chars()
        .map(|c| match c.is_ascii_alphanumeric() || "._-".contains(c) {
            true => c,
            false => '-',
        })
        .collect();
    let plain = match plain.starts_with(|c: char| c.is_ascii_alphabetic()) {
        true => plain,
        false => format!("host-{plain}"),
    };
    AgentName::parse(&plain).ok()
}

#[cfg(test)]
mod tests {
    use super::made_valid;

    #[test]
    fn the_name_of_a_host_becomes_one_of_an_agent() {
        for (host, name) in [
            ("web-7.example.org", Some("web-7.example.org")),
            ("7web", Some("host-7web")),
            ("-a", Some("host--a")),
            ("ho st\x1b", Some("ho-st-")),
            ("größe", Some("gr--e")),
            ("", None),
            ("...", None),
            ("(none)", None),
        ] {
            let made = made_valid(host);
            assert_eq!(made.as_ref().map(|made| made.as_str()), name, "{host:?}");
        }
    }
}
