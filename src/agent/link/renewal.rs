//! A new certificate for a new key, two thirds into the lifetime of the present
//! one. What is on the disk is replaced before anything is shown to the
//! manager, and as a whole.

use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::{self, Boot};
use crate::transport::pki::{AgentKey, Credentials, PkiError};
use crate::transport::random;

use super::remote::{millis, with_causes};
use super::{LinkEvent, Reports, in_one_line};

/// The longest sleep towards a moment of the wall clock, which may be stepped.
const STEP: Duration = Duration::from_secs(600);

/// The spans of a renewal.
#[derive(Clone, Copy, Debug)]
pub(in crate::agent) struct Pace {
    /// Within this much of the moment, or of the beginning of a later session,
    /// so that a fleet that was enrolled in one go does not renew in one go.
    pub(in crate::agent) spread: Duration,
    /// How long the manager may take.
    pub(in crate::agent) answer: Duration,
    /// How long after a failure it is tried again, and as much again at most.
    pub(in crate::agent) again: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            spread: Duration::from_secs(60),
            answer: Duration::from_secs(60),
            again: Duration::from_secs(600),
        }
    }
}

/// What the manager answers: certificate and CA as PEM.
pub(super) type Renewed = Option<(String, String)>;

pub(super) struct Renewal<'a> {
    pub(super) present: &'a Credentials,
    /// `etc/tls`.
    pub(super) directory: &'a Path,
    pub(super) reports: &'a Reports,
    pub(super) pace: Pace,
    /// When this agentd was given a certificate the last time.
    pub(super) last: Option<Boot>,
}

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the manager does not answer")]
    NoAnswer,
    #[error(transparent)]
    Pki(#[from] PkiError),
}

impl Renewal<'_> {
    /// Waits for the moment, and then until a new certificate is on the disk.
    /// May be dropped at any time: the present one holds until then.
    pub(super) async fn done(&self, mut answers: watch::Receiver<Renewed>) {
        self.moment().await;
        let renew_at = self.present.renew_at();
        let left = renew_at.until(self.present.not_after());
        tokio::time::sleep(up_to(self.pace.spread.min(left / 4))).await;
        loop {
            match self.renew(&mut answers).await {
                Ok(()) => {
                    self.tell(None);
                    log::info!("this host has a new certificate; connecting with it");
                    return;
                }
                Err(error) => {
                    let why = with_causes(&error);
                    log::warn!(problem = why.as_str(), until:% = self.present.not_after(); "the certificate of this host could not be renewed; trying again later");
                    let why = in_one_line(&why);
                    self.tell(Some(format!(
                        "the certificate of this host could not be renewed and is tried again: {why}"
                    )));
                }
            }
            tokio::time::sleep(self.pace.again + up_to(self.pace.again)).await;
        }
    }

    /// Two thirds into the lifetime, by the wall clock. That may be ahead, so that
    /// a new certificate is due at once; by boot time it is given a sixth of its
    /// lifetime, half of what it is valid for after that moment.
    async fn moment(&self) {
        let renew_at = self.present.renew_at();
        let least = renew_at.until(self.present.not_after()) / 2;
        let mut is_logged = false;
        loop {
            let left = clock::wall().until(renew_at);
            let rest = self.last.map(|last| clock::boot().until(last.plus(least)));
            let rest = rest.unwrap_or_default();
            if left.is_zero() && rest.is_zero() {
                return;
            }
            self.tell(left.is_zero().then(|| {
                let hours = rest.as_secs() / 3_600;
                format!("the clock of this host is ahead: by it the certificate of this host is due again, which is new; it is renewed in {hours} h (set the clock)")
            }));
            if left.is_zero() && !is_logged {
                is_logged = true;
                log::warn!(until:% = self.present.not_after(); "the new certificate of this host is due again by its clock, which is ahead (set the clock)");
            }
            tokio::time::sleep(left.max(rest).min(STEP)).await;
        }
    }

    /// Has whoever asks for the status told what is wrong.
    fn tell(&self, why: Option<String>) {
        self.reports.state.send_modify(|state| state.renewal = why);
    }

    async fn renew(&self, answers: &mut watch::Receiver<Renewed>) -> Result<(), Failed> {
        let key = AgentKey::new()?;
        // One that comes now is not for this key.
        answers.borrow_and_update();
        // A session that ends takes this along.
        let _ = self
            .reports
            .events
            .send(LinkEvent::Renew(key.public()))
            .await;
        let answered = tokio::time::timeout(self.pace.answer, answers.changed()).await;
        if !matches!(answered, Ok(Ok(()))) {
            return Err(Failed::NoAnswer);
        }
        let (certificate, ca) = answers
            .borrow_and_update()
            .clone()
            .ok_or(Failed::NoAnswer)?;
        let fresh = self.present.renewed(&key, &certificate, &ca)?;
        let directory = self.directory.to_owned();
        let stored = tokio::task::spawn_blocking(move || fresh.store(&directory)).await;
        stored.expect("writing a file does not panic")?;
        Ok(())
    }
}

fn up_to(span: Duration) -> Duration {
    Duration::from_millis(random::number() % (millis(span) + 1))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use tokio::sync::{mpsc, watch};

    use super::{Pace, Renewal};
    use crate::agent::link::{LinkEvent, LinkState, Reports};
    use crate::clock;
    use crate::clock::simulated::Clock;
    use crate::model::AgentId;
    use crate::transport::pki::{AgentKey, Authority, Credentials};
    use crate::wire::enroll::PublicKey;

    const DAY: Duration = Duration::from_secs(86_400);
    const PATIENCE: Duration = Duration::from_secs(30);

    fn credentials(authority: &Authority, lifetime: Duration) -> Credentials {
        let id = AgentId::parse("007").unwrap();
        let key = AgentKey::new().unwrap();
        let issued = authority.issue(&id, &key.public(), lifetime).unwrap();
        let (ca, pin) = (authority.ca_pem(), authority.pin());
        Credentials::new(id, &key, &issued.pem, ca, pin).unwrap()
    }

    fn answer(authority: &Authority, key: &PublicKey) -> super::Renewed {
        let id = AgentId::parse("007").unwrap();
        let issued = authority.issue(&id, key, 30 * DAY).unwrap();
        Some((issued.pem, authority.ca_pem().to_owned()))
    }

    fn reports() -> (Reports, mpsc::Receiver<LinkEvent>) {
        let (events, asked) = mpsc::channel(8);
        let (state, _) = watch::channel(LinkState::default());
        (Reports { events, state }, asked)
    }

    fn authority(folder: &Path) -> Authority {
        Authority::open(&folder.join("manager")).unwrap()
    }

    #[tokio::test]
    async fn silence_and_another_key_are_reported_and_the_manager_is_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let authority = authority(folder.path());
        let present = credentials(&authority, Duration::from_secs(3));
        let (reports, mut asked) = reports();
        let (answers, on_answers) = watch::channel(None);
        let renewal = Renewal {
            present: &present,
            directory: &folder.path().join("tls"),
            reports: &reports,
            pace: Pace {
                spread: Duration::ZERO,
                answer: Duration::from_millis(200),
                again: Duration::from_millis(1),
            },
            last: None,
        };
        let manager = async {
            let mut state = reports.state.subscribe();
            let mut next = async || match asked.recv().await {
                Some(LinkEvent::Renew(key)) => key,
                other => panic!("{other:?}"),
            };
            let first = next().await;
            let mut problem = async |text: &str| {
                let told = |state: &LinkState| {
                    let why = state.renewal.as_deref();
                    why.is_some_and(|why| why.contains(text))
                };
                state.wait_for(told).await.unwrap();
            };
            problem("does not answer").await;
            // An answer that comes too late is not for the key in question.
            let second = next().await;
            answers.send_replace(answer(&authority, &first));
            problem("key").await;
            let third = next().await;
            assert!(first != second && second != third);
            answers.send_replace(answer(&authority, &third));
        };
        let both = async { tokio::join!(renewal.done(on_answers), manager) };
        tokio::time::timeout(PATIENCE, both).await.unwrap();
        assert_eq!(reports.state.borrow().renewal, None);
        let stored = Credentials::load(&folder.path().join("tls"))
            .unwrap()
            .unwrap();
        assert_ne!(stored.fingerprint(), present.fingerprint());
    }

    #[tokio::test]
    async fn nothing_is_asked_before_two_thirds_of_the_lifetime() {
        let folder = tempfile::tempdir().unwrap();
        let authority = authority(folder.path());
        let present = credentials(&authority, 30 * DAY);
        let (reports, mut asked) = reports();
        let (_answers, on_answers) = watch::channel(None);
        let renewal = Renewal {
            present: &present,
            directory: folder.path(),
            reports: &reports,
            pace: Pace {
                spread: Duration::ZERO,
                ..Pace::default()
            },
            last: None,
        };
        let done = renewal.done(on_answers);
        let early = tokio::time::timeout(Duration::from_millis(300), done).await;
        assert!(early.is_err() && asked.try_recv().is_err());
    }

    static ELAPSED: AtomicU64 = AtomicU64::new(0);

    #[tokio::test]
    async fn a_clock_that_is_ahead_does_not_have_every_new_certificate_renewed_at_once() {
        let elapsed = || Duration::from_secs(ELAPSED.load(Ordering::Relaxed));
        let clock = Clock::new(clock::wall(), elapsed);
        let _entered = clock.enter();
        let folder = tempfile::tempdir().unwrap();
        let authority = authority(folder.path());
        let present = credentials(&authority, 90 * DAY);
        let given = clock::boot();
        clock.step(70 * 86_400_000);
        let (reports, mut asked) = reports();
        let (_answers, on_answers) = watch::channel(None);
        // One that is old is renewed; one that is new is not; nor is it forgotten.
        for (last, days, is_asked) in [
            (None, 0, true),
            (Some(given), 0, false),
            (Some(given), 14, false),
            (Some(given), 16, true),
        ] {
            ELAPSED.store(days * 86_400, Ordering::Relaxed);
            let renewal = Renewal {
                present: &present,
                directory: folder.path(),
                reports: &reports,
                pace: Pace {
                    spread: Duration::ZERO,
                    ..Pace::default()
                },
                last,
            };
            let done = renewal.done(on_answers.clone());
            let patience = if is_asked {
                PATIENCE
            } else {
                Duration::from_millis(300)
            };
            let told = tokio::select! {
                () = done => panic!("nobody has answered"),
                told = tokio::time::timeout(patience, asked.recv()) => told,
            };
            assert_eq!(told.is_ok(), is_asked, "{last:?}, {days} days");
            let why = reports.state.borrow().renewal.clone();
            let is_told = why.is_some_and(|why| why.contains("clock of this host is ahead"));
            assert_eq!(
                is_told,
                days < 16 && last.is_some(),
                "{last:?}, {days} days"
            );
            reports.state.send_modify(|state| state.renewal = None);
        }
    }
}
