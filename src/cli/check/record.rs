//! Compares the configuration with the source's record in the state file, to find conflicts that would stop `run`.

use super::finding::Finding;
use crate::cli::exit_code::Exit;
use crate::config::{Config, SourceConfig};
use crate::relay::{PortalClients, is_same_queue};
use crate::store::{Report, Store, StoreError};

const QUEUE: &str = "queue";

/// Whether `source` still names the queue that it has read so far. Returns `None` for a new source and for one without
/// a login.
pub(super) async fn queue(
    config: &Config,
    report: &Report,
    clients: &PortalClients,
    source: &SourceConfig,
) -> Option<Finding> {
    let known = &report.sources.iter().find(|known| known.name == source.name)?.identity;
    let now = clients.identity(source).await.ok()?;
    if *known == now || has_moved(config, known, &now).await {
        return Some(Finding::ok(QUEUE, format!("`{known}`, as on record")));
    }
    let error = StoreError::OtherQueue { source_name: source.name.clone(), known: known.clone(), now };
    Some(Finding::fail(QUEUE, Exit::Config, error.to_string(), ""))
}

/// Whether another source reads the same user's queue with another login: `run` starts only one of them.
pub(super) async fn shared(
    config: &Config,
    clients: &PortalClients,
    source: &SourceConfig,
) -> Option<Finding> {
    let own = user_queue(clients, source).await?;
    for other in config.sources.iter().take_while(|other| other.name != source.name) {
        if user_queue(clients, other).await.as_ref() == Some(&own) {
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

async fn user_queue(clients: &PortalClients, source: &SourceConfig) -> Option<String> {
    let user = if source.reads_user() { clients.user_id(source).await.ok()? } else { return None };
    Some(format!("{}/user/{user}", source.portal().authority()))
}

async fn has_moved(config: &Config, known: &str, now: &str) -> bool {
    match Store::open_beside(&config.state) {
        Ok(store) => is_same_queue(&store, known, now).await,
        Err(_) => false,
    }
}
