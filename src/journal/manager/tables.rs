//! The tables of `queue/manager.db`, and what leads to them from those of
//! earlier versions.

/// Version 3.
pub(super) const CREATE: &str = "
    CREATE TABLE sources (source TEXT PRIMARY KEY, checkpoint TEXT NOT NULL) STRICT;
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    INSERT INTO meta VALUES ('journal', lower(hex(randomblob(16))));
    CREATE TABLE actions (number INTEGER PRIMARY KEY, id BLOB NOT NULL, agent INTEGER NOT NULL,
                          time_ms INTEGER NOT NULL, live INTEGER NOT NULL, standing INTEGER NOT NULL,
                          revert INTEGER NOT NULL, alert INTEGER, record TEXT NOT NULL) STRICT;
    CREATE UNIQUE INDEX actions_id ON actions (id);
    CREATE INDEX actions_live ON actions (agent) WHERE live = 1;
    CREATE INDEX actions_over ON actions (time_ms) WHERE live = 0;
    CREATE INDEX actions_revert ON actions (agent) WHERE revert = 1;
    CREATE TABLE dispatches (alert INTEGER NOT NULL, action INTEGER NOT NULL, agent INTEGER NOT NULL,
                             place INTEGER NOT NULL, queued INTEGER NOT NULL, until_ms INTEGER NOT NULL,
                             dispatch TEXT NOT NULL, PRIMARY KEY (alert, action)) STRICT, WITHOUT ROWID;
    CREATE INDEX dispatches_place ON dispatches (agent, place);
    CREATE INDEX dispatches_queued ON dispatches (until_ms) WHERE queued = 1;
    CREATE TABLE alerts (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
    CREATE TABLE heard (agent INTEGER PRIMARY KEY, journal TEXT NOT NULL, seq INTEGER NOT NULL) STRICT;";

pub(super) const MIGRATE: &[&str] = &[TO_2, TO_3];

const TO_2: &str = "
        CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
        INSERT INTO meta VALUES ('journal', lower(hex(randomblob(16))));
        DROP INDEX actions_time;
        DROP INDEX actions_live;
        ALTER TABLE actions RENAME TO old_actions;
        ALTER TABLE alerts RENAME TO old_alerts;
        CREATE TABLE actions (id TEXT PRIMARY KEY, agent INTEGER NOT NULL, place INTEGER NOT NULL,
                              time_ms INTEGER NOT NULL, live INTEGER NOT NULL, queued INTEGER NOT NULL,
                              until_ms INTEGER NOT NULL, revert INTEGER NOT NULL, alert INTEGER,
                              dispatch TEXT, record TEXT NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE alerts (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
        CREATE TABLE heard (agent INTEGER PRIMARY KEY, journal TEXT NOT NULL, seq INTEGER NOT NULL) STRICT;
        INSERT INTO alerts SELECT rowid, body FROM old_alerts;
        INSERT INTO actions
            SELECT id, 0, (1 << 60) | ROW_NUMBER() OVER (ORDER BY time_ms), time_ms, live,
                   dispatch IS NOT NULL AND json_extract(record, '$.state') = 'queued',
                   COALESCE(json_extract(dispatch, '$.end.wall'), 0), 0,
                   (SELECT rowid FROM old_alerts WHERE old_alerts.id = old_actions.id),
                   dispatch, record
            FROM old_actions;
        DROP TABLE old_actions;
        DROP TABLE old_alerts;
        CREATE INDEX actions_time ON actions (time_ms);
        CREATE INDEX actions_live ON actions (agent) WHERE live = 1;
        CREATE INDEX actions_waiting ON actions (agent, place) WHERE dispatch IS NOT NULL;
        CREATE INDEX actions_alert ON actions (alert) WHERE dispatch IS NOT NULL;
        CREATE INDEX actions_queued ON actions (until_ms) WHERE queued = 1;
        CREATE INDEX actions_revert ON actions (agent) WHERE revert = 1;";

/// An id that is none (nobody has ever made one) stays as the bytes of its text.
const TO_3: &str = "
    DROP INDEX actions_time;
    DROP INDEX actions_live;
    DROP INDEX actions_waiting;
    DROP INDEX actions_alert;
    DROP INDEX actions_queued;
    DROP INDEX actions_revert;
    ALTER TABLE actions RENAME TO old_actions;
    CREATE TABLE actions (number INTEGER PRIMARY KEY, id BLOB NOT NULL, agent INTEGER NOT NULL,
                          time_ms INTEGER NOT NULL, live INTEGER NOT NULL, standing INTEGER NOT NULL,
                          revert INTEGER NOT NULL, alert INTEGER, record TEXT NOT NULL) STRICT;
    CREATE TABLE dispatches (alert INTEGER NOT NULL, action INTEGER NOT NULL, agent INTEGER NOT NULL,
                             place INTEGER NOT NULL, queued INTEGER NOT NULL, until_ms INTEGER NOT NULL,
                             dispatch TEXT NOT NULL, PRIMARY KEY (alert, action)) STRICT, WITHOUT ROWID;
    INSERT INTO actions (id, agent, time_ms, live, standing, revert, alert, record)
        SELECT COALESCE(unhex(id), CAST(id AS BLOB)), agent, time_ms, live,
               CASE json_extract(record, '$.state')
                   WHEN 'queued' THEN 1 WHEN 'sent' THEN 2 WHEN 'running' THEN 2 WHEN 'applied' THEN 3
                   WHEN 'reverting' THEN iif(json_type(record, '$.detail') IS NULL, 3, 4)
                   ELSE 0 END,
               revert, iif(dispatch IS NULL, NULL, COALESCE(alert, 0)), record
        FROM old_actions ORDER BY time_ms;
    CREATE UNIQUE INDEX actions_id ON actions (id);
    INSERT INTO dispatches
        SELECT actions.alert, actions.number, old.agent, old.place, old.queued, old.until_ms, old.dispatch
        FROM old_actions AS old JOIN actions ON actions.id = COALESCE(unhex(old.id), CAST(old.id AS BLOB))
        WHERE old.dispatch IS NOT NULL;
    DROP TABLE old_actions;
    CREATE INDEX actions_live ON actions (agent) WHERE live = 1;
    CREATE INDEX actions_over ON actions (time_ms) WHERE live = 0;
    CREATE INDEX actions_revert ON actions (agent) WHERE revert = 1;
    CREATE INDEX dispatches_place ON dispatches (agent, place);
    CREATE INDEX dispatches_queued ON dispatches (until_ms) WHERE queued = 1;";
