//! `ripost-manager`.

use std::path::Path;
use std::process::ExitCode;

use tokio::sync::{mpsc, oneshot};

use crate::clock;
use crate::config::{self, ManagerConfig};
use crate::daemon::exit;
use crate::daemon::failure::Failure;
use crate::daemon::notify::notify;
use crate::daemon::options::Options;
use crate::daemon::reload::Watch;
use crate::daemon::signals::{Signal, Signals};
use crate::daemon::start;
use crate::manager::{Inbox, Manager, Parts, Steer};
use crate::service::{self, Door};
use crate::sys::exe::Home;
use crate::transport::local;
use crate::wire::Daemon;
use crate::wire::control::Answer;

/// The program.
pub fn main() -> ExitCode {
    start::main(Daemon::Manager, check, run)
}

fn load(options: &Options) -> config::Checked<ManagerConfig> {
    config::load_manager(&options.config, &start::context(&options.home))
}

fn check(options: &Options) -> ExitCode {
    start::report_check(&load(options))
}

fn run(options: &Options) -> Result<(), Failure> {
    let config = start::configuration(load(options))?;
    let (home, _lock) = start::claim(options, "manager.lock")?;
    start::runtime()?.block_on(serve(options, home, config))
}

async fn serve(options: &Options, home: Home, config: ManagerConfig) -> Result<(), Failure> {
    let failed = |what: &str, error: std::io::Error| {
        Failure::new(exit::INTERNAL, format!("{what}: {error}"))
    };
    let mut signals = Signals::new().map_err(|error| failed("listen for signals", error))?;
    let (inbox, senders) = Inbox::new();
    let (ready, mut is_ready) = oneshot::channel();
    let (reloads, mut reload_requests) = mpsc::channel(1);
    let socket = home.path().join("queue/manager.sock");
    let parts = Parts {
        boot_id: clock::boot_id().map_err(|error| failed("read the boot id", error))?,
        host: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        home,
        config,
    };
    let manager = Manager::open(parts, &inbox, ready, reloads)?;
    let mut manager = tokio::spawn(manager.run(inbox));
    let mut watch = Watch::new(&options.config);
    let door = Door {
        daemon: Daemon::Manager,
        requests: senders.asked,
        agents: Some(senders.agents),
    };
    loop {
        tokio::select! {
            Ok(()) = &mut is_ready => open_door(&socket, door.clone()).await?,
            signal = signals.next() => match signal {
                Signal::Stop => break,
                Signal::Reload => log_reload(&reload(options, &senders.steer).await),
            },
            Some(asker) = reload_requests.recv() => {
                let answer = reload(options, &senders.steer).await;
                log_reload(&answer);
                // Whoever asked may have gone.
                let _ = asker.send(answer);
            }
            () = watch.changed() => report_change(options),
            ended = &mut manager => {
                ended.expect("the manager neither panics nor is it aborted");
                return Err(Failure::new(exit::INTERNAL, "the manager ended without being asked to"));
            }
        }
    }
    notify("STOPPING=1");
    log::info!("stopping; responses in force stay");
    // A manager that has ended needs no telling.
    let _ = senders.steer.send(Steer::Stop).await;
    manager
        .await
        .expect("the manager neither panics nor is it aborted");
    // A socket that is left behind is taken over by the next start.
    let _ = std::fs::remove_file(&socket);
    Ok(())
}

async fn open_door(socket: &Path, door: Door) -> Result<(), Failure> {
    let listener = local::bind(socket).await?;
    tokio::spawn(service::serve(socket.to_owned(), listener, door));
    log::info!(version = env!("CARGO_PKG_VERSION"), socket:% = socket.display(); "ready");
    notify("READY=1");
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
    let (done, outcome) = oneshot::channel();
    let order = Steer::Reload {
        config: Box::new(config),
        done,
    };
    // A manager that has ended answers by dropping `done`.
    drop(steer.send(order).await);
    match outcome.await {
        Ok(Ok(())) => Answer::Reloaded {
            applied: true,
            text: format!("{problems}{}", checked.summary),
        },
        Ok(Err(error)) => Answer::Reloaded {
            applied: false,
            text: error.to_string(),
        },
        Err(_) => Answer::Reloaded {
            applied: false,
            text: "the manager is stopping".to_owned(),
        },
    }
}

/// What a reload led to, for the operator log.
pub(super) fn log_reload(answer: &Answer) {
    if let Answer::Reloaded { applied, text } = answer {
        if *applied {
            log::info!(holds = text.as_str(); "applied the configuration on disk");
        } else {
            log::error!(problems = text.as_str(); "the configuration on disk has errors; the one in use stays");
        }
    }
}

fn report_change(options: &Options) {
    report(&load(options));
}

/// Says that the configuration on disk is another one now, and whether it passes.
pub(super) fn report<T>(checked: &config::Checked<T>) {
    if checked.value.is_some() {
        log::info!(holds = checked.summary.as_str(); "the configuration has changed and passes; ripostctl reload (or SIGHUP) applies it");
    } else {
        log::warn!(problems = checked.problems().as_str(); "the configuration has changed and has errors; the one in use stays");
    }
}
