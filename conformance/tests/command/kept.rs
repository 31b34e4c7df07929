//! A simulated cluster that stays, and that nothing is left when it goes.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Child,
    thread,
    time::{Duration, Instant},
};

use crate::{
    Test,
    portcullis::{Ended, Portcullis},
};

pub(crate) const TESTS: &[Test] = &[
    (
        "a kept cluster can be entered, changed, looked at and taken down",
        play,
    ),
    (
        "a kernel that does not what the plans say is called so",
        disagreement,
    ),
    ("a killed run leaves no namespace, link or mount", killed),
];

/// How long the kernel may take to give namespaces back.
const PATIENCE: Duration = Duration::from_secs(20);

struct Cluster {
    folder: tempfile::TempDir,
}

impl Cluster {
    fn sim(&self, arguments: &[&str]) -> Ended {
        Portcullis::new(&[&["sim"], arguments].concat())
            .with_runtime_folder(self.folder.path())
            .run()
    }
}

/// Even a test that fails takes its cluster down.
impl Drop for Cluster {
    fn drop(&mut self) {
        self.sim(&["down"]);
    }
}

fn play() {
    let cluster = Cluster {
        folder: tempfile::tempdir().unwrap(),
    };
    let folder = cluster.folder.path().join("demo");
    let path = folder.to_str().unwrap();
    assert_eq!(Portcullis::new(&["demo", "--write", path]).run().code, 0);
    let scenario = format!("{path}/demo.yaml");
    let deny = format!("{path}/policies/default-deny-ingress.yaml");

    let up = cluster.sim(&["up", "-f", &scenario]);
    assert_eq!(up.code, 0, "{}", up.stderr);
    assert_eq!(
        cluster.sim(&["up", "-f", &scenario]).code,
        2,
        "it is up already"
    );
    assert!(cluster.sim(&["ls"]).stdout.contains("9 pods"));

    let names = cluster.sim(&["exec", "x/a", "--", "cat", "/etc/hosts"]);
    assert!(names.stdout.contains("a.y.pod"), "{names:?}");
    let place = cluster.sim(&["exec", "x/a", "--", "sh", "-c", "echo $PORTCULLIS_PLACE"]);
    assert_eq!(place.stdout, "x/a\n");
    assert_eq!(cluster.sim(&["exec", "x/none", "--", "true"]).code, 2);
    assert_eq!(
        cluster
            .sim(&["exec", "x/a", "--", "sh", "-c", "exit 7"])
            .code,
        7
    );

    assert!(
        cluster
            .sim(&["matrix"])
            .stdout
            .contains("144 connections, 0 denied")
    );
    let applied = cluster.sim(&["apply", "-f", &deny]);
    assert_eq!(applied.code, 0, "{}", applied.stderr);
    assert!(
        cluster
            .sim(&["matrix"])
            .stdout
            .contains("144 connections, 48 denied")
    );
    let dump = cluster.sim(&["dump", "n1"]).stdout;
    for section in [
        "links",
        "routes",
        "connections",
        "ruleset",
        "y.default-deny-ingress",
    ] {
        assert!(dump.contains(section), "`{section}` is missing in\n{dump}");
    }
    assert_eq!(cluster.sim(&["label", "x/a", "role=client"]).code, 0);
    assert_eq!(cluster.sim(&["label", "x/none", "role=client"]).code, 2);
    assert_eq!(cluster.sim(&["delete", "-f", &deny]).code, 0);
    assert_eq!(
        cluster.sim(&["delete", "-f", &deny]).code,
        2,
        "it is gone already"
    );
    assert!(
        cluster
            .sim(&["matrix"])
            .stdout
            .contains("144 connections, 0 denied")
    );

    assert_eq!(cluster.sim(&["down"]).code, 0);
    assert_eq!(cluster.sim(&["ls"]).stdout, "");
}

/// What a run could leave behind on this machine.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    links: BTreeSet<String>,
    mounts: usize,
    named_namespaces: usize,
}

impl Traces {
    fn now() -> Self {
        let links = fs::read_to_string("/proc/self/net/dev").unwrap();
        let links = links
            .lines()
            .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()));
        Self {
            links: links.collect(),
            mounts: fs::read_to_string("/proc/self/mounts")
                .unwrap()
                .lines()
                .count(),
            named_namespaces: fs::read_dir("/run/netns").map_or(0, Iterator::count),
        }
    }
}

/// Nobody forwards any more on one node, and no policy is to blame.
fn disagreement() {
    let cluster = Cluster {
        folder: tempfile::tempdir().unwrap(),
    };
    let folder = cluster.folder.path().join("demo");
    let path = folder.to_str().unwrap();
    assert_eq!(Portcullis::new(&["demo", "--write", path]).run().code, 0);
    let up = cluster.sim(&["up", "-f", &format!("{path}/demo.yaml")]);
    assert_eq!(up.code, 0, "{}", up.stderr);
    let break_it = "echo 0 > /proc/sys/net/ipv4/ip_forward";
    let broken = cluster.sim(&["exec", "node/n1", "--", "sh", "-c", break_it]);
    assert_eq!(broken.code, 0, "{}", broken.stderr);

    let matrix = cluster.sim(&["matrix"]);
    assert_eq!(matrix.code, 5, "{}", matrix.stdout);
    for part in [
        "kernel and model DISAGREE on ",
        "  kernel   DENIED\n  oracle   ALLOWED\n",
        "  plan     ALLOWED\n           the plan of n1 lets it pass\n",
    ] {
        assert!(
            matrix.stdout.contains(part),
            "no `{part}` in\n{}",
            matrix.stdout
        );
    }
}

fn killed() {
    let before = Traces::now();
    let mut run = Portcullis::new(&["test", "-j", "2"]).start();
    let pid = run.id();
    assert!(
        becomes_true(|| namespaces_of(pid) > 3),
        "the run builds no cluster"
    );
    let inodes = namespace_inodes(pid);
    end(&mut run);
    assert_eq!(Traces::now(), before);
    assert!(
        becomes_true(|| !is_held(&inodes)),
        "a process still holds a namespace of the run"
    );
}

fn end(run: &mut Child) {
    run.kill().unwrap();
    run.wait().unwrap();
}

/// How many network namespaces a process holds by descriptor.
fn namespaces_of(pid: u32) -> usize {
    namespace_inodes(pid).len()
}

fn namespace_inodes(pid: u32) -> BTreeSet<String> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return BTreeSet::new();
    };
    descriptors
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .filter(|target| target.starts_with("net:["))
        .collect()
}

/// Whether any process is in one of these namespaces or has it open.
fn is_held(inodes: &BTreeSet<String>) -> bool {
    let processes = fs::read_dir("/proc").unwrap();
    let mut pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.any(|pid: u32| {
        let own = fs::read_link(Path::new("/proc").join(pid.to_string()).join("ns/net"));
        let is_in = own.is_ok_and(|own| inodes.contains(&*own.to_string_lossy()));
        is_in || !namespace_inodes(pid).is_disjoint(inodes)
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "a pause inside a loop with a deadline"
)]
fn becomes_true(mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if condition() {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    false
}
