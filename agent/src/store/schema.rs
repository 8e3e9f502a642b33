//! The file's tables, and how an older file becomes a newer one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use super::StoreError;

/// Tells our files from others': "LSHR".
const APPLICATION_ID: i32 = 0x4c53_4852;
/// How long to wait for another process to let go of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Each makes format n + 1 of format n; they are never changed once released.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE value (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE assignment (
        task_arn   TEXT PRIMARY KEY,
        generation INTEGER NOT NULL,
        desired    TEXT NOT NULL,
        force      INTEGER NOT NULL,
        task       TEXT,
        reason     TEXT,
        CHECK ((task IS NULL) <> (reason IS NULL))
    ) STRICT;
    CREATE TABLE record (
        task_arn TEXT PRIMARY KEY REFERENCES assignment ON DELETE CASCADE,
        record   TEXT NOT NULL
    ) STRICT;
",
    "
    CREATE TABLE ended (
        number   INTEGER PRIMARY KEY AUTOINCREMENT,
        task_arn TEXT NOT NULL UNIQUE,
        at       INTEGER NOT NULL,
        report   TEXT NOT NULL
    ) STRICT;
",
];

/// The newest format.
pub(super) fn newest() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// Opens the file for this process alone, checks it, and brings it to the newest format.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let wrap = |operation| move |error| classify(error, operation, path);
    let mut connection = Connection::open(path).map_err(wrap("opening"))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(wrap("opening"))?;
    // A file that can't be used stays as it was found, with its log.
    keep_log(&connection, true).map_err(wrap("opening"))?;
    // Exclusive before WAL: then there is no shared memory file, and no second process gets in.
    for pragma in [
        "PRAGMA locking_mode = EXCLUSIVE",
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "PRAGMA foreign_keys = ON",
        // The file is small: 512 KiB of pages is all it needs.
        "PRAGMA cache_size = -512",
        "BEGIN EXCLUSIVE",
        "COMMIT",
    ] {
        connection.execute_batch(pragma).map_err(wrap("opening"))?;
    }
    check(&connection, path)?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

/// Whether closing the file leaves its log alone instead of taking it in.
pub(super) fn keep_log(connection: &Connection, keep: bool) -> rusqlite::Result<()> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)
        .map(drop)
}

fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let wrap = |error: rusqlite::Error| match is_transient(&error) {
        true => classify(error, "checking", path),
        false => StoreError::Corrupt {
            path: path.to_owned(),
            why: error.to_string(),
        },
    };
    let answer: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(wrap)?;
    if answer == "ok" {
        return Ok(());
    }
    Err(StoreError::Corrupt {
        path: path.to_owned(),
        why: answer,
    })
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let wrap = |error| classify(error, "migrating", path);
    let number =
        |connection: &Connection, sql: &str| connection.query_row(sql, [], |row| row.get::<_, i32>(0));
    let application_id = number(connection, "PRAGMA application_id").map_err(wrap)?;
    let found = number(connection, "PRAGMA user_version").map_err(wrap)?;
    let tables = number(connection, "SELECT count(*) FROM sqlite_schema").map_err(wrap)?;
    let fresh = application_id == 0 && found == 0 && tables == 0;
    if application_id != APPLICATION_ID && !fresh {
        return Err(StoreError::Foreign {
            path: path.to_owned(),
            application_id,
        });
    }
    if found > newest() {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known: newest(),
        });
    }
    let older = |error: rusqlite::Error| match is_transient(&error) {
        true => wrap(error),
        false => StoreError::Older {
            path: path.to_owned(),
            found,
            known: newest(),
            why: error.to_string(),
        },
    };
    let done = usize::try_from(found).unwrap_or_default();
    for (version, sql) in (1_i32..).zip(MIGRATIONS).skip(done) {
        let transaction = connection.transaction().map_err(wrap)?;
        transaction.execute_batch(sql).map_err(older)?;
        transaction
            .pragma_update(None, "application_id", APPLICATION_ID)
            .map_err(wrap)?;
        transaction
            .pragma_update(None, "user_version", version)
            .map_err(wrap)?;
        transaction.commit().map_err(wrap)?;
    }
    Ok(())
}

/// The file's write-ahead log.
pub(super) fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Whether there was no room.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

/// Says what an error of SQLite means to the agent.
pub(super) fn classify(error: rusqlite::Error, operation: &'static str, path: &Path) -> StoreError {
    let path = path.to_owned();
    let why = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse { path },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt { path, why },
        // A number in the file's head that no SQLite has written; it has no code of its own.
        _ if why.contains("unsupported file format") => StoreError::Corrupt { path, why },
        _ => StoreError::Failed { operation, path, why },
    }
}

/// Whether an error may be gone a moment later: a full disk, a disk that fails for a while, no memory.
pub(super) fn is_transient(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::OutOfMemory
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::CannotOpen
                // A file system that met an error of its disk makes itself read-only.
                | ErrorCode::ReadOnly
        )
    )
}
