//! Lines an executable prints: `check_keys` before it works, and, for ours,
//! `result` when it is done. Both have the envelope of Wazuh 4.x
//! (active_responses.c build_json_keys_message): `version`, `origin`,
//! `command`, `parameters`, compact, in this order.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::model::{ExeName, Keys};

/// What a bundled executable says has become of its work.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// In force, looked up afterwards. Also when it was found in force as our own.
    Applied,
    /// The administrator has it in force; nothing was changed.
    Already,
    /// Taken back, looked up afterwards.
    Reverted,
    /// Nothing was there to take back.
    Absent,
    /// A guard of the executable said no.
    Refused,
    /// It did not happen.
    Failed,
}

/// The parameters of a `result` line.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RunResult {
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// How many packets the effect had dropped when it was found there, where
    /// the kernel counts them: of a `delete`, all that it has ever dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hits: Option<u64>,
    /// From a worker only: what a process of its own would have said on stderr.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    /// From a worker only: the exit status that a process of its own would have
    /// had, unless that is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
}

impl RunResult {
    /// Whether the effect was in force before, as this executable's own.
    pub fn is_in_place(&self) -> bool {
        let mut detail = self.detail.iter();
        detail.any(|detail| detail.starts_with(IN_PLACE))
    }
}

/// What the detail begins with by which a bundled executable says that it found
/// its own effect in force and only renewed it.
pub const IN_PLACE: &str = "was in force already";

/// A line an executable printed, told apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply {
    CheckKeys(Keys),
    Result(RunResult),
}

/// Why a line that an executable printed is neither of the two.
#[derive(Debug, thiserror::Error)]
pub enum InvalidReply {
    #[error("is not the JSON object of the contract")]
    Syntax(#[source] serde_json::Error),
    #[error("has the command {0:?} where check_keys or result is expected")]
    Command(String),
    #[error("has parameters that do not fit its command")]
    Parameters(#[source] serde_json::Error),
}

#[derive(Serialize)]
struct Envelope<'a, P> {
    version: u8,
    origin: Origin<'a>,
    command: &'a str,
    parameters: P,
}

#[derive(Serialize)]
struct Origin<'a> {
    name: &'a str,
    module: &'a str,
}

#[derive(Deserialize, Serialize)]
struct KeysParameters {
    keys: Keys,
}

/// The `check_keys` line of executable `name`, without the newline.
pub fn check_keys(name: &ExeName, keys: &Keys) -> String {
    line(name, "check_keys", KeysParameters { keys: keys.clone() })
}

/// The `result` line of executable `name`, without the newline.
pub fn result(name: &ExeName, result: &RunResult) -> String {
    line(name, "result", result)
}

fn line<P: Serialize>(name: &ExeName, command: &str, parameters: P) -> String {
    serde_json::to_string(&Envelope {
        version: 1,
        origin: Origin {
            name: name.as_str(),
            module: "active-response",
        },
        command,
        parameters,
    })
    .expect("strings and enums always serialise")
}

/// Reads one line that an executable printed. As execd does, everything but
/// `command` and the parameters it needs is ignored.
pub fn parse(line: &[u8]) -> Result<Reply, InvalidReply> {
    #[derive(Deserialize)]
    struct Printed<'a> {
        #[serde(borrow)]
        command: Cow<'a, str>,
    }
    let printed: Printed<'_> = serde_json::from_slice(line).map_err(InvalidReply::Syntax)?;
    // Read again rather than kept: a tree of values costs more than both.
    match &*printed.command {
        "check_keys" => parameters::<KeysParameters>(line).map(|of| Reply::CheckKeys(of.keys)),
        "result" => parameters(line).map(Reply::Result),
        _ => Err(InvalidReply::Command(printed.command.into_owned())),
    }
}

fn parameters<'a, P: Deserialize<'a>>(line: &'a [u8]) -> Result<P, InvalidReply> {
    #[derive(Deserialize)]
    struct Printed<P> {
        parameters: P,
    }
    serde_json::from_slice(line)
        .map(|printed: Printed<P>| printed.parameters)
        .map_err(InvalidReply::Parameters)
}

#[cfg(test)]
mod tests {
    use super::{Reply, RunResult, Status, check_keys, parse, result};
    use crate::model::{ExeName, Keys};

    #[test]
    fn the_check_keys_line_has_the_bytes_of_4_x() {
        let name = ExeName::parse("firewall-drop").unwrap();
        let keys = Keys::new(vec!["192.0.2.10".to_owned()]).unwrap();
        let line = check_keys(&name, &keys);
        assert_eq!(
            line,
            r#"{"version":1,"origin":{"name":"firewall-drop","module":"active-response"},"command":"check_keys","parameters":{"keys":["192.0.2.10"]}}"#
        );
        assert_eq!(parse(line.as_bytes()).unwrap(), Reply::CheckKeys(keys));
    }

    #[test]
    fn a_result_line_leaves_out_what_does_not_apply() {
        let name = ExeName::parse("host-deny").unwrap();
        let wanted = RunResult {
            status: Status::Absent,
            detail: None,
            backend: Some("hosts.deny".to_owned()),
            hits: None,
            stderr: None,
            exit_code: None,
        };
        let line = result(&name, &wanted);
        assert!(line.ends_with(
            r#""command":"result","parameters":{"status":"absent","backend":"hosts.deny"}}"#
        ));
        assert_eq!(parse(line.as_bytes()).unwrap(), Reply::Result(wanted));
    }

    #[test]
    fn what_was_in_force_is_told_apart_whatever_else_is_told() {
        for (detail, wanted) in [
            (Some("was in force already"), true),
            (Some("was in force already; cut 1 socket"), true),
            (Some("cut 1 socket"), false),
            (None, false),
        ] {
            let result = RunResult {
                stderr: None,
                exit_code: None,
                status: Status::Applied,
                detail: detail.map(str::to_owned),
                backend: None,
                hits: None,
            };
            assert_eq!(result.is_in_place(), wanted, "{detail:?}");
        }
    }

    #[test]
    fn debug_output_is_not_taken_for_keys() {
        for line in [
            "",
            "starting...",
            "[]",
            r#"{"command":"check_keys"}"#,
            r#"{"command":"add","parameters":{}}"#,
        ] {
            assert!(parse(line.as_bytes()).is_err(), "{line}");
        }
    }
}
