//! Keeps `config/b24relay.toml` and `config/examples/` in step with what is read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use config::{Value, ValueKind};

use crate::config::parse::document;
use crate::config::parse::findings::Findings;
use crate::config::parse::quote;
use crate::config::parse::read;
use crate::config::secrets::secret_file::SecretFiles;
use crate::config::tests::{environment, errors, load_text};

/// A configuration without the keys that have a default: only the required ones remain.
pub(super) const REQUIRED_ONLY: &str = r#"
    [sources.support]
    webhook_url = "https://example.bitrix24.com/rest/1/CODE/"
    proxy = "http://proxy.example.com:3128"
    [sources.sales]
    webhook_url_file = "sales.url"
    proxy_file = "proxy.url"
    tls.ca_file = "portal-ca.pem"
    tls.client_cert_file = "b24relay.pem"
    tls.client_key_file = "b24relay.key"
    tls.min_version = "1.3"
    [sources.assistant]
    kind = "bot"
    webhook_url = "https://example.bitrix24.com/rest/1/OTHERCODE/"
    bot_id = 456
    bot_token = "TOKEN"
    [sources.concierge]
    kind = "bot"
    webhook_url = "https://example.bitrix24.com/rest/1/OTHERCODE/"
    bot_id = 457
    bot_token_file = "concierge.token"
    [sources.office.oauth]
    portal = "https://office.bitrix24.com"
    client_id = "local.0123456789abcd.01234567"
    client_secret = "SECRET"
    server = "https://oauth.bitrix24.tech"
    [sources.warehouse.oauth]
    portal = "https://warehouse.bitrix24.com"
    client_id = "local.fedcba98765432.fedcba98"
    client_secret_file = "warehouse.secret"
    [sources.porter]
    kind = "bot"
    bot_id = 12
    oauth.grant = "office"
    [portals."example.bitrix24.com"]
    moved_to = "new.bitrix24.com"
    proxy = "http://proxy.example.com:3128"
    tls.ca_file = "portal-ca.pem"
    tls.client_cert_file = "b24relay.pem"
    tls.client_key_file = "b24relay.key"
    tls.min_version = "1.3"
    [portals."office.bitrix24.com"]
    proxy_file = "proxy.url"
    [http]
    listen = "127.0.0.1:8687"
    token_file = "http.token"
    [sinks.archive]
    type = "file"
    path = "/var/log/b24relay/events.jsonl"
    sources = ["support"]
    events = ["onimv2messageadd", "onimv2messageupdate"]
    chats = ["chat318", "-55"]
    authors = "12, -4"
    filter = "chat.type != 'lines' and 'invoice' in message.text|lower"
    max_event_age = "6h"
    retry.give_up = "2h"
    rotate = { size = "100MiB", every = "1d", keep = 14 }
    [sinks.console]
    type = "stdout"
    [sinks.crm]
    type = "webhook"
    url = "https://crm.example.com/hooks/b24"
    rate = "50/s"
    batch = {}
    secrets = ["whsec_VGhpcyBpcyBubyBzZWNyZXQsIGV2ZXJ5Ym9keSBoYXMgaXQ="]
    outcomes = { "409" = "delivered", "404" = "transient" }
    proxy = "http://proxy.example.com:3128"
    tls.ca_file = "receivers-ca.pem"
    tls.client_cert_file = "b24relay.pem"
    tls.client_key_file = "b24relay.key"
    tls.min_version = "1.3"
    auth = { type = "basic", user = "b24relay", password = "SECRET" }
    headers = { x-team = "support", x-api-key_file = "crm-api.key" }
    [sinks.tracker]
    type = "webhook"
    url = "https://tracker.example.com/api/issues"
    format = "template"
    template = '{"title": {{ message.text }}, "key": {{ event.id }}}'
    [sinks.form]
    type = "webhook"
    url = "https://form.example.com/submit"
    format = "template"
    template_file = "form.json"
    [sinks.telegram]
    type = "webhook"
    url = "https://api.telegram.org/botTOKEN/sendMessage"
    format = "telegram"
    chat_id = "-1001234567890"
    [sinks.tickets]
    type = "webhook"
    url_file = "tickets.url"
    secrets_file = "tickets.secrets"
    proxy_file = "proxy.url"
    auth = { type = "basic", user = "b24relay", password_file = "tickets.password" }
    [sinks.ledger]
    type = "webhook"
    url = "https://ledger.example.com/b24"
    auth = { type = "bearer", token = "TOKEN" }
    [sinks.wiki]
    type = "webhook"
    url = "https://wiki.example.com/b24"
    auth = { type = "bearer", token_file = "wiki.token" }
    [sinks.erp]
    type = "webhook"
    url = "https://erp.example.com/b24"
    [sinks.erp.auth]
    type = "oauth2"
    token_url = "https://login.example.com/oauth2/token"
    client_id = "b24relay"
    client_secret = "SECRET"
    scope = "events.write"
    [sinks.billing]
    type = "webhook"
    url = "https://billing.example.com/b24"
    [sinks.billing.auth]
    type = "oauth2"
    token_url = "https://login.example.com/oauth2/token"
    client_id = "b24relay"
    client_secret_file = "billing.secret"
"#;

fn reference() -> String {
    filled_in(&std::fs::read_to_string(folder().join("b24relay.toml")).unwrap())
}

/// Fills in an example like an operator would: replaces the placeholders for portal and code.
fn filled_in(text: &str) -> String {
    text.replace("example.bitrix24.", "acme.bitrix24.").replace("/CODE/", "/abc123/")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

/// The reference with every option enabled: removes each `#` that directly precedes a key or a section.
pub(super) fn switched_on() -> String {
    let is_switch = |rest: &str| rest.starts_with(|first: char| first == '[' || first.is_ascii_lowercase());
    let lines = reference();
    let lines =
        lines.lines().map(|line| line.strip_prefix('#').filter(|rest| is_switch(rest)).unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

pub(super) fn credentials() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("support.url", "https://example.bitrix24.com/rest/7/CODE/\n"),
        ("sales.url", "https://example.bitrix24.com/rest/2/CODE/\n"),
        ("tickets.url", "https://tickets.example.com/b24\n"),
        ("slack.url", "https://hooks.slack.com/services/T0/B0/s3cr3t-path\n"),
        ("telegram.url", "https://api.telegram.org/bot1:s3cr3t-path/sendMessage\n"),
        ("form.json", "{\"text\": {{ message.text }}}\n"),
        ("tickets.secrets", "whsec_QSBzZWNyZXQgb2YgdGhlIHRlc3RzLCBubyBtb3JlLg==\n"),
        ("crm.secrets", "whsec_QSBzZWNyZXQgb2YgdGhlIHRlc3RzLCBubyBtb3JlLg==\n"),
        ("crm.url", "https://crm.example.com/hooks/b24\n"),
        ("intranet.url", "https://bitrix.intranet.example:8443/rest/3/CODE/\n"),
        ("assistant.token", "TOKEN\n"),
        ("concierge.token", "TOKEN\n"),
        ("office.secret", "SECRET\n"),
        ("warehouse.secret", "SECRET\n"),
        ("proxy.url", "http://b24relay:SECRET@proxy.example.com:3128\n"),
        ("crm-api.key", "Token SECRET\n"),
        ("tickets.password", "SECRET\n"),
        ("wiki.token", "TOKEN\n"),
        ("http.token", "9f86d081884c7d65\n"),
        ("billing.secret", "SECRET\n"),
    ] {
        std::fs::write(directory.path().join(name), filled_in(text)).unwrap();
    }
    let (certificate, key) = crate::config::tests::certificate();
    for (name, text) in [
        ("portal-ca.pem", &certificate),
        ("receivers-ca.pem", &certificate),
        ("b24relay.pem", &certificate),
        ("b24relay.key", &key),
    ] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn keys_of(path: &str, value: &Value, keys: &mut BTreeSet<String>) {
    let ValueKind::Table(entries) = &value.kind else {
        keys.insert(anonymous(path));
        return;
    };
    for (key, value) in entries {
        let key = quote::key(key);
        let path = if path.is_empty() { key } else { format!("{path}.{key}") };
        keys_of(&path, value, keys);
    }
}

/// Replaces names: `sinks.crm.url` becomes `sinks.NAME.url`, and `portals."a.example".plan` becomes
/// `portals.NAME.plan`.
fn anonymous(path: &str) -> String {
    let (host_open, host_close) = ("portals.\"", "\".");
    if let Some((_, key)) = path.strip_prefix(host_open).and_then(|rest| rest.split_once(host_close)) {
        return format!("portals.NAME.{key}");
    }
    // There is only one table that can show it.
    if path == "http.token" {
        return "http.token_file".to_owned();
    }
    let mut parts: Vec<&str> = path.split('.').collect();
    if let ["sources" | "sinks" | "portals", name, ..] = &mut parts[..] {
        *name = "NAME";
    }
    parts.join(".")
}

/// Every key that is read, such as `sinks.NAME.url`.
pub(crate) fn keys() -> BTreeSet<String> {
    let layer = document::parse(Path::new("b24relay.toml"), switched_on().as_bytes(), &Findings::default());
    let mut keys = BTreeSet::new();
    keys_of("", &Value::new(None, ValueKind::Table(layer.unwrap().0)), &mut keys);
    keys
}

#[test]
fn the_reference_loads_as_it_stands() {
    let loaded = load_text(reference(), &environment(&[])).unwrap();
    assert_eq!((loaded.config.sources.len(), loaded.config.sinks.len()), (1, 1));
}

#[test]
fn the_reference_lists_exactly_the_keys_that_are_read() {
    let text = switched_on();
    let findings = Findings::default();
    let layer = document::parse(Path::new("b24relay.toml"), text.as_bytes(), &findings).unwrap();
    let tree = Value::new(None, ValueKind::Table(layer.0));
    let listed = keys();

    let directory = credentials();
    let files = SecretFiles::new(None, Some(directory.path()));
    assert!(read::read(tree, &files, &findings).is_some());
    let read: BTreeSet<String> = findings.asked().iter().map(|key| anonymous(key)).collect();
    assert_eq!(findings.into_violations(), []);
    assert_eq!(listed, read);
}

#[test]
fn the_reference_shows_the_defaults() {
    let directory = credentials();
    let mut environment = environment(&[]);
    environment.credentials = Some(directory.path().to_owned());
    let shown = load_text(switched_on(), &environment).unwrap().config;
    let defaults = load_text(filled_in(REQUIRED_ONLY), &environment).unwrap().config;
    assert_eq!(shown.difference(&defaults), BTreeSet::new());
}

#[test]
fn every_example_loads() {
    let directory = credentials();
    let mut environment = environment(&[
        ("B24RELAY_SOURCES__SUPPORT__WEBHOOK_URL", "https://acme.bitrix24.com/rest/7/abc123/"),
        ("B24RELAY_SOURCES__SALES__WEBHOOK_URL", "https://acme.bitrix24.com/rest/12/abc123/"),
    ]);
    let two_users = filled_in(&std::fs::read_to_string(folder().join("examples/two-users.toml")).unwrap());
    assert_eq!(load_text(&two_users, &environment).unwrap().config.sources.len(), 2);

    environment = crate::config::tests::environment(&[]);
    environment.credentials = Some(directory.path().to_owned());
    let mut count = 1;
    for entry in std::fs::read_dir(folder().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("two-users.toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let text = filled_in(&text).replace("/etc/b24relay/support.url", "support.url");
        assert_eq!(errors(&text, &environment), Vec::<String>::new(), "{}", path.display());
        count += 1;
    }
    assert_eq!(count, 9);
}
