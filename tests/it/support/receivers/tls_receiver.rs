//! A receiver behind real TLS, and a certificate authority for server and client certificates.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::serve::Listener;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::receivers::receiver::Receiver;

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(crate) struct Issued {
    pub certificate: String,
    pub key: String,
    chain: Vec<CertificateDer<'static>>,
    private: PrivateKeyDer<'static>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.as_ref().pem()
    }

    /// A certificate for `name`, changed before it is signed.
    pub(crate) fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            chain: vec![certificate.der().clone()],
            private: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }
}

/// The TLS settings of a receiver.
pub(crate) struct Door<'a> {
    pub versions: &'a [&'static SupportedProtocolVersion],
    /// The authority whose client certificates it requires.
    pub clients: Option<&'a Authority>,
    pub http2: bool,
}

impl Default for Door<'_> {
    fn default() -> Self {
        Self { versions: rustls::ALL_VERSIONS, clients: None, http2: false }
    }
}

/// A receiver on this machine with the certificate `issued`, and its URL.
pub(crate) async fn start(issued: Issued, door: Door<'_>) -> (Receiver, String) {
    let config = config(issued, &door);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let receiver =
        Receiver::start_on(TlsListener { listener, acceptor: TlsAcceptor::from(Arc::new(config)) });
    let url = receiver.url().replace("http://", "https://");
    (receiver, url)
}

/// The configuration of a server with the certificate `issued`.
pub(crate) fn config(issued: Issued, door: &Door<'_>) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(door.versions).unwrap();
    let builder = match door.clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.0.as_ref().der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let mut config = builder.with_single_cert(issued.chain, issued.private).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if door.http2 {
        config.alpn_protocols.insert(0, b"h2".to_vec());
    }
    config
}

struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, address) = self.listener.accept().await.unwrap();
            match self.acceptor.accept(stream).into_fallible().await {
                Ok(stream) => return (stream, address),
                Err((_, stream)) => drop(tokio::spawn(hang_up(stream))),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Lets the client read the alert, which a reset would remove.
async fn hang_up(mut stream: TcpStream) {
    stream.shutdown().await.ok();
    stream.read_to_end(&mut Vec::new()).await.ok();
}
