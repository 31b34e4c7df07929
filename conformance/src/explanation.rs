//! Why a connection is allowed or denied, for people: the enforcer's explanation, with the file,
//! line and column of every rule it names.

use enforcer::{
    explain::{self, Explanation, RuleRef, Side},
    plan::Packet,
    policy::{Direction, PolicyRef},
    yaml::{FieldPath, Location},
};

use crate::{
    backend::Backend,
    cell::Cell,
    judge::{self, Hop, routes},
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
    let hops = routes(backend, cell)
        .into_iter()
        .flat_map(|route| route.hops);
    for hop in hops.filter(Hop::is_judged) {
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
pub fn render(
    explanation: &Explanation,
    cell: &Cell,
    whereabouts: &dyn Whereabouts,
) -> Vec<String> {
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

/// How far the text after direction and endpoint is indented.
fn indent(endpoint: &str) -> String {
    " ".repeat("ingress  ".len() + endpoint.chars().count() + 2)
}

fn side(
    direction: Direction,
    side: &Side,
    endpoint: &str,
    whereabouts: &dyn Whereabouts,
) -> Vec<String> {
    let pod = side.pod.as_ref().map(ToString::to_string);
    let endpoint = pod.unwrap_or_else(|| endpoint.to_owned());
    let head = format!("{:<9}{endpoint}  ", direction.to_string());
    let verdict = if side.allowed { "allow" } else { "DENY" };
    if side.isolated_by.is_empty() {
        return vec![format!(
            "{head}no policy isolates it for {direction} => {verdict}"
        )];
    }
    let indent = indent(&endpoint);
    let mut lines = vec![format!("{head}isolated by")];
    let policies = side.isolated_by.iter();
    lines.extend(aligned(
        &format!("{indent}  "),
        policies.map(|policy| (policy.to_string(), whereabouts.policy(policy))),
    ));
    let rules = side.allowed_by.iter();
    lines.extend(aligned(
        &format!("{indent}allowed by "),
        rules.map(|rule| (rule.to_string(), whereabouts.rule(rule))),
    ));
    if side.allowed_by.is_empty() && !side.allowed {
        lines.extend(nearest(&indent, direction, side, whereabouts));
    }
    lines.push(format!("{indent}=> {verdict}"));
    lines
}

/// What came nearest to allowing it, and why it does not.
fn nearest(
    indent: &str,
    direction: Direction,
    side: &Side,
    whereabouts: &dyn Whereabouts,
) -> Vec<String> {
    let Some(miss) = &side.nearest else {
        return vec![format!("{indent}none of them has a rule for {direction}")];
    };
    let rule = (miss.rule.to_string(), whereabouts.rule(&miss.rule));
    let mut lines = vec![format!("{indent}no rule allows it; the nearest is")];
    lines.extend(aligned(&format!("{indent}  "), [rule]));
    let reasons = miss.reasons.iter();
    lines.extend(reasons.map(|reason| format!("{indent}  {reason}")));
    lines
}

/// Names and the places where they are written, in two columns.
fn aligned(
    before: &str,
    entries: impl IntoIterator<Item = (String, Option<Location>)>,
) -> Vec<String> {
    let entries: Vec<_> = entries.into_iter().collect();
    let widest = entries.iter().map(|(name, _)| name.chars().count()).max();
    let width = widest.unwrap_or_default();
    let line = |(name, location): &(String, Option<Location>)| match location {
        Some(location) => format!("{before}{name:<width$}   {location}"),
        None => format!("{before}{name}"),
    };
    entries.iter().map(line).collect()
}

/// Where a rule or a peer stands in its object: `spec.ingress[0].from[1]`.
pub fn path_of(rule: &RuleRef) -> FieldPath {
    let (rules, peers) = match rule.direction {
        Direction::Ingress => ("ingress", "from"),
        Direction::Egress => ("egress", "to"),
    };
    let path = FieldPath::root().key("spec").key(rules).index(rule.rule);
    match rule.peer {
        Some(peer) => path.key(peers).index(peer),
        None => path,
    }
}
