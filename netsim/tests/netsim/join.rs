//! Another process looks into the sandbox.

use std::{
    env, fs,
    io::{Write, stdout},
    process::{self, Command, ExitCode},
};

use netsim::{Fabric, Families, Netns, sandbox::Sandbox};

use crate::{
    Test,
    world::{pod, world},
};

/// Process and file of a namespace: makes this program one that goes there and says where it is.
const VISITOR: &str = "NETSIM_TEST_VISITOR";

pub(crate) fn tests() -> Vec<Test> {
    [("another_process_runs_inside_a_pod", visit as fn())]
        .map(|(name, test)| (format!("join::{name}"), test))
        .into()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test program itself, once more"
)]
fn visit() {
    let cluster = world(Fabric::Bridge, Families::Dual);
    let namespace = cluster.netns(&pod("x/a")).unwrap();
    let inside = namespace.run(place).unwrap();
    let path = namespace.path();
    let output = Command::new(env::current_exe().unwrap())
        .env(VISITOR, format!("{} {}", process::id(), path.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), inside);
}

/// The other side of [`visit`].
pub(crate) fn act() -> Option<ExitCode> {
    let visit = env::var(VISITOR).ok()?;
    let (process, path) = visit.split_once(' ').unwrap();
    let sandbox = Sandbox::join(process.parse().unwrap()).unwrap();
    sandbox.settle(&Netns::open(path).unwrap()).unwrap();
    write!(stdout().lock(), "{}", place()).unwrap();
    Some(ExitCode::SUCCESS)
}

/// User, mount and network namespace of the calling thread.
fn place() -> String {
    ["user", "mnt", "net"]
        .map(|kind| {
            let link = fs::read_link(format!("/proc/thread-self/ns/{kind}")).unwrap();
            link.to_string_lossy().into_owned()
        })
        .join(" ")
}
