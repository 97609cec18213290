//! Journals that are put back from copies.

use std::path::Path;

use super::ActionState::{Applied, Done};
use super::{Bench, ManagerJournal, PATIENCE, act, home, manager, white_list};

/// A copy of the journals of a home whose agentd is stopped.
fn copy(from: &Path, to: &Path) {
    for name in ["agentd.db", "agentd.db-wal", "agentd.db-shm"] {
        match std::fs::copy(from.join(name), to.join(name)) {
            Ok(_) => {}
            Err(_) => drop(std::fs::remove_file(to.join(name))),
        }
    }
}

#[tokio::test]
async fn a_manager_that_was_put_back_is_told_once_what_it_had_confirmed_since() {
    let home = home();
    let mut bench = Bench::start(home.path());
    bench.connect(manager()).await;
    bench.tell(white_list()).await;
    bench.tell(act(1, None)).await;
    bench.until(1, Done).await;
    let mut heard = bench.heard;
    bench.tell(act(2, Some(600))).await;
    bench.until(2, Applied).await;
    bench.tell(act(3, None)).await;
    bench.until(3, Done).await;
    bench.confirm().await;
    for (fence, told) in [(8, true), (9, false)] {
        bench.stop().await;
        bench = Bench::start(home.path());
        let put_back = ManagerJournal {
            id: manager(),
            heard,
        };
        bench.connect_to(put_back).await;
        bench.tell(act(fence, None)).await;
        let said = bench.until(fence, Done).await;
        for (what, wanted) in [("done 1", false), ("applied 2", told), ("done 3", told)] {
            let is_told = said.iter().any(|said| said == what);
            assert_eq!(is_told, wanted, "{what}: {said:?}");
        }
        heard = bench.heard;
        bench.confirm().await;
    }
    bench.stop().await;
}

#[tokio::test]
async fn a_host_that_was_put_back_comes_again_as_another_journal_and_tells_what_it_knows() {
    let home = home();
    let queue = home.path().join("queue");
    let aside = tempfile::tempdir().unwrap();
    let mut bench = Bench::start(home.path());
    bench.connect(manager()).await;
    bench.tell(white_list()).await;
    bench.tell(act(1, Some(600))).await;
    bench.until(1, Applied).await;
    bench.confirm().await;
    let first = *bench.caller.journal.borrow();
    bench.stop().await;
    copy(&queue, aside.path());

    bench = Bench::start(home.path());
    bench.connect(manager()).await;
    bench.tell(act(2, Some(600))).await;
    bench.until(2, Applied).await;
    bench.confirm().await;
    let heard = bench.heard;
    bench.stop().await;
    copy(aside.path(), &queue);

    bench = Bench::start(home.path());
    let known = ManagerJournal {
        id: manager(),
        heard,
    };
    bench.connect_to(known).await;
    let over = bench.frames.as_mut().unwrap().recv();
    let over = tokio::time::timeout(PATIENCE, over).await.unwrap();
    assert!(over.is_none(), "it has told something under the old id");
    let second = *bench.caller.journal.borrow();
    assert_ne!(first, second);
    // The manager knows nothing of this journal.
    let unknown = ManagerJournal {
        id: manager(),
        heard: 0,
    };
    bench.disconnect().await;
    bench.connect_to(unknown).await;
    bench.tell(act(3, None)).await;
    let said = bench.until(3, Done).await;
    assert!(said.contains(&"applied 1".to_owned()), "{said:?}");
    bench.stop().await;
    let bench = Bench::start(home.path());
    assert_eq!(*bench.caller.journal.borrow(), second);
    bench.stop().await;
}
