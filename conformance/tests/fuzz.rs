//! Random worlds with fixed seeds: what `portcullis fuzz` does, in a few seconds.
//!
//! And that it would find something: enforcers that mishear policies are found, and what they got
//! wrong is boiled down to a scenario. What needs namespaces is reported as ignored where there are
//! none, with the reason.

use std::{env, ops::Range, process::ExitCode};

use conformance::{
    backend::sim::{Sim, missing_for, usual_fabric},
    fuzz::{
        PlanCase,
        plan::{Ear, honest},
        run::{Counts, Found, Mode, Outcome, Run},
        scenario::{Note, text},
        story::Story,
    },
    report::{Conclusion, ScenarioReport, human},
    runner::{self, Observer, Play, Simulator},
    scenario::{self, Scenario},
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use netsim::sandbox::Sandbox;

const SEED: u64 = 20_250_801;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // Before any thread starts, and only if something is going to be played.
    let sandbox = if arguments.list {
        Ok(None)
    } else {
        Sandbox::enter().map(Some)
    };
    let blocked = sandbox.as_ref().err().map(ToString::to_string);
    let needs_namespaces = |name: &str, test: fn() -> Result<(), Failed>| {
        let blocked = blocked
            .clone()
            .or_else(|| missing_for(usual_fabric()).map(Into::into));
        Trial::ignorable_test(name, move || match blocked {
            None => test().map(|()| Completion::Completed),
            Some(reason) => ignored(reason),
        })
    };
    let trials = vec![
        Trial::test("oracle_plan_and_explanation_agree", || {
            agree(Mode::Plan, 0..1_000)
        }),
        Trial::test("edits_lead_where_a_new_start_leads", || {
            agree(Mode::Edits, 0..20)
        }),
        Trial::test("an_except_that_is_not_heard_is_found", || {
            is_found(Mode::Plan, deaf_to_excepts)
        }),
        Trial::test("a_policy_that_is_not_heard_is_found", || {
            is_found(Mode::Plan, deaf_to_egress)
        }),
        Trial::test("an_edit_that_is_not_heard_is_found", || {
            is_found(Mode::Edits, deaf_to_egress)
        }),
        needs_namespaces("edits_leave_the_table_of_a_new_start", || {
            agree_in_kernel(Mode::Edits, 0..10)
        }),
        needs_namespaces("packets_agree", || agree_in_kernel(Mode::Kernel, 0..20)),
        needs_namespaces("a_packet_that_should_pass_is_found", || {
            is_found(Mode::Kernel, deaf_to_excepts)
        }),
        needs_namespaces("what_is_found_can_be_replayed", replayed),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The gate's machine has everything: there, what cannot be played is a failure.
fn ignored(reason: String) -> Result<Completion, Failed> {
    if env::var_os("PORTCULLIS_CI").is_some() {
        return Err(Failed::from(reason));
    }
    Ok(Completion::ignored_with(reason))
}

fn outcome(
    mode: Mode,
    cases: Range<u64>,
    has_namespaces: bool,
    ear: Ear,
) -> Result<(Outcome, Counts), Failed> {
    let counts = Counts::default();
    let run = Run {
        mode,
        seed: SEED,
        cases,
        deadline: None,
        jobs: 2,
        most_failures: 1,
        has_namespaces,
        sample: None,
        ear,
    };
    let mut outcome = run.go(&counts, &|| ());
    if let Some(trouble) = outcome.trouble.take() {
        return Err(format!("{trouble:#}").into());
    }
    Ok((outcome, counts))
}

fn agree(mode: Mode, cases: Range<u64>) -> Result<(), Failed> {
    nothing_found(&outcome(mode, cases, false, honest)?)
}

fn agree_in_kernel(mode: Mode, cases: Range<u64>) -> Result<(), Failed> {
    nothing_found(&outcome(mode, cases, true, honest)?)
}

fn nothing_found((outcome, counts): &(Outcome, Counts)) -> Result<(), Failed> {
    if let Some(found) = outcome.found.first() {
        return Err(format!("{}\n{}", found.what, scenario_of(found)).into());
    }
    let (connections, denied) = (
        counts.connections.load(RELAXED),
        counts.denied.load(RELAXED),
    );
    // Neither allowing nor denying everything would go unnoticed.
    if denied * 5 < connections || denied * 5 > connections * 4 {
        return Err(format!("{denied} of {connections} connections are denied").into());
    }
    Ok(())
}

const RELAXED: std::sync::atomic::Ordering = std::sync::atomic::Ordering::Relaxed;

/// An enforcer that does not hear of the holes in ranges.
fn deaf_to_excepts(policy: &NetworkPolicy) -> Option<NetworkPolicy> {
    let mut policy = policy.clone();
    let spec = policy.spec.get_or_insert_default();
    let from = spec.ingress.iter_mut().flatten().map(|rule| &mut rule.from);
    let to = spec.egress.iter_mut().flatten().map(|rule| &mut rule.to);
    let peers = from.chain(to).flatten().flatten();
    for block in peers.filter_map(|peer| peer.ip_block.as_mut()) {
        block.except = None;
    }
    Some(policy)
}

/// An enforcer that does not hear of policies for egress.
fn deaf_to_egress(policy: &NetworkPolicy) -> Option<NetworkPolicy> {
    let spec = policy.spec.as_ref();
    let mut types = spec
        .iter()
        .flat_map(|spec| spec.policy_types.iter().flatten());
    let is_about_egress = types.any(|name| name == "Egress");
    (!is_about_egress).then(|| policy.clone())
}

/// Whether a fault is found, and what is left of it is small and can be read as a scenario.
fn is_found(mode: Mode, fault: Ear) -> Result<(), Failed> {
    let (outcome, _) = outcome(mode, 0..400, mode == Mode::Kernel, fault)?;
    let Some(found) = outcome.found.first() else {
        return Err("nothing was found".into());
    };
    let size = (
        found.story.world.policies.len(),
        found.story.world.pods.len(),
        found.story.edits.len(),
    );
    let most = if mode == Mode::Edits {
        (1, 2, 2)
    } else {
        (1, 2, 0)
    };
    if size.0 > most.0 || size.1 > most.1 || size.2 > most.2 {
        return Err(format!("{size:?} is not small:\n{}", scenario_of(found)).into());
    }
    load(found).map(drop)
}

fn load(found: &Found) -> Result<Vec<Scenario>, Failed> {
    let text = scenario_of(found);
    scenario::load_text("found.yaml", &text, &scenario::Options::default())
        .map_err(|error| format!("{error}\n{text}").into())
}

fn scenario_of(found: &Found) -> String {
    let note = Note {
        name: "found".to_owned(),
        title: "what was found".to_owned(),
        description: found.what.clone(),
        options: found.options,
    };
    text(&found.story, &found.cells, &note)
}

/// What was found with a fault passes without it: the scenario says what the oracle says, and the
/// simulator's enforcers have no fault.
fn replayed() -> Result<(), Failed> {
    for (mode, fault) in [
        (Mode::Plan, deaf_to_excepts as Ear),
        (Mode::Edits, deaf_to_egress),
    ] {
        let (outcome, _) = outcome(mode, 0..400, false, fault)?;
        for found in outcome.found.iter().take(3) {
            for scenario in &load(found)? {
                play(scenario)?;
            }
        }
    }
    // So do whole cases: their worlds and policies can be said as scenarios.
    for case in 0..10 {
        let drawn = PlanCase::draw(SEED, case);
        let found = Found {
            mode: Mode::Plan,
            seed: SEED,
            case,
            options: drawn.options,
            story: Story::still(drawn.world),
            cells: drawn.cells,
            what: String::new(),
        };
        for scenario in &load(&found)? {
            play(scenario)?;
        }
    }
    Ok(())
}

fn play(scenario: &Scenario) -> Result<(), Failed> {
    let options = runner::Options::default();
    let fabric = usual_fabric();
    let report = runner::run_one(Play { scenario, fabric }, &Simulator, options, &Silent);
    match &report.conclusion {
        Conclusion::Passed => Ok(()),
        _ => Err(human::block(&report).into()),
    }
}

struct Silent;

impl Observer<Sim> for Silent {
    fn started(&self, _id: &str) {}

    fn finished(&self, _play: Play<'_>, _report: &ScenarioReport, _cluster: Option<Sim>) {}
}
