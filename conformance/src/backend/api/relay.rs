//! The way between one agent and the API server, which can be cut.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::watch,
    task::AbortHandle,
};

/// Passes on every connection to a port of loopback, while it is open.
pub(super) struct Relay {
    address: SocketAddr,
    is_open: watch::Sender<bool>,
    task: AbortHandle,
}

impl Relay {
    /// An open one; `upstream` is host and port of the server.
    pub(super) fn start(handle: &Handle, upstream: &str) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (is_open, watched) = watch::channel(true);
        let _inside = handle.enter();
        let listener = TcpListener::from_std(listener)?;
        let task = handle.spawn(serve(listener, upstream.into(), watched));
        Ok(Self {
            address,
            is_open,
            task: task.abort_handle(),
        })
    }

    /// Where it can be reached.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection; new ones are ended at once.
    pub(super) fn close(&self) {
        self.is_open.send_replace(false);
    }

    /// Passes connections on again.
    pub(super) fn open(&self) {
        self.is_open.send_replace(true);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, upstream: Arc<str>, is_open: watch::Receiver<bool>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        if *is_open.borrow() {
            tokio::spawn(pass(stream, Arc::clone(&upstream), is_open.clone()));
        }
    }
}

/// Until one side ends, or it is cut.
async fn pass(mut client: TcpStream, upstream: Arc<str>, mut is_open: watch::Receiver<bool>) {
    let passing = async {
        let mut server = TcpStream::connect(&*upstream).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        copy_bidirectional(&mut client, &mut server).await
    };
    tokio::select! {
        // How a connection ended is the business of its two ends.
        _ = passing => {}
        _ = is_open.wait_for(|is_open| !is_open) => {}
    }
}
