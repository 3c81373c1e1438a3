//! Opens the database file: its permissions, whether it is ours, and its schema. Rows are read elsewhere.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::super::RegistryError;
use super::problem;

/// The schema, a file a version. Cargo does not notice a new file here by itself: touch this one after adding one.
static SCHEMA: Migrator = sqlx::migrate!("./migrations/sqlite");

/// `application_id` of our databases, "WHAR" (set by the first schema file).
const APPLICATION: i64 = 0x5748_4152;

/// Opens the file, or makes it, with the schema of this version.
pub(super) async fn open(place: &Path) -> Result<SqliteConnection, RegistryError> {
    prepare_file(place)?;
    let failed = |error: sqlx::Error| problem::of("opening the database", place, &error);
    let mut connection = SqliteConnectOptions::new()
        .filename(place)
        .create_if_missing(false)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(problem::BUSY_SECONDS))
        .connect()
        .await
        .map_err(failed)?;
    check_ours(&mut connection, place).await?;
    write_ahead(&mut connection).await.map_err(failed)?;
    migrate(&mut connection, place).await?;
    Ok(connection)
}

/// Opens the file only to read it, beside whoever writes it: neither its schema nor how it is written changes. What is not
/// there, or not made yet, is as good as an empty database.
pub(super) async fn look(place: &Path) -> Result<SqliteConnection, RegistryError> {
    if place.exists() {
        let failed = |error: sqlx::Error| problem::of("opening the database", place, &error);
        let mut connection = SqliteConnectOptions::new()
            .filename(place)
            .read_only(true)
            .busy_timeout(Duration::from_secs(problem::BUSY_SECONDS))
            .connect()
            .await
            .map_err(failed)?;
        if check_ours(&mut connection, place).await? == Contents::Ours {
            check_schema(&mut connection, place).await?;
            return Ok(connection);
        }
    }
    let mut connection = SqliteConnection::connect("sqlite::memory:")
        .await
        .map_err(|error| problem::of("standing in for the database", place, &error))?;
    migrate(&mut connection, place).await?;
    Ok(connection)
}

/// Switches to a write-ahead log. Only a file that is known to be ours: it changes the file. SQLite does not wait for another
/// process that switches at the same time, so the waiting is done here.
async fn write_ahead(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let mut patience = problem::BUSY_SECONDS * 50;
    loop {
        match sqlx::query("PRAGMA journal_mode = WAL").execute(&mut *connection).await {
            Err(error) if problem::is_busy(&error) && patience > 0 => patience -= 1,
            result => return result.map(drop),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Makes the file readable by its owner only; SQLite gives its log files the same permissions.
fn prepare_file(place: &Path) -> Result<(), RegistryError> {
    let failed = |error: std::io::Error| problem::of_file("opening the database", place, &error);
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(place).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if about.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
    }
    Ok(())
}

/// What stands in a file that may be ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contents {
    /// Nothing yet.
    Blank,
    /// A database of ours.
    Ours,
}

/// Refuses a file of another program before anything is written to it.
async fn check_ours(connection: &mut SqliteConnection, place: &Path) -> Result<Contents, RegistryError> {
    let failed = |error: sqlx::Error| problem::of("opening the database", place, &error);
    // Both answers from one moment: another process may be making the schema just now.
    let mut moment = connection.begin().await.map_err(failed)?;
    // A start that was killed early may leave the empty table of the schema versions.
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE tbl_name <> '_sqlx_migrations'")
        .fetch_one(&mut *moment)
        .await
        .map_err(failed)?;
    let application: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *moment).await.map_err(failed)?;
    moment.commit().await.map_err(failed)?;
    match (application, tables) {
        (APPLICATION, _) => Ok(Contents::Ours),
        (0, 0) => Ok(Contents::Blank),
        _ => Err(RegistryError::Version {
            place: place.display().to_string(),
            found: format!("a SQLite database of another program ({tables} tables and indexes)"),
            expected: problem::EXPECTED_OURS.to_owned(),
        }),
    }
}

/// Refuses every schema but this version's own, and changes none.
async fn check_schema(connection: &mut SqliteConnection, place: &Path) -> Result<(), RegistryError> {
    let done: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version")
            .fetch_all(connection)
            .await
            .map_err(|error| problem::of("reading the schema's version", place, &error))?;
    let own = |version: i64| SCHEMA.iter().find(|step| step.version == version);
    for (version, checksum) in &done {
        match own(*version) {
            None => return refused(place, format!("schema {version}")),
            Some(step) if *step.checksum != **checksum => return refused(place, changed(*version)),
            Some(_) => {}
        }
    }
    let pending = SCHEMA.iter().find(|step| done.iter().all(|(version, _)| *version != step.version));
    match pending {
        None => Ok(()),
        Some(step) => Err(RegistryError::Version {
            place: place.display().to_string(),
            found: format!("a schema without step {}, made by an older version of wharf", step.version),
            expected: format!(
                "schema {}; run `wharf apply` or restart `wharf run` with this version, which bring it up to date",
                newest()
            ),
        }),
    }
}

/// The newest schema that this version knows.
fn newest() -> i64 {
    SCHEMA.iter().map(|step| step.version).max().unwrap_or_default()
}

fn changed(version: i64) -> String {
    format!("a schema {version} that was changed")
}

/// The error about a schema of another version.
fn refused(place: &Path, found: String) -> Result<(), RegistryError> {
    Err(RegistryError::Version {
        place: place.display().to_string(),
        found,
        expected: format!("schemas up to {}; run the version of wharf that made it, or a newer one", newest()),
    })
}

/// Brings the schema up to date, and refuses one that a newer version made. `run_direct` is what `run` calls; only its
/// future can be sent between threads.
async fn migrate(connection: &mut SqliteConnection, place: &Path) -> Result<(), RegistryError> {
    let mut result = SCHEMA.run_direct(None, &mut *connection, false).await;
    if matches!(result, Err(MigrateError::ExecuteMigration(..))) {
        // Another process may have made the same step at the same time; then it is found done now.
        result = SCHEMA.run_direct(None, &mut *connection, false).await;
    }
    match result {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(version)) => refused(place, format!("schema {version}")),
        Err(MigrateError::VersionMismatch(version)) => refused(place, changed(version)),
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
            Err(problem::of("updating the schema", place, &error))
        }
        Err(error) => Err(RegistryError::Storage {
            doing: "updating the schema",
            place: place.display().to_string(),
            problem: error.to_string(),
        }),
    }
}
