//! One run: from the command line and the first line of stdin to the exit
//! status.

use crate::ar::log::{Entry, Log};
use crate::ar::{Action, ActsOn, Cause, Done, Fail, Job, place};
use crate::contract::input::{self, Answer, InvalidInput, Order, Request};
use crate::contract::reply::{self, RunResult, Status};
use crate::contract::target::{self, NoTarget};
use crate::model::bundled::{self, Backend, Bundled, InvalidOptions, Options};
use crate::model::target::Special;
use crate::model::{ExeName, Target};
use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;

pub(super) const REFUSED: u8 = 255;

/// sysexits(3).
const USAGE: u8 = 64;

/// Why a run ends without having tried.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error(transparent)]
    Input(#[from] InvalidInput),
    #[error("Invalid extra_args: {0}")]
    Options(#[from] InvalidOptions),
    /// The words are those of 4.x.
    #[error("{words}")]
    Target {
        words: &'static str,
        why: Option<NoTarget>,
    },
}

impl Stop {
    /// For people.
    pub(super) fn explained(&self) -> String {
        match self {
            Self::Target { why: Some(why), .. } => format!("{self}: the alert {why}"),
            Self::Input(_) | Self::Options(_) | Self::Target { why: None, .. } => self.to_string(),
        }
    }
}

/// Runs one executable from its first line to its exit status.
pub fn main<A: Action>(action: A) -> ExitCode {
    let row = bundled::find(A::NAME).expect("every executable has a row");
    if let Some(code) = asked(row, env::args_os().skip(1)) {
        return code;
    }
    let name = match place::enter() {
        Ok(name) => name,
        Err(why) => {
            Fail::from(why).explain();
            return ExitCode::from(REFUSED);
        }
    };
    let mut run = Run {
        log: Log::open(&name),
        name,
        row,
        action,
    };
    match run.order(&mut io::stdin().lock()) {
        Ok(code) => code,
        Err(stop) => {
            run.log.line(Entry::Trouble(stop.to_string().as_bytes()));
            eprintln!("{}", stop.explained());
            ExitCode::from(REFUSED)
        }
    }
}

/// Answers a person who has put a word behind the name; no daemon does.
fn asked(row: &Bundled, args: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let args: Vec<_> = args.collect();
    let text = match args.as_slice() {
        [] => return None,
        [word] if word == "--spec" => serde_json::to_string_pretty(row).expect("a row is JSON"),
        [word] if word == "-h" || word == "--help" => help(row),
        [word] if word == "-V" || word == "--version" => {
            format!("{} {}", row.name, env!("CARGO_PKG_VERSION"))
        }
        _ => {
            eprintln!("usage: {} [--spec | -h | -V]", row.name);
            return Some(ExitCode::from(USAGE));
        }
    };
    let told = writeln!(io::stdout(), "{}", text.trim_end());
    Some(ExitCode::from(u8::from(told.is_err())))
}

fn help(row: &Bundled) -> String {
    let Bundled { name, about, .. } = row;
    let acts_on = row.target.label();
    let back_ends: Vec<_> = row.backends.iter().map(|backend| backend.name()).collect();
    let back_ends = back_ends.join(", else ");
    let mut text = format!(
        "{name}: {about}\n\n\
         An executable of an active response: a daemon starts it from active-response/bin of its\n\
         home and writes JSON to its stdin. It acts on {acts_on}, through {back_ends}.\n"
    );
    if !row.options.is_empty() || row.word.is_some() {
        text.push_str("\nIn <extra_args>:\n");
    }
    if let Some(about) = row.word {
        text.push_str(&format!("  {:<24} {about}\n", "WORD"));
    }
    for option in row.options {
        let shown = format!("{} {}", option.name, option.value.label());
        text.push_str(&format!("  {shown:<24} {}\n", option.about));
    }
    text.push_str("\n--spec prints all of this as JSON.");
    text
}

struct Run<A> {
    action: A,
    name: ExeName,
    row: &'static Bundled,
    log: Log,
}

impl<A: Action> Run<A> {
    fn order(&mut self, input: &mut impl BufRead) -> Result<ExitCode, Stop> {
        self.log.line(Entry::Step(b"Starting"));
        let line = input::read_line(input)?;
        // Without the newline that 4.x leaves in, which makes a blank line
        // that no decoder asks for.
        self.log.line(Entry::Step(line.trim_ascii_end()));
        let Wanted {
            request,
            options,
            target,
        } = Wanted::read::<A>(self.row, &line)?;
        let answer = match (&target, request.order) {
            (Some(target), Order::Add) => self.ask(target, input)?,
            // There is nothing to ask about.
            (None, Order::Add) | (_, Order::Delete) => Answer::Continue { expires: None },
        };
        let Answer::Continue { expires } = answer else {
            self.log.line(Entry::Step(b"Aborted"));
            return Ok(ExitCode::SUCCESS);
        };
        let order = request.order;
        let words = self.log.words(order, target.as_ref(), &request);
        let done = match without_trying(self.row, order, target.as_ref()) {
            Some(done) => Ok(done),
            None => {
                let job = Job {
                    target: acted_on::<A>(target),
                    lasts: expires,
                    options,
                    alert: request.alert().cloned(),
                };
                match order {
                    Order::Delete => self.action.delete(&job),
                    Order::Add => self.action.add(&job),
                }
            }
        };
        Ok(self.end(done, words.as_deref()))
    }

    /// Says what it would act on and reads the daemon's answer.
    fn ask(&mut self, target: &Target, input: &mut impl BufRead) -> Result<Answer, Stop> {
        let line = reply::check_keys(&self.name, &target.keys());
        self.log.line(Entry::Step(line.as_bytes()));
        say(&line);
        Ok(input::answer(&input::read_line(input)?)?)
    }

    /// Logs and reports the end. The action is still whole: what it holds is
    /// let go only after this, as that may take a while.
    fn end(&mut self, done: Result<Done, Fail>, words: Option<&str>) -> ExitCode {
        if let Err(fail) = &done {
            fail.explain();
        }
        let ending = Ending::of(done, self.action.backend());
        self.log.line(ending.entry(words));
        say(&reply::result(&self.name, &ending.result));
        ExitCode::from(ending.code)
    }
}

/// What a first line asks for.
pub(super) struct Wanted<'a> {
    pub(super) request: Request<'a>,
    pub(super) options: Options,
    pub(super) target: Option<Target>,
}

impl<'a> Wanted<'a> {
    pub(super) fn read<A: Action>(row: &Bundled, line: &'a [u8]) -> Result<Self, Stop> {
        let words = A::NO_TARGET;
        let request = input::request(line)?;
        let options = Options::parse(row.options, &request.extra_args())?;
        let alert = request.alert().ok_or(Stop::Target { words, why: None })?;
        let target = target::named(row, &options, alert).map_err(|why| Stop::Target {
            words,
            why: Some(why),
        })?;
        Ok(Self {
            request,
            options,
            target,
        })
    }
}

/// The target as the action takes it.
pub(super) fn acted_on<A: Action>(target: Option<Target>) -> A::Target {
    A::Target::of(target).expect("the row names this kind of target")
}

/// How an order ends for which nothing is to be done.
pub(super) fn without_trying(row: &Bundled, order: Order, target: Option<&Target>) -> Option<Done> {
    match order {
        Order::Delete if row.reverts => None,
        // 4.x's restart-wazuh restarts a second time here.
        Order::Delete => Some(Done::absent()),
        Order::Add => target.and_then(refused).map(Done::refused),
    }
}

/// The end of an order that was carried out or tried.
pub(super) struct Ending {
    pub(super) code: u8,
    pub(super) result: RunResult,
}

impl Ending {
    /// `backend`: through what, where the end itself says nothing of it.
    pub(super) fn of(done: Result<Done, Fail>, backend: Backend) -> Self {
        let done = done.unwrap_or_else(|fail| Done::failed(&fail));
        let code = match done.status {
            Status::Applied | Status::Already | Status::Reverted | Status::Absent => 0,
            Status::Refused => done.cause.map_or(REFUSED, Cause::code),
            Status::Failed => done.cause.unwrap_or(Cause::Other).code(),
        };
        let result = RunResult {
            status: done.status,
            detail: done.detail,
            backend: Some(done.backend.unwrap_or(backend).name().to_owned()),
            hits: done.hits,
            stderr: None,
            exit_code: None,
        };
        Self { code, result }
    }

    /// The last line in the log. `words`: what was to be done.
    pub(super) fn entry<'a>(&'a self, words: Option<&'a str>) -> Entry<'a> {
        let why = self.result.detail.as_deref().unwrap_or_default();
        match self.code {
            0 if self.result.is_in_place() => Entry::Again,
            0 => Entry::Done(words),
            _ => Entry::Trouble(why.as_bytes()),
        }
    }
}

/// Why nobody may act against a target, whoever asks.
fn refused(target: &Target) -> Option<String> {
    let kind = Special::in_network(target.network()?)?;
    Some(format!("refused {target}: it is {kind}"))
}

/// Prints one line. That nobody listens is no error: a 4.x execd closes its
/// end once it has answered.
fn say(line: &str) {
    let _ = io::stdout().write_all(format!("{line}\n").as_bytes());
}
