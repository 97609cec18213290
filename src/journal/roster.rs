//! What a manager must not forget of its agents, in a database of its own:
//! whoever removes `manager.db` loses the actions, not the identities.
//!
//! Tables of version 1, each value as JSON in the form that
//! [`crate::roster`] gives it:
//! - `agents(number, row)`: one for each id that was ever given, for ever;
//! - `certificates(fingerprint, row)`: until they have expired for a while; of an
//!   enrolled agent the newest and the one in use for good;
//! - `tokens(id, row)`: the same while; the secret only as its SHA-256;
//! - `capabilities(digest, row)`: what hosts can do, one row for all that are
//!   alike, named by its SHA-256;
//! - `facts(name, value)`: `next`, the next id to be handed out.

use std::path::Path;

use rusqlite::{Transaction, params};

use super::reader::Reader;
use super::{JournalError, Schema, json};
use crate::roster::Change;

/// The schema of `queue/agents.db`.
#[derive(Debug)]
pub struct RosterSchema;

impl Schema for RosterSchema {
    type Op = Change;

    const VERSION: i32 = 1;

    const CREATE: &'static str = "
        CREATE TABLE agents (number INTEGER PRIMARY KEY, row TEXT NOT NULL) STRICT;
        CREATE TABLE certificates (fingerprint TEXT PRIMARY KEY, row TEXT NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE tokens (id TEXT PRIMARY KEY, row TEXT NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE capabilities (digest TEXT PRIMARY KEY, row TEXT NOT NULL) STRICT;
        CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;";

    fn apply(transaction: &Transaction<'_>, op: &Change) -> rusqlite::Result<()> {
        match op {
            Change::Agent(row) => transaction
                .prepare_cached("INSERT OR REPLACE INTO agents VALUES (?1, ?2)")?
                .execute(params![row.id.number(), json(row)]),
            Change::Certificate(row) => transaction
                .prepare_cached("INSERT OR REPLACE INTO certificates VALUES (?1, ?2)")?
                .execute(params![row.fingerprint.to_string(), json(row)]),
            Change::CertificateGone(fingerprint) => transaction
                .prepare_cached("DELETE FROM certificates WHERE fingerprint = ?1")?
                .execute([fingerprint.to_string()]),
            Change::Token(row) => transaction
                .prepare_cached("INSERT OR REPLACE INTO tokens VALUES (?1, ?2)")?
                .execute(params![row.id.to_string(), json(row)]),
            Change::TokenGone(id) => transaction
                .prepare_cached("DELETE FROM tokens WHERE id = ?1")?
                .execute([id.to_string()]),
            Change::Capabilities(row) => transaction
                .prepare_cached("INSERT OR REPLACE INTO capabilities VALUES (?1, ?2)")?
                .execute(params![row.digest.to_string(), json(row)]),
            Change::CapabilitiesGone(digest) => transaction
                .prepare_cached("DELETE FROM capabilities WHERE digest = ?1")?
                .execute([digest.to_string()]),
            Change::Next(number) => transaction
                .prepare_cached("INSERT OR REPLACE INTO facts VALUES ('next', ?1)")?
                .execute([json(number)]),
        }
        .map(drop)
    }
}

/// Reads `queue/agents.db` beside its writer.
#[derive(Debug)]
pub struct RosterReader(Reader);

impl RosterReader {
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        Reader::open(path).map(Self)
    }

    /// Every row, in the order in which [`crate::roster::Roster::load`] takes
    /// them. A row that cannot be read is an error: an agent that is forgotten
    /// would be let in, or shut out, by mistake.
    pub fn rows(&self) -> Result<Vec<Change>, JournalError> {
        let capabilities = self.0.values("SELECT digest, row FROM capabilities", [])?;
        let capabilities = capabilities.into_iter().map(Change::Capabilities);
        let mut rows: Vec<_> = capabilities.collect();
        let agents = self
            .0
            .values("SELECT CAST(number AS TEXT), row FROM agents", [])?;
        rows.extend(agents.into_iter().map(Change::Agent));
        let certificates = self
            .0
            .values("SELECT fingerprint, row FROM certificates", [])?;
        rows.extend(certificates.into_iter().map(Change::Certificate));
        let tokens = self.0.values("SELECT id, row FROM tokens", [])?;
        rows.extend(tokens.into_iter().map(Change::Token));
        let next = self
            .0
            .values("SELECT name, value FROM facts WHERE name = 'next'", [])?;
        rows.extend(next.into_iter().map(Change::Next));
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use rusqlite::Connection;

    use super::{RosterReader, RosterSchema};
    use crate::clock::{self, Wall};
    use crate::journal::{Journal, JournalError};
    use crate::model::{
        Ability, AgentGroup, AgentId, AgentName, Capabilities, ExeName, Fingerprint, JournalId,
    };
    use crate::roster::{Change, Roster, Sighting};
    use crate::wire::PROTOCOL;
    use crate::wire::control::{KnownAgent, TokenWish};
    use crate::wire::enroll::{EnrollRequest, PublicKey, Secret, TokenId};

    const NOW: Wall = Wall::from_millis(1_800_000_000_000);

    fn random(number: u32) -> (TokenId, Secret) {
        let mut id = [0; 8];
        id[..4].copy_from_slice(&number.to_be_bytes());
        (TokenId::from_bytes(id), Secret::from_bytes([7; 16]))
    }

    fn wish(uses: u32) -> TokenWish {
        TokenWish {
            id: None,
            name: None,
            groups: vec![AgentGroup::parse("web").unwrap()],
            uses,
            ttl: 3600,
        }
    }

    fn sighting() -> Sighting {
        let mut able = Capabilities::default();
        let name = ExeName::parse("firewall-drop").unwrap();
        able.executables.insert(name, Ability::default());
        Sighting {
            address: Some("192.0.2.1:40000".to_owned()),
            version: Some("0.1.0".to_owned()),
            journal: Some(JournalId::from_bytes([3; 16])),
            capabilities: Some(able),
        }
    }

    /// Enrolls this many hosts and lets each in once.
    fn fleet(roster: &mut Roster, hosts: u32) -> Vec<Change> {
        let (_, mut changes) = roster.issue(&wish(hosts), random(0), NOW).unwrap();
        let (token, secret) = random(0);
        for number in 1..=hosts {
            let request = EnrollRequest {
                protocol: PROTOCOL,
                version: "0.1.0".to_owned(),
                token,
                secret,
                key: PublicKey::from_bytes([4; 65]),
                name: AgentName::parse(&format!("host-{number}")).unwrap(),
            };
            let (enrolled, rows) = roster.enroll(&request, NOW).unwrap();
            changes.extend(rows);
            let mut print = [0; 32];
            print[..4].copy_from_slice(&number.to_be_bytes());
            let print = Fingerprint::from_bytes(print);
            let not_after = NOW.plus(Duration::from_secs(3600));
            let made = roster.certified(&enrolled.id, 1, print, not_after);
            changes.extend(made.unwrap());
            let admitted = roster.admit(&print, &enrolled.id, "192.0.2.1", NOW);
            changes.extend(admitted.unwrap().1);
            changes.extend(roster.seen(&enrolled.id, sighting(), NOW));
        }
        changes
    }

    async fn store(path: &Path, changes: Vec<Change>) {
        let mut journal = Journal::<RosterSchema>::open(path).unwrap();
        let mut ticket = journal.write(changes).await;
        let synced = tokio::time::timeout(Duration::from_secs(60), ticket.synced()).await;
        assert_eq!(synced, Ok(true));
        journal.close();
    }

    fn load(path: &Path) -> Roster {
        let rows = RosterReader::open(path).unwrap().rows().unwrap();
        Roster::load("gate", rows).unwrap()
    }

    #[tokio::test]
    async fn a_roster_is_read_back_as_it_was_after_every_kind_of_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agents.db");
        let mut roster = Roster::new("gate");
        let changes = fleet(&mut roster, 3);
        store(&path, changes).await;
        assert_eq!(load(&path), roster);

        let id = |number| AgentId::from_number(number).unwrap();
        let mut changes = roster.revoke(&id(2)).unwrap();
        changes.extend(roster.next_generation(&id(1)).unwrap().1);
        for number in [1, 2, 3] {
            let mut other = sighting();
            other.capabilities = Some(Capabilities::default());
            changes.extend(roster.seen(&id(number), other, NOW));
        }
        let known = KnownAgent {
            id: id(1024),
            name: AgentName::parse("old").unwrap(),
            removed: false,
        };
        let mut number = 1;
        for _ in 0..2 {
            let mut supply = || {
                number += 1;
                random(number)
            };
            let imported = roster.import(std::slice::from_ref(&known), 60, &mut supply, NOW);
            changes.extend(imported.unwrap().changes);
        }
        store(&path, changes).await;
        assert_eq!(load(&path), roster);

        let later = NOW.plus(Duration::from_secs(90 * 24 * 3600));
        let changes = roster.prune(later);
        let is_gone: [fn(&Change) -> bool; 2] = [
            |change| matches!(change, Change::CertificateGone(_)),
            |change| matches!(change, Change::TokenGone(_)),
        ];
        let both = is_gone.iter().all(|gone| changes.iter().any(gone));
        assert!(both, "{changes:?}");
        store(&path, changes).await;
        let loaded = load(&path);
        assert_eq!(loaded, roster);
        assert_eq!(loaded.members().count(), 5);
    }

    #[tokio::test]
    async fn a_row_that_cannot_be_read_is_named() {
        let tables = [
            ("agents", "number", "row"),
            ("certificates", "fingerprint", "row"),
            ("tokens", "id", "row"),
            ("capabilities", "digest", "row"),
            ("facts", "name", "value"),
        ];
        for (table, key, value) in tables {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("agents.db");
            store(&path, fleet(&mut Roster::new("gate"), 2)).await;
            let connection = Connection::open(&path).unwrap();
            let query = format!("SELECT CAST(max({key}) AS TEXT) FROM {table}");
            let last: String = connection.query_row(&query, [], |row| row.get(0)).unwrap();
            let spoil = format!("UPDATE {table} SET {value} = '{{}}' WHERE {key} = ?1");
            assert_eq!(connection.execute(&spoil, [&last]).unwrap(), 1);
            let error = RosterReader::open(&path).unwrap().rows().unwrap_err();
            let JournalError::Row {
                path: named, row, ..
            } = error
            else {
                panic!("{table}: {error}");
            };
            assert_eq!((named, row), (path, last), "{table}");
        }
    }

    #[tokio::test]
    async fn ten_thousand_agents_are_loaded_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agents.db");
        let mut roster = Roster::new("gate");
        store(&path, fleet(&mut roster, 10_000)).await;
        let start = clock::boot();
        let loaded = load(&path);
        let took = start.until(clock::boot());
        assert_eq!(loaded.members().count(), 10_001);
        // A debug build takes 0.1 s; the limit is for a busy machine.
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
}
