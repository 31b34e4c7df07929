//! Objects: created, replaced, patched, deleted, waited for.

use std::{fmt::Debug, time::Duration};

use futures::TryStreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Resource, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
    core::{ObjectList, Request},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, timeout_at};

use super::{Live, LiveError, error::code, interrupt, refusal};

/// A kind of object that is known when this is compiled.
pub trait Object:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize + Send + Sync + 'static
{
}

impl<K> Object for K where
    K: Resource<DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
        + Send
        + Sync
        + 'static
{
}

/// How long something may take before it counts as not coming about.
pub type Patience = Duration;

/// How often a write is tried that meets somebody else's.
const ATTEMPTS: usize = 5;

/// `pod x/a`.
pub(super) fn called<K: Object>(namespace: &str, name: &str) -> String {
    let kind = K::kind(&()).to_lowercase();
    if namespace.is_empty() {
        format!("{kind} {name}")
    } else {
        format!("{kind} {namespace}/{name}")
    }
}

fn names<K: Object>(object: &K) -> (String, String) {
    let namespace = object.namespace().unwrap_or_default();
    (namespace, object.name_any())
}

pub(super) fn collection<K: Object>(namespace: &str) -> String {
    K::url_path(&(), (!namespace.is_empty()).then_some(namespace))
}

fn body<T: Serialize>(object: &T) -> Vec<u8> {
    serde_json::to_vec(object).expect("API types are JSON")
}

fn no_request(error: kube::core::request::Error) -> kube::Error {
    kube::Error::BuildRequest(error)
}

impl Live {
    /// Creates an object.
    ///
    /// # Errors
    /// [`LiveError::Refused`] with what validation says.
    pub fn create<K: Object>(&self, object: &K) -> Result<K, LiveError> {
        self.ask(self.creating(object, false))
    }

    /// Creates objects, all at the same time; the answers are in their order.
    ///
    /// # Errors
    /// As [`Self::create`]; some may have been created.
    pub fn create_all<K: Object>(&self, objects: &[K]) -> Result<Vec<K>, LiveError> {
        let all = objects.iter().map(|object| self.creating(object, false));
        self.ask(futures::future::try_join_all(all))
    }

    /// Creates objects, all at the same time; those that somebody else has made are left alone.
    ///
    /// # Errors
    /// As [`Self::create`]; some may have been created.
    pub fn create_missing<K: Object>(&self, objects: &[K]) -> Result<(), LiveError> {
        let all = objects.iter().map(|object| async {
            match self.creating(object, false).await {
                Err(error) if error.code() == Some(409) => Ok(()),
                answer => answer.map(drop),
            }
        });
        self.ask(futures::future::try_join_all(all)).map(drop)
    }

    async fn creating<K: Object>(&self, object: &K, is_dry: bool) -> Result<K, LiveError> {
        let (namespace, name) = names(object);
        let parameters = PostParams {
            dry_run: is_dry,
            ..PostParams::default()
        };
        let request = Request::new(collection::<K>(&namespace));
        let request = request
            .create(&parameters, body(object))
            .map_err(no_request);
        let answer = match request {
            Ok(request) => self.client.request(request).await,
            Err(error) => Err(error),
        };
        answer.map_err(|error| refused("create", called::<K>(&namespace, &name), error))
    }

    /// Replaces an object, whoever has changed it since.
    ///
    /// # Errors
    /// [`LiveError::Refused`] with what validation says.
    pub fn replace<K: Object>(&self, object: &K) -> Result<K, LiveError> {
        self.ask(self.replacing(object, "", false))
    }

    /// Replaces the status of an object, whoever has changed the object since.
    ///
    /// # Errors
    /// As [`Self::replace`].
    pub fn replace_status<K: Object>(&self, object: &K) -> Result<K, LiveError> {
        self.ask(self.replacing(object, "status", false))
    }

    /// Replaces the status of objects, all at the same time.
    ///
    /// # Errors
    /// As [`Self::replace`].
    pub fn replace_status_of_all<K: Object>(&self, objects: &[K]) -> Result<Vec<K>, LiveError> {
        let all = objects
            .iter()
            .map(|object| self.replacing(object, "status", false));
        self.ask(futures::future::try_join_all(all))
    }

    pub(super) async fn replacing<K: Object>(
        &self,
        object: &K,
        subresource: &str,
        is_dry: bool,
    ) -> Result<K, LiveError> {
        let mut object = object.clone();
        let metadata: &mut ObjectMeta = object.meta_mut();
        metadata.resource_version = None;
        metadata.managed_fields = None;
        let (namespace, name) = names(&object);
        let parameters = PostParams {
            dry_run: is_dry,
            ..PostParams::default()
        };
        let path = Request::new(collection::<K>(&namespace));
        let mut attempts = 0;
        loop {
            attempts += 1;
            let data = body(&object);
            let request = if subresource.is_empty() {
                path.replace(&name, &parameters, data)
            } else {
                path.replace_subresource(subresource, &name, &parameters, data)
            };
            let answer = match request.map_err(no_request) {
                Ok(request) => self.client.request(request).await,
                Err(error) => Err(error),
            };
            match answer {
                Err(error) if code(&error) == Some(409) && attempts < ATTEMPTS => {}
                answer => {
                    let object = called::<K>(&namespace, &name);
                    return answer.map_err(|error| refused("replace", object, error));
                }
            }
        }
    }

    /// Creates an object, or replaces the one of its name.
    ///
    /// # Errors
    /// [`LiveError::Refused`] with what validation says.
    pub fn apply<K: Object>(&self, object: &K) -> Result<K, LiveError> {
        self.ask(self.applying(object, false))
    }

    /// Asks whether the server would take an object, as a new one or in place of the one of its
    /// name; nothing is stored.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn admit<K: Object>(&self, object: &K) -> Result<K, LiveError> {
        self.ask(self.applying(object, true))
    }

    async fn applying<K: Object>(&self, object: &K, is_dry: bool) -> Result<K, LiveError> {
        if object.name_any().is_empty() {
            // There is nothing to replace under that path but the whole collection.
            return self.creating(object, is_dry).await;
        }
        match self.replacing(object, "", is_dry).await {
            Err(error) if error.is_missing() => self.creating(object, is_dry).await,
            answer => answer,
        }
    }

    /// Changes what a JSON merge patch names.
    ///
    /// # Errors
    /// [`LiveError::Refused`] with what validation says.
    pub fn patch<K: Object>(
        &self,
        namespace: &str,
        name: &str,
        patch: &serde_json::Value,
    ) -> Result<K, LiveError> {
        let request = Request::new(collection::<K>(namespace));
        let request = request.patch(name, &PatchParams::default(), &Patch::Merge(patch));
        let patched = async {
            let request = request.map_err(no_request)?;
            self.client.request(request).await
        };
        let object = called::<K>(namespace, name);
        self.ask(async {
            patched
                .await
                .map_err(|error| refused("patch", object, error))
        })
    }

    /// Deletes an object and says what the server answered: the object, if it is not gone yet or as
    /// it was last. `grace` are the seconds that it may still have; what is usual if none.
    ///
    /// # Errors
    /// [`LiveError::is_missing`] if there is none.
    pub fn delete<K: Object>(
        &self,
        namespace: &str,
        name: &str,
        grace: Option<u32>,
    ) -> Result<Option<K>, LiveError> {
        self.ask(self.deleting(namespace, name, grace))
    }

    pub(super) async fn deleting<K: Object>(
        &self,
        namespace: &str,
        name: &str,
        grace: Option<u32>,
    ) -> Result<Option<K>, LiveError> {
        let parameters = DeleteParams {
            grace_period_seconds: grace,
            ..DeleteParams::default()
        };
        let request = Request::new(collection::<K>(namespace)).delete(name, &parameters);
        let answer = match request.map_err(no_request) {
            Ok(request) => self.client.request_status::<K>(request).await,
            Err(error) => Err(error),
        };
        let object = called::<K>(namespace, name);
        let answer = answer.map_err(|error| LiveError::request("delete", object, error))?;
        Ok(answer.left())
    }

    /// Reads an object; nothing if there is none.
    ///
    /// # Errors
    /// [`LiveError::Request`].
    pub fn get<K: Object>(&self, namespace: &str, name: &str) -> Result<Option<K>, LiveError> {
        self.ask(self.getting(namespace, name))
    }

    pub(super) async fn getting<K: Object>(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<K>, LiveError> {
        let request = Request::new(collection::<K>(namespace));
        let request = request.get(name, &kube::api::GetParams::default());
        let answer = match request.map_err(no_request) {
            Ok(request) => self.client.request(request).await.map(Some),
            Err(error) => Err(error),
        };
        let answer = match answer {
            Err(error) if code(&error) == Some(404) => Ok(None),
            answer => answer,
        };
        answer.map_err(|error| LiveError::request("read", called::<K>(namespace, name), error))
    }

    /// Lists objects: in one namespace, or everywhere if it is empty; with a label selector if it is
    /// not empty.
    ///
    /// # Errors
    /// [`LiveError::Request`].
    pub fn list<K: Object>(&self, namespace: &str, labels: &str) -> Result<Vec<K>, LiveError> {
        let parameters = ListParams::default().labels(labels);
        let request = Request::new(collection::<K>(namespace)).list(&parameters);
        self.ask(async {
            let list = match request.map_err(no_request) {
                Ok(request) => self.client.request::<ObjectList<K>>(request).await,
                Err(error) => Err(error),
            };
            let plural = K::plural(&());
            let list = list.map_err(|error| LiveError::request("list", plural, error))?;
            Ok(list.items)
        })
    }

    /// Waits until an object is as it should be; `None` is one that does not exist. `what` reads
    /// after "failed to see".
    ///
    /// # Errors
    /// [`LiveError::Late`]; what the object was like last can be asked for again.
    pub fn wait_until<K: Object>(
        &self,
        (namespace, name): (&str, &str),
        patience: Patience,
        what: &str,
        mut is_so: impl FnMut(Option<&K>) -> bool,
    ) -> Result<Option<K>, LiveError> {
        let end = Instant::now() + patience;
        self.ask(async {
            let waiting = self.watching(namespace, name, &mut is_so);
            match timeout_at(end, waiting).await {
                Ok(answer) => answer,
                Err(_) => Err(LiveError::Late {
                    what: what.to_owned(),
                    patience,
                    hint: String::new(),
                }),
            }
        })
    }

    pub(super) async fn watching<K: Object>(
        &self,
        namespace: &str,
        name: &str,
        is_so: &mut impl FnMut(Option<&K>) -> bool,
    ) -> Result<Option<K>, LiveError> {
        let only = format!("metadata.name={name}");
        let path = Request::new(collection::<K>(namespace));
        let failed = |error| LiveError::request("watch", called::<K>(namespace, name), error);
        loop {
            let request = path.list(&ListParams::default().fields(&only));
            let request = request.map_err(no_request).map_err(failed)?;
            let list = self.client.request::<ObjectList<K>>(request).await;
            let list = list.map_err(failed)?;
            let found = list.items.into_iter().next();
            if is_so(found.as_ref()) {
                return Ok(found);
            }
            let version = list.metadata.resource_version.unwrap_or_default();
            let watch = path.watch(&WatchParams::default().fields(&only), &version);
            let watch = watch.map_err(no_request).map_err(failed)?;
            let events = self
                .client
                .request_events::<K>(watch)
                .await
                .map_err(failed)?;
            let mut events = std::pin::pin!(events);
            // A watch that ends, however it ends, is followed by a list.
            while let Ok(Some(event)) = events.try_next().await {
                match event {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                        if is_so(Some(&object)) {
                            return Ok(Some(object));
                        }
                    }
                    WatchEvent::Deleted(_) => {
                        if is_so(None) {
                            return Ok(None);
                        }
                    }
                    WatchEvent::Bookmark(_) => {}
                    WatchEvent::Error(_) => break,
                }
            }
        }
    }

    /// Waits for an answer, unless the person loses patience.
    pub(super) fn ask<T>(
        &self,
        work: impl Future<Output = Result<T, LiveError>>,
    ) -> Result<T, LiveError> {
        self.wait(async {
            tokio::select! {
                answer = work => answer,
                () = interrupt::interrupted() => Err(LiveError::Interrupted),
            }
        })
    }
}

fn refused(verb: &'static str, object: String, error: kube::Error) -> LiveError {
    match error {
        kube::Error::Api(status) if status.code == 422 => LiveError::Refused {
            object,
            errors: refusal::errors(&status),
        },
        error => LiveError::request(verb, object, error),
    }
}
