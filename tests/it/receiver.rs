//! A webhook receiver of one test: keeps what arrives, answers as told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// One request that was answered with a 2xx, or one that was not.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub event_id: u64,
    pub webhook_id: String,
    pub body: Value,
    pub accepted: bool,
}

/// How one request is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    Status(u16),
    StatusWith(u16, &'static str, &'static str),
    /// Never.
    Hang,
    /// With a 200, but not before [`Receiver::release`].
    Hold,
}

#[derive(Clone)]
struct Shared {
    deliveries: Arc<Mutex<Vec<Delivery>>>,
    script: Arc<Mutex<VecDeque<Answer>>>,
    otherwise: Arc<Mutex<Option<u16>>>,
    /// Never has a permit: closed, it lets everybody pass.
    gate: Arc<Semaphore>,
}

pub struct Receiver {
    pub address: SocketAddr,
    shared: Shared,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared {
            deliveries: Arc::default(),
            script: Arc::default(),
            otherwise: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        };
        let router = Router::new().fallback(take).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hooks/b24", self.address)
    }

    /// Answers the next requests like this, then 200 again.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        self.shared.script.lock().unwrap().extend(answers);
    }

    /// How many scripted answers are left.
    pub fn pending_script(&self) -> usize {
        self.shared.script.lock().unwrap().len()
    }

    /// Answers every request with `status` until told otherwise.
    pub fn answer_always(&self, status: Option<u16>) {
        *self.shared.otherwise.lock().unwrap() = status;
    }

    /// Answers what is held, and holds nothing from now on.
    pub fn release(&self) {
        self.shared.gate.close();
    }

    pub fn deliveries(&self) -> Vec<Delivery> {
        self.shared.deliveries.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.shared.deliveries.lock().unwrap().len()
    }

    /// The ids of the accepted events, in order of arrival.
    pub fn accepted_ids(&self) -> Vec<u64> {
        let deliveries = self.shared.deliveries.lock().unwrap();
        deliveries.iter().filter(|delivery| delivery.accepted).map(|delivery| delivery.event_id).collect()
    }
}

async fn take(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let scripted = shared.script.lock().unwrap().pop_front();
    let otherwise = shared.otherwise.lock().unwrap().unwrap_or(200);
    let answer = scripted.unwrap_or(Answer::Status(otherwise));
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let accepted = matches!(answer, Answer::Hold | Answer::Status(200..=299));
    shared.deliveries.lock().unwrap().push(Delivery {
        event_id: body["eventId"].as_u64().unwrap_or(0),
        webhook_id: headers.get("webhook-id").map_or(String::new(), |id| id.to_str().unwrap().to_owned()),
        body,
        accepted,
    });
    match answer {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::StatusWith(status, name, value) => {
            (StatusCode::from_u16(status).unwrap(), [(name, value)]).into_response()
        }
        Answer::Hang => std::future::pending().await,
        Answer::Hold => {
            shared.gate.acquire().await.expect_err("it has no permits");
            StatusCode::OK.into_response()
        }
    }
}
