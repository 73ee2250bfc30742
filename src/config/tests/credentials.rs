//! Rules for a source's kind and credential: webhooks, logins, shared logins, bots.

use super::{assert_refused, config_of};
use crate::config::{AccessConfig, OAuthConfig, QueueKind};

const SINK: &str = "[sinks.out]\ntype = 'stdout'";
const LOGIN: &str = "portal = 'https://a.example'\nclient_id = 'local.1'\nclient_secret = 's3cr3t'";

fn source(keys: &str) -> String {
    format!("[sources.a]\n{keys}\n{SINK}")
}

fn login(keys: &str) -> String {
    format!("[sources.a.oauth]\n{keys}\n{SINK}")
}

/// `a` has its own login, and `b` uses it.
fn grant(keys_of_b: &str) -> String {
    format!("[sources.a.oauth]\n{LOGIN}\n[sources.b]\n{keys_of_b}\n{SINK}")
}

fn oauth_of(access: &AccessConfig) -> &OAuthConfig {
    let AccessConfig::OAuth(oauth) = access else { panic!("no login: {access:?}") };
    oauth
}

#[test]
fn exactly_one_credential_is_given() {
    assert_refused(
        &source(""),
        &[
            "sources.a.webhook_url: is missing: set it, or put it into a file and set `webhook_url_file` to that \
           file's path, or log in as an application with an `oauth` table",
        ],
    );
    let expected = "sources.a.oauth: must not be given together with `webhook_url`: keep one of the two";
    let both = format!("webhook_url = 'https://a.example/rest/1/x/'\n[sources.a.oauth]\n{LOGIN}");
    assert_refused(&source(&both), &[expected]);
    let both = "webhook_url_file = '/absent'\noauth.grant = 'b'";
    assert_refused(&source(both), &["sources.a.webhook_url_file: there is no file `/absent`", expected]);
}

#[test]
fn a_login_is_complete_and_its_portal_is_an_address_without_a_path() {
    let config = config_of(&login(&format!("{LOGIN}\nserver = 'https://oauth.example/'")));
    let oauth = oauth_of(&config.sources[0].access);
    assert_eq!((oauth.grant.as_str(), oauth.client_id.as_str()), ("a", "local.1"));
    assert_eq!(oauth.portal.expose().as_str(), "https://a.example/");
    assert_eq!(oauth.client_secret.expose(), "s3cr3t");
    assert_eq!(oauth.server.as_ref().unwrap().expose().as_str(), "https://oauth.example/");
    assert!(oauth_of(&config_of(&login(LOGIN)).sources[0].access).server.is_none());

    assert_refused(
        &login(""),
        &[
            "sources.a.oauth.portal: is missing: set it to the portal's address, `https://HOST`",
            "sources.a.oauth.client_id: is missing",
            "sources.a.oauth.client_secret: is missing: set it, or put it into a file and set `client_secret_file`",
        ],
    );
    assert_refused(
        &login(&format!("{LOGIN}\nclient_secret_file = '/absent'\nscope = 1")),
        &[
            "client_secret_file: must not be given together with `client_secret`",
            "client_secret_file: there is no such file",
            "sources.a.oauth.scope: unknown key, valid here:",
        ],
    );
    assert_refused(&source("oauth = 5"), &["sources.a.oauth: must be a table, not a number (line 2)"]);
}

#[test]
fn the_addresses_of_a_login_are_refused_with_the_way_out() {
    for (portal, expected) in [
        ("a.example", "must start with https://, as in https://HOST (line 2)"),
        ("localhost:8080", "must start with https://, as in https://HOST"),
        ("https://a.example/rest/", "must be https://HOST alone, without a path or a `?` part"),
        ("https://a.example?x=1", "must be https://HOST alone, without a path"),
        ("https://me@a.example", "must not hold a user name or password"),
        ("https://a.example /", "has white space U+0020 as character 18"),
        ("", "must not be empty"),
        (
            "http://a.example",
            "must be https: plain http shows the secret and the events to everyone on the way to `a.example`",
        ),
    ] {
        let own = "client_id = 'local.1'\nclient_secret = 's3cr3t'";
        let text = login(&format!("portal = '{portal}'\n{own}"));
        assert_refused(&text, &[&format!("sources.a.oauth.portal: {expected}")]);
        let text = login(&format!("{LOGIN}\nserver = '{portal}'"));
        assert_refused(
            &text,
            &[&format!("sources.a.oauth.server: {}", expected.replace("line 2", "line 5"))],
        );
    }
}

#[test]
fn plain_http_to_a_login_is_for_this_machine_or_by_permission_of_its_source() {
    let text = |host: &str, allow: &str| {
        format!(
            "[sources.a]\n{allow}\noauth = {{ portal = 'http://{host}', server = 'http://{host}', \
             client_id = 'x', client_secret = 'y' }}\n{SINK}"
        )
    };
    assert_refused(&text("127.0.0.1:8080", ""), &[]);
    assert_refused(&text("a.example", "allow_http = true"), &[]);
    assert_refused(
        &text("a.example", "allow_http = false"),
        &["sources.a.oauth.portal: must be https", "sources.a.oauth.server: must be https"],
    );
}

#[test]
fn a_client_id_is_one_word() {
    for (id, expected) in [
        ("''", "must not be empty"),
        ("'local 1'", "has white space U+0020 as character 6"),
        ("\"local\\n.1\"", "has white space U+000A as character 6"),
        ("5", "must be a text in quotes, not a number"),
    ] {
        let text = format!("portal = 'https://a.example'\nclient_id = {id}\nclient_secret = 'x'");
        assert_refused(&login(&text), &[&format!("sources.a.oauth.client_id: {expected}")]);
    }
}

#[test]
fn a_source_uses_the_login_of_another_whole() {
    let config = config_of(&grant("kind = 'bot'\nbot_id = 5\noauth.grant = 'a'"));
    let [a, b] = &config.sources[..] else { panic!("not two sources") };
    assert_eq!(format!("{:?}", a.access), format!("{:?}", b.access));
    assert_eq!(oauth_of(&b.access).grant, "a");
    assert_eq!(b.identity().unwrap(), "a.example/bot/5");
    let text =
        grant("oauth = { grant = 'a', portal = 'https://a.example', client_secret_file = 'x', z = 1 }");
    let expected = "does not go with `grant`, which takes all of the login from another source";
    assert_refused(
        &text,
        &[
            &format!("sources.b.oauth.portal: {expected}"),
            &format!("sources.b.oauth.client_secret_file: {expected}"),
            "sources.b.oauth.z: unknown key, valid here: `grant`",
            "sources.b.oauth.grant: reads the same queue",
        ],
    );
}

#[test]
fn a_grant_names_a_source_with_a_login_of_its_own() {
    let bot = "kind = 'bot'\nbot_id = 5\noauth.grant";
    assert_refused(
        &grant(&format!("{bot} = 'z'")),
        &[
            "sources.b.oauth.grant: there is no source of that name: name one with a login of its own: `a` (line 8)",
        ],
    );
    assert_refused(
        &grant(&format!("{bot} = 'b'")),
        &[
            "sources.b.oauth.grant: `sources.b` has no login of its own: name one with a login of its own: `a`",
        ],
    );
    assert_refused(
        &grant(&format!("{bot} = 'c'\n[sources.c]\nkind = 'bot'\nbot_id = 6\noauth.grant = 'a'")),
        &[
            "sources.b.oauth.grant: `sources.c` has no login of its own: name one with a login of its own: `a`",
        ],
    );
    assert_refused(
        &source(&format!("webhook_url = 'https://a.example/rest/1/x'\n[sources.b]\n{bot} = 'a'")),
        &[
            "sources.b.oauth.grant: `sources.a` has a webhook and no login: set `portal`, `client_id` and `client_secret` here instead",
        ],
    );
    assert_refused(&grant(&format!("{bot} = ''")), &["sources.b.oauth.grant: must not be empty"]);
    // Errors in the login are reported for the source that owns it.
    let text = format!("[sources.a.oauth]\n{LOGIN}\n[sources.b]\n{bot} = 'a'\n{SINK}");
    assert_refused(
        &text.replace("https://a.example", "a.example"),
        &["sources.a.oauth.portal: must start with https://"],
    );
}

#[test]
fn the_portal_of_another_sources_login_sets_the_shortest_pause() {
    let bot = "kind = 'bot'\nbot_id = 5\noauth.grant = 'a'\npoll = { idle = '999ms' }";
    assert_refused(
        &grant(bot),
        &["sources.b.poll.idle: must be at least 1s, not 999ms: the portal is not on this machine (line 9)"],
    );
    assert_refused(&grant(bot).replace("https://a.example", "http://127.0.0.1:8080"), &[]);
    let own = |portal: &str| {
        grant("")
            .replace("[sources.b]", "[sources.a.poll]\nidle = '999ms'")
            .replace("https://a.example", portal)
    };
    assert_refused(&own("https://a.example"), &["sources.a.poll.idle: must be 1s to 5m, not `999ms`"]);
    assert_refused(&own("http://127.0.0.1:8080"), &[]);
}

#[test]
fn a_bot_has_an_id_and_behind_a_webhook_a_token() {
    let webhook = "webhook_url = 'https://a.example/rest/1/x'";
    let bot = |keys: &str| source(&format!("kind = 'bot'\n{webhook}\n{keys}"));
    let config =
        config_of(&bot("bot_id = 9223372036854775807\nbot_token = 's3cr3t'\nwith_user_events = true"));
    let QueueKind::Bot(read) = &config.sources[0].kind else { panic!("no bot") };
    assert_eq!((read.id, read.with_user_events), (i64::MAX as u64, true));
    assert_eq!(read.token.as_ref().unwrap().expose(), "s3cr3t");
    assert_eq!(config.sources[0].identity().unwrap(), "a.example/bot/9223372036854775807");

    assert_refused(
        &bot(""),
        &[
            "sources.a.bot_id: is missing: set it to the bot's id",
            "sources.a.bot_token: is missing: set it, or put it into a file and set `bot_token_file`",
        ],
    );
    for (id, shown) in [
        ("0", "`0`"),
        ("-5", "`-5`"),
        ("9223372036854775808", "a number"),
        ("99999999999999999999999999999999999999999999", "a number"),
        ("1.0", "`1`"),
        ("''", "a text"),
        ("'12a'", "a text"),
        ("true", "`true`"),
    ] {
        let expected =
            format!("sources.a.bot_id: must be a whole number from 1 to 9223372036854775807, not {shown}");
        assert_refused(&bot(&format!("bot_id = {id}\nbot_token = 'x'")), &[&expected]);
    }
    assert_refused(
        &bot("bot_id = '5'\nbot_token = 'x y'\nwith_user_events = 'N'"),
        &[
            "sources.a.bot_token: has white space U+0020 as character 2",
            "with_user_events: must be `true` or `false`, not `N`",
        ],
    );
}

#[test]
fn a_bot_of_a_login_has_no_token() {
    for oauth in [format!("[sources.a.oauth]\n{LOGIN}"), "oauth.grant = 'b'".to_owned()] {
        let text = source(&format!("kind = 'bot'\nbot_id = 1\nbot_token = 'x'\n{oauth}"));
        let text = format!("{text}\n[sources.b]\nkind = 'bot'\nbot_id = 2\n[sources.b.oauth]\n{LOGIN}");
        assert_refused(
            &text,
            &[
                "sources.a.bot_token: is of no use with `oauth`: there the portal knows a bot by the application",
            ],
        );
        assert_refused(&text.replace("bot_token = 'x'", ""), &[]);
    }
}

#[test]
fn the_keys_of_a_bot_are_for_bots() {
    let keys = "webhook_url = 'https://a.example/rest/1/x'\nbot_id = 'x'\nbot_token = 5\nbot_token_file = 'z'\nwith_user_events = 1";
    let expected = ["bot_id", "bot_token", "bot_token_file", "with_user_events"].map(|key| {
        format!(
            "sources.a.{key}: belongs to a source of kind `bot`, and this one is `user`: remove it, \
             or set `kind = \"bot\"`"
        )
    });
    for kind in ["", "kind = 'user'"] {
        assert_refused(&source(&format!("{kind}\n{keys}")), &expected.each_ref().map(String::as_str));
    }
    assert_refused(
        &source(&format!("kind = 'robot'\n{keys}")),
        &["sources.a.kind: must be `user` or `bot`, not `robot` (line 2)"],
    );
    assert!(matches!(
        config_of(&source("kind = 'user'\nwebhook_url = 'https://a.example/rest/1/x'")).sources[0].kind,
        QueueKind::User
    ));
}
