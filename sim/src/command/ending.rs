//! That the program is asked to end.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Becomes true on SIGINT or SIGTERM, of which a second one ends the program.
#[expect(
    clippy::disallowed_methods,
    reason = "it waits beside the worlds, and decides nothing in them"
)]
pub(super) fn interrupted() -> io::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let told = interrupted.clone();
    std::thread::spawn(move || {
        runtime.block_on(async {
            let Ok(first) = ending() else { return };
            first.await;
            told.store(true, Ordering::Relaxed);
            let Ok(second) = ending() else { return };
            second.await;
            std::process::exit(130);
        });
    });
    Ok(interrupted)
}

/// Resolves on SIGINT or SIGTERM.
#[cfg(unix)]
pub(super) fn ending() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Resolves on Ctrl-C.
#[cfg(not(unix))]
pub(super) fn ending() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
