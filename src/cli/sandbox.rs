//! `b24relay sandbox`: runs the emulated portal until it is stopped.

use std::net::SocketAddr;

use anyhow::Context as _;
use b24_sandbox::{Sandbox, SandboxConfig};
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::cli::exit::UsageError;
use crate::cli::output::print::print;

const EXAMPLES: &str = "\
Serves webhooks, OAuth and bots, with a portal's limits. `GET /sandbox` describes the scripted faults and the clock.

Examples:
  b24relay sandbox
  b24relay sandbox --rate 20 --backlog 500 --subscribed  20 a second, 500 waiting for each user";

/// Run an emulated Bitrix24 portal on this machine
///
/// It answers profile, scope, method.get, server.time and im.v2.Event.subscribe, get and unsubscribe like a real
/// portal. It has one incoming webhook for each user, and an application with OAuth tokens, which may also manage its
/// event handlers. It calls no other machine and keeps nothing after it stops. Its control API creates events, injects
/// faults and sets the clock.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SandboxArgs {
    /// Address to listen on; must be a loopback address, port 0 takes a free port
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8924")]
    pub listen: SocketAddr,

    /// How many users have a webhook
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub users: u32,

    /// How many chats the users have; every third one is private
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub chats: u32,

    /// How many events happen per second, over all subscribed users
    #[arg(long, value_name = "EVENTS_PER_SECOND", default_value_t = 1.0, value_parser = rate)]
    pub rate: f64,

    /// The same seed gives the same webhook codes, people, event ids and texts
    #[arg(long, value_name = "NUMBER", default_value_t = 24)]
    pub seed: u64,

    /// How many events wait for each user at the start
    #[arg(long, value_name = "COUNT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub backlog: u32,

    /// Keep stored events on unsubscribe, as the documentation promises; real portals delete them
    #[arg(long)]
    pub keep_on_unsubscribe: bool,

    /// Record events from the start, without waiting for im.v2.Event.subscribe
    #[arg(long)]
    pub subscribed: bool,
}

impl From<SandboxArgs> for SandboxConfig {
    fn from(args: SandboxArgs) -> Self {
        Self {
            listen: args.listen,
            users: args.users,
            chats: args.chats,
            rate: args.rate,
            seed: args.seed,
            subscribed: args.subscribed,
            backlog: args.backlog,
            keep_on_unsubscribe: args.keep_on_unsubscribe,
        }
    }
}

/// Runs the sandbox until `stop`.
///
/// # Errors
///
/// When the address is not a loopback address or cannot be bound.
pub(super) async fn run(args: SandboxArgs, stop: CancellationToken) -> anyhow::Result<()> {
    let listen = args.listen;
    if !listen.ip().to_canonical().is_loopback() {
        let text = format!(
            "the sandbox has no real credentials, so it does not listen on `{listen}`: give --listen a \
             loopback address such as 127.0.0.1:8924"
        );
        return Err(UsageError(text).into());
    }
    let sandbox = Sandbox::start(args.into())
        .await
        .with_context(|| format!("listen on `{listen}`: give --listen another port if it is taken"))?;
    print(greeting(&sandbox).trim_end())?;
    stop.cancelled().await;
    sandbox.stop().await;
    Ok(())
}

/// Printed because a reader that only polls would never receive an event.
const NOBODY_SUBSCRIBED: &str = "\nNobody is subscribed yet: new events are recorded once a reader calls \
                                 im.v2.Event.subscribe, or from the start with --subscribed.\n";

/// How to use the sandbox, with commands to copy.
fn greeting(sandbox: &Sandbox) -> String {
    let (address, base_url) = (sandbox.address(), sandbox.base_url());
    let (client_id, client_secret) = (sandbox.client_id(), sandbox.client_secret());
    let users = sandbox.user_ids();
    let webhook = |user: &u64| format!("  {}  {}\n", sandbox.webhook_url(*user), sandbox.user_name(*user));
    let webhooks: String = users.iter().map(webhook).collect();
    let subscribed = sandbox.stats().users.values().any(|user| user.subscribed);
    let hint = if subscribed { "" } else { NOBODY_SUBSCRIBED };
    let first = users.first().map(|user| sandbox.webhook_url(*user)).unwrap_or_default();
    format!(
        r#"Webhooks:
{webhooks}{hint}
Application:
  client_id      {client_id}
  client_secret  {client_secret}
  authorise at   {base_url}oauth/authorize/?client_id={client_id}&state=anything
  tokens from    {base_url}oauth/token/

Configuration (b24relay.toml):
  state = "./b24relay.db"

  [sources.demo]
  webhook_url = "{first}"

  [sinks.console]
  type = "stdout"

Control: http://{address}/sandbox
  curl -d '{{"user":1,"count":10,"force":true}}' http://{address}/sandbox/events
"#
    )
}

/// Parses a number of events per second.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "must be a number".to_owned())?;
    if (0.0..=100_000.0).contains(&rate) { Ok(rate) } else { Err("must be 0 to 100000".into()) }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SandboxArgs,
    }

    #[test]
    fn the_arguments_fit_together() {
        Line::command().debug_assert();
        let args = Line::parse_from(["sandbox", "--rate", "2.5", "--users", "4"]).args;
        assert_eq!((args.rate, args.users, args.listen.port()), (2.5, 4, 8924));
        assert!(Line::try_parse_from(["sandbox", "--rate", "-1"]).is_err());
    }

    #[tokio::test]
    async fn the_greeting_holds_what_an_application_needs() {
        let sandbox = Sandbox::start(SandboxConfig::default()).await.unwrap();
        let greeting = greeting(&sandbox);
        let authorize = format!("{}oauth/authorize/?client_id={}", sandbox.base_url(), sandbox.client_id());
        for needed in [authorize, sandbox.client_secret()] {
            assert!(greeting.contains(&needed), "{greeting}");
        }
    }

    #[tokio::test]
    async fn an_address_for_all_the_world_is_refused() {
        let args = Line::parse_from(["sandbox", "--listen", "0.0.0.0:0"]).args;
        let error = run(args, CancellationToken::new()).await.unwrap_err();
        assert!(error.to_string().contains("--listen"), "{error}");
    }

    #[tokio::test]
    async fn it_runs_until_the_stop() {
        let stop = CancellationToken::new();
        let args = Line::parse_from(["sandbox", "--listen", "127.0.0.1:0", "--backlog", "3"]).args;
        stop.cancel();
        run(args, stop).await.unwrap();
    }
}
