//! Why a connection is allowed or denied, for people: the enforcer's explanation, with the file,
//! line and column of every rule it names.

use enforcer::{
    explain::{self, Explanation, RuleRef, Side},
    plan::Packet,
    policy::{Direction, PolicyRef},
    yaml::Location,
};

use crate::{
    backend::Backend,
    cell::Cell,
    judge::{self, routes},
};

/// Where the rules of a policy are written: the policy and a path in it to a place in a file.
pub trait Whereabouts {
    /// Where a policy begins.
    fn policy(&self, policy: &PolicyRef) -> Option<Location>;

    /// Where a rule or a peer is.
    fn rule(&self, rule: &RuleRef) -> Option<Location>;
}

/// One explanation per packet that a cell sends through a forward hook: one for most, more for a
/// Service with several endpoints.
pub fn explain(backend: &dyn Backend, cell: &Cell) -> Vec<Explanation> {
    let mut packets: Vec<Packet> = Vec::new();
    for hop in routes(backend, cell).into_iter().flat_map(|route| route.hops) {
        let packet = Packet {
            source: hop.source,
            destination: hop.destination,
            transport: judge::transport(hop.port, hop.source.is_ipv6()),
        };
        if !packets.contains(&packet) {
            packets.push(packet);
        }
    }
    packets
        .iter()
        .map(|packet| explain::explain(backend.index(), packet))
        .collect()
}

/// The explanation as lines of text, egress first, both directions told apart.
pub fn render(explanation: &Explanation, cell: &Cell, whereabouts: &dyn Whereabouts) -> Vec<String> {
    let mut lines = side(
        Direction::Egress,
        &explanation.egress,
        &cell.source.to_string(),
        whereabouts,
    );
    lines.extend(side(
        Direction::Ingress,
        &explanation.ingress,
        &cell.destination.to_string(),
        whereabouts,
    ));
    lines
}

/// Width of the columns before policy names.
const INDENT: &str = "                    ";

fn side(
    direction: Direction,
    side: &Side,
    endpoint: &str,
    whereabouts: &dyn Whereabouts,
) -> Vec<String> {
    let endpoint = side.pod.as_ref().map_or(endpoint.to_owned(), ToString::to_string);
    let verdict = if side.allowed { "allow" } else { "DENY" };
    if side.isolated_by.is_empty() {
        let head = format!("{direction:<8}{endpoint:<12}");
        return vec![format!(
            "{head}not isolated: no policy selects it for {direction} => {verdict}"
        )];
    }
    let mut lines = vec![format!("{direction:<8}{endpoint:<12}isolated by")];
    for policy in &side.isolated_by {
        lines.push(format!(
            "{INDENT}  {}",
            at(&policy.to_string(), whereabouts.policy(policy))
        ));
    }
    for rule in &side.allowed_by {
        lines.push(format!(
            "{INDENT}allowed by {}",
            at(&rule.to_string(), whereabouts.rule(rule))
        ));
    }
    if side.allowed_by.is_empty() && !side.allowed {
        match &side.nearest {
            Some(miss) => {
                lines.push(format!(
                    "{INDENT}no rule matches; the nearest is {}",
                    at(&miss.rule.to_string(), whereabouts.rule(&miss.rule))
                ));
                let reasons = miss.reasons.iter();
                lines.extend(reasons.map(|reason| format!("{INDENT}  {reason}")));
            }
            None => lines.push(format!("{INDENT}none of them has a rule for {direction}")),
        }
    }
    lines.push(format!("{INDENT}=> {verdict}"));
    lines
}

fn at(what: &str, location: Option<Location>) -> String {
    match location {
        Some(location) => format!("{what}   {location}"),
        None => what.to_owned(),
    }
}
