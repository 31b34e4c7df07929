//! Where places are, for threads that go on while pods come and go.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, Weak},
};

use crate::{netns::Netns, place::Place};

/// The namespaces of all places as of now. Knowing one does not keep it alive.
#[derive(Debug, Clone, Default)]
pub(crate) struct Whereabouts(Arc<RwLock<BTreeMap<Place, Weak<Netns>>>>);

impl Whereabouts {
    /// `None`: the place is gone, or has not come yet.
    pub(crate) fn of(&self, place: &Place) -> Option<Arc<Netns>> {
        let places = self.0.read().unwrap_or_else(PoisonError::into_inner);
        places.get(place)?.upgrade()
    }

    pub(crate) fn come(&self, place: Place, netns: &Arc<Netns>) {
        let mut places = self.0.write().unwrap_or_else(PoisonError::into_inner);
        places.insert(place, Arc::downgrade(netns));
    }

    pub(super) fn go(&self, place: &Place) {
        let mut places = self.0.write().unwrap_or_else(PoisonError::into_inner);
        places.remove(place);
    }
}
