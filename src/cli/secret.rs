//! `b24relay secret`: creates the secrets that sign webhook deliveries.

use anyhow::anyhow;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::json;

use crate::cli::exit_code::Exit;
use crate::cli::output::print::print;
use crate::config::{PUBLIC_PREFIX, SECRET_PREFIX, SHARED_PREFIX};

/// In bytes: the output length of HMAC-SHA256, and the length of an ed25519 seed.
const SECRET_LENGTH: usize = 32;

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(super) struct SecretArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print a new secret
    New(NewArgs),
}

const NOTES: &str = "\
Without --ed25519, sender and receiver share the secret. With it, the first line is the secret key for the relay, \
and the second line is the public key for the receiver, which can then verify but not sign.

To rotate, put the new secret above the old one in the file of the sink's `secrets_file`: the relay picks it \
up without a restart and signs with both. Give the new secret to the receiver, then remove the old line.

Examples:
  (umask 077; b24relay secret new > crm.secrets)     then: secrets_file = \"crm.secrets\"
  b24relay secret new --ed25519
  b24relay secret new --json";

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
struct NewArgs {
    /// Create a key pair; the receiver gets the public key
    #[arg(long)]
    ed25519: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Creates and prints a secret.
pub(super) fn run(args: &SecretArgs) -> anyhow::Result<Exit> {
    let Action::New(args) = &args.action;
    let random = random()?;
    let made = if args.ed25519 { Made::pair(&random)? } else { Made::shared(&random) };
    print(&if args.json { made.json() } else { made.text() })?;
    Ok(Exit::Clean)
}

/// A new secret that sender and receiver share.
pub(super) fn shared() -> anyhow::Result<String> {
    Ok(Made::shared(&random()?).secret)
}

fn random() -> anyhow::Result<[u8; SECRET_LENGTH]> {
    let mut bytes = [0; SECRET_LENGTH];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| anyhow!("the operating system has no random bytes to give"))?;
    Ok(bytes)
}

/// A secret, and for a key pair also its public key.
struct Made {
    secret: String,
    public_key: Option<String>,
}

impl Made {
    fn shared(bytes: &[u8; SECRET_LENGTH]) -> Self {
        Self { secret: format!("{SHARED_PREFIX}{}", STANDARD.encode(bytes)), public_key: None }
    }

    fn pair(seed: &[u8; SECRET_LENGTH]) -> anyhow::Result<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|_| anyhow!("cannot make a key of the seed"))?;
        Ok(Self {
            secret: format!("{SECRET_PREFIX}{}", STANDARD.encode(seed)),
            public_key: Some(format!("{PUBLIC_PREFIX}{}", STANDARD.encode(pair.public_key()))),
        })
    }

    fn text(&self) -> String {
        let lines: Vec<&str> =
            [&self.secret].into_iter().chain(&self.public_key).map(String::as_str).collect();
        lines.join("\n")
    }

    fn json(&self) -> String {
        match &self.public_key {
            Some(public_key) => json!({"secret": self.secret, "public_key": public_key}).to_string(),
            None => json!({"secret": self.secret}).to_string(),
        }
    }
}
