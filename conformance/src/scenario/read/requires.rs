//! `requires` and `when`, held against what the plays of a file do.

use std::collections::BTreeSet;

use enforcer::{
    diagnostic::Diagnostic,
    yaml::{Document, FieldPath, Location},
};

use crate::{
    cell::Protocol,
    scenario::{
        model::{Change, Families, Feature, Scenario, When},
        world::{AddressChoice, Pod, World},
    },
};

/// What is wrong with `requires` and with every `when` of a file.
pub(super) fn check(document: &Document, plays: &[Scenario]) -> Vec<Diagnostic> {
    let mut problems = check_features(document, plays);
    problems.extend(check_when(plays));
    problems
}

fn check_features(document: &Document, plays: &[Scenario]) -> Vec<Diagnostic> {
    let Some(first) = plays.first() else {
        return Vec::new();
    };
    let path = FieldPath::root().key("spec").key("requires");
    let stated = &first.requires;
    let used: BTreeSet<Feature> = plays.iter().flat_map(needed).collect();
    let possible: BTreeSet<Feature> = plays.iter().flat_map(possible).collect();
    let mut problems = Vec::new();
    for (index, feature) in stated.iter().enumerate() {
        let location = document.location(&path.index(index));
        if stated[..index].contains(feature) {
            let message = format!("`{}` is required twice", feature.name());
            problems.push(Diagnostic::new("scenario/duplicate", message).at(location, ""));
        } else if !used.contains(feature) && !possible.contains(feature) {
            let message = format!("nothing here needs `{}`", feature.name());
            problems.push(Diagnostic::new("scenario/requires", message).at(
                location,
                "so the scenario would be skipped where it could be played",
            ));
        }
    }
    let missing: Vec<&str> = used
        .iter()
        .filter(|feature| !stated.contains(feature))
        .map(|feature| feature.name())
        .collect();
    if !missing.is_empty() {
        let all: Vec<&str> = stated.iter().map(|feature| feature.name()).collect();
        let all = [all, missing.clone()].concat().join(", ");
        let location = if stated.is_empty() {
            document.key_location(&FieldPath::root().key("spec").key("cluster"))
        } else {
            document.key_location(&path)
        };
        let message = format!("this needs {}, and does not say so", missing.join(", "));
        problems.push(
            Diagnostic::new("scenario/requires", message)
                .at(location, "")
                .help(format!("add requires: [{all}], so that it is skipped with the reason where that cannot be done")),
        );
    }
    problems
}

/// The worlds of a play, from the beginning to the end.
fn worlds(play: &Scenario) -> impl Iterator<Item = &World> {
    std::iter::once(&play.world).chain(play.steps.iter().map(|step| &step.world))
}

fn pods(play: &Scenario) -> impl Iterator<Item = &Pod> {
    worlds(play).flat_map(|world| world.pods.values())
}

/// What a play certainly needs.
fn needed(play: &Scenario) -> BTreeSet<Feature> {
    let cells = || play.steps.iter().flat_map(|step| step.cells());
    let changes = || play.steps.iter().flat_map(|step| &step.changes);
    let services = || worlds(play).flat_map(|world| world.services.values());
    let nodes = || play.world.nodes.values();
    let has_chosen_address = |pod: &Pod| pod.address != AddressChoice::Fresh;
    let is_about_agents = |change: &Change| {
        matches!(
            change,
            Change::Agent { .. } | Change::Damage { .. } | Change::CreateForeignTable { .. }
        )
    };
    let questions = [
        (
            Feature::Sctp,
            cells().any(|cell| cell.port.protocol == Protocol::Sctp),
        ),
        (Feature::HostNetwork, pods(play).any(Pod::is_host_network)),
        (Feature::Services, services().next().is_some()),
        (
            Feature::NodePort,
            services()
                .flat_map(crate::scenario::Service::ports)
                .any(|port| port.node_port.is_some()),
        ),
        (Feature::External, !play.world.externals.is_empty()),
        (Feature::ChosenAddress, pods(play).any(has_chosen_address)),
        (
            Feature::HostPort,
            pods(play).any(|pod| !pod.host_ports().is_empty()),
        ),
        (Feature::PodMtu, nodes().any(|node| node.pod_mtu.is_some())),
        (
            Feature::StoredObjects,
            changes().any(|change| matches!(change, Change::StorePolicy(_))),
        ),
        (
            Feature::Agents,
            nodes().any(|node| !node.agent) || changes().any(is_about_agents),
        ),
    ];
    let needed = questions.into_iter().filter(|(_, is_needed)| *is_needed);
    needed.map(|(feature, _)| feature).collect()
}

/// What a play may need though nothing in it says so.
fn possible(play: &Scenario) -> BTreeSet<Feature> {
    let mut possible = BTreeSet::new();
    if play.world.nodes.len() > 1 {
        possible.insert(Feature::MultiNode);
    }
    if play.families != Families::Ipv4 {
        possible.insert(Feature::Ipv6);
    }
    if play.families == Families::Dual {
        possible.insert(Feature::DualStack);
    }
    let listens = |pod: &Pod| pod.listen.iter().any(|p| p.protocol == Protocol::Sctp);
    if pods(play).any(listens) {
        possible.insert(Feature::Sctp);
    }
    possible
}

/// Reports every `when` that holds in no play.
fn check_when(plays: &[Scenario]) -> Vec<Diagnostic> {
    let mut places: Vec<(&Location, bool)> = Vec::new();
    for play in plays {
        let steps = || play.steps.iter();
        let blocks = steps().flat_map(|step| &step.expectations);
        let uses = steps().flat_map(|step| &step.uses);
        let blocks = blocks.map(|block| (block.when, &block.location));
        let uses = uses.map(|used| (used.when, &used.location));
        for (when, location) in blocks.chain(uses) {
            let can_hold = when.is_none_or(|when: When| when.can_hold(play.options));
            match places.iter_mut().find(|(place, _)| *place == location) {
                Some((_, anywhere)) => *anywhere |= can_hold,
                None => places.push((location, can_hold)),
            }
        }
    }
    let never = places.into_iter().filter(|(_, anywhere)| !anywhere);
    never
        .map(|(location, _)| {
            Diagnostic::new("scenario/no-match", "this `when` holds in no play")
                .at(location.clone(), "")
                .help("`forEach` says which choices of the enforcer the file is played with")
        })
        .collect()
}
