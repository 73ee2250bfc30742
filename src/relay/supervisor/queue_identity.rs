//! Compares the queue that a source reads with the one on record. A portal that has moved is still the same portal,
//! under whichever of its names it is configured.

use b24_client::home_key;

use crate::config::SecretUrl;
use crate::event::Queue;
use crate::store::{Store, StoreError, StoredSource};

/// How many moves of one portal are followed: it may have moved in a circle.
const MOVES_MAX: u32 = 64;

/// Records that `source` reads the queue `identity`, or checks that it does, and returns the records of that queue. The
/// returned queue has the name that is on record.
///
/// # Errors
/// [`StoreError::OtherQueue`] when the source has read another queue before.
pub async fn bind(store: &Store, source: &str, identity: &str) -> Result<(Queue, StoredSource), StoreError> {
    let queue = Queue::new(source, identity);
    let refused = match store.bind(&queue).await {
        Ok(stored) => return Ok((queue, stored)),
        Err(refused) => refused,
    };
    match &refused {
        StoreError::OtherQueue { known, now, .. } if is_same_queue(store, known, now).await => {
            let queue = Queue::new(source, known);
            let stored = store.bind(&queue).await?;
            Ok((queue, stored))
        }
        _ => Err(refused),
    }
}

/// Whether `known` and `now` name the same queue, before and after a move of its portal.
pub async fn is_same_queue(store: &Store, known: &str, now: &str) -> bool {
    let (Some((old, rest)), Some((new, same))) = (known.split_once('/'), now.split_once('/')) else {
        return false;
    };
    rest == same && (old == new || leads_to(store, old, new).await)
}

/// Whether the portal that was at `old` has moved to `new`, even if the configuration does not say so.
async fn leads_to(store: &Store, old: &str, new: &str) -> bool {
    let mut at = old.to_owned();
    for _ in 0..MOVES_MAX {
        let home = store.value(&home_key(&at)).await.ok().flatten();
        let Some(home) = home.and_then(|home| SecretUrl::parse(&home).ok()) else { return false };
        at = home.authority();
        if at == new {
            return true;
        }
    }
    false
}
