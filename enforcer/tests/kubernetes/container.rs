//! The agent as a container runtime starts it: the node's network, a root that holds nothing but
//! the program and cannot be written to, a service account, and of all capabilities NET_ADMIN.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use libtest_mimic::Failed;
use nix::{
    mount::{MsFlags, mount},
    sched::CloneFlags,
    sys::statvfs::{FsFlags, statvfs},
    unistd::{chdir, chroot},
};

use crate::{
    apiserver::{AUTHORITY, ApiServer},
    machine::{Machine, Running, agent_binary, command, leave},
};

/// Takes capabilities away; part of util-linux.
const SETPRIV: &str = "/usr/bin/setpriv";
/// What a dynamically linked program needs. An image holds a static one.
const LIBRARIES: [&str; 3] = ["/lib", "/lib64", "/usr/lib"];
const ACCOUNT: &str = "var/run/secrets/kubernetes.io/serviceaccount";

/// Why there can be no such container here; nothing if there can.
pub(crate) fn impossible() -> Option<String> {
    (!Path::new(SETPRIV).exists()).then(|| format!("needs {SETPRIV} of util-linux"))
}

/// The root of a container, which belongs to one machine.
pub(crate) struct Container {
    root: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Container {
    /// A container for the agent of a server, which must listen in the machine.
    pub(crate) fn new(machine: &Machine, server: &ApiServer, token: &str) -> Result<Self, Failed> {
        let root = machine.folder().join("root");
        for folder in LIBRARIES {
            if Path::new(folder).exists() {
                fs::create_dir_all(root.join(&folder[1..]))?;
            }
        }
        for folder in ["proc", ACCOUNT] {
            fs::create_dir_all(root.join(folder))?;
        }
        for file in ["setpriv", "portcullis-agent"] {
            fs::write(root.join(file), "")?;
        }
        let account = root.join(ACCOUNT);
        fs::write(account.join("token"), token)?;
        fs::write(account.join("ca.crt"), AUTHORITY)?;
        fs::write(account.join("namespace"), "kube-system")?;
        let address = server.address();
        Ok(Self {
            root,
            environment: vec![
                ("KUBERNETES_SERVICE_HOST", address.ip().to_string()),
                ("KUBERNETES_SERVICE_PORT", address.port().to_string()),
            ],
        })
    }

    /// Replaces the authority that vouches for the server.
    pub(crate) fn trust(&self, authority: &str) -> io::Result<()> {
        fs::write(self.root.join(ACCOUNT).join("ca.crt"), authority)
    }

    /// Starts the agent in it.
    pub(crate) fn start(&self, machine: &Machine, arguments: &[&str]) -> Result<Running, Failed> {
        let arguments: Vec<_> = arguments.iter().map(|&text| text.to_owned()).collect();
        let (root, environment) = (self.root.clone(), self.environment.clone());
        // A thread of its own, which is thrown away with its root; its network is the machine's.
        let started = machine.run(move || {
            let inside = thread::spawn(move || {
                change_root(&root)?;
                spawn(&arguments, environment)
            });
            inside.join()
        })?;
        let child = started.map_err(|_| "the thread panicked")??;
        Running::of(child)
    }
}

fn spawn(arguments: &[String], environment: Vec<(&str, String)>) -> io::Result<Child> {
    let mut setpriv: Command = command("/setpriv");
    setpriv
        .args(["--bounding-set", "-all,+net_admin", "--inh-caps", "-all"])
        .args(["--no-new-privs", "/portcullis-agent"])
        .args(arguments)
        .env_clear()
        .envs(environment)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

fn change_root(root: &Path) -> io::Result<()> {
    let none = None::<&str>;
    leave(CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none)?;
    let bind = |from: &Path, to: &Path| {
        let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
        mount(Some(from), to, none, flags, none)
    };
    bind(root, root)?;
    for folder in LIBRARIES.map(Path::new) {
        if folder.exists() {
            let to = root.join(folder.strip_prefix("/").unwrap_or(folder));
            bind(folder, &to)?;
            protect(&to)?;
        }
    }
    for (program, name) in [
        (Path::new(SETPRIV), "setpriv"),
        (&agent_binary(), "portcullis-agent"),
    ] {
        let to = root.join(name);
        bind(program, &to)?;
        protect(&to)?;
    }
    bind(Path::new("/proc"), &root.join("proc"))?;
    // As runtimes do: a container without privileges changes no sysctl.
    let switches = root.join("proc/sys");
    bind(&switches, &switches)?;
    protect(&switches)?;
    protect(root)?;
    chroot(root)?;
    chdir("/")?;
    Ok(())
}

/// Nobody writes to a mount any more. What it was protected from must stay so: in a user namespace
/// nothing else is allowed.
fn protect(mounted: &Path) -> io::Result<()> {
    let is = statvfs(mounted)?.flags();
    let mut flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    for (found, kept) in [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ] {
        if is.contains(found) {
            flags |= kept;
        }
    }
    mount(None::<&str>, mounted, None::<&str>, flags, None::<&str>)?;
    Ok(())
}
