//! The agents shared out among several processes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::lines::Line;
use super::options::{Form, Options};
use super::report::Report;

/// Lines of all processes that may wait to be passed on.
const QUEUE: usize = 1_024;

/// Plays the agents in `--processes` processes until all have ended. What they
/// say about single actions is passed on if lines are wanted.
pub fn run(options: &Options) -> Result<Report, String> {
    let (sender, said) = sync_channel(QUEUE);
    let mut children = Vec::new();
    let mut first = 0;
    for part in 0..options.processes {
        let share = options.agents / options.processes;
        let agents = share + u32::from(part < options.agents % options.processes);
        let mut child = start(options, first, agents)?;
        first += agents;
        listen(&mut child, part, sender.clone())?;
        children.push(child);
    }
    drop(sender);
    let stdins: Vec<_> = children
        .iter_mut()
        .map(|child| child.stdin.take())
        .collect();
    // A part ends when its stdin does, so also when this process is killed.
    super::when_interrupted(move || drop(stdins));
    let report = gather(options, &said);
    for mut child in children {
        let status = child.wait().map_err(|error| format!("wait: {error}"))?;
        if !status.success() {
            return Err(format!("a part of the fleet has ended: {status}"));
        }
    }
    report.ok_or_else(|| "no part of the fleet has said anything".to_owned())
}

fn start(options: &Options, first: u32, agents: u32) -> Result<Child, String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "it starts itself, not an executable of a response"
    )]
    let mut command = std::env::current_exe()
        .map(Command::new)
        .map_err(|error| format!("find this program: {error}"))?;
    let rate = options.connect_rate / f64::from(options.processes);
    command
        .args(["--manager", &options.manager.to_string()])
        .args(["--agents", &agents.to_string()])
        .args(["--first", &first.to_string()])
        .arg("--dir")
        .arg(&options.dir)
        .args(["--connect-rate", &rate.to_string()])
        .args(["--dials", &options.dials.to_string()])
        .args(["--delay", &options.delay.to_string()])
        .args(["--answer", options.answer.as_str()])
        .args(["--every", &options.every.to_string()])
        .args(["--report", Form::Lines.as_str()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if let Some(churn) = options.disconnect {
        command.args(["--disconnect", &churn.to_string()]);
    }
    if let Some(seconds) = options.duration {
        command.args(["--duration", &seconds.to_string()]);
    }
    if !options.lie.is_empty() {
        let lies: Vec<_> = options.lie.iter().map(|lie| lie.as_str()).collect();
        command.args(["--lie", &lies.join(",")]);
        let liars = options.liars.unwrap_or(u32::MAX);
        // The first agents lie, wherever they are played.
        let here = liars.saturating_sub(first).min(agents);
        command.args(["--liars", &here.to_string()]);
    }
    command
        .spawn()
        .map_err(|error| format!("start a part of the fleet: {error}"))
}

/// Sends what a process says to the one that gathers.
fn listen(child: &mut Child, part: u32, sender: SyncSender<(u32, String)>) -> Result<(), String> {
    let stdout = child.stdout.take().ok_or("no stdout of a part")?;
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send((part, line)).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// The last that each has said, together.
fn gather(options: &Options, said: &Receiver<(u32, String)>) -> Option<Report> {
    let count = usize::try_from(options.processes).ok()?;
    let mut last: Vec<Option<Report>> = vec![None; count];
    let mut stdout = std::io::stdout();
    let mut round = 0;
    while let Ok((part, line)) = said.recv() {
        if !line.starts_with(r#"{"snapshot""#) {
            if options.report == Form::Lines {
                // Whoever does not listen any more still gets the fleet.
                let _ = writeln!(stdout, "{line}");
            }
            continue;
        }
        let Ok(Line::Snapshot(report)) = serde_json::from_str(&line) else {
            continue;
        };
        let part = usize::try_from(part).ok()?;
        last[part] = Some(*report);
        round += 1;
        if round % count == 0
            && let Some(all) = together(&last)
        {
            tell(options.report, &all);
        }
    }
    let all = together(&last);
    if let Some(all) = &all
        && options.report == Form::Lines
    {
        tell(Form::Lines, all);
    }
    all
}

fn tell(form: Form, report: &Report) {
    match form {
        Form::Text => eprintln!("{}", report.in_one_line()),
        Form::Lines => {
            if let Ok(text) = serde_json::to_string(&Line::Snapshot(Box::new(report.clone()))) {
                println!("{text}");
            }
        }
        Form::Json => {}
    }
}

fn together(last: &[Option<Report>]) -> Option<Report> {
    let mut reports = last.iter().flatten();
    let mut all = reports.next()?.clone();
    reports.for_each(|report| all.merge(report));
    Some(all)
}
