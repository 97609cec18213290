//! From a body to lines that the owner has stored.

use std::ops::Range;

use hyper::body::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::answer::{Account, Reason};
use super::body;
use super::name::{Name, Own, Request};
use crate::alert::Shape;
use crate::source::{Event, Line, MAX_LINE, Receipt};

/// Lines of one event, and their bytes beside the first.
const BATCH_LINES: usize = 1_000;
const BATCH_BYTES: usize = 256 << 10;

/// Pieces that are judged before others on this thread get their turn.
const IN_A_ROW: usize = 256;

/// What is to be handed over of a body.
#[derive(Debug)]
pub(super) struct Delivery {
    body: Bytes,
    alerts: Vec<(Range<usize>, Name)>,
}

/// The owner has not stored what was handed over, and will not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Lost;

/// Reads each piece of a body as the owner will, so that a sender learns what
/// is no alert before anything is taken.
pub(super) async fn judge(
    body: Bytes,
    pieces: Vec<Range<usize>>,
    shape: &Shape,
    request: &mut Request<'_>,
) -> (Delivery, Account) {
    let mut account = Account::default();
    let mut alerts = Vec::new();
    for (index, at) in pieces.into_iter().enumerate() {
        if index.is_multiple_of(IN_A_ROW) {
            tokio::task::yield_now().await;
        }
        let piece = &body[at.clone()];
        if let Some(own) = judge_one(piece, index, shape, &mut account) {
            let name = request.name(piece, own);
            alerts.push((at, name));
        }
    }
    (Delivery { body, alerts }, account)
}

/// What the alert in a piece has of its own; `None` if there is none.
fn judge_one(piece: &[u8], index: usize, shape: &Shape, account: &mut Account) -> Option<Own> {
    if piece.len() > MAX_LINE {
        account.refuse(index, Reason::TooLong);
        return None;
    }
    let mut found = None;
    for answer in shape.read(piece) {
        match answer {
            Ok(alert) => {
                account.accept();
                let has_own = alert.id.is_some() || alert.timestamp.is_some();
                if has_own || found.is_none() {
                    found = Some(if has_own {
                        Own::Something
                    } else {
                        Own::Nothing
                    });
                }
            }
            Err(why) if why.is_expected() => account.ignore(),
            Err(why) => account.refuse(index, Reason::NotAnAlert(why)),
        }
    }
    found
}

impl Delivery {
    /// Hands the alerts over, and waits until all that they led to is on disk.
    /// It may be dropped at any time; what was handed over by then is stored all
    /// the same.
    pub(super) async fn store(self, events: &mpsc::Sender<Event>) -> Result<(), Lost> {
        let mut receipts = Vec::new();
        let mut alerts = self.alerts.into_iter().peekable();
        while alerts.peek().is_some() {
            let mut lines = Vec::new();
            let mut room = BATCH_BYTES;
            while lines.len() < BATCH_LINES
                && let Some((at, name)) =
                    alerts.next_if(|(at, _)| lines.is_empty() || at.len() <= room)
            {
                if !lines.is_empty() {
                    room -= at.len();
                }
                lines.push(Line {
                    bytes: body::line(&self.body[at]),
                    offset: name.offset,
                    generation: name.generation,
                });
            }
            let (stored, receipt) = oneshot::channel();
            receipts.push(receipt);
            let receipt = Receipt::Answer(stored);
            let event = Event::Lines { lines, receipt };
            events.send(event).await.map_err(|_| Lost)?;
        }
        for receipt in receipts {
            receipt.await.map_err(|_| Lost)?;
        }
        Ok(())
    }
}
