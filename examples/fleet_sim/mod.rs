//! Many agents in one process, over real TLS, without hosts: for whoever wants
//! to know what a manager on given hardware carries, and for the tests and
//! benchmarks of this package.
//!
//! A simulated agent does towards the manager what a real one does: it enrolls,
//! dials with the same back-off, tells what its host can do, acknowledges what
//! it gets, reports states, sends them again until they are confirmed, and
//! pings. It runs nothing, and its journal is memory: a simulator that is
//! started anew is a fleet of hosts that have lost their journals.

pub mod agent;
pub mod book;
pub mod fleet;
pub mod identities;
pub mod lies;
pub mod lines;
pub mod options;
pub mod processes;
pub mod report;
pub mod tally;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use self::fleet::Fleet;
use self::lines::{Line, Lines};
use self::options::{Form, Options};
use self::report::Report;

/// Reads the command line and plays the fleet.
pub fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("fleet_sim: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    raise_descriptor_limit(options)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("start: {error}"))?;
    if options.processes == 1 {
        return runtime.block_on(play(options));
    }
    // Whoever shares the work out enrolls for all, so that a token is enough.
    runtime.block_on(identities::get(options))?;
    drop(runtime);
    let report = processes::run(options)?;
    print(options.report, &report)
}

/// Plays the agents in this process.
async fn play(options: &Options) -> Result<(), String> {
    let identities = identities::get(options).await?;
    let (lines, writer) = Lines::start(options.report);
    let fleet = Fleet::start(options.settings(), identities, lines.clone())?;
    let end = async {
        match options.duration {
            Some(seconds) => tokio::time::sleep(Duration::from_secs_f64(seconds)).await,
            None => interrupted(options.first.is_some()).await,
        }
    };
    tokio::pin!(end);
    let mut every = tokio::time::interval(Duration::from_secs_f64(options.every));
    loop {
        tokio::select! {
            () = &mut end => break,
            _ = every.tick() => tell(options.report, &lines, &fleet.report()),
        }
    }
    let report = fleet.report();
    fleet.stop().await;
    lines.say(Line::Snapshot(Box::new(report.clone())));
    drop(lines);
    writer.finish();
    print(options.report, &report)
}

/// How it stands, while it runs.
fn tell(form: Form, lines: &Lines, report: &Report) {
    match form {
        Form::Lines => lines.say(Line::Snapshot(Box::new(report.clone()))),
        Form::Text => eprintln!("{}", report.in_one_line()),
        Form::Json => {}
    }
}

fn print(form: Form, report: &Report) -> Result<(), String> {
    let text = match form {
        Form::Text => report.to_string(),
        Form::Json => format!("{}\n", report.to_json()),
        Form::Lines => return Ok(()),
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| format!("print the report: {error}"))
}

/// Waits until somebody wants it to end.
async fn interrupted(is_part: bool) {
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = move || {
        // Nobody listens any more if the time was over first.
        let _ = tell.send(());
    };
    if is_part {
        std::thread::spawn(move || {
            // Nothing comes; it ends with whoever has started this part.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            tell();
        });
    } else {
        when_interrupted(tell);
    }
    // The sender is only dropped after it has told.
    let _ = told.await;
}

/// Calls `then` at SIGINT or SIGTERM.
fn when_interrupted(then: impl FnOnce() + Send + 'static) {
    use signal_hook::consts::{SIGINT, SIGTERM};
    std::thread::spawn(
        move || match signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) {
            Ok(mut signals) => {
                signals.forever().next();
                then();
            }
            Err(error) => eprintln!("fleet_sim: wait for signals: {error}"),
        },
    );
}

/// Each agent needs a descriptor.
fn raise_descriptor_limit(options: &Options) -> Result<(), String> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    /// Standard streams, the runtime, files of identities.
    const OTHERS: u64 = 64;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).map_err(|error| format!("raise RLIMIT_NOFILE: {error}"))?;
    let each = options.agents.div_ceil(options.processes);
    let needed = u64::from(each) + OTHERS;
    match limit.maximum {
        Some(most) if most < needed => Err(format!(
            "play {each} agents in one process: it may have {most} files open\n\
             (share them out: --processes {})",
            u64::from(options.agents).div_ceil(most.saturating_sub(OTHERS).max(1))
        )),
        Some(_) | None => Ok(()),
    }
}
