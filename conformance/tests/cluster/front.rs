//! What stands before the API server: it passes everything on but `exec`, which it does itself.
//!
//! The protocol is the API server's `v5.channel.k8s.io`: binary messages of a WebSocket, whose first
//! byte is the number of a channel.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
};

use futures::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use netsim::Netns;
use serde_json::json;
use tokio::{net::TcpListener, runtime::Runtime, sync::mpsc::UnboundedSender};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

/// The channels: standard input, output, error, what came of it, and which of them has ended.
const INPUT: u8 = 0;
const OUTPUT: u8 = 1;
const COMPLAINTS: u8 = 2;
const STATUS: u8 = 3;
const CLOSE: u8 = 255;

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// Where processes of a container start.
#[derive(Clone, Debug)]
pub(crate) struct Inside {
    /// The network namespace of its pod.
    pub(crate) netns: PathBuf,
    pub(crate) environment: Vec<(String, String)>,
}

/// By namespace, pod and container; the first container of a pod has no name, too.
pub(crate) type Doors = Arc<Mutex<BTreeMap<(String, String, String), Inside>>>;

/// A front that listens until it is dropped.
pub(crate) struct Front {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Front {
    pub(crate) fn start(server: SocketAddr, doors: Doors, program: PathBuf) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = runtime.block_on(listener).unwrap();
        let address = listener.local_addr().unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http::<Incoming>();
        let serving = Arc::new(Serving {
            server,
            client,
            doors,
            program,
        });
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                let service = service_fn(move |request| {
                    let serving = serving.clone();
                    async move { Ok::<_, Infallible>(serving.answer(request).await) }
                });
                let connection = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades();
                // It ends when the other side has enough.
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Self {
            address,
            _runtime: runtime,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

struct Serving {
    server: SocketAddr,
    client: Client<HttpConnector, Incoming>,
    doors: Doors,
    program: PathBuf,
}

impl Serving {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if request.uri().path().ends_with("/exec") {
            return self.exec(request);
        }
        match self.pass_on(request).await {
            Ok(response) => response.map(BodyExt::boxed_unsync),
            Err(error) => said(StatusCode::BAD_GATEWAY, &error),
        }
    }

    async fn pass_on(&self, mut request: Request<Incoming>) -> Result<Response<Incoming>, String> {
        let path = request.uri().path_and_query().map_or("/", |it| it.as_str());
        let uri = format!("http://{}{path}", self.server);
        *request.uri_mut() = uri.parse::<Uri>().map_err(|error| error.to_string())?;
        let response = self.client.request(request).await;
        response.map_err(|error| error.to_string())
    }

    fn exec(&self, mut request: Request<Incoming>) -> Response<Body> {
        let path: Vec<&str> = request.uri().path().split('/').collect();
        let [.., namespace, "pods", pod, "exec"] = path[..] else {
            return said(StatusCode::NOT_FOUND, "no such path");
        };
        let query = request.uri().query().unwrap_or_default();
        let asked = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let named: Vec<String> = pairs
                .filter(|(key, _)| *key == name)
                .map(|(_, value)| value.replace("%2F", "/"))
                .collect();
            named
        };
        let container = asked("container").pop().unwrap_or_default();
        let door = (namespace.to_owned(), pod.to_owned(), container);
        let Some(inside) = self.doors.lock().unwrap().get(&door).cloned() else {
            return said(StatusCode::NOT_FOUND, "container not found");
        };
        let key = request.headers().get("sec-websocket-key");
        let Some(accept) = key.map(|key| derive_accept_key(key.as_bytes())) else {
            return said(StatusCode::BAD_REQUEST, "no WebSocket");
        };
        let command = asked("command");
        assert_eq!(
            command[0], "/portcullis-probe",
            "the image has nothing else"
        );
        let program = self.program.clone();
        tokio::spawn(async move {
            if let Ok(upgraded) = hyper::upgrade::on(&mut request).await {
                let child = start(&program, &command[1..], &inside);
                let stream = TokioIo::new(upgraded);
                let socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
                converse(socket, child).await;
            }
        });
        Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("upgrade", "websocket")
            .header("connection", "Upgrade")
            .header("sec-websocket-accept", accept)
            .header("sec-websocket-protocol", "v5.channel.k8s.io")
            .body(empty())
            .unwrap()
    }
}

fn empty() -> Body {
    let body = Full::new(Bytes::new());
    body.map_err(|never| match never {}).boxed_unsync()
}

fn said(code: StatusCode, message: &str) -> Response<Body> {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code.as_u16(),
        "message": message,
    });
    let body = Full::new(Bytes::from(status.to_string()));
    let body = body.map_err(|never| match never {}).boxed_unsync();
    Response::builder().status(code).body(body).unwrap()
}

/// Starts a process in a pod.
#[expect(
    clippy::disallowed_methods,
    reason = "what a container runtime is there for"
)]
pub(crate) fn start(program: &PathBuf, arguments: &[String], inside: &Inside) -> Child {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(inside.environment.iter().cloned())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let netns = Netns::open(&inside.netns).unwrap();
    netns.run(|| command.spawn()).unwrap().unwrap()
}

/// Carries what is said between a socket and a process, until one of them ends.
async fn converse<S>(socket: WebSocketStream<S>, mut child: Child)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (mut out, mut incoming) = socket.split();
    let (input, typed) = mpsc::channel::<Vec<u8>>();
    let mut input = Some(input);
    let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let mut stdin = child.stdin.take().unwrap();
    thread::spawn(move || {
        for bytes in typed {
            if stdin
                .write_all(&bytes)
                .and_then(|()| stdin.flush())
                .is_err()
            {
                return;
            }
        }
    });
    listen(OUTPUT, child.stdout.take().unwrap(), said.clone());
    listen(COMPLAINTS, child.stderr.take().unwrap(), said);
    loop {
        tokio::select! {
            message = incoming.next() => match message {
                Some(Ok(Message::Binary(bytes))) => match bytes.first() {
                    Some(&INPUT) => {
                        if let Some(input) = &input {
                            drop(input.send(bytes[1..].to_vec()));
                        }
                    }
                    Some(&CLOSE) if bytes.get(1) == Some(&INPUT) => drop(input.take()),
                    _ => {}
                },
                Some(Ok(Message::Close(_)) | Err(_)) | None => {
                    drop(child.kill());
                    drop(child.wait());
                    return;
                }
                Some(Ok(_)) => {}
            },
            bytes = heard.recv() => match bytes {
                Some(bytes) => {
                    if out.send(Message::binary(bytes)).await.is_err() {
                        drop(child.kill());
                        drop(child.wait());
                        return;
                    }
                }
                None => break,
            },
        }
    }
    let status = match child.wait().unwrap() {
        ended if ended.success() => json!({"status": "Success"}),
        ended => json!({
            "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with {ended}"),
        }),
    };
    let mut last = vec![STATUS];
    last.extend(status.to_string().into_bytes());
    drop(out.send(Message::binary(last)).await);
    drop(out.close().await);
}

fn listen(channel: u8, mut pipe: impl Read + Send + 'static, heard: UnboundedSender<Vec<u8>>) {
    thread::spawn(move || {
        let mut buffer = [0; 8_192];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            let mut message = vec![channel];
            message.extend_from_slice(&buffer[..length]);
            if heard.send(message).is_err() {
                return;
            }
        }
    });
}
