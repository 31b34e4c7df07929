//! What this kernel and node offer, and how to get what is missing.

use std::{fs, path::Path};

use enforcer::{
    conntrack::{Connections as _, Conntrack},
    nft::{Dataplane as _, Netlink, NetlinkWatch, NftBinary, remove_table},
};
use serde_json::json;

use crate::{
    Exit, Outcome,
    arguments::{Check, Output},
    bridge, neighbours,
    place::Netns,
    say,
};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    /// All is well.
    Good,
    /// The agent works without it.
    Optional,
    /// The agent could not protect this node.
    Bad,
}

struct Found {
    what: &'static str,
    finding: Finding,
    /// What it is like, and what to do about it.
    text: String,
}

/// Prints every finding.
pub(crate) fn check(arguments: &Check) -> Outcome {
    let netns = Netns::new(arguments.place.netns.as_deref());
    let found = netns.run(look)?;
    let is_good = found.iter().all(|found| found.finding != Finding::Bad);
    match arguments.output {
        Output::Json => {
            let findings: Vec<_> = found
                .iter()
                .map(|found| {
                    let finding = format!("{:?}", found.finding).to_lowercase();
                    json!({"what": found.what, "finding": finding, "text": found.text})
                })
                .collect();
            say(&format!(
                "{:#}",
                json!({"good": is_good, "findings": findings})
            ));
        }
        Output::Text => {
            for found in &found {
                let mark = match found.finding {
                    Finding::Good => "ok      ",
                    Finding::Optional => "note    ",
                    Finding::Bad => "MISSING ",
                };
                say(&format!("{mark} {}: {}", found.what, found.text));
            }
        }
    }
    Ok(if is_good { Exit::Yes } else { Exit::No })
}

fn look() -> Vec<Found> {
    let mut found = vec![nf_tables(), watch(), conntrack(), nft_command()];
    found.push(bridges());
    match neighbours::enforcers() {
        Ok(others) if others.is_empty() => found.push(Found {
            what: "other enforcers",
            finding: Finding::Good,
            text: "none that can be recognised by its tables or chains".to_owned(),
        }),
        Ok(others) => found.extend(others.iter().map(|other| Found {
            what: "other enforcers",
            finding: Finding::Bad,
            text: format!("{other}: {}", other.enforcer.fix),
        })),
        Err(error) => found.push(Found {
            what: "other enforcers",
            finding: Finding::Bad,
            text: format!("the names of tables cannot be listed: {error}"),
        }),
    }
    found
}

fn nf_tables() -> Found {
    // Removing what is not there changes nothing, but a kernel without nf_tables cannot even do
    // that. What is there must stay, so it is only tried if nothing is.
    let tried = match neighbours::has_own_table() {
        Ok(true) => Ok("ours is in force"),
        Ok(false) => Netlink::open()
            .map_err(anyhow::Error::from)
            .and_then(|mut netlink| Ok(netlink.apply(&remove_table())?))
            .map(|()| "takes transactions"),
        Err(error) => Err(error.into()),
    };
    match tried {
        Ok(text) => Found {
            what: "nf_tables",
            finding: Finding::Good,
            text: text.to_owned(),
        },
        Err(error) => Found {
            what: "nf_tables",
            finding: Finding::Bad,
            text: format!(
                "failed to {error:#}; needs CAP_NET_ADMIN and a kernel with CONFIG_NF_TABLES_INET"
            ),
        },
    }
}

fn watch() -> Found {
    match NetlinkWatch::open() {
        Ok(_) => Found {
            what: "changes by others",
            finding: Finding::Good,
            text: "are noticed".to_owned(),
        },
        Err(error) => Found {
            what: "changes by others",
            finding: Finding::Bad,
            text: format!("cannot be noticed: {error}"),
        },
    }
}

fn conntrack() -> Found {
    let listed = Conntrack::open().and_then(|mut conntrack| conntrack.live());
    match listed {
        Ok(_) => Found {
            what: "conntrack",
            finding: Finding::Good,
            text: "can be listed (--established revoke works)".to_owned(),
        },
        Err(error) => Found {
            what: "conntrack",
            finding: Finding::Optional,
            text: format!("cannot be listed, so --established revoke does not work: {error}"),
        },
    }
}

fn nft_command() -> Found {
    match NftBinary::find() {
        Ok(nft) => Found {
            what: "nft command",
            finding: Finding::Good,
            text: nft.path().display().to_string(),
        },
        Err(_) => Found {
            what: "nft command",
            finding: Finding::Optional,
            text: "none; only --dataplane nft needs it".to_owned(),
        },
    }
}

fn bridges() -> Found {
    let what = "bridges";
    let is_on = |name: &str| {
        fs::read_to_string(Path::new("/proc/sys/net/bridge").join(name))
            .is_ok_and(|value| value.trim() == "1")
    };
    match bridge::names() {
        Ok(names) if names.is_empty() => Found {
            what,
            finding: Finding::Good,
            text: "none here; pods are routed".to_owned(),
        },
        Ok(names) if is_on("bridge-nf-call-iptables") => Found {
            what,
            finding: Finding::Good,
            text: format!("what {} forwards passes the rules", names.join(", ")),
        },
        Ok(names) => Found {
            what,
            finding: Finding::Optional,
            text: format!(
                "what {} forwards escapes the rules; if pods hang there: modprobe br_netfilter; \
                 sysctl -w net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1",
                names.join(", ")
            ),
        },
        Err(error) => Found {
            what,
            finding: Finding::Bad,
            text: format!("the links cannot be listed: {error}"),
        },
    }
}
