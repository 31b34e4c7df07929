//! Where a kept cluster is found again: one folder per cluster and user.

use std::{
    collections::BTreeMap,
    env, fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// The folder of one kept cluster.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// What other commands need to know of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// The holder's process.
    pub pid: u32,
    /// When that process started, in clock ticks since boot: a process id alone may be reused.
    pub started: u64,
    /// The file it was built from.
    pub file: String,
    /// Every pod, node and external machine (`ns/pod`, `node/n1`, `ext/internet`) and where its
    /// network namespace can be opened.
    pub places: BTreeMap<String, PathBuf>,
}

impl Folder {
    /// The folder of the cluster called `name`; it need not exist.
    ///
    /// # Errors
    /// If somebody else owns the folder above it.
    pub fn named(name: &str) -> io::Result<Self> {
        Ok(Self(base()?.join(name)))
    }

    /// The folders of all kept clusters.
    ///
    /// # Errors
    /// If the folder above them cannot be read.
    pub fn all() -> io::Result<Vec<(String, Self)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(base()?)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            found.push((name, Self(entry.path())));
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    /// Creates it, empty.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn create(&self) -> io::Result<()> {
        self.remove()?;
        fs::DirBuilder::new().mode(0o700).create(&self.0)
    }

    /// Removes it; it may have gone already.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The holder's socket.
    pub fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }

    /// What the holder prints.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// Names of the cluster's machines, in the form of `/etc/hosts`.
    pub fn hosts(&self) -> PathBuf {
        self.0.join("hosts")
    }

    /// Writes the state, all of it or nothing.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, state: &State) -> io::Result<()> {
        let fresh = self.0.join("state.new");
        fs::write(&fresh, serde_json::to_vec_pretty(state)?)?;
        fs::rename(fresh, self.0.join("state.json"))
    }

    /// The state of a cluster whose holder lives.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is no such cluster or its holder has ended.
    pub fn read(&self) -> io::Result<State> {
        let state: State = serde_json::from_slice(&fs::read(self.0.join("state.json"))?)?;
        if start_of(state.pid).ok() == Some(state.started) {
            Ok(state)
        } else {
            Err(io::Error::new(
                io::ErrorKind::NotFound,
                "its holder has ended",
            ))
        }
    }
}

/// Where all clusters of this user live: `$XDG_RUNTIME_DIR/portcullis`, else a folder in the
/// system's temporary one that only this user may enter.
fn base() -> io::Result<PathBuf> {
    let own = nix::unistd::getuid().as_raw();
    let base = match env::var_os("XDG_RUNTIME_DIR") {
        Some(folder) if Path::new(&folder).is_dir() => PathBuf::from(folder).join("portcullis"),
        _ => env::temp_dir().join(format!("portcullis-{own}")),
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&base)?;
    let owner = fs::symlink_metadata(&base)?.uid();
    if owner != own {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} belongs to user {owner}", base.display()),
        ));
    }
    Ok(base)
}

/// When a process started: field 22 of `/proc/PID/stat`, in clock ticks since boot.
///
/// # Errors
/// If there is no such process.
pub fn start_of(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the command in parentheses and may hold blanks.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field = rest.split_whitespace().nth(19);
    field
        .and_then(|ticks| ticks.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/PID/stat is cut short"))
}

#[cfg(test)]
mod tests {
    use super::start_of;

    #[test]
    fn this_process_has_a_start() {
        let first = start_of(std::process::id()).unwrap();
        assert_eq!(first, start_of(std::process::id()).unwrap());
        assert!(first > 0);
    }
}
