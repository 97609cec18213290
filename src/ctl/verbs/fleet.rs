//! How the verbs about agents are typed: `agents`, `run`, `enroll`, `import`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::EnumValueParser;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};

use crate::ctl::import::{System, Wish};
use crate::ctl::options::Task;
use crate::daemon::options::Stop;
use crate::model::{AgentGroup, AgentId, AgentName, CommandName, InvalidSelector, Selector, span};
use crate::wire::control::{Run, TokenWish, WhichTokens};
use crate::wire::enroll::{Token, TokenId};

/// Every agent, the one on the manager's host included.
const ALL: &str = "all";

const RUN_EXIT_CODES: &str = "\
Exit codes: 0 applied, already in force or done on every host; 75 some hosts
have not answered yet; 1 it did not happen on some host.";

const TOKEN_USE: &str = "\
The token is the only line on stdout. On the host it is used with
`ripost-agentd enroll --manager HOST:PORT --token -`, which reads it from stdin.";

const VOID_EXIT_CODES: &str = "\
Exit codes: 0 none of them can be used any more; 1 one that was named could not
be used before, either.";

const IMPORT_USE: &str = "\
Of an installation or an ossec.conf a new home is made, and a line printed for
each command, response, script, list and agent, or an array with -o json. Each
is taken over, taken over but different, or not possible; why, and what to do
instead. The source is only read. The agents of a client.keys are told to the
manager of --home, and a token for each is printed.";

pub(super) fn agents_arguments(command: Command) -> Command {
    command.subcommand(
        Command::new("revoke")
            .about("Shut an agent out at once, until it enrolls with a token for its id")
            .arg(
                Arg::new("id")
                    .value_name("ID")
                    .required(true)
                    .value_parser(remote_agent)
                    .help("The agent, as `agents` shows it"),
            ),
    )
}

pub(super) fn agents(matches: &ArgMatches) -> Result<Task, Stop> {
    Ok(match matches.subcommand() {
        Some((_, revoke)) => Task::Revoke {
            agent: required(revoke, "id"),
        },
        None => Task::Agents,
    })
}

pub(super) fn run_arguments(command: Command) -> Command {
    command
        .after_help(RUN_EXIT_CODES)
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .required(true)
                .value_parser(CommandName::parse)
                .help("A command that manager.conf declares"),
        )
        .arg(
            Arg::new("agent")
                .long("agent")
                .value_name("SELECTOR")
                .required(true)
                .action(ArgAction::Append)
                .value_delimiter(',')
                .value_parser(selector)
                .help("Where: an id (007), a range (010-019), a name, group:NAME, or all"),
        )
        .arg(
            Arg::new("target")
                .long("target")
                .value_name("T")
                .value_parser(not_empty)
                .help("An address, or what else the executable acts on"),
        )
        .arg(
            Arg::new("timeout")
                .long("timeout")
                .value_name("SPAN")
                .value_parser(some_time)
                .help("Take it back after this: seconds, or 10m, 2h, 1d [default: never]"),
        )
}

pub(super) fn run(matches: &ArgMatches) -> Result<Task, Stop> {
    let agents = matches
        .get_many::<String>("agent")
        .expect("the parser requires it");
    Ok(Task::Run(Run {
        command: required(matches, "command"),
        agents: agents.cloned().collect(),
        target: matches.get_one::<String>("target").cloned(),
        timeout: matches
            .get_one::<Duration>("timeout")
            .map(Duration::as_secs),
    }))
}

pub(super) fn enroll_arguments(command: Command) -> Command {
    command
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(token_arguments(
            Command::new("token").about("Make a token with which hosts can become agents"),
        ))
        .subcommand(Command::new("list").about("Show the tokens with which hosts may still enroll"))
        .subcommand(void_arguments(
            Command::new("revoke").about("Make tokens void: nobody enrolls with them any more"),
        ))
}

fn void_arguments(command: Command) -> Command {
    command
        .after_help(VOID_EXIT_CODES)
        .arg(
            Arg::new("ids")
                .value_name("TOKEN-ID")
                .num_args(1..)
                .help("A token's id, as `enroll list` shows it, or the whole token"),
        )
        .arg(
            Arg::new("all")
                .long("all")
                .action(ArgAction::SetTrue)
                .help("Every token"),
        )
        .group(ArgGroup::new("which").args(["ids", "all"]).required(true))
}

fn token_arguments(command: Command) -> Command {
    command
        .after_help(TOKEN_USE)
        .arg(
            Arg::new("id")
                .long("id")
                .value_name("ID")
                .value_parser(remote_agent)
                .help("The one agent it is for, which may be enrolled already"),
        )
        .arg(
            Arg::new("name")
                .long("name")
                .value_name("NAME")
                .value_parser(AgentName::parse)
                .help("The name the agent gets, whatever its host wishes"),
        )
        .arg(
            Arg::new("group")
                .long("group")
                .value_name("GROUP")
                .action(ArgAction::Append)
                .value_delimiter(',')
                .value_parser(AgentGroup::parse)
                .help("A group the agent joins; repeat for more"),
        )
        .arg(
            Arg::new("uses")
                .long("uses")
                .value_name("N")
                .default_value("1")
                .value_parser(value_parser!(u32).range(1..))
                .help("How many hosts may enroll with it"),
        )
        .arg(ttl())
}

/// How long tokens are valid.
fn ttl() -> Arg {
    Arg::new("ttl")
        .long("ttl")
        .value_name("SPAN")
        .default_value("24h")
        .value_parser(some_time)
        .help("How long it is valid: seconds, or 10m, 2h, 1d")
}

pub(super) fn enroll(matches: &ArgMatches) -> Result<Task, Stop> {
    let (word, matches) = matches
        .subcommand()
        .expect("the parser requires a subcommand");
    match word {
        "list" => Ok(Task::EnrollList),
        "revoke" => {
            let ids = matches.get_many::<String>("ids");
            let tokens = match ids {
                Some(ids) => {
                    WhichTokens::Ids(ids.map(|id| token_id(id)).collect::<Result<_, _>>()?)
                }
                None => WhichTokens::All,
            };
            Ok(Task::EnrollRevoke { tokens })
        }
        _ => token(matches),
    }
}

fn token(token: &ArgMatches) -> Result<Task, Stop> {
    let groups = token.get_many::<AgentGroup>("group");
    let wish = TokenWish {
        id: token.get_one::<AgentId>("id").cloned(),
        name: token.get_one::<AgentName>("name").cloned(),
        groups: groups.unwrap_or_default().cloned().collect(),
        uses: required(token, "uses"),
        ttl: required::<Duration>(token, "ttl").as_secs(),
    };
    if wish.uses > 1 && (wish.id.is_some() || wish.name.is_some()) {
        let text = "error: a token with --id or --name is for one host\n(leave --uses out, or make a token without an id and a name)\n";
        return Err(Stop::usage(text.to_owned()));
    }
    Ok(Task::EnrollToken(wish))
}

pub(super) fn import_arguments(command: Command) -> Command {
    let of_installations = ["to", "dry-run", "from"];
    command
        .arg(
            Arg::new("source")
                .value_name("SOURCE")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("The folder of an installation, such as /var/ossec, its ossec.conf, or a client.keys"),
        )
        .arg(
            Arg::new("to")
                .long("to")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .help("The home to make: an empty or a new folder [default: that of --home]"),
        )
        .arg(
            Arg::new("dry-run")
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .help("Only tell what would become of each thing"),
        )
        .arg(
            Arg::new("from")
                .long("from")
                .value_name("SYSTEM")
                .value_parser(EnumValueParser::<System>::new())
                .help("Whose configuration it is [default: told from what is in it]"),
        )
        .arg(
            ttl()
                .help("Of a client.keys: how long the tokens are valid: seconds, or 10m, 2h, 1d")
                .conflicts_with_all(of_installations),
        )
        .after_help(IMPORT_USE)
}

pub(super) fn import(matches: &ArgMatches) -> Result<Task, Stop> {
    let wish = Wish {
        source: required(matches, "source"),
        to: matches.get_one("to").cloned(),
        is_dry: matches.get_flag("dry-run"),
        from: matches.get_one("from").copied(),
        ttl: required(matches, "ttl"),
    };
    Ok(Task::Import(wish))
}

fn required<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> T {
    matches
        .get_one::<T>(name)
        .expect("the parser requires it, or it has a default value")
        .clone()
}

/// Not read by the parser, which would quote a token that has a slip in it.
fn token_id(text: &str) -> Result<TokenId, Stop> {
    let whole = || Token::parse(text).map(|token| token.id);
    TokenId::parse(text).or_else(|_| whole()).map_err(|_| {
        let text = "error: a TOKEN-ID has 16 hexadecimal digits\n(`ripostctl enroll list` shows them; a whole token is taken, too)\n";
        Stop::usage(text.to_owned())
    })
}

/// An agent with a certificate, which the one on the manager's host has not.
fn remote_agent(text: &str) -> Result<AgentId, String> {
    match AgentId::parse(text) {
        Ok(AgentId::MANAGER) => {
            Err("it is the manager's own host, which is let in without a certificate".to_owned())
        }
        Ok(id) => Ok(id),
        Err(error) => Err(format!("it {error}")),
    }
}

fn selector(text: &str) -> Result<String, InvalidSelector> {
    match text {
        ALL => Ok(ALL.to_owned()),
        _ => Selector::parse(text).map(|selector| selector.to_string()),
    }
}

fn not_empty(text: &str) -> Result<String, &'static str> {
    match text.trim() {
        "" => Err("it is empty"),
        text => Ok(text.to_owned()),
    }
}

fn some_time(text: &str) -> Result<Duration, String> {
    match span::parse(text) {
        Ok(written) if written.span.is_zero() => Err("it is no time at all".to_owned()),
        Ok(written) => Ok(written.span),
        Err(error) => Err(format!("it {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::PathBuf;
    use std::time::Duration;

    use crate::ctl::import::{System, Wish};
    use crate::ctl::options::{Task, parse};
    use crate::daemon::exit;
    use crate::daemon::options::Stop;
    use crate::model::{AgentGroup, AgentId, AgentName, CommandName, Pin};
    use crate::wire::control::{Run, TokenWish, WhichTokens};
    use crate::wire::enroll::{Secret, Token, TokenId};

    /// Words with a blank between two of them.
    fn task(line: &str) -> Result<Task, Stop> {
        let words = std::iter::once("ripostctl").chain(line.split(' '));
        parse(words.map(OsString::from), None).map(|options| options.task)
    }

    fn id(text: &str) -> AgentId {
        AgentId::parse(text).unwrap()
    }

    #[test]
    fn a_run_says_what_where_against_whom_and_for_how_long() {
        let run = Run {
            command: CommandName::parse("firewall-drop").unwrap(),
            agents: ["007", "010-019", "web-7", "group:db", "all"]
                .map(str::to_owned)
                .to_vec(),
            target: Some("203.0.113.9".to_owned()),
            timeout: Some(600),
        };
        let line = "run firewall-drop --agent 7,10-19 --agent web-7 --agent group:db,all --target 203.0.113.9 --timeout 10m";
        assert_eq!(task(line), Ok(Task::Run(run)));
        let run = Run {
            command: CommandName::parse("notify").unwrap(),
            agents: vec!["007".to_owned()],
            target: None,
            timeout: None,
        };
        assert_eq!(task("run notify --agent 007"), Ok(Task::Run(run)));
    }

    #[test]
    fn a_token_is_for_one_host_and_one_day_unless_more_is_said() {
        let wish = TokenWish {
            id: None,
            name: None,
            groups: Vec::new(),
            uses: 1,
            ttl: 86_400,
        };
        assert_eq!(task("enroll token"), Ok(Task::EnrollToken(wish.clone())));
        let group = |text| AgentGroup::parse(text).unwrap();
        let bound = TokenWish {
            id: Some(id("7")),
            name: Some(AgentName::parse("web-7").unwrap()),
            groups: vec![group("web"), group("eu"), group("db")],
            ttl: 7_200,
            ..wish.clone()
        };
        let line = "enroll token --id 7 --name web-7 --group web,eu --group db --uses 1 --ttl 2h";
        assert_eq!(task(line), Ok(Task::EnrollToken(bound)));
        let many = TokenWish { uses: 50, ..wish };
        assert_eq!(task("enroll token --uses 50"), Ok(Task::EnrollToken(many)));
    }

    #[test]
    fn tokens_are_shown_or_made_void_by_their_ids_or_all_of_them() {
        assert_eq!(task("enroll list"), Ok(Task::EnrollList));
        let token = Token {
            pin: Pin::from_bytes([7; 32]),
            id: TokenId::from_bytes([0xb2; 8]),
            secret: Secret::from_bytes([0xfe; 16]),
        };
        let ids = vec![TokenId::from_bytes([0xa1; 8]), token.id];
        let line = format!("enroll revoke a1a1a1a1a1a1a1a1 {}", token.reveal());
        let tokens = WhichTokens::Ids(ids);
        assert_eq!(task(&line), Ok(Task::EnrollRevoke { tokens }));
        let tokens = WhichTokens::All;
        assert_eq!(
            task("enroll revoke --all"),
            Ok(Task::EnrollRevoke { tokens })
        );
        let cut = &token.reveal()[1..];
        let stop = task(&format!("enroll revoke {cut}")).unwrap_err();
        assert!(!stop.text.contains("fefe"), "{}", stop.text);
    }

    #[test]
    fn agents_are_shown_or_one_is_shut_out() {
        assert_eq!(task("agents"), Ok(Task::Agents));
        let agent = id("7");
        assert_eq!(task("agents revoke 007"), Ok(Task::Revoke { agent }));
        let wish = Wish {
            source: PathBuf::from("x"),
            to: None,
            is_dry: false,
            from: None,
            ttl: Duration::from_secs(604_800),
        };
        let import = |wish: &Wish| Ok(Task::Import(wish.clone()));
        assert_eq!(task("import x --ttl 7d"), import(&wish));
        let wish = Wish {
            to: Some(PathBuf::from("y")),
            is_dry: true,
            from: Some(System::Ossec),
            ttl: Duration::from_secs(86_400),
            ..wish
        };
        let line = "import x --to y --dry-run --from ossec";
        assert_eq!(task(line), import(&wish));
    }

    #[test]
    fn what_would_be_guessed_or_ignored_is_refused() {
        for (line, text) in [
            ("run firewall-drop", "--agent"),
            ("run firewall-drop --agent 007,", "is no agent"),
            ("run firewall-drop --agent 9-8", "is empty"),
            ("run firewall-drop --agent *", "is no agent"),
            ("run firewall-drop --agent", "--agent"),
            ("run !x --agent 007", "starts with"),
            ("run x --agent 007 --timeout 0", "no time at all"),
            ("run x --agent 007 --timeout 10min", "units s, m, h, d"),
            ("run x --agent 007 --target ", "--target"),
            ("run x y --agent 007", "'y'"),
            ("enroll", "token"),
            ("enroll tokn", "'token'"),
            ("enroll token --id web", "not an agent id"),
            ("enroll token --id 000", "manager's own host"),
            ("enroll token --name 7web", "starts with '7'"),
            ("enroll token --group a/b", "contains '/'"),
            ("enroll token --uses 0", "--uses"),
            ("enroll token --ttl 0", "no time at all"),
            ("enroll token --id 7 --uses 2", "one host"),
            ("enroll token --name web --uses 2", "one host"),
            ("enroll revoke", "TOKEN-ID"),
            ("enroll revoke 007", "16 hexadecimal digits"),
            ("enroll revoke --all a1a1a1a1a1a1a1a1", "--all"),
            ("enroll list 007", "'007'"),
            ("enroll lst", "'list'"),
            ("import x --to y --ttl 7d", "--ttl"),
            ("import x --from wazuh5", "'wazuh5'"),
            ("agents revoke", "<ID>"),
            ("agents revoke web", "not an agent id"),
            ("agents revoke 000", "manager's own host"),
            ("agents remove 007", "unrecognized"),
            ("import", "<SOURCE>"),
            ("import a b", "'b'"),
        ] {
            let stop = task(line).unwrap_err();
            assert_eq!(stop.code, exit::USAGE, "{line}");
            assert!(stop.text.contains(text), "{line}: {}", stop.text);
        }
    }
}
