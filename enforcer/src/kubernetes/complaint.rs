//! Policies that cannot be honoured in full, as somebody has to be told of them.

use std::{collections::BTreeMap, fmt, sync::Arc};

use tokio::sync::watch;

use crate::policy::{Policy, PolicyRef};

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Complaint {
    /// `metadata.uid` of the policy.
    pub uid: Arc<str>,
    /// Of which kind it is.
    pub fault: Fault,
    /// Every field that cannot be honoured, and what follows from it. Never empty.
    pub reasons: Vec<Arc<str>>,
}

/// Why a policy cannot be honoured in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// It says something that this version does not know (semantics 248).
    Unsupported,
    /// It says something that no API server of today would let through (semantics 227).
    Invalid,
}

impl Fault {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Unsupported, Self::Invalid];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsupported => "unsupported",
            Self::Invalid => "invalid",
        })
    }
}

impl Complaint {
    /// What is wrong with a policy; nothing if it can be honoured.
    pub(super) fn about(uid: &str, is_known: bool, lowered: &[Policy]) -> Option<Self> {
        let mut reasons: Vec<Arc<str>> = Vec::new();
        // Both directions have the reasons that concern the whole policy.
        for broken in lowered.iter().filter_map(|policy| policy.broken.as_deref()) {
            for reason in broken.lines() {
                if !reasons.iter().any(|known| **known == *reason) {
                    reasons.push(reason.into());
                }
            }
        }
        (!reasons.is_empty()).then(|| Self {
            uid: uid.into(),
            fault: if is_known {
                Fault::Invalid
            } else {
                Fault::Unsupported
            },
            reasons,
        })
    }
}

/// All policies of the cluster that cannot be honoured in full. Clones are of the same.
#[derive(Clone, Debug, Default)]
pub struct Complaints(Arc<watch::Sender<BTreeMap<PolicyRef, Complaint>>>);

impl Complaints {
    /// What there is now, and whatever changes from then on.
    pub fn subscribe(&self) -> watch::Receiver<BTreeMap<PolicyRef, Complaint>> {
        self.0.subscribe()
    }

    /// How many there are of a kind.
    pub fn count(&self, fault: Fault) -> usize {
        let all = self.0.borrow();
        all.values().filter(|one| one.fault == fault).count()
    }

    /// Replaces what is known about one policy.
    pub(super) fn note(&self, policy: &PolicyRef, complaint: Option<Complaint>) {
        self.0.send_if_modified(|all| match complaint {
            Some(new) if all.get(policy) == Some(&new) => false,
            Some(new) => {
                all.insert(policy.clone(), new);
                true
            }
            None => all.remove(policy).is_some(),
        });
    }

    /// Replaces everything.
    pub(super) fn reset(&self, new: BTreeMap<PolicyRef, Complaint>) {
        self.0.send_if_modified(|all| {
            let is_news = *all != new;
            *all = new;
            is_news
        });
    }
}
