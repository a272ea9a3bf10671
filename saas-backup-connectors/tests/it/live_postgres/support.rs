//! Databases of a test's own on the server.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
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

/// A server of a test's own, which it may kill.
#[derive(Debug)]
pub(super) struct Instance {
    folder: tempfile::TempDir,
    port: u16,
    process: Child,
}

impl Instance {
    pub(super) async fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("saas-backup-postgres").tempdir_in("/tmp").unwrap();
        if is_root() {
            let status = Command::new("chown").arg("postgres").arg(folder.path()).status().unwrap();
            assert!(status.success());
        }
        let data = folder.path().join("db");
        let made = as_server("initdb").args(["-U", "postgres", "-A", "trust", "-D"]).arg(&data).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let process = Self::launch(&data, port);
        let instance = Self { folder, port, process };
        drop(instance.client().await);
        instance
    }

    fn launch(data: &std::path::Path, port: u16) -> Child {
        as_server("postgres")
            .arg("-D")
            .arg(data)
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k", "", "-c", "wal_level=logical"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Kills the server without a warning.
    pub(super) fn kill(&mut self) {
        let pid = std::fs::read_to_string(self.folder.path().join("db/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap();
        let killed = Command::new("kill").args(["-9", pid]).status().unwrap();
        assert!(killed.success());
        self.process.wait().unwrap();
    }

    /// Starts it again after a kill; its recovery takes a moment.
    pub(super) async fn start(&mut self) {
        self.process = Self::launch(&self.folder.path().join("db"), self.port);
        drop(self.client().await);
    }

    /// A session, once the server takes one.
    pub(super) async fn client(&self) -> Client {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user("postgres").dbname("postgres");
        for _ in 0..600 {
            if let Ok((client, connection)) = config.connect(NoTls).await {
                tokio::spawn(connection);
                return client;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the server does not start");
    }

    pub(super) fn settings(&self) -> PostgresConfig {
        PostgresConfig::new("127.0.0.1", "postgres", "postgres").with_port(self.port)
    }

    /// Makes a certificate for its address and encrypts from now on; gives the certificate's file.
    pub(super) async fn encrypt(&mut self) -> PathBuf {
        let data = self.folder.path().join("db");
        let made = as_server_path("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-keyout"])
            .arg(data.join("server.key"))
            .arg("-out")
            .arg(data.join("server.crt"))
            .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let client = self.client().await;
        client.batch_execute("ALTER SYSTEM SET ssl = on").await.unwrap();
        client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        let copy = self.folder.path().join("trusted.pem");
        std::fs::copy(data.join("server.crt"), &copy).unwrap();
        copy
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.kill();
        }
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

/// A program of the server's, which refuses to run as root.
fn as_server(program: &str) -> Command {
    as_server_path(&format!("{}/{program}", setting("PROGRAMS")))
}

fn as_server_path(path: &str) -> Command {
    if !is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--", path]);
    command
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
