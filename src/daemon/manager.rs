//! `ripost-manager`.

use std::path::Path;
use std::process::ExitCode;

use tokio::sync::{mpsc, oneshot};

use crate::clock;
use crate::config::{self, Checked, ManagerConfig};
use crate::daemon::exit;
use crate::daemon::failure::Failure;
use crate::daemon::network::Network;
use crate::daemon::notify::notify;
use crate::daemon::options::Options;
use crate::daemon::reload::{Order, Orders};
use crate::daemon::start::{self, Program};
use crate::manager::{Inbox, Manager, Parts, Steer};
use crate::service::{self, Door};
use crate::sys::exe::Home;
use crate::transport::local;
use crate::wire::Daemon;

/// The program.
pub fn main() -> ExitCode {
    let program = Program {
        daemon: Daemon::Manager,
        lock: "manager.lock",
        load,
    };
    start::main(&program, serve)
}

fn load(options: &Options) -> Checked<ManagerConfig> {
    config::load_manager(&options.config, &start::context(&options.home))
}

async fn serve(options: &Options, home: Home, config: ManagerConfig) -> Result<(), Failure> {
    let (mut orders, reloads) =
        Orders::listen(options, load).map_err(start::failed("listen for signals"))?;
    let (inbox, senders) = Inbox::new();
    let mut network = match &config.agents {
        Some(agents) => Some(Network::open(agents, home.path(), &senders)?),
        None => None,
    };
    let (ready, mut is_ready) = oneshot::channel();
    let socket = home.path().join("queue/manager.sock");
    let parts = Parts {
        boot_id: clock::boot_id().map_err(start::failed("read the boot id"))?,
        host: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        home,
        config,
        fleet: network.as_ref().map(Network::fleet),
    };
    let manager = Manager::open(parts, &inbox, ready, reloads)?;
    let mut manager = tokio::spawn(manager.run(inbox));
    let door = Door {
        daemon: Daemon::Manager,
        requests: senders.asked,
        agents: Some(senders.reception),
    };
    let mut is_open = false;
    loop {
        tokio::select! {
            Ok(()) = &mut is_ready, if !is_open => {
                open_door(&socket, door.clone()).await?;
                is_open = true;
            }
            order = orders.next() => match order {
                Order::Stop => break,
                Order::Apply(config, reload) => {
                    let present = network.as_ref().map(Network::config);
                    if config.agents.as_ref() != present {
                        log::warn!("<agents> has changed; it is applied when ripost-manager is restarted");
                    }
                    reload.done(apply(config, &senders.steer).await);
                }
            },
            () = ended(network.as_mut()) => {
                return Err(Failure::new(exit::INTERNAL, "the listener for agents ended without being asked to"));
            }
            ended = &mut manager => {
                ended.expect("the manager neither panics nor is it aborted");
                return Err(Failure::new(exit::INTERNAL, "the manager ended without being asked to"));
            }
        }
    }
    notify("STOPPING=1");
    log::info!("stopping; responses in force stay");
    if let Some(network) = network {
        network.stop();
    }
    // A manager that has ended needs no telling.
    let _ = senders.steer.send(Steer::Stop).await;
    manager
        .await
        .expect("the manager neither panics nor is it aborted");
    // A socket that is left behind is taken over by the next start.
    let _ = std::fs::remove_file(&socket);
    Ok(())
}

/// Waits for the end of the listener, for ever if there is none.
async fn ended(network: Option<&mut Network>) {
    match network {
        Some(network) => network.ended().await,
        None => std::future::pending().await,
    }
}

async fn open_door(socket: &Path, door: Door) -> Result<(), Failure> {
    let listener = local::bind(socket).await?;
    tokio::spawn(service::serve(socket.to_owned(), listener, door));
    log::info!(version = env!("CARGO_PKG_VERSION"), socket:% = socket.display(); "ready");
    notify("READY=1");
    Ok(())
}

async fn apply(config: ManagerConfig, steer: &mpsc::Sender<Steer>) -> Result<(), String> {
    let (done, outcome) = oneshot::channel();
    let order = Steer::Reload {
        config: Box::new(config),
        done,
    };
    // A manager that has ended answers by dropping `done`.
    drop(steer.send(order).await);
    match outcome.await {
        Ok(applied) => applied.map_err(|error| error.to_string()),
        Err(_) => Err("the manager is stopping".to_owned()),
    }
}
