//! Answers longer than one frame. A daemon with 100,000 responses in force
//! has tens of megabytes to tell; the answer is cut into parts, each of which
//! is an answer of the same kind in a frame of its own.

use serde::{Deserialize, Serialize};

use crate::wire::control::Answer;

/// How many bytes of rows go into one part. A row is a few hundred bytes, so
/// this stays far below the limit of a frame.
const PART_BYTES: usize = 1024 * 1024;

/// One part of an answer: the answer's own object, with `more` where another
/// part follows. So an answer that is short is the only part of itself.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Part {
    #[serde(flatten)]
    pub answer: Answer,
    #[serde(default, skip_serializing_if = "is_last")]
    pub more: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_last(more: &bool) -> bool {
    !more
}

/// A part that is of another kind than those before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the parts of an answer are of different kinds")]
pub struct DifferentKinds;

/// Cuts `answer` into parts that fit a frame each: at least one.
pub fn split(answer: Answer) -> Vec<Part> {
    let answers: Vec<Answer> = match answer {
        Answer::Agents { agents } => chunks(agents)
            .map(|agents| Answer::Agents { agents })
            .collect(),
        Answer::Records { records } => chunks(records)
            .map(|records| Answer::Records { records })
            .collect(),
        Answer::Reverted { outcomes } => chunks(outcomes)
            .map(|outcomes| Answer::Reverted { outcomes })
            .collect(),
        Answer::Tokens { tokens, mut notes } => chunks(tokens)
            .map(|tokens| Answer::Tokens {
                tokens,
                notes: std::mem::take(&mut notes),
            })
            .collect(),
        Answer::Usable { tokens } => chunks(tokens)
            .map(|tokens| Answer::Usable { tokens })
            .collect(),
        whole @ (Answer::Status(_)
        | Answer::Reloaded { .. }
        | Answer::Done { .. }
        | Answer::Error { .. }) => {
            vec![whole]
        }
    };
    let last = answers.len() - 1;
    answers
        .into_iter()
        .enumerate()
        .map(|(at, answer)| Part {
            answer,
            more: at < last,
        })
        .collect()
}

/// Adds the rows of `next` to those of `answer`.
pub fn append(answer: &mut Answer, next: Answer) -> Result<(), DifferentKinds> {
    match (answer, next) {
        (Answer::Agents { agents }, Answer::Agents { agents: mut rows }) => {
            agents.append(&mut rows);
        }
        (Answer::Records { records }, Answer::Records { records: mut rows }) => {
            records.append(&mut rows);
        }
        (Answer::Reverted { outcomes }, Answer::Reverted { outcomes: mut rows }) => {
            outcomes.append(&mut rows);
        }
        (
            Answer::Tokens { tokens, notes },
            Answer::Tokens {
                tokens: mut rows,
                notes: mut said,
            },
        ) => {
            tokens.append(&mut rows);
            notes.append(&mut said);
        }
        (Answer::Usable { tokens }, Answer::Usable { tokens: mut rows }) => {
            tokens.append(&mut rows);
        }
        // An error may end any answer.
        (answer, error @ Answer::Error { .. }) => *answer = error,
        (
            Answer::Agents { .. }
            | Answer::Records { .. }
            | Answer::Reverted { .. }
            | Answer::Status(_)
            | Answer::Reloaded { .. }
            | Answer::Tokens { .. }
            | Answer::Usable { .. }
            | Answer::Done { .. }
            | Answer::Error { .. },
            _,
        ) => return Err(DifferentKinds),
    }
    Ok(())
}

fn chunks<T: Serialize>(rows: Vec<T>) -> impl Iterator<Item = Vec<T>> {
    let mut chunks = vec![Vec::new()];
    let mut bytes = 0;
    for row in rows {
        let length = serde_json::to_vec(&row).map_or(PART_BYTES, |text| text.len());
        if bytes + length > PART_BYTES && bytes > 0 {
            chunks.push(Vec::new());
            bytes = 0;
        }
        bytes += length;
        chunks
            .last_mut()
            .expect("it starts with one and grows")
            .push(row);
    }
    chunks.into_iter()
}

#[cfg(test)]
mod tests {
    use super::{DifferentKinds, Part, append, split};
    use crate::model::{ActionId, ActionState};
    use crate::wire::control::{Answer, ErrorKind, RevertOutcome};
    use crate::wire::{Frame, MAX_FRAME, frame};

    fn answer(rows: u64) -> Answer {
        let outcomes = (0..rows)
            .map(|row| RevertOutcome {
                action: ActionId::from_bytes(u128::from(row).to_be_bytes()),
                state: ActionState::Reverted,
                keys: "k".repeat(4_000),
                detail: None,
            })
            .collect();
        Answer::Reverted { outcomes }
    }

    #[test]
    fn a_long_answer_is_cut_into_frames_and_comes_together_again() {
        for (rows, parts) in [(0, 1), (1, 1), (2_000, 8)] {
            let cut = split(answer(rows));
            assert_eq!(cut.len(), parts, "{rows}");
            let last = cut.len() - 1;
            let mut whole = None;
            for (at, part) in cut.into_iter().enumerate() {
                let bytes = Frame::new(&part).unwrap().encode();
                let (frame, _) = frame::decode(&bytes, MAX_FRAME).unwrap().unwrap();
                let received: Part = frame.message().unwrap();
                assert_eq!(received.more, at < last);
                match &mut whole {
                    None => whole = Some(received.answer),
                    Some(whole) => append(whole, received.answer).unwrap(),
                }
            }
            assert_eq!(whole, Some(answer(rows)));
        }
    }

    #[test]
    fn a_short_answer_is_the_only_part_of_itself() {
        let parts = split(answer(1));
        assert_eq!(
            serde_json::to_value(&parts[0]).unwrap(),
            serde_json::to_value(answer(1)).unwrap()
        );
    }

    #[test]
    fn parts_of_different_kinds_are_refused_but_an_error_may_end_an_answer() {
        let mut whole = answer(1);
        let records = Answer::Records { records: vec![] };
        assert_eq!(append(&mut whole, records), Err(DifferentKinds));
        let error = Answer::Error {
            kind: ErrorKind::Unavailable,
            text: "stopping".to_owned(),
        };
        append(&mut whole, error.clone()).unwrap();
        assert_eq!(whole, error);
    }
}
