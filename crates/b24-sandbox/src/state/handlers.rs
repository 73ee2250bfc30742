//! The event bindings of applications (PORTAL.md 4).

use serde_json::{Value, json};

/// One binding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Handler {
    /// The application it belongs to.
    pub client_id: String,
    /// The event's name in upper case.
    pub event: String,
    /// How the application receives the event.
    pub delivery: Delivery,
}

/// How an application receives an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Delivery {
    /// The portal calls a URL. The sandbox never does this.
    Online {
        /// The URL, byte for byte as it was bound.
        url: String,
        /// The user whose tokens the call contains; 0 for no particular user.
        user: u64,
    },
    /// The event is added to the offline queue.
    Offline {
        /// The connector of the binding; empty for none.
        connector: String,
    },
}

impl Handler {
    /// The binding in the format of `event.get`, in which the user is a text (PORTAL.md 8).
    pub(crate) fn describe(&self) -> Value {
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
