//! What the state file has on record of a source, held against the configuration: what would keep `run` from starting.

use crate::cli::exit::Exit;
use crate::config::{Config, DeliveryMode, SourceConfig};
use crate::relay::{Callers, is_same_queue};
use crate::store::{LaneReport, Report, Store, StoreError};

use super::finding::Finding;

const QUEUE: &str = "queue";
const REMOVED: &str = "removed sinks";

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

/// In direct mode the portal has what a removed sink has not got, and is not told to forget it unless somebody says so.
pub fn removed(config: &Config, report: &Report, source: &SourceConfig) -> Vec<Finding> {
    if config.delivery.mode != DeliveryMode::Direct {
        return Vec::new();
    }
    let lanes = report.lanes.iter().filter(|lane| lane.source == source.name);
    let takes = |lane: &&LaneReport| {
        config.sinks.iter().any(|sink| sink.name == lane.sink && sink.takes_source(&source.name))
    };
    let (kept, removed): (Vec<_>, Vec<_>) = lanes.partition(takes);
    let is_behind =
        |lane: &LaneReport| kept.iter().any(|kept| kept.offset > lane.offset || kept.highest > lane.highest);
    let unsettled = removed.into_iter().filter(|lane| lane.pending > 0 || is_behind(lane));
    unsettled.map(|lane| fail(&source.name, &lane.sink)).collect()
}

fn fail(source: &str, sink: &str) -> Finding {
    let detail =
        format!("sinks.{sink}: is no longer configured, and has not settled what `{source}` has for it");
    let hint = format!(
        "put it back, or start with `b24relay run --forget {sink}`, which gives up what it has not got"
    );
    Finding::fail(REMOVED, Exit::Config, detail, hint)
}
