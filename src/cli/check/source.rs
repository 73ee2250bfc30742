//! Makes all checks of one source in order. A check that cannot be made is skipped with a reason.

use b24_client::PortalClient;

use super::account::{
    self, APPLICATION, CLOCK, CREDENTIAL, METHODS, REACH, SCOPES, has_passed, skipped_after,
};
use super::finding::{Finding, State};
use super::{queue, record};
use crate::cli::exit_code::Exit;
use crate::config::{Config, QueueKind, SourceConfig};
use crate::relay::PortalClients;
use crate::store::Report;

/// Makes every check of `source` that changes nothing at its portal.
pub(super) async fn examine(
    config: &Config,
    clients: &PortalClients,
    on_record: Option<&Report>,
    source: &SourceConfig,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(report) = on_record {
        findings.extend(record::queue(config, report, clients, source).await);
    }
    findings.extend(record::shared(config, clients, source).await);
    findings.extend(examined(config, clients, source).await);
    for finding in &mut findings {
        finding.hint = finding.hint.replace("SOURCE", &source.name);
    }
    findings
}

async fn examined(config: &Config, clients: &PortalClients, source: &SourceConfig) -> Vec<Finding> {
    let client = match clients.of(source) {
        Ok(client) => client.once(),
        Err(error) => {
            let hint = "correct the source's credential, or this machine's CA certificates";
            let mut findings = vec![Finding::fail(REACH, Exit::Config, error.to_string(), hint)];
            findings.push(Finding::skip(CREDENTIAL, skipped_after(REACH)));
            findings.extend(unasked(config, source, REACH));
            return findings;
        }
    };
    let owner = owner(clients, source).await;
    let mut findings = Vec::from(account::identify(source, owner, &client).await);
    findings.extend(account::address(source, &client));
    match findings.iter().find(|finding| finding.state == State::Fail).map(|failure| failure.check) {
        Some(failed) => findings.extend(unasked(config, source, failed)),
        None => findings.extend(ask(config, source, client).await),
    }
    findings
}

/// The user whose events the source reads. `None` if it reads no user's queue, or if there was no login yet.
async fn owner(clients: &PortalClients, source: &SourceConfig) -> Option<u64> {
    if source.reads_user() { clients.user_id(source).await.ok() } else { None }
}

/// The checks that need an answer from the portal, once the user is known.
async fn ask(config: &Config, source: &SourceConfig, client: PortalClient) -> Vec<Finding> {
    let mut findings = Vec::from_iter(account::application(source, &client).await);
    let scopes = account::scopes(source, &client).await;
    let may_read = has_passed(std::slice::from_ref(&scopes));
    findings.push(scopes);
    findings.push(if may_read {
        account::methods(source, &client).await
    } else {
        Finding::skip(METHODS, skipped_after(SCOPES))
    });
    findings.push(account::clock(&client).await);
    findings.push(queue::rate(config, source));
    if let QueueKind::Bot(bot) = &source.kind {
        findings.push(account::bot(bot, &client).await);
    }
    findings.extend(if may_read {
        queue::look(source, client).await
    } else {
        queue::unlooked(source, SCOPES)
    });
    findings
}

/// The remaining findings after `failed` has failed.
fn unasked(config: &Config, source: &SourceConfig, failed: &'static str) -> Vec<Finding> {
    let application = source.webhook().is_none().then_some(APPLICATION);
    let asked = application.into_iter().chain([SCOPES, METHODS, CLOCK]);
    let mut findings: Vec<Finding> = asked.map(|check| Finding::skip(check, skipped_after(failed))).collect();
    findings.push(queue::rate(config, source));
    findings.extend(queue::unlooked(source, failed));
    findings
}
