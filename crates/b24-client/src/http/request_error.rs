//! Describes why a host did not respond, with a hint: one table for receivers, portals and authorization
//! servers.

use jiff::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error as TlsError};

use super::{Failure, NamedProxy, cause, explain, through};

/// The maximum length of the TLS library's own text, in characters.
const WORDS_MAX: usize = 200;

/// The kind of host. Each has its own hint, with its own keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    /// The receiver of a webhook sink.
    Receiver,
    /// A Bitrix24 portal.
    Portal,
    /// The server that issues its tokens.
    AuthorizationServer,
}

/// The cause of the failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Obstacle {
    /// The host is unreachable, or the connection broke.
    Network,
    /// A setting on this machine is wrong.
    Setting,
    /// A proxy has refused the request.
    Proxy,
    /// The TLS handshake failed.
    Tls,
    /// The host's certificate is not trusted.
    Certificate,
}

/// The reason why a host did not respond, with a hint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestError {
    /// The cause of the failure.
    pub obstacle: Obstacle,
    /// A description of the failure.
    pub what: String,
    /// A hint for the operator; empty if the failure may be temporary.
    pub advice: String,
}

impl RequestError {
    fn new(obstacle: Obstacle, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { obstacle, what: what.into(), advice: advice.into() }
    }

    /// Joins the description and the hint into one sentence.
    pub fn sentence(self) -> String {
        let Self { what, advice, .. } = self;
        if advice.is_empty() { what } else { format!("{what}: {advice}") }
    }
}

/// Describes why `peer` did not respond. The text contains neither a URL nor the host.
pub fn request_error(failure: Failure, peer: Peer) -> RequestError {
    let (error, proxy) = match failure {
        Failure::Proxy(error) => {
            return RequestError::new(Obstacle::Setting, error.to_string(), "then restart b24relay");
        }
        Failure::NotPublic => {
            return RequestError::new(Obstacle::Setting, failure.explain(), "correct the address");
        }
        Failure::StrayBytes(_) => return RequestError::new(Obstacle::Network, failure.explain(), ""),
        Failure::Failed(error, proxy) => (error, proxy),
    };
    let known = cause::<TlsError>(&error).map(|error| of_tls(error, peer));
    let known = known.or_else(|| of_tunnel(&error, peer, proxy.as_ref()));
    let trouble = known.unwrap_or_else(|| RequestError::new(Obstacle::Network, explain(error), ""));
    let RequestError { obstacle, what, advice } = trouble;
    // The hint follows the sentence.
    if advice.is_empty() {
        RequestError { obstacle, what: through(what, proxy.as_ref()), advice }
    } else {
        RequestError { obstacle, what, advice: through(advice, proxy.as_ref()) }
    }
}

impl Peer {
    fn word(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::Portal => "portal",
            Self::AuthorizationServer => "authorization server",
        }
    }

    /// The place of the key `tls` in the configuration.
    fn tls(self) -> &'static str {
        match self {
            Self::Receiver => "of the sink",
            Self::Portal | Self::AuthorizationServer => "of the source or its portal",
        }
    }

    fn trusted_by(self) -> String {
        format!("set `tls.ca_file` {} to the certificate of the authority", self.tls())
    }

    fn older_tls(self) -> String {
        format!("bring it up to date, or lower `tls.min_version` {}", self.tls())
    }

    fn client_certificate(self) -> String {
        match self {
            Self::Receiver | Self::Portal => {
                format!("set `tls.client_cert_file` and `tls.client_key_file` {}", self.tls())
            }
            Self::AuthorizationServer => {
                "b24relay has none for it: let it accept calls without one".to_owned()
            }
        }
    }
}

fn of_tls(error: &TlsError, peer: Peer) -> RequestError {
    match error {
        TlsError::InvalidCertificate(error) => {
            let (what, advice) = of_certificate(error, peer);
            RequestError::new(Obstacle::Certificate, what, advice)
        }
        TlsError::AlertReceived(alert) => of_alert(*alert, peer),
        TlsError::PeerIncompatible(_) => too_old(peer),
        TlsError::InvalidMessage(_) => RequestError::new(
            Obstacle::Tls,
            "it does not speak TLS there",
            "correct the port, or https at the beginning of the address",
        ),
        other => RequestError::new(
            Obstacle::Tls,
            format!("TLS could not be agreed on: {}", short(other)),
            format!("look at the TLS settings of the {}", peer.word()),
        ),
    }
}

fn too_old(peer: Peer) -> RequestError {
    RequestError::new(Obstacle::Tls, "it speaks no version of TLS that we do", peer.older_tls())
}

fn of_certificate(error: &CertificateError, peer: Peer) -> (String, String) {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, Revoked, UnknownIssuer,
    };
    let whose = peer.word();
    match error {
        // The signature is invalid if another authority has the same name as a trusted one.
        UnknownIssuer | BadSignature => (
            "its certificate is not from a known authority".to_owned(),
            format!("{}, or have the {whose} send the intermediate certificates", peer.trusted_by()),
        ),
        Expired => ("its certificate has expired".to_owned(), renew(whose)),
        ExpiredContext { time, not_after } => {
            let clocks = clocks("until", *not_after, *time);
            (format!("its certificate has expired ({clocks})"), renew(whose))
        }
        NotValidYet => ("its certificate is not valid yet".to_owned(), set_clock(whose)),
        NotValidYetContext { time, not_before } => {
            let clocks = clocks("from", *not_before, *time);
            (format!("its certificate is not valid yet ({clocks})"), set_clock(whose))
        }
        NotValidForName | NotValidForNameContext { .. } => (
            "its certificate is for another name".to_owned(),
            "correct the host of the address, or the certificate".to_owned(),
        ),
        Revoked => ("its certificate was revoked".to_owned(), format!("renew it at the {whose}")),
        // The library does not export this variant.
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => (
            "it shows an authority's certificate as its own".to_owned(),
            "give it one that is made for its name (with openssl: `-addext basicConstraints=critical,CA:FALSE`)"
                .to_owned(),
        ),
        other => {
            (format!("its certificate is not accepted: {}", short(other)), format!("renew it at the {whose}"))
        }
    }
}

fn renew(whose: &str) -> String {
    format!("renew it at the {whose}, or correct this machine's clock if that is wrong")
}

fn set_clock(whose: &str) -> String {
    format!(
        "this machine's clock may be wrong: correct it (`timedatectl`), or the certificate at the {whose}"
    )
}

/// Shows both times, so that the reader can see which one is wrong.
fn clocks(bound: &str, valid: UnixTime, now: UnixTime) -> String {
    let [valid, now] = [valid, now].map(|time| {
        let second =
            i64::try_from(time.as_secs()).ok().and_then(|second| Timestamp::from_second(second).ok());
        second.map_or_else(|| format!("second {}", time.as_secs()), |second| second.to_string())
    });
    format!("valid {bound} {valid}; this machine's clock says {now}")
}

fn of_alert(alert: AlertDescription, peer: Peer) -> RequestError {
    let (what, advice) = match alert {
        AlertDescription::CertificateRequired => {
            ("it wants a client certificate".to_owned(), peer.client_certificate())
        }
        AlertDescription::ProtocolVersion => return too_old(peer),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::DecryptError
        | AlertDescription::AccessDenied => {
            (format!("it does not accept our certificate ({})", alert_name(alert)), peer.client_certificate())
        }
        // TLS 1.2 reports this for a missing client certificate, among other things.
        AlertDescription::HandshakeFailure => (
            "it has ended the handshake".to_owned(),
            format!(
                "it may want other versions or ciphers of TLS, or a client certificate: {}",
                peer.client_certificate()
            ),
        ),
        other => (
            format!("it has refused TLS ({})", alert_name(other)),
            format!("look at the TLS settings of the {}", peer.word()),
        ),
    };
    RequestError::new(Obstacle::Tls, what, advice)
}

fn alert_name(alert: AlertDescription) -> String {
    format!("alert {}", u8::from(alert))
}

/// Translates the library's message for a proxy that cannot be reached, because it has no error type.
fn of_tunnel(error: &reqwest::Error, peer: Peer, proxy: Option<&NamedProxy>) -> Option<RequestError> {
    let origin = proxy.map_or("proxy", NamedProxy::origin);
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if text.contains("proxy authorization required") {
            let advice = format!("correct `{origin}`");
            return Some(RequestError::new(
                Obstacle::Proxy,
                "the proxy wants a user name and a password",
                advice,
            ));
        }
        if text.contains("tunnel error: unsuccessful") {
            let advice = format!("let the proxy reach the {}, or correct `{origin}`", peer.word());
            return Some(RequestError::new(
                Obstacle::Proxy,
                "the proxy does not let us through to it",
                advice,
            ));
        }
        cause = error.source();
    }
    None
}

fn short(words: &impl ToString) -> String {
    let words = words.to_string();
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PEERS: [Peer; 3] = [Peer::Receiver, Peer::Portal, Peer::AuthorizationServer];

    fn at(second: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(second))
    }

    #[test]
    fn a_certificate_out_of_its_time_is_told_with_both_times_and_a_doubt_about_the_clock() {
        for peer in PEERS {
            let early = CertificateError::NotValidYetContext { time: at(0), not_before: at(1_700_000_000) };
            let late =
                CertificateError::ExpiredContext { time: at(1_800_000_000), not_after: at(1_700_000_000) };
            for (error, bound, now) in [
                (early, "valid from 2023-11-14T22:13:20Z", "1970-01-01T00:00:00Z"),
                (late, "valid until 2023-11-14T22:13:20Z", "2027-01-15T08:00:00Z"),
            ] {
                let told = of_tls(&TlsError::InvalidCertificate(error), peer);
                assert!(told.what.contains(bound) && told.what.contains(now), "{told:?}");
                assert!(told.advice.contains("this machine's clock"), "{told:?}");
                assert_eq!(told.obstacle, Obstacle::Certificate);
            }
        }
    }

    #[test]
    fn everything_about_tls_has_an_advice_that_names_no_key_of_others() {
        use CertificateError::{BadEncoding, NotValidForName, Revoked, UnknownIssuer};
        let certificates =
            [BadEncoding, NotValidForName, Revoked, UnknownIssuer].map(TlsError::InvalidCertificate);
        let alerts = (0..=255).map(|alert| TlsError::AlertReceived(AlertDescription::from(alert)));
        let others = [TlsError::DecryptError, TlsError::General("x".into())];
        for error in certificates.into_iter().chain(alerts).chain(others) {
            for peer in PEERS {
                let told = of_tls(&error, peer);
                assert!(!told.what.is_empty() && !told.advice.is_empty(), "{error:?}");
                let sentence = told.sentence();
                assert!(!sentence.contains("Some(") && !sentence.contains("Unknown("), "{sentence}");
                let names_the_sink = sentence.contains("of the sink");
                assert!(peer == Peer::Receiver || !names_the_sink, "{sentence}");
            }
        }
    }
}
