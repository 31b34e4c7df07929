//! Runs the command and keeps what it printed.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A command line under construction.
pub(crate) struct Portcullis(Command);

/// What came of it.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Portcullis {
    pub(crate) fn new(arguments: &[&str]) -> Self {
        let mut this = Self::program(&binary());
        this.0.args(arguments);
        this
    }

    #[expect(clippy::disallowed_methods, reason = "these tests are about a process")]
    fn program(program: &Path) -> Self {
        let mut command = Command::new(program);
        command
            .current_dir(repository())
            .stdin(Stdio::null())
            .env("NO_COLOR", "1")
            .env_remove("GITHUB_ACTIONS")
            .env_remove("GITHUB_STEP_SUMMARY");
        Self(command)
    }

    /// Keeps clusters in this folder instead of the user's.
    pub(crate) fn with_runtime_folder(mut self, folder: &Path) -> Self {
        self.0.env("XDG_RUNTIME_DIR", folder);
        self
    }

    /// Runs it where the limit of user namespaces is nothing and there are no privileges to do
    /// without one: in a user namespace of its own.
    pub(crate) fn without_namespaces(self) -> Self {
        const EMPTY_QUOTA: &str = "echo 0 > /proc/sys/user/max_user_namespaces && \
                                   exec setpriv --bounding-set=-all --inh-caps=-all \"$@\"";
        let mut outer = Self::program("unshare".as_ref());
        outer
            .0
            .args(["--user", "--map-root-user", "sh", "-c", EMPTY_QUOTA, "sh"]);
        outer.0.arg(self.0.get_program()).args(self.0.get_args());
        outer
    }

    pub(crate) fn run(mut self) -> Ended {
        let output = self.0.output().expect("the command starts");
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub(crate) fn start(mut self) -> Child {
        self.0.stdout(Stdio::null()).stderr(Stdio::null());
        self.0.spawn().expect("the command starts")
    }
}

/// The command itself. A copy of the tests, run as another user, brings its own.
fn binary() -> PathBuf {
    env::var_os("PORTCULLIS_BINARY").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_portcullis")),
        PathBuf::from,
    )
}

/// The root of the repository, or of a copy of it.
pub(crate) fn repository() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR");
    let own = manifest.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.join("..")
}
