//! Nothing stays behind: not after a drop, not after a panic, not after a kill.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write, stdout},
    panic::{AssertUnwindSafe, catch_unwind},
    process::{Child, Command, ExitCode, Stdio},
    thread,
};

use netsim::{Fabric, Families, Netns, sandbox::Sandbox};

use crate::{
    Test,
    world::{FABRICS, PATIENCE, PORT, addresses, everybody, pod, reaches, tcp, world},
};

/// Makes this program a process that has a cluster and waits to be killed.
const HOLDER: &str = "NETSIM_TEST_HOLDER";

pub(crate) fn tests() -> Vec<Test> {
    [
        ("a_dropped_cluster_leaves_no_descriptor", dropped as fn()),
        ("a_panic_beside_a_cluster_leaves_no_descriptor", panicked),
        (
            "a_panic_inside_a_namespace_leaves_the_caller_outside",
            panic_inside,
        ),
        ("a_killed_process_leaves_no_link_and_no_mount", killed),
    ]
    .map(|(name, test)| (format!("leave::{name}"), test))
    .into()
}

/// Tests run beside each other, so each looks at a process of its own.
fn dropped() {
    assert_eq!(holder("drop"), "same");
}

fn panicked() {
    assert_eq!(holder("panic"), "same");
}

fn panic_inside() {
    let before = network();
    let other = Netns::new().unwrap();
    let inside = other.run(network).unwrap();
    assert_ne!(inside, before);
    let panic = catch_unwind(AssertUnwindSafe(|| other.run(|| panic!("on purpose")))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose"));
    assert_eq!(network(), before);
    // And it can be used again.
    assert_eq!(other.run(network).unwrap(), inside);
}

fn killed() {
    let before = Machine::look();
    let mut child = start("hold");
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(Machine::look(), before);
}

/// What the rest of the machine can see of us.
#[derive(Debug, PartialEq, Eq)]
struct Machine {
    links: String,
    mounts: String,
    named: Vec<String>,
}

impl Machine {
    fn look() -> Self {
        let links = fs::read_to_string("/proc/self/net/dev").unwrap();
        let names = links.lines().filter_map(|line| line.split_once(':'));
        Self {
            links: names
                .map(|(name, _)| name.trim())
                .collect::<Vec<_>>()
                .join(" "),
            mounts: fs::read_to_string("/proc/self/mounts").unwrap(),
            named: fs::read_dir("/run/netns")
                .into_iter()
                .flatten()
                .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
                .collect(),
        }
    }
}

fn network() -> String {
    let link = fs::read_link("/proc/thread-self/ns/net").unwrap();
    link.to_string_lossy().into_owned()
}

/// What a process says that was told to do something with clusters.
fn holder(task: &str) -> String {
    let output = start(task).wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test program itself, once more"
)]
fn start(task: &str) -> Child {
    Command::new(env::current_exe().unwrap())
        .env(HOLDER, task)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The other side of [`start`].
pub(crate) fn act() -> Option<ExitCode> {
    let task = env::var(HOLDER).ok()?;
    Sandbox::enter().unwrap();
    // The first cluster makes what stays for the life of the process.
    drop(world(Fabric::Bridge, Families::Dual));
    let before = (descriptors(), Machine::look());
    match task.as_str() {
        "drop" => {
            for fabric in FABRICS {
                talk(fabric);
            }
        }
        "panic" => {
            let panicked = catch_unwind(|| {
                let _cluster = world(Fabric::Bridge, Families::Dual);
                panic!("on purpose");
            });
            panicked.unwrap_err();
        }
        _ => {
            let _cluster = world(Fabric::Bridge, Families::Dual);
            writeln!(stdout().lock(), "ready").unwrap();
            loop {
                thread::park();
            }
        }
    }
    let after = (descriptors(), Machine::look());
    let same = before == after;
    let verdict = if same {
        "same".to_owned()
    } else {
        format!("{before:?} is now {after:?}")
    };
    writeln!(stdout().lock(), "{verdict}").unwrap();
    Some(ExitCode::SUCCESS)
}

/// Uses everything that a cluster has.
fn talk(fabric: Fabric) {
    let mut cluster = world(fabric, Families::Dual);
    for (to, port) in everybody() {
        for address in addresses(&cluster, &to) {
            let probe = tcp(&pod("x/a"), address, port);
            drop(cluster.open_flow(&probe, PATIENCE).unwrap());
        }
    }
    let address = cluster.pod_addresses("x/b")[0];
    reaches(&mut cluster, &pod("x/a"), address);
    cluster.remove_pod("x/b").unwrap();
    assert_eq!(PORT, 80);
}

/// How many files, sockets and namespaces the process holds, and how many threads it has.
fn descriptors() -> (usize, usize) {
    let count = |folder| fs::read_dir(folder).unwrap().count();
    (count("/proc/self/fd"), count("/proc/self/task"))
}
