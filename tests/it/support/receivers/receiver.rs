//! A webhook receiver for one test. It keeps all deliveries, and answers as scripted.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use futures_util::stream;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// An event of a request, accepted with a 2xx or not.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub event_id: u64,
    pub webhook_id: String,
    pub body: Value,
    /// The received text of the event.
    pub text: String,
    pub bytes: Bytes,
    pub headers: HeaderMap,
    pub version: Version,
    pub accepted: bool,
}

/// The answer to one request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Status(u16),
    StatusWith(u16, &'static str, &'static str),
    Body(u16, String),
    /// No answer.
    Hang,
    /// The connection closes without a byte.
    Close,
    /// Answers 200, but not before [`Receiver::release`].
    Hold,
}

#[derive(Clone)]
struct Shared {
    deliveries: Arc<Mutex<Vec<Delivery>>>,
    script: Arc<Mutex<VecDeque<Answer>>>,
    otherwise: Arc<Mutex<Option<u16>>>,
    /// The answers to these events, in every request.
    refusals: Arc<Mutex<BTreeMap<u64, Answer>>>,
    /// It never has a permit. A closed semaphore lets every request pass.
    gate: Arc<Semaphore>,
}

pub(crate) struct Receiver {
    pub address: SocketAddr,
    shared: Shared,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// Listens with a given listener, such as one with TLS.
    pub(crate) fn start_on(listener: impl Listener<Addr = SocketAddr>) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Shared {
            deliveries: Arc::default(),
            script: Arc::default(),
            otherwise: Arc::default(),
            refusals: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        };
        let router = Router::new().fallback(take).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hooks/b24", self.address)
    }

    /// Answers the next requests like this, then with 200 again.
    pub(crate) fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        self.shared.script.lock().unwrap().extend(answers);
    }

    /// Drops the rest of the script.
    pub(crate) fn forget_script(&self) {
        self.shared.script.lock().unwrap().clear();
    }

    /// How many scripted answers are left.
    pub(crate) fn pending_script(&self) -> usize {
        self.shared.script.lock().unwrap().len()
    }

    /// Answers every request with `status` until this is called again.
    pub(crate) fn answer_always(&self, status: Option<u16>) {
        *self.shared.otherwise.lock().unwrap() = status;
    }

    /// From now on answers these events with `answer`, and no others.
    pub(crate) fn refuse(&self, ids: &[u64], answer: &Answer) {
        *self.shared.refusals.lock().unwrap() = ids.iter().map(|id| (*id, answer.clone())).collect();
    }

    /// Answers the held requests, and holds no more from now on.
    pub(crate) fn release(&self) {
        self.shared.gate.close();
    }

    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        self.shared.deliveries.lock().unwrap().clone()
    }

    /// Returns and removes the deliveries since the last call.
    pub(crate) fn take_deliveries(&self) -> Vec<Delivery> {
        std::mem::take(&mut *self.shared.deliveries.lock().unwrap())
    }

    pub(crate) fn count(&self) -> usize {
        self.shared.deliveries.lock().unwrap().len()
    }

    /// The ids of the accepted events, in order of arrival.
    pub(crate) fn accepted_ids(&self) -> Vec<u64> {
        let deliveries = self.shared.deliveries.lock().unwrap();
        deliveries.iter().filter(|delivery| delivery.accepted).map(|delivery| delivery.event_id).collect()
    }
}

async fn take(State(shared): State<Shared>, version: Version, headers: HeaderMap, bytes: Bytes) -> Response {
    let scripted = shared.script.lock().unwrap().pop_front();
    let otherwise = shared.otherwise.lock().unwrap().unwrap_or(200);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let texts: Vec<Box<RawValue>> = serde_json::from_str(&text).unwrap_or_default();
    // Each event of a batch counts.
    let texts = texts.iter().map(|text| text.get().to_owned()).collect::<Vec<_>>();
    let texts = if texts.is_empty() { vec![text] } else { texts };
    let bodies: Vec<Value> =
        texts.iter().map(|text| serde_json::from_str(text).unwrap_or(Value::Null)).collect();
    let ids: Vec<u64> = bodies.iter().map(|body| body["eventId"].as_u64().unwrap_or(0)).collect();
    let refused = ids.iter().find_map(|id| shared.refusals.lock().unwrap().get(id).cloned());
    let answer = scripted.or(refused).unwrap_or(Answer::Status(otherwise));
    let accepted = matches!(answer, Answer::Hold | Answer::Status(200..=299));
    let webhook_id = headers.get("webhook-id").map_or("", |id| id.to_str().unwrap());
    let deliveries = texts.into_iter().zip(bodies).zip(ids).map(|((text, body), event_id)| Delivery {
        event_id,
        webhook_id: webhook_id.to_owned(),
        body,
        text,
        bytes: bytes.clone(),
        headers: headers.clone(),
        version,
        accepted,
    });
    shared.deliveries.lock().unwrap().extend(deliveries);
    match answer {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::StatusWith(status, name, value) => {
            (StatusCode::from_u16(status).unwrap(), [(name, value)]).into_response()
        }
        Answer::Body(status, text) => (StatusCode::from_u16(status).unwrap(), text).into_response(),
        Answer::Hang => std::future::pending().await,
        Answer::Close => {
            // hyper closes a connection whose body fails, and drops unwritten bytes with it.
            let failure = Err::<Bytes, _>(io::Error::from(ErrorKind::ConnectionAborted));
            Response::new(Body::from_stream(stream::iter([failure])))
        }
        Answer::Hold => {
            shared.gate.acquire().await.expect_err("it has no permits");
            StatusCode::OK.into_response()
        }
    }
}
