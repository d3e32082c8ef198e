//! When to leave without being asked on the wire: the parent is gone, or a signal came.

use crate::wire::contract::Interrupt;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Waits until the process that started this kernel, named in `JPY_PARENT_PID`, is gone. For ever where none is
/// named.
pub(super) async fn parent_gone() {
    let Some(parent) = std::env::var("JPY_PARENT_PID").ok().and_then(|pid| pid.trim().parse::<i32>().ok())
    else {
        return std::future::pending().await;
    };
    if parent <= 1 {
        return std::future::pending().await;
    }
    // Where it is our direct parent, its death shows as another parent even if its number is used again.
    let direct = parent_id() == parent;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if direct && parent_id() != parent || !exists(parent) {
            return;
        }
    }
}

fn parent_id() -> i32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::getppid() }
}

fn exists(pid: i32) -> bool {
    // SAFETY: signal 0 only asks whether the process is there.
    let there = unsafe { libc::kill(pid, 0) } == 0;
    // Not allowed to signal it means that it is there.
    there || std::io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

/// Waits for SIGTERM.
pub(super) async fn told_to_end() {
    match signal(SignalKind::terminate()) {
        Ok(mut signals) => drop(signals.recv().await),
        Err(_) => std::future::pending().await,
    }
}

/// Turns every SIGINT, which ends most programs, into an interrupt of the running cell.
pub(super) async fn interrupt_on_sigint(interrupt: Arc<dyn Interrupt>) {
    if let Ok(mut signals) = signal(SignalKind::interrupt()) {
        while signals.recv().await.is_some() {
            interrupt.interrupt();
        }
    }
}
