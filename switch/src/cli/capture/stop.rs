//! How a capture learns that it is to end.

use std::io::{self, PipeReader};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

/// Ctrl-C, or another signal to end: a flag, and something to wait for.
#[derive(Debug)]
pub(super) struct Stop {
    told: Arc<AtomicBool>,
    /// Readable, as it is at its end, once a signal came.
    wake: PipeReader,
}

impl Stop {
    /// From now on such signals end nothing by themselves.
    pub(super) fn catch() -> io::Result<Self> {
        let (wake, held) = io::pipe()?;
        let told = Arc::new(AtomicBool::new(false));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let mut signals = {
            let _entered = runtime.enter();
            let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
            kinds.map(signal).into_iter().collect::<io::Result<Vec<_>>>()?
        };
        let tell = Arc::clone(&told);
        let work = move || {
            runtime.block_on(async {
                let any = signals.iter_mut().map(|signal| Box::pin(signal.recv()));
                futures_util::future::select_all(any).await;
            });
            tell.store(true, Ordering::Relaxed);
            drop(held);
        };
        thread::Builder::new().name("signals".to_owned()).spawn(work)?;
        Ok(Self { told, wake })
    }

    /// Whether a signal came.
    pub(super) fn is_told(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    /// To ask [`Stop::is_told`] elsewhere.
    pub(super) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.told)
    }
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
