//! Kernel settings of a namespace. `/proc/sys/net` shows the namespace of the thread that opens it.

use std::{fs, io};

use crate::{netns::Netns, topology::Fabric};

/// A setting and its value. `?` before the name: kernels exist that do not have it.
type Setting = (&'static str, &'static str);

/// Of every namespace.
const ALL: &[Setting] = &[
    // A refusal must be seen as often as it happens, not as often as the kernel likes to speak: no kind
    // of ICMP error is limited (bit 255 of ICMPv6 is none). Each setting costs 20 µs a pod.
    ("ipv4/icmp_ratemask", "0"),
    ("?ipv6/icmp/ratemask", "255"),
];

/// Of those that pass on what is not for them.
const ROUTER: &[Setting] = &[
    ("ipv4/ip_forward", "1"),
    ("?ipv6/conf/all/forwarding", "1"),
    // Links have no link-local addresses, hence no detection of duplicates, no reports, no
    // solicitations. Where there is but one, it is told by netlink.
    ("?ipv6/conf/default/addr_gen_mode", "1"),
    // Packets rewritten to an endpoint come back another way than they went.
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    // A packet that leaves by the link it came by is a pod behind a Service, not a mistake.
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
];

/// What a node's bridge shows to the node's rules.
const BRIDGED_SEEN: &[Setting] = &[
    ("bridge/bridge-nf-call-iptables", "1"),
    ("bridge/bridge-nf-call-ip6tables", "1"),
];

/// The underlay is a cable: nobody looks at what passes.
const BRIDGED_UNSEEN: &[Setting] = &[
    ("?bridge/bridge-nf-call-iptables", "0"),
    ("?bridge/bridge-nf-call-ip6tables", "0"),
];

/// What a namespace is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Underlay,
    Node(Fabric),
    Pod,
    External,
}

impl Role {
    fn settings(self) -> impl Iterator<Item = &'static Setting> {
        let lists: &[&[Setting]] = match self {
            Self::Underlay => &[ALL, ROUTER, BRIDGED_UNSEEN],
            Self::Node(Fabric::Bridge) => &[ALL, ROUTER, BRIDGED_SEEN],
            Self::Node(Fabric::Routed) => &[ALL, ROUTER],
            Self::Pod | Self::External => &[ALL],
        };
        lists.iter().copied().flatten()
    }
}

/// Why a namespace does not behave as it should.
#[derive(Debug, thiserror::Error)]
pub enum SysctlError {
    /// The kernel module `br_netfilter` is not loaded.
    #[error(
        "show bridged packets to the node's rules: the kernel module br_netfilter is not loaded \
         (sudo modprobe br_netfilter, or take the routed fabric)"
    )]
    NoBridgeNetfilter,
    /// As in most containers.
    #[error(
        "set net/{0}: /proc/sys is read-only here, as in most containers \
         (docker run --privileged, or --security-opt systempaths=unconfined)"
    )]
    ReadOnly(&'static str),
    /// A setting cannot be written.
    #[error("set net/{name} to {value}")]
    Refused {
        /// Below `/proc/sys/net`.
        name: &'static str,
        /// What was to be written.
        value: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// The namespace cannot be entered.
    #[error("enter a namespace")]
    Enter(#[source] io::Error),
}

/// Makes each namespace what it is to be.
pub(crate) fn set<'a>(
    namespaces: impl IntoIterator<Item = &'a Netns, IntoIter: Send>,
    role: Role,
) -> Result<(), SysctlError> {
    Netns::run_each(namespaces, |_| {
        role.settings()
            .try_for_each(|(name, value)| write(name, value))
    })
    .map_err(SysctlError::Enter)?
    .into_iter()
    .collect()
}

fn write(name: &'static str, value: &'static str) -> Result<(), SysctlError> {
    let (optional, name) = match name.strip_prefix('?') {
        Some(name) => (true, name),
        None => (false, name),
    };
    match fs::write(format!("/proc/sys/net/{name}"), value) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && optional => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && name.starts_with("bridge/") => {
            Err(SysctlError::NoBridgeNetfilter)
        }
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            Err(SysctlError::ReadOnly(name))
        }
        Err(source) => Err(SysctlError::Refused {
            name,
            value,
            source,
        }),
    }
}
