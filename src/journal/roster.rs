//! What a manager must not forget of its agents, in a database of its own:
//! whoever removes `manager.db` loses the actions, not the identities.
//!
//! Tables of version 1, each value as JSON in the form that
//! [`crate::roster`] gives it:
//! - `agents(number, row)`: one for each id that was ever given, for ever;
//! - `certificates(fingerprint, row)`: until they expire;
//! - `tokens(id, row)`: until they expire; the secret only as its SHA-256;
//! - `capabilities(digest, row)`: what hosts can do, one row for all that are
//!   alike, named by its SHA-256;
//! - `facts(name, value)`: `next`, the next id to be handed out.

use std::path::Path;

use rusqlite::{Transaction, params};
use serde::Serialize;

use super::reader::Reader;
use super::{JournalError, Schema};
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

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("names, numbers and lists always serialise")
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
