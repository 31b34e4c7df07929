//! Another network namespace than the program's own.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    thread,
};

use nix::{
    errno::Errno,
    sched::{CloneFlags, setns},
};

/// A network namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Netns {
    /// Where it is; the program's own if absent.
    path: Option<PathBuf>,
}

/// A network namespace cannot be entered. Reads after "failed to".
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnterError {
    /// It is not there.
    #[error("open the network namespace {}", path.display())]
    Open {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It may not be entered.
    #[error("enter the network namespace {}{}", path.display(), if *source == Errno::EPERM { ": CAP_SYS_ADMIN is missing" } else { "" })]
    Enter {
        /// Where.
        path: PathBuf,
        /// Why.
        source: Errno,
    },
    /// No thread could be made.
    #[error("start a thread")]
    Thread(#[source] io::Error),
}

impl Netns {
    pub(crate) fn new(path: Option<&Path>) -> Self {
        Self {
            path: path.map(Path::to_owned),
        }
    }

    /// Runs `body` inside. Sockets that it opens and threads that it starts belong there for ever.
    ///
    /// # Errors
    /// It cannot be entered.
    pub(crate) fn run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> Result<T, EnterError> {
        let Some(path) = &self.path else {
            return Ok(body());
        };
        thread::scope(|scope| {
            // A thread that is thrown away: it never has to find its way back.
            let thread = thread::Builder::new()
                .name("netns".to_owned())
                .spawn_scoped(scope, || {
                    enter(path)?;
                    Ok(body())
                })
                .map_err(EnterError::Thread)?;
            match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

fn enter(path: &Path) -> Result<(), EnterError> {
    let file = File::open(path).map_err(|source| EnterError::Open {
        path: path.to_owned(),
        source,
    })?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the simulator, which owns this elsewhere, is no part of the agent"
    )]
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|source| EnterError::Enter {
        path: path.to_owned(),
        source,
    })
}
