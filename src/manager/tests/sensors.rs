//! Sources of pipelines that know nothing of agents.

use std::time::Duration;

use super::scene::{Coming, Scene, answered, capabilities, checkpoint};
use crate::config::{AlertSource, Location};
use crate::model::position::Generation;
use crate::model::{AgentId, Capabilities, Field};
use crate::source::{Line, Receipt};
use crate::wire::ToManager;
use crate::wire::control::{Answer, Request};

impl Scene {
    /// A second source, whose alerts are of agent 002 if they name none. The
    /// first is that of the scene.
    fn with_sensor() -> Self {
        let mut scene = Self::with_agents(2);
        let sensor = AlertSource {
            location: Location::File("logs/sensor.json".into()),
            agent: AgentId::from_number(2),
            ..AlertSource::default()
        };
        let sources = [AlertSource::default(), sensor];
        scene.manager.set_sources(&sources).unwrap();
        scene
    }

    async fn read(&mut self, source: usize, offset: u64, text: &str) {
        let line = Line {
            offset,
            generation: Generation(1),
            bytes: text.as_bytes().to_vec(),
        };
        let receipt = Receipt::Position(checkpoint(offset + 1));
        self.manager.lines(source, vec![line], receipt).await;
    }

    async fn counter(&mut self, name: &str) -> u64 {
        let answer = self.ask(Request::Status).await;
        self.settle().await;
        let Answer::Status(status) = answered(answer).await else {
            panic!("no status");
        };
        let counter = status.counters.iter().find(|counter| counter.name == name);
        counter.unwrap().value
    }
}

#[tokio::test]
async fn an_alert_of_nobody_is_of_the_host_that_its_sensor_is_on() {
    let mut scene = Scene::with_sensor();
    for (offset, (source, agent, wanted)) in (0..).zip([
        (1, "", vec!["002 queued"]),
        (1, r#""agent":{"id":"001"},"#, vec!["001 queued"]),
        // What names somebody else is not his.
        (1, r#""agent":{"id":"077"},"#, vec![]),
        (1, r#""agent":{"id":"web"},"#, vec![]),
        (0, "", vec![]),
    ]) {
        let before = scene.states().len();
        let text = format!(
            r#"{{{agent}"rule":{{"id":"1","level":10}},"data":{{"srcip":"203.0.113.9"}}}}"#
        );
        scene.read(source, offset, &text).await;
        assert_eq!(scene.states()[before..], wanted, "{source} {agent}");
    }
}

#[tokio::test]
async fn each_decision_of_an_alert_is_an_action_for_as_long_as_it_says() {
    let mut scene = Scene::with_sensor();
    let decision = |number: u8, duration: &str| {
        format!(
            r#"{{"scope":"Ip","value":"203.0.113.{number}","type":"ban","duration":"{duration}"}}"#
        )
    };
    let decisions = [decision(1, "30s"), decision(2, "-1s"), decision(3, "4h")].join(",");
    let text = format!(r#"{{"scenario":"1","decisions":[{decisions}]}}"#);
    scene.read(1, 0, &text).await;
    assert_eq!(scene.states(), ["002 queued", "002 expired", "002 queued"]);
    // The same line again is the same actions.
    scene.read(1, 0, &text).await;
    assert_eq!(scene.states().len(), 3);
    let mut agent = scene.connect_unready(Coming::agent(2)).await;
    let capabilities = Box::new(Capabilities {
        fields: true,
        ..capabilities(&["firewall-drop"])
    });
    let told = ToManager::Capabilities { capabilities };
    scene.tell(&mut agent, told).await;
    scene.settle().await;
    let actions = agent.actions();
    let asked: Vec<_> = actions
        .iter()
        .map(|action| {
            let fields = action.fields.as_ref().unwrap();
            let path = fields.paths(Field::Srcip).unwrap()[0].to_string();
            (action.timeout.unwrap(), path)
        })
        .collect();
    let wanted = [(30, 0), (60, 2)].map(|(seconds, number)| {
        let path = format!("decisions.{number}.value");
        (Duration::from_secs(seconds), path)
    });
    assert_eq!(asked, wanted);
}

#[tokio::test]
async fn other_events_of_a_pipeline_are_counted_apart_from_what_is_wrong() {
    let mut scene = Scene::with_sensor();
    for (offset, text) in (0..).zip([r#"{"event_type":"flow"}"#, r#"{"event_type":"dns"}"#, "x"]) {
        scene.read(1, offset, text).await;
    }
    assert_eq!(scene.counter("other events of a pipeline").await, 2);
    assert_eq!(scene.counter("lines that are no alert").await, 1);
}
