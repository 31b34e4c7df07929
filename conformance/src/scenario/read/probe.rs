//! Whether the probes of a block can be sent, and what comes of them can go wrong.

use enforcer::{diagnostic::Diagnostic, yaml::FieldPath};

use super::Reader;
use crate::{
    cell::{Cell, Port, Protocol},
    scenario::{
        model::{Expectation, Expected},
        world::World,
    },
};

/// The most that one datagram carries: an IP packet without its header and that of UDP.
const MOST_IN_A_DATAGRAM: usize = 65_507;

/// More than this over TCP shows nothing more, and takes time.
const MOST_IN_A_STREAM: usize = 16 << 20;

/// Reports what is wrong with the probes of a block.
pub(super) fn check(reader: &mut Reader, world: &World, path: &FieldPath, block: &Expectation) {
    check_source_port(reader, world, path, block);
    check_payload(reader, path, block);
    check_mixed_endpoints(reader, world, block);
    check_can_fail(reader, path, block);
}

fn check_source_port(reader: &mut Reader, world: &World, path: &FieldPath, block: &Expectation) {
    let Some(number) = block.source_port else {
        return;
    };
    let is_taken = |cell: &Cell| {
        let own = Port {
            number: Some(number),
            protocol: cell.port.protocol,
        };
        world.listening(&cell.source).iter().any(|p| p.value == own)
    };
    let problem = block.cells.iter().find_map(|cell| {
        let cell = &cell.cell;
        if number == 0 {
            Some("0 is not a port: ports are whole numbers from 1 to 65535".to_owned())
        } else if cell.port.protocol == Protocol::Icmp {
            Some(format!("ICMP has no ports, and the block is about {cell}"))
        } else if is_taken(cell) {
            let protocol = cell.port.protocol;
            Some(format!(
                "{} itself listens on {number}/{protocol}",
                cell.source
            ))
        } else {
            None
        }
    });
    if let Some(message) = problem {
        let problem = Diagnostic::new("scenario/probe", message)
            .at(
                reader.at(&path.key("sourcePort")),
                "so no probe can come from this port",
            )
            .help("`ports` says which connections a block is about");
        reader.report(problem);
    }
}

fn check_payload(reader: &mut Reader, path: &FieldPath, block: &Expectation) {
    let Some(bytes) = block.payload else {
        return;
    };
    let problem = block
        .cells
        .iter()
        .find_map(|cell| match cell.cell.port.protocol {
            _ if bytes == 0 => Some("a payload of nothing".to_owned()),
            Protocol::Udp if bytes > MOST_IN_A_DATAGRAM => Some(format!(
                "a datagram carries at most {MOST_IN_A_DATAGRAM} bytes"
            )),
            Protocol::Tcp if bytes > MOST_IN_A_STREAM => {
                Some(format!("a probe sends at most {MOST_IN_A_STREAM} bytes"))
            }
            Protocol::Icmp | Protocol::Sctp => Some(format!(
                "only TCP and UDP probes carry a payload, and the block is about {}",
                cell.cell
            )),
            Protocol::Udp | Protocol::Tcp => None,
        });
    if let Some(message) = problem {
        let problem = Diagnostic::new("scenario/probe", message)
            .at(reader.at(&path.key("payload")), "")
            .help("`ports` says which connections a block is about");
        reader.report(problem);
    }
}

/// Reports a denial of a connection to a Service that is only true of some of its endpoints.
fn check_mixed_endpoints(reader: &mut Reader, world: &World, block: &Expectation) {
    let mixed = block
        .cells
        .iter()
        .find(|cell| cell.expected == Expected::Deny && world.is_sometimes_allowed(&cell.cell));
    let Some(mixed) = mixed else {
        return;
    };
    let Cell {
        source,
        destination,
        ..
    } = &mixed.cell;
    let mut problem = Diagnostic::new(
        "scenario/mixed-endpoints",
        format!(
            "{} can reach endpoints that no policy can deny it",
            mixed.cell
        ),
    );
    if let Some(location) = mixed.origin.location() {
        problem = problem.at(
            location.clone(),
            "whether this is denied depends on the endpoint that is picked",
        );
    }
    let problem = problem
        .note(format!(
            "{source} itself, or a pod of its node, is among the pods behind {destination}"
        ))
        .help(format!("say either: [{source} -> {destination}]"));
    reader.report(problem);
}

/// Reports a block of which anything may come.
fn check_can_fail(reader: &mut Reader, path: &FieldPath, block: &Expectation) {
    let is_open = block.cells.iter().all(|cell| {
        cell.expected == Expected::Either
            && cell.because.is_none()
            && cell.source_seen.is_none()
            && cell.served_by.is_none()
    });
    if is_open && !block.cells.is_empty() && block.never.is_empty() {
        let problem = Diagnostic::new(
            "scenario/cannot-fail",
            "whatever comes of these connections is right",
        )
        .at(reader.at_key(path), "so this expectation cannot fail")
        .help("leave it out, or say of some connections what must come of them");
        reader.report(problem);
    }
}
