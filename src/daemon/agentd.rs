//! `ripost-agentd`.

use std::process::ExitCode;

use tokio::sync::mpsc;

use crate::agent::{self, Agent, Inbox, Parts, Settings, Steer};
use crate::clock;
use crate::config::{self, AgentConfig};
use crate::daemon::exit;
use crate::daemon::failure::Failure;
use crate::daemon::manager::{log_reload, report};
use crate::daemon::notify::notify;
use crate::daemon::options::Options;
use crate::daemon::reload::Watch;
use crate::daemon::signals::{Signal, Signals};
use crate::daemon::start;
use crate::policy::WhiteList;
use crate::service::{self, Door};
use crate::sys::exe::Home;
use crate::transport::local;
use crate::wire::Daemon;
use crate::wire::control::Answer;

/// The program.
pub fn main() -> ExitCode {
    start::main(Daemon::Agentd, check, run)
}

fn load(options: &Options) -> config::Checked<AgentConfig> {
    config::load_agent(&options.config, &start::context(&options.home))
}

fn check(options: &Options) -> ExitCode {
    start::report_check(&load(options))
}

fn run(options: &Options) -> Result<(), Failure> {
    let config = start::configuration(load(options))?;
    let (home, _lock) = start::claim(options, "agentd.lock")?;
    start::runtime()?.block_on(serve(options, home, config))
}

fn settings(config: AgentConfig) -> Settings {
    Settings {
        disabled: config.disabled,
        white_list: WhiteList::new(config.white_list),
    }
}

async fn serve(options: &Options, home: Home, config: AgentConfig) -> Result<(), Failure> {
    let failed = |what: &str, error: std::io::Error| {
        Failure::new(exit::INTERNAL, format!("{what}: {error}"))
    };
    let mut signals = Signals::new().map_err(|error| failed("listen for signals", error))?;
    let boot_id = clock::boot_id().map_err(|error| failed("read the boot id", error))?;
    let (inbox, steer, requests) = Inbox::new().map_err(|error| failed("make a timer", error))?;
    let (reloads, mut reload_requests) = mpsc::channel(1);
    let path = home.path().to_owned();
    let parts = Parts {
        home,
        boot_id: boot_id.clone(),
        settings: settings(config),
        reloads,
    };
    let agent = Agent::open(parts, &inbox)?;
    if path.join("etc/manager.conf").exists() {
        tokio::spawn(agent::dial(
            path.join("queue/manager.sock"),
            boot_id,
            inbox.reports(),
        ));
    } else {
        log::warn!(
            "this home is no manager's and etc/agent.conf names none; responses in force end in time, and no new one comes"
        );
    }
    let mut agent = tokio::spawn(agent.run(inbox));
    let socket = path.join("queue/agentd.sock");
    let listener = local::bind(&socket).await?;
    let door = Door {
        daemon: Daemon::Agentd,
        requests,
        agents: None,
    };
    tokio::spawn(service::serve(socket.clone(), listener, door));
    log::info!(version = env!("CARGO_PKG_VERSION"), socket:% = socket.display(); "ready");
    notify("READY=1");
    let mut watch = Watch::new(&options.config);
    loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Stop => break,
                Signal::Reload => log_reload(&reload(options, &steer).await),
            },
            Some(asker) = reload_requests.recv() => {
                let answer = reload(options, &steer).await;
                log_reload(&answer);
                // Whoever asked may have gone.
                let _ = asker.send(answer);
            }
            () = watch.changed() => report(&load(options)),
            ended = &mut agent => {
                ended.expect("the agent neither panics nor is it aborted");
                return Err(Failure::new(exit::INTERNAL, "the agent ended without being asked to"));
            }
        }
    }
    notify("STOPPING=1");
    log::info!("stopping; responses in force stay");
    // An agent that has ended needs no telling.
    let _ = steer.send(Steer::Stop).await;
    agent
        .await
        .expect("the agent neither panics nor is it aborted");
    // A socket that is left behind is taken over by the next start.
    let _ = std::fs::remove_file(&socket);
    Ok(())
}

/// Applies the configuration on disk, if it passes.
async fn reload(options: &Options, steer: &mpsc::Sender<Steer>) -> Answer {
    let checked = load(options);
    let problems = checked.problems();
    let Some(config) = checked.value else {
        return Answer::Reloaded {
            applied: false,
            text: problems,
        };
    };
    let applied = steer.send(Steer::Reload(settings(config))).await.is_ok();
    Answer::Reloaded {
        applied,
        text: format!("{problems}{}", checked.summary),
    }
}
