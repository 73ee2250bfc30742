//! Whose queue the control API is about: a user's or a bot's.

use serde::Deserialize;

use crate::queue::buffer::Queue;
use crate::queue::seed::OrderError;
use crate::state::portal::Portal;

/// The owner of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reader {
    /// By user id.
    User(u64),
    /// By bot id.
    Bot(u64),
}

impl Reader {
    /// The one that is named.
    ///
    /// # Errors
    ///
    /// When none is, or both are.
    pub fn of(user: Option<u64>, bot: Option<u64>) -> Result<Self, OrderError> {
        match (user, bot) {
            (Some(user), None) => Ok(Self::User(user)),
            (None, Some(bot)) => Ok(Self::Bot(bot)),
            _ => Err(OrderError::Unfit("name either a `user` or a `bot`")),
        }
    }
}

/// How requests name one.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whose {
    /// By user id.
    pub user: Option<u64>,
    /// By bot id.
    pub bot: Option<u64>,
}

impl Portal {
    /// The queue of `reader`; that of a bot that is gone as well.
    ///
    /// # Errors
    ///
    /// When there is no such user or bot.
    pub fn queue(&self, reader: Reader) -> Result<&Queue, OrderError> {
        match reader {
            Reader::User(id) => {
                self.accounts.get(&id).map(|account| &account.queue).ok_or(OrderError::UnknownUser(id))
            }
            Reader::Bot(id) => self.bots.queue(id).ok_or(OrderError::UnknownBot(id)),
        }
    }

    /// The queue of `reader`, to be changed.
    ///
    /// # Errors
    ///
    /// When there is no such user or bot.
    pub fn queue_mut(&mut self, reader: Reader) -> Result<&mut Queue, OrderError> {
        match reader {
            Reader::User(id) => {
                let account = self.accounts.get_mut(&id);
                account.map(|account| &mut account.queue).ok_or(OrderError::UnknownUser(id))
            }
            Reader::Bot(id) => {
                self.bots.get_mut(id).map(|bot| &mut bot.queue).ok_or(OrderError::UnknownBot(id))
            }
        }
    }
}
