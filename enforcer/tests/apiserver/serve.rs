//! Connections and requests.

use std::{convert::Infallible, future::pending, sync::Arc};

use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

use super::{Shared, request::handle};

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Serves until the runtime ends.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, Arc::clone(&shared)));
        }
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let mut faults = shared.faults.subscribe();
    let epoch = faults.borrow().epoch;
    let broken = async {
        // An error means that the server is gone, and with it this task.
        let _ = faults
            .wait_for(|faults| faults.is_down || faults.epoch != epoch)
            .await;
    };
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(Arc::clone(&shared), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        () = broken => {}
        _ = connection => {}
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let faults = shared.faults.borrow().clone();
    if faults.is_silent {
        pending::<()>().await;
    }
    sleep(faults.delay).await;
    Ok(match handle(&shared, request).await {
        Ok(response) => response,
        Err(status) => whole(status.code, &status.json()),
    })
}

/// An answer that is complete.
pub(super) fn whole(code: u16, value: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(value.to_string()));
    Response::builder()
        .status(code)
        .header("content-type", "application/json")
        .body(body.boxed_unsync())
        .expect("the parts are valid")
}
