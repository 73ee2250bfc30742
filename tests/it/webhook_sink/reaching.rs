//! The connection of a webhook sink to its receiver: TLS, HTTP/2, IPv6, compression, and the allowed networks.

use std::fs;
use std::io::Read as _;

use axum::http::Version;
use flate2::read::GzDecoder;
use rcgen::date_time_ymd;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::reload::reloading::apply;
use crate::support::expected::ledger::assert_once_each;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{finished, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::Receiver;
use crate::support::receivers::tls_receiver::{Authority, Door, start};

const CA: &str = "tls.ca_file = \"ca.pem\"";

/// Sends one event to `url`, which fails with a temporary error; returns the error in `status`.
async fn trouble(authority: &Authority, url: &str, lines: &str) -> String {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_webhook("crm", url, lines);
    fs::write(setup.path("ca.pem"), authority.pem()).unwrap();
    portal.record(1, 1).await;
    let mut relay = setup.run();
    let trouble = setup.trouble_of("crm", "retrying").await;
    relay.stop().await;
    trouble
}

#[tokio::test]
async fn a_receiver_of_a_known_authority_is_reached_over_http_2_where_it_offers_that() {
    let authority = Authority::new("ours");
    for (http2, version) in [(true, Version::HTTP_2), (false, Version::HTTP_11)] {
        let portal = Portal::start().await;
        let issued = authority.issue("127.0.0.1", |_| ());
        let (receiver, url) = start(issued, Door { http2, ..Door::default() }).await;
        let setup = Setup::new().with_source(&portal).with_webhook("crm", &url, CA);
        fs::write(setup.path("ca.pem"), authority.pem()).unwrap();
        let check = finished(&["check"], setup.folder()).await;
        assert!(stdout(&check).contains("answers a HEAD request with 200"), "{}", stdout(&check));
        receiver.take_deliveries();
        portal.record(1, 3).await;
        setup.drain().await;
        assert_once_each(&receiver.accepted_ids(), &portal.ids(1).await);
        assert!(receiver.deliveries().iter().all(|delivery| delivery.version == version));
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_told_and_tried_again() {
    let (authority, other) = (Authority::new("ours"), Authority::new("theirs"));
    let namesake = Authority::new("ours");
    let long_ago = |params: &mut rcgen::CertificateParams| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    };
    let issued = [
        (other.issue("127.0.0.1", |_| ()), "not from a known authority: set `tls.ca_file`"),
        (namesake.issue("127.0.0.1", |_| ()), "not from a known authority: set `tls.ca_file`"),
        (authority.issue("other.example", |_| ()), "its certificate is for another name"),
        (authority.issue("127.0.0.1", long_ago), "its certificate has expired"),
    ];
    for (issued, words) in issued {
        let (receiver, url) = start(issued, Door::default()).await;
        let trouble = trouble(&authority, &url, CA).await;
        assert!(trouble.contains(words), "no `{words}` in {trouble}");
        assert_eq!(receiver.count(), 0);
    }
}

#[tokio::test]
async fn a_portal_with_a_certificate_of_nobody_is_not_spoken_to() {
    let (receiver, url) = start(Authority::new("nobody").issue("127.0.0.1", |_| ()), Door::default()).await;
    let portal: reqwest::Url = url.parse().unwrap();
    let source = format!("[sources.support]\nwebhook_url = \"https://{}/rest/1/c0de/\"", portal.authority());
    let setup = Setup::new().with(&source).with_file();
    for args in [&["check"][..], &["tap", "support", "--once"]] {
        let refused = finished(args, setup.folder()).await;
        assert_eq!(crate::support::process::relay::code(&refused), 69, "{args:?}: {}", stderr(&refused));
        let told = format!("{}{}", stdout(&refused), stderr(&refused));
        assert!(told.contains("certificate"), "{args:?}: {told}");
    }
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn an_older_tls_than_allowed_is_refused_and_plain_http_is_told_from_it() {
    let authority = Authority::new("ours");
    let issued = authority.issue("127.0.0.1", |_| ());
    let door = Door { versions: &[&rustls::version::TLS12], ..Door::default() };
    let (receiver, url) = start(issued, door).await;
    let words = trouble(&authority, &url, &format!("{CA}\ntls.min_version = \"1.3\"")).await;
    assert!(words.contains("lower `tls.min_version`"), "{words}");
    assert_eq!(receiver.count(), 0);

    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_webhook("crm", &url, CA);
    fs::write(setup.path("ca.pem"), authority.pem()).unwrap();
    portal.record(1, 1).await;
    setup.drain().await;
    assert_eq!(receiver.accepted_ids().len(), 1);

    let plain = Receiver::start().await;
    let words = trouble(&authority, &plain.url().replace("http", "https"), CA).await;
    assert!(words.contains("does not speak TLS there"), "{words}");
}

#[tokio::test]
async fn a_receiver_that_wants_our_certificate_gets_it_or_its_absence_is_told() {
    let (authority, other) = (Authority::new("ours"), Authority::new("theirs"));
    let issued = authority.issue("127.0.0.1", |_| ());
    let (receiver, url) = start(issued, Door { clients: Some(&authority), ..Door::default() }).await;
    let words = trouble(&authority, &url, CA).await;
    assert!(words.contains("set `tls.client_cert_file`"), "{words}");

    let portal = Portal::start().await;
    let lines = format!("{CA}\ntls.client_cert_file = \"me.pem\"\ntls.client_key_file = \"me.key\"");
    let setup = Setup::new().with_source(&portal).with_webhook("crm", &url, &lines);
    fs::write(setup.path("ca.pem"), authority.pem()).unwrap();
    portal.record(1, 1).await;
    let write = |issued: crate::support::receivers::tls_receiver::Issued| {
        fs::write(setup.path("me.pem"), issued.certificate).unwrap();
        fs::write(setup.path("me.key"), issued.key).unwrap();
    };
    write(other.issue("me", |_| ()));
    let mut relay = setup.run();
    // The end of the connection may arrive before the receiver's answer.
    until("it is told", async || {
        setup.trouble_of("crm", "retrying").await.contains("does not accept our certificate")
    })
    .await;
    relay.stop().await;
    assert_eq!(receiver.count(), 0);
    write(authority.issue("me", |_| ()));
    setup.drain().await;
    assert_eq!(receiver.accepted_ids(), portal.ids(1).await);
}

#[tokio::test]
async fn a_renewed_file_behind_the_same_path_is_taken_up_at_a_reload() {
    let (authority, former) = (Authority::new("ours"), Authority::new("former"));
    let (receiver, url) = start(authority.issue("127.0.0.1", |_| ()), Door::default()).await;
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_webhook("crm", &url, CA);
    fs::write(setup.path("ca.pem"), former.pem()).unwrap();
    portal.record(1, 1).await;
    let mut relay = setup.run();
    setup.trouble_of("crm", "retrying").await;
    fs::write(setup.path("ca.pem"), authority.pem()).unwrap();
    let said = apply(&relay).await;
    assert!(said.contains("sinks.crm: changed (tls.ca_file)"), "{said}");
    until("it is delivered", async || receiver.accepted_ids().len() == 1).await;
    relay.stop().await;
}

#[tokio::test]
async fn check_tells_what_is_wrong_with_a_certificate() {
    let (portal, authority) = (Portal::start().await, Authority::new("ours"));
    let (_receiver, url) = start(authority.issue("127.0.0.1", |_| ()), Door::default()).await;
    let setup = Setup::new().with_source(&portal).with_webhook("crm", &url, "");
    let check = finished(&["check"], setup.folder()).await;
    let shown = stdout(&check) + &stderr(&check);
    assert!(shown.contains("not from a known authority: set `tls.ca_file`"), "{shown}");
}

#[tokio::test]
async fn a_receiver_with_an_ipv6_address_is_reached() {
    let portal = Portal::start().await;
    let receiver = Receiver::start_on(TcpListener::bind("[::1]:0").await.unwrap());
    assert!(receiver.url().contains("[::1]"));
    let setup = Setup::new().with_source(&portal).with_receiver(&receiver);
    portal.record(1, 2).await;
    setup.drain().await;
    assert_once_each(&receiver.accepted_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn a_body_is_packed_as_its_encoding_says() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let url = receiver.url();
    let setup =
        ["none", "gzip", "zstd"].into_iter().fold(Setup::new().with_source(&portal), |setup, name| {
            setup.with_webhook(name, &url, &format!("compress = \"{name}\""))
        });
    portal.record(1, 1).await;
    setup.drain().await;
    let mut encodings = Vec::new();
    for delivery in receiver.deliveries() {
        let encoding = delivery.headers.get("content-encoding").map(|name| name.to_str().unwrap().to_owned());
        let bytes = delivery.bytes.to_vec();
        let body = match encoding.as_deref() {
            None => bytes,
            Some("gzip") => {
                let mut body = Vec::new();
                GzDecoder::new(&bytes[..]).read_to_end(&mut body).unwrap();
                body
            }
            Some("zstd") => zstd::decode_all(&bytes[..]).unwrap(),
            Some(other) => panic!("{other}"),
        };
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["eventId"], portal.ids(1).await[0]);
        encodings.push(encoding.unwrap_or_default());
    }
    encodings.sort();
    assert_eq!(encodings, ["", "gzip", "zstd"]);
}

#[tokio::test]
async fn private_networks_are_not_entered_when_denied() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let port = receiver.address.port();
    for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{port}/");
        let lines = "private_networks = \"deny\"\nallow_http = true";
        let setup = Setup::new().with_source(&portal).with_webhook("crm", &url, lines);
        portal.record(1, 1).await;
        let mut relay = setup.run();
        let words = setup.trouble_of("crm", "held").await;
        assert!(words.contains("is not on the public internet, and `private_networks"), "{words}");
        relay.stop().await;
        let check = finished(&["check"], setup.folder()).await;
        assert!((stdout(&check) + &stderr(&check)).contains("is not on the public internet"));
    }
    assert_eq!(receiver.count(), 0);
    let url = format!("http://localhost:{port}/");
    Setup::new().with_source(&portal).with_webhook("crm", &url, "").drain().await;
    assert!(receiver.count() > 0);
}
