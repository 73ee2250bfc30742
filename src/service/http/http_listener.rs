//! The HTTP listener of `[http]`, which a reload can replace while the relay runs.

use std::sync::Arc;

use axum::Router;
use tokio::sync::watch;

use crate::config::HttpConfig;
use crate::service::http::access::Access;
use crate::service::http::listener::{ListenError, Server};

/// The HTTP listener. Clones share it.
#[derive(Clone, Default)]
pub struct HttpListener(Arc<watch::Sender<Option<Server>>>);

impl HttpListener {
    /// Creates a server for `config`, which does not answer yet. If the address is unchanged, it shares the socket of
    /// the previous server, so that no connection is refused in between.
    pub async fn prepare(&self, config: Option<&HttpConfig>) -> Result<Option<Server>, ListenError> {
        let Some(config) = config else { return Ok(None) };
        let shared = self.0.borrow().as_ref().and_then(|server| server.renewed(config));
        match shared {
            Some(server) => Ok(Some(server)),
            None => Server::listen(config).await.map(Some),
        }
    }

    /// Whether a server answers requests.
    pub fn is_open(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Waits until a server answers requests.
    pub async fn opened(&self) {
        // The sender lives as long as `self`.
        self.0.subscribe().wait_for(Option::is_some).await.ok();
    }

    /// From now on `server` answers requests. Connections to the previous server are closed, because their access
    /// rights may have changed. An unchanged server keeps its connections.
    pub fn exchange(&self, server: Option<Server>) {
        self.0.send_if_modified(|current| {
            let is_other = *current != server;
            if is_other {
                *current = server;
            }
            is_other
        });
    }

    /// Serves the routes of `router` until the process ends.
    pub async fn serve(&self, router: impl Fn(Access) -> Router) {
        let mut servers = self.0.subscribe();
        loop {
            let server = servers.borrow_and_update().clone();
            let answering = async {
                match server {
                    Some(server) => {
                        let router = router(server.access());
                        server.run(router).await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = answering => {}
                // The sender lives as long as `self`.
                _ = servers.changed() => {}
            }
        }
    }
}
