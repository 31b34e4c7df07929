//! The pods that controllers would make of a workload.
//!
//! | object | pods |
//! |---|---|
//! | Pod | itself |
//! | Deployment, ReplicaSet `web` with n replicas | `web-1` … `web-n` |
//! | StatefulSet `db` with n replicas | `db-0` … `db-(n-1)` |
//! | DaemonSet `agent` | `agent-n1`, … one per node |
//! | Job `once`, CronJob `nightly` | `once-1` … as many as run in parallel |

use enforcer::api::manifest::Object;
use k8s_openapi::{
    api::core::v1 as core,
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};

use super::{AddressChoice, ObjectName, Phase, Pod};
use crate::cell::Port;

/// More pods than this from one workload are a mistake in a scenario.
const MOST_REPLICAS: i32 = 100;

/// Why an object gives no pods.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAWorkload {
    /// The API server requires a template.
    #[error("it has no pod template")]
    NoTemplate,
    /// More than a simulated cluster should hold.
    #[error("it asks for {0} pods; a scenario takes at most 100 from one workload")]
    TooMany(i32),
    /// The API server refuses such a workload.
    #[error("its selector does not match the labels of its own pod template")]
    SelectorMismatch,
    /// No name to give to the pods.
    #[error("it has no name")]
    NoName,
}

/// The pods an object stands for, not yet on a node (except a DaemonSet's); none for objects that
/// make no pods.
///
/// # Errors
/// If the API server would refuse the workload, or it is too big.
pub fn pods_of(object: &Object, nodes: &[&str]) -> Result<Vec<Pod>, NotAWorkload> {
    let default_replicas = |replicas: Option<i32>| replicas.unwrap_or(1);
    match object {
        Object::Pod(pod) => Ok(vec![plain_pod(pod)?]),
        Object::Deployment(it) => {
            let spec = &it.spec;
            check_selector(&spec.selector, &spec.template)?;
            let names = numbered(1, default_replicas(spec.replicas))?;
            from_template(&it.metadata, &spec.template, names)
        }
        Object::ReplicaSet(it) => {
            let spec = &it.spec;
            let template = spec.template.as_ref().ok_or(NotAWorkload::NoTemplate)?;
            check_selector(&spec.selector, template)?;
            from_template(
                &it.metadata,
                template,
                numbered(1, default_replicas(spec.replicas))?,
            )
        }
        Object::StatefulSet(it) => {
            let spec = &it.spec;
            check_selector(&spec.selector, &spec.template)?;
            let names = numbered(0, default_replicas(spec.replicas))?;
            from_template(&it.metadata, &spec.template, names)
        }
        Object::DaemonSet(it) => {
            let spec = &it.spec;
            check_selector(&spec.selector, &spec.template)?;
            let names = nodes.iter().map(|node| (*node).to_owned()).collect();
            let mut pods = from_template(&it.metadata, &spec.template, names)?;
            for (pod, node) in pods.iter_mut().zip(nodes) {
                let spec = pod.object.spec.get_or_insert_default();
                spec.node_name = Some((*node).to_owned());
            }
            Ok(pods)
        }
        Object::Job(it) => {
            let spec = it.spec.as_ref().ok_or(NotAWorkload::NoTemplate)?;
            from_template(
                &it.metadata,
                &spec.template,
                numbered(1, default_replicas(spec.parallelism))?,
            )
        }
        Object::CronJob(it) => {
            let job = it.spec.job_template.spec.as_ref();
            let spec = job.ok_or(NotAWorkload::NoTemplate)?;
            from_template(
                &it.metadata,
                &spec.template,
                numbered(1, default_replicas(spec.parallelism))?,
            )
        }
        _ => Ok(Vec::new()),
    }
}

fn plain_pod(pod: &core::Pod) -> Result<Pod, NotAWorkload> {
    if pod.metadata.name.is_none() {
        return Err(NotAWorkload::NoName);
    }
    let mut object = pod.clone();
    object
        .metadata
        .namespace
        .get_or_insert_with(|| "default".to_owned());
    object.status = None;
    Ok(finish(object, None))
}

/// A pod that listens on all its container ports.
fn finish(object: core::Pod, workload: Option<String>) -> Pod {
    let mut pod = Pod {
        name: ObjectName::of(&object.metadata),
        object,
        listen: Vec::new(),
        phase: Phase::Running,
        terminating: false,
        address: AddressChoice::Fresh,
        workload,
    };
    let mut listen: Vec<Port> = pod.container_ports().into_iter().map(|p| p.value).collect();
    listen.sort();
    listen.dedup();
    pod.listen = listen;
    pod
}

fn from_template(
    workload: &ObjectMeta,
    template: &core::PodTemplateSpec,
    suffixes: Vec<String>,
) -> Result<Vec<Pod>, NotAWorkload> {
    let name = workload.name.clone().ok_or(NotAWorkload::NoName)?;
    let namespace = workload
        .namespace
        .clone()
        .unwrap_or_else(|| "default".to_owned());
    let pods = suffixes.into_iter().map(|suffix| {
        let mut metadata = template.metadata.clone().unwrap_or_default();
        metadata.name = Some(format!("{name}-{suffix}"));
        metadata.namespace = Some(namespace.clone());
        let object = core::Pod {
            metadata,
            spec: template.spec.clone(),
            status: None,
        };
        finish(object, Some(name.clone()))
    });
    Ok(pods.collect())
}

fn numbered(first: i32, count: i32) -> Result<Vec<String>, NotAWorkload> {
    if count > MOST_REPLICAS {
        return Err(NotAWorkload::TooMany(count));
    }
    Ok((first..first + count).map(|n| n.to_string()).collect())
}

/// The API server refuses a workload whose matchLabels are not on its template.
fn check_selector(
    selector: &LabelSelector,
    template: &core::PodTemplateSpec,
) -> Result<(), NotAWorkload> {
    let labels = template
        .metadata
        .as_ref()
        .and_then(|m| m.labels.clone())
        .unwrap_or_default();
    let matches = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    if matches {
        Ok(())
    } else {
        Err(NotAWorkload::SelectorMismatch)
    }
}
