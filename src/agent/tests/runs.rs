//! Runs that are begun late, or not at once.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::{Bench, act, home, manager, runs, white_list};
use crate::agent::runs::started_at_last;
use crate::agent::{Hands, Played};
use crate::contract::request::{Message, Told};
use crate::executor::{End, Limits, Outcome, Progress, Run, RunId};
use crate::journal::simulated::Disk;
use crate::model::{ActionState, Capabilities, ExeName, Mode};
use crate::sys::exe::Home;

use ActionState::{Applied, Expired, Reverted};

fn script(home: &Path) -> PathBuf {
    home.join("active-response/bin/x.sh")
}

#[tokio::test]
async fn a_revert_whose_script_is_away_for_a_while_is_made_when_it_is_back() {
    let home = home();
    let mut bench = Bench::start(home.path());
    bench.connect(manager()).await;
    bench.tell(white_list()).await;
    bench.tell(act(1, Some(1))).await;
    bench.until(1, Applied).await;
    let away = home.path().join("logs/x.sh");
    std::fs::rename(script(home.path()), &away).unwrap();
    bench
        .wait_for(|status| {
            let mut problems = status.problems.iter();
            problems.any(|text| text.contains("are tried again"))
        })
        .await;
    std::fs::rename(&away, script(home.path())).unwrap();
    bench.until(1, Reverted).await;
    assert_eq!(runs(home.path()), 2, "its add and its delete");
    bench.stop().await;
}

#[tokio::test]
async fn what_has_waited_for_the_disk_until_its_end_is_expired_and_not_run() {
    let home = home();
    let pace: fn(&mut u64) -> Duration = |_| Duration::ZERO;
    let disk = Disk::put(home.path().join("queue/agentd.db"), 1, pace);
    let mut bench = Bench::start(home.path());
    bench.connect(manager()).await;
    bench.tell(white_list()).await;
    // What is not late runs.
    bench.tell(act(1, Some(600))).await;
    bench.until(1, Applied).await;
    disk.stall(Duration::from_secs(2), true);
    bench.tell(act(2, Some(1))).await;
    bench.tell(act(3, Some(600))).await;
    let mut heard = bench.until(3, Applied).await;
    if !heard.contains(&"expired 2".to_owned()) {
        heard.extend(bench.until(2, Expired).await);
    }
    assert!(heard.contains(&"running 2".to_owned()), "{heard:?}");
    assert_eq!(runs(home.path()), 2);
    bench.stop().await;
}

/// Executables that can be started only after so many attempts.
#[derive(Debug)]
struct Late {
    attempts: AtomicU32,
    starts: u32,
}

impl Played for Late {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn run(
        &self,
        _: Run,
        _: mpsc::Sender<(RunId, Progress)>,
        cancel: watch::Receiver<bool>,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed) + 1;
        let end = match (*cancel.borrow(), attempt > self.starts) {
            (true, _) => End::Cancelled,
            (false, true) => End::Exited(0),
            (false, false) => End::NotStarted("it is away".to_owned()),
        };
        Box::pin(std::future::ready(Outcome {
            end,
            keys: None,
            printed_keys: false,
            result: None,
            output_note: None,
            stderr: String::new(),
            duration: Duration::ZERO,
            detail: None,
        }))
    }
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_others_wait_for_is_tried_until_it_is_started_or_unwanted() {
    let folder = home();
    let exe = ExeName::parse("x.sh").unwrap();
    for (starts, stops, end) in [(3, false, End::Exited(0)), (u32::MAX, true, End::Cancelled)] {
        let late = Arc::new(Late {
            attempts: AtomicU32::new(0),
            starts,
        });
        let run = Run {
            id: RunId(1),
            home: Home::open(folder.path()).unwrap(),
            exe: exe.clone(),
            bundled: false,
            mode: Mode::Delete,
            told: Told::Lines(Message::new("node", &exe, &[], b"{}").unwrap()),
            limits: Limits::standard(false),
            pointless_at: None,
            alone: false,
            foreseen: None,
        };
        let (progress, _told) = mpsc::channel(1);
        let (cancel, cancelled) = watch::channel(false);
        let hands = Hands::Played(late.clone());
        let running = tokio::spawn(started_at_last(hands, run, progress, cancelled));
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert!(late.attempts.load(Ordering::Relaxed) > 3);
        cancel.send_replace(stops);
        assert_eq!(running.await.unwrap().end, end);
    }
}
