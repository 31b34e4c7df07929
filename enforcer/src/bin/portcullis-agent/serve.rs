//! Health, metrics and state over HTTP.
//!
//! | path | answer |
//! |---|---|
//! | `/livez`, `/healthz` | 200 while the agent's thread turns |
//! | `/readyz`, `/readyz?verbose` | 200 if everything holds that must; what that is |
//! | `/metrics` | Prometheus' text format |
//! | `/debug/state`, `/debug/dump?pod=NS/NAME` | JSON, for this machine only |
//! | `/debug/caught-up?pods=VERSION&within=MS` | 200 once the kernel has what that version has |
//! | `/debug/log-level` | what is logged; `PUT` changes it; for this machine only |

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use enforcer::cluster::PodRef;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::spawn_blocking};
use tracing::{debug, info};

use crate::{
    caught_up, dump,
    log::Level,
    metrics::{Exposed, Subjects},
    status,
};

/// What is served.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) subjects: Subjects,
    pub(crate) exposed: Exposed,
    pub(crate) level: Level,
}

/// The longest level that anybody needs, in bytes.
const LEVEL_MAX: usize = 4096;

const LOG_LEVEL: &str = "/debug/log-level";

type Answer = Response<Full<Bytes>>;

/// Serves until the runtime ends.
pub(crate) async fn serve(listener: TcpListener, served: Arc<Served>) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%error, "failed to accept a connection");
                tokio::task::yield_now().await;
                continue;
            }
        };
        let served = Arc::clone(&served);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let served = Arc::clone(&served);
                let (path, query) = (
                    request.uri().path().to_owned(),
                    request.uri().query().unwrap_or_default().to_owned(),
                );
                async move {
                    let is_read = [Method::GET, Method::HEAD].contains(request.method());
                    if path == LOG_LEVEL && is_local(peer) {
                        return Ok(log_level(&served.level, request).await);
                    }
                    if !is_read {
                        return Ok(text(405, "method not allowed\n"));
                    }
                    // Answers ask the agent's thread, which may take its time.
                    let answer = spawn_blocking(move || answer(&served, peer, &path, &query)).await;
                    Ok::<_, Infallible>(answer.unwrap_or_else(|_| text(500, "this went wrong\n")))
                }
            });
            if let Err(error) = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
            {
                debug!(%error, "a connection ended badly");
            }
        });
    }
}

fn answer(served: &Served, peer: SocketAddr, path: &str, query: &str) -> Answer {
    let subjects = &served.subjects;
    match path {
        "/livez" | "/healthz" => match subjects.readiness.liveness() {
            Ok(()) => text(200, "ok\n"),
            Err(error) => text(503, &format!("{error}\n")),
        },
        "/readyz" => readyz(
            subjects,
            query.split('&').any(|part| part.starts_with("verbose")),
        ),
        "/metrics" => match served.exposed.text() {
            Ok(page) => Response::builder()
                .header(
                    "content-type",
                    "application/openmetrics-text; version=1.0.0; charset=utf-8",
                )
                .body(Full::from(page))
                .expect("the parts are valid"),
            Err(_) => text(500, "this went wrong\n"),
        },
        "/debug/state" if is_local(peer) => json(200, &status::state(subjects)),
        "/debug/dump" if is_local(peer) => {
            let pod = query.split('&').find_map(|part| part.strip_prefix("pod="));
            match pod.map(str::parse::<PodRef>).transpose() {
                Ok(pod) => match dump::gather(&subjects.agent, pod) {
                    Ok(dump) => json(200, &dump),
                    Err(error) => text(404, &format!("{error}\n")),
                },
                Err(error) => text(400, &format!("{error}\n")),
            }
        }
        "/debug/caught-up" if is_local(peer) => match caught_up::wait(subjects, query) {
            Ok(()) => text(200, "ok\n"),
            Err(behind) => text(behind.code(), &format!("{behind}\n")),
        },
        "/debug/state" | "/debug/dump" | "/debug/caught-up" | LOG_LEVEL => {
            text(403, "only from this machine\n")
        }
        _ => text(
            404,
            "/livez /readyz?verbose /metrics /debug/state /debug/dump?pod=NAMESPACE/NAME \
             /debug/caught-up?RESOURCE=VERSION&within=MS /debug/log-level\n",
        ),
    }
}

/// What is logged; with `PUT` from now on.
async fn log_level(level: &Level, request: Request<Incoming>) -> Answer {
    if request.method() == Method::PUT {
        let body = Limited::new(request.into_body(), LEVEL_MAX).collect().await;
        let Ok(body) = body else {
            return text(413, "no level is that long\n");
        };
        let wanted = String::from_utf8_lossy(&body.to_bytes()).trim().to_owned();
        if let Err(error) = level.set(&wanted) {
            return text(400, &format!("read the level {wanted}: {error}\n"));
        }
        info!(level = wanted, "logging");
    }
    json(200, &json!({"level": level.get()}))
}

fn readyz(subjects: &Subjects, is_verbose: bool) -> Answer {
    let checks = subjects.readiness.checks();
    let is_ready = checks.iter().all(|check| check.wrong.is_none());
    let mut lines: Vec<_> = checks
        .iter()
        .filter(|check| is_verbose || check.wrong.is_some())
        .map(ToString::to_string)
        .collect();
    lines.push(if is_ready { "ok" } else { "not ready" }.to_owned());
    text(if is_ready { 200 } else { 503 }, &(lines.join("\n") + "\n"))
}

fn is_local(peer: SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}

fn text(code: u16, text: &str) -> Answer {
    respond(code, "text/plain; charset=utf-8", text.to_owned())
}

fn json(code: u16, value: &Value) -> Answer {
    respond(code, "application/json", value.to_string())
}

fn respond(code: u16, content_type: &str, body: String) -> Answer {
    Response::builder()
        .status(code)
        .header("content-type", content_type)
        .body(Full::from(body))
        .expect("the parts are valid")
}
