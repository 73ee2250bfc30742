//! `b24relay login`: a user authorizes an OAuth application to read the user's queue (PORTAL.md 5.1).

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use b24_client::foreign_text::shown;
use b24_client::http::Route;
use b24_client::methods::account;
use b24_client::{Attempt, Authorization, KeyValue, OAuthSession, TokenRequest, Tokens, authorize_url, keep};
use clap::Args;
use reqwest::Url;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::cli::exit::{SetupError, UsageError};
use crate::cli::exit_code::Exit;
use crate::cli::output::consent::ConsentArgs;
use crate::cli::output::print::{print, remark};
use crate::cli::portal::loss::Loss;
use crate::cli::portal::source::find;
use crate::config::{AccessConfig, Config, OAuthConfig, SourceConfig};
use crate::relay::{PortalClients, StoreKeyValue, is_same_queue};
use crate::shutdown::Signals;
use crate::store::Store;

/// The longest accepted input, in bytes. A pair of tokens is far smaller.
const INPUT_MAX: u64 = 64 * 1024;

/// How many bytes of a name from the portal are shown.
const NAME_MAX: usize = 200;

const NOTES: &str = "\
The user whose chats you want opens the printed address in a browser. After the user agrees, the portal redirects \
the browser to the application's redirect address, with `code=...` and `state=...` in it. Paste that whole address \
here. A code is valid for 30 seconds. The tokens are stored in the state file; a running daemon picks them up \
within seconds, or immediately after SIGHUP.

Examples:
  b24relay login support
  b24relay login support --tokens pair.json    a pair issued earlier, as JSON
  vault read b24 | b24relay login support --tokens -";

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(in crate::cli) struct LoginArgs {
    /// The source's name in the configuration
    source: String,
    /// A JSON file with `access_token` and `refresh_token` (or `AUTH_ID` and `REFRESH_ID`); `-` is standard input
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Read the queue of another user from now on, from its beginning; the daemon must be stopped
    #[arg(long)]
    new_queue: bool,
    #[command(flatten)]
    consent: ConsentArgs,
}

/// Gets a pair of tokens, shows their user, and stores them.
pub(in crate::cli) async fn run(
    args: &LoginArgs,
    config: &Config,
    signals: &Signals,
) -> anyhow::Result<Exit> {
    let source = find(config, &args.source)?;
    let oauth = own_login(source)?;
    let store = if args.new_queue { Store::open(&config.state)? } else { Store::open_beside(&config.state)? };
    if !is_forgetting_wanted(args, source, &store, signals).await? {
        return Ok(Exit::Clean);
    }
    let key_value: Arc<dyn KeyValue> = Arc::new(StoreKeyValue(store.clone()));
    let clients = PortalClients::open(config, [source], &key_value).await?;
    let grant = clients.grant(source).context("the source has no login")?;
    let tokens = match &args.tokens {
        Some(file) => read_tokens(file, oauth)?,
        None => exchange(oauth, source.connection.authorization_route(), signals).await?,
    };
    refuse_foreign_application(&tokens, source, oauth)?;
    grant.seed(tokens).await;
    let client = clients.of(source)?;
    let profile = account::profile(&client).await?;
    let scopes = account::scopes(&client).await?;
    let mut tokens = current(grant).await?;
    warn_of_other_name(&tokens, source);
    tokens.user_id = Some(profile.user_id);
    grant.seed(tokens.clone()).await;
    if args.new_queue {
        store.forget_queue(&source.name).await?;
    }
    refuse_other_queue(config, &store, source, &clients.identity(source).await?).await?;
    keep(&*key_value, oauth, &tokens).await.context("keep the tokens")?;
    let who = format!("{} (user {}) on {}", profile.name, profile.user_id, source.portal().authority());
    print(&format!("logged in for `{}` as {who}; scopes: {}", source.name, scopes.join(", ")))?;
    if !scopes.iter().any(|scope| scope == "im" || scope == "imbot") {
        remark(
            "b24relay: neither `im` nor `imbot` is among the scopes: tick them in the application's card, then log in again",
        );
    }
    Ok(Exit::Clean)
}

/// Asks before another queue replaces the current one, with the number of journal events that are lost with it.
async fn is_forgetting_wanted(
    args: &LoginArgs,
    source: &SourceConfig,
    store: &Store,
    signals: &Signals,
) -> anyhow::Result<bool> {
    if !args.new_queue && args.consent.is_given_at_all() {
        return Err(UsageError("`--yes` and `--dry-run` are for `--new-queue` alone".to_owned()).into());
    }
    if !args.new_queue {
        return Ok(true);
    }
    let loss = Loss::of_journal(&source.name, &store.undelivered(&source.name).await?, None, |_| true);
    let what = format!("of the queue that `{}` has read so far will not be delivered", source.name);
    loss.ask(&args.consent, &what, "forget them?", signals).await
}

/// The OAuth login of exactly this source.
fn own_login(source: &SourceConfig) -> anyhow::Result<&OAuthConfig> {
    match &source.access {
        AccessConfig::OAuth(oauth) if oauth.grant == source.name => Ok(oauth),
        AccessConfig::OAuth(oauth) => {
            let owner = &oauth.grant;
            let text = format!("`{}` uses the login of `{owner}`: run `b24relay login {owner}`", source.name);
            Err(UsageError(text).into())
        }
        AccessConfig::Webhook(_) => {
            let text = format!(
                "sources.{0}: has a webhook, which needs no login; an application is set up with `[sources.{0}.oauth]`",
                source.name
            );
            Err(SetupError(text).into())
        }
    }
}

/// Gets tokens through the browser.
async fn exchange(oauth: &OAuthConfig, route: Route, signals: &Signals) -> anyhow::Result<Tokens> {
    let mut random = [0; 64];
    let filled = SystemRandom::new().fill(&mut random);
    filled.map_err(|_| anyhow!("the operating system has no random bytes to give"))?;
    let attempt = Attempt::new(&random);
    remark("Open this address in a browser, as the user whose chats are wanted:\n");
    print(authorize_url(oauth, &attempt).as_str())?;
    remark(
        "\nThen paste the whole address that the browser was sent to (the `code` in it lives 30 seconds):",
    );
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    });
    let line = tokio::select! {
        biased;
        () = signals.stop.cancelled() => String::new(),
        line = line => line??,
    };
    let code = code_in(&line, &attempt.state)?;
    let authorization = Authorization::new(oauth, route);
    Ok(authorization.ask(TokenRequest::Code(&code, &attempt), None).await?)
}

/// Extracts the code from the pasted text, an address or its query. The text must contain the `state` of this login.
fn code_in(pasted: &str, state: &str) -> Result<String, UsageError> {
    let pasted = pasted.trim();
    if pasted.is_empty() {
        return Err(UsageError("no code was pasted: run the command again".to_owned()));
    }
    let query = Url::parse(pasted).ok().and_then(|url| url.query().map(str::to_owned));
    let query = query.unwrap_or_else(|| pasted.trim_start_matches('?').to_owned());
    let values: HashMap<_, _> = form_urlencoded(&query);
    match (values.get("code"), values.get("state")) {
        (Some(code), Some(given)) if given == state && !code.is_empty() => Ok(code.clone()),
        (_, Some(given)) if given != state => {
            let text = "that address answers another login (its `state` differs): open the address above, and paste where that one leads";
            Err(UsageError(text.to_owned()))
        }
        (None, Some(_)) => {
            Err(UsageError("there is no `code` in that address: was the login agreed to?".to_owned()))
        }
        _ if values.contains_key("error") => {
            Err(UsageError("there is no `code` in that address: was the login agreed to?".to_owned()))
        }
        _ => {
            let text = "there is no `state` in what was pasted, so it may answer another login: run the command again, and \
                        paste the whole address that the browser was sent to";
            Err(UsageError(text.to_owned()))
        }
    }
}

fn form_urlencoded(query: &str) -> HashMap<String, String> {
    let url = Url::parse(&format!("http://localhost/?{query}"));
    url.iter().flat_map(Url::query_pairs).map(|(key, value)| (key.into_owned(), value.into_owned())).collect()
}

fn read_tokens(file: &Path, oauth: &OAuthConfig) -> anyhow::Result<Tokens> {
    let mut text = String::new();
    let name =
        if file == Path::new("-") { "standard input".to_owned() } else { format!("`{}`", file.display()) };
    let read = if file == Path::new("-") {
        io::stdin().take(INPUT_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(INPUT_MAX).read_to_string(&mut text))
    };
    read.with_context(|| format!("read {name}"))?;
    Tokens::parse(text.trim_start_matches('\u{feff}'), &oauth.client_id)
        .map_err(|rule| UsageError(format!("{name} {rule}")).into())
}

/// The current tokens: the first calls may have refreshed them.
async fn current(grant: &OAuthSession) -> anyhow::Result<Tokens> {
    grant.tokens().await.context("the tokens are gone")
}

/// Refuses tokens of another application before any call, because this application cannot refresh them.
fn refuse_foreign_application(
    tokens: &Tokens,
    source: &SourceConfig,
    oauth: &OAuthConfig,
) -> Result<(), SetupError> {
    if tokens.client_id == oauth.client_id {
        return Ok(());
    }
    let (name, owner) = (&source.name, shown(&tokens.client_id, secrets(tokens, oauth), NAME_MAX));
    Err(SetupError(format!("sources.{name}.oauth.client_id: the tokens belong to the application {owner}")))
}

/// The tokens work on the configured portal, as the calls have shown. If the server reports another host for it, the
/// configured host is outdated.
fn warn_of_other_name(tokens: &Tokens, source: &SourceConfig) {
    let named = tokens.client_endpoint.as_ref().map(Url::authority);
    if let Some(portal) = named.filter(|portal| *portal != source.portal().authority()) {
        let portal = shown(portal, [tokens.access.expose(), tokens.refresh.expose()], NAME_MAX);
        let name = &source.name;
        remark(&format!(
            "b24relay: the portal calls itself by another name, `{portal}`: put it into `sources.{name}.oauth.portal`"
        ));
    }
}

fn secrets<'a>(tokens: &'a Tokens, oauth: &'a OAuthConfig) -> [&'a str; 3] {
    [tokens.access.expose(), tokens.refresh.expose(), oauth.client_secret.expose()]
}

/// Refuses another user's queue: the recorded offsets belong to one user's queue.
async fn refuse_other_queue(
    config: &Config,
    store: &Store,
    source: &SourceConfig,
    identity: &str,
) -> anyhow::Result<()> {
    let name = &source.name;
    let report = Store::report(&config.state)?;
    let known = report.sources.into_iter().find(|known| known.name == *name && !known.identity.is_empty());
    let Some(known) = known.map(|known| known.identity) else { return Ok(()) };
    if is_same_queue(store, &known, identity).await {
        return Ok(());
    }
    let text = format!(
        "sources.{name}: has read the queue `{known}` so far, and this login opens `{identity}`; nothing was kept: log in \
         as the user of before, or, if the source is to read this queue from now on, `b24relay login {name} --new-queue`"
    );
    Err(SetupError(text).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_taken_only_with_the_state_of_this_login() {
        let code = |pasted| code_in(pasted, "0a1b").map_err(|error| error.to_string());
        for pasted in [
            "https://app.example/x?code=abc%2B123&state=0a1b&domain=p",
            " ?state=0a1b&code=abc%2B123 \n",
            "code=abc%2B123&state=0a1b",
        ] {
            assert_eq!(code(pasted), Ok("abc+123".to_owned()), "{pasted}");
        }
        for pasted in ["abc123", "https://app.example/x?code=abc123", "code=abc123", "two words", "http://x"]
        {
            assert!(code(pasted).unwrap_err().contains("no `state`"), "{pasted}");
        }
        assert!(code("https://app.example/x?code=abc123&state=other").unwrap_err().contains("another login"));
        assert!(code("https://app.example/x?code=abc123&state=").unwrap_err().contains("another login"));
        assert!(code("https://app.example/x?error=access_denied").unwrap_err().contains("agreed"));
        assert!(code("https://app.example/x?error=access_denied&state=0a1b").unwrap_err().contains("agreed"));
        for nothing in ["", "\n"] {
            assert!(code(nothing).unwrap_err().contains("no code"));
        }
    }
}
