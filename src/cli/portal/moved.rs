//! `b24relay portal`: the stored new address of a portal that has moved.

use b24_client::home_key;
use clap::{Args, Subcommand};

use crate::cli::GlobalArgs;
use crate::cli::exit::UsageError;
use crate::cli::exit_code::Exit;
use crate::cli::output::print::print;
use crate::store::Store;

pub(in crate::cli) const NOTES: &str = "\
A renamed cloud portal redirects calls to its new host. The new host is stored in the state file and used from \
then on; `b24relay status` lists it.

Examples:
  b24relay portal forget old.bitrix24.com      call the portal at its configured address again";

#[derive(Debug, Args)]
pub(in crate::cli) struct PortalArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Forget the new address of a portal that has moved; the daemon must be stopped
    Forget(ForgetArgs),
}

#[derive(Debug, Args)]
struct ForgetArgs {
    /// The portal's host in the configuration
    host: String,
}

/// Forgets the new address.
pub(in crate::cli) async fn run(args: &PortalArgs, global: &GlobalArgs) -> anyhow::Result<Exit> {
    let Action::Forget(ForgetArgs { host }) = &args.action;
    let state = global.state()?;
    let known: Vec<String> = Store::report(&state)?.moves.into_iter().map(|moved| moved.portal).collect();
    if !Store::open(&state)?.remove_value(&home_key(host)).await? {
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(
            UsageError(format!("no new address of `{host}` is remembered; of these it is: {known}")).into()
        );
    }
    print(&format!(
        "the new address of `{host}` is forgotten: it is called at its configured address again"
    ))?;
    Ok(Exit::Clean)
}
