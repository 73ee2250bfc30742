//! The webhook: its URL, its user, and whether it has the right that is needed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use b24_client::http::Route;
use b24_client::methods::account;
use b24_client::{CallError, Credential, NoKeyValue, PortalClient, PortalState};

use crate::cli::exit::{RefusedError, UsageError};
use crate::cli::init::input;
use crate::cli::init::questions::Questions;
use crate::cli::output::print::{print, remark};
use crate::cli::portal::refused;
use crate::config::{PortalConfig, WebhookUrl, token_of_file};

const TIMEOUT: Duration = Duration::from_secs(30);

/// How often a wrong URL is asked for again.
const TRIES_MAX: usize = 5;

/// The right that reading a user's events needs.
const RIGHT: &str = "im";

const WHERE_TO_MAKE: &str = "\
The portal shows it under Developer resources -> Other -> Inbound webhook (Russian: «Разработчикам -> Другое -> \
Входящий вебхук»), for the user whose chats you want. Under Assign permissions («Настройка прав») add Chat and \
Notifications (im) («Чат и уведомления (im)»), and save. The URL is a password.";

const WHERE_TO_TICK: &str = "\
open the webhook in the portal under Developer resources -> Integrations -> Edit (Russian: «Разработчикам -> Интеграции \
-> Редактировать»), add Chat and Notifications (im) («Чат и уведомления (im)») under Assign permissions («Настройка \
прав»), and save";

/// Gets a URL that works: from `file`, or by asking until it does.
pub(super) async fn obtain(file: Option<&Path>, questions: &Questions<'_>) -> anyhow::Result<WebhookUrl> {
    if let Some(file) = file {
        let webhook = parse(input::read(file)?).with_context(|| format!("`{}`", file.display()))?;
        prove(&webhook).await?;
        return Ok(webhook);
    }
    remark(WHERE_TO_MAKE);
    for _ in 0..TRIES_MAX {
        let text = questions.secret("URL of the incoming webhook").await?;
        match prove_asking(text, questions).await {
            Ok(webhook) => return Ok(webhook),
            Err(error) => tell_if_about_url(error)?,
        }
    }
    Err(UsageError(format!("{TRIES_MAX} URLs that do not work: make a new webhook in the portal")).into())
}

/// Checks `text`. A right that is missing can be added meanwhile.
async fn prove_asking(text: String, questions: &Questions<'_>) -> anyhow::Result<WebhookUrl> {
    let webhook = parse(text.into_bytes())?;
    loop {
        match prove(&webhook).await {
            Err(error) if error.is::<RefusedError>() => {
                remark(&format!("b24relay: {error}"));
                questions.wait("Press Enter when it is saved: ").await?;
            }
            proven => return proven.map(|()| webhook),
        }
    }
}

/// Shows an error that another URL can correct, and returns any other one.
fn tell_if_about_url(error: anyhow::Error) -> anyhow::Result<()> {
    if let Some(refusal) = error.downcast_ref::<CallError>() {
        remark(&format!("b24relay: {refusal}\nb24relay: {}", refused::hint(refusal)));
        return Ok(());
    }
    if error.is::<UsageError>() {
        remark(&format!("b24relay: {error:#}"));
        return Ok(());
    }
    Err(error)
}

/// Parses the URL as people write it. The error does not repeat it.
fn parse(bytes: Vec<u8>) -> anyhow::Result<WebhookUrl> {
    let wrong = |rule: &str| {
        let form = "it looks like https://example.bitrix24.com/rest/12/abcdef123456/";
        UsageError(format!("the webhook's URL {rule}; {form}"))
    };
    if bytes.len() > input::URL_MAX {
        return Err(wrong("is too long").into());
    }
    let text = token_of_file(bytes).map_err(|rule| wrong(&rule.to_string()))?;
    let webhook = WebhookUrl::parse(text.expose()).map_err(wrong)?;
    if webhook.url().is_exposed() {
        return Err(wrong("must begin with https://").into());
    }
    match webhook.example() {
        Some(example) => Err(wrong(&format!("is not a real one: {example}")).into()),
        None => Ok(webhook),
    }
}

/// Asks the portal whose the webhook is, and whether it has the right.
async fn prove(webhook: &WebhookUrl) -> anyhow::Result<()> {
    let site = PortalState::open(webhook.url(), PortalConfig::default(), Arc::new(NoKeyValue)).await;
    let site = Arc::new(site.map_err(anyhow::Error::msg)?);
    let client = PortalClient::try_new(site, Credential::Webhook(webhook.clone()), TIMEOUT, Route::default())
        .map_err(|reason| anyhow!("call the portal: {reason}"))?
        .once();
    let profile = account::profile(&client).await?;
    let rights = account::scopes(&client).await?;
    let who = match profile.name.as_str() {
        "" => format!("user {}", profile.user_id),
        name => format!("{name} (user {})", profile.user_id),
    };
    if rights.iter().any(|right| right.eq_ignore_ascii_case(RIGHT)) {
        print(&format!("{who}, {RIGHT}: ok"))?;
        return Ok(());
    }
    Err(RefusedError(format!("{who}: the webhook lacks the right `{RIGHT}`: {WHERE_TO_TICK}")).into())
}
