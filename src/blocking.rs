//! Where code that blocks runs: the writing of files, and anchor sinks.

use std::{future::Future, pin::Pin, sync::Arc};

use tokio::{runtime::Handle, sync::oneshot};

/// Code that blocks.
pub type Work = Box<dyn FnOnce() + Send>;

/// Ready once the code has returned or panicked. Dropping it does not stop the code.
pub type Working = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs code that blocks, on a thread that may be blocked.
pub type RunBlocking = Arc<dyn Fn(Work) -> Working + Send + Sync>;

/// Runs it on a thread for blocking work of the tokio runtime that this is called on,
/// or, if there is none, on the calling thread: no runtime's thread is held up.
pub(crate) fn on_thread(work: Work) -> Working {
    match Handle::try_current() {
        Ok(runtime) => {
            let working = runtime.spawn_blocking(work);
            Box::pin(async move {
                // An error: it has panicked, or the runtime ends.
                let _ = working.await;
            })
        }
        Err(_) => {
            work();
            Box::pin(std::future::ready(()))
        }
    }
}

/// What `work` returns; `None` if it has panicked, or the runtime ends.
pub(crate) async fn returned<T: Send + 'static>(
    run: &RunBlocking,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (send, mut receive) = oneshot::channel();
    run(Box::new(move || drop(send.send(work())))).await;
    receive.try_recv().ok()
}
