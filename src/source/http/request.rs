//! One request, from its headers to its answer.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts as Head;
use hyper::{Method, Request};
use sha2::{Digest, Sha256};
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

use super::answer::{self, Account, Refusal, Reply};
use super::body::{self, MAX_PIECES};
use super::counters::Kind;
use super::deliver::{self, Delivery};
use super::door::{Door, Visit, told_to_stop};
use crate::clock;
use crate::diag::seldom::Seldom;
use crate::sys::secret::Secret;

/// How long, and how much of, a body is read that nobody wants. Many senders
/// read no answer before they have sent everything.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 << 20;

/// A header that tells one delivery from the next
/// (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: &str = "idempotency-key";

impl Door {
    pub(super) async fn answer(&self, visit: &Visit, request: Request<Incoming>) -> Reply {
        let (head, body) = request.into_parts();
        if is_health(&head) {
            return answer::health(!self.is_stuck.load(Ordering::Relaxed));
        }
        let admitted = self
            .admit(visit, &head)
            .and_then(|()| self.fits(body.size_hint().lower()))
            .and_then(|()| self.requests.try_acquire().map_err(|_| Refusal::Busy));
        let _request = match admitted {
            Ok(permit) => permit,
            Err(refusal) => {
                // One that waits for leave to send its body does not get it.
                if !head.headers.contains_key(header::EXPECT) {
                    linger(body);
                }
                return self.refuse(visit, refusal);
            }
        };
        let key = head.headers.get(IDEMPOTENCY_KEY);
        let key = key.filter(|key| !key.is_empty());
        let key = key.map(|key| key.as_bytes().to_vec());
        let mut stopped = self.parts.stopped.clone();
        // Either may be dropped: what was handed over is stored all the same.
        let answer = tokio::select! {
            biased;
            answer = self.take(body, key) => answer,
            () = told_to_stop(&mut stopped) => Err(Refusal::Stopping),
        };
        answer.unwrap_or_else(|refusal| self.refuse(visit, refusal))
    }

    /// Whether somebody may send here what he wants to send, as far as the
    /// headers tell.
    fn admit(&self, visit: &Visit, head: &Head) -> Result<(), Refusal> {
        if !matches!(head.uri.path(), "/" | "/alerts") {
            return Err(Refusal::Path);
        }
        if head.method != Method::POST {
            return Err(Refusal::Method);
        }
        if !shows(&head.headers, &self.parts.settings.borrow().token) {
            return Err(Refusal::Token);
        }
        self.know(visit);
        let mut encodings = head.headers.get_all(header::CONTENT_ENCODING).iter();
        if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Refusal::Encoding);
        }
        Ok(())
    }

    /// Whether a body of so many bytes is not too large.
    fn fits(&self, length: u64) -> Result<(), Refusal> {
        let most = self.parts.settings.borrow().max_body;
        if usize::try_from(length).is_ok_and(|length| length <= most) {
            return Ok(());
        }
        Err(Refusal::TooLarge { most })
    }

    /// Reads a body, and has stored what is in it.
    async fn take(&self, mut body: Incoming, key: Option<Vec<u8>>) -> Result<Reply, Refusal> {
        let read = timeout(self.parts.limits.body, self.read(&mut body)).await;
        let (bytes, _room) = match read.map_err(|_| Refusal::Slow)? {
            Ok(read) => read,
            Err(refusal) => {
                linger(body);
                return Err(refusal);
            }
        };
        let pieces = body::cut(&bytes).map_err(|_| Refusal::TooMany { most: MAX_PIECES })?;
        if pieces.is_empty() {
            return Err(Refusal::Empty);
        }
        let shape = self.parts.settings.borrow().shape.clone();
        let mut names = self.names.request(key);
        let (delivery, account) = deliver::judge(bytes, pieces, &shape, &mut names).await;
        self.judged(&account);
        match (account.accepted(), account.refused()) {
            (0, 0) => return Ok(answer::stored(&account)),
            (0, _) => return Ok(answer::no_alert(account)),
            (_, _) => {}
        }
        self.store(delivery).await?;
        names.answered();
        Ok(answer::stored(&account))
    }

    /// The whole of a body, and the room that it takes.
    async fn read(&self, body: &mut Incoming) -> Result<(Bytes, Room<'_>), Refusal> {
        let mut room = Room::default();
        self.make_room(&mut room, body.size_hint().lower())?;
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            // What is no data are trailers, which mean nothing here.
            if let Ok(part) = frame.map_err(|_| Refusal::Broken)?.into_data() {
                let length = bytes.len() as u64 + part.len() as u64;
                self.fits(length)?;
                self.make_room(&mut room, length)?;
                bytes.extend_from_slice(&part);
            }
        }
        Ok((bytes.into(), room))
    }

    /// Takes room for a body of so many bytes.
    fn make_room<'a>(&'a self, room: &mut Room<'a>, length: u64) -> Result<(), Refusal> {
        let wanted = usize::try_from(length.div_ceil(1_024)).map_err(|_| Refusal::Busy)?;
        let taken = room.0.as_ref().map_or(0, SemaphorePermit::num_permits);
        let more = u32::try_from(wanted.saturating_sub(taken)).map_err(|_| Refusal::Busy)?;
        let more = self.bodies.try_acquire_many(more);
        let more = more.map_err(|_| Refusal::Busy)?;
        match &mut room.0 {
            Some(permit) => permit.merge(more),
            None => room.0 = Some(more),
        }
        Ok(())
    }

    async fn store(&self, delivery: Delivery) -> Result<(), Refusal> {
        let stored = delivery.store(&self.parts.events);
        let stored = timeout(self.parts.limits.store, stored).await;
        self.is_stuck.store(stored.is_err(), Ordering::Relaxed);
        match stored {
            Ok(Ok(())) => {
                self.parts.counters.count(Kind::Stored);
                Ok(())
            }
            Ok(Err(deliver::Lost)) | Err(_) => Err(Refusal::NotStored),
        }
    }

    /// Counts what was no alert.
    fn judged(&self, account: &Account) {
        self.parts
            .counters
            .add(Kind::Ignored, account.ignored() as u64);
        let Some(first) = account.first_reason() else {
            return;
        };
        let number = account.refused() as u64;
        self.parts.counters.add(Kind::NotAlerts, number);
        if account.accepted() == 0 {
            self.parts.counters.count(Kind::NoAlert);
        }
        if let Some(suppressed) = self.said.no_alert.pass(clock::boot()) {
            log::warn!(source = self.parts.name.as_str(), why = first, number, suppressed; "something that was sent is no alert");
        }
    }

    /// Counts what is refused, and says so.
    fn refuse(&self, visit: &Visit, refusal: Refusal) -> Reply {
        let (kind, seldom): (_, Option<&Seldom>) = match refusal {
            Refusal::Token => (Kind::Token, Some(&self.said.token)),
            Refusal::TooLarge { .. } | Refusal::TooMany { .. } => {
                (Kind::TooLarge, Some(&self.said.too_large))
            }
            Refusal::Busy => (Kind::Busy, Some(&self.said.busy)),
            Refusal::NotStored => (Kind::NotStored, Some(&self.said.not_stored)),
            Refusal::Empty
            | Refusal::Broken
            | Refusal::Path
            | Refusal::Method
            | Refusal::Encoding
            | Refusal::Slow
            | Refusal::Stopping => (Kind::Other, None),
        };
        self.parts.counters.count(kind);
        let address = visit.peer.ip().to_canonical();
        if let Some(suppressed) = seldom.and_then(|seldom| seldom.pass(clock::boot())) {
            log::warn!(source = self.parts.name.as_str(), address:% = address, why = refusal.text(), suppressed; "a request was refused");
        }
        refusal.reply()
    }
}

/// What the body of a request takes of what all may take, in KiB.
#[derive(Default)]
struct Room<'a>(Option<SemaphorePermit<'a>>);

/// Whether somebody only asks if alerts are taken here. That is no secret.
fn is_health(head: &Head) -> bool {
    head.uri.path() == "/health" && matches!(head.method, Method::GET | Method::HEAD)
}

/// Whether the token is shown (RFC 6750, 2.1).
fn shows(headers: &HeaderMap, token: &Secret) -> bool {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    // Of two, a proxy may have looked at the other one.
    let (Some(shown), None) = (shown.next(), shown.next()) else {
        return false;
    };
    let Some((scheme, shown)) = split_at_blank(shown.as_bytes()) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"bearer") && is_same(shown.trim_ascii(), token.as_str().as_bytes())
}

fn split_at_blank(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == b' ')?;
    Some((&text[..at], &text[at..]))
}

/// Compares in a time that tells nothing of the token, not even its length.
fn is_same(shown: &[u8], token: &[u8]) -> bool {
    let pairs = Sha256::digest(shown).into_iter().zip(Sha256::digest(token));
    pairs.fold(0, |differ, (one, other)| differ | (one ^ other)) == 0
}

/// Reads on for a while what nobody wants, so that the answer is not lost with
/// the connection.
fn linger(mut body: Incoming) {
    // Nobody waits for it: it ends within its time, and a panic ends the daemon.
    tokio::spawn(timeout(LINGER, async move {
        let mut room = LINGER_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match room.checked_sub(length) {
                Some(left) => room = left,
                None => return,
            }
        }
    }));
}
