//! What Portcullis is measured against: the classic shape of enforcers.
//!
//! Per isolated pod and direction there is a chain, which jumps to a chain per policy that selects
//! the pod; that has a rule per rule of the policy, with sets for the pod's policy and for its peers
//! (kube-router does so; Weave's has no chains and walks the rules of all policies). Kinder than the
//! originals in three things: established connections pass before anything else is asked, equal sets
//! are shared, and a pod that nothing isolates has no chain.
//!
//! | module | what is in it |
//! |---|---|
//! | `classic` | the shape, worked out from the index; IPv4 |
//! | `iptables` | as input of `ipset restore` and `iptables-restore` |
//! | `nft` | the same line by line as input of `nft -f` |
//! | `program` | finds and runs the programs |
//! | `queue` | a verdict from user space, for each new connection |

pub(crate) mod classic;
pub(crate) mod iptables;
pub(crate) mod nft;
pub(crate) mod program;
pub(crate) mod queue;

/// Jump targets are told apart by this bit of the packet's mark, as kube-router does it.
const MARK: &str = "0x10000/0x10000";
