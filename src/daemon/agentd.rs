//! `ripost-agentd`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::sync::watch;

use crate::agent::{Agent, Hands, Inbox, Link, Parts, Settings, Steer};
use crate::clock;
use crate::config::{self, AgentConfig, Checked};
use crate::daemon::exit;
use crate::daemon::failure::Failure;
use crate::daemon::notify::notify;
use crate::daemon::options::Options;
use crate::daemon::reload::{Order, Orders};
use crate::daemon::start::{self, Program};
use crate::model::{Instance, LogLayout};
use crate::policy::WhiteList;
use crate::service::{self, Door};
use crate::sys::exe::Home;
use crate::sys::fs::{self, FsError};

use crate::transport::{local, random};
use crate::wire::Daemon;

/// So long the start of the network of a host waits at most for what is put back
/// after a boot.
const STANDS_WITHIN: Duration = Duration::from_secs(10);

/// The program.
pub fn main() -> ExitCode {
    let program = Program {
        daemon: Daemon::Agentd,
        lock: "agentd.lock",
        load,
    };
    start::main(&program, serve)
}

fn load(options: &Options) -> Checked<AgentConfig> {
    config::load_agent(&options.config, &start::context(&options.home))
}

fn settings(config: &AgentConfig) -> Settings {
    let white_list = config.white_list.all();
    Settings {
        disabled: config.disabled,
        white_list: WhiteList::new(white_list.networks).with_names(white_list.names),
        repeated_offenders: config.repeated_offenders.clone(),
        on_stop: config.on_stop,
    }
}

/// Tells the executables how to write their log.
fn lay_out(home: &Path, layout: LogLayout) -> Result<(), FsError> {
    let file = home.join(LogLayout::FILE);
    match layout.file() {
        Some(content) => fs::replace(&file, content, 0o600),
        None => fs::remove(&file),
    }
}

async fn serve(options: &Options, home: Home, config: AgentConfig) -> Result<(), Failure> {
    let (mut orders, reloads) = Orders::listen(options, load, config.clone())
        .map_err(start::failed("listen for signals"))?;
    let boot_id = clock::boot_id().map_err(start::failed("read the boot id"))?;
    let (inbox, steer, requests) = Inbox::new().map_err(start::failed("make a timer"))?;
    let path = home.path().to_owned();
    let servers = config.servers.clone();
    lay_out(home.path(), config.log_layout)?;
    let parts = Parts {
        home,
        boot_id,
        instance: Instance::from_bytes(
            random::bytes().map_err(|error| Failure::new(exit::TRY_AGAIN, error))?,
        ),
        settings: settings(&config),
        hands: Hands::own(),
        reloads,
    };
    let mut agent = Agent::open(parts, &inbox)?;
    let standing = tokio::time::timeout(STANDS_WITHIN, agent.standing());
    tokio::pin!(standing);
    let (servers, named) = watch::channel(servers);
    let link = Link::new(path.clone(), agent.caller(), named, inbox.reports());
    tokio::spawn(link.keep_up());
    let mut agent = tokio::spawn(agent.run(inbox));
    let socket = path.join("queue/agentd.sock");
    let listener = local::bind(&socket).await?;
    let door = Door {
        daemon: Daemon::Agentd,
        requests,
        agents: None,
    };
    tokio::spawn(service::serve(socket.clone(), listener, door));
    let mut is_ready = false;
    loop {
        tokio::select! {
            stands = &mut standing, if !is_ready => {
                is_ready = true;
                if stands.is_err() {
                    log::warn!("not all that is in force stands again yet; going on meanwhile");
                }
                log::info!(version = env!("CARGO_PKG_VERSION"), socket:% = socket.display(); "ready");
                notify("READY=1");
            }
            order = orders.next() => match order {
                Order::Stop => break,
                Order::Apply(config, reload) => {
                    let outcome = match lay_out(&path, config.log_layout) {
                        Ok(()) => {
                            servers.send_replace(config.servers.clone());
                            let applied = steer.send(Steer::Reload(settings(&config))).await;
                            applied.map_err(|_| "the agent is stopping".to_owned())
                        }
                        Err(error) => Err(format!("failed to {error}")),
                    };
                    orders.ended(*config, reload, outcome);
                }
            },
            ended = &mut agent => {
                ended.expect("the agent neither panics nor is it aborted");
                return Err(Failure::new(exit::INTERNAL, "the agent ended without being asked to"));
            }
        }
    }
    notify("STOPPING=1");
    // An agent that has ended needs no telling.
    let _ = steer.send(Steer::Stop).await;
    agent
        .await
        .expect("the agent neither panics nor is it aborted");
    // A socket that is left behind is taken over by the next start.
    let _ = std::fs::remove_file(&socket);
    Ok(())
}
