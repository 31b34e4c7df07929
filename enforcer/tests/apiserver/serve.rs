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
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use super::{Shared, request::handle};

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Serves until the runtime ends; with `tls` by nothing else.
pub(super) async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let (tls, shared) = (tls.clone(), Arc::clone(&shared));
            let _ = stream.set_nodelay(true);
            tokio::spawn(async move {
                match tls {
                    None => connection(stream, shared).await,
                    // Who does not know the authority leaves while shaking hands.
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            connection(stream, shared).await;
                        }
                    }
                }
            });
        }
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let mut faults = shared.faults.subscribe();
    let epoch = faults.borrow().epoch;
    let broken = async {
        // An error means that the server is gone, and with it this task.
        let _ = faults
            .wait_for(|faults| faults.is_down || faults.epoch != epoch)
            .await;
    };
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
