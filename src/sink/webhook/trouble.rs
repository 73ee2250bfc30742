//! Why there is no answer, in words that say what to do: which key, or whom to ask.

use rustls::{AlertDescription, CertificateError, Error as TlsError};

use crate::foreign_text::{beginning, plain};
use crate::http_client::{self, Failure, NamedProxy};

/// Long enough for what TLS says of itself.
const WORDS_MAX: usize = 200;

/// Why there is no answer. Matched on by those who try again.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// It may heal by itself.
    Passing(String),
    /// It will not.
    Lasting(String),
}

/// Why the host called `authority` did not answer.
pub(super) fn trouble(authority: &str, failure: Failure) -> Trouble {
    let (error, proxy) = match failure {
        Failure::NotPublic => {
            return Trouble::Lasting(format!(
                "{authority} is not on the public internet, and `private_networks = \"deny\"` leads nowhere else: \
                 correct the address, or allow private networks"
            ));
        }
        Failure::Proxy(reason) => return Trouble::Lasting(reason),
        Failure::StrayBytes(_) => return Trouble::Passing(format!("{authority}: {}", failure.explain())),
        Failure::Failed(error, proxy) => (error, proxy),
    };
    let cause = http_client::cause::<TlsError>(&error);
    let words = cause.map(tls_words).or_else(|| tunnel_words(&error, proxy.as_ref()));
    let words = words.unwrap_or_else(|| http_client::explain(error));
    Trouble::Passing(format!("{authority}: {}", http_client::through(words, proxy.as_ref())))
}

fn tls_words(error: &TlsError) -> String {
    match error {
        TlsError::InvalidCertificate(error) => certificate_words(error),
        TlsError::AlertReceived(alert) => alert_words(*alert),
        TlsError::PeerIncompatible(_) => VERSION.to_owned(),
        TlsError::InvalidMessage(_) => {
            "it does not speak TLS there: correct the port, or https at the beginning of the address"
                .to_owned()
        }
        other => format!("TLS could not be agreed on: {}", short(other)),
    }
}

const VERSION: &str =
    "it speaks no version of TLS that we do: bring it up to date, or lower `tls.min_version`";

fn certificate_words(error: &CertificateError) -> String {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, Revoked, UnknownIssuer,
    };
    match error {
        // A signature is bad where another authority has the name of a known one.
        UnknownIssuer | BadSignature => {
            "its certificate is not from a known authority: set `tls.ca_file` to the certificate of \
                          the authority, or have the receiver send the certificates between"
                .to_owned()
        }
        Expired | ExpiredContext { .. } => {
            "its certificate has expired: renew it at the receiver (or correct this machine's clock)"
                .to_owned()
        }
        NotValidYet | NotValidYetContext { .. } => {
            "its certificate is not valid yet: look at the clocks of both machines".to_owned()
        }
        NotValidForName | NotValidForNameContext { .. } => {
            "its certificate is for another name: correct the host of the address, or the certificate"
                .to_owned()
        }
        Revoked => "its certificate was revoked: renew it at the receiver".to_owned(),
        // It has no name of its own there.
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "it shows an authority's certificate as its own: give it one that is made for its name (with openssl: \
             `-addext basicConstraints=critical,CA:FALSE`)"
                .to_owned()
        }
        other => format!("its certificate is not accepted: {}", short(other)),
    }
}

fn alert_words(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => {
            "it wants a certificate of ours: set `tls.client_cert_file` and `tls.client_key_file`".to_owned()
        }
        AlertDescription::ProtocolVersion => VERSION.to_owned(),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::DecryptError
        | AlertDescription::AccessDenied => {
            format!("it does not accept our certificate (`tls.client_cert_file`): {}", short(&alert))
        }
        // What TLS 1.2 says when a certificate of ours is missing, among other things.
        AlertDescription::HandshakeFailure => {
            "it has ended the handshake: it may want a certificate of ours \
                                               (`tls.client_cert_file`), or other versions or ciphers"
                .to_owned()
        }
        other => format!("it has refused TLS: {}", short(&other)),
    }
}

/// What the library says of a proxy that leads nowhere, in our words; it has no type for that.
fn tunnel_words(error: &reqwest::Error, proxy: Option<&NamedProxy>) -> Option<String> {
    let origin = proxy.map_or("proxy", NamedProxy::origin);
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if text.contains("proxy authorization required") {
            return Some(format!("the proxy wants a user name and a password: correct `{origin}`"));
        }
        if text.contains("tunnel error: unsuccessful") {
            return Some("the proxy does not let us through to it".to_owned());
        }
        cause = error.source();
    }
    None
}

fn short(words: &impl std::fmt::Debug) -> String {
    beginning(&plain(&format!("{words:?}")), WORDS_MAX).to_owned()
}
