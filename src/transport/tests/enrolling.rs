//! How hosts become agents, and who is kept from it.

use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::{
    Arc, Credentials, DAY, DialError, Enrollment, Home, LIMITS, Manager, ServerAddress, Trouble,
    clock, let_in, soon, trouble, with_clock,
};
use crate::model::{AgentGroup, AgentId, AgentName, Pin};
use crate::transport::enroll::{Enrolled, enroll};
use crate::transport::pki::{PkiError, Unusable};
use crate::transport::tls;
use crate::wire::Denial;
use crate::wire::enroll::{EnrollAnswer, Secret, Token, TokenId};

fn token(pin: Pin) -> Token {
    Token {
        pin,
        id: TokenId::from_bytes([3; 8]),
        secret: Secret::from_bytes([4; 16]),
    }
}

async fn ask(server: &ServerAddress, pin: Pin) -> Result<Enrolled, DialError> {
    let name = AgentName::parse("web-7").unwrap();
    soon(enroll(server, &token(pin), &name)).await
}

fn deny(enrollment: Enrollment, denial: Denial) {
    let text = "so there".to_owned();
    let denied = EnrollAnswer::Denied { denial, text };
    enrollment.answer.send(denied).unwrap();
}

fn denial(answer: Result<Enrolled, DialError>) -> Denial {
    match answer {
        Err(DialError::Denied { denial, .. }) => denial,
        other => panic!("{other:?}"),
    }
}

impl Manager {
    /// The next host that enrolls.
    async fn enrollment(&mut self) -> Enrollment {
        soon(self.enrollments.recv()).await.unwrap()
    }

    /// Answers the next host that enrolls, with the certificates of `home`.
    async fn answer(&mut self, home: Option<&Home>) {
        let enrollment = self.enrollment().await;
        let home = home.unwrap_or(&self.home);
        let request = enrollment.request;
        assert_eq!(request.token, TokenId::from_bytes([3; 8]));
        assert_eq!(request.secret, Secret::from_bytes([4; 16]));
        let id = AgentId::parse("012").unwrap();
        let issued = home.authority.issue(&id, &request.key, 30 * DAY).unwrap();
        let answer = EnrollAnswer::Enrolled {
            id,
            name: request.name,
            groups: vec![AgentGroup::parse("web").unwrap()],
            certificate: issued.pem,
            ca: home.authority.ca_pem().to_owned(),
        };
        enrollment.answer.send(answer).unwrap();
    }
}

#[tokio::test]
async fn a_host_enrolls_and_is_let_in_with_what_it_has_stored() {
    let mut manager = Manager::start();
    let (server, pin) = (manager.server(), manager.home.authority.pin());
    let (enrolled, ()) = tokio::join!(ask(&server, pin), manager.answer(None));
    let enrolled = enrolled.unwrap();
    assert_eq!(enrolled.name.as_str(), "web-7");
    assert_eq!(enrolled.groups.len(), 1);
    let directory = tempfile::tempdir().unwrap();
    let tls = directory.path().join("tls");
    assert!(Credentials::load(&tls).unwrap().is_none());
    enrolled.credentials.store(&tls).unwrap();
    let loaded = Credentials::load(&tls).unwrap().unwrap();
    assert_eq!(loaded.agent_id(), &AgentId::parse("012").unwrap());
    assert_eq!(loaded.fingerprint(), enrolled.credentials.fingerprint());
    let_in(&mut manager, &loaded).await;
}

#[tokio::test]
async fn the_dates_of_the_ca_do_not_matter() {
    let now = clock::wall();
    for (made, case) in [
        (now.plus(4_000 * DAY), "years ahead"),
        (now.minus(4_000 * DAY), "expired"),
    ] {
        let home = with_clock(made, Home::new).restarted();
        let mut manager = Manager::of(home, LIMITS);
        let (server, pin) = (manager.server(), manager.home.authority.pin());
        let (enrolled, ()) = tokio::join!(ask(&server, pin), manager.answer(None));
        let enrolled = enrolled.map_err(|error| format!("{case}: {error}"));
        let_in(&mut manager, &enrolled.unwrap().credentials).await;
    }
}

#[tokio::test]
async fn a_denied_host_is_told_why() {
    let mut manager = Manager::start();
    let (server, pin) = (manager.server(), manager.home.authority.pin());
    let deny = async { deny(manager.enrollment().await, Denial::Token) };
    let (refused, ()) = tokio::join!(ask(&server, pin), deny);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("so there"), "{refused}");
    manager
        .counted(|counts| counts.enrollments_denied == 1)
        .await;
}

#[tokio::test]
async fn after_ten_wrong_tokens_the_manager_is_not_even_asked() {
    let mut manager = Manager::start();
    let (server, pin) = (manager.server(), manager.home.authority.pin());
    let deny = async {
        for _ in 0..10 {
            deny(manager.enrollment().await, Denial::Token);
        }
    };
    let try_all = async {
        for _ in 0..10 {
            assert_eq!(denial(ask(&server, pin).await), Denial::Token);
        }
        denial(ask(&server, pin).await)
    };
    let (last, ()) = tokio::join!(try_all, deny);
    assert_eq!(last, Denial::Busy);
    manager.assert_empty();
}

/// Thirty hosts that ask at once from one address.
fn thirty(manager: &Manager) -> JoinSet<Denial> {
    let (server, pin) = (manager.server(), manager.home.authority.pin());
    (0..30)
        .map(|_| {
            let server = server.clone();
            async move { denial(ask(&server, pin).await) }
        })
        .collect()
}

#[tokio::test]
async fn of_wrong_tokens_that_come_at_once_no_more_are_tried_than_one_after_another() {
    let mut manager = Manager::start();
    let hosts = thirty(&manager);
    let mut asked = Vec::new();
    for _ in 0..10 {
        asked.push(manager.enrollment().await);
    }
    for enrollment in asked {
        deny(enrollment, Denial::Token);
    }
    let told = hosts.join_all().await;
    let wrong = told.iter().filter(|denial| **denial == Denial::Token);
    assert_eq!(wrong.count(), 10, "{told:?}");
    assert!(told.contains(&Denial::Busy));
    manager.assert_empty();
}

#[tokio::test]
async fn hosts_that_are_refused_for_another_fault_have_sent_no_wrong_token() {
    let mut manager = Manager::start();
    let hosts = thirty(&manager);
    for _ in 0..30 {
        deny(manager.enrollment().await, Denial::NotPermitted);
    }
    let told = hosts.join_all().await;
    assert_eq!(told, [Denial::NotPermitted; 30]);
}

#[tokio::test]
async fn a_manager_without_the_pin_never_gets_the_secret() {
    let mut other = Manager::start();
    let pin = Home::new().authority.pin();
    let refused = ask(&other.server(), pin).await.unwrap_err();
    assert_eq!(trouble(refused), Trouble::UnknownCa);
    other.counted(|counts| counts.handshakes_refused == 1).await;
    other.assert_empty();
}

/// Listens with `shown` and returns what a host sends over TLS, if it goes on.
async fn listen(shown: CertifiedKey) -> (ServerAddress, tokio::task::JoinHandle<Vec<u8>>) {
    let shown: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(shown));
    let mut config = ServerConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(shown);
    config.alpn_protocols = vec![tls::ALPN_ENROLL.to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        if let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await {
            let _ = stream.read_to_end(&mut heard).await;
        }
        heard
    });
    (ServerAddress::parse(&address).unwrap(), task)
}

/// The CA's certificate is public: anybody can put it behind his own.
#[tokio::test]
async fn the_pinned_ca_behind_a_foreign_certificate_does_not_get_the_secret() {
    let (home, foreign) = (Home::new(), Home::new());
    let agent = home.credentials();
    let foreign = foreign.authority.identity().shown();
    let cases = [
        (&foreign, Trouble::UnknownCa),
        // Of the right CA, but an agent's.
        (&agent.certified(), Trouble::NotAManager),
    ];
    for (shown, expected) in cases {
        let chain = vec![shown.cert[0].clone(), home.authority.ca().clone()];
        let shown = CertifiedKey::new(chain, Arc::clone(&shown.key));
        let (server, task) = listen(shown).await;
        let refused = ask(&server, home.authority.pin()).await.unwrap_err();
        assert_eq!(trouble(refused), expected);
        assert_eq!(soon(task).await.unwrap(), b"");
    }
}

#[tokio::test]
async fn what_the_manager_sends_must_be_of_the_pinned_ca_and_for_the_key() {
    let mut manager = Manager::start();
    let (server, pin) = (manager.server(), manager.home.authority.pin());
    let other = Home::new();
    let (enrolled, ()) = tokio::join!(ask(&server, pin), manager.answer(Some(&other)));
    let refused = enrolled.unwrap_err();
    assert!(
        matches!(refused, DialError::Pki(PkiError::Sent(Unusable::OtherCa))),
        "{refused:?}"
    );
}
