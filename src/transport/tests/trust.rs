//! Certificates that are not what they should be, on either side.

use rustls::ServerConfig;
use rustls::sign::SingleCertAndKey;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{
    Arc, Credentials, DAY, Duration, Home, Manager, ServerAddress, Trouble, clock, dial, let_in,
    soon, trouble,
};
use crate::transport::{dial as dialling, tls};
use crate::wire::{FrameError, Hello};

#[tokio::test]
async fn a_manager_of_another_ca_is_not_trusted() {
    let mut manager = Manager::start();
    let credentials = Home::new().credentials();
    let refused = dial(manager.server(), &credentials).await.unwrap_err();
    assert_eq!(trouble(refused), Trouble::UnknownCa);
    manager.assert_empty();
}

#[tokio::test]
async fn an_agent_of_another_ca_is_not_let_in() {
    let mut manager = Manager::start();
    let foreign = Home::new().credentials();
    let mut config = tls::session_client(&manager.home.credentials()).unwrap();
    config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(foreign.certified()));
    let address = manager.address();
    let config = Arc::new(config);
    let mut connection = soon(dialling::connect(address, &config)).await.unwrap();
    // The refusal may be there before the hello is.
    let _ = connection.send(&Hello::Agent(super::hello())).await;
    let Err(FrameError::Io(error)) = soon(connection.reader.next()).await else {
        panic!("it was answered");
    };
    let alert = error.get_ref().unwrap().downcast_ref().unwrap();
    assert!(
        matches!(alert, rustls::Error::AlertReceived(_)),
        "{alert:?}"
    );
    manager
        .counted(|counts| counts.certificates_refused == 1)
        .await;
    manager.assert_empty();
}

#[tokio::test]
async fn an_agents_certificate_outside_its_time_is_refused_and_the_agent_is_told() {
    let mut manager = Manager::start();
    let now = clock::wall();
    // Backdated by two days each.
    let expired = manager.home.credentials_at(now.minus(10 * DAY), DAY);
    let early = manager.home.credentials_at(now.plus(10 * DAY), DAY);
    for credentials in [expired, early] {
        let refused = dial(manager.server(), &credentials).await.unwrap_err();
        let refused = trouble(refused);
        assert!(matches!(refused, Trouble::OwnExpired { .. }), "{refused:?}");
    }
    manager
        .counted(|counts| counts.certificates_refused == 2)
        .await;
    manager.assert_empty();
}

#[tokio::test]
async fn clocks_may_differ_by_hours() {
    let mut manager = Manager::start();
    let ahead = clock::wall().plus(Duration::from_secs(20 * 60 * 60));
    manager.home.authority.make_manager(ahead).unwrap();
    let credentials = manager.home.credentials_at(ahead, DAY);
    let_in(&mut manager, &credentials).await;
}

#[tokio::test]
async fn a_managers_certificate_outside_its_time_is_refused_with_this_hosts_time() {
    let manager = Manager::start();
    let credentials = manager.home.credentials();
    let now = clock::wall();
    manager
        .home
        .authority
        .make_manager(now.minus(400 * DAY))
        .unwrap();
    let refused = dial(manager.server(), &credentials).await.unwrap_err();
    let text = refused.to_string();
    let Trouble::Expired { now: said } = trouble(refused) else {
        panic!("{text}");
    };
    assert!(text.contains(&said.to_string()), "{text}");
    manager
        .home
        .authority
        .make_manager(now.plus(10 * DAY))
        .unwrap();
    let refused = dial(manager.server(), &credentials).await.unwrap_err();
    assert!(matches!(trouble(refused), Trouble::NotYetValid { .. }));
}

#[tokio::test]
async fn a_new_certificate_of_the_manager_counts_without_a_restart() {
    let manager = Manager::start();
    let authority = &manager.home.authority;
    assert!(!authority.renew_manager().unwrap());
    // Valid, but more than two thirds through.
    authority
        .make_manager(clock::wall().minus(300 * DAY))
        .unwrap();
    let config = Arc::new(tls::session_client(&manager.home.credentials()).unwrap());
    let shown = async || {
        let stream = tokio::net::TcpStream::connect(manager.address())
            .await
            .unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&config));
        let connecting = connector.connect(tls::manager_name(), stream);
        let stream = soon(connecting).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0]
            .clone()
            .into_owned()
    };
    let old = shown().await;
    assert_eq!(shown().await, old);
    assert!(authority.renew_manager().unwrap());
    assert_ne!(shown().await, old);
    assert!(clock::wall().until(authority.manager_not_after()) > 360 * DAY);
}

/// A server that shows an agent's certificate, with the CA behind it.
async fn impostor(credentials: &Credentials) -> (ServerAddress, tokio::task::JoinHandle<()>) {
    let shown = SingleCertAndKey::from(credentials.certified());
    let mut config = ServerConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![tls::ALPN_SESSION.to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let accepted = TlsAcceptor::from(Arc::new(config)).accept(stream).await;
        assert!(accepted.is_err(), "the agent went on");
    });
    (ServerAddress::parse(&address).unwrap(), task)
}

#[tokio::test]
async fn an_agent_that_poses_as_the_manager_is_refused_by_agents() {
    let home = Home::new();
    let (server, task) = impostor(&home.credentials()).await;
    let refused = dial(server, &home.credentials()).await.unwrap_err();
    assert_eq!(trouble(refused), Trouble::NotAManager);
    soon(task).await.unwrap();
}
