//! The owner of a queue in the control API: a user or a bot.

use serde::Deserialize;

/// The owner of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reader {
    /// By user id.
    User(u64),
    /// By bot id.
    Bot(u64),
}

impl Reader {
    /// The owner with the given id.
    ///
    /// # Errors
    ///
    /// If no id is given, or both.
    pub(crate) fn of(user: Option<u64>, bot: Option<u64>) -> Result<Self, ControlError> {
        match (user, bot) {
            (Some(user), None) => Ok(Self::User(user)),
            (None, Some(bot)) => Ok(Self::Bot(bot)),
            _ => Err(ControlError::Unfit("name either a `user` or a `bot`")),
        }
    }
}

/// The owner as given in requests.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnerQuery {
    /// By user id.
    pub user: Option<u64>,
    /// By bot id.
    pub bot: Option<u64>,
}

/// The reason why a request to the control API cannot be executed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ControlError {
    /// The control API answers 404.
    #[error("there is no user {0}")]
    UnknownUser(u64),
    /// The control API answers 404.
    #[error("there is no bot {0}")]
    UnknownBot(u64),
    /// The control API answers 400.
    #[error("{0}")]
    Unfit(&'static str),
}
