//! A second connection, for reading, which never waits for the writer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Params, Row};
use serde::de::DeserializeOwned;

use super::JournalError;

#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    connection: Connection,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Open {
            path: path.to_owned(),
            source,
        };
        let connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(failed)?;
        connection
            .busy_timeout(Duration::from_secs(5))
            .map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            connection,
        })
    }

    /// The rows of a query, as `read` takes them.
    pub(super) fn rows<T>(
        &self,
        query: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, JournalError> {
        let rows = || {
            let mut query = self.connection.prepare_cached(query)?;
            query.query_map(params, read)?.collect::<Result<_, _>>()
        };
        rows().map_err(|error| self.failed(error))
    }

    /// The values of a query for an id and a JSON text.
    pub(super) fn values<T: DeserializeOwned>(
        &self,
        query: &str,
        params: impl Params,
    ) -> Result<Vec<T>, JournalError> {
        self.each(query, params)?.into_iter().collect()
    }

    /// The same, with a row that is not valid as an error of its own.
    pub(super) fn each<T: DeserializeOwned>(
        &self,
        query: &str,
        params: impl Params,
    ) -> Result<Vec<Result<T, JournalError>>, JournalError> {
        let failed = |source| self.failed(source);
        let mut query = self.connection.prepare_cached(query).map_err(failed)?;
        let rows = query
            .query_map(params, |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })
            .map_err(failed)?;
        rows.map(|row| {
            let (id, text) = row.map_err(failed)?;
            Ok(self.parse(&id, &text))
        })
        .collect()
    }

    /// The value of the row `id`, stored as JSON.
    pub(super) fn parse<T: DeserializeOwned>(
        &self,
        id: &str,
        text: &str,
    ) -> Result<T, JournalError> {
        serde_json::from_str(text).map_err(|source| JournalError::Row {
            path: self.path.clone(),
            row: id.to_owned(),
            source,
        })
    }

    /// The one value of a query, if there is a row.
    pub(super) fn one<T: rusqlite::types::FromSql>(
        &self,
        query: &str,
        params: impl Params,
    ) -> Result<Option<T>, JournalError> {
        self.connection
            .prepare_cached(query)
            .and_then(|mut query| query.query_row(params, |row| row.get(0)).optional())
            .map_err(|error| self.failed(error))
    }

    fn failed(&self, source: rusqlite::Error) -> JournalError {
        JournalError::Read {
            path: self.path.clone(),
            source,
        }
    }
}
