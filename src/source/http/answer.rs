//! What a sender is told: a status, and a small JSON object.
//!
//! `accepted` is the number of alerts that were taken, which is 0 unless the
//! status is 200; `ignored` that of events that a pipeline sends beside its
//! alerts; `refused` that of pieces of the body that are no alert, and `reasons`
//! says of the first few which and why; `error` says in words why
//! nothing was taken, and what to do about it.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::alert::NotAnAlert;

pub(super) type Reply = Response<Full<Bytes>>;

/// Reasons that are told.
const REASONS: usize = 10;

/// Seconds after which to come again where too many are there.
const SOON: &str = "1";
/// And where the disk or the manager is in trouble.
const LATER: &str = "5";

/// Why a piece of a body is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reason {
    NotAnAlert(NotAnAlert),
    TooLong,
}

impl Reason {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::NotAnAlert(why) => why.label(),
            Self::TooLong => "is longer than 1 MiB",
        }
    }
}

/// What became of the pieces of a body.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Account {
    accepted: usize,
    #[serde(skip_serializing_if = "is_zero")]
    ignored: usize,
    #[serde(skip_serializing_if = "is_zero")]
    refused: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<Told>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip)]
    too_long: usize,
}

#[derive(Clone, Debug, Serialize)]
struct Told {
    /// Counted from 0.
    index: usize,
    why: &'static str,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Account {
    pub(super) fn accept(&mut self) {
        self.accepted += 1;
    }

    /// An event that its pipeline does not mean as an alert.
    pub(super) fn ignore(&mut self) {
        self.ignored += 1;
    }

    pub(super) fn refuse(&mut self, index: usize, why: Reason) {
        self.refused += 1;
        self.too_long += usize::from(why == Reason::TooLong);
        if self.reasons.len() < REASONS {
            let why = why.label();
            self.reasons.push(Told { index, why });
        }
    }

    pub(super) fn accepted(&self) -> usize {
        self.accepted
    }

    pub(super) fn ignored(&self) -> usize {
        self.ignored
    }

    pub(super) fn refused(&self) -> usize {
        self.refused
    }

    /// Why the first piece was not taken that was not.
    pub(super) fn first_reason(&self) -> Option<&'static str> {
        self.reasons.first().map(|told| told.why)
    }

    /// Whether the only thing wrong with all that is no alert is its length.
    pub(super) fn is_too_long(&self) -> bool {
        self.refused > 0 && self.too_long == self.refused
    }
}

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    Empty,
    Broken,
    Token,
    Path,
    Method,
    Encoding,
    TooLarge { most: usize },
    TooMany { most: usize },
    Busy,
    Slow,
    NotStored,
    Stopping,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::Empty | Self::Broken => StatusCode::BAD_REQUEST,
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::Path => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } | Self::TooMany { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::NotStored | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(super) fn text(self) -> String {
        let text = match self {
            Self::Empty => "the body is empty: send one alert or several as JSON",
            Self::Broken => "the body did not come to its end",
            Self::Token => {
                "the token is missing or wrong: send the header `Authorization: Bearer TOKEN` with what is in the manager's token_file"
            }
            Self::Path => "alerts are sent to / or /alerts",
            Self::Method => "alerts are sent by POST",
            Self::Encoding => "the body is compressed: send it as it is",
            Self::TooLarge { most } => {
                return format!(
                    "the body has more than {most} bytes: send fewer alerts at a time, or raise max_body"
                );
            }
            Self::TooMany { most } => {
                return format!("the body holds more than {most} alerts: send fewer at a time");
            }
            Self::Busy => "too many requests wait to be stored: send this one again",
            Self::Slow => "the body took too long to come",
            Self::NotStored => {
                "what the alerts lead to cannot be stored at the moment: send them again"
            }
            Self::Stopping => "the manager is stopping: send the alerts again",
        };
        text.to_owned()
    }

    /// A header that belongs to the status.
    fn header(self) -> Option<(HeaderName, &'static str)> {
        match self {
            Self::Token => Some((header::WWW_AUTHENTICATE, "Bearer realm=\"ripost\"")),
            Self::Method => Some((header::ALLOW, "POST")),
            Self::Encoding => Some((header::ACCEPT_ENCODING, "identity")),
            Self::Busy => Some((header::RETRY_AFTER, SOON)),
            Self::NotStored | Self::Stopping => Some((header::RETRY_AFTER, LATER)),
            Self::Empty
            | Self::Broken
            | Self::Path
            | Self::TooLarge { .. }
            | Self::TooMany { .. }
            | Self::Slow => None,
        }
    }

    /// Whether the connection ends with the answer.
    fn ends(self) -> bool {
        matches!(self, Self::Slow | Self::Stopping)
    }

    pub(super) fn reply(self) -> Reply {
        let account = Account {
            error: Some(self.text()),
            ..Account::default()
        };
        let mut reply = json(self.status(), &account);
        if let Some((name, value)) = self.header() {
            let value = HeaderValue::from_static(value);
            reply.headers_mut().insert(name, value);
        }
        if self.ends() {
            let close = HeaderValue::from_static("close");
            reply.headers_mut().insert(header::CONNECTION, close);
        }
        reply
    }
}

/// All that is an alert is on disk, if there was any.
pub(super) fn stored(account: &Account) -> Reply {
    json(StatusCode::OK, account)
}

/// There is no alert.
pub(super) fn no_alert(mut account: Account) -> Reply {
    let (status, text) = if account.is_too_long() {
        (
            StatusCode::PAYLOAD_TOO_LARGE,
            "no alert is taken that is longer than 1 MiB",
        )
    } else {
        (
            StatusCode::UNPROCESSABLE_ENTITY,
            "nothing in the body is an alert",
        )
    };
    account.error = Some(text.to_owned());
    json(status, &account)
}

/// Whether alerts are taken, for those who ask before they send.
pub(super) fn health(is_well: bool) -> Reply {
    if is_well {
        return reply(StatusCode::OK, b"{\"status\":\"ok\"}".as_slice().into());
    }
    Refusal::NotStored.reply()
}

fn json(status: StatusCode, account: &Account) -> Reply {
    let body = serde_json::to_vec(account).expect("numbers and texts can be written as JSON");
    reply(status, body.into())
}

fn reply(status: StatusCode, mut body: Bytes) -> Reply {
    // So that what a person tries by hand ends with its line.
    body = [body.as_ref(), b"\n"].concat().into();
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    reply.headers_mut().insert(header::CONTENT_TYPE, json);
    reply
}
