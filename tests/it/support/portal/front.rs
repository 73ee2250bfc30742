//! TLS in front of a portal, as the web server of a box portal has it, with a replaceable certificate.

use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::portal::sandbox::Portal;
use crate::support::receivers::tls_receiver::{Door, Issued, config};

pub(crate) struct Front {
    pub address: String,
    shows: Arc<Mutex<Arc<ServerConfig>>>,
}

impl Front {
    pub(crate) async fn before(portal: &Portal, issued: Issued, door: &Door<'_>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shows = Arc::new(Mutex::new(Arc::new(config(issued, door))));
        let (current, behind) = (Arc::clone(&shows), portal.sandbox.address());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = TlsAcceptor::from(Arc::clone(&current.lock().unwrap()));
                tokio::spawn(async move {
                    // A client that does not accept the certificate closes the connection.
                    let Ok(mut client) = acceptor.accept(stream).await else { return };
                    let mut portal = TcpStream::connect(behind).await.unwrap();
                    copy_bidirectional(&mut client, &mut portal).await.ok();
                });
            }
        });
        Self { address, shows }
    }

    pub(crate) fn show(&self, issued: Issued) {
        *self.shows.lock().unwrap() = Arc::new(config(issued, &Door::default()));
    }

    /// The table of a source behind it.
    pub(crate) fn source(&self, portal: &Portal) -> String {
        let url = portal.webhook_url(1).replace(&portal.base_url(), &format!("https://{}/", self.address));
        format!("[sources.support]\nwebhook_url = \"{url}\"\nconfirm_lag = \"50ms\"\npoll.idle = \"20ms\"")
    }
}
