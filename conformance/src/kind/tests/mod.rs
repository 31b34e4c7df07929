//! What is run, in which order, and what becomes of errors; no program is started.

use std::{fs, io, path::Path};

use super::{
    Enforcer, Engine, Family, Network, Options, Proxy, command,
    command::{CommandLine, Ended, Runner},
    config, lifecycle, network,
};

const NODES: &str = r#"{"apiVersion": "v1", "kind": "List", "metadata": {}, "items": [
  {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "t-control-plane"},
   "spec": {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24", "fd00:10:244::/64"]},
   "status": {"addresses": [{"type": "InternalIP", "address": "172.18.0.2"},
     {"type": "InternalIP", "address": "fc00:f853::2"}, {"type": "Hostname", "address": "t-control-plane"}]}},
  {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "t-worker"},
   "spec": {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24", "fd00:10:244:1::/64"]},
   "status": {"addresses": [{"type": "InternalIP", "address": "172.18.0.3"},
     {"type": "InternalIP", "address": "fc00:f853::3"}]}}]}"#;

/// Notes what it is asked to run; some of it fails.
#[derive(Default)]
struct Notes {
    ran: Vec<String>,
    fails: Vec<&'static str>,
    is_absent: Vec<&'static str>,
}

impl Runner for Notes {
    fn run(&mut self, command: &CommandLine) -> io::Result<Ended> {
        let shown = command.to_string();
        if self.is_absent.contains(&command.program.as_str()) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let fails = self.fails.iter().any(|part| shown.contains(part));
        let output = if shown.contains("get nodes") {
            NODES
        } else {
            ""
        };
        self.ran.push(shown);
        Ok(Ended {
            code: Some(i32::from(fails)),
            output: output.to_owned(),
            complaints: if fails { "it went wrong\n" } else { "" }.to_owned(),
        })
    }
}

fn options(images: &Path) -> Options {
    Options {
        name: "t".to_owned(),
        engine: Engine::Docker,
        node_image: "kindest/node:v1.36.1".to_owned(),
        workers: 1,
        family: Family::Dual,
        proxy: Proxy::Nftables,
        network: Network::Routes,
        enforcer: Enforcer::Portcullis,
        images: images.to_owned(),
        kubeconfig: "t.kubeconfig".into(),
    }
}

/// A folder with both archives.
fn images() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["portcullis-agent.tar", "portcullis-probe.tar"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    folder
}

/// What was run, with the folder's name taken out.
fn story(notes: &Notes, images: &Path) -> String {
    let images = images.display().to_string();
    notes.ran.join("\n").replace(&images, "IMAGES")
}

#[test]
fn up_makes_connects_loads_installs_and_waits() {
    let images = images();
    let mut notes = Notes::default();
    lifecycle::up(&options(images.path()), &mut notes, &mut |_| ()).unwrap();
    insta::assert_snapshot!(story(&notes, images.path()));
}

#[test]
fn what_was_begun_is_deleted_when_it_fails() {
    let images = images();
    let mut notes = Notes {
        fails: vec!["load image-archive"],
        ..Notes::default()
    };
    let error = lifecycle::up(&options(images.path()), &mut notes, &mut |_| ()).unwrap_err();
    assert_eq!(
        error
            .to_string()
            .replace(&images.path().display().to_string(), "IMAGES"),
        "run `kind load image-archive IMAGES/portcullis-agent.tar --name t`: exit code 1\nit went wrong"
    );
    let last = notes.ran.last().unwrap();
    assert_eq!(
        last,
        "kind delete cluster --name t --kubeconfig t.kubeconfig"
    );
}

#[test]
fn everything_that_is_missing_is_named_before_anything_is_made() {
    let empty = tempfile::tempdir().unwrap();
    let mut notes = Notes {
        fails: vec!["docker info"],
        is_absent: vec!["kind"],
        ..Notes::default()
    };
    let error = lifecycle::up(&options(empty.path()), &mut notes, &mut |_| ()).unwrap_err();
    let folder = empty.path().display().to_string();
    insta::assert_snapshot!(error.to_string().replace(&folder, "IMAGES"));
    assert!(!notes.ran.iter().any(|command| command.contains("create")));
}

#[test]
fn a_node_image_that_is_not_there_is_pulled_or_missing() {
    let images = images();
    let mut notes = Notes {
        fails: vec!["image inspect", "docker pull"],
        ..Notes::default()
    };
    let error = lifecycle::up(&options(images.path()), &mut notes, &mut |_| ()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the node image kindest/node:v1.36.1 is missing")
    );
}

#[test]
fn other_plug_ins_are_left_to_themselves() {
    let images = images();
    let manifest = images.path().join("calico.yaml");
    fs::write(&manifest, "").unwrap();
    let options = Options {
        engine: Engine::Podman,
        network: Network::Bring,
        enforcer: Enforcer::Manifest(manifest),
        ..options(images.path())
    };
    let mut notes = Notes::default();
    lifecycle::up(&options, &mut notes, &mut |_| ()).unwrap();
    insta::assert_snapshot!(story(&notes, images.path()));
}

#[test]
fn the_configuration_says_who_connects_pods() {
    let options = options(Path::new("images"));
    insta::assert_snapshot!(config::config(&options));
    let kindnet = Options {
        network: Network::Kindnet,
        ..options
    };
    assert!(config::config(&kindnet).contains("\"disableDefaultCNI\": false"));
}

#[test]
fn a_node_gets_its_own_ranges() {
    let options = options(Path::new("images"));
    let nodes = network::nodes(NODES).unwrap();
    let commands = network::connect(&options, &nodes);
    let written = commands.iter().find_map(|command| command.input.as_deref());
    insta::assert_snapshot!(written.unwrap());
}

#[test]
fn nodes_without_ranges_are_an_error() {
    let bare = r#"{"apiVersion": "v1", "kind": "List", "metadata": {}, "items": [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}]}"#;
    assert_eq!(
        network::nodes(bare).unwrap_err(),
        "node n has 0 pod ranges and 0 addresses; it needs one of each family"
    );
    network::nodes("no JSON").unwrap_err();
}

#[test]
fn failures_are_collected_and_what_cannot_be_had_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut notes = Notes {
        fails: vec!["get events"],
        ..Notes::default()
    };
    let mut told = Vec::new();
    let options = options(Path::new("images"));
    lifecycle::collect(&options, &mut notes, folder.path(), &mut |what| {
        told.push(what.to_owned());
    })
    .unwrap();
    let mut files: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(
        files,
        [
            "agents.log",
            "objects.yaml",
            "t-control-plane.nft",
            "t-worker.nft"
        ]
    );
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("not collected: failed to run `kubectl"));
}

#[test]
fn words_are_quoted_as_a_shell_wants_them() {
    let command = CommandLine::new("kubectl", ["get", "a b", "it's", ""]);
    assert_eq!(command.to_string(), r"kubectl get 'a b' 'it'\''s' ''");
    let podman = Options {
        engine: Engine::Podman,
        ..options(Path::new("images"))
    };
    assert_eq!(
        command::clusters(&podman).to_string(),
        "KIND_EXPERIMENTAL_PROVIDER=podman kind get clusters"
    );
}
