//! The server of `[http]`, which a reload exchanges while the relay runs.

use std::sync::Arc;

use axum::Router;
use tokio::sync::watch;

use crate::config::HttpConfig;
use crate::service::http::access::Access;
use crate::service::http::listener::Server;

/// See the top of this file. Clones share everything.
#[derive(Clone, Default)]
pub struct Surface(Arc<watch::Sender<Option<Server>>>);

impl Surface {
    /// A server as `config` wants it, which nobody is answered by yet. Where it listens as the one of before does,
    /// they share what they listen on: nobody who asks meanwhile is turned away.
    ///
    /// # Errors
    /// Says where it cannot listen, and why.
    pub async fn prepare(&self, config: Option<&HttpConfig>) -> Result<Option<Server>, String> {
        let Some(config) = config else { return Ok(None) };
        let shared = self.0.borrow().as_ref().and_then(|server| server.renewed(config));
        match shared {
            Some(server) => Ok(Some(server)),
            None => Server::listen(config).await.map(Some),
        }
    }

    /// Whoever asks from now on is answered by `server`. Connections to the one of before are cut: what they were
    /// allowed to see may be none of their business any more. One that is as before is not disturbed.
    pub fn exchange(&self, server: Option<Server>) {
        self.0.send_if_modified(|current| {
            let is_other = *current != server;
            if is_other {
                *current = server;
            }
            is_other
        });
    }

    /// Answers whoever asks with what `router` makes, for ever.
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
                // The sender lives as long as we do.
                _ = servers.changed() => {}
            }
        }
    }
}
