//! Portals as companies have them: an authority of their own, client certificates, and a proxy on the way.

use std::fs;

use crate::support::expected::ledger::assert_exactly_once;
use crate::support::portal::front::Front;
use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{finished, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::proxy::Proxy;
use crate::support::receivers::tls_receiver::{Authority, Door};
use rustix::process::Signal;

/// What the source says in `status`.
async fn trouble_of(setup: &Setup) -> String {
    setup.status_of("support").await["trouble"].as_str().unwrap_or_default().to_owned()
}

/// The table with which sources find the portal's authority, in the source itself or for all sources of the portal.
fn tables(front: &Front, keys: &str) -> [String; 2] {
    [
        format!("[sources.support.tls]\n{keys}"),
        format!(
            "[portals.\"{}\"]\nplan = \"self-hosted\"\ntls = {{ {} }}",
            front.address,
            keys.replace('\n', ", ")
        ),
    ]
}

#[tokio::test]
async fn an_authority_of_a_source_or_its_portal_is_trusted_after_a_reload() {
    let authority = Authority::new("ours");
    for in_portal in [false, true] {
        let portal = Portal::start().await;
        let front = Front::before(&portal, authority.issue("127.0.0.1", |_| ()), &Door::default()).await;
        portal.record(1, 3).await;
        let setup = Setup::new().with(&front.source(&portal)).with_file();
        let mut relay = setup.run();
        until("the authority is missed", async || {
            trouble_of(&setup).await.contains("set `tls.ca_file` of the source or its portal")
        })
        .await;
        fs::write(setup.path("ca.pem"), authority.pem()).unwrap();
        let table = &tables(&front, "ca_file = \"ca.pem\"")[usize::from(in_portal)];
        let setup = setup.with(table);
        relay.signal(Signal::HUP);
        until("all are filed", async || setup.filed_count() == 3).await;
        assert_eq!(relay.stop().await, 0, "{}", relay.log());
        assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);

        let check = finished(&["check"], setup.folder()).await;
        assert_eq!(check.status.code(), Some(0), "{}{}", stdout(&check), stderr(&check));
    }
}

#[tokio::test]
async fn a_portal_that_wants_a_client_certificate_gets_the_one_of_the_source() {
    let (authority, clients) = (Authority::new("ours"), Authority::new("clients"));
    let portal = Portal::start().await;
    let door = Door { clients: Some(&clients), ..Door::default() };
    let front = Front::before(&portal, authority.issue("127.0.0.1", |_| ()), &door).await;
    portal.record(1, 3).await;
    let setup = Setup::new().with(&front.source(&portal)).with_file();
    let own = clients.issue("b24relay", |_| ());
    fs::write(setup.path("ca.pem"), authority.pem()).unwrap();
    fs::write(setup.path("own.pem"), own.certificate + &own.key).unwrap();

    let bare = setup.folder().join("bare.toml");
    let lines = fs::read_to_string(setup.path("b24relay.toml")).unwrap();
    fs::write(&bare, format!("{lines}\n[sources.support.tls]\nca_file = \"ca.pem\"")).unwrap();
    let refused = finished(&["--config", "bare.toml", "check"], setup.folder()).await;
    let told = stdout(&refused) + &stderr(&refused);
    assert!(told.contains("set `tls.client_cert_file` and `tls.client_key_file` of the source"), "{told}");

    let setup = setup.with(&tables(&front, "ca_file = \"ca.pem\"\nclient_cert_file = \"own.pem\"")[0]);
    setup.drain().await;
    assert_exactly_once(&setup.filed_ids(), &portal.ids(1).await);
}

#[tokio::test]
async fn a_proxy_is_that_of_the_source_before_that_of_its_portal_before_the_environment() {
    let portal = Portal::start().await;
    let near = Proxy::start(portal.sandbox.address(), None).await;
    let far = Proxy::start(portal.sandbox.address(), None).await;
    portal.record(1, 3).await;
    let url = portal.webhook_url(1).replace(&portal.sandbox.address().to_string(), "portal.test");
    let source =
        format!("[sources.support]\nwebhook_url = \"{url}\"\nallow_http = true\nconfirm_lag = \"50ms\"");
    let of_portal = format!("[portals.\"portal.test\"]\nproxy = \"http://{}\"", far.address);
    let of_source = format!("{source}\nproxy = \"http://user:s3cr3t@{}\"", near.address);

    let setup = Setup::new().with(&source).with(&of_portal).with_file();
    setup.drain().await;
    assert!(!far.heads().is_empty() && near.heads().is_empty(), "the portal's table names the proxy");
    let seen = far.heads().len();

    let setup = Setup::new().with(&of_source).with(&of_portal).with_file();
    let check = finished(&["check"], setup.folder()).await;
    let told = stdout(&check) + &stderr(&check);
    assert!(told.contains(&format!("the proxy http://{}", near.address)), "{told}");
    assert!(!told.contains("s3cr3t"), "{told}");
    portal.record(1, 2).await;
    setup.drain().await;
    assert!(!near.heads().is_empty(), "the source's own proxy is used");
    assert_eq!(far.heads().len(), seen, "and not the portal's");
}

#[tokio::test]
async fn a_file_that_is_no_authority_is_refused_with_its_key() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    fs::write(setup.path("ca.pem"), "no certificate").unwrap();
    let setup = setup.with("[sources.support.tls]\nca_file = \"ca.pem\"\nmin_version = \"1.1\"");
    let refused = finished(&["check"], setup.folder()).await;
    let told = stdout(&refused) + &stderr(&refused);
    assert_eq!(refused.status.code(), Some(78), "{told}");
    assert!(told.contains("sources.support.tls.ca_file: must be a PEM file"), "{told}");
    assert!(told.contains("sources.support.tls.min_version: must be `1.2` or `1.3`"), "{told}");
}
