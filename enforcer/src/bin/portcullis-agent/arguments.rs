//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use enforcer::{
    cluster::PodRef,
    kubernetes::Source,
    options::{Deny, Established, Options, Unprogrammed},
};

/// Where health and metrics are served unless told otherwise.
pub(crate) const BIND: &str = "127.0.0.1:9471";

/// Enforces Kubernetes network policies on one node, in the kernel.
///
/// The rules live in one nftables table, `inet portcullis`. They stay in force when the agent
/// stops, crashes or is upgraded; only `portcullis-agent cleanup` removes them.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Follows the cluster and keeps this node's rules, until SIGTERM or SIGINT. The rules stay.
    Run(Run),
    /// Says how the agent that runs on this node is doing. Exit code 1 if it is not ready.
    Status(Status),
    /// Prints what the agent enforces at present, or everything about one pod.
    Dump(Dump),
    /// Prints the rules of a node that manifests lead to. Needs neither a cluster nor a kernel.
    Render(Render),
    /// Removes exactly what the agent made, and says what that was. Removing nothing is no error.
    Cleanup(Cleanup),
    /// Says what this kernel and node offer, and how to get what is missing. Exit code 1 if the
    /// agent could not protect this node.
    Check(Check),
    /// Says what the agent that runs on this node logs, or changes it until it is started again.
    LogLevel(LogLevel),
    /// Prints the version.
    Version,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The name of this node's object in the cluster.
    #[arg(long, env = "NODE_NAME", value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) node_name: String,
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) choices: Choices,
    /// How rules get into the kernel.
    #[arg(long, env = "PORTCULLIS_DATAPLANE", value_enum, default_value_t)]
    pub(crate) dataplane: Dataplane,
    /// Where health and metrics are served. Kubelets probe 127.0.0.1; bind another address for a
    /// Prometheus elsewhere.
    #[arg(long, env = "PORTCULLIS_BIND", value_name = "ADDRESS:PORT", default_value = BIND)]
    pub(crate) bind: SocketAddr,
    /// What is logged: a level (error, warn, info, debug, trace), or filters such as
    /// `info,enforcer::agent=debug`.
    #[arg(
        long,
        env = "PORTCULLIS_LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "info"
    )]
    pub(crate) log_level: String,
    /// How it is logged.
    #[arg(long, env = "PORTCULLIS_LOG_FORMAT", value_enum, default_value_t)]
    pub(crate) log_format: LogFormat,
    /// Publish no Kubernetes events about policies that cannot be honoured in full.
    #[arg(long, env = "PORTCULLIS_NO_EVENTS")]
    pub(crate) no_events: bool,
    /// Run beside another enforcer of network policies. What either denies is denied.
    #[arg(long, env = "PORTCULLIS_ALLOW_OTHER_ENFORCERS")]
    pub(crate) allow_other_enforcers: bool,
}

/// Where the API server is.
#[derive(Debug, Args)]
pub(crate) struct Server {
    /// A kubeconfig file. Without it: the service account of the pod that the agent runs in, else
    /// `$KUBECONFIG` or `~/.kube/config`.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig; its current one if left out.
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
}

impl Server {
    pub(crate) fn source(&self) -> Source {
        Source {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
        }
    }
}

/// Whose kernel tables.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The network namespace to program, such as `/run/netns/n1` or `/proc/4711/ns/net`; the
    /// agent's own if left out. Needs CAP_SYS_ADMIN.
    #[arg(long, env = "PORTCULLIS_NETNS", value_name = "PATH")]
    pub(crate) netns: Option<PathBuf>,
}

/// What the specification leaves to the enforcer.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Choices {
    /// What becomes of accepted connections when a policy changes: `keep` leaves them alone,
    /// `revoke` cuts those that the new policies no longer allow.
    #[arg(
        long,
        env = "PORTCULLIS_ESTABLISHED",
        value_name = "keep|revoke",
        default_value_t
    )]
    pub(crate) established: Established,
    /// What becomes of an address in this node's pod range whose pod is not known yet: `hold` lets
    /// nothing pass until it is, `open` does.
    #[arg(
        long,
        env = "PORTCULLIS_UNPROGRAMMED",
        value_name = "hold|open",
        default_value_t
    )]
    pub(crate) unprogrammed: Unprogrammed,
    /// How a connection is denied: `drop` silently, or `reject` with a TCP reset or ICMP
    /// "administratively prohibited".
    #[arg(
        long,
        env = "PORTCULLIS_DENY",
        value_name = "drop|reject",
        default_value_t
    )]
    pub(crate) deny: Deny,
}

impl From<Choices> for Options {
    fn from(choices: Choices) -> Self {
        Self {
            established: choices.established,
            unprogrammed: choices.unprogrammed,
            deny: choices.deny,
        }
    }
}

/// How rules get into the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dataplane {
    /// Straight, over netlink.
    #[default]
    Netlink,
    /// By the `nft` command, which must be there.
    Nft,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Where the agent serves.
    #[arg(long, env = "PORTCULLIS_BIND", value_name = "ADDRESS:PORT", default_value = BIND)]
    pub(crate) bind: SocketAddr,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Dump {
    /// Only this pod of the node: what isolates it, who may reach it and whom it may reach.
    #[arg(long, value_name = "NAMESPACE/POD")]
    pub(crate) explain: Option<PodRef>,
    /// Where the agent serves.
    #[arg(long, env = "PORTCULLIS_BIND", value_name = "ADDRESS:PORT", default_value = BIND)]
    pub(crate) bind: SocketAddr,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct LogLevel {
    /// A level (error, warn, info, debug, trace), or filters such as `info,enforcer::agent=debug`.
    #[arg(value_name = "LEVEL")]
    pub(crate) level: Option<String>,
    /// Where the agent serves.
    #[arg(long, env = "PORTCULLIS_BIND", value_name = "ADDRESS:PORT", default_value = BIND)]
    pub(crate) bind: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct Render {
    /// Manifests: pods with addresses, namespaces, nodes, network policies. `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The node whose rules are printed.
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    pub(crate) node_name: String,
    #[command(flatten)]
    pub(crate) choices: Choices,
    /// `text` as `nft -f` reads it, `json` as `nft -j -f` does.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Cleanup {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Do not end before SIGTERM or SIGINT. A DaemonSet that cleans every node is then ready once
    /// all are clean.
    #[arg(long)]
    pub(crate) stay: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use clap::Parser as _;
    use enforcer::yaml::{self, Source};
    use serde_json::Value;

    use super::{Arguments, BIND, Command};

    /// The first container of a file's DaemonSet.
    fn container(file: &str) -> Value {
        // Tests run in the folder of their crate.
        let path = Path::new("deploy").join(file);
        let text = fs::read_to_string(path).expect("the file is in the repository");
        let documents = yaml::parse(&Source::new(file, &text)).expect("it is YAML");
        let mut objects = documents.iter().map(yaml::Document::value);
        let found = objects.find(|object| object["kind"] == "DaemonSet");
        found.expect("it has a DaemonSet")["spec"]["template"]["spec"]["containers"][0].clone()
    }

    fn parse(container: &Value) -> Command {
        let arguments = container["args"].as_array().expect("it has arguments");
        let words = arguments.iter().filter_map(Value::as_str);
        let node = (arguments[0] == "run").then_some("--node-name=n1");
        let all = ["portcullis-agent"].into_iter().chain(words).chain(node);
        let parsed = Arguments::try_parse_from(all);
        parsed.expect("the agent knows every argument").command
    }

    #[test]
    fn what_is_installed_is_what_the_agent_understands() {
        let container = container("install.yaml");
        let Command::Run(run) = parse(&container) else {
            panic!("a node's agent runs");
        };
        assert!(!run.allow_other_enforcers);
        let environment = container["env"].as_array().expect("it has an environment");
        let bind = environment
            .iter()
            .find(|variable| variable["name"] == "PORTCULLIS_BIND");
        assert_eq!(bind.expect("it says where")["value"], BIND);
        let port = BIND.rsplit(':').next().expect("a port");
        assert_eq!(container["ports"][0]["containerPort"].to_string(), port);
    }

    #[test]
    fn what_cleans_up_is_what_the_agent_understands() {
        let Command::Cleanup(cleanup) = parse(&container("cleanup.yaml")) else {
            panic!("it cleans up");
        };
        assert!(cleanup.stay);
    }
}
