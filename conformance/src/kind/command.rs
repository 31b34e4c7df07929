//! Command lines: pure values, and the one who runs them.

use std::{fmt, io, path::Path};

use super::{Engine, Options};

/// A program with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The program, found on the `PATH`.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What it reads.
    pub input: Option<String>,
    /// What is added to its environment.
    pub environment: Vec<(&'static str, String)>,
}

impl CommandLine {
    /// A program with arguments that reads nothing.
    pub fn new<I: IntoIterator<Item: Into<String>>>(program: &str, arguments: I) -> Self {
        Self {
            program: program.to_owned(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            input: None,
            environment: Vec::new(),
        }
    }

    fn reading(mut self, input: String) -> Self {
        self.input = Some(input);
        self
    }
}

/// As one would type it; what it reads is not shown.
impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.environment {
            write!(f, "{name}={} ", quoted(value))?;
        }
        f.write_str(&self.program)?;
        for argument in &self.arguments {
            write!(f, " {}", quoted(argument))?;
        }
        Ok(())
    }
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// What a program left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; none after a signal.
    pub code: Option<i32>,
    /// What it printed.
    pub output: String,
    /// What it complained of.
    pub complaints: String,
}

/// A program did not do what it should. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started.
    #[error("start `{command}`")]
    Start {
        /// The command line.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// It ended with an error.
    #[error("run `{command}`: {}", told(.ended))]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        ended: Ended,
    },
    /// Its output is not what was expected.
    #[error("understand what `{command}` printed: {reason}")]
    Output {
        /// The command line.
        command: String,
        /// What is wrong.
        reason: String,
    },
}

fn told(ended: &Ended) -> String {
    let code = ended.code.map_or("it was killed".to_owned(), |code| {
        format!("exit code {code}")
    });
    match ended.complaints.trim() {
        "" => code,
        complaints => format!("{code}\n{complaints}"),
    }
}

/// Runs command lines.
pub trait Runner {
    /// Runs one to its end.
    ///
    /// # Errors
    /// If the program cannot be started; how it ended is in the answer.
    fn run(&mut self, command: &CommandLine) -> io::Result<Ended>;

    /// Runs one that must succeed, and gives what it printed.
    ///
    /// # Errors
    /// If it cannot be started or fails.
    fn check(&mut self, command: &CommandLine) -> Result<String, CommandError> {
        let ended = self.run(command).map_err(|source| CommandError::Start {
            command: command.to_string(),
            source,
        })?;
        if ended.code == Some(0) {
            return Ok(ended.output);
        }
        Err(CommandError::Failed {
            command: command.to_string(),
            ended,
        })
    }
}

/// `kind …`, told which engine to use.
fn kind<const N: usize>(options: &Options, arguments: [&str; N]) -> CommandLine {
    let mut command = CommandLine::new("kind", arguments);
    if options.engine != Engine::Docker {
        let engine = options.engine.program().to_owned();
        command
            .environment
            .push(("KIND_EXPERIMENTAL_PROVIDER", engine));
    }
    command
}

/// `kubectl …` against our cluster.
pub fn kubectl<const N: usize>(options: &Options, arguments: [&str; N]) -> CommandLine {
    let kubeconfig = format!("--kubeconfig={}", options.kubeconfig.display());
    let arguments = [kubeconfig.as_str()].into_iter().chain(arguments);
    CommandLine::new("kubectl", arguments)
}

/// A program inside a node.
pub fn in_node<const N: usize>(options: &Options, node: &str, arguments: [&str; N]) -> CommandLine {
    let head = ["exec", "-i", node];
    CommandLine::new(options.engine.program(), head.into_iter().chain(arguments))
}

/// Makes the cluster from a configuration that it reads. Nodes are not ready yet: they have no
/// network.
pub fn create(options: &Options, config: String) -> CommandLine {
    let kubeconfig = options.kubeconfig.display().to_string();
    kind(
        options,
        [
            "create",
            "cluster",
            "--name",
            &options.name,
            "--image",
            &options.node_image,
            "--kubeconfig",
            &kubeconfig,
            "--config",
            "-",
        ],
    )
    .reading(config)
}

/// Deletes the cluster.
pub fn delete(options: &Options) -> CommandLine {
    let kubeconfig = options.kubeconfig.display().to_string();
    kind(
        options,
        [
            "delete",
            "cluster",
            "--name",
            &options.name,
            "--kubeconfig",
            &kubeconfig,
        ],
    )
}

/// The names of all clusters.
pub fn clusters(options: &Options) -> CommandLine {
    kind(options, ["get", "clusters"])
}

/// Puts an image archive into every node.
pub fn load(options: &Options, archive: &Path) -> CommandLine {
    let archive = archive.display().to_string();
    kind(
        options,
        ["load", "image-archive", &archive, "--name", &options.name],
    )
}

/// Collects what the nodes wrote.
pub fn export_logs(options: &Options, folder: &Path) -> CommandLine {
    let folder = folder.display().to_string();
    kind(
        options,
        ["export", "logs", &folder, "--name", &options.name],
    )
}

/// All nodes with their addresses and ranges.
pub fn nodes(options: &Options) -> CommandLine {
    kubectl(options, ["get", "nodes", "-o", "json"])
}

/// Creates or updates what it reads.
pub fn apply(options: &Options, manifest: String) -> CommandLine {
    kubectl(options, ["apply", "-f", "-"]).reading(manifest)
}

/// Creates or updates what a file says.
pub fn apply_file(options: &Options, file: &Path) -> CommandLine {
    kubectl(options, ["apply", "-f", &file.display().to_string()])
}

/// Waits until all nodes are ready.
pub fn nodes_ready(options: &Options) -> CommandLine {
    let wait = ["wait", "--for=condition=Ready", "nodes", "--all"];
    let [verb, condition, what, all] = wait;
    kubectl(options, [verb, condition, what, all, "--timeout=180s"])
}

/// Waits until the agent is ready on all nodes.
pub fn agent_ready(options: &Options) -> CommandLine {
    kubectl(
        options,
        [
            "--namespace=kube-system",
            "rollout",
            "status",
            "daemonset/portcullis",
            "--timeout=120s",
        ],
    )
}

/// Waits until all pods of the system are ready, the name service among them.
pub fn system_ready(options: &Options) -> CommandLine {
    kubectl(
        options,
        [
            "--namespace=kube-system",
            "wait",
            "--for=condition=Ready",
            "pods",
            "--all",
            "--timeout=180s",
        ],
    )
}

/// Puts a file into a node.
pub fn write_in_node(options: &Options, node: &str, path: &str, content: String) -> CommandLine {
    in_node(options, node, ["cp", "/dev/stdin", path]).reading(content)
}
