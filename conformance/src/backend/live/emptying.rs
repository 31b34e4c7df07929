//! Ends namespaces: the server is asked to, and where there is no controller that empties them,
//! this does.

use std::{sync::atomic::Ordering, time::Duration};

use futures::future::{join_all, try_join_all};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Namespace, Pod, Service, ServiceAccount},
    events::v1::Event,
    networking::v1::NetworkPolicy,
};
use kube::{
    api::{DeleteParams, ListParams, PostParams},
    core::{ObjectList, Request},
};

use super::{
    Live, LiveError,
    error::code,
    objects::{Object, collection},
};

/// How long a cluster may take to empty a namespace: its pods have their grace.
const PATIENCE: Duration = Duration::from_secs(120);

impl Live {
    /// Ends namespaces with everything in them, and returns when they are gone. Those that do not
    /// exist are gone.
    ///
    /// # Errors
    /// [`LiveError::Late`] if they stay.
    pub fn end_namespaces(&self, names: &[String]) -> Result<(), LiveError> {
        // Tidying up is not given up because of Ctrl-C.
        self.wait(async {
            let all = names.iter().map(|name| self.end_namespace(name));
            try_join_all(all).await.map(drop)
        })
    }

    async fn end_namespace(&self, name: &str) -> Result<(), LiveError> {
        match self.deleting::<Namespace>("", name, None).await {
            // It has been told to end before, and something is still in it.
            Err(error) if error.code() == Some(409) => {}
            Err(error) if error.is_missing() => return Ok(()),
            answer => drop(answer?),
        }
        if self.is_bare.load(Ordering::Relaxed) {
            self.empty(name).await?;
            self.finalize(name).await?;
        }
        let mut is_gone = |namespace: Option<&Namespace>| namespace.is_none();
        let gone = self.watching::<Namespace>("", name, &mut is_gone);
        match tokio::time::timeout(PATIENCE, gone).await {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(LiveError::Late {
                what: format!("the end of namespace {name}"),
                patience: PATIENCE,
                hint: String::new(),
            }),
        }
    }

    /// Deletes at once whatever a run can have made in a namespace, and what there is in every one.
    async fn empty(&self, namespace: &str) -> Result<(), LiveError> {
        let emptied = join_all([
            Box::pin(self.delete_all::<Pod>(namespace))
                as std::pin::Pin<Box<dyn Future<Output = _>>>,
            Box::pin(self.delete_all::<Service>(namespace)),
            Box::pin(self.delete_all::<NetworkPolicy>(namespace)),
            Box::pin(self.delete_all::<ServiceAccount>(namespace)),
            Box::pin(self.delete_all::<ConfigMap>(namespace)),
            Box::pin(self.delete_all::<Event>(namespace)),
        ]);
        emptied.await.into_iter().collect()
    }

    async fn delete_all<K: Object>(&self, namespace: &str) -> Result<(), LiveError> {
        let parameters = DeleteParams {
            grace_period_seconds: Some(0),
            ..DeleteParams::default()
        };
        let request = Request::new(collection::<K>(namespace));
        let request = request.delete_collection(&parameters, &ListParams::default());
        let request = request.map_err(kube::Error::BuildRequest);
        let answer = match request {
            Ok(request) => self.client.request_status::<ObjectList<K>>(request).await,
            Err(error) => Err(error),
        };
        match answer {
            Err(error) if code(&error) != Some(404) => {
                let object = format!("all {} of {namespace}", K::plural(&()));
                Err(LiveError::request("delete", object, error))
            }
            _ => Ok(()),
        }
    }

    /// Says that nothing is left in a namespace: then the server forgets it.
    async fn finalize(&self, name: &str) -> Result<(), LiveError> {
        let Some(mut namespace) = self.getting::<Namespace>("", name).await? else {
            return Ok(());
        };
        let spec = namespace.spec.get_or_insert_default();
        spec.finalizers = Some(Vec::new());
        let data = serde_json::to_vec(&namespace).expect("API types are JSON");
        let request = Request::new(collection::<Namespace>(""));
        let request = request.replace_subresource("finalize", name, &PostParams::default(), data);
        let answer = match request.map_err(kube::Error::BuildRequest) {
            Ok(request) => self.client.request::<Namespace>(request).await,
            Err(error) => Err(error),
        };
        match answer {
            Err(error) if ![Some(404), Some(409)].contains(&code(&error)) => Err(
                LiveError::request("finalize", format!("namespace {name}"), error),
            ),
            _ => Ok(()),
        }
    }
}
