//! What is played, and what must come of it.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use conformance::{
    backend::{
        cluster::{Cluster, Clusters, Settings},
        live::{Live, Target},
    },
    library, negative,
    report::{Conclusion, ScenarioReport, human},
    runner::{self, Observer, Options, Play},
    scenario::{self, Fabric, Scenario},
};
use serde_json::json;

use crate::{
    apiserver::{self, ApiServer},
    front::{Doors, Front},
    kubelet::{Kubelet, NOWHERE},
    probe,
};

/// A test: its name, and what says whether it is so.
type Test = (String, Says);
type Says = Box<dyn FnOnce() -> Told + Send>;
type Told = Result<(), String>;
type Named = (&'static str, fn() -> Told);

/// Files that show between them everything a cluster is asked to do.
const FILES: [&str; 8] = [
    "peers/allow-from-label.yaml",
    "protocols/udp-ingress-egress.yaml",
    "protocols/sctp-ingress-egress.yaml",
    "protocols/icmp-follows-policies.yaml",
    "peers/peer-hostnetwork-pod-not-matched.yaml",
    "services/egress-through-clusterip.yaml",
    "updates/established-connections-survive.yaml",
    "updates/container-restart-changes-nothing.yaml",
];

pub(crate) fn all() -> Vec<Test> {
    let played = FILES.iter().map(|file| {
        let play: Says = Box::new(|| passes(file));
        (format!("played::{file}"), play)
    });
    let others: [Named; 5] = [
        ("one_after_the_other_pods_stay", one_after_the_other),
        ("without_an_enforcer_denials_do_not_hold", without_enforcer),
        (
            "a_denial_that_holds_fails_the_negative_control",
            negative_control_fails,
        ),
        ("a_namespace_of_somebody_else_is_not_touched", taken),
        (
            "an_image_that_cannot_be_had_is_told_with_what_helps",
            no_image,
        ),
    ];
    let others = others.map(|(name, test)| {
        let play: Says = Box::new(test);
        (name.to_owned(), play)
    });
    played.chain(others).collect()
}

/// A cluster, in the order in which it ends.
struct Stage {
    clusters: Clusters,
    _front: Front,
    _kubelet: Kubelet,
    server: Arc<ApiServer>,
}

impl Stage {
    fn set(is_enforced: bool, image: &str, is_unenforced: bool) -> Self {
        let server = Arc::new(ApiServer::start(apiserver::Settings::default()));
        let doors: Doors = Arc::new(Mutex::new(BTreeMap::new()));
        let program = probe().unwrap();
        let kubelet = Kubelet::start(server.clone(), doors.clone(), program.clone(), is_enforced);
        let front = Front::start(server.address(), doors, program);
        while server.all("nodes", "").len() < 2 {
            assert!(!kubelet.has_ended(), "there are no nodes");
            std::thread::yield_now();
        }
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": front.url()}}],
            "users": [{"name": "test", "user": {"token": apiserver::ADMIN}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        let target = Target {
            kubeconfig: Some(kubeconfig),
            context: None,
        };
        let (live, _) = Live::connect(&target).unwrap();
        let settings = Settings {
            image: image.to_owned(),
            options: enforcer::options::Options::default(),
            is_unenforced,
        };
        Self {
            clusters: Clusters::new(&live, settings).unwrap(),
            _front: front,
            _kubelet: kubelet,
            server,
        }
    }

    fn play(&self, scenario: &Scenario) -> ScenarioReport {
        let fabric = scenario.fabric.unwrap_or(Fabric::Routed);
        let play = Play { scenario, fabric };
        runner::run_one(play, &self.clusters, Options::default(), &Silent)
    }

    /// Everything goes in the end.
    fn end(self) -> Told {
        self.clusters.remove().map_err(|error| error.to_string())?;
        let left: Vec<String> = self
            .server
            .all("namespaces", "")
            .iter()
            .map(|object| object["metadata"]["name"].as_str().unwrap().to_owned())
            .filter(|name| !["default", "kube-system", "x"].contains(&name.as_str()))
            .collect();
        match left.is_empty() {
            true => Ok(()),
            false => Err(format!("left behind: {}", left.join(", "))),
        }
    }
}

fn scenarios(file: &str) -> Vec<Scenario> {
    // Also in a copy of the repository.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR");
    let own = manifest.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let folder = own.join("../scenarios");
    library::load(&[folder.join(file)], &scenario::Options::default()).unwrap()
}

fn told(report: &ScenarioReport) -> String {
    format!("{:?}\n{}", report.conclusion, human::block(report))
}

fn passes(file: &str) -> Told {
    let stage = Stage::set(true, "probe", false);
    // The plays of a file differ in what a cluster does not see, or little.
    for scenario in scenarios(file).iter().take(1) {
        let report = stage.play(scenario);
        if report.conclusion != Conclusion::Passed {
            return Err(told(&report));
        }
    }
    stage.end()
}

fn one_after_the_other() -> Told {
    let stage = Stage::set(true, "probe", false);
    let uids = |stage: &Stage| {
        let pods = stage.server.all("pods", "");
        pods.iter()
            .map(|pod| pod["metadata"]["uid"].clone())
            .collect::<Vec<_>>()
    };
    // Nothing happens to pods in it.
    let scenario = scenarios("protocols/udp-ingress-egress.yaml").remove(0);
    let mut before = Vec::new();
    for _ in 0..2 {
        let report = stage.play(&scenario);
        if report.conclusion != Conclusion::Passed {
            return Err(told(&report));
        }
        let after = uids(&stage);
        assert!(before.is_empty() || before == after, "{before:?} {after:?}");
        assert!(stage.server.all("networkpolicies", "").is_empty());
        before = after;
    }
    stage.end()
}

fn without_enforcer() -> Told {
    let stage = Stage::set(false, "probe", true);
    let scenario = scenarios("peers/allow-from-label.yaml").remove(0);
    let report = stage.play(&negative::unenforced(&scenario).unwrap());
    if report.conclusion != Conclusion::Passed {
        return Err(told(&report));
    }
    stage.end()
}

/// Of every look that waits for what does not come, the time is the back end's patience.
fn negative_control_fails() -> Told {
    let stage = Stage::set(true, "probe", true);
    let mut scenario = scenarios("peers/allow-from-label.yaml").remove(0);
    scenario.steps.truncate(1);
    let report = stage.play(&negative::unenforced(&scenario).unwrap());
    // Scenario and oracle say that nobody enforces, and the packets otherwise.
    if report.conclusion != Conclusion::Failed {
        return Err(told(&report));
    }
    stage.end()
}

fn taken() -> Told {
    let stage = Stage::set(true, "probe", false);
    stage.server.create(&json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"},
    }));
    let report = stage.play(&scenarios("peers/allow-from-label.yaml")[0]);
    let Conclusion::Error { reason } = &report.conclusion else {
        return Err(told(&report));
    };
    assert!(
        reason.contains("create namespace x: it is already there"),
        "{reason}"
    );
    assert!(stage.server.all("pods", "").is_empty());
    stage.end()
}

fn no_image() -> Told {
    let stage = Stage::set(true, NOWHERE, false);
    let report = stage.play(&scenarios("peers/allow-from-label.yaml")[0]);
    let Conclusion::Error { reason } = &report.conclusion else {
        return Err(told(&report));
    };
    assert!(reason.contains("waits: ErrImagePull"), "{reason}");
    assert!(
        reason.contains("help: the image must be on every node"),
        "{reason}"
    );
    stage.end()
}

/// The harness says itself what began and what ended.
struct Silent;

impl Observer<Cluster> for Silent {
    fn started(&self, _id: &str) {}

    fn finished(&self, _play: Play<'_>, _report: &ScenarioReport, _cluster: Option<Cluster>) {}
}
