//! What a crash, a person or a full disk may leave in `etc/tls`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{AgentKey, Authority, Credentials, DAY, Home, clock, with_clock};
use crate::clock::Wall;
use crate::model::AgentId;
use crate::transport::pki::{PkiError, Unusable};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn why(result: Result<impl std::fmt::Debug, PkiError>) -> Unusable {
    match result {
        Err(PkiError::Unusable { why, .. } | PkiError::Sent(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Writes over a file, keeping its mode.
fn overwrite(path: &Path, bytes: &[u8]) {
    use std::io::Write;
    let mut file = fs::File::create(path).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn all_files_are_for_their_owner_alone_and_are_kept() {
    let home = Home::new();
    let tls = home.directory.path().join("tls");
    assert_eq!(mode(&tls), 0o700);
    for name in ["ca.key", "ca.pem", "manager.pem"] {
        assert_eq!(mode(&tls.join(name)), 0o600, "{name}");
    }
    let before = fs::read(tls.join("manager.pem")).unwrap();
    let again = Authority::open(&tls).unwrap();
    assert_eq!(again.pin(), home.authority.pin());
    assert_eq!(again.ca_pem(), home.authority.ca_pem());
    assert_eq!(fs::read(tls.join("manager.pem")).unwrap(), before);
    assert!(!again.ca_pem().contains("PRIVATE"));
}

#[test]
fn what_a_crash_leaves_of_the_first_start_is_completed() {
    for left in [
        vec!["ca.key"],
        vec!["ca.key", "ca.pem"],
        vec!["ca.key", "manager.pem"],
    ] {
        let home = Home::new();
        let tls = home.directory.path().join("tls");
        for name in ["ca.pem", "manager.pem"] {
            if !left.contains(&name) {
                fs::remove_file(tls.join(name)).unwrap();
            }
        }
        // Half of a file that was to replace another.
        overwrite(&tls.join(".ca.key.ripost-1"), b"-----BEGIN PRI");
        let again = Authority::open(&tls).unwrap();
        assert_eq!(again.pin(), home.authority.pin(), "{left:?}");
        let ca = fs::read_to_string(tls.join("ca.pem")).unwrap();
        assert_eq!(ca, home.authority.ca_pem());
        // What was issued before still counts.
        let credentials = home.credentials();
        assert_eq!(credentials.pin(), again.pin());
    }
}

#[test]
fn a_ca_that_is_missing_or_damaged_is_never_made_anew() {
    let home = Home::new();
    let tls = home.directory.path().join("tls");
    let path = tls.join("ca.key");
    let whole = fs::read(&path).unwrap();
    let certificate = home.authority.ca_pem().as_bytes().to_vec();
    let key = whole[..whole.len() - certificate.len()].to_vec();
    let foreign = Home::new().authority.ca_pem().as_bytes().to_vec();
    let cases = [
        (Vec::new(), Unusable::Garbled),
        (key.clone(), Unusable::Garbled),
        (certificate, Unusable::Garbled),
        (whole[..whole.len() / 2].to_vec(), Unusable::Garbled),
        ([whole.clone(), key.clone()].concat(), Unusable::Garbled),
        ([key, foreign].concat(), Unusable::Mismatch),
    ];
    for (bytes, expected) in cases {
        overwrite(&path, &bytes);
        assert_eq!(why(Authority::open(&tls)), expected);
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(why(Authority::open(&tls)), Unusable::Missing);
    assert!(!path.exists());
}

#[test]
fn a_damaged_managers_certificate_is_named_and_an_old_one_made_anew() {
    let home = Home::new();
    let tls = home.directory.path().join("tls");
    let path = tls.join("manager.pem");
    let whole = fs::read(&path).unwrap();
    overwrite(&path, &whole[..whole.len() - 200]);
    assert_eq!(why(Authority::open(&tls)), Unusable::Garbled);
    let other = Home::new();
    let foreign = fs::read(other.directory.path().join("tls/manager.pem")).unwrap();
    overwrite(&path, &foreign);
    assert_eq!(why(Authority::open(&tls)), Unusable::NotOfThisCa);
    // Expired, which at a start is nothing to speak of.
    home.authority
        .make_manager(clock::wall().minus(400 * DAY))
        .unwrap();
    let again = Authority::open(&tls).unwrap();
    assert!(clock::wall().until(again.manager_not_after()) > 360 * DAY);
}

#[test]
fn a_key_that_others_may_read_is_not_used() {
    let home = Home::new();
    let tls = home.directory.path().join("tls");
    home.credentials().store(&tls).unwrap();
    fs::set_permissions(tls.join("agent.pem"), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(why(Credentials::load(&tls)), Unusable::Open);
    fs::set_permissions(tls.join("ca.key"), fs::Permissions::from_mode(0o604)).unwrap();
    assert_eq!(why(Authority::open(&tls)), Unusable::Open);
}

#[test]
fn the_certificate_of_the_ca_may_be_read_by_anybody() {
    let home = Home::new();
    let file = home.directory.path().join("tls/ca.pem");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let _home = home.restarted();
    assert_eq!(mode(&file), 0o644);
}

#[test]
fn credentials_are_replaced_whole() {
    let home = Home::new();
    let tls = home.directory.path().join("tls");
    let (old, key) = (home.credentials(), AgentKey::new().unwrap());
    old.store(&tls).unwrap();
    let issued = home
        .authority
        .issue(old.agent_id(), &key.public(), 30 * DAY)
        .unwrap();
    let new = old
        .renewed(&key, &issued.pem, home.authority.ca_pem())
        .unwrap();
    // A crash while the new one is written leaves a file beside the old.
    overwrite(&tls.join(".agent.pem.ripost-1"), b"Agent: 007\n-----BEGIN");
    let loaded = Credentials::load(&tls).unwrap().unwrap();
    assert_eq!(loaded.fingerprint(), old.fingerprint());
    new.store(&tls).unwrap();
    let loaded = Credentials::load(&tls).unwrap().unwrap();
    assert_eq!(loaded.fingerprint(), issued.fingerprint);
    assert_eq!(loaded.agent_id(), old.agent_id());
    assert_eq!(mode(&tls.join("agent.pem")), 0o600);
}

#[test]
fn damaged_credentials_are_an_error_and_not_a_host_that_never_enrolled() {
    let home = Home::new();
    let tls = home.directory.path().join("tls");
    home.credentials().store(&tls).unwrap();
    let path = tls.join("agent.pem");
    let whole = fs::read(&path).unwrap();
    for length in [0, 5, 11, 100, whole.len() / 2, whole.len() - 40] {
        overwrite(&path, &whole[..length]);
        assert_eq!(why(Credentials::load(&tls)), Unusable::Garbled, "{length}");
    }
}

#[test]
fn a_certificate_must_be_for_the_key_and_of_the_known_ca() {
    let (home, other) = (Home::new(), Home::new());
    let old = home.credentials();
    let (key, another) = (AgentKey::new().unwrap(), AgentKey::new().unwrap());
    let id = old.agent_id();
    let issue = |home: &Home, key: &AgentKey| {
        home.authority
            .issue(id, &key.public(), 30 * DAY)
            .unwrap()
            .pem
    };
    let ca = home.authority.ca_pem();
    let mine = issue(&home, &key);
    assert!(old.renewed(&key, &mine, ca).is_ok());
    let cases = [
        (issue(&home, &another), ca, Unusable::Mismatch),
        (issue(&other, &key), ca, Unusable::NotOfThisCa),
        (
            issue(&other, &key),
            other.authority.ca_pem(),
            Unusable::OtherCa,
        ),
        (ca.to_owned(), ca, Unusable::Mismatch),
        (format!("{mine}{mine}"), ca, Unusable::Garbled),
        (
            "-----BEGIN CERTIFICATE-----\n".to_owned(),
            ca,
            Unusable::Garbled,
        ),
        (String::new(), ca, Unusable::Garbled),
    ];
    for (certificate, ca, expected) in cases {
        assert_eq!(why(old.renewed(&key, &certificate, ca)), expected);
    }
}

#[test]
fn the_lifetime_is_known_and_two_thirds_of_it_are_the_time_to_renew() {
    let home = Home::new();
    let now = clock::wall();
    let credentials = home.credentials_at(now, 28 * DAY);
    // Whole seconds, and backdated by two days.
    let second = std::time::Duration::from_secs(1);
    assert!(credentials.not_before() <= now.minus(2 * DAY));
    assert!(credentials.not_before() >= now.minus(2 * DAY).minus(second));
    assert!(credentials.not_after() <= now.plus(28 * DAY));
    assert!(credentials.not_after() >= now.plus(28 * DAY).minus(second));
    let due = credentials.renew_at();
    // Not of the two days before it was made.
    let two_thirds = now.plus(28 * DAY * 2 / 3);
    assert!(due >= two_thirds.minus(second) && due <= two_thirds);
    assert_eq!(credentials.agent_id(), &AgentId::parse("007").unwrap());
}

#[test]
fn a_managers_certificate_made_by_a_wrong_clock_is_made_anew() {
    let now = clock::wall();
    let right = |authority: &Authority| {
        let left = now.until(authority.manager_not_after());
        left > 364 * DAY && left < 366 * DAY
    };
    for (wrong, case) in [
        (now.plus(4_000 * DAY), "years ahead"),
        (now.plus(3 * DAY), "days ahead"),
        // Valid, but not for those whose clocks are two days behind.
        (now.plus(DAY), "a day ahead"),
        (now.minus(4_000 * DAY), "years behind"),
    ] {
        let home = Home::new();
        assert!(right(&home.authority));
        home.authority.make_manager(wrong).unwrap();
        assert!(home.authority.renew_manager().unwrap(), "{case}");
        assert!(right(&home.authority), "{case}");
        assert!(!home.authority.renew_manager().unwrap(), "{case}");
        home.authority.make_manager(wrong).unwrap();
        assert!(right(&home.restarted().authority), "at the start: {case}");
    }
}

#[test]
fn a_host_whose_clock_nobody_has_set_can_be_a_manager() {
    let home = with_clock(Wall::from_millis(0), || Home::new().restarted());
    assert!(home.authority.renew_manager().unwrap());
    assert!(clock::wall().until(home.authority.manager_not_after()) > 360 * DAY);
}
