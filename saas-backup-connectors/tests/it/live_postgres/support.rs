//! Databases of a test's own on the server.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use saas_backup_connectors::postgres::{Postgres, PostgresConfig};
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::testkit::Contents;
use saas_backup_core::{Connector, RunStatus, SnapshotOptions, TransferOptions, Transferred, transfer};
use tokio_postgres::{Client, NoTls};

fn setting(name: &str) -> String {
    std::env::var(format!("SAAS_BACKUP_TEST_POSTGRES_{name}")).unwrap()
}

/// A database that is gone when the test ends, with its slot.
#[derive(Debug)]
pub(super) struct Scratch {
    pub(super) name: String,
}

impl Scratch {
    pub(super) async fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let admin = connect("postgres").await;
        admin.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0")).await.unwrap();
        Self { name }
    }

    pub(super) fn settings(&self) -> PostgresConfig {
        PostgresConfig::new(setting("HOST"), &self.name, setting("USERNAME"))
            .with_port(setting("PORT").parse().unwrap())
            .with_password(setting("PASSWORD"))
            .with_slot(&self.name)
    }

    pub(super) fn connector(&self) -> Postgres {
        Postgres::new(self.settings()).unwrap()
    }

    /// Without a slot: for a database that is only looked at.
    pub(super) fn plain(&self) -> Postgres {
        Postgres::new(self.settings().with_increments(false)).unwrap()
    }

    pub(super) async fn client(&self) -> Client {
        connect(&self.name).await
    }

    pub(super) async fn run(&self, sql: &str) {
        self.client().await.batch_execute(sql).await.unwrap();
    }

    /// What `pg_dump` says of everything but rows.
    pub(super) fn schema(&self) -> String {
        let output = Command::new(format!("{}/pg_dump", setting("PROGRAMS")))
            .args(["--schema-only", "--no-publications", "-h", &setting("HOST"), "-p", &setting("PORT")])
            .args(["-U", &setting("USERNAME"), &self.name])
            .env("PGPASSWORD", setting("PASSWORD"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter(|line| !line.starts_with("--") && !line.starts_with('\\')).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let name = &self.name;
        let statements = [
            format!(
                "SELECT pg_terminate_backend(active_pid), pg_sleep(0.1) FROM pg_replication_slots \
                 WHERE database = '{name}' AND active"
            ),
            format!("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '{name}'"),
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        ];
        for statement in statements {
            let status = Command::new(format!("{}/psql", setting("PROGRAMS")))
                .args(["-qAt", "-h", &setting("HOST"), "-p", &setting("PORT"), "-U", &setting("USERNAME"), "postgres"])
                .args(["-c", &statement])
                .env("PGPASSWORD", setting("PASSWORD"))
                .output();
            if let Err(error) = status {
                eprintln!("{name} stays: {error}");
            }
        }
    }
}

async fn connect(database: &str) -> Client {
    let mut config = tokio_postgres::Config::new();
    config.host(setting("HOST")).port(setting("PORT").parse().unwrap()).dbname(database);
    config.user(setting("USERNAME")).password(setting("PASSWORD"));
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

pub(super) fn copy() -> MemoryConnector {
    MemoryConnector::new(MemoryStore::new())
}

/// A run, which must be whole.
pub(super) async fn backup(source: &dyn Connector, copy: &MemoryConnector) -> Transferred {
    let done = transfer(source, copy, TransferOptions::backup()).await.unwrap();
    assert!(done.report.status == RunStatus::Complete, "{:?}", done.report);
    done
}

pub(super) async fn contents(of: &dyn Connector) -> Contents {
    let snapshot = of.snapshot(SnapshotOptions::default()).await.unwrap();
    Contents::of(&*snapshot).await.unwrap()
}
