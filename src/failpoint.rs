//! Places where tests let the process die as by kill -9. Release builds have none of it.

/// Dies here when the environment says `FAILPOINT=NAME` or, for the N-th time that a process comes by,
/// `FAILPOINT=NAME:N`.
#[cfg(debug_assertions)]
#[expect(clippy::disallowed_methods, reason = "no configuration of an operator's")]
pub fn reached(name: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static CHOSEN: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
        let text = std::env::var("FAILPOINT").ok()?;
        let (name, visit) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), visit.parse().ok()?))
    });
    static VISITS: AtomicU32 = AtomicU32::new(0);

    if let Some((chosen, visit)) = CHOSEN.as_ref()
        && chosen == name
        && VISITS.fetch_add(1, Ordering::Relaxed) + 1 == *visit
    {
        crate::shutdown::kill_self();
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
pub fn reached(_name: &str) {}
