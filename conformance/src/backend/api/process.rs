//! One agent as a process of its own: started, asked, signalled.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use enforcer::options::Options;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{backend::sim::DataplaneKind, process};

/// How long an agent may take to serve, and to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to answer a question, beside what the question itself asks for.
const ANSWER: Duration = Duration::from_secs(30);
/// As much of its log as people are shown.
const LINES: usize = 12;
/// Variables by which agents are told what we tell by arguments.
const OWN_VARIABLES: [&str; 12] = [
    "KUBECONFIG",
    "NODE_NAME",
    "PORTCULLIS_ALLOW_OTHER_ENFORCERS",
    "PORTCULLIS_BIND",
    "PORTCULLIS_DATAPLANE",
    "PORTCULLIS_DENY",
    "PORTCULLIS_ESTABLISHED",
    "PORTCULLIS_LOG_FORMAT",
    "PORTCULLIS_LOG_LEVEL",
    "PORTCULLIS_NETNS",
    "PORTCULLIS_UNPROGRAMMED",
    "RUST_LOG",
];

/// How to start an agent.
pub(super) struct Start<'a> {
    pub(super) program: &'a Path,
    /// This program, if it can run others so that they end with it.
    pub(super) leash: Option<&'a Path>,
    pub(super) node: &'a str,
    pub(super) netns: PathBuf,
    pub(super) kubeconfig: &'a Path,
    pub(super) log: PathBuf,
    pub(super) options: Options,
    pub(super) dataplane: DataplaneKind,
}

/// A process that is killed when this is dropped.
pub(super) struct Process {
    child: Child,
    log: PathBuf,
    /// How much of the log earlier processes have written.
    said_before: u64,
    /// Where it serves, once it is known.
    address: Option<SocketAddr>,
}

/// Why an agent does not do what it is asked. Reads after "have the agent of n1".
#[derive(Debug, thiserror::Error)]
pub(super) enum ProcessError {
    #[error("start: {0}")]
    Start(#[source] io::Error),
    #[error("go on: it ended by itself ({0})")]
    Ended(std::process::ExitStatus),
    #[error("{what} within {patience} s", patience = PATIENCE.as_secs())]
    Late { what: String },
    #[error("answer: {0}")]
    Silent(#[source] io::Error),
}

fn late(what: &str) -> ProcessError {
    ProcessError::Late {
        what: what.to_owned(),
    }
}

impl Start<'_> {
    /// Starts it; it is not waited for.
    pub(super) fn start(self) -> Result<Process, ProcessError> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(ProcessError::Start)?;
        let said_before = file.metadata().map_or(0, |metadata| metadata.len());
        let started = self.leash.unwrap_or(self.program);
        let mut command = process::background(started, &file).map_err(ProcessError::Start)?;
        if self.leash.is_some() {
            command.arg("leash").arg(self.program);
        }
        for variable in OWN_VARIABLES {
            command.env_remove(variable);
        }
        let dataplane = match self.dataplane {
            DataplaneKind::Netlink => "netlink",
            DataplaneKind::Nft => "nft",
        };
        let Options {
            established,
            unprogrammed,
            deny,
        } = self.options;
        command
            .arg("run")
            .args(["--node-name", self.node])
            .arg("--netns")
            .arg(&self.netns)
            .arg("--kubeconfig")
            .arg(self.kubeconfig)
            .args(["--bind", "127.0.0.1:0"])
            .args(["--log-format", "json"])
            .args(["--dataplane", dataplane])
            .args(["--established", &established.to_string()])
            .args(["--unprogrammed", &unprogrammed.to_string()])
            .args(["--deny", &deny.to_string()]);
        let child = command.spawn().map_err(ProcessError::Start)?;
        Ok(Process {
            child,
            log: self.log,
            said_before,
            address: None,
        })
    }
}

impl Process {
    /// Where it serves, which it says in its log.
    fn address(&mut self) -> Result<SocketAddr, ProcessError> {
        if let Some(address) = self.address {
            return Ok(address);
        }
        let begun = Instant::now();
        let skipped = usize::try_from(self.said_before).unwrap_or_default();
        loop {
            let log = fs::read(&self.log).map_err(ProcessError::Start)?;
            let new = String::from_utf8_lossy(log.get(skipped..).unwrap_or_default()).into_owned();
            let mut lines = new.lines().filter_map(|line| {
                let line: Value = serde_json::from_str(line).ok()?;
                line["bind"].as_str()?.parse().ok()
            });
            if let Some(address) = lines.next() {
                self.address = Some(address);
                return Ok(address);
            }
            self.must_live()?;
            if begun.elapsed() > PATIENCE {
                return Err(late("serve"));
            }
            process::short_pause();
        }
    }

    /// An error if it has ended.
    pub(super) fn must_live(&mut self) -> Result<(), ProcessError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(ProcessError::Ended(status)),
            Err(error) => Err(ProcessError::Silent(error)),
        }
    }

    /// Waits until the kernel has everything up to some versions, and until what others have done to
    /// its table is repaired.
    pub(super) fn catch_up(&mut self, versions: &str) -> Result<(), ProcessError> {
        let begun = Instant::now();
        let address = self.address()?;
        loop {
            let path = format!("/debug/caught-up?{versions}within=5000");
            let answer = match get(address, &path) {
                Ok((200, _)) => return Ok(()),
                Ok((_, text)) => text.trim().to_owned(),
                Err(error) => {
                    self.must_live()?;
                    return Err(ProcessError::Silent(error));
                }
            };
            self.must_live()?;
            if begun.elapsed() > PATIENCE {
                return Err(late(&format!("catch up ({answer})")));
            }
            process::short_pause();
        }
    }

    /// Everything it says of itself.
    pub(super) fn state(&mut self) -> Result<Value, ProcessError> {
        let invalid = |error: serde_json::Error| ProcessError::Silent(error.into());
        let address = self.address()?;
        match get(address, "/debug/state") {
            Ok((_, text)) => serde_json::from_str(&text).map_err(invalid),
            Err(error) => {
                self.must_live()?;
                Err(ProcessError::Silent(error))
            }
        }
    }

    /// Asks it to end in good order, and waits until it has.
    pub(super) fn stop(mut self) -> Result<(), ProcessError> {
        self.signal(Signal::SIGTERM);
        let begun = Instant::now();
        while self.must_live().is_ok() {
            if begun.elapsed() > PATIENCE {
                return Err(late("end after SIGTERM"));
            }
            process::short_pause();
        }
        Ok(())
    }

    /// Ends it without a word; it is not waited for.
    pub(super) fn kill(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
    }

    fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

/// The status and the body of what an agent serves.
fn get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "not an answer of HTTP");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(invalid)?;
    let code = head
        .split_whitespace()
        .nth(1)
        .and_then(|code| code.parse().ok());
    Ok((code.ok_or_else(invalid)?, body.to_owned()))
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The end of a log, a message a line.
pub(super) fn end_of(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let end = &lines[lines.len().saturating_sub(LINES)..];
    end.join("\n")
}
