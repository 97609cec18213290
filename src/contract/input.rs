//! The lines an executable reads, as leniently as 4.x reads them (Wazuh 4.14
//! active_responses.c setup_and_check_message, send_keys_and_check_message).
//!
//! Both lines have the four members `version`, `origin`, `command` and
//! `parameters`. Names have no case, the first of several counts, and what
//! stands around the JSON value is ignored; only the types are insisted on.

use std::io::{BufRead, Read};
use std::time::Duration;

use super::json::{self, Value};

/// The longest line, its newline included (4.x reads with `fgets` into 65,536
/// bytes). What is beyond is the next line.
pub const MAX_LINE: usize = 65_535;

/// Why a line is no message. The texts are those that 4.x writes to
/// `active-responses.log`, which people search for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidInput {
    #[error("Cannot read input from stdin")]
    NoLine,
    #[error("Invalid input format")]
    Format,
    #[error("Invalid value of 'command'")]
    Command,
}

/// What an executable is asked to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    Add,
    Delete,
}

/// The first line.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub order: Order,
    parameters: Value<'a>,
}

impl<'a> Request<'a> {
    /// The alert that led here; whatever stands in its place.
    pub fn alert(&self) -> Option<&Value<'a>> {
        self.parameters.member("alert")
    }

    /// The texts of the list `extra_args`; what is no text in it is passed over.
    pub fn extra_args(&self) -> Vec<String> {
        let Some(Value::Array(args)) = self.parameters.member("extra_args") else {
            return Vec::new();
        };
        let texts = args.iter().filter_map(Value::as_bytes);
        texts
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .collect()
    }
}

/// The second line: the daemon's answer to `check_keys`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    Continue {
        /// How long the kernel may keep the effect if nobody takes it back
        /// before (`parameters.expires_ms`, which 4.x does not send). `None`:
        /// without end.
        expires: Option<Duration>,
    },
    Abort,
}

/// Reads one line, without its newline. At the end of the input the rest
/// counts as a line.
pub fn read_line(input: &mut impl BufRead) -> Result<Vec<u8>, InvalidInput> {
    let mut line = Vec::new();
    let limit = u64::try_from(MAX_LINE).expect("the limit is small");
    match input.take(limit).read_until(b'\n', &mut line) {
        Ok(1..) => {
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            Ok(line)
        }
        Ok(0) | Err(_) => Err(InvalidInput::NoLine),
    }
}

/// Reads the first line.
pub fn request(line: &[u8]) -> Result<Request<'_>, InvalidInput> {
    let (command, parameters) = message(line)?;
    let order = match &command[..] {
        b"add" => Order::Add,
        b"delete" => Order::Delete,
        _ => return Err(InvalidInput::Command),
    };
    Ok(Request { order, parameters })
}

/// Reads the second line.
pub fn answer(line: &[u8]) -> Result<Answer, InvalidInput> {
    let (command, parameters) = message(line)?;
    match &command[..] {
        b"continue" => Ok(Answer::Continue {
            expires: expires(&parameters)?,
        }),
        b"abort" => Ok(Answer::Abort),
        _ => Err(InvalidInput::Command),
    }
}

fn message(line: &[u8]) -> Result<(Vec<u8>, Value<'_>), InvalidInput> {
    let value = json::parse(line).map_err(|_| InvalidInput::Format)?;
    let version = matches!(value.member("version"), Some(Value::Number(_)));
    let origin = matches!(value.member("origin"), Some(Value::Object(_)));
    let command = value.member("command").and_then(Value::as_bytes);
    let command = command.map(<[u8]>::to_vec);
    match (command, value.into_member("parameters")) {
        (Some(command), Some(parameters @ Value::Object(_))) if version && origin => {
            Ok((command, parameters))
        }
        _ => Err(InvalidInput::Format),
    }
}

/// A number that is no span of time is refused: taken for "without end" it
/// would make a block eternal.
fn expires(parameters: &Value<'_>) -> Result<Option<Duration>, InvalidInput> {
    match parameters.member("expires_ms") {
        None => Ok(None),
        Some(Value::Number(millis)) => Duration::try_from_secs_f64(millis / 1_000.0)
            .map(Some)
            .map_err(|_| InvalidInput::Format),
        Some(_) => Err(InvalidInput::Format),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Answer, InvalidInput, MAX_LINE, Order, answer, read_line, request};

    #[test]
    fn only_the_types_of_the_members_are_insisted_on() {
        let cases: &[(&[u8], Result<Order, InvalidInput>)] = &[
            (
                br#"{"version":1,"origin":{},"command":"add","parameters":{}}"#,
                Ok(Order::Add),
            ),
            (
                br#"{"VERSION":99,"Origin":{},"command":"delete","parameters":{}}"#,
                Ok(Order::Delete),
            ),
            (
                b"\xef\xbb\xbf {\"version\":1,\"origin\":{},\"command\":\"add\",\"parameters\":{}}\r",
                Ok(Order::Add),
            ),
            (
                b"{\"version\":1,\"origin\":{},\"command\":\"add\",\"parameters\":{}}\0 garbage",
                Ok(Order::Add),
            ),
            (
                br#"{"version":"1","origin":{},"command":"add","parameters":{}}"#,
                Err(InvalidInput::Format),
            ),
            (
                br#"{"version":1,"origin":"x","command":"add","parameters":{}}"#,
                Err(InvalidInput::Format),
            ),
            (
                br#"{"version":1,"origin":{},"parameters":{}}"#,
                Err(InvalidInput::Format),
            ),
            (
                br#"{"version":1,"origin":{},"command":"add"}"#,
                Err(InvalidInput::Format),
            ),
            (
                br#"{"version":1,"origin":{},"command":"add","parameters":[]}"#,
                Err(InvalidInput::Format),
            ),
            (
                br#"{"version":1,"origin":{},"command":"ADD","parameters":{}}"#,
                Err(InvalidInput::Command),
            ),
            (
                br#"{"version":1,"origin":{},"command":"continue","parameters":{}}"#,
                Err(InvalidInput::Command),
            ),
            (b"", Err(InvalidInput::Format)),
            (b"[]", Err(InvalidInput::Format)),
        ];
        for (line, wanted) in cases {
            let order = request(line).map(|request| request.order);
            assert_eq!(order, *wanted, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn an_answer_may_limit_how_long_the_kernel_keeps_the_effect() {
        let line = |command: &str, parameters: &str| {
            format!(
                r#"{{"version":1,"origin":{{}},"command":"{command}","parameters":{parameters}}}"#
            )
        };
        let go_on = |expires| Ok(Answer::Continue { expires });
        for (command, parameters, wanted) in [
            ("continue", "{}", go_on(None)),
            (
                "continue",
                r#"{"expires_ms":1500}"#,
                go_on(Some(Duration::from_millis(1_500))),
            ),
            (
                "continue",
                r#"{"expires_ms":-1}"#,
                Err(InvalidInput::Format),
            ),
            (
                "continue",
                r#"{"expires_ms":"9"}"#,
                Err(InvalidInput::Format),
            ),
            (
                "continue",
                r#"{"expires_ms":1e300}"#,
                Err(InvalidInput::Format),
            ),
            ("abort", "{}", Ok(Answer::Abort)),
            ("stop", "{}", Err(InvalidInput::Command)),
        ] {
            assert_eq!(answer(line(command, parameters).as_bytes()), wanted);
        }
    }

    #[test]
    fn a_line_ends_at_its_newline_the_limit_or_the_end_of_the_input() {
        let mut input = b"one\ntwo".as_slice();
        assert_eq!(read_line(&mut input).as_deref(), Ok(b"one".as_slice()));
        assert_eq!(read_line(&mut input).as_deref(), Ok(b"two".as_slice()));
        assert_eq!(read_line(&mut input), Err(InvalidInput::NoLine));

        let long = vec![b'a'; MAX_LINE + 1];
        let mut input = long.as_slice();
        assert_eq!(read_line(&mut input).map(|line| line.len()), Ok(MAX_LINE));
        assert_eq!(read_line(&mut input).map(|line| line.len()), Ok(1));
    }
}
