//! `handlers`: what an application has bound, and how it is unbound.

use reqwest::Method;
use serde_json::Value;

use crate::portal::Portal;
use crate::process::{code, finished, stderr, stdout};
use crate::setup::Setup;

#[tokio::test]
async fn a_webhook_is_told_what_is_missing_before_the_portal_is_asked() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    for args in [
        ["handlers", "list", "support"].as_slice(),
        &["handlers", "list", "support", "--json"],
        &["handlers", "unbind", "support", "--event", "ONTASKADD", "--yes"],
        &["handlers", "unbind", "support", "--event", "ONTASKADD", "--dry-run"],
    ] {
        let refused = finished(args, setup.folder()).await;
        assert_eq!((code(&refused), stdout(&refused).as_str()), (78, ""), "{args:?}");
        for words in ["[sources.support.oauth]", "`b24relay login support`"] {
            assert!(stderr(&refused).contains(words), "no `{words}` in: {}", stderr(&refused));
        }
    }
    let stats = portal.control(Method::GET, "stats", Value::Null).await;
    assert_eq!(stats["requests"], serde_json::json!({}), "nobody was asked");
}

#[tokio::test]
async fn nothing_is_unbound_unasked() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_file();
    let refused = finished(&["handlers", "unbind", "support", "--event", "ONTASKADD"], setup.folder()).await;
    assert_eq!((code(&refused), stdout(&refused).as_str()), (64, ""));
    assert!(stderr(&refused).contains("--yes"), "{}", stderr(&refused));
}
