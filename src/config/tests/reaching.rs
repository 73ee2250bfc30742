//! The connection settings of a webhook sink: files are read at once, contradictions are refused, and no
//! secret is shown.

use tempfile::TempDir;

use super::{MARK, certificate, config_of, environment, errors, with_sink};
use crate::config::{AuthConfig, PrivateNetworks, ProxyConfig, TargetConfig, TlsVersion, WebhookConfig};

fn webhook(lines: &str) -> String {
    with_sink(&format!("type = \"webhook\"\nurl = \"https://b.example/hook\"\n{lines}"))
}

#[track_caller]
fn webhook_of(lines: &str) -> WebhookConfig {
    let mut config = config_of(&webhook(lines));
    let Some(TargetConfig::Webhook(webhook)) =
        config.sinks.iter_mut().find(|sink| sink.name == "b").map(|sink| sink.target.clone())
    else {
        panic!("no webhook")
    };
    *webhook
}

#[track_caller]
fn assert_refused(lines: &str, expected: &[&str]) {
    let errors = errors(&webhook(lines), &environment(&[]));
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.contains(expected), "expected {expected:?} in {errors:#?}");
        assert!(!error.contains(MARK), "{error}");
    }
}

/// A directory with a certificate, its key, the key of another certificate, and a file with the first two.
fn pem_files() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let ((certificate, key), (_, other)) = (certificate(), self::certificate());
    let both = format!("{key}\n{certificate}");
    for (name, text) in
        [("cert.pem", &certificate), ("key.pem", &key), ("other.pem", &other), ("both.pem", &both)]
    {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn tls_files_are_read_and_belong_together() {
    let folder = pem_files();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (certificate, key, other, both) = (at("cert.pem"), at("key.pem"), at("other.pem"), at("both.pem"));
    let tls = webhook_of(&format!("tls = {{ ca_file = \"{certificate}\", min_version = \"1.3\" }}")).tls;
    assert_eq!((tls.authorities.len(), tls.min_version), (1, Some(TlsVersion::V1_3)));
    let pair = format!("tls = {{ client_cert_file = \"{certificate}\", client_key_file = \"{key}\" }}");
    assert!(webhook_of(&pair).tls.identity.is_some());
    assert!(webhook_of(&format!("tls.client_cert_file = \"{both}\"")).tls.identity.is_some());

    let foreign = format!("tls = {{ client_cert_file = \"{certificate}\", client_key_file = \"{other}\" }}");
    assert_refused(&foreign, &["sinks.b.tls.client_key_file: does not belong together"]);
    let alone = format!("tls.client_cert_file = \"{certificate}\"");
    assert_refused(&alone, &["client_cert_file: holds no key: set `client_key_file`"]);
    assert_refused(&format!("tls.client_key_file = \"{key}\""), &["set `client_cert_file` as well"]);
    assert_refused(&format!("tls.ca_file = \"{key}\""), &["ca_file: must be a PEM file"]);
    assert_refused("tls.ca_file = \"/absent/ca.pem\"", &["there is no file `/absent/ca.pem`"]);
    assert_refused("tls.min_version = \"1.1\"", &["min_version: must be `1.2` or `1.3`"]);
}

#[test]
fn a_certificate_or_key_that_is_cut_or_locked_is_told() {
    let folder = pem_files();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\ns3cr3t\n-----END ENCRYPTED PRIVATE KEY-----\n";
    std::fs::write(folder.path().join("locked.pem"), locked).unwrap();
    std::fs::write(folder.path().join("cut.pem"), "-----BEGIN CERTIFICATE-----\ns3cr3t\n").unwrap();
    let (certificate, locked, cut) = (at("cert.pem"), at("locked.pem"), at("cut.pem"));
    let tls = format!("tls = {{ client_cert_file = \"{certificate}\", client_key_file = \"{locked}\" }}");
    assert_refused(&tls, &["client_key_file: must not be encrypted"]);
    assert_refused(&format!("tls.ca_file = \"{cut}\""), &["must be a PEM file"]);
    let inline = locked.replace('\n', "\\n");
    assert_refused(&format!("tls.client_cert_file = \"{inline}\\n{MARK}\""), &["must be the path of a file"]);
}

#[test]
fn a_proxy_is_a_url_or_none_and_never_shown() {
    assert_eq!(webhook_of("").proxy, ProxyConfig::Environment);
    assert_eq!(webhook_of("proxy = \"none\"").proxy, ProxyConfig::None);
    let proxy = webhook_of("proxy = \"http://me:s3cr3t@p.example:3128\"").proxy;
    assert!(matches!(&proxy, ProxyConfig::Url(url) if url.password() == Some("s3cr3t")));
    assert_eq!(format!("{proxy:?}"), "http://p.example");
    for wrong in ["s3cr3t", "me:s3cr3t@p.example:3128", "ftp://s3cr3t", "http://p.example/s3cr3t"] {
        assert_refused(
            &format!("proxy = \"{wrong}\""),
            &["sinks.b.proxy: must be `none` or the proxy's URL"],
        );
    }
    let both = "proxy = \"http://p.example\"\nprivate_networks = \"deny\"";
    assert_refused(both, &["private_networks: cannot be kept through a proxy"]);
    for proxy in ["", "proxy = \"none\"\n"] {
        let config = webhook_of(&format!("{proxy}private_networks = \"deny\""));
        assert_eq!(config.private_networks, PrivateNetworks::Deny);
    }
}

#[test]
fn each_type_of_auth_has_its_keys_and_no_other() {
    let basic = "auth = { type = \"basic\", user = \"me\", password = \"s3cr3t\" }";
    assert!(matches!(webhook_of(basic).auth, Some(AuthConfig::Basic { .. })));
    let wrong = "auth = { type = \"basic\", user = \"m:e\", token = \"s3cr3t\" }";
    let expected = [
        "auth.token: belongs to the type `bearer`",
        "auth.user: must not hold a `:`",
        "password: is missing",
    ];
    assert_refused(wrong, &expected);
    assert_refused("auth = { token = \"s3cr3t\" }", &["auth.type: is missing"]);
    assert_refused("auth = { type = \"digest\" }", &["must be `basic`, `bearer` or `oauth2`"]);
    let oauth2 = |url: &str| {
        format!(
            "auth = {{ type = \"oauth2\", token_url = \"{url}\", client_id = \"a\", client_secret = \"s3cr3t\" }}"
        )
    };
    let auth = webhook_of(&oauth2("https://login.example/token")).auth;
    assert!(!format!("{auth:?}").contains(MARK) && auth.is_some());
    assert_refused(&oauth2("http://login.example/s3cr3t"), &["auth.token_url: must be https"]);
    let allowed = format!("allow_http = true\n{}", oauth2("http://login.example/token"));
    assert!(webhook_of(&allowed).auth.is_some());
}

#[test]
fn headers_are_the_operators_own_and_their_values_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("api.key");
    std::fs::write(&file, "Token s3cr3t\n").unwrap();
    let config = webhook_of(&format!(
        "headers = {{ X-Team = \"s3cr3t\", User-Agent = \"we\", X-Api-Key_file = \"{}\" }}",
        file.display()
    ));
    assert_eq!(config.headers["x-api-key"], "Token s3cr3t");
    assert_eq!(config.headers["user-agent"], "we");
    assert!(!format!("{config:?}").contains(MARK), "{config:?}");

    for name in
        ["Content-Type", "content-length", "Host", "webhook-id", "CE-Type", "Connection", "Transfer-Encoding"]
    {
        let expected = format!("headers.{name}: is a header that b24relay sets itself");
        assert_refused(&format!("headers = {{ {name} = \"s3cr3t\" }}"), &[&expected]);
    }
    assert_refused("headers = { \"a b\" = \"s3cr3t\" }", &["is not the name of a header"]);
    assert_refused("headers = { X-A = \"s3cr3t\\nX-B: 1\" }", &["must be one line of plain ASCII"]);
    assert_refused(
        "headers = { X-A_file = \"/absent/s3cr3t\" }",
        &["there is no such file (its name is not shown"],
    );
    assert_refused("headers = { X-A = \"s3cr3t\", x-a = \"s3cr3t\" }", &["is given twice"]);
    let twice = "auth = { type = \"bearer\", token = \"s3cr3t\" }\nheaders = { Authorization = \"s3cr3t\" }";
    assert_refused(twice, &["headers.Authorization: is what `auth` sets"]);
    assert!(
        webhook_of("headers = { Authorization = \"Token s3cr3t\" }").headers.contains_key("authorization")
    );
}
