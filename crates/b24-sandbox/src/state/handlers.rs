//! What applications have bound to events, and how they hear of them (PORTAL.md 4).

use serde_json::{Value, json};

/// One binding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handler {
    /// The application it belongs to.
    pub client_id: String,
    /// The event's name in upper case.
    pub event: String,
    /// How the application hears of it.
    pub delivery: Delivery,
}

/// How an application hears of an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// The portal calls a URL, which the sandbox never does.
    Online {
        /// The URL, byte for byte as it was bound.
        url: String,
        /// The user whose tokens the call carries; 0 is nobody in particular.
        user: u64,
    },
    /// The event waits in the offline queue.
    Offline {
        /// The source it is kept apart for; empty is none.
        connector: String,
    },
}

impl Handler {
    /// As `event.get` shows it. The user is text there (PORTAL.md 8).
    pub fn describe(&self) -> Value {
        match &self.delivery {
            Delivery::Online { url, user } => {
                json!({ "event": self.event, "handler": url, "auth_type": user.to_string(), "offline": 0 })
            }
            Delivery::Offline { connector } => {
                json!({ "event": self.event, "connector_id": connector, "offline": 1 })
            }
        }
    }
}
