//! Reads the `kind` of a source and the keys of a bot.

use b24_client::SecretText;

use crate::config::parse::enums::SourceKind;
use crate::config::parse::table::Table;
use crate::config::parse::value;
use crate::config::secrets::secret;
use crate::config::secrets::secret::Token;
use crate::config::secrets::secret_file::SecretFiles;
use crate::config::section::sources::access::RawAccess;
use crate::config::{BotConfig, QueueKind};

/// The keys that belong only to a bot.
const BOT_KEYS: [&str; 4] = ["bot_id", "bot_token", "bot_token_file", "with_user_events"];
const TOKEN_KEYS: [&str; 2] = ["bot_token", "bot_token_file"];

/// A kind as read, perhaps incomplete.
pub(crate) enum RawKind {
    User,
    Bot(RawBot),
    /// A `kind` that there is not.
    Unclear,
}

/// The keys of a bot.
pub(crate) struct RawBot {
    pub(crate) id: Option<u64>,
    token: Option<SecretText>,
    pub(crate) with_user_events: bool,
}

impl RawKind {
    /// The kind, if no part is missing.
    pub(crate) fn complete(&self) -> Option<QueueKind> {
        match self {
            Self::User => Some(QueueKind::User),
            Self::Bot(bot) => Some(QueueKind::Bot(BotConfig {
                id: bot.id?,
                token: bot.token.clone(),
                with_user_events: bot.with_user_events,
            })),
            Self::Unclear => None,
        }
    }
}

/// Reads whose queue the source in `table` polls, and reports violations.
pub(crate) fn read(table: &mut Table<'_>, access: &RawAccess, files: &SecretFiles) -> RawKind {
    let is_given = table.has("kind");
    let kind = table.take("kind", value::choice);
    match kind.or_else(|| (!is_given).then(|| table.default("kind", SourceKind::User))) {
        Some(SourceKind::User) => {
            table.refuse(
                &BOT_KEYS,
                "belongs to a source of kind `bot`, and this one is `user`: remove it, or set `kind = \"bot\"`",
            );
            RawKind::User
        }
        Some(SourceKind::Bot) => RawKind::Bot(read_bot(table, access, files)),
        None => {
            table.skip(&BOT_KEYS);
            RawKind::Unclear
        }
    }
}

fn read_bot(table: &mut Table<'_>, access: &RawAccess, files: &SecretFiles) -> RawBot {
    let hint = "set it to the bot's id, which the portal gave when the bot was registered";
    RawBot {
        id: table.require("bot_id", hint, value::id),
        token: read_token(table, access, files),
        with_user_events: table.take_or("with_user_events", value::boolean, false),
    }
}

/// A bot needs its token only with a webhook (PORTAL.md 3.1).
fn read_token(table: &mut Table<'_>, access: &RawAccess, files: &SecretFiles) -> Option<SecretText> {
    let token = match access {
        RawAccess::Webhook(_) => secret::take::<Token>(table, TOKEN_KEYS, files),
        RawAccess::Unclear => secret::take_given(table, TOKEN_KEYS, files),
        RawAccess::Login(_) | RawAccess::Grant(_) => {
            table.refuse(
                &TOKEN_KEYS,
                "is of no use with `oauth`: there the portal knows a bot by the application that \
                 registered it, so remove it",
            );
            None
        }
    };
    token.map(|secret| secret.value.0)
}
