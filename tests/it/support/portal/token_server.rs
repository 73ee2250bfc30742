//! An authorization server for one test: it issues `t0k3n-1`, `t0k3n-2` and so on, unless scripted otherwise.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use tokio::net::TcpListener;

#[derive(Clone)]
pub(crate) struct TokenServer {
    pub address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    /// `Authorization` and body of each request.
    requests: Vec<(String, String)>,
    script: VecDeque<(u16, String)>,
    expires_in: u64,
}

impl TokenServer {
    /// Its tokens are valid for `expires_in` seconds.
    pub(crate) async fn start(expires_in: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared { requests: Vec::new(), script: VecDeque::new(), expires_in };
        let server = Self { address, shared: Arc::new(Mutex::new(shared)) };
        let router = Router::new().fallback(hand_out).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        server
    }

    /// Answers the next requests like this.
    pub(crate) fn script(&self, answers: impl IntoIterator<Item = (u16, String)>) {
        self.shared.lock().unwrap().script.extend(answers);
    }

    pub(crate) fn requests(&self) -> Vec<(String, String)> {
        self.shared.lock().unwrap().requests.clone()
    }

    /// The settings of a sink that gets its tokens here.
    pub(crate) fn auth(&self, secret: &str) -> String {
        format!(
            "auth = {{ type = \"oauth2\", token_url = \"http://{}/token\", client_id = \"me\", \
             client_secret = \"{secret}\", scope = \"a b\" }}",
            self.address
        )
    }
}

async fn hand_out(State(server): State<TokenServer>, headers: HeaderMap, body: String) -> Response {
    let mut shared = server.shared.lock().unwrap();
    let authorization = headers.get("authorization").map_or("", |header| header.to_str().unwrap());
    shared.requests.push((authorization.to_owned(), body));
    if let Some((status, text)) = shared.script.pop_front() {
        return (StatusCode::from_u16(status).unwrap(), text).into_response();
    }
    let token = format!("t0k3n-{}", shared.requests.len());
    json!({"access_token": token, "token_type": "bearer", "expires_in": shared.expires_in})
        .to_string()
        .into_response()
}
