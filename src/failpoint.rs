//! Points at which tests can kill the process as with kill -9, or make a loop hang. Release builds contain none of
//! them.

/// Kills the process if the environment variable is `FAILPOINT=NAME`, or at the N-th visit if it is `FAILPOINT=NAME:N`.
#[cfg(debug_assertions)]
pub fn reached(name: &str) {
    if is_chosen(name) {
        crate::shutdown::kill_self();
    }
}

/// Never returns if the environment variable names this point.
#[cfg(debug_assertions)]
pub async fn stuck(name: &str) {
    if is_chosen(name) {
        std::future::pending::<()>().await;
    }
}

#[cfg(debug_assertions)]
#[expect(clippy::disallowed_methods, reason = "no configuration of an operator's")]
fn is_chosen(name: &str) -> bool {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static CHOSEN: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
        let text = std::env::var("FAILPOINT").ok()?;
        let (name, visit) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), visit.parse().ok()?))
    });
    static VISITS: AtomicU32 = AtomicU32::new(0);

    CHOSEN
        .as_ref()
        .is_some_and(|(chosen, visit)| chosen == name && VISITS.fetch_add(1, Ordering::Relaxed) + 1 == *visit)
}

/// Does nothing.
#[cfg(not(debug_assertions))]
pub fn reached(_name: &str) {}

/// Does nothing.
#[cfg(not(debug_assertions))]
#[expect(clippy::unused_async, reason = "as where it does something")]
pub async fn stuck(_name: &str) {}
