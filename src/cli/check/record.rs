//! What the state file has on record of a source, held against the configuration: what would keep `run` from starting.

use super::finding::Finding;
use crate::cli::exit_code::Exit;
use crate::config::{Config, SourceConfig};
use crate::relay::{Callers, is_same_queue};
use crate::store::{Report, Store, StoreError};

const QUEUE: &str = "queue";

/// Whether `source` still names the queue that it has read so far. Nothing to tell of a new source, and of one that
/// nobody has logged in for.
pub async fn queue(
    config: &Config,
    report: &Report,
    callers: &Callers,
    source: &SourceConfig,
) -> Option<Finding> {
    let known = &report.sources.iter().find(|known| known.name == source.name)?.identity;
    let now = callers.identity(source).await.ok()?;
    if *known == now || has_moved(config, known, &now).await {
        return Some(Finding::ok(QUEUE, format!("`{known}`, as on record")));
    }
    let error = StoreError::OtherQueue { source_name: source.name.clone(), known: known.clone(), now };
    Some(Finding::fail(QUEUE, Exit::Config, error.to_string(), ""))
}

/// Whether another source reads the same user's queue by another login: `run` leaves all but one of them out.
pub async fn shared(config: &Config, callers: &Callers, source: &SourceConfig) -> Option<Finding> {
    let own = user_queue(callers, source).await?;
    for other in config.sources.iter().take_while(|other| other.name != source.name) {
        if user_queue(callers, other).await.as_ref() == Some(&own) {
            let detail = format!(
                "the source `{}` reads the queue `{own}` already, they would take each other's events",
                other.name
            );
            return Some(Finding::fail(
                QUEUE,
                Exit::Refused,
                detail,
                "remove one of them, or log in as another user",
            ));
        }
    }
    None
}

async fn user_queue(callers: &Callers, source: &SourceConfig) -> Option<String> {
    let user = if source.reads_user() { callers.user_id(source).await.ok()? } else { return None };
    Some(format!("{}/user/{user}", source.portal().authority()))
}

async fn has_moved(config: &Config, known: &str, now: &str) -> bool {
    match Store::open_beside(&config.state) {
        Ok(store) => is_same_queue(&store, known, now).await,
        Err(_) => false,
    }
}
