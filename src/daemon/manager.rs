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
    let (mut orders, reloads) = Orders::listen(options, load, config.clone())
        .map_err(start::failed("listen for signals"))?;
    let (inbox, senders) = Inbox::new();
    let mut network = Network::open(config.agents.as_ref(), home.path(), &senders)?;
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
        fleet: network.fleet(),
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
                    let outcome = apply(&config, &mut network, &senders.steer).await;
                    orders.ended(*config, reload, outcome);
                }
            },
            () = network.ended() => {
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
    network.stop();
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

async fn apply(
    config: &ManagerConfig,
    network: &mut Network,
    steer: &mpsc::Sender<Steer>,
) -> Result<(), String> {
    let next = network
        .prepare(config.agents.as_ref())
        .map_err(|failure| failure.text)?;
    let (done, outcome) = oneshot::channel();
    let order = Steer::Reload {
        config: Box::new(config.clone()),
        fleet: next.fleet(),
        done,
    };
    // A manager that has ended answers by dropping `done`.
    drop(steer.send(order).await);
    let problem = match outcome.await {
        Ok(Ok(())) => {
            network.replace(next).await;
            return Ok(());
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the manager is stopping".to_owned(),
    };
    network.give_up(next).await;
    Err(problem)
}
