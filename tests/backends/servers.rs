//! Servers that the tests start on a free port and a temporary directory, and stop.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// What the servers ask of who connects.
pub const SECRET: &str = "hunter2-of-the-tests";

/// A server, stopped when it is dropped, and by the system when the thread that started it ends in any other way.
pub struct Server {
    child: Child,
    pub port: u16,
    log: PathBuf,
    _home: TempDir,
}

impl Server {
    /// Everything that the server has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that is killed with the thread that starts it, as another user where one is given.
fn bound(user: Option<&str>, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some(user) = user {
        command.args([format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned()]);
    }
    command.arg("--").arg(program).stdin(Stdio::null());
    command
}

fn found(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|path| path.join(program)).find(|path| path.is_file())
}

/// Says that a test is left out, or fails where it must not be.
fn missing<T>(what: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none(), "{what} is not on this machine, and CI leaves no test out");
    println!("SKIPPED: {what} is not on this machine");
    None
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn run(mut command: Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Starts a server and waits until it takes connections.
fn start(mut command: Command, port: u16, home: TempDir) -> Server {
    let log = home.path().join("test.log");
    let out = File::create(&log).unwrap();
    let child = command.stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
    let mut server = Server { child, port, log, _home: home };
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        let ended = server.child.try_wait().unwrap();
        assert!(ended.is_none() && begun.elapsed() < Duration::from_secs(60), "{command:?}: {}", server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}

/// A Redis server; `durable` says whether it syncs before it answers.
pub fn redis(durable: bool) -> Option<Server> {
    let Some(program) = found("redis-server") else { return missing("redis-server") };
    found("setpriv")?;
    let (port, home) = (free_port(), tempfile::tempdir().unwrap());
    let mut command = bound(None, &program);
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--requirepass", SECRET]);
    command.arg("--dir").arg(home.path());
    command.args(["--appendonly", "yes", "--appendfsync", if durable { "always" } else { "everysec" }]);
    Some(start(command, port, home))
}

/// A PostgreSQL server, which writes each statement to its log.
pub fn postgres() -> Option<Server> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut bins: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    bins.extend(std::env::split_paths(&std::env::var_os("PATH")?));
    let Some(bin) = bins.into_iter().find(|bin| bin.join("initdb").is_file()) else { return missing("PostgreSQL") };
    let (port, home) = (free_port(), tempfile::tempdir().unwrap());
    // It refuses to run as root.
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0");
    let user = is_root.then_some("postgres");
    let (data, password) = (home.path().join("data"), home.path().join("password"));
    std::fs::write(&password, SECRET).unwrap();
    if let Some(user) = user {
        let mut chown = Command::new("chown");
        chown.arg("-R").arg(user).arg(home.path());
        run(chown);
    }
    let mut init = bound(user, &bin.join("initdb"));
    init.args(["--no-sync", "--auth=scram-sha-256", "--username=treering", "--encoding=UTF8", "--locale=C"]);
    init.arg(format!("--pwfile={}", password.display())).arg(&data);
    run(init);
    let mut command = bound(user, &bin.join("postgres"));
    command.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
    command.args(["-c", "log_statement=all", "-c", "unix_socket_directories="]);
    let server = start(command, port, home);
    // It takes connections before it is ready for them.
    let begun = Instant::now();
    while !server.log().contains("ready to accept connections") {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(server)
}

/// An S3 server: see `s3_server.py`.
pub fn s3() -> Option<Server> {
    let python = std::env::var_os("TREERING_TEST_PYTHON").map(PathBuf::from).or_else(|| found("python3"));
    let has_moto = |python: &PathBuf| {
        let asked = Command::new(python).args(["-c", "import moto.server"]).output();
        asked.is_ok_and(|asked| asked.status.success())
    };
    let Some(python) = python.filter(has_moto) else { return missing("a Python with moto[server]") };
    let home = tempfile::tempdir().unwrap();
    let log = home.path().join("test.log");
    let mut command = bound(None, &python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/backends/s3_server.py"));
    let mut child = command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let Ok(port) = line.trim().parse() else {
        panic!("the S3 server does not start: {}", std::fs::read_to_string(log).unwrap())
    };
    Some(Server { child, port, log, _home: home })
}
