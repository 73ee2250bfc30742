//! Makes all checks of one source in order. A check that cannot be made is skipped with a reason.

use super::account::{
    self, APPLICATION, CLOCK, CREDENTIAL, METHODS, REACH, SCOPES, has_passed, skipped_after,
};
use super::finding::{Finding, State};
use super::{queue, record};
use crate::cli::exit_code::Exit;
use crate::config::{Config, KindConfig, SourceConfig};
use crate::portal::Caller;
use crate::relay::Callers;
use crate::store::Report;

/// Makes every check of `source` that changes nothing at its portal.
pub async fn examine(
    config: &Config,
    callers: &Callers,
    on_record: Option<&Report>,
    source: &SourceConfig,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(report) = on_record {
        findings.extend(record::queue(config, report, callers, source).await);
    }
    findings.extend(record::shared(config, callers, source).await);
    findings.extend(examined(config, callers, source).await);
    for finding in &mut findings {
        finding.cure = finding.cure.replace("SOURCE", &source.name);
    }
    findings
}

async fn examined(config: &Config, callers: &Callers, source: &SourceConfig) -> Vec<Finding> {
    let caller = match callers.of(source) {
        Ok(caller) => caller.once(),
        Err(error) => {
            let cure = "correct the source's credential, or this machine's CA certificates";
            let mut findings = vec![Finding::fail(REACH, Exit::Config, error, cure)];
            findings.push(Finding::skip(CREDENTIAL, skipped_after(REACH)));
            findings.extend(unasked(config, source, REACH));
            return findings;
        }
    };
    let owner = owner(callers, source).await;
    let mut findings = Vec::from(account::identify(source, owner, &caller).await);
    findings.extend(account::address(source, &caller));
    match findings.iter().find(|finding| finding.state == State::Fail).map(|failure| failure.check) {
        Some(failed) => findings.extend(unasked(config, source, failed)),
        None => findings.extend(ask(config, source, caller).await),
    }
    findings
}

/// The user whose events the source reads. `None` if it reads no user's queue, or if there was no login yet.
async fn owner(callers: &Callers, source: &SourceConfig) -> Option<u64> {
    if source.reads_user() { callers.user_id(source).await.ok() } else { None }
}

/// The checks that need an answer from the portal, once the user is known.
async fn ask(config: &Config, source: &SourceConfig, caller: Caller) -> Vec<Finding> {
    let mut findings = Vec::from_iter(account::application(source, &caller).await);
    let scopes = account::scopes(source, &caller).await;
    let may_read = has_passed(std::slice::from_ref(&scopes));
    findings.push(scopes);
    findings.push(if may_read {
        account::methods(source, &caller).await
    } else {
        Finding::skip(METHODS, skipped_after(SCOPES))
    });
    findings.push(account::clock(&caller).await);
    findings.push(queue::rate(config, source));
    if let KindConfig::Bot(bot) = &source.kind {
        findings.push(account::bot(bot, &caller).await);
    }
    findings.extend(if may_read {
        queue::look(source, caller).await
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
