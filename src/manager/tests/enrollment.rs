//! Certificates that agents are given.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use super::scene::{Coming, Played, Scene, answered, denied, within};
use crate::clock::Wall;
use crate::clock::simulated::Clock;
use crate::model::{AgentId, AgentName};
use crate::transport::listener::Enrollment;
use crate::transport::pki::{AgentKey, Credentials};
use crate::wire::control::{Answer, Request, TokenWish};
use crate::wire::enroll::{EnrollAnswer, EnrollRequest, Token};
use crate::wire::{Denial, PROTOCOL, ToAgent, ToManager};

const START: Wall = Wall::from_millis(1_795_514_400_000);

/// An agent waits a minute for its answer, and then ten more at least.
const AGAIN: u64 = 660;

/// A token for this agent.
async fn token(scene: &mut Scene, agent: &str) -> Token {
    let wish = TokenWish {
        id: Some(AgentId::parse(agent).unwrap()),
        name: None,
        groups: Vec::new(),
        uses: 1,
        ttl: 60,
    };
    let asked = scene.ask(Request::EnrollToken(wish)).await;
    scene.settle().await;
    let Answer::Tokens { tokens, .. } = answered(asked).await else {
        panic!("no token");
    };
    Token::parse(&tokens[0].token).unwrap()
}

/// A host enrolls with this key; what it is told.
async fn enroll(
    scene: &mut Scene,
    token: &Token,
    key: &AgentKey,
) -> oneshot::Receiver<EnrollAnswer> {
    let (answer, told) = oneshot::channel();
    let enrollment = Enrollment {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 9)),
        request: EnrollRequest {
            protocol: PROTOCOL,
            version: "1".to_owned(),
            token: token.id,
            secret: token.secret,
            key: key.public(),
            name: AgentName::parse("again").unwrap(),
        },
        answer,
    };
    within("it is enrolled", scene.manager.enroll(enrollment)).await;
    told
}

/// What a host has that was enrolled with this key.
async fn credentials(
    told: oneshot::Receiver<EnrollAnswer>,
    token: &Token,
    key: &AgentKey,
) -> Credentials {
    let told = within("the host is told", told).await;
    let Ok(EnrollAnswer::Enrolled {
        id,
        certificate,
        ca,
        ..
    }) = told
    else {
        panic!("not enrolled: {told:?}");
    };
    Credentials::new(id, key, &certificate, &ca, token.pin).unwrap()
}

/// Asks for a certificate; whether one has come.
async fn renew(scene: &mut Scene, played: &mut Played) -> bool {
    let key = AgentKey::new().unwrap().public();
    scene.tell(played, ToManager::Renew { key }).await;
    scene.settle().await;
    let renewed = |message: &ToAgent| matches!(message, ToAgent::Renewed { .. });
    played.messages().iter().any(renewed)
}

#[tokio::test]
async fn a_host_that_is_enrolled_anew_shuts_out_whoever_had_its_certificate() {
    let mut scene = Scene::with_agents(1);
    scene.open_to_fleet();
    let token = token(&mut scene, "001").await;
    let mut copy = scene.connect(Coming::agent(1)).await;
    let other = Coming {
        instance: 2,
        ..Coming::agent(1)
    };
    let mut waiting = scene.arrive(other).await;
    let key = AgentKey::new().unwrap();
    let told = enroll(&mut scene, &token, &key).await;
    assert!(copy.is_closed());
    assert_eq!(denied(&mut waiting), Some(Denial::NotPermitted));
    // Also before the new one was used.
    let mut again = scene.arrive(Coming::agent(1)).await;
    assert_eq!(denied(&mut again), Some(Denial::NotPermitted));
    scene.settle().await;
    let credentials = credentials(told, &token, &key).await;
    let honest = Coming {
        instance: 3,
        certificate: credentials.fingerprint(),
        ..Coming::agent(1)
    };
    scene.connect(honest).await;
}

#[tokio::test]
async fn a_certificate_that_is_lost_on_its_way_is_made_anew_when_it_is_asked_for_again() {
    static SECONDS: AtomicU64 = AtomicU64::new(0);
    let clock = Clock::new(START, || {
        Duration::from_secs(SECONDS.load(Ordering::Relaxed))
    });
    let _entered = clock.enter();
    let mut scene = Scene::with_agents(1);
    scene.open_to_fleet();
    let mut lost = scene.connect(Coming::agent(1)).await;
    assert!(renew(&mut scene, &mut lost).await);
    scene.manager.gone(lost.session).await;
    // On its next session an agent asks within a minute: that is too soon, and
    // must not put it off further.
    let mut agent = scene.connect(Coming::agent(1)).await;
    SECONDS.fetch_add(30, Ordering::Relaxed);
    renew(&mut scene, &mut agent).await;
    SECONDS.fetch_add(AGAIN, Ordering::Relaxed);
    assert!(renew(&mut scene, &mut agent).await);
}

#[tokio::test]
async fn an_agent_that_asks_for_certificates_without_end_is_given_one_in_five_minutes() {
    static SECONDS: AtomicU64 = AtomicU64::new(0);
    let clock = Clock::new(START, || {
        Duration::from_secs(SECONDS.load(Ordering::Relaxed))
    });
    let _entered = clock.enter();
    let mut scene = Scene::with_agents(1);
    scene.open_to_fleet();
    let mut agent = scene.connect(Coming::agent(1)).await;
    let mut given = Vec::new();
    for minute in 0..11 {
        SECONDS.store(minute * 60, Ordering::Relaxed);
        if renew(&mut scene, &mut agent).await {
            given.push(minute);
        }
    }
    assert_eq!(given, [0, 5, 10]);
}

#[tokio::test]
async fn certificates_of_minutes_are_renewed_as_often_as_they_need() {
    static SECONDS: AtomicU64 = AtomicU64::new(0);
    let clock = Clock::new(START, || {
        Duration::from_secs(SECONDS.load(Ordering::Relaxed))
    });
    let _entered = clock.enter();
    let mut scene = Scene::with_agents(1);
    scene.open_to_fleet();
    let lifetime = Duration::from_secs(60);
    scene.manager.fleet.as_mut().unwrap().lifetime = lifetime;
    let mut agent = scene.connect(Coming::agent(1)).await;
    for _ in 0..3 {
        assert!(renew(&mut scene, &mut agent).await);
        SECONDS.fetch_add(lifetime.as_secs() * 2 / 3, Ordering::Relaxed);
    }
}
