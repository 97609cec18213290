//! What an executable has printed so far, and what it means.

use super::pipes::escape;
use super::{Mode, Outcome, Run};
use crate::contract::reply::{self, InvalidReply, Reply, RunResult};
use crate::model::Keys;

const MAX_NOTE: usize = 200;

pub(super) struct Heard {
    /// `None` for one that is given words: what it prints means nothing.
    mode: Option<Mode>,
    bundled: bool,
    keys: Option<Result<Keys, String>>,
    asked: bool,
    result: Option<RunResult>,
    note: Option<String>,
}

impl Heard {
    pub(super) fn new(mode: Mode, bundled: bool) -> Self {
        Self {
            mode: Some(mode),
            bundled,
            keys: None,
            asked: false,
            result: None,
            note: None,
        }
    }

    /// Of the process of a run.
    pub(super) fn of(run: &Run) -> Self {
        Self {
            mode: run.message().map(|_| run.mode),
            ..Self::new(run.mode, run.bundled)
        }
    }

    /// Takes one line. On `add` the first `check_keys` line counts, from a
    /// bundled executable the first `result`; blank lines are nothing.
    pub(super) fn line(&mut self, line: &[u8]) {
        let line = line.trim_ascii();
        let wants_keys = self.mode == Some(Mode::Add) && self.keys.is_none();
        let wants_result = self.bundled && self.result.is_none();
        if line.is_empty() || !(wants_keys || wants_result) {
            return;
        }
        match reply::parse(line) {
            Ok(Reply::CheckKeys(keys)) if wants_keys => self.keys = Some(Ok(keys)),
            Ok(Reply::Result(result)) if wants_result => self.result = Some(result),
            Err(InvalidReply::Parameters(error)) if wants_keys => {
                let error = escape(error.to_string().as_bytes());
                self.keys = Some(Err(format!("its check_keys line is not valid: {error}")));
            }
            Ok(_) | Err(_) if wants_keys && self.note.is_none() => {
                let start = &line[..line.len().min(MAX_NOTE)];
                let cut = if line.len() > MAX_NOTE { "…" } else { "" };
                self.note = Some(format!(
                    "printed something else where check_keys is expected: {}{cut}",
                    escape(start)
                ));
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// The keys, the first time there are any.
    pub(super) fn unasked_keys(&mut self) -> Option<Result<Keys, String>> {
        if self.asked {
            return None;
        }
        let keys = self.keys.clone()?;
        self.asked = true;
        Some(keys)
    }

    pub(super) fn has_result(&self) -> bool {
        self.result.is_some()
    }

    /// Whether a line was printed that is none of the contract.
    pub(super) fn something_else(&self) -> bool {
        self.note.is_some()
    }

    pub(super) fn tell(self, outcome: &mut Outcome) {
        outcome.printed_keys = self.keys.is_some();
        outcome.result = self.result;
        outcome.output_note = self.note;
        match self.keys {
            Some(Ok(keys)) => outcome.keys = Some(keys),
            Some(Err(error)) => outcome.add_detail(&error),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Heard;
    use crate::executor::{Mode, Outcome};

    const KEYS: &[u8] =
        br#"{"version":1,"command":"check_keys","parameters":{"keys":["192.0.2.1"]}}"#;
    const RESULT: &[u8] = br#"{"version":1,"command":"result","parameters":{"status":"applied"}}"#;

    fn outcome(mode: Mode, bundled: bool, lines: &[&[u8]]) -> Outcome {
        let mut heard = Heard::new(mode, bundled);
        for line in lines {
            heard.line(line);
        }
        let mut outcome = Outcome::not_started(String::new());
        heard.tell(&mut outcome);
        outcome
    }

    #[test]
    fn the_first_check_keys_line_counts_wherever_it_stands() {
        let other = br#"{"command":"check_keys","parameters":{"keys":["192.0.2.2"]}}"#;
        let outcome = outcome(
            Mode::Add,
            false,
            &[b"", b"debug \x1b", KEYS, other, b"more"],
        );
        assert_eq!(outcome.keys.unwrap().to_string(), "192.0.2.1");
        let note = outcome.output_note.unwrap();
        assert!(note.ends_with("debug \\u{1b}"), "{note}");
    }

    #[test]
    fn keys_that_are_no_keys_are_told_from_none() {
        let outcome = outcome(
            Mode::Add,
            false,
            &[
                br#"{"command":"check_keys","parameters":{"keys":[1]}}"#,
                KEYS,
            ],
        );
        assert!(outcome.printed_keys);
        assert_eq!(outcome.keys, None);
        assert!(
            outcome
                .detail
                .unwrap()
                .contains("check_keys line is not valid")
        );
    }

    #[test]
    fn a_result_is_believed_of_bundled_executables_only() {
        assert!(outcome(Mode::Add, true, &[KEYS, RESULT]).result.is_some());
        assert!(outcome(Mode::Delete, true, &[RESULT]).result.is_some());
        let script = outcome(Mode::Add, false, &[RESULT, KEYS]);
        assert_eq!(script.result, None);
        assert!(script.output_note.is_some() && script.printed_keys);
    }

    #[test]
    fn a_revert_names_no_keys() {
        let outcome = outcome(Mode::Delete, false, &[KEYS, b"done"]);
        assert!(!outcome.printed_keys);
        assert_eq!(outcome.output_note, None);
    }
}
