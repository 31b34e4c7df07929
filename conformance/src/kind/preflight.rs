//! What is missing, found before anything is made.

use std::{fmt, path::PathBuf};

use super::{
    Enforcer, Engine, Options,
    command::{self, CommandLine, Runner},
};

/// Something that is needed and not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What.
    pub what: String,
    /// What was seen instead.
    pub because: String,
    /// How to get it.
    pub help: &'static str,
}

/// Everything that is missing. Reads after "error: ".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incomplete(pub Vec<Missing>);

impl std::error::Error for Incomplete {}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a cluster of kind cannot be made here; nothing was created")?;
        for missing in &self.0 {
            write!(f, "\n  {} is missing: {}", missing.what, missing.because)?;
            write!(f, "\n    = help: {}", missing.help)?;
        }
        Ok(())
    }
}

/// Looks for everything `up` needs.
///
/// # Errors
/// All that is missing, at once.
pub fn look(options: &Options, runner: &mut dyn Runner) -> Result<(), Incomplete> {
    let mut missing = Vec::new();
    let engine = options.engine.program();
    let mut ask = |what: &str, command: &CommandLine, help: &'static str| {
        let because = match runner.run(command) {
            Ok(ended) if ended.code == Some(0) => return true,
            Ok(ended) => {
                let complaint = ended.complaints.trim().lines().next().unwrap_or_default();
                format!("`{command}` says: {complaint}")
            }
            Err(error) => format!("`{command}`: {error}"),
        };
        missing.push(Missing {
            what: what.to_owned(),
            because,
            help,
        });
        false
    };
    ask(
        "kind",
        &CommandLine::new("kind", ["version"]),
        "https://kind.sigs.k8s.io/docs/user/quick-start/#installation",
    );
    ask(
        "kubectl",
        &CommandLine::new("kubectl", ["version", "--client"]),
        "https://kubernetes.io/docs/tasks/tools/",
    );
    let engine_answers = ask(
        "a container engine that answers",
        &CommandLine::new(engine, ["info"]),
        engine_help(options.engine),
    );
    if engine_answers {
        let image = options.node_image.as_str();
        let has_image = runner_has(runner, engine, ["image", "inspect", image]);
        if !has_image && !runner_has(runner, engine, ["pull", image]) {
            missing.push(Missing {
                what: format!("the node image {image}"),
                because: format!("neither `{engine} image inspect` nor `{engine} pull` found it"),
                help: "choose one with --node-image; https://github.com/kubernetes-sigs/kind/releases lists those of your kind",
            });
        }
        let exists = runner
            .run(&command::clusters(options))
            .is_ok_and(|ended| ended.output.lines().any(|name| name == options.name));
        if exists {
            missing.push(Missing {
                what: "a free name".to_owned(),
                because: format!("there is a cluster {} already", options.name),
                help: "`portcullis kind down` deletes it; --name chooses another",
            });
        }
    }
    for archive in archives(options) {
        if !archive.is_file() {
            missing.push(Missing {
                what: archive.display().to_string(),
                because: "there is no such file".to_owned(),
                help: "`cargo xtask image` writes it; --images says where it is",
            });
        }
    }
    if let Enforcer::Manifest(file) = &options.enforcer
        && !file.is_file()
    {
        missing.push(Missing {
            what: format!("the enforcer's manifest {}", file.display()),
            because: "there is no such file".to_owned(),
            help: "--enforcer takes none, portcullis, or the path of a manifest",
        });
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Incomplete(missing))
    }
}

fn runner_has<const N: usize>(
    runner: &mut dyn Runner,
    program: &str,
    arguments: [&str; N],
) -> bool {
    let command = CommandLine::new(program, arguments);
    runner
        .run(&command)
        .is_ok_and(|ended| ended.code == Some(0))
}

fn engine_help(engine: Engine) -> &'static str {
    match engine {
        Engine::Docker => {
            "https://docs.docker.com/engine/install/; is the daemon running, and may you use it? --engine podman or nerdctl are the others"
        }
        Engine::Podman => "https://podman.io/docs/installation",
        Engine::Nerdctl => "https://github.com/containerd/nerdctl#install",
    }
}

/// The image archives that will be loaded.
pub fn archives(options: &Options) -> Vec<PathBuf> {
    let agent = (options.enforcer == Enforcer::Portcullis).then_some("portcullis-agent.tar");
    let names = agent.into_iter().chain(["portcullis-probe.tar"]);
    names.map(|name| options.images.join(name)).collect()
}
