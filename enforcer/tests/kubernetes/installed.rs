//! The agent as it is installed: with the rights of the manifest and not one more.

use std::fs;

use enforcer::{
    nft::NftBinary,
    yaml::{self, Source},
};
use libtest_mimic::{Completion, Failed, Trial};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    Outcome,
    apiserver::{ANOTHER_AUTHORITY, ApiServer, Settings},
    container::{self, Container},
    ensure,
    links::{make_bridge, wake_loopback},
    machine::{Machine, Running, fetch},
    objects::{deny, namespace, node, pod, running},
    recorder::{NODE, until},
};

/// The user that install.yaml gives rights to.
const USER: &str = "system:serviceaccount:kube-system:portcullis";
const ISOLATED: &str = "10.0.1.1 comment \"x/a\" : ";

pub(crate) fn trials(possible: &Result<(), String>) -> Vec<Trial> {
    let nft = NftBinary::find().map_err(|error| format!("failed to {error}"));
    let possible = possible.clone().and(nft.map(drop)).and_then(|()| {
        let impossible = container::impossible();
        impossible.map_or(Ok(()), Err)
    });
    let trial = |name: &str, test: fn() -> Result<Completion, Failed>| {
        let possible = possible.clone();
        Trial::ignorable_test(name, move || match possible {
            Err(reason) => Ok(Completion::ignored_with(reason)),
            Ok(()) => test(),
        })
    };
    vec![
        trial(
            "net_admin_a_read_only_root_and_the_role_of_the_manifest_are_enough",
            || least().map(|()| Completion::Completed),
        ),
        trial(
            "a_server_that_cannot_prove_who_it_is_is_not_believed",
            || another_authority().map(|()| Completion::Completed),
        ),
        trial(
            "where_a_bridge_escapes_the_node_is_not_ready",
            escaping_bridge,
        ),
        trial(
            "a_bridge_is_made_to_pass_the_rules_where_that_is_allowed",
            mended_bridge,
        ),
    ]
}

/// A machine and, inside it, a server with RBAC, TLS and what install.yaml creates.
fn place() -> Result<(Machine, ApiServer), Failed> {
    let machine = Machine::new()?;
    machine.run(wake_loopback)??;
    let settings = Settings {
        has_rbac: true,
        has_tls: true,
        ..Settings::default()
    };
    let server = machine.run(|| ApiServer::start(settings))?;
    for object in manifest()? {
        if object["kind"] != "DaemonSet" {
            server.create(&object);
        }
    }
    server.create(&node(NODE, "10.0.1.0/24"));
    server.create(&namespace("x", &json!({})));
    let pod = pod("x", "a", NODE, &json!({"app": "a"}));
    server.create(&pod);
    server.replace(&running(pod, "10.0.1.1"));
    server.create(&deny("x", "deny"));
    Ok((machine, server))
}

fn manifest() -> Result<Vec<Value>, Failed> {
    // Tests run in the folder of their crate.
    let path = "deploy/install.yaml";
    let documents = yaml::parse(&Source::new("install.yaml", fs::read_to_string(path)?))
        .map_err(|error| format!("{error:?}"))?;
    Ok(documents
        .iter()
        .map(|document| document.value().clone())
        .collect())
}

/// Starts the agent with the arguments of the manifest, some of them replaced.
fn start(machine: &Machine, container: &Container, other: &[&str]) -> Result<Running, Failed> {
    let objects = manifest()?;
    let found = objects.iter().find(|object| object["kind"] == "DaemonSet");
    let spec = &found.ok_or("a DaemonSet")?["spec"]["template"]["spec"]["containers"][0];
    let given = spec["args"].as_array().ok_or("arguments")?;
    let name = |word: &str| word.split('=').next().map(str::to_owned);
    let is_replaced = |word: &&str| other.iter().any(|other| name(other) == name(word));
    let given = given.iter().filter_map(Value::as_str);
    let own = ["--node-name", NODE, "--bind", "127.0.0.1:0"];
    let words: Vec<_> = given
        .filter(|word| !is_replaced(word))
        .chain(own)
        .chain(other.iter().copied())
        .collect();
    container.start(machine, &words)
}

/// What the agent serves, asked from its own machine.
fn get(machine: &Machine, agent: &Running, path: &'static str) -> Result<(u16, String), Failed> {
    let address = agent.address()?;
    machine.run(move || fetch(address, path))?
}

fn until_ready(machine: &Machine, agent: &Running) -> Outcome {
    until("ready", || {
        matches!(get(machine, agent, "/readyz"), Ok((200, _)))
    })
    .map_err(|_| {
        let verbose = get(machine, agent, "/readyz?verbose");
        format!("not ready: {verbose:?}\n{}", agent.log().join("\n")).into()
    })
}

fn least() -> Outcome {
    let (machine, server) = place()?;
    let container = Container::new(&machine, &server, &server.token(USER))?;
    // Connections can be listed with these rights too.
    let agent = start(&machine, &container, &["--established=revoke"])?;
    until_ready(&machine, &agent)?;
    machine.until_rules(true, ISOLATED)?;

    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid()?))?;
    for line in [
        "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000001000",
        "CapEff:\t0000000000001000",
        "CapBnd:\t0000000000001000",
        "NoNewPrivs:\t1",
    ] {
        ensure(status.contains(line), format!("no {line} in\n{status}"))?;
    }
    let files = fs::read_dir(format!("/proc/{}/root", agent.pid()?))?;
    let mut names: Vec<_> = files
        .map(|file| file.map(|file| file.file_name()))
        .collect::<Result<_, _>>()?;
    names.retain(|name| {
        !["lib", "lib64", "usr"]
            .iter()
            .any(|library| name == library)
    });
    names.sort();
    ensure(
        names == ["portcullis-agent", "proc", "setpriv", "var"],
        format!("{names:?}"),
    )?;

    machine.nft(&["delete table inet portcullis"])?;
    machine.until_rules(true, ISOLATED)?;
    server.store(&{
        let mut policy = deny("x", "future");
        policy["spec"]["ingress"] = json!([{"from": [{"podSelector": {}, "later": 1}]}]);
        policy
    });
    until("an event", || !server.all("events", "x").is_empty())?;
    let before = machine.ruleset()?;
    let ended = agent.stop(Signal::SIGTERM)?;
    ensure(
        ended.success() && machine.ruleset()? == before,
        "the rules changed",
    )?;

    let cleanup = container.start(&machine, &["cleanup"])?;
    let (ended, _) = cleanup.ended()?;
    ensure(ended.success(), format!("cleanup: {ended}"))?;
    ensure(machine.ruleset()?.is_empty(), "something is left")
}

fn another_authority() -> Outcome {
    let (machine, server) = place()?;
    let container = Container::new(&machine, &server, &server.token(USER))?;
    container.trust(ANOTHER_AUTHORITY)?;
    let agent = start(&machine, &container, &[])?;
    until("a doubt", || {
        get(&machine, &agent, "/readyz").is_ok_and(|(status, body)| {
            status == 503 && body.contains("invalid peer certificate: UnknownIssuer")
        })
    })
    .map_err(|_| format!("{:?}", get(&machine, &agent, "/readyz")))?;
    ensure(
        server.requests("list", "pods") == 0,
        "the token was given away",
    )
}

const SWITCH: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

/// A machine whose pods hang on a bridge that escapes the rules; nothing if this kernel cannot.
fn bridged() -> Result<Option<(Machine, ApiServer)>, Failed> {
    let (machine, server) = place()?;
    machine.run(|| make_bridge("cni0", [10, 0, 1, 254].into(), 24))??;
    let is_off = machine.run(|| fs::write(SWITCH, "0"))?;
    Ok(is_off.is_ok().then_some((machine, server)))
}

fn no_bridges() -> Completion {
    Completion::ignored_with("needs the kernel module br_netfilter, and to switch it")
}

fn escaping_bridge() -> Result<Completion, Failed> {
    let Some((machine, server)) = bridged()? else {
        return Ok(no_bridges());
    };
    let container = Container::new(&machine, &server, &server.token(USER))?;
    let agent = start(&machine, &container, &[])?;
    machine.until_rules(true, ISOLATED)?;
    let says = "[-] bridges failed: pods such as 10.0.1.1 hang on bridge cni0, and what it forwards \
                escapes the rules: net.bridge.bridge-nf-call-iptables is 0 and cannot be set";
    until("the bridge", || {
        get(&machine, &agent, "/readyz")
            .is_ok_and(|(status, body)| status == 503 && body.contains(says))
    })
    .map_err(|_| format!("{:?}", get(&machine, &agent, "/readyz")))?;
    agent.until_logged("hang on bridge cni0")?;
    machine.run(|| fs::write(SWITCH, "1"))??;
    until_ready(&machine, &agent)?;
    Ok(Completion::Completed)
}

fn mended_bridge() -> Result<Completion, Failed> {
    let Some((machine, server)) = bridged()? else {
        return Ok(no_bridges());
    };
    let file = tempfile::NamedTempFile::new()?;
    server.write_kubeconfig(file.path(), &server.token(USER));
    let kubeconfig = file.path().display().to_string();
    let agent = machine.start_inside(&["--kubeconfig", &kubeconfig])?;
    until_ready(&machine, &agent)?;
    ensure(
        machine.run(|| fs::read_to_string(SWITCH))??.trim() == "1",
        "not switched on",
    )?;
    Ok(Completion::Completed)
}
