//! Secrets as people enter them: characters that an editor or a shell adds never reach a portal or a receiver.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, command, finished, finished_command, stderr};
use crate::support::process::setup::Setup;
use crate::support::receivers::receiver::Receiver;

const SECRET: &str = "s3cr3tpass";

/// A setup whose sink uses `auth`, with the secret in `auth.secret`.
fn with_auth(portal: &Portal, receiver: &Receiver, auth: &str) -> Setup {
    Setup::new().with_source(portal).with_receiver_in(receiver, &format!("auth = {{ {auth} }}"))
}

async fn sent(setup: &Setup, receiver: &Receiver) -> String {
    let once = finished(&["run", "--once"], setup.folder()).await;
    assert_eq!(code(&once), 0, "{}", stderr(&once));
    receiver.take_deliveries()[0].headers["authorization"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_surrounds_a_secret_in_its_file_is_not_sent() {
    let (portal, receiver) = (Portal::start().await, Receiver::start().await);
    let basic = format!("Basic {}", STANDARD.encode(format!("u:{SECRET}")));
    let bearer = format!("Bearer {SECRET}");
    let surrounded =
        ["\u{feff}S\r\n", "  S\t\n\n", "# of the receiver\nS\n", "\u{feff}# of the receiver\r\nS\r\n"];
    for (auth, expected) in [
        ("type = \"basic\", user = \"u\", password_file = \"auth.secret\"", &basic),
        ("type = \"bearer\", token_file = \"auth.secret\"", &bearer),
    ] {
        for text in surrounded {
            portal.record(1, 1).await;
            let setup = with_auth(&portal, &receiver, auth);
            fs::write(setup.path("auth.secret"), text.replace('S', SECRET)).unwrap();
            assert_eq!(sent(&setup, &receiver).await, *expected, "{text:?}");
        }
    }
    // A bearer token cannot contain quotation marks, so these were a mistake.
    portal.record(1, 1).await;
    let setup = with_auth(&portal, &receiver, "type = \"bearer\", token_file = \"auth.secret\"");
    fs::write(setup.path("auth.secret"), format!("\"{SECRET}\"\n")).unwrap();
    assert_eq!(sent(&setup, &receiver).await, bearer);
}

#[tokio::test]
async fn a_webhook_url_is_taken_with_what_people_put_around_it() {
    let portal = Portal::start().await;
    let url = portal.webhook_url(1);
    let short = url.trim_end_matches('/');
    for text in [
        format!("\u{feff}{url}\r\n"),
        format!("{short}\n"),
        format!("\"{url}\""),
        format!("# user 1\n  {short}  \n"),
        format!("{short}/profile.json"),
        format!("{short}/profile/"),
        format!("{short}/im.v2.Event.get?limit=1"),
    ] {
        portal.record(1, 1).await;
        let setup = Setup::new()
            .with_unlimited(&portal)
            .with("[sources.support]\nwebhook_url_file = \"support.url\"\npoll.busy = \"0s\"\nconfirm_lag = \"0s\"")
            .with_file();
        fs::write(setup.path("support.url"), &text).unwrap();
        setup.drain().await;
        assert!(setup.filed_count() > 0, "{text:?}");
    }
}

/// Every key that can contain a secret, with the text before and after it; `@` is the secret.
const KEYS: [(&str, &str); 16] = [
    ("sources.a.webhook_url", "sources.a.webhook_url = \"https://a.example/rest/1/abc/@\""),
    ("sources.a.webhook_url_file", "sources.a.webhook_url_file = \"FILE\""),
    (
        "sources.b.bot_token",
        "sources.b = { kind = \"bot\", bot_id = 1, webhook_url = \"https://a.example/rest/1/abc/\", bot_token = \"@\" }",
    ),
    (
        "sources.b.bot_token_file",
        "sources.b = { kind = \"bot\", bot_id = 1, webhook_url = \"https://a.example/rest/1/abc/\", bot_token_file = \"FILE\" }",
    ),
    (
        "sources.c.oauth.client_secret",
        "sources.c.oauth = { portal = \"https://a.example\", client_id = \"x\", client_secret = \"@\" }",
    ),
    (
        "sources.c.oauth.client_secret_file",
        "sources.c.oauth = { portal = \"https://a.example\", client_id = \"x\", client_secret_file = \"FILE\" }",
    ),
    ("http.token", "http = { listen = \"127.0.0.1:0\", token = \"0123456789@\" }"),
    ("http.token_file", "http = { listen = \"127.0.0.1:0\", token_file = \"FILE\" }"),
    ("sinks.d.url", "sinks.d = { type = \"webhook\", url = \"https://a.example/@\" }"),
    ("sinks.d.url_file", "sinks.d = { type = \"webhook\", url_file = \"FILE\" }"),
    (
        "sinks.d.secrets",
        "sinks.d = { type = \"webhook\", url = \"https://a.example/\", secrets = [\"whsec_@\"] }",
    ),
    (
        "sinks.d.secrets_file",
        "sinks.d = { type = \"webhook\", url = \"https://a.example/\", secrets_file = \"FILE\" }",
    ),
    (
        "sinks.d.auth.password",
        "sinks.d = { type = \"webhook\", url = \"https://a.example/\", auth = { type = \"basic\", user = \"u\", password = \"@\" } }",
    ),
    (
        "sinks.d.auth.token_file",
        "sinks.d = { type = \"webhook\", url = \"https://a.example/\", auth = { type = \"bearer\", token_file = \"FILE\" } }",
    ),
    (
        "sinks.d.headers.X-Key",
        "sinks.d = { type = \"webhook\", url = \"https://a.example/\", headers = { X-Key = \"a@\" } }",
    ),
    (
        "sinks.d.proxy",
        "sinks.d = { type = \"webhook\", url = \"https://a.example/\", proxy = \"http://u:@@a.example:1\" }",
    ),
];

#[tokio::test]
async fn what_nobody_can_see_is_named_in_every_kind_of_secret_and_the_secret_is_not() {
    for (key, line) in KEYS {
        for invisible in ['\u{200b}', '\u{2060}', '\u{ad}'] {
            let secret = format!("{SECRET}{invisible}{SECRET}");
            let setup = Setup::new()
                .with(
                    &line
                        .replace("@@", &format!("{secret}@"))
                        .replace('@', &secret)
                        .replace(&format!("{secret}{secret}"), &secret),
                )
                .with(
                    "sources.z.webhook_url = \"https://z.example/rest/1/abc/\"\nsinks.out.type = \"stdout\"",
                );
            let text = match key {
                "sinks.d.secrets_file" => format!("# first\nwhsec_{secret}\n"),
                _ => format!("{secret}\n"),
            };
            fs::write(setup.path("FILE"), text).unwrap();
            let refused = finished(&["check", "--no-network"], setup.folder()).await;
            let said = stderr(&refused);
            assert_eq!(code(&refused), 78, "{key}: {said}");
            let named = format!("an invisible character U+{:04X}", u32::from(invisible));
            let told =
                said.lines().any(|line| line.starts_with(&format!("{key}: ")) && line.contains(&named));
            assert!(told && !said.contains(SECRET), "{key}: no `{named}` in\n{said}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_no_single_secret_says_what_it_is() {
    let portal = Portal::start().await;
    let setup = Setup::new()
        .with_source(&portal)
        .with("[sinks.crm]\ntype = \"webhook\"\nurl = \"https://a.example/\"")
        .with("auth = { type = \"basic\", user = \"u\", password_file = \"crm.password\" }");
    for (bytes, words) in [
        (format!("{SECRET}\n{SECRET}\n").into_bytes(), "holds 2 lines"),
        (b"# put it here\n".to_vec(), "nothing but comments"),
        (b"\xef\xbb\xbf\r\n".to_vec(), "is empty"),
        (
            SECRET
                .encode_utf16()
                .fold(vec![0xff, 0xfe], |bytes, unit| [bytes, unit.to_le_bytes().to_vec()].concat()),
            "UTF-16",
        ),
        (format!("\"{SECRET}\"").into_bytes(), "is in quotation marks"),
        (format!("\u{200b}{SECRET}").into_bytes(), "begins with an invisible character U+200B"),
        (format!("{SECRET} {SECRET}").into_bytes(), "white space U+0020 as character 11"),
    ] {
        fs::write(setup.path("crm.password"), bytes).unwrap();
        let refused = finished(&["check", "--no-network"], setup.folder()).await;
        let said = stderr(&refused);
        assert!(
            code(&refused) == 78 && said.contains(words) && !said.contains(SECRET),
            "no `{words}` in\n{said}"
        );
        assert!(said.contains("crm.password` "), "the file is named: {said}");
    }
}

#[tokio::test]
async fn variables_of_kubernetes_are_left_alone_and_a_misspelled_one_is_named() {
    let (portal, folder) = (Portal::start().await, tempfile::tempdir().unwrap());
    let check = |folder: &std::path::Path, variables: &[(&str, &str)]| {
        let mut check = command();
        check.args(["check", "--no-network"]).current_dir(folder).envs(variables.iter().copied());
        finished_command(check)
    };
    let kubernetes = [
        ("B24RELAY_SERVICE_HOST", "10.0.0.1"),
        ("B24RELAY_SERVICE_PORT", "8687"),
        ("B24RELAY_SERVICE_PORT_HTTP", "8687"),
        ("B24RELAY_PORT", "tcp://10.0.0.1:8687"),
        ("B24RELAY_PORT_8687_TCP", "tcp://10.0.0.1:8687"),
        ("B24RELAY_PORT_8687_TCP_ADDR", "10.0.0.1"),
    ];
    let setup = Setup::new().with_source(&portal).with_stdout();
    let checked = check(setup.folder(), &kubernetes).await;
    assert_eq!(code(&checked), 0, "{}", stderr(&checked));

    let wrong = [("B24RELAY_SINKS_CRM_URL", "https://a.example/s3cr3t")];
    for folder in [folder.path(), setup.folder()] {
        let refused = check(folder, &wrong).await;
        let said = stderr(&refused);
        assert_eq!(code(&refused), 78, "{said}");
        assert!(
            said.contains("B24RELAY_SINKS_CRM_URL`")
                && said.contains("did you mean `B24RELAY_SINKS__CRM__URL`"),
            "{said}"
        );
        assert!(!said.contains("s3cr3t"), "{said}");
    }
}

#[tokio::test]
async fn no_flag_takes_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    for args in [
        ["bots", "list", "support", "--v2", "--bot-token", SECRET].as_slice(),
        &["bots", "unregister", "support", "--bot-id", "1", "--client-id=s3cr3tpass"],
    ] {
        let refused = finished(args, folder.path()).await;
        assert_eq!(code(&refused), 64, "{args:?}");
        assert!(!stderr(&refused).contains(SECRET), "{}", stderr(&refused));
    }
}
