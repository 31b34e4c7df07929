//! What becomes of a pod that shall run: it does, or there is a reason.

use std::{fmt, fmt::Write as _};

use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod};

use crate::{
    backend::live::{Live, LiveError},
    scenario::ObjectName,
};

/// What a pod shall be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Accepted, and kept waiting.
    Pending,
    /// It runs, is ready and has an address.
    Running,
    /// Its containers have ended well.
    Succeeded,
    /// Its containers have ended, one badly.
    Failed,
    /// It was told to end, and runs.
    Ending,
    /// Its first container has been started so many times again, and it runs.
    Restarted(i32),
}

/// Reads after "have pod x/a".
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("pending"),
            Self::Running => f.write_str("running and ready"),
            Self::Succeeded => f.write_str("ended well"),
            Self::Failed => f.write_str("ended badly"),
            Self::Ending => f.write_str("told to end"),
            Self::Restarted(times) => write!(f, "restarted {times} times"),
        }
    }
}

impl State {
    /// Whether a pod is so.
    pub(super) fn is_reached(self, pod: &Pod) -> bool {
        let status = pod.status.clone().unwrap_or_default();
        let phase = status.phase.as_deref().unwrap_or_default();
        let conditions = status.conditions.iter().flatten();
        let is_ready = conditions
            .clone()
            .any(|it| it.type_ == "Ready" && it.status == "True");
        let has_address = status.pod_ips.iter().flatten().next().is_some();
        let runs = phase == "Running" && is_ready && has_address;
        match self {
            Self::Pending => phase == "Pending",
            Self::Running => runs,
            Self::Succeeded => phase == "Succeeded",
            Self::Failed => phase == "Failed",
            Self::Ending => pod.metadata.deletion_timestamp.is_some(),
            Self::Restarted(times) => runs && restarts(pod) >= times,
        }
    }
}

/// How often the containers of a pod have been started again: that of them which has been least.
pub(super) fn restarts(pod: &Pod) -> i32 {
    let statuses = container_statuses(pod);
    statuses
        .map(|it| it.restart_count)
        .min()
        .unwrap_or_default()
}

fn container_statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status.flat_map(|status| status.container_statuses.iter().flatten())
}

/// Why a pod will not become what it shall be, if that is certain: waiting is no use.
pub(super) fn what_is_wrong(pod: &Pod, wanted: State) -> Option<String> {
    let status = pod.status.as_ref()?;
    let phase = status.phase.as_deref().unwrap_or_default();
    let is_over = matches!(phase, "Failed" | "Succeeded");
    let shall_be_over = matches!(wanted, State::Failed | State::Succeeded);
    if is_over && !shall_be_over {
        let why = status.message.clone().or(status.reason.clone());
        return Some(format!("its phase is {phase}: {}", why.unwrap_or_default()));
    }
    let waiting = container_statuses(pod).filter_map(|it| it.state.as_ref()?.waiting.as_ref());
    waiting
        .filter(|waiting| {
            let reason = waiting.reason.as_deref().unwrap_or_default();
            HOPELESS.iter().any(|(known, _)| *known == reason)
        })
        .map(|waiting| waiting.reason.clone().unwrap_or_default())
        .next()
}

/// Why containers wait that will wait for ever, and what helps.
const HOPELESS: [(&str, &str); 9] = [
    ("ErrImagePull", LOAD),
    ("ImagePullBackOff", LOAD),
    ("ErrImageNeverPull", LOAD),
    (
        "InvalidImageName",
        "write --probe-image as REPOSITORY/NAME:TAG",
    ),
    ("ImageInspectError", LOAD),
    ("CreateContainerConfigError", ""),
    ("CreateContainerError", ""),
    ("RunContainerError", ""),
    (
        "CrashLoopBackOff",
        "a port it shall listen on may be taken on the network of its node",
    ),
];

const LOAD: &str = "the image must be on every node, or where they can pull it: `cargo xtask image` \
                    writes an archive; load it with `kind load image-archive`, `ctr -n k8s.io images \
                    import` or push it to a registry, and name it with --probe-image";

/// Whether a pod waits for an image that cannot be had: no other pod will run either.
pub(super) fn lacks_image(pod: &Pod) -> bool {
    let waiting = container_statuses(pod).filter_map(|it| it.state.as_ref()?.waiting.as_ref());
    let mut reasons = waiting.filter_map(|waiting| waiting.reason.as_deref());
    reasons.any(|reason| reason.contains("Image"))
}

/// Why a pod does not run, for the person who has to mend it.
#[derive(Debug, thiserror::Error)]
#[error("have pod {pod} {state}\n{about}")]
pub struct NotStarted {
    /// The pod.
    pub pod: ObjectName,
    /// What it shall be like, such as `running and ready`.
    pub state: String,
    /// What its status and its events say, a line each.
    pub about: String,
}

/// Asks the server about a pod, and what has happened to it.
pub(super) fn explain(live: &Live, name: &ObjectName, state: State) -> NotStarted {
    let mut about = match live.get::<Pod>(&name.namespace, &name.name) {
        Ok(Some(pod)) => describe(&pod),
        Ok(None) => "  it is gone\n".to_owned(),
        Err(error) => format!("  and nothing is known of it: failed to {error}\n"),
    };
    let events = live.list::<Event>(&name.namespace, "").unwrap_or_default();
    about += &told(name, &events);
    NotStarted {
        pod: name.clone(),
        state: state.to_string(),
        about: about.trim_end().to_owned(),
    }
}

fn describe(pod: &Pod) -> String {
    let mut text = String::new();
    let status = pod.status.clone().unwrap_or_default();
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let phase = status.phase.clone().unwrap_or_default();
    let node = node.map_or("no node yet".to_owned(), |node| format!("node {node}"));
    let why = [status.reason, status.message].into_iter().flatten();
    let why: Vec<_> = why.collect();
    push(
        &mut text,
        &format!("its phase is {phase}, on {node}"),
        &why.join(": "),
    );
    let conditions = status.conditions.iter().flatten();
    for condition in conditions.filter(|it| it.status != "True") {
        let message = condition.message.clone().unwrap_or_default();
        push(&mut text, &format!("not {}", condition.type_), &message);
    }
    for container in container_statuses(pod) {
        let state = container.state.clone().unwrap_or_default();
        if let Some(waiting) = state.waiting {
            let reason = waiting.reason.unwrap_or_default();
            let message = waiting.message.unwrap_or_default();
            let what = format!("container {} waits: {reason}", container.name);
            push(&mut text, &what, &message);
            let help = HOPELESS.iter().find(|(known, _)| *known == reason);
            if let Some((_, help)) = help.filter(|(_, help)| !help.is_empty()) {
                let _infallible = writeln!(text, "    = help: {help}");
            }
        }
        let last = container.last_state.clone().unwrap_or_default();
        for ended in [state.terminated, last.terminated].into_iter().flatten() {
            let what = format!(
                "container {} ended with {}",
                container.name, ended.exit_code
            );
            push(
                &mut text,
                &what,
                ended.message.as_deref().unwrap_or_default().trim(),
            );
        }
    }
    text
}

/// The events of a pod, the last of each kind.
fn told(name: &ObjectName, events: &[Event]) -> String {
    let mut text = String::new();
    let own = events
        .iter()
        .filter(|event| event.involved_object.name.as_deref() == Some(&name.name));
    let warnings = own.filter(|event| event.type_.as_deref() == Some("Warning"));
    for event in warnings {
        let reason = event.reason.clone().unwrap_or_default();
        let message = event.message.clone().unwrap_or_default();
        push(&mut text, &format!("event {reason}"), &message);
    }
    text
}

fn push(text: &mut String, what: &str, message: &str) {
    let separator = if message.is_empty() { "" } else { ": " };
    let line = format!("  {what}{separator}{message}\n");
    if !text.contains(&line) {
        text.push_str(&line);
    }
}

/// Whether the server refuses a pod because the account it runs as is not there yet.
pub(super) fn is_about_account(error: &LiveError) -> bool {
    match error {
        LiveError::Answered { message, .. } => {
            let text = message.to_lowercase();
            text.contains("service account") || text.contains("serviceaccount")
        }
        _ => false,
    }
}
