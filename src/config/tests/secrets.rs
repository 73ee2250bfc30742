//! Secrets are never shown, whatever the error is.

use super::{MARK, SMALL, environment, errors, load_text, with_sink};
use crate::config::ConfigError;

#[test]
fn a_syntax_error_says_where_and_never_shows_the_line() {
    let text = "[sources.a]\nwebhook_url = \"https://a.example/rest/1/s3cr3t/\nx = 1\n";
    let ConfigError::Syntax { line, column, message, excerpt, .. } =
        load_text(text, &environment(&[])).unwrap_err()
    else {
        panic!("not a syntax error")
    };
    assert_eq!((line, column, excerpt), (2, 48, None), "{message}");
    let error = load_text(b"a = 1\nb = \"\xff\"", &environment(&[])).unwrap_err().to_string();
    assert!(error.ends_with("is not valid TOML: line 2, column 6: is not UTF-8"), "{error}");
}

#[test]
fn a_syntax_error_shows_the_line_where_it_holds_no_secret_and_says_what_is_meant() {
    for (text, message, excerpt) in [
        ("[log]\nlevel = info\n", "texts need quotes", Some("2 | level = info\n  |         ^")),
        ("state = /var/lib/x.db\n", "texts need quotes", Some("1 | state = /var/lib/x.db\n  |         ^")),
        (
            "[sources.a]\npoll = { idle = 5s } # s3cr3t\n",
            "texts need quotes",
            Some("2 | poll = { idle = 5s }\n  |                 ^"),
        ),
        (
            "[http]\nlisten = 127.0.0.1:8687\n",
            "texts need quotes",
            Some("2 | listen = 127.0.0.1:8687\n  |               ^"),
        ),
        ("state = \u{201c}x\u{201d}\n", "plain quotes", Some("1 | state = \u{201c}x\u{201d}\n  |         ^")),
        ("state = \"x\n", "no quote at its end", Some("1 | state = \"x\n  |           ^")),
        ("state: \"x\"\n", "joined by `=`", None),
        ("[sources.a]\nwebhook_url = s3cr3t\n", "texts need quotes", None),
        ("[sources.a]\nbot_token = s3cr3t\n", "texts need quotes", None),
        (
            "[log]\nlevel = \"info\"\n\nlevel = \"warn\"\n",
            "duplicate key `level`: line 2 has it",
            Some("4 | level = \"warn\"\n  | ^"),
        ),
        ("[sinks.a]\nurl = \"s3cr3t\"\nurl = \"s3cr3t\"\n", "duplicate key `url`: line 2 has it", None),
        (
            "[sinks.a]\n[sinks.b]\n[sinks.a]\n",
            "duplicate key `a`: line 1 has it",
            Some("3 | [sinks.a]\n  |        ^"),
        ),
    ] {
        let error = load_text(text, &environment(&[])).unwrap_err().to_string();
        let (said, shown) =
            error.split_once('\n').map_or((error.as_str(), None), |(said, shown)| (said, Some(shown)));
        assert!(said.contains(message) && !error.contains(MARK), "{text}\n{error}");
        assert_eq!(shown, excerpt, "{text}");
    }
}

/// Damages a good file at every position in several ways, and checks that the messages do not contain the
/// mark.
#[test]
fn no_damage_to_a_file_makes_a_secret_visible() {
    let text = r#"
[sources.a]
webhook_url = "https://a.example/rest/1/s3cr3t/"
poll = { idle = "5s" }
[sinks.w]
type = "webhook"
url = "https://w.example/s3cr3t?token=s3cr3t"
[sources.b]
kind = "bot"
bot_id = 5
bot_token = "s3cr3t"
webhook_url = "https://a.example/rest/2/s3cr3t/"
[sources.c.oauth]
portal = "https://c.example"
client_id = "local.1"
client_secret = "s3cr3t"
[portals."a.example"]
plan = "enterprise"
"#;
    assert!(load_text(text, &environment(&[])).is_ok());
    for at in 0..text.len() {
        let (before, behind) = text.split_at(at);
        let damaged = [
            before.to_owned(),
            format!("{before}{}", &behind[1..]),
            format!("{before}\"{behind}"),
            format!("{before}\n{behind}"),
            format!("{before}\\{behind}"),
            format!("{before} = {behind}"),
            format!("{before}'{behind}"),
        ];
        for text in damaged {
            if let Err(error) = load_text(&text, &environment(&[])) {
                assert!(!format!("{error} {error:?}").contains(MARK), "{text}\n{error}");
            }
        }
    }
}

const URL: &str = "https://a.example/rest/1/s3cr3t/";

#[track_caller]
fn assert_hidden(line: &str) {
    let text = format!("{}\n{SMALL}", line.replace("URL", URL));
    let error = load_text(&text, &environment(&[])).unwrap_err();
    assert!(!format!("{error} {error:?}").contains(MARK), "{line}\n{error}");
}

#[test]
fn a_secret_in_the_wrong_place_is_not_shown() {
    for line in [
        "sources.b.webhook_url = ['URL']",
        "sources.b.webhook_url = { a = 'URL' }",
        "sources.b.webhook_url = 'URLs3cr3t'",
        "sources.b.webhook_url = 's3cr3t'",
        "sources.b.webhook_url = 'ftp://s3cr3t'",
        "sources.b.webhook_url = \"URL\\nURL\"",
        "sources.b.webhook_url_file = 'URL'",
        "sources.b.webhook_url_file = 'a.example/rest/1/s3cr3t'",
        "sources.b.webhook_urll = 'URL'",
        "sources.b = 'URL'",
        "sources.'URL' = {}",
        "sources.b.'URL' = 1",
        "'URL' = 1",
        "log.level = 'URL'",
        "state = ['URL']",
        "shutdown_grace = 'URL'",
        "delivery.mode = 'a.example/rest/1/s3cr3t/'",
        "sinks.b = { type = 'URL' }",
        "sinks.b = { type = 'file', path = 'x', mode = 'URL' }",
        "sinks.b = { type = 'file', path = 'x', sources = ['URL'] }",
        "sinks.b = { type = 'webhook', url = 's3cr3t' }",
        "sinks.b = { type = 'webhook', url = 'http://w.example/s3cr3t' }",
        "sinks.b = { type = 'webhook', url = 'https://w.example/s3cr3t', timeout = 'URL' }",
        "sinks.b = { type = 'webhook', url_file = 'URL' }",
        "sinks.b = { type = 'webhook', url = 'https://w.example', secrets = 's3cr3t' }",
        "sinks.b = { type = 'webhook', url = 'https://w.example', secrets = ['whsec_s3cr3t', 's3cr3t'] }",
        "sinks.b = { type = 'webhook', url = 'https://w.example', secrets = [['s3cr3t']] }",
        "sinks.b = { type = 'webhook', url = 'https://w.example', secrets = { a = 's3cr3t' } }",
        "sinks.b = { type = 'webhook', url = 'https://w.example', secrets_file = 's3cr3t' }",
        "sinks.b = { type = 'webhook', url = 'https://w.example', secrets_file = 'whsec_s3cr3t' }",
        "sinks.b = { type = 'webhook', url = 'https://w.example', format = 'URL' }",
        "sinks.b = { type = 'stdout', secrets = ['s3cr3t'] }",
        "sources.b.webhook_url = 'URL'",
    ] {
        assert_hidden(line);
    }
}

#[test]
fn a_token_or_a_client_secret_in_the_wrong_place_is_not_shown() {
    for line in [
        "sources.b = { kind = 'URL', bot_token = 's3cr3t', bot_id = 's3cr3t' }",
        "sources.b = { bot_token = 's3cr3t' }",
        "sources.b = { kind = 'bot', bot_token = 's3cr3t' }",
        "sources.b = { kind = 'bot', bot_token = ['s3cr3t'], bot_token_file = 's3cr3t' }",
        "sources.b = { kind = 'bot', bot_token = 's3cr3t s3cr3t' }",
        "sources.b = { kind = 'bot', bot_token = \"s3cr3t\\u0000\" }",
        "sources.b = { kind = 'bot', bot_token_file = '/s3cr3t' }",
        "sources.b = { kind = 'bot', bot_token_file = '/dev/null/s3cr3t' }",
        "sources.b = { kind = 'bot', bot_tokenn = 's3cr3t' }",
        "sources.b = { kind = 'bot', bot_id = 's3cr3t' }",
        "sources.b = { kind = 'bot', bot_token = 's3cr3t', oauth.grant = 's3cr3t' }",
        "sources.b.oauth = 's3cr3t'",
        "sources.b.oauth = ['s3cr3t']",
        "sources.b.oauth.portal = 's3cr3t'",
        "sources.b.oauth.portal = 'URL'",
        "sources.b.oauth.portal = 'https://me:s3cr3t@a.example'",
        "sources.b.oauth.portal = 'https://a.example/?s3cr3t'",
        "sources.b.oauth.server = 'https://a.example/oauth/?client_secret=s3cr3t'",
        "sources.b.oauth.client_id = \"s3cr3t\\ns3cr3t\"",
        "sources.b.oauth.client_id = ['s3cr3t']",
        "sources.b.oauth.client_secret = ['s3cr3t']",
        "sources.b.oauth.client_secret = \"s3cr3t\\ns3cr3t\"",
        "sources.b.oauth.client_secret_file = 's3cr3t'",
        "sources.b.oauth = { client_secret = 's3cr3t', client_secret_file = 's3cr3t' }",
        "sources.b.oauth = { grant = 's3cr3t', client_secret = 's3cr3t', server = 's3cr3t' }",
        "sources.b.oauth = { grant = 's3cr3t s3cr3t' }",
        "sources.b.oauth.code = 's3cr3t'",
        "portals = 'URL'",
        "portals.'URL' = {}",
        "portals.'URL' = 'URL'",
        "portals.'me:s3cr3t@a.example' = {}",
        "portals.'a.example/s3cr3t' = {}",
        "portals.'a.example' = 's3cr3t'",
        "portals.'a.example' = { plan = 'URL', burst = 'URL', rate = 'URL' }",
    ] {
        assert_hidden(line);
    }
}

#[test]
fn a_configuration_shows_none_of_its_secrets() {
    let loaded =
        load_text(with_sink("type = 'webhook'\nurl = 'https://w.example/s3cr3t'"), &environment(&[]));
    assert!(!format!("{:?}", loaded.unwrap()).contains(MARK));
    let sources = "sources.b = { kind = 'bot', bot_id = 5, bot_token = 's3cr3t', webhook_url = 'URL' }\n\
                   sources.c.oauth = { portal = 'https://c.example', client_id = 'x', client_secret = 's3cr3t' }";
    let loaded = load_text(format!("{}\n{SMALL}", sources.replace("URL", URL)), &environment(&[]));
    assert!(!format!("{:?}", loaded.unwrap()).contains(MARK));
}

#[test]
fn a_secret_in_the_environment_is_not_shown() {
    for (name, value) in [
        ("B24RELAY_SOURCES__A__WEBHOOK_URL", "s3cr3t"),
        ("B24RELAY_SOURCES__A__WEBHOOK_URL_FILE", URL),
        ("B24RELAY_SOURCES__A__WEBHOOKURL", URL),
        ("B24RELAY_SOURCES__A", URL),
        ("B24RELAY_SINKS__OUT__URL", URL),
        ("B24RELAY_LOG__LEVEL", URL),
        ("B24RELAY_LOG", URL),
        ("B24RELAY_TOKEN", MARK),
        ("B24RELAY_A[1]", MARK),
        ("B24RELAY_SOURCES__A__BOT_TOKEN", MARK),
        ("B24RELAY_SOURCES__A__BOT_ID", MARK),
        ("B24RELAY_SOURCES__B__BOT_TOKEN_FILE", MARK),
        ("B24RELAY_SOURCES__A__OAUTH", MARK),
        ("B24RELAY_SOURCES__A__OAUTH__CLIENT_SECRET", MARK),
        ("B24RELAY_SOURCES__B__OAUTH__CLIENT_SECRET_FILE", MARK),
        ("B24RELAY_SOURCES__B__OAUTH__GRANT", MARK),
        ("B24RELAY_PORTALS__A__TOKEN", MARK),
    ] {
        let error = load_text(SMALL, &environment(&[(name, value)])).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(MARK), "{name}\n{error}");
    }
    let mut unusable = environment(&[]);
    unusable.add("B24RELAY_SOURCES__A__WEBHOOK_URL", None);
    assert!(errors(SMALL, &unusable)[0].contains("B24RELAY_SOURCES__A__WEBHOOK_URL: must be UTF-8"));
}
