//! Where an API server is, and how to speak to it.

use std::{
    env,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use kube::{
    Client, Config,
    config::{Cluster, KubeConfigOptions, Kubeconfig, KubeconfigError},
};

use super::{Live, LiveError, RunId, Runtime};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the server may take to answer; it answers watches at once, too.
const ANSWER: Duration = Duration::from_secs(60);
/// The minor versions of Kubernetes that this was tried with or written for.
const KNOWN: std::ops::RangeInclusive<u32> = 27..=36;

/// Which API server.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// A kubeconfig file; `$KUBECONFIG` or `~/.kube/config` if there is none.
    pub kubeconfig: Option<PathBuf>,
    /// A context of it; its current one if there is none.
    pub context: Option<String>,
}

/// The version of an API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerVersion {
    /// As the server writes it, such as `v1.36.2`.
    pub text: String,
    /// What may not work with it; nothing if it should.
    pub warning: Option<String>,
}

impl Target {
    /// What a kubeconfig says about it.
    ///
    /// # Errors
    /// [`LiveError::Kubeconfig`].
    pub fn config(&self) -> Result<Config, LiveError> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let loading = Config::from_custom_kubeconfig(self.read()?, &options);
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime
            .map_err(LiveError::Thread)?
            .block_on(loading)
            .map_err(|error| self.wrong(error))
    }

    /// The cluster as the kubeconfig has it: the server, and by what it is known.
    ///
    /// # Errors
    /// [`LiveError::Kubeconfig`].
    pub fn cluster(&self) -> Result<Cluster, LiveError> {
        let kubeconfig = self.read()?;
        let wanted = self.context.clone().or(kubeconfig.current_context);
        let name = wanted.ok_or_else(|| self.wrong(KubeconfigError::CurrentContextNotSet))?;
        let mut contexts = kubeconfig.contexts.into_iter();
        let context = contexts.find(|context| context.name == name);
        let context = context.and_then(|context| context.context);
        let missing = KubeconfigError::LoadContext(name);
        let cluster = context.ok_or_else(|| self.wrong(missing))?.cluster;
        let mut clusters = kubeconfig.clusters.into_iter();
        let found = clusters.find(|one| one.name == cluster);
        let missing = KubeconfigError::LoadClusterOfContext(cluster);
        found
            .and_then(|found| found.cluster)
            .ok_or_else(|| self.wrong(missing))
    }

    fn read(&self) -> Result<Kubeconfig, LiveError> {
        let read = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        read.map_err(|error| self.wrong(error))
    }

    fn wrong(&self, source: KubeconfigError) -> LiveError {
        let name = match (&self.kubeconfig, env::var_os("KUBECONFIG")) {
            (Some(path), _) => format!("the kubeconfig {}", path.display()),
            (None, Some(_)) => "the kubeconfig in $KUBECONFIG".to_owned(),
            (None, None) => "the kubeconfig ~/.kube/config (name one with --kubeconfig)".to_owned(),
        };
        LiveError::Kubeconfig {
            name,
            source: Box::new(source),
        }
    }
}

impl Live {
    /// Connects to the server that a kubeconfig names.
    ///
    /// # Errors
    /// The kubeconfig cannot be used, or nobody answers.
    pub fn connect(target: &Target) -> Result<(Self, ServerVersion), LiveError> {
        Self::connect_to(target.config()?)
    }

    /// Connects to a server.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn connect_to(mut config: Config) -> Result<(Self, ServerVersion), LiveError> {
        let server = config.cluster_url.to_string();
        config.connect_timeout = Some(CONNECT);
        config.write_timeout = Some(ANSWER);
        let runtime = Runtime::start().map_err(LiveError::Thread)?;
        let client = {
            let _inside = runtime.handle.enter();
            Client::try_from(config)
        };
        let client = client.map_err(|source| LiveError::Prepare {
            server: server.clone(),
            source: source.into(),
        })?;
        let live = Self {
            client,
            runtime: Arc::new(runtime),
            run: RunId::fresh(),
            server: server.into(),
            is_bare: Arc::new(AtomicBool::new(false)),
        };
        let version = live.version()?;
        Ok((live, version))
    }

    fn version(&self) -> Result<ServerVersion, LiveError> {
        let answer = self.wait(async {
            let asking = self.client.apiserver_version();
            tokio::time::timeout(CONNECT, asking).await
        });
        let unreachable = |source| LiveError::Unreachable {
            server: self.server.to_string(),
            source: Box::new(source),
        };
        let info = answer
            .map_err(|_| LiveError::Late {
                what: format!("an answer of the API server at {}", self.server),
                patience: CONNECT,
                hint: String::new(),
            })?
            .map_err(unreachable)?;
        let digits: String = info
            .minor
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        let is_known =
            info.major == "1" && digits.parse().is_ok_and(|minor| KNOWN.contains(&minor));
        let warning = (!is_known).then(|| {
            format!(
                "the API server is Kubernetes {}; this was written for 1.{} to 1.{}",
                info.git_version,
                KNOWN.start(),
                KNOWN.end()
            )
        });
        Ok(ServerVersion {
            text: info.git_version,
            warning,
        })
    }
}
