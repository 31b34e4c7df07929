//! Which objects are ours: by a label, and by nothing else.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};

use super::{Live, LiveError};

/// The label of everything that a run makes; its value is the run's.
pub const RUN: &str = "portcullis.dev/run";
/// The label that tells people and tools who looks after an object.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "portcullis");

/// What one run of the program is called in labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunId(String);

impl RunId {
    const LENGTH: usize = 10;

    /// One that no other run has.
    pub fn fresh() -> Self {
        Self((0..Self::LENGTH).map(|_| fastrand::lowercase()).collect())
    }

    /// The labels of what it makes.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let (key, value) = MANAGED_BY;
        BTreeMap::from([
            (key.to_owned(), value.to_owned()),
            (RUN.to_owned(), self.0.clone()),
        ])
    }

    /// Labels an object as made by this run.
    pub fn mark(&self, metadata: &mut ObjectMeta) {
        let labels = metadata.labels.get_or_insert_default();
        labels.extend(self.labels());
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether some run of ours has made an object.
pub(super) fn is_ours(metadata: &ObjectMeta) -> bool {
    let labels = metadata.labels.as_ref();
    labels.is_some_and(|labels| labels.contains_key(RUN))
}

impl Live {
    /// Makes sure that there are no namespaces of these names: those of earlier runs of ours are
    /// removed.
    ///
    /// # Errors
    /// [`LiveError::NamespaceTaken`] if one is not ours; then nothing was touched.
    pub fn claim<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<(), LiveError> {
        let wanted: Vec<&str> = names.into_iter().collect();
        let existing = self.list::<Namespace>("", "")?;
        let mut leftovers = Vec::new();
        for namespace in existing {
            let name = namespace.metadata.name.clone().unwrap_or_default();
            if !wanted.contains(&name.as_str()) {
                continue;
            }
            if !is_ours(&namespace.metadata) {
                return Err(LiveError::NamespaceTaken(name));
            }
            leftovers.push(name);
        }
        self.end_namespaces(&leftovers)
    }
}
