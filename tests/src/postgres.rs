//! Debian's PostgreSQL as a real process, in a folder of its own.
//!
//! The tests of `exporters` use this file too, so it needs nothing but the standard library.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where Debian puts the programs of each version.
const INSTALLED: &str = "/usr/lib/postgresql";
/// How long a start may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two looks.
const POLL: Duration = Duration::from_millis(50);
/// The superuser's password.
pub const PASSWORD: &str = "s3cret/of-the-tests";

/// A PostgreSQL; dropping it stops it and removes its folder.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    programs: PathBuf,
    port: u16,
    settings: Vec<String>,
    child: Option<Child>,
}

/// PostgreSQL does not run as root: then it runs as who its package made.
fn as_nobody(program: &Path) -> Command {
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    command.arg(program);
    command
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
    let addr = listener.local_addr();
    addr.expect("a bound socket has an address").port()
}

impl Postgres {
    /// Makes a database and starts it, with settings such as `synchronous_commit=off`.
    ///
    /// # Panics
    /// If Debian's package postgresql is not installed, or does not start.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        let mut postgres = Self::new(settings);
        postgres.launch();
        postgres
    }

    /// Makes a database that is not started.
    ///
    /// # Panics
    /// If Debian's package postgresql is not installed.
    #[must_use]
    pub fn new(settings: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let programs = fs::read_dir(INSTALLED)
            .ok()
            .and_then(|mut versions| versions.next())
            .and_then(Result::ok)
            .map(|version| version.path().join("bin"));
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("coo-llm-postgres-{}-{n}", std::process::id());
        let postgres = Self {
            folder: std::env::temp_dir().join(name),
            programs: programs.expect("Debian's package postgresql is installed"),
            port: free_port(),
            settings: settings.iter().map(ToString::to_string).collect(),
            child: None,
        };
        let made = as_nobody(Path::new("mkdir"))
            .args(["-m", "700"])
            .arg(&postgres.folder)
            .status();
        assert!(made.expect("mkdir runs").success());
        postgres.write("password", PASSWORD);
        let made = as_nobody(&postgres.programs.join("initdb"))
            .args([
                "-U",
                "postgres",
                "-A",
                "scram-sha-256",
                "--no-sync",
                "-E",
                "UTF8",
            ])
            .args(["--locale=C", "--no-instructions"])
            .arg(format!(
                "--pwfile={}",
                postgres.folder.join("password").display()
            ))
            .arg("-D")
            .arg(postgres.data())
            .current_dir("/")
            .stdout(Stdio::null())
            .output()
            .expect("initdb runs");
        let errors = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{errors}");
        postgres
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Writes a file into its folder, that is its own and nobody else's.
    ///
    /// # Panics
    /// If that fails.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        let mut child = as_nobody(Path::new("sh"))
            .args(["-c", "umask 077; exec cat > \"$0\""])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh runs");
        let mut into = child.stdin.take().expect("it is piped");
        into.write_all(text.as_bytes()).expect("it is read");
        drop(into);
        assert!(child.wait().expect("our own child").success());
        path
    }

    /// Starts it, on the port it always has, and waits until it answers.
    ///
    /// # Panics
    /// If it does not.
    pub fn launch(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        self.spawn();
        while self.try_sql("SELECT 1").is_err() {
            let child = self.child.as_mut().expect("it was spawned");
            // What a killed one left behind ends in a moment: until then there is no other.
            if child.try_wait().expect("our own child").is_some() {
                self.spawn();
            }
            assert!(Instant::now() < deadline, "PostgreSQL does not start");
            std::thread::sleep(POLL);
        }
    }

    fn spawn(&mut self) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.with_extension("log"))
            .expect("a log");
        let folder = self.folder.display();
        let mut command = as_nobody(&self.programs.join("postgres"));
        command.arg("-D").arg(self.data());
        command.args(["-p", &self.port.to_string()]);
        let ours = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={folder}"),
            // Processes are killed here, not machines.
            "fsync=off".to_owned(),
        ];
        for setting in ours.iter().chain(&self.settings) {
            command.args(["-c", setting]);
        }
        let child = command
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("postgres runs"));
    }

    /// Its port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it is, for a user, with something behind the name of the database.
    #[must_use]
    pub fn url(&self, user: &str, more: &str) -> String {
        let password = PASSWORD.replace('/', "%2F");
        let port = self.port;
        format!("postgres://{user}:{password}@127.0.0.1:{port}/postgres{more}")
    }

    /// Kills it with -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // What has ended already cannot be killed.
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Ends it without a checkpoint, as `pg_ctl stop -m immediate` does.
    ///
    /// # Panics
    /// If it does not run.
    pub fn stop_immediately(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let told = Command::new("kill")
            .args(["-QUIT", &child.id().to_string()])
            .status();
        assert!(told.expect("kill runs").success());
        child.wait().expect("our own child");
    }

    /// What `psql` says to a statement, by rows and columns.
    ///
    /// # Panics
    /// If it fails.
    #[must_use]
    pub fn sql(&self, sql: &str) -> Vec<Vec<String>> {
        let text = self
            .try_sql(sql)
            .unwrap_or_else(|why| unreachable!("{sql}: {why}"));
        let rows = text.lines();
        rows.map(|row| row.split('\t').map(ToOwned::to_owned).collect())
            .collect()
    }

    /// The same, where it may fail.
    ///
    /// # Errors
    /// What `psql` says of it.
    pub fn try_sql(&self, sql: &str) -> Result<String, String> {
        let output = Command::new(self.programs.join("psql"))
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-F",
                "\t",
                "-v",
                "ON_ERROR_STOP=1",
                "-c",
                sql,
            ])
            .args([
                "-h",
                "127.0.0.1",
                "-U",
                "postgres",
                "-p",
                &self.port.to_string(),
            ])
            .arg("postgres")
            .env("PGPASSWORD", PASSWORD)
            .env("PGCONNECT_TIMEOUT", "5")
            .output()
            .map_err(|error| error.to_string())?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
        // Its other processes end when they see that it is gone; they may still write.
        let deadline = Instant::now() + PATIENCE;
        while fs::remove_dir_all(&self.folder).is_err() && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        // Best effort, as the log is nothing but text.
        drop(fs::remove_file(self.folder.with_extension("log")));
    }
}
