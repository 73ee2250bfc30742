//! Lists and unregisters bots, with both generations of the portal's API (PORTAL.md 3.2, 3.3).
//!
//! The `CLIENT_ID` of the first generation and the `botToken` of the second are two names for the same
//! secret, and either API can remove a bot of the other. Errors never show it.

use futures_util::future::join_all;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::answer::lenient;
use crate::client::PortalClient;
use crate::refusal::CallError;
use crate::secret::secret_text::SecretText;

/// The number of bots on one page of the second API.
const PAGE_LIMIT: usize = 50;

/// The number of pages to read from a portal that always reports more. An application has at most 100 bots.
const PAGES_MAX: usize = 20;

/// One bot. Values that its API does not return are empty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Bot {
    /// Its user id.
    pub id: u64,
    /// The name that its application uses.
    pub code: String,
    /// The name that people see.
    pub name: String,
    /// `bot`, `supervisor`, `personal` or `openline`; the first API does not return it.
    #[serde(rename = "type")]
    pub kind: String,
    /// `fetch` or `webhook`; the first API does not return it.
    pub event_mode: String,
    /// True if it serves open lines.
    pub openline: bool,
}

/// `imbot.bot.list`: every bot of the portal, except those of the vendor's network.
pub async fn list(client: &PortalClient) -> Result<Vec<Bot>, CallError> {
    let Listed(bots) = client.call("imbot.bot.list", &Map::new()).await?;
    Ok(presentable(bots.into_iter().map(Bot::from), client).await)
}

/// `imbot.v2.Bot.list`: the bots of this application or token. For a wrong token, the portal returns an empty
/// list and no error.
pub async fn list_v2(client: &PortalClient, token: Option<&SecretText>) -> Result<Vec<Bot>, CallError> {
    let mut bots: Vec<Bot> = Vec::new();
    for _ in 0..PAGES_MAX {
        let params = ListParams { token: expose(token), limit: PAGE_LIMIT, offset: bots.len() };
        let page: Page = client.call("imbot.v2.Bot.list", &params).await?;
        let (count, has_next) = (page.bots.len(), page.has_next);
        bots.extend(presentable(page.into_bots(), client).await);
        if !has_next || count == 0 {
            break;
        }
    }
    Ok(bots)
}

/// `imbot.unregister`: removes a bot and its private chats. A webhook needs the `CLIENT_ID` with which the
/// bot was registered.
pub async fn unregister(
    client: &PortalClient,
    id: u64,
    client_id: Option<&SecretText>,
) -> Result<(), CallError> {
    let params = UnregisterParams { id, client_id: expose(client_id) };
    client.call("imbot.unregister", &params).await.map(|IgnoredAny| ())
}

/// `imbot.v2.Bot.unregister`: removes a bot and its private chats. A webhook needs the bot's token.
pub async fn unregister_v2(
    client: &PortalClient,
    id: u64,
    token: Option<&SecretText>,
) -> Result<(), CallError> {
    let params = UnregisterV2Params { id, token: expose(token) };
    client.call("imbot.v2.Bot.unregister", &params).await.map(|IgnoredAny| ())
}

async fn presentable(bots: impl IntoIterator<Item = Bot>, client: &PortalClient) -> Vec<Bot> {
    let presentable = |bot: Bot| async move {
        let [code, name] = [client.presentable(&bot.code).await, client.presentable(&bot.name).await];
        let [kind, event_mode] =
            [client.presentable(&bot.kind).await, client.presentable(&bot.event_mode).await];
        Bot { code, name, kind, event_mode, ..bot }
    };
    join_all(bots.into_iter().map(presentable)).await
}

fn expose(secret: Option<&SecretText>) -> Option<&str> {
    secret.map(SecretText::expose)
}

#[derive(Serialize)]
struct ListParams<'a> {
    #[serde(rename = "botToken", skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    limit: usize,
    offset: usize,
}

#[derive(Serialize)]
struct UnregisterParams<'a> {
    #[serde(rename = "BOT_ID")]
    id: u64,
    #[serde(rename = "CLIENT_ID", skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
}

#[derive(Serialize)]
struct UnregisterV2Params<'a> {
    #[serde(rename = "botId")]
    id: u64,
    #[serde(rename = "botToken", skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

#[derive(Deserialize)]
struct Listed(#[serde(deserialize_with = "lenient::rows")] Vec<FirstBot>);

/// A bot in the response to `imbot.bot.list`.
#[derive(Deserialize)]
struct FirstBot {
    #[serde(rename = "ID", deserialize_with = "lenient::number")]
    id: u64,
    #[serde(default, rename = "NAME", deserialize_with = "lenient::text")]
    name: String,
    #[serde(default, rename = "CODE", deserialize_with = "lenient::text")]
    code: String,
    #[serde(default, rename = "OPENLINE", deserialize_with = "lenient::flag")]
    openline: bool,
}

impl From<FirstBot> for Bot {
    fn from(FirstBot { id, name, code, openline }: FirstBot) -> Self {
        Self { id, code, name, kind: String::new(), event_mode: String::new(), openline }
    }
}

/// `result` of `imbot.v2.Bot.list`. The names are in the list of users.
#[derive(Deserialize)]
struct Page {
    #[serde(default, deserialize_with = "lenient::rows")]
    bots: Vec<SecondBot>,
    #[serde(default, deserialize_with = "lenient::rows")]
    users: Vec<Value>,
    #[serde(default, rename = "hasNextPage", deserialize_with = "lenient::flag")]
    has_next: bool,
}

/// A bot in the response to `imbot.v2.Bot.list`.
#[derive(Deserialize)]
struct SecondBot {
    #[serde(deserialize_with = "lenient::number")]
    id: u64,
    #[serde(default, deserialize_with = "lenient::text")]
    code: String,
    #[serde(default, rename = "type", deserialize_with = "lenient::text")]
    kind: String,
    #[serde(default, rename = "eventMode", deserialize_with = "lenient::text")]
    event_mode: String,
    #[serde(default, rename = "isSupportOpenline", deserialize_with = "lenient::flag")]
    openline: bool,
}

impl Page {
    fn into_bots(self) -> Vec<Bot> {
        let Self { bots, users, .. } = self;
        let named = |SecondBot { id, code, kind, event_mode, openline }| {
            let name =
                users.iter().find(|user| is_id(&user["id"], id)).and_then(|user| user["name"].as_str());
            Bot { id, code, name: name.unwrap_or_default().to_owned(), kind, event_mode, openline }
        };
        bots.into_iter().map(named).collect()
    }
}

fn is_id(written: &Value, id: u64) -> bool {
    written.as_u64() == Some(id) || written.as_str().is_some_and(|digits| digits == id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_list_is_keyed_by_id_or_empty() {
        let read = |result: &str| serde_json::from_str::<Listed>(result).unwrap().0;
        assert_eq!((read("[]").len(), read("{}").len()), (0, 0));
        let bots =
            read(r#"{"39":{"ID":"39","NAME":"Helper","CODE":"helper","OPENLINE":"Y"},"40":{"ID":40}}"#);
        let bots: Vec<Bot> = bots.into_iter().map(Bot::from).collect();
        assert_eq!((bots[0].id, bots[0].name.as_str(), bots[0].openline), (39, "Helper", true));
        assert_eq!((bots[1].id, bots[1].code.as_str(), bots[1].openline), (40, "", false));
    }

    #[test]
    fn the_second_list_finds_its_names_among_the_users() {
        let page: Page = serde_json::from_str(
            r#"{"bots":[{"id":39,"code":"helper","type":"bot","eventMode":"fetch","isSupportOpenline":false},
                        {"id":"40","code":"other"}],
                "users":[{"id":"39","name":"Helper"},{"id":1,"name":"Ada"}],"hasNextPage":true}"#,
        )
        .unwrap();
        assert!(page.has_next);
        let bots = page.into_bots();
        assert_eq!((bots[0].name.as_str(), bots[0].event_mode.as_str()), ("Helper", "fetch"));
        assert_eq!((bots[1].id, bots[1].name.as_str()), (40, ""));
        let empty: Page = serde_json::from_str(r#"{"bots":[],"users":[]}"#).unwrap();
        assert!(!empty.has_next && empty.into_bots().is_empty());
    }
}
