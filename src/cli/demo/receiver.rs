//! The receiver of webhooks in a demo: prints each event once, and counts those that come again with a known id.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cli::output::print::{Reader, write};
use crate::config::StdoutFormat;
use crate::event::{Event, EventId, Queue};
use crate::sink::text_format;

/// The name of the source, which the relay writes into every event.
pub(super) const SOURCE: &str = "demo";

/// The received events.
struct Received {
    /// The events by their number in the queue. `id` has the same number in it.
    ids: HashSet<u64>,
    again: u64,
    /// Only for the printed line.
    queue: Arc<Queue>,
    /// Cancelled when standard output has lost its reader.
    stop: CancellationToken,
}

/// A receiver that can be stopped and started.
pub(super) struct Receiver {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
    running: Option<(CancellationToken, JoinHandle<()>)>,
}

/// An event as the webhook sink sends it.
#[derive(Deserialize)]
struct Body {
    #[serde(rename = "eventId")]
    event_id: u64,
    #[serde(rename = "type")]
    kind: String,
    date: Box<RawValue>,
    data: Box<RawValue>,
}

impl Receiver {
    /// Starts a receiver on a free port. It cancels `stop` when standard output has lost its reader.
    pub(super) async fn start(stop: CancellationToken) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let nothing =
            Received { ids: HashSet::new(), again: 0, queue: Arc::new(Queue::new(SOURCE, "")), stop };
        let address = listener.local_addr()?;
        let mut receiver = Self { address, received: Arc::new(Mutex::new(nothing)), running: None };
        receiver.serve(listener);
        Ok(receiver)
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Starts it again, at the same address.
    pub(super) async fn restart(&mut self) -> io::Result<()> {
        if self.running.is_none() {
            self.serve(TcpListener::bind(self.address).await?);
        }
        Ok(())
    }

    /// Stops it: connections are refused.
    pub(super) async fn stop(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            stop.cancel();
            // A panic of the task has printed itself.
            task.await.ok();
        }
    }

    /// The received events, and the number of repetitions.
    pub(super) fn received(&self) -> (HashSet<u64>, u64) {
        let received = lock(&self.received);
        (received.ids.clone(), received.again)
    }

    fn serve(&mut self, listener: TcpListener) {
        let stop = CancellationToken::new();
        let router = Router::new().fallback(take).with_state(Arc::clone(&self.received));
        let stopped = stop.clone().cancelled_owned();
        let task = tokio::spawn(async move {
            // Without it, the events wait in the relay, and the summary shows that.
            axum::serve(listener, router).with_graceful_shutdown(stopped).await.ok();
        });
        self.running = Some((stop, task));
    }
}

fn lock(received: &Mutex<Received>) -> MutexGuard<'_, Received> {
    received.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes one event.
async fn take(State(received): State<Arc<Mutex<Received>>>, body: Bytes) -> StatusCode {
    let Ok(body) = serde_json::from_slice::<Body>(&body) else { return StatusCode::BAD_REQUEST };
    let Some(id) = EventId::try_new(body.event_id) else { return StatusCode::BAD_REQUEST };
    let mut received = lock(&received);
    if !received.ids.insert(body.event_id) {
        received.again += 1;
        return StatusCode::OK;
    }
    let queue = Arc::clone(&received.queue);
    let event = Event { queue, id, kind: body.kind, date: body.date, data: body.data };
    let mut line = Vec::new();
    text_format::write_as(StdoutFormat::Text, &event, &mut line);
    match write(&text_format::for_terminal(&line)) {
        Ok(Reader::Reading) => {}
        Ok(Reader::Gone) | Err(_) => received.stop.cancel(),
    }
    StatusCode::OK
}
