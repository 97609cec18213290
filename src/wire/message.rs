//! What manager and agent tell each other once the hello is done.

use std::sync::Arc;
use std::time::Duration;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::model::{Action, ActionId, ActionState, Capabilities, Keys, NamePattern, Record};
use crate::wire::about::{About, bare_record};
use crate::wire::enroll::PublicKey;
use crate::wire::{Frame, FrameError};

/// From the manager to an agent.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ToAgent {
    /// The whole white list of the manager, which replaces the one before. An
    /// agent starts no new action until it has had one. A long list comes in
    /// several messages, all but the last with `more`.
    WhiteList {
        #[serde(with = "networks")]
        networks: Vec<IpNetwork>,
        /// Names of hosts. An agent that does not know of them is still protected by
        /// the manager's own look.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        names: Vec<NamePattern>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        more: bool,
    },
    /// Carry this action out. Answered with [`ToManager::Taken`].
    Act {
        action: Box<Action>,
        /// The alert's bytes as the source wrote them: the body of the frame.
        #[serde(skip)]
        alert: Arc<[u8]>,
        /// What is left of the timeout, in milliseconds; none if it has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remaining_ms: Option<u64>,
        /// How long ago the manager read the alert, in milliseconds.
        age_ms: u64,
        /// How long ago the session began when this was written, by the
        /// manager's clock, in milliseconds. With what [`ToAgent::Pong`] tells of
        /// that clock the agent knows how long it was on the way: a cable that
        /// is mended after a minute gives what was sent before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_ms: Option<u64>,
    },
    /// Take this action back now. `request` comes back in the answer.
    Revert { id: ActionId, request: u64 },
    /// Updates with a `seq` up to this one are on the manager's disk: the agent
    /// may drop them.
    Stored { up_to: u64 },
    /// The answer to [`ToManager::Renew`]: a new certificate, and the CA, as PEM.
    Renewed { certificate: String, ca: String },
    /// The answer to [`ToManager::Ping`], one for each in their order. Sent by the
    /// session, not by the manager's own task.
    Pong {
        /// How long ago the session began when this was written, as above.
        session_ms: u64,
    },
    /// Answered with [`ToManager::Pong`]: asked before another connection with
    /// the same certificate is let in.
    Ping,
}

impl ToAgent {
    /// An action that has taken so long since it was written; any other message
    /// as it is.
    pub fn delayed(mut self, by: Duration) -> Self {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        if let Self::Act {
            remaining_ms,
            age_ms,
            ..
        } = &mut self
        {
            *remaining_ms = remaining_ms.map(|left| left.saturating_sub(by));
            *age_ms = age_ms.saturating_add(by);
        }
        self
    }

    /// How long the session had lasted for the manager when it wrote this, in
    /// milliseconds, if that matters.
    pub fn session_ms(&self) -> Option<u64> {
        match self {
            Self::Act { session_ms, .. } => *session_ms,
            Self::WhiteList { .. }
            | Self::Revert { .. }
            | Self::Stored { .. }
            | Self::Renewed { .. }
            | Self::Pong { .. }
            | Self::Ping => None,
        }
    }

    pub fn into_frame(mut self) -> Result<Frame, FrameError> {
        let body = match &mut self {
            Self::Act { alert, .. } => std::mem::take(alert),
            Self::WhiteList { .. }
            | Self::Revert { .. }
            | Self::Stored { .. }
            | Self::Renewed { .. }
            | Self::Pong { .. }
            | Self::Ping => Arc::default(),
        };
        Frame::with_body(&self, body)
    }

    pub fn from_frame(frame: Frame) -> Result<Self, FrameError> {
        let (mut message, body) = frame.into_parts()?;
        match &mut message {
            Self::Act { alert, .. } => *alert = body,
            Self::WhiteList { .. }
            | Self::Revert { .. }
            | Self::Stored { .. }
            | Self::Renewed { .. }
            | Self::Pong { .. }
            | Self::Ping => {
                if !body.is_empty() {
                    return Err(FrameError::UnexpectedBody(body.len()));
                }
            }
        }
        Ok(message)
    }
}

/// From an agent to the manager.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ToManager {
    /// What this host can do: the first message of each session, and again
    /// whenever it changes.
    Capabilities { capabilities: Box<Capabilities> },
    /// These actions are in the agent's journal, on its disk: the manager need
    /// not send them again.
    Taken { actions: Vec<ActionId> },
    /// An action has come to a new state. The whole action comes along, so that
    /// a manager that has lost it can adopt it. Sent again after each hello
    /// until [`ToAgent::Stored`] covers its `seq`, which grows by one with each
    /// update of the agent's journal ([`crate::wire::hello::AgentHello::journal`]).
    Update {
        seq: u64,
        action: About,
        record: Arc<Record>,
    },
    /// The answer to [`ToAgent::Revert`].
    Reverted { request: u64, outcome: Reverted },
    /// Asks for a certificate for a new key, two thirds into the lifetime of
    /// the present one.
    Renew { key: PublicKey },
    /// Answered with [`ToAgent::Pong`].
    Ping,
    /// The answer to [`ToAgent::Ping`].
    Pong,
}

impl ToManager {
    /// An update that would be too long leaves without what is not needed to
    /// know what became of the action: without it, the action would never end
    /// for the manager.
    pub fn to_frame(&self) -> Result<Frame, FrameError> {
        match (Frame::new(self), self) {
            (
                Err(FrameError::TooLong { .. }),
                Self::Update {
                    seq,
                    action,
                    record,
                },
            ) => Frame::new(&Self::Update {
                seq: *seq,
                action: action.bare(),
                record: Arc::new(bare_record(record)),
            }),
            (frame, _) => frame,
        }
    }

    pub fn from_frame(frame: &Frame) -> Result<Self, FrameError> {
        frame.message()
    }
}

/// What became of a revert that was asked for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reverted {
    /// `reverted`, or `reverting` while it is not confirmed and tried again.
    Outcome {
        state: ActionState,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keys: Option<Keys>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// The agent has no such action in force.
    NotFound,
    /// The agent could not try.
    Failed { text: String },
}

/// Networks as text, `192.0.2.0/24`.
mod networks {
    use ipnetwork::IpNetwork;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        networks: &[IpNetwork],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(networks.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<IpNetwork>, D::Error> {
        Vec::<String>::deserialize(deserializer)?
            .iter()
            .map(|text| text.parse().map_err(D::Error::custom))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};

    use super::{About, Reverted, ToAgent, ToManager};
    use crate::clock::Wall;
    use crate::model::NamePattern;
    use crate::model::action::sample;
    use crate::model::{Action, ActionId, ActionState, GroupName, Keys, Record};
    use crate::wire::enroll::PublicKey;
    use crate::wire::frame::decode;
    use crate::wire::{Frame, FrameError, MAX_FRAME};

    fn action(id: [u8; 16], timeout: Option<u64>, args: Vec<String>) -> Box<Action> {
        Box::new(Action {
            id: ActionId::from_bytes(id),
            extra_args: args,
            ..sample::action(1, "firewall-drop", timeout)
        })
    }

    fn to_agent() -> impl Strategy<Value = ToAgent> {
        let network = any::<(std::net::IpAddr, u8)>().prop_map(|(address, prefix)| {
            let bits = if address.is_ipv4() { 33 } else { 129 };
            ipnetwork::IpNetwork::new(address, prefix % bits).unwrap()
        });
        prop_oneof![
            (
                proptest::collection::vec(network, 0..20),
                proptest::collection::vec("[!^]?[a-z.]{1,20}[$]?", 0..3),
                any::<bool>(),
            )
                .prop_map(|(networks, names, more)| ToAgent::WhiteList {
                    networks,
                    names: names
                        .iter()
                        .map(|n| NamePattern::parse(n).unwrap())
                        .collect(),
                    more,
                }),
            any::<(
                [u8; 16],
                Option<u32>,
                Vec<String>,
                Vec<u8>,
                Option<u64>,
                u64
            )>()
            .prop_map(|(id, timeout, args, alert, remaining_ms, age_ms)| {
                ToAgent::Act {
                    action: action(id, timeout.map(u64::from), args),
                    alert: alert.into(),
                    remaining_ms,
                    age_ms,
                    session_ms: remaining_ms,
                }
            }),
            any::<([u8; 16], u64)>().prop_map(|(id, request)| ToAgent::Revert {
                id: ActionId::from_bytes(id),
                request,
            }),
            any::<u64>().prop_map(|up_to| ToAgent::Stored { up_to }),
            any::<(String, String)>()
                .prop_map(|(certificate, ca)| ToAgent::Renewed { certificate, ca }),
            Just(ToAgent::Ping),
            any::<u64>().prop_map(|session_ms| ToAgent::Pong { session_ms }),
        ]
    }

    fn to_manager() -> impl Strategy<Value = ToManager> {
        prop_oneof![
            any::<(u64, [u8; 16], String, i32)>().prop_map(|(seq, id, detail, exit_code)| {
                let action = action(id, Some(600), Vec::new());
                let mut record =
                    Record::new(&action, ActionState::Applied, Wall::from_millis(1_000));
                record.detail = Some(detail);
                record.exit_code = Some(exit_code);
                record.keys = Some(Keys::new(vec!["192.0.2.1".to_owned()]).unwrap());
                ToManager::Update {
                    seq,
                    action: (*action).into(),
                    record: record.into(),
                }
            }),
            any::<(u64, Option<String>)>().prop_map(|(request, detail)| ToManager::Reverted {
                request,
                outcome: Reverted::Outcome {
                    state: ActionState::Reverted,
                    keys: None,
                    detail,
                },
            }),
            any::<u64>().prop_map(|request| ToManager::Reverted {
                request,
                outcome: Reverted::NotFound,
            }),
            any::<(u64, String)>().prop_map(|(request, text)| ToManager::Reverted {
                request,
                outcome: Reverted::Failed { text },
            }),
            proptest::collection::vec(any::<[u8; 16]>(), 0..20).prop_map(|ids| {
                ToManager::Taken {
                    actions: ids.into_iter().map(ActionId::from_bytes).collect(),
                }
            }),
            Just(ToManager::Renew {
                key: PublicKey::from_bytes([7; 65]),
            }),
            Just(ToManager::Ping),
            Just(ToManager::Pong),
        ]
    }

    fn carried(frame: &Frame) -> Frame {
        decode(&frame.encode(), MAX_FRAME).unwrap().unwrap().0
    }

    #[test]
    fn an_alert_that_is_not_utf_8_arrives_byte_for_byte() {
        let sent = ToAgent::Act {
            action: action([1; 16], None, Vec::new()),
            alert: b"{\"full_log\":\"\xff\xfe\\u0000\"}".as_slice().into(),
            remaining_ms: None,
            age_ms: 3,
            session_ms: Some(4),
        };
        let frame = carried(&sent.clone().into_frame().unwrap());
        assert_eq!(ToAgent::from_frame(frame).unwrap(), sent);
    }

    #[test]
    fn what_was_on_the_way_for_long_has_less_of_its_time_left() {
        for (way, remaining, left, age) in [
            (0, Some(50_000), Some(50_000), 10_000),
            (30_000, Some(50_000), Some(20_000), 40_000),
            (100_000, Some(50_000), Some(0), 110_000),
            (30_000, None, None, 40_000),
        ] {
            let message = ToAgent::Act {
                action: action([1; 16], remaining.map(|_| 60), Vec::new()),
                alert: Default::default(),
                remaining_ms: remaining,
                age_ms: 10_000,
                session_ms: Some(1),
            };
            let ToAgent::Act {
                remaining_ms,
                age_ms,
                ..
            } = message.delayed(Duration::from_millis(way))
            else {
                panic!("it is another message");
            };
            assert_eq!((remaining_ms, age_ms), (left, age), "{way}");
        }
    }

    #[test]
    fn an_update_that_would_be_too_long_tells_at_least_what_became_of_the_action() {
        let mut action = action([1; 16], None, vec!["x".repeat(MAX_FRAME)]);
        let group = GroupName::parse(&"g".repeat(4_096)).unwrap();
        Arc::make_mut(action.rule.as_mut().unwrap()).groups = vec![group; 300];
        let mut record = Record::new(&action, ActionState::Failed, Wall::from_millis(1_000));
        record.detail = Some("ü".repeat(MAX_FRAME));
        record.stderr = Some("short".to_owned());
        let id = action.id;
        let sent = ToManager::Update {
            seq: 7,
            action: (*action).into(),
            record: record.into(),
        };
        let frame = carried(&sent.to_frame().unwrap());
        let Ok(ToManager::Update {
            seq,
            action,
            record,
        }) = ToManager::from_frame(&frame)
        else {
            panic!("it is another message");
        };
        assert_eq!((seq, action.id(), record.action), (7, id, id));
        assert_eq!(record.state, ActionState::Failed);
        assert_eq!(record.detail.as_deref().unwrap(), "ü".repeat(4_096));
        assert_eq!(record.stderr.as_deref().unwrap(), "short");
    }

    #[test]
    fn an_update_has_all_of_its_action_and_little_of_it_is_read() {
        let whole = action([1; 16], Some(60), vec!["x".to_owned()]);
        let record = Record::new(&whole, ActionState::Failed, Wall::from_millis(0));
        let message = ToManager::Update {
            seq: 1,
            action: Action::clone(&whole).into(),
            record: record.into(),
        };
        let mut value: serde_json::Value = message.to_frame().unwrap().message().unwrap();
        let sent = &mut value["update"]["action"];
        assert_eq!(*sent, serde_json::to_value(&whole).unwrap());
        // What the record tells is not looked at here.
        sent["command"] = 7.into();
        let read = ToManager::from_frame(&Frame::new(&value).unwrap()).unwrap();
        let ToManager::Update { action: named, .. } = &read else {
            panic!("it is another message");
        };
        assert!(matches!(named, About::Named { .. }));
        assert_eq!((named.id(), named.agent()), (whole.id, &whole.agent.id));
        value["update"]["action"]["id"] = "x".into();
        assert!(ToManager::from_frame(&Frame::new(&value).unwrap()).is_err());
    }

    #[test]
    fn a_moment_that_no_clock_shows_is_an_error() {
        let action = action([1; 16], None, Vec::new());
        let record = Record::new(&action, ActionState::Failed, Wall::from_millis(0));
        let message = ToManager::Update {
            seq: 1,
            action: (*action).into(),
            record: record.into(),
        };
        let mut value = serde_json::to_value(message).unwrap();
        for (time, is_one) in [
            ("9999-12-31T23:59:60Z", true),
            ("0000-01-01T00:00:00+23:59", true),
            ("-0001-01-01T00:00:00Z", false),
            ("10000-01-01T00:00:00Z", false),
            ("", false),
        ] {
            value["update"]["record"]["time"] = time.into();
            let read = ToManager::from_frame(&Frame::new(&value).unwrap());
            assert_eq!(read.is_ok(), is_one, "{time}: {read:?}");
        }
    }

    #[test]
    fn only_an_action_has_a_body() {
        let frame = Frame::with_body(&ToAgent::Ping, b"x".as_slice().into()).unwrap();
        assert!(matches!(
            ToAgent::from_frame(frame),
            Err(FrameError::UnexpectedBody(1))
        ));
    }

    #[test]
    fn a_network_that_does_not_parse_is_an_error() {
        let frame = Frame::new(&serde_json::json!({"white_list": {"networks": ["300.0.0.0/8"]}}));
        assert!(matches!(
            ToAgent::from_frame(frame.unwrap()),
            Err(FrameError::Json(_))
        ));
    }

    /// As agents and managers did that knew of no names.
    #[test]
    fn a_white_list_without_names_is_as_it_was_before_there_were_any() {
        let value = serde_json::json!({"white_list": {"networks": ["192.0.2.0/24"]}});
        let read = ToAgent::from_frame(Frame::new(&value).unwrap()).unwrap();
        let ToAgent::WhiteList { names, more, .. } = &read else {
            panic!("{read:?}");
        };
        assert!(names.is_empty() && !more);
        assert_eq!(serde_json::to_value(&read).unwrap(), value);
    }

    proptest! {
        #[test]
        fn every_message_to_an_agent_arrives_as_it_was_sent(sent in to_agent()) {
            let frame = carried(&sent.clone().into_frame().unwrap());
            prop_assert_eq!(ToAgent::from_frame(frame).unwrap(), sent);
        }

        #[test]
        fn every_message_to_the_manager_arrives_as_it_was_sent(sent in to_manager()) {
            let frame = carried(&sent.to_frame().unwrap());
            prop_assert_eq!(ToManager::from_frame(&frame).unwrap(), sent);
        }
    }
}
