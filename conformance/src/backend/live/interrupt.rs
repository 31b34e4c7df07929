//! Ctrl-C, SIGTERM and a terminal that closes: whoever waits hears of it, gives up, and tidies up on
//! the way out. A second signal ends the process as it stands.

use std::{process::exit, sync::LazyLock};

use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::Live;

/// As shells report a process that SIGINT ended.
const EXIT: i32 = 130;

static INTERRUPTED: LazyLock<watch::Sender<bool>> = LazyLock::new(|| watch::Sender::new(false));

/// Whether the process has been asked to end.
pub fn was_interrupted() -> bool {
    *INTERRUPTED.borrow()
}

/// Returns when the process is asked to end.
pub(super) async fn interrupted() {
    let mut heard = INTERRUPTED.subscribe();
    if heard.wait_for(|is_so| *is_so).await.is_err() {
        // The sender is never dropped.
        std::future::pending::<()>().await;
    }
}

impl Live {
    /// From now on Ctrl-C and SIGTERM do not end the process: whatever waits fails with
    /// [`LiveError::Interrupted`](super::LiveError::Interrupted), so that what was made is removed.
    ///
    /// # Errors
    /// The kernel refuses handlers.
    pub fn heed_signals(&self) -> std::io::Result<()> {
        heed_signals(&self.runtime.handle)
    }
}

fn heed_signals(handle: &Handle) -> std::io::Result<()> {
    let _inside = handle.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    handle.spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            if INTERRUPTED.send_replace(true) {
                exit(EXIT);
            }
        }
    });
    Ok(())
}
