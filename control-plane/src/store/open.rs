//! The database's file: made where there is none, judged where there is one.
//!
//! Invariants: a file that is there is never taken for a fresh start, whatever is in it; a new database appears under its
//! name whole or not at all, so an empty file is never what a crash of ours left.

use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::{Result, StoreError};

/// How long a statement waits for another process's lock, such as a backup's.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How every SQLite database begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
}

pub(super) async fn migrate(path: &Path, writer: &SqlitePool) -> Result<()> {
    let done = sqlx::migrate!("./migrations").run(writer).await;
    done.map_err(|source| StoreError::Migrate {
        path: path.to_owned(),
        source,
    })
}

/// Makes the database if there is no file; if there is one, checks that it is ours and whole.
pub(super) async fn check_or_make(path: &Path) -> Result<()> {
    let io = |error: std::io::Error| StoreError::Open {
        path: path.to_owned(),
        source: error.into(),
    };
    let unusable = |why: String| StoreError::Unusable {
        path: path.to_owned(),
        why,
    };
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // It would be replayed into whatever gets the name.
            if beside(path, "-wal").try_exists().map_err(io)? {
                return Err(unusable(
                    "the file is not there, but its write-ahead log is".to_owned(),
                ));
            }
            return make(path).await;
        }
        Err(error) => return Err(io(error)),
    };
    let mut head = Vec::new();
    file.by_ref().take(16).read_to_end(&mut head).map_err(io)?;
    if head.is_empty() {
        return Err(unusable("it is empty".to_owned()));
    }
    if head != MAGIC {
        return Err(unusable("it is no SQLite database".to_owned()));
    }
    drop(file);
    let damaged = |error: sqlx::Error| match &error {
        // SQLITE_CORRUPT and SQLITE_NOTADB.
        sqlx::Error::Database(cause) if matches!(cause.code().as_deref(), Some("11" | "26")) => {
            unusable(error.to_string())
        }
        _ => StoreError::Open {
            path: path.to_owned(),
            source: error,
        },
    };
    let mut connection = options(path).connect().await.map_err(damaged)?;
    let fault = fault(&mut connection).await.map_err(damaged)?;
    connection.close().await.map_err(damaged)?;
    fault.map_or(Ok(()), |why| Err(unusable(why)))
}

/// What is wrong with a database, if something is.
async fn fault(connection: &mut SqliteConnection) -> std::result::Result<Option<String>, sqlx::Error> {
    let verdict: String = sqlx::query("PRAGMA quick_check(1)")
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
    if verdict != "ok" {
        return Ok(Some(verdict));
    }
    // As old as the first version.
    let ours = sqlx::query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'incarnations'")
        .fetch_optional(connection)
        .await?;
    Ok(ours.is_none().then(|| "it is not a control plane's".to_owned()))
}

/// Makes an empty database with today's schema, and gives it its name once it is whole.
async fn make(path: &Path) -> Result<()> {
    let fresh = beside(path, ".new");
    let failed = |source: std::io::Error| StoreError::Open {
        path: path.to_owned(),
        source: source.into(),
    };
    for leftover in ["", "-wal", "-shm"].map(|end| beside(&fresh, end)) {
        match std::fs::remove_file(leftover) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
    }
    // The key that node credentials are made from lies in there; SQLite gives its side files the same mode.
    std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(failed)?;
    let writer = SqlitePoolOptions::new().max_connections(1);
    let writer = writer.connect_with(options(&fresh)).await;
    let writer = writer.map_err(|source| StoreError::Open {
        path: path.to_owned(),
        source,
    })?;
    migrate(path, &writer).await?;
    // Folds the write-ahead log into the file.
    writer.close().await;
    let sync = |path: &Path| std::fs::File::open(path)?.sync_all();
    sync(&fresh).map_err(failed)?;
    std::fs::rename(&fresh, path).map_err(failed)?;
    sync(path.parent().unwrap_or(Path::new("."))).map_err(failed)
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    async fn refused(path: &Path) -> String {
        let before = std::fs::read(path).ok();
        let error = Store::open(path).await.unwrap_err();
        assert_eq!(
            std::fs::read(path).ok(),
            before,
            "a file that is refused stays as it is"
        );
        error.to_string()
    }

    #[tokio::test]
    async fn what_is_no_whole_database_of_ours_is_never_taken_for_a_fresh_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control-plane.db");
        Store::open(&path).await.unwrap().close().await;
        let whole = std::fs::read(&path).unwrap();
        let half = &whole[..whole.len() / 2];
        let mut torn = whole.clone();
        torn[4096..8192].fill(0x5a);
        for content in [&[][..], b"{}", &whole[..8], half, &torn] {
            std::fs::write(&path, content).unwrap();
            let said = refused(&path).await;
            assert!(
                said.contains("control-plane.db") && said.contains("move it away"),
                "{said}"
            );
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::write(beside(&path, "-wal"), b"x").unwrap();
        assert!(refused(&path).await.contains("write-ahead log"));
        std::fs::remove_file(beside(&path, "-wal")).unwrap();
        Store::open(&path).await.unwrap();
    }

    #[tokio::test]
    async fn a_database_of_something_else_and_one_of_a_newer_version_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let mut other = options(&path).create_if_missing(true).connect().await.unwrap();
        sqlx::query("CREATE TABLE incarnated (a)")
            .execute(&mut other)
            .await
            .unwrap();
        other.close().await.unwrap();
        assert!(refused(&path).await.contains("not a control plane's"));

        let newer = folder.path().join("newer");
        let store = Store::open(&newer).await.unwrap();
        let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9000, 'later', 1, x'00', 0)";
        sqlx::query(later).execute(&store.writer).await.unwrap();
        store.close().await;
        let said = refused(&newer).await;
        assert!(
            said.contains("newer Longshore") && said.contains("run that version"),
            "{said}"
        );
    }

    #[tokio::test]
    async fn a_first_start_that_was_cut_off_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        for leftover in [".new", ".new-wal", ".new-shm"] {
            std::fs::write(beside(&path, leftover), b"half").unwrap();
        }
        Store::open(&path).await.unwrap().close().await;
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
