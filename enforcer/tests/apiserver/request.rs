//! One request: what it is about, whether it may be, and the answer.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::stream::unfold;
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Frame, Incoming},
    http::request::Parts,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    ADMIN, Shared, discovery,
    kind::Kind,
    rbac,
    read::{self, Query},
    select::Selection,
    serve::{Body, whole},
    status::Status,
    write::{self, PatchKind},
};

/// What a request is about.
struct Target {
    kind: &'static Kind,
    namespace: String,
    name: String,
    subresource: String,
    /// The name that a list or watch is restricted to. Rights to that name are enough.
    only: String,
}

impl Target {
    fn asked_for(self, only: Option<&str>) -> Self {
        Self {
            only: only.unwrap_or_default().to_owned(),
            ..self
        }
    }

    /// The name that rights are about.
    fn rights_name(&self) -> &str {
        if self.name.is_empty() {
            &self.only
        } else {
            &self.name
        }
    }
}

/// The answer to a request.
pub(super) async fn handle(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Status> {
    let (parts, body) = request.into_parts();
    let path: Vec<_> = parts
        .uri
        .path()
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    if matches!(path[..], ["healthz" | "livez" | "readyz"]) {
        return Ok(whole(200, &json!("ok")));
    }
    if let Some(answer) = discovery::answer(&path) {
        return Ok(whole(200, &answer));
    }
    if let [
        "apis",
        "authorization.k8s.io",
        "v1",
        "selfsubjectaccessreviews",
    ] = path[..]
    {
        let wrong = |error: &dyn std::fmt::Display| Status::bad_request(error.to_string());
        let body = body.collect().await.map_err(|error| wrong(&error))?;
        let question = serde_json::from_slice(&body.to_bytes()).map_err(|error| wrong(&error))?;
        return Ok(whole(201, &review(shared, &parts, question)?));
    }
    let target = target(&path).ok_or_else(|| {
        let message = "the server could not find the requested resource";
        Status::new(404, "NotFound", message)
    })?;
    let parameters = Parameters::of(parts.uri.query().unwrap_or_default());
    let verb = verb(&parts.method, &target, &parameters).ok_or_else(|| {
        Status::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method",
        )
    })?;
    let target = target.asked_for(parameters.query()?.selection.name());
    permit(shared, header(&parts, "authorization"), verb, &target)?;

    let kind = target.kind;
    match verb {
        "get" => {
            let object = read::get(shared, kind, &target.namespace, &target.name)?;
            Ok(whole(200, &object))
        }
        "list" => {
            let list = read::list(shared, kind, &target.namespace, &parameters.query()?)?;
            Ok(whole(200, &list))
        }
        "watch" => watch(shared, kind, &target.namespace, parameters.query()?),
        _ => {
            let wrong = |error: &dyn std::fmt::Display| Status::bad_request(error.to_string());
            let bytes = body
                .collect()
                .await
                .map_err(|error| wrong(&error))?
                .to_bytes();
            let body = if bytes.is_empty() {
                Value::Null
            } else {
                serde_json::from_slice(&bytes).map_err(|error| wrong(&error))?
            };
            let answer = write(shared, verb, &target, &parts, &parameters, body)?;
            Ok(whole(if verb == "create" { 201 } else { 200 }, &answer))
        }
    }
}

fn target(path: &[&str]) -> Option<Target> {
    let (group, version, rest) = match path {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let (namespace, plural, rest) = match rest {
        ["namespaces", namespace, plural, rest @ ..]
            if Kind::of_path(group, version, plural).is_some() =>
        {
            (*namespace, *plural, rest)
        }
        [plural, rest @ ..] => ("", *plural, rest),
        [] => return None,
    };
    let (name, subresource) = match rest {
        [] => ("", ""),
        [name] => (*name, ""),
        [name, subresource] => (*name, *subresource),
        _ => return None,
    };
    Some(Target {
        kind: Kind::of_path(group, version, plural)?,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        subresource: subresource.to_owned(),
        only: String::new(),
    })
}

fn verb(method: &Method, target: &Target, parameters: &Parameters) -> Option<&'static str> {
    let is_watch = ["true", "1"].contains(&parameters.get("watch"));
    Some(match (method, target.name.is_empty()) {
        (&Method::GET, true) if is_watch => "watch",
        (&Method::GET, true) => "list",
        (&Method::GET, false) => "get",
        (&Method::POST, _) => "create",
        (&Method::PUT, false) => "update",
        (&Method::PATCH, false) => "patch",
        (&Method::DELETE, true) => "deletecollection",
        (&Method::DELETE, false) => "delete",
        _ => return None,
    })
}

/// What the one who asks may do.
fn review(shared: &Shared, parts: &Parts, mut question: Value) -> Result<Value, Status> {
    let attributes = question["spec"]["resourceAttributes"].clone();
    let text = |field: &str| attributes[field].as_str().unwrap_or_default();
    let user = user_of(shared, header(parts, "authorization"))?;
    let kind = Kind::of_plural(text("resource")).filter(|kind| kind.group == text("group"));
    let is_allowed = !shared.settings.has_rbac
        || user == ADMINISTRATOR
        || kind.is_some_and(|kind| {
            let request = rbac::Request {
                user,
                verb: text("verb"),
                kind,
                subresource: text("subresource"),
                namespace: text("namespace"),
                name: text("name"),
            };
            rbac::allows(&shared.lock(), &request)
        });
    question["status"] = json!({"allowed": is_allowed});
    Ok(question)
}

/// Who may do everything.
const ADMINISTRATOR: &str = "kubernetes-admin";

/// By the token.
fn user_of<'a>(shared: &Shared, authorization: &'a str) -> Result<&'a str, Status> {
    let token = authorization.strip_prefix("Bearer ").unwrap_or_default();
    let user = match token {
        _ if shared.faults.borrow().knows_nobody => None,
        "" if shared.settings.has_rbac => Some("system:anonymous"),
        ADMIN => Some(ADMINISTRATOR),
        token => token.strip_prefix("user:"),
    };
    user.ok_or_else(|| Status::new(401, "Unauthorized", "Unauthorized"))
}

/// Who asks, and whether they may.
fn permit(shared: &Shared, authorization: &str, verb: &str, target: &Target) -> Result<(), Status> {
    let faults = shared.faults.borrow().clone();
    let plural = target.kind.plural;
    let count = (verb.to_owned(), plural.to_owned());
    *shared.lock().requests.entry(count).or_default() += 1;
    if let Some(code) = faults.refuses {
        return Err(Status::new(code, "InternalError", "the server is not well"));
    }
    let user = user_of(shared, authorization)?;
    let request = rbac::Request {
        user,
        verb,
        kind: target.kind,
        subresource: &target.subresource,
        namespace: &target.namespace,
        name: target.rights_name(),
    };
    let is_allowed = !shared.settings.has_rbac
        || user == ADMINISTRATOR
        || rbac::allows(&shared.lock(), &request);
    if !is_allowed
        || faults
            .forbidden
            .iter()
            .any(|(v, p)| (*v, *p) == (verb, plural))
    {
        let (kind, name) = (target.kind, target.rights_name());
        return Err(Status::forbidden(user, verb, kind, &target.namespace, name));
    }
    Ok(())
}

fn write(
    shared: &Shared,
    verb: &str,
    target: &Target,
    parts: &Parts,
    parameters: &Parameters,
    body: Value,
) -> Result<Value, Status> {
    let Target {
        kind,
        namespace,
        name,
        subresource,
        ..
    } = target;
    let is_dry = parameters.get("dryRun") == "All";
    match verb {
        "create" if name.is_empty() && is_dry => write::create_dry(shared, kind, namespace, body),
        "create" if name.is_empty() => write::create(shared, kind, namespace, body),
        "create" if subresource == "binding" => write::bind(shared, namespace, name, &body),
        "create" if subresource == "token" => Ok(json!({
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": {},
            "spec": body["spec"],
            "status": {
                "token": format!("user:system:serviceaccount:{namespace}:{name}"),
                "expirationTimestamp": "2100-01-01T00:00:00Z",
            },
        })),
        "create" => Err(Status::not_found(kind, name)),
        "update" if is_dry => {
            write::replace_dry(shared, kind, (namespace, name, subresource), body)
        }
        "update" => write::replace(shared, kind, namespace, name, subresource, body),
        "patch" => {
            let how = patch_kind(header(parts, "content-type"))?;
            let manager = parameters.get("fieldManager");
            if how == PatchKind::Apply && manager.is_empty() {
                return Err(Status::bad_request(
                    "fieldManager is required for apply patch",
                ));
            }
            write::patch(
                shared,
                kind,
                (namespace, name, subresource),
                how,
                manager,
                body,
            )
        }
        _ => {
            let mut options = if body.is_null() { json!({}) } else { body };
            if let Ok(grace) = parameters.get("gracePeriodSeconds").parse::<u64>() {
                options["gracePeriodSeconds"] = json!(grace);
            }
            if verb == "delete" && !subresource.is_empty() {
                return Err(Status::not_found(kind, &format!("{name}/{subresource}")));
            }
            if verb == "delete" {
                return write::delete(shared, kind, namespace, name, &options);
            }
            let all = read::list(shared, kind, namespace, &parameters.query()?)?;
            for item in all["items"].as_array().into_iter().flatten() {
                let text = |field: &str| item["metadata"][field].as_str().unwrap_or_default();
                write::delete(shared, kind, text("namespace"), text("name"), &options)?;
            }
            Ok(all)
        }
    }
}

fn patch_kind(content_type: &str) -> Result<PatchKind, Status> {
    match content_type {
        "application/json-patch+json" => Ok(PatchKind::Json),
        "application/apply-patch+yaml" => Ok(PatchKind::Apply),
        "application/merge-patch+json" | "application/strategic-merge-patch+json" => {
            Ok(PatchKind::Merge)
        }
        other => {
            let message = format!("the body of the request was in an unknown format - {other}");
            Err(Status::new(415, "UnsupportedMediaType", message))
        }
    }
}

fn watch(
    shared: &Arc<Shared>,
    kind: &'static Kind,
    namespace: &str,
    query: Query,
) -> Result<Response<Body>, Status> {
    let version: u64 = query.version.parse().unwrap_or_default();
    let is_gone = version > 0 && shared.lock().since(kind, version).is_err();
    if is_gone && shared.faults.borrow().gone_by_http {
        return Err(Status::expired(format!(
            "too old resource version: {version}"
        )));
    }
    let (sender, receiver) = mpsc::channel(64);
    let shared = Arc::clone(shared);
    tokio::spawn(read::watch(
        shared,
        kind,
        namespace.to_owned(),
        query,
        sender,
    ));
    let lines = unfold(receiver, |mut receiver| async move {
        let line = receiver.recv().await?;
        Some((Ok(Frame::data(Bytes::from(line))), receiver))
    });
    Ok(Response::builder()
        .header("content-type", "application/json;stream=watch")
        .body(StreamBody::new(lines).boxed_unsync())
        .expect("the parts are valid"))
}

fn header<'a>(parts: &'a Parts, name: &str) -> &'a str {
    let value = parts.headers.get(name);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// The parameters behind the path.
struct Parameters(BTreeMap<String, String>);

impl Parameters {
    fn of(query: &str) -> Self {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        Self(
            pairs
                .map(|(key, value)| (key.to_owned(), decoded(value)))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn query(&self) -> Result<Query, Status> {
        Ok(Query {
            selection: Selection::parse(self.get("labelSelector"), self.get("fieldSelector"))?,
            version: self.get("resourceVersion").to_owned(),
            limit: self.get("limit").parse().unwrap_or_default(),
            continued: self.get("continue").to_owned(),
            timeout: self
                .get("timeoutSeconds")
                .parse()
                .ok()
                .map(Duration::from_secs),
            bookmarks: self.get("allowWatchBookmarks") == "true",
            initial_events: self.get("sendInitialEvents") == "true",
        })
    }
}

/// Without the escapes of an URL.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = tail
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match (
            first,
            escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()),
        ) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = tail;
            }
            (byte, _) => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
