//! The difference of two Plans as one transaction, and the two ways into the kernel.
//!
//! ```text
//! table inet portcullis
//!   map ingress-v4, egress-v6, ..      address of an isolated local pod -> number of its profile
//!   map ingress-profiles, ..           number of a profile              -> jump to the profile
//!   chain ingress/shop.web-4c1d        a profile: peers, then blocks, then the default
//!   chain ingress-classes              finds the number of the other side's class
//!   map classes-v4                     address that a selector matches  -> number of its class
//!   map peers-1a2b                     number of a class                -> return or goto ports
//!   map blocks-9c3d-v4                 disjoint ranges of ipBlocks      -> return or goto ports
//!   chain ingress-ports/77aa           looks ports-77aa up, else denied
//!   map ports-77aa                     protocol . port -> return
//!   chain denied-ingress               a pod may reach itself; everything else is dropped
//!   set programmed-v4                  known pods' addresses in the range  (hold)
//!   chain held                         drops                               (hold)
//!   chain revoked                      ct id { .. } -> goto denied-revoked (revoke)
//!   chain denied-revoked               drops                               (revoke)
//!   chain forward                      the hook
//! ```
//!
//! To allow is to `return` to the hook: it *jumps* to a profile and everything after that is a
//! *goto*, so that a `return` ends the one verdict and the next (egress, then ingress) follows. To
//! deny is to fall through to the end. A new connection costs a constant number of look-ups.
//!
//! **No verdict map has addresses of pods.** An address leads to a number, and the number to a
//! verdict. A pod that comes or goes, here or elsewhere, is thus one element per address, however
//! many profiles it matters to, and it costs the same at any size: for an element that leads to a
//! chain the kernel walks all verdict maps of the table to see that there is no loop (0.4 ms at 10,000
//! elements, 25 ms at 100,000), for a number it does not. It also walks a map when a rule comes that
//! asks it; so the rules that ask for classes are there once, in chains that all profiles jump to.
//!
//! The number goes from one look-up to the next in the packet's *priority*: `meta priority set ip
//! saddr map @ingress-v4 meta priority vmap @ingress-profiles`, or in two rules for classes. nft 1.0.6
//! can neither say nor list a look-up of what another look-up gave, though the kernel can do it. The
//! priority is the field that is least missed: it is not sent, the kernel sets it from the type of
//! service when it begins to forward an IPv4 packet, and queueing disciplines read it when the packet
//! leaves. It is written for packets that begin a connection of an isolated pod (replies and what
//! follows have passed before), and the hook's last rule makes it 0, "best effort", again. All numbers
//! have the highest bit set, by which that rule knows them. A look-up that finds nothing ends its rule
//! before the priority is written or read.
//!
//! The hook's rules, in their order:
//!
//! | rule | there with |
//! |---|---|
//! | `jump revoked` | `--established=revoke` |
//! | `ct state established,related accept` | |
//! | neighbour discovery passes | |
//! | `ip saddr 10.0.1.0/24 ip saddr != @programmed-v4 goto held`, then the same for `daddr`, for each range of the node | `--unprogrammed=hold` |
//! | `meta priority set ip saddr map @egress-v4 meta priority vmap @egress-profiles`, then the same of `daddr` and ingress, for each family | |
//! | `meta priority & 8000:0 == 8000:0 meta priority set none` | |
//!
//! With `--deny=reject` all chains `denied-..` end in a TCP reset or ICMP "administratively
//! prohibited". `held` never does: a pod that begins sends again, and is heard.
//!
//! **Connections that are cut** are known by conntrack's id, not by their ends: a later connection
//! between the same ends is another one. Nothing cheaper than a look-up of every packet will do,
//! because conntrack entries may not be deleted (see [`crate::conntrack`]); who does not ask for
//! `revoke` does not pay for it. The ids are the set of a rule and not a set with a name: nft 1.0.6
//! can list a set of `typeof ct id` but not be told of one in JSON, and takes no other type for it.
//! What changes about them replaces that one rule.
//!
//! Only `forward` is hooked. `input` and `output` carry what a node and its own pods say to each
//! other, which is always allowed (semantics 164, 165), and what a node says to the world, which is
//! nobody's business here (semantics 172); they would be for policies about nodes. `prerouting`
//! sees Service addresses instead of pods', `postrouting` may see rewritten sources.
//!
//! | module | what is in it |
//! |---|---|
//! | `transaction` | the typed operations |
//! | `layout` | what a Plan's tables are in the kernel: names, chains, maps, elements |
//! | `diff` | two Plans to one [`Transaction`] |
//! | `text` | the same as a script that people read |
//! | `netlink` | the transaction as one netlink batch ([`Netlink`]) |
//! | `watch` | noticing what others do to the table ([`NetlinkWatch`]) |
//! | `json`, `binary` | the same as JSON for the `nft` command ([`NftBinary`]) |
//!
//! Start at [`diff`]. What must never happen: an operation on a table that is not ours, a listing of
//! the kernel's state, half a transaction. A transaction that fails leaves everything as it was.

mod binary;
mod diff;
mod error;
mod json;
mod layout;
mod netlink;
mod text;
mod transaction;
mod watch;

pub use self::{
    binary::{NftBinary, NftNotFound},
    diff::{diff, remove_table},
    error::ApplyError,
    json::render_json,
    netlink::{Netlink, NetlinkWatch},
    text::render_text,
    transaction::{
        Chain, Element, End, Family, Hook, Key, KeyType, Map, Operation, Rule, Statement, Target,
        Transaction, Value, ValueType,
    },
    watch::{Look, Part, TableChange, Watch, following},
};

/// The table; of the family `inet`. No other is ever named.
pub const TABLE: &str = "portcullis";
/// The chain that is hooked.
const FORWARD: &str = "forward";
/// After DNAT (-100), before the filter chains of others (0) and before SNAT (100).
const PRIORITY: i32 = -20;
/// The chain that knows the connections that are cut.
const REVOKED: &str = "revoked";
/// The chain for addresses that wait for their pod.
const HELD: &str = "held";
/// ICMPv6 types that always pass.
const NEIGHBOUR_DISCOVERY: &str = "neighbour-discovery";
/// Multicast listener discovery 130-132 and 143, router and neighbour discovery 133-137
/// (semantics 117, 198).
const NEIGHBOUR_DISCOVERY_TYPES: [u8; 9] = [130, 131, 132, 133, 134, 135, 136, 137, 143];
/// Longest comment in bytes, as nft has it.
const COMMENT_MAX: usize = 128;
/// Longest readable part of a name in bytes; the kernel ends chain names at 128.
const READABLE_MAX: usize = 64;

/// Puts transactions into a kernel.
pub trait Dataplane: Send {
    /// Applies all of `transaction` or, if there is an error, nothing of it.
    ///
    /// # Errors
    /// Whatever the kernel or the way to it has to say.
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError>;

    /// Whether this is the netlink port that one of the latest transactions was sent from, so that
    /// a [`Watch`] can tell them from what others do.
    fn is_sender(&self, port: u32) -> bool;
}

impl<D: Dataplane + ?Sized> Dataplane for Box<D> {
    fn apply(&mut self, transaction: &Transaction) -> Result<(), ApplyError> {
        (**self).apply(transaction)
    }

    fn is_sender(&self, port: u32) -> bool {
        (**self).is_sender(port)
    }
}
