//! A network namespace of the test's own, and agents that run as processes and program it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Condvar, Mutex, mpsc},
    thread,
    time::Duration,
};

use enforcer::nft::NftBinary;
use libtest_mimic::Failed;
use nix::{
    sched::{CloneFlags, unshare},
    sys::signal::{Signal, kill},
    unistd::{Pid, getegid, geteuid, gettid},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    apiserver::{ADMIN, ApiServer},
    recorder::{NODE, until},
};

/// As an ordinary user: becomes root of a user namespace, which has to happen while there is one
/// thread. Why not, if it does not work.
pub(crate) fn enter() -> Result<(), String> {
    let (user, group) = (geteuid(), getegid());
    if user.is_root() {
        return Ok(());
    }
    leave(CloneFlags::CLONE_NEWUSER)
        .map_err(|error| format!("neither root nor user namespaces: failed to unshare: {error}"))?;
    for (file, content) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {user} 1")),
        ("gid_map", format!("0 {group} 1")),
    ] {
        fs::write(format!("/proc/self/{file}"), content)
            .map_err(|error| format!("failed to write {file} of a user namespace: {error}"))?;
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the simulator, which owns this, is not among the enforcer's dependencies"
)]
pub(crate) fn leave(namespaces: CloneFlags) -> nix::Result<()> {
    unshare(namespaces)
}

type Job = Box<dyn FnOnce() + Send>;

/// A node's kernel: a network namespace that a thread holds.
pub(crate) struct Machine {
    jobs: mpsc::Sender<Job>,
    netns: PathBuf,
    folder: TempDir,
}

impl Machine {
    pub(crate) fn new() -> Result<Self, Failed> {
        let (jobs, todo) = mpsc::channel::<Job>();
        let (ready, is_ready) = mpsc::channel();
        thread::spawn(move || {
            let made = leave(CloneFlags::CLONE_NEWNET).map(|()| {
                PathBuf::from(format!(
                    "/proc/{}/task/{}/ns/net",
                    std::process::id(),
                    gettid()
                ))
            });
            let _ = ready.send(made);
            while let Ok(job) = todo.recv() {
                job();
            }
        });
        Ok(Self {
            jobs,
            netns: is_ready.recv()??,
            folder: tempfile::tempdir()?,
        })
    }

    /// Runs something inside.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failed> {
        let (answer, answered) = mpsc::channel();
        self.jobs.send(Box::new(move || {
            let _ = answer.send(body());
        }))?;
        Ok(answered.recv()?)
    }

    /// Runs nft inside.
    pub(crate) fn nft(&self, arguments: &[&str]) -> Result<String, Failed> {
        let nft = NftBinary::find()?.path().to_owned();
        let arguments: Vec<_> = arguments.iter().map(|&text| text.to_owned()).collect();
        let output = self.run(move || command(&nft).args(arguments).output())??;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Writes a file, and says where it is.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<String, Failed> {
        let path = self.folder.path().join(name);
        fs::write(&path, content)?;
        Ok(path.display().to_string())
    }

    /// Every table there is, counters left out.
    pub(crate) fn ruleset(&self) -> Result<String, Failed> {
        self.nft(&["-s", "list", "ruleset"])
    }

    /// Waits until the ruleset contains a text or does not.
    pub(crate) fn until_rules(&self, has: bool, text: &str) -> Result<(), Failed> {
        let what = format!(
            "the ruleset {} `{text}`",
            if has { "has" } else { "has no" }
        );
        until(&what, || {
            self.ruleset()
                .is_ok_and(|ruleset| ruleset.contains(text) == has)
        })
    }

    /// A command of the agent that ends by itself, for this machine.
    pub(crate) fn agent_command(&self, arguments: &[&str]) -> Result<Output, Failed> {
        Ok(self.agent(arguments).output()?)
    }

    fn agent(&self, arguments: &[&str]) -> Command {
        let mut agent = command(agent_binary());
        agent.args(arguments);
        if ["run", "check", "cleanup"].contains(&arguments[0]) {
            agent.arg("--netns").arg(&self.netns);
        }
        agent
            .env_remove("KUBECONFIG")
            // As the manifest has it.
            .env("MALLOC_ARENA_MAX", "1")
            .env("HOME", self.folder.path());
        agent
    }

    /// Starts an agent for [`NODE`].
    pub(crate) fn start(&self, server: &ApiServer, arguments: &[&str]) -> Result<Running, Failed> {
        self.start_as(server, ADMIN, arguments)
    }

    /// Starts an agent that shows this token.
    pub(crate) fn start_as(
        &self,
        server: &ApiServer,
        token: &str,
        arguments: &[&str],
    ) -> Result<Running, Failed> {
        let kubeconfig = self.folder.path().join("kubeconfig");
        server.write_kubeconfig(&kubeconfig, token);
        let child = self
            .agent(&[
                "run",
                "--node-name",
                NODE,
                "--bind",
                "127.0.0.1:0",
                "--log-format",
                "json",
            ])
            .args(arguments)
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .stderr(Stdio::piped())
            .spawn()?;
        Running::of(child)
    }

    /// Starts an agent for [`NODE`] that is part of the machine.
    pub(crate) fn start_inside(&self, arguments: &[&str]) -> Result<Running, Failed> {
        let own = [
            "run",
            "--node-name",
            NODE,
            "--bind",
            "127.0.0.1:0",
            "--log-format",
            "json",
        ];
        let arguments: Vec<_> = own
            .iter()
            .chain(arguments)
            .map(|&text| text.to_owned())
            .collect();
        let child = self.run(move || {
            command(agent_binary())
                .args(arguments)
                .stderr(Stdio::piped())
                .spawn()
        })??;
        Running::of(child)
    }

    /// A folder of its own.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Where the agent is. Tests that run elsewhere than they were built are told.
pub(crate) fn agent_binary() -> PathBuf {
    std::env::var_os("PORTCULLIS_AGENT_BINARY")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_portcullis-agent").into())
        .into()
}

pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    #[expect(clippy::disallowed_methods, reason = "these tests are about processes")]
    Command::new(program)
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    changed: Condvar,
}

/// The status and the body of what is served somewhere.
pub(crate) fn fetch(address: SocketAddr, path: &str) -> Result<(u16, String), Failed> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("an answer")?;
    let status = head.split_whitespace().nth(1).ok_or("a status")?.parse()?;
    Ok((status, body.to_owned()))
}

/// An agent that runs. It is killed when dropped.
pub(crate) struct Running {
    child: Child,
    log: Arc<Log>,
}

const PATIENCE: Duration = Duration::from_secs(30);

impl Running {
    /// Reads what it logs.
    pub(crate) fn of(mut child: Child) -> Result<Self, Failed> {
        let log = Arc::new(Log::default());
        let stderr = child.stderr.take().ok_or("stderr is piped")?;
        let writer = Arc::clone(&log);
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                writer
                    .lines
                    .lock()
                    .expect("nobody panics in here")
                    .push(line);
                writer.changed.notify_all();
            }
        });
        Ok(Self { child, log })
    }

    /// Waits for a log line that contains a text.
    pub(crate) fn until_logged(&self, text: &str) -> Result<String, Failed> {
        let lines = self.log.lines.lock().expect("nobody panics in here");
        let is_missing = |lines: &mut Vec<String>| !lines.iter().any(|line| line.contains(text));
        let (lines, _) = self
            .log
            .changed
            .wait_timeout_while(lines, PATIENCE, is_missing)
            .expect("nobody panics in here");
        let found = lines.iter().find(|line| line.contains(text)).cloned();
        found.ok_or_else(|| format!("never logged `{text}`:\n{}", lines.join("\n")).into())
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log
            .lines
            .lock()
            .expect("nobody panics in here")
            .clone()
    }

    /// Where it serves.
    pub(crate) fn address(&self) -> Result<SocketAddr, Failed> {
        let line: Value = serde_json::from_str(&self.until_logged("\"bind\"")?)?;
        Ok(line["bind"].as_str().ok_or("an address")?.parse()?)
    }

    /// The status and the body of what it serves.
    pub(crate) fn get(&self, path: &str) -> Result<(u16, String), Failed> {
        fetch(self.address()?, path)
    }

    pub(crate) fn until_ready(&self) -> Result<(), Failed> {
        let ready = until("ready", || matches!(self.get("/readyz"), Ok((200, _))));
        ready.map_err(|error| {
            let verbose = self.get("/readyz?verbose");
            format!("{error:?}: {verbose:?}\n{}", self.log().join("\n")).into()
        })
    }

    /// Asks it to end, and waits.
    pub(crate) fn stop(mut self, signal: Signal) -> Result<ExitStatus, Failed> {
        kill(self.pid()?, signal)?;
        Ok(self.child.wait()?)
    }

    /// Waits until it ends by itself.
    pub(crate) fn ended(mut self) -> Result<(ExitStatus, String), Failed> {
        let status = self.child.wait()?;
        // The log is complete once its writer has seen the end of it.
        until("the end of the log", || Arc::strong_count(&self.log) == 1)?;
        Ok((status, self.log().join("\n")))
    }

    pub(crate) fn pid(&self) -> Result<Pid, Failed> {
        Ok(Pid::from_raw(i32::try_from(self.child.id())?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
