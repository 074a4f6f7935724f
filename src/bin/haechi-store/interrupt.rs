//! Signals that end the program cleanly: Ctrl-C and SIGTERM.

use std::future::pending;

/// Completes on Ctrl-C or SIGTERM.
pub(crate) async fn interrupted() {
    tokio::select! {
        () = ctrl_c() => {}
        () = terminate() => {}
    }
}

async fn ctrl_c() {
    if tokio::signal::ctrl_c().await.is_err() {
        pending::<()>().await;
    }
}

#[cfg(unix)]
async fn terminate() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            terminate.recv().await;
        }
        Err(_) => pending::<()>().await,
    }
}

#[cfg(not(unix))]
async fn terminate() {
    pending::<()>().await;
}
