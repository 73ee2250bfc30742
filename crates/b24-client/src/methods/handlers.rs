//! Event handlers of the old push API: how to list and unbind them (PORTAL.md section 4).
//!
//! All calls need an OAuth application. A handler's URL may contain a secret, so it is never logged.

use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::answer::lenient;
use crate::client::PortalClient;
use crate::refusal::CallError;

/// One event bound to a handler: a URL that the portal calls, or an offline queue.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
pub struct Handler {
    /// The event, such as `ONIMBOTMESSAGEADD`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub event: String,
    /// The URL that the portal calls; empty for an offline handler.
    #[serde(default, deserialize_with = "lenient::text")]
    pub handler: String,
    /// The user for whom the portal calls it; 0 stands for the user who caused the event.
    #[serde(default, deserialize_with = "lenient::maybe_number")]
    pub auth_type: Option<u64>,
    /// The key (`auth_connector`) with which an offline handler was bound; empty without a key.
    #[serde(default, deserialize_with = "lenient::text")]
    pub connector_id: String,
    /// True if events are kept for `event.offline.get` and not sent anywhere.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub offline: bool,
}

/// Whether the portal calls a handler or keeps its events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EventType {
    /// The portal calls a URL.
    Online,
    /// The portal keeps the events.
    Offline,
}

/// The handlers to unbind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Unbinding {
    /// The event.
    pub event: String,
    /// The URL, byte for byte; required for an online handler.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub handler: String,
    /// Unbinds only handlers of this user. Sent as a number, because the portal compares strictly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_type: Option<u64>,
    /// The key of the handler. Without it, the portal removes only handlers that have no key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub auth_connector: String,
    /// The kind of handler.
    pub event_type: EventType,
}

/// `event.get`: the handlers of this application. A user who is not an administrator sees only their own.
pub async fn list(client: &PortalClient) -> Result<Vec<Handler>, CallError> {
    client.call("event.get", &Map::new()).await.map(|Handlers(handlers)| handlers)
}

/// `event.unbind`: returns the number of removed handlers; 0 is not an error.
pub async fn unbind(client: &PortalClient, unbinding: &Unbinding) -> Result<u64, CallError> {
    client.call("event.unbind", unbinding).await.map(|Removed { count }| count)
}

#[derive(Deserialize)]
struct Handlers(#[serde(deserialize_with = "lenient::rows")] Vec<Handler>);

#[derive(Deserialize)]
struct Removed {
    #[serde(deserialize_with = "lenient::number")]
    count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(result: &str) -> Vec<Handler> {
        serde_json::from_str::<Handlers>(result).unwrap().0
    }

    #[test]
    fn the_list_is_read_in_every_form() {
        assert_eq!((read("[]").len(), read("{}").len(), read("null").len()), (0, 0, 0));
        let handlers = read(
            r#"[{"event":"ONTASKADD","handler":"https://a.example/?x=1","auth_type":"0","offline":0},
                {"event":"ONTASKADD","handler":"https://a.example/","auth_type":7,"offline":"0"},
                {"event":"ONTASKADD","connector_id":"","offline":"1"},
                {"event":"ONTASKADD","connector_id":"crm","offline":1},
                {"event":"ONTASKADD","connector_id":null,"offline":1}]"#,
        );
        let told: Vec<_> = handlers
            .iter()
            .map(|Handler { handler, auth_type, connector_id, offline, .. }| {
                (handler.as_str(), *auth_type, connector_id.as_str(), *offline)
            })
            .collect();
        assert_eq!(
            told,
            [
                ("https://a.example/?x=1", Some(0), "", false),
                ("https://a.example/", Some(7), "", false),
                ("", None, "", true),
                ("", None, "crm", true),
                ("", None, "", true),
            ]
        );
        assert_eq!(read(r#"{"0":{"event":"ONTASKADD"}}"#)[0].event, "ONTASKADD");
    }

    #[test]
    fn an_unbinding_says_no_more_than_it_must() {
        let online = Unbinding {
            event: "ONTASKADD".into(),
            handler: "https://a.example/".into(),
            auth_type: None,
            auth_connector: String::new(),
            event_type: EventType::Online,
        };
        assert_eq!(
            serde_json::to_string(&online).unwrap(),
            r#"{"event":"ONTASKADD","handler":"https://a.example/","event_type":"online"}"#
        );
        let offline = Unbinding {
            handler: String::new(),
            auth_type: Some(7),
            auth_connector: "crm".into(),
            event_type: EventType::Offline,
            ..online
        };
        assert_eq!(
            serde_json::to_string(&offline).unwrap(),
            r#"{"event":"ONTASKADD","auth_type":7,"auth_connector":"crm","event_type":"offline"}"#
        );
    }

    #[test]
    fn the_count_may_be_a_string() {
        for result in [r#"{"count":2}"#, r#"{"count":"2"}"#] {
            assert_eq!(serde_json::from_str::<Removed>(result).unwrap().count, 2);
        }
    }
}
