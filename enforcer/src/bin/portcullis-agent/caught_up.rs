//! Whether the kernel has what the cluster had at some version: for programs that wait until what
//! they wrote is in force.

use std::time::{Duration, Instant};

use enforcer::{agent::Unsettled, kubernetes::Resource};

use crate::metrics::Subjects;

/// How long is waited where the question does not say.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why the answer is not yes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Behind {
    /// The question cannot be understood.
    #[error("`{0}`: ask with RESOURCE=VERSION for any of {all}, and within=MILLISECONDS", all = Resource::ALL.map(Resource::plural).join(", "))]
    Question(String),
    /// The API server has not told it yet.
    #[error("not told yet: {0}")]
    Untold(String),
    /// It was told, and it is not in the kernel.
    #[error("failed to {0}")]
    Unsettled(#[from] Unsettled),
}

impl Behind {
    /// The HTTP status that says so.
    pub(crate) fn code(&self) -> u16 {
        match self {
            Self::Question(_) => 400,
            Self::Untold(_) | Self::Unsettled(_) => 503,
        }
    }
}

/// Waits until all that is asked for is in the kernel.
pub(crate) fn wait(subjects: &Subjects, query: &str) -> Result<(), Behind> {
    let begun = Instant::now();
    let (versions, patience) = read(query)?;
    if !subjects.health.wait_for(&versions, patience) {
        let known = versions.iter().map(|(resource, wanted)| {
            let known = subjects.health.of(*resource).version;
            format!("{resource} {known} of {wanted}")
        });
        return Err(Behind::Untold(known.collect::<Vec<_>>().join(", ")));
    }
    let rest = patience.saturating_sub(begun.elapsed());
    Ok(subjects.agent.settle(rest)?)
}

fn read(query: &str) -> Result<(Vec<(Resource, u64)>, Duration), Behind> {
    let mut versions = Vec::new();
    let mut patience = PATIENCE;
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let wrong = || Behind::Question(part.to_owned());
        let (name, number) = part.split_once('=').ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        if name == "within" {
            patience = Duration::from_millis(number);
        } else {
            let resource = Resource::ALL.into_iter().find(|it| it.plural() == name);
            versions.push((resource.ok_or_else(wrong)?, number));
        }
    }
    Ok((versions, patience))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_resources_versions_and_patience() {
        let (versions, patience) =
            read("pods=12&networkpolicies=7&within=250").expect("it can be read");
        assert_eq!(
            versions,
            [(Resource::Pods, 12), (Resource::NetworkPolicies, 7)]
        );
        assert_eq!(patience, Duration::from_millis(250));
    }

    #[test]
    fn what_is_not_followed_cannot_be_asked_for() {
        for query in ["services=1", "pods", "pods=new"] {
            assert!(matches!(read(query), Err(Behind::Question(_))), "{query}");
        }
    }
}
