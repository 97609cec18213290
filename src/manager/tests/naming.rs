//! What tells an alert from others where it has no position.

use super::scene::Scene;
use crate::model::position::Generation;
use crate::source::{Line, Receipt};

fn line(offset: u64, members: &str) -> Line {
    let text = format!(
        r#"{{{members}"rule":{{"level":10,"id":"1"}},"agent":{{"id":"000"}},"data":{{"srcip":"203.0.113.9"}}}}"#
    );
    Line {
        offset,
        generation: Generation(7),
        bytes: text.into_bytes(),
    }
}

#[tokio::test]
async fn what_a_stream_brings_twice_counts_once_if_it_can_be_told() {
    for (members, wanted) in [
        (r#""id":"1.2","#, 1),
        (r#""timestamp":"2026-11-20T10:00:00.000+0000","#, 1),
        // Nothing tells it from another one that is alike.
        ("", 2),
    ] {
        let mut scene = Scene::with_agents(1);
        scene.manager.reach.opened(Generation(7));
        for offset in [0, 500] {
            let lines = vec![line(offset, members)];
            scene.manager.lines(0, lines, Receipt::None).await;
        }
        assert_eq!(scene.states().len(), wanted, "{members}");
        // In a file each line is an alert.
        let mut scene = Scene::with_agents(1);
        scene.manager.reach.opened(Generation(7));
        for offset in [0, 500] {
            scene.lines(vec![line(offset, members)]).await;
        }
        assert_eq!(scene.states().len(), 2, "{members}");
    }
}
