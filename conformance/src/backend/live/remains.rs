//! What a run has made and must not leave behind.

use std::collections::BTreeSet;

use futures::future::try_join_all;

use super::{
    Live, LiveError,
    objects::{Object, collection},
};

/// Remembers what was made, and removes it when it is dropped, unless it is to be kept.
pub struct Remains {
    live: Live,
    namespaces: BTreeSet<String>,
    /// Other objects: the path of their collection, and their name.
    others: BTreeSet<(String, String)>,
    is_kept: bool,
}

impl Remains {
    /// Of nothing yet.
    pub fn new(live: &Live) -> Self {
        Self {
            live: live.clone(),
            namespaces: BTreeSet::new(),
            others: BTreeSet::new(),
            is_kept: false,
        }
    }

    /// A namespace, with everything that will be in it. Said before it is created.
    pub fn add_namespace(&mut self, name: &str) {
        self.namespaces.insert(name.to_owned());
    }

    /// An object outside all namespaces. Said before it is created.
    pub fn add<K: Object>(&mut self, name: &str) {
        self.others.insert((collection::<K>(""), name.to_owned()));
    }

    /// An object in a namespace that is not ours. Said before it is created.
    pub fn add_guest<K: Object>(&mut self, namespace: &str, name: &str) {
        let path = collection::<K>(namespace);
        self.others.insert((path, name.to_owned()));
    }

    /// Everything stays.
    pub fn keep(&mut self) {
        self.is_kept = true;
    }

    /// Removes everything, and returns when it is gone.
    ///
    /// # Errors
    /// What could not be removed stays remembered.
    pub fn remove(&mut self) -> Result<(), LiveError> {
        let others = self.others.iter();
        let deletions = others.map(|(path, name)| self.live.delete_at(path, name));
        self.live.wait(try_join_all(deletions))?;
        self.others.clear();
        let namespaces: Vec<String> = self.namespaces.iter().cloned().collect();
        self.live.end_namespaces(&namespaces)?;
        self.namespaces.clear();
        Ok(())
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        if !self.is_kept {
            // Whoever must know calls `remove`; here is nobody left to tell.
            let _ = self.remove();
        }
    }
}

impl Live {
    async fn delete_at(&self, path: &str, name: &str) -> Result<(), LiveError> {
        let parameters = kube::api::DeleteParams {
            grace_period_seconds: Some(0),
            ..kube::api::DeleteParams::default()
        };
        let request = kube::core::Request::new(path).delete(name, &parameters);
        let answer = match request.map_err(kube::Error::BuildRequest) {
            Ok(request) => self.client.request_text(request).await,
            Err(error) => Err(error),
        };
        match answer {
            Err(error) if super::error::code(&error) != Some(404) => Err(LiveError::request(
                "delete",
                format!("{path}/{name}"),
                error,
            )),
            _ => Ok(()),
        }
    }
}
