//! What the simulator lets agents and tables suffer, and what is in force meanwhile.
//!
//! Where no sandbox can be had, every test is reported as ignored, with the reason.

use std::{env, process::ExitCode, time::Duration};

use conformance::{
    backend::{
        Backend, ProbeSpec,
        sim::{DataplaneKind, Sim, SimOptions, sim_fabric, usual_fabric},
    },
    cell::{Cell, Endpoint, Family, Outcome as Answer, Port, Protocol},
    demo,
    scenario::{AgentAction, Change, Damage, ObjectName, World},
};
use enforcer::{options::Options, policy::Direction};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use netsim::{sandbox::Sandbox, topology::Families};

type Outcome = Result<(), Failed>;
/// What it shows, and how.
type Test = (&'static str, fn() -> Outcome);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // Before any thread starts.
    let sandbox = if arguments.list {
        Ok(None)
    } else {
        Sandbox::enter().map(Some)
    };
    let blocked = sandbox.as_ref().err().map(ToString::to_string);
    let tests: [Test; 13] = [
        ("every_agent_hears_of_every_change", every_change),
        ("a_stopped_agent_enforces_the_past", stopped),
        ("a_killed_agent_enforces_the_past", killed),
        ("a_started_agent_catches_up", started),
        ("an_agent_that_is_cut_off_enforces_the_past", cut_off),
        ("an_agent_that_hears_again_catches_up", hears_again),
        (
            "an_agent_started_while_cut_off_keeps_what_it_finds",
            started_while_cut_off,
        ),
        ("a_refusing_kernel_keeps_its_rules", refused),
        ("a_refused_transaction_is_made_up_for", refused_once),
        ("damage_is_repaired", damaged),
        ("damage_without_an_agent_stays", damaged_without_agent),
        ("a_node_may_begin_without_an_agent", without_agent),
        ("the_table_of_somebody_else_stays", foreign_table),
    ];
    let trials = tests.map(|(name, test)| {
        let blocked = blocked.clone();
        Trial::ignorable_test(name, move || match blocked {
            Some(reason) if env::var_os("PORTCULLIS_CI").is_some() => Err(reason.into()),
            Some(reason) => Ok(Completion::ignored_with(reason)),
            None => test().map(|()| Completion::Completed),
        })
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

/// On n1 are x/a, y/a and z/a; on n2 all others.
const NODE: &str = "n1";

/// A cluster whose world was changed before it was built.
fn cluster_with(change: impl FnOnce(&mut World)) -> Result<Sim, Failed> {
    let scenario = demo::scenario().map_err(|_| "the demo can be read")?;
    let mut world = scenario.world;
    change(&mut world);
    let options = SimOptions {
        fabric: sim_fabric(usual_fabric()),
        families: Families::Ipv4,
        dataplane: DataplaneKind::Netlink,
        options: Options::default(),
    };
    let mut sim = Sim::build(&world, options)?;
    sim.create(&world)?;
    Ok(sim)
}

fn cluster() -> Result<Sim, Failed> {
    cluster_with(|_| {})
}

fn act(sim: &mut Sim, action: AgentAction) -> Outcome {
    let node = NODE.to_owned();
    Ok(sim.change(&Change::Agent { node, action })?)
}

fn damage(sim: &mut Sim, damage: Damage) -> Outcome {
    let node = NODE.to_owned();
    Ok(sim.change(&Change::Damage { node, damage })?)
}

/// Lets nobody into a namespace.
fn deny(sim: &mut Sim, namespace: &str) -> Outcome {
    let policy = serde_json::json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": namespace, "name": "deny"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    });
    Ok(sim.apply_policy(serde_json::from_value(policy)?)?)
}

/// What is in force for pod `a` of a namespace on n1: by the kernel, by the plan, and by what its
/// agent has seen. All three have to be the same.
fn is_isolated(sim: &mut Sim, namespace: &str) -> Result<bool, Failed> {
    let pod = |namespace: &str, name: &str| Endpoint::Pod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    let probe = ProbeSpec::from(Cell {
        source: pod("x", "c"),
        destination: pod(namespace, "a"),
        port: Port {
            number: Some(80),
            protocol: Protocol::Tcp,
        },
        family: Family::Ipv4,
    });
    let answers = sim.probe(&[probe], Duration::from_millis(250))?;
    let by_kernel = answers[0].outcome == Answer::Denied;
    let plans = sim.plans();
    let (_, plan) = plans
        .iter()
        .find(|(node, _)| node == NODE)
        .ok_or("n1 has a plan")?;
    let mut subjects = plan.subjects(Direction::Ingress).values();
    let by_plan = subjects.any(|subject| *subject.pod.namespace == *namespace);
    let seen = sim.seen_by(NODE);
    let mut policies = seen.iter().flat_map(|world| &world.policies);
    let by_oracle = policies.any(|policy| policy.metadata.namespace.as_deref() == Some(namespace));
    if by_kernel == by_plan && by_plan == by_oracle {
        return Ok(by_kernel);
    }
    Err(format!("{namespace}: kernel {by_kernel}, plan {by_plan}, oracle {by_oracle}").into())
}

fn must(sim: &mut Sim, namespace: &str, be_isolated: bool) -> Outcome {
    if is_isolated(sim, namespace)? == be_isolated {
        return Ok(());
    }
    let not = if be_isolated { " not" } else { "" };
    Err(format!("{namespace} is{not} isolated").into())
}

fn must_be_content(sim: &mut Sim) -> Outcome {
    let complaints = sim.complaints();
    if complaints.is_empty() {
        return Ok(());
    }
    Err(complaints.join("; ").into())
}

fn every_change() -> Outcome {
    let mut sim = cluster()?;
    must(&mut sim, "y", false)?;
    deny(&mut sim, "y")?;
    must(&mut sim, "y", true)?;
    sim.delete_policy(&ObjectName::new("y", "deny"))?;
    must(&mut sim, "y", false)?;
    must_be_content(&mut sim)
}

fn ended(action: AgentAction) -> Outcome {
    let mut sim = cluster()?;
    deny(&mut sim, "y")?;
    act(&mut sim, action)?;
    deny(&mut sim, "z")?;
    sim.delete_policy(&ObjectName::new("y", "deny"))?;
    must(&mut sim, "y", true)?;
    must(&mut sim, "z", false)?;
    must_be_content(&mut sim)
}

fn stopped() -> Outcome {
    ended(AgentAction::Stop)
}

fn killed() -> Outcome {
    ended(AgentAction::Kill)
}

fn cut_off() -> Outcome {
    ended(AgentAction::CutApi)
}

fn back(gone: AgentAction, back: AgentAction) -> Outcome {
    let mut sim = cluster()?;
    deny(&mut sim, "y")?;
    act(&mut sim, gone)?;
    deny(&mut sim, "z")?;
    sim.delete_policy(&ObjectName::new("y", "deny"))?;
    act(&mut sim, back)?;
    must(&mut sim, "y", false)?;
    must(&mut sim, "z", true)?;
    deny(&mut sim, "y")?;
    must(&mut sim, "y", true)?;
    act(&mut sim, AgentAction::Restart)?;
    must(&mut sim, "y", true)?;
    must_be_content(&mut sim)
}

fn started() -> Outcome {
    back(AgentAction::Stop, AgentAction::Start)?;
    back(AgentAction::Kill, AgentAction::Start)
}

fn hears_again() -> Outcome {
    back(AgentAction::CutApi, AgentAction::RestoreApi)
}

fn started_while_cut_off() -> Outcome {
    let mut sim = cluster()?;
    deny(&mut sim, "y")?;
    act(&mut sim, AgentAction::CutApi)?;
    deny(&mut sim, "z")?;
    act(&mut sim, AgentAction::Restart)?;
    must(&mut sim, "y", true)?;
    must(&mut sim, "z", false)?;
    act(&mut sim, AgentAction::RestoreApi)?;
    must(&mut sim, "z", true)?;
    must_be_content(&mut sim)
}

fn refused() -> Outcome {
    let mut sim = cluster()?;
    deny(&mut sim, "y")?;
    act(&mut sim, AgentAction::RefuseTransactions(u32::MAX))?;
    deny(&mut sim, "z")?;
    must(&mut sim, "y", true)?;
    must(&mut sim, "z", false)?;
    act(&mut sim, AgentAction::Kill)?;
    must(&mut sim, "z", false)?;
    act(&mut sim, AgentAction::RefuseTransactions(0))?;
    act(&mut sim, AgentAction::Start)?;
    must(&mut sim, "z", true)?;
    must_be_content(&mut sim)
}

fn refused_once() -> Outcome {
    let mut sim = cluster()?;
    act(&mut sim, AgentAction::RefuseTransactions(1))?;
    deny(&mut sim, "y")?;
    // The next change is waited for: by then the refusal is used up.
    while sim
        .seen_by(NODE)
        .is_some_and(|seen| seen.policies.is_empty())
    {
        std::thread::yield_now();
    }
    must(&mut sim, "y", true)?;
    deny(&mut sim, "z")?;
    must(&mut sim, "z", true)?;
    must_be_content(&mut sim)
}

const DAMAGES: [Damage; 3] = [
    Damage::DeleteTable,
    Damage::FlushRules,
    Damage::RemoveElements,
];

fn damaged() -> Outcome {
    let mut sim = cluster()?;
    deny(&mut sim, "y")?;
    for one in DAMAGES {
        damage(&mut sim, one)?;
        must(&mut sim, "y", true)?;
        must_be_content(&mut sim)?;
    }
    act(&mut sim, AgentAction::CutApi)?;
    damage(&mut sim, Damage::DeleteTable)?;
    must(&mut sim, "y", true)?;
    must_be_content(&mut sim)
}

fn damaged_without_agent() -> Outcome {
    for one in [Damage::DeleteTable, Damage::FlushRules] {
        let mut sim = cluster()?;
        deny(&mut sim, "y")?;
        act(&mut sim, AgentAction::Kill)?;
        damage(&mut sim, one)?;
        must(&mut sim, "y", false)?;
        act(&mut sim, AgentAction::Start)?;
        must(&mut sim, "y", true)?;
        must_be_content(&mut sim)?;
    }
    Ok(())
}

fn without_agent() -> Outcome {
    let mut sim = cluster_with(|world| {
        if let Some(node) = world.nodes.get_mut(NODE) {
            node.agent = false;
        }
    })?;
    deny(&mut sim, "y")?;
    must(&mut sim, "y", false)?;
    act(&mut sim, AgentAction::Start)?;
    must(&mut sim, "y", true)?;
    must_be_content(&mut sim)
}

fn foreign_table() -> Outcome {
    let mut sim = cluster()?;
    let node = NODE.to_owned();
    sim.change(&Change::CreateForeignTable { node })?;
    must_be_content(&mut sim)?;
    deny(&mut sim, "y")?;
    damage(&mut sim, Damage::DeleteTable)?;
    act(&mut sim, AgentAction::Restart)?;
    must(&mut sim, "y", true)?;
    must_be_content(&mut sim)
}
