//! G7: a webhook's code, a bot's token, an application's secret and a sink's address never appear in any output,
//! whatever goes wrong.

use std::fs;
use std::path::Path;
use std::process::Output;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{Relay, code, command, finished, output, output_of, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::waiting::until;
use crate::support::receivers::receiver::{Answer, Receiver};

/// The text that no output may contain: the code of the webhook, and a part of the sink's address.
const MARK: &str = "S3CRETc0deM4RK";

/// Also finds encoded forms of the mark.
fn is_in(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let mark = MARK.to_lowercase();
    let backwards: String = mark.chars().rev().collect();
    let half = &mark[..mark.len() - 4];
    [half, &backwards].iter().any(|form| text.contains(*form))
}

fn assert_silent(what: &str, bytes: &[u8]) {
    if is_in(bytes) {
        let text = String::from_utf8_lossy(bytes);
        let lines: Vec<&str> = text.lines().filter(|line| is_in(line.as_bytes())).take(3).collect();
        panic!("{what} shows the secret:\n{}", lines.join("\n"));
    }
}

fn assert_output_silent(what: &str, output: &Output) {
    assert_silent(what, &output.stdout);
    assert_silent(what, &output.stderr);
}

/// Checks all files in the folder except the configuration: logs, output, state, lock.
fn assert_folder_silent(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && path.extension().is_none_or(|extension| extension != "toml") {
            assert_silent(&path.display().to_string(), &fs::read(&path).unwrap());
        }
    }
}

/// A portal whose first user's webhook has the mark as its code.
async fn marked_portal() -> Portal {
    let portal = Portal::start().await;
    portal.post("users/1", json!({"code": MARK})).await;
    assert!(portal.webhook_url(1).contains(MARK));
    portal
}

fn with_source(setup: Setup, url: &str) -> Setup {
    setup.with(&format!(
        "[sources.support]\nwebhook_url = \"{url}\"\n\
         poll = {{ idle = \"20ms\", busy = \"0s\", timeout = \"1s\" }}"
    ))
}

fn with_webhook(setup: Setup, origin: &str) -> Setup {
    setup.with(&format!(
        "[sinks.crm]\ntype = \"webhook\"\nurl = \"{origin}/{MARK}?token={MARK}\"\ntimeout = \"500ms\"\n\
         ordering = \"strict\"\nretry = {{ min = \"10ms\", max = \"100ms\" }}"
    ))
}

/// Every kind of fault, each with the secret in all of its free text.
fn faults(url: &str) -> Vec<Value> {
    let error = |status: u16, code: Value, text: String| json!({"kind": "error", "status": status, "code": code, "description": text});
    let refusals =
        ["NO_SUCH_CODE", "INVALID_CREDENTIALS", "QUERY_LIMIT_EXCEEDED", "expired_token", "ERROR_CORE"];
    let mut faults: Vec<Value> =
        refusals.iter().map(|code| error(401, json!(code), format!("no: {url} <br>({MARK})"))).collect();
    faults.extend([
        error(400, json!(format!("CODE_{MARK}")), String::new()),
        error(400, json!({"code": MARK, "message": url}), url.to_owned()),
        error(400, json!({"code": 7, "message": url}), url.replace('/', "\\/")),
        json!({"kind": "error", "status": 500, "code": [MARK]}),
        json!({"kind": "error", "status": 200, "code": "X", "extra": {"sessid": MARK}}),
        json!({"kind": "raw", "status": 200, "body": format!("{{\"result\": {url}")}),
        json!({"kind": "raw", "status": 200, "body": format!("{{\"result\": \"{MARK}\"}}")}),
        json!({"kind": "raw", "status": 200, "body": format!("{{\"{MARK}\": 1}}")}),
        json!({"kind": "raw", "status": 200, "body": format!("\"{MARK}\"")}),
        json!({"kind": "raw", "status": 404, "content_type": "text/html", "body": format!("<p>{url}</p>")}),
        json!({"kind": "html", "status": 502}),
        json!({"kind": "empty", "status": 200}),
        json!({"kind": "close_before"}),
        json!({"kind": "close_after"}),
        json!({"kind": "truncate", "at": 0.5}),
        json!({"kind": "wrong_length"}),
        json!({"kind": "gzip_cut"}),
        json!({"kind": "stall", "seconds": 3}),
        json!({"kind": "drip", "bytes_per_second": 1}),
        json!({"kind": "shuffle"}),
        json!({"kind": "duplicate"}),
        json!({"kind": "empty", "status": 503, "headers": {"Retry-After": MARK, "Set-Cookie": MARK}}),
    ]);
    for location in
        [url, "/rest/1/S3CRETc0deM4RK/", "//S3CRETc0deM4RK/", "https://[S3CRETc0deM4RK", "S3CRETc0deM4RK"]
    {
        faults.push(json!({"kind": "redirect", "status": 302, "location": location}));
    }
    for pointer in [
        "/result",
        "/result/events",
        "/result/events/0",
        "/result/events/0/eventId",
        "/result/hasMore",
        "/time",
    ] {
        faults.push(json!({"kind": "rewrite", "pointer": pointer, "value": MARK}));
        faults.push(json!({"kind": "rewrite", "pointer": pointer, "value": {MARK: MARK}}));
    }
    faults
}

async fn no_fault_of_the_portal_shows_it(format: &str) {
    let portal = marked_portal().await;
    let setup = with_source(Setup::new().with_unlimited(&portal), &portal.webhook_url(1)).with_file();
    portal.record(1, 5).await;
    let mut relay = Relay::start(setup.folder(), &["--log-level", "trace", "--log-format", format]);
    // If it were refused before its first success, it would exit.
    until("the relay is let in", async || portal.polls().await > 0).await;
    let faults = faults(&portal.webhook_url(1));
    let kinds = faults.len();
    portal.post("faults", json!(faults)).await;
    // SIGHUP shortens the pauses of the source.
    until("all faults have been met", async || {
        relay.signal(Signal::HUP);
        portal.record(1, 1).await;
        portal.post("faults", json!([])).await["faults_left"] == 0
    })
    .await;
    let ids = portal.ids(1).await;
    until("all events are filed", async || {
        relay.signal(Signal::HUP);
        setup.filed_so_far().last() == ids.last()
    })
    .await;
    let refused =
        relay.log().matches("poll failed").count() + relay.log().matches("refuses this source").count();
    assert!(refused >= kinds / 2, "{refused} refusals of {kinds} faults");
    assert_status_silent(&setup).await;
    assert_folder_silent(setup.folder());
    assert_silent("cmdline", &fs::read(format!("/proc/{}/cmdline", relay.id())).unwrap());
    assert_eq!(relay.stop().await, 0);
    assert_folder_silent(setup.folder());
}

#[tokio::test]
async fn no_fault_of_the_portal_shows_it_in_a_text_log() {
    no_fault_of_the_portal_shows_it("text").await;
}

#[tokio::test]
async fn no_fault_of_the_portal_shows_it_in_a_json_log() {
    no_fault_of_the_portal_shows_it("json").await;
}

async fn assert_status_silent(setup: &Setup) {
    for args in [["status"].as_slice(), &["status", "--json"], &["check", "--no-network"]] {
        let output = finished(args, setup.folder()).await;
        // `status` uses 69 when no daemon runs.
        assert!(matches!(code(&output), 0 | 69), "{args:?}: {}", stderr(&output));
        assert_output_silent(&format!("{args:?}"), &output);
    }
}

#[tokio::test]
async fn no_command_shows_it_when_the_portal_refuses() {
    let portal = marked_portal().await;
    let setup = with_source(Setup::new().with_unlimited(&portal), &portal.webhook_url(1)).with_file();
    for fault in faults(&portal.webhook_url(1)) {
        portal.post("faults", fault.clone()).await;
        let subscribed = finished(&["subscribe", "support", "--log-level", "trace"], setup.folder()).await;
        assert_output_silent(&fault.to_string(), &subscribed);
        portal.control(reqwest::Method::DELETE, "faults", Value::Null).await;
    }
    let unsubscribed = finished(&["unsubscribe", "support", "--log-level", "trace"], setup.folder()).await;
    assert_eq!(code(&unsubscribed), 0, "{}", stderr(&unsubscribed));
    assert_output_silent("unsubscribe", &unsubscribed);
    let unknown = finished(&["subscribe", "unknown"], setup.folder()).await;
    assert_output_silent("an unknown source", &unknown);
}

#[tokio::test]
async fn no_portal_that_is_out_of_reach_shows_it() {
    // A closed port, an unknown name, and a server without TLS.
    let portal = marked_portal().await;
    let address = portal.sandbox.address();
    for origin in ["http://127.0.0.1:1", "https://no-such-host.invalid", &format!("https://{address}")] {
        let url = format!("{origin}/rest/1/{MARK}/");
        let setup = Setup::new().with(&format!("[sources.support]\nwebhook_url = \"{url}\"")).with_file();
        let subscribed = finished(&["subscribe", "support", "--log-level", "trace"], setup.folder()).await;
        assert_eq!(code(&subscribed), 69, "{}", stderr(&subscribed));
        assert_output_silent(origin, &subscribed);
        let mut relay = Relay::start(setup.folder(), &["--log-level", "trace"]);
        relay.until_logged("poll failed").await;
        assert_status_silent(&setup).await;
        assert_eq!(relay.stop().await, 0, "{}", relay.log());
        assert_folder_silent(setup.folder());
    }
}

#[tokio::test]
async fn no_answer_of_a_receiver_shows_its_address() {
    const LOCATION: &str = "http://127.0.0.1:1/S3CRETc0deM4RK?token=S3CRETc0deM4RK";
    let (portal, receiver) = (marked_portal().await, Receiver::start().await);
    let setup = with_source(Setup::new().with_unlimited(&portal), &portal.webhook_url(1));
    let setup = with_webhook(setup, &format!("http://{}", receiver.address)).with_stdout();
    receiver.script([
        Answer::Status(401),
        Answer::StatusWith(302, "location", LOCATION),
        Answer::StatusWith(308, "location", "/S3CRETc0deM4RK"),
        Answer::Status(500),
        Answer::Status(404),
        Answer::StatusWith(429, "retry-after", "S3CRETc0deM4RK"),
        Answer::Hang,
        Answer::Hold,
    ]);
    portal.record(1, 3).await;
    for format in ["text", "json"] {
        let mut relay = Relay::start(setup.folder(), &["--log-level", "trace", "--log-format", format]);
        until("an attempt has failed", async || receiver.count() > 0).await;
        assert_status_silent(&setup).await;
        assert_silent("cmdline", &fs::read(format!("/proc/{}/cmdline", relay.id())).unwrap());
        until("the script is over", async || receiver.count() > 7).await;
        receiver.release();
        until("all are accepted", async || receiver.accepted_ids().len() >= 3).await;
        assert_eq!(relay.stop().await, 0, "{}", relay.log());
        assert!(relay.log().contains("302") && relay.log().contains("sink is held"), "{}", relay.log());
    }
    assert_folder_silent(setup.folder());
}

#[tokio::test]
async fn no_receiver_that_is_out_of_reach_shows_its_address() {
    let portal = marked_portal().await;
    portal.record(1, 3).await;
    let address = portal.sandbox.address();
    for origin in ["http://127.0.0.1:1", "https://no-such-host.invalid", &format!("https://{address}")] {
        let setup =
            with_webhook(with_source(Setup::new().with_unlimited(&portal), &portal.webhook_url(1)), origin);
        let mut relay = Relay::start(setup.folder(), &["--log-level", "trace"]);
        relay.until_logged("attempt failed").await;
        assert_status_silent(&setup).await;
        assert_eq!(relay.stop().await, 0, "{}", relay.log());
        let once = finished(&["run", "--once"], setup.folder()).await;
        assert_eq!(code(&once), 75, "{}", stderr(&once));
        assert_output_silent(origin, &once);
        assert_folder_silent(setup.folder());
    }
}

/// Configurations with a mistake in the line with the secret, beside it, or because of it.
fn wrong_configurations() -> Vec<String> {
    let url = format!("https://a.example/rest/1/{MARK}/");
    let source = format!("[sources.support]\nwebhook_url = \"{url}\"\n");
    let sink = "[sinks.out]\ntype = \"stdout\"\n";
    let whole = format!("{source}{sink}");
    let mut wrong: Vec<String> = [
        format!("webhook_url = \"{url}"),
        format!("webhook_url = {url}"),
        format!("webhook_url = \"{url}\" {MARK}"),
        format!("webhook_url = '''{url}"),
        format!("webhook_url = \"{url}\\q\""),
        format!("webhook_url = [\"{url}\"]"),
        format!("webhook_url = {{ url = \"{url}\" }}"),
        format!("webhook_url_file = \"{url}\""),
        format!("webhook_url_file = \"a.example/rest/1/{MARK}\""),
        format!("webhook_url = \"http://a.example/rest/1/{MARK}/\""),
        format!("webhook_url = \"https://a.example/rest/1/{MARK}/profile/extra\""),
        format!("webhook_url = \"https://a.example/{MARK}\""),
        format!("webhook_url = \"https://me:{MARK}@a.example/rest/1/{MARK}/\""),
        format!("webhook_url = \"https://a.example/rest/{MARK}/{MARK}/\""),
        format!("webhook_url = \"https://a.example/rest/1/{MARK}/?{MARK}\""),
        format!("webhook_url = \"{url} x\""),
        format!("webhook_url = \"a.example/rest/1/{MARK}/\""),
        format!("webhook_ulr = \"{url}\""),
        format!("\"{url}\" = 1"),
        format!("webhook_url = \"{url}\"\nwebhook_url = \"{url}\""),
        format!("webhook_url = \"{url}\"\nwebhook_url_file = \"{url}\""),
        format!("webhook_url = \"{url}\"\npoll = \"{url}\""),
        format!(
            "webhook_url = \"{url}\"\npoll.idle = \"{url}\"\npoll.limit = \"{url}\"\nallow_http = \"{url}\""
        ),
    ]
    .iter()
    .map(|line| format!("[sources.support]\n{line}\n{sink}"))
    .collect();
    wrong.extend([
        format!("{whole}[sources.again]\nwebhook_url = \"{url}\"\n"),
        format!("{whole}log = 1\n"),
        format!("{whole}[log]\nlevel = \"{url}\"\nformat = \"{url}\"\n"),
        format!("{whole}[delivery]\nmode = \"{url}\"\n"),
        format!("\"{url}\" = 1\n{whole}"),
        format!("sources = \"{url}\"\n{sink}"),
        format!("[sources]\nsupport = \"{url}\"\n{sink}"),
        format!("[sources.\"{url}\"]\n{sink}"),
        format!("{source}[sinks.crm]\ntype = \"{url}\"\n"),
        format!("{source}[sinks.crm]\ntype = \"webhook\"\nurl = \"http://crm.example/{MARK}\"\n"),
        format!("{source}[sinks.crm]\ntype = \"webhook\"\nurl = \"crm.example/{MARK}\"\n"),
        format!("{source}[sinks.crm]\ntype = \"webhook\"\nurl_file = \"https://crm.example/{MARK}\"\n"),
        format!("{source}[sinks.crm]\ntype = \"file\"\nurl = \"https://crm.example/{MARK}\"\n"),
        format!("{source}[sinks.crm]\ntype = \"webhook\"\nurl = \"https://crm.example/{MARK}\"\ntimeout = \"{url}\"\n"),
        format!("{whole}sources = [\"{url}\"]\nevents = [1, \"{url}\"]\nformat = \"{url}\"\n"),
    ]);
    wrong.extend(wrong_bots_and_logins().iter().map(|keys| format!("{whole}{keys}\n")));
    wrong
}

/// The token of a bot and the secret of an application, each in its place and in a wrong place.
fn wrong_bots_and_logins() -> Vec<String> {
    let url = format!("https://b.example/rest/1/{MARK}/");
    let bot = format!("[sources.bot]\nkind = \"bot\"\nwebhook_url = \"{url}\"\n");
    let login = "[sources.login.oauth]\nportal = \"https://b.example\"\nclient_id = \"local.1\"\n";
    vec![
        format!("{bot}bot_token = \"{MARK}\""),
        format!("{bot}bot_id = \"{MARK}\"\nbot_token = 5"),
        format!("{bot}bot_id = 5\nbot_token = \"{MARK}"),
        format!("{bot}bot_id = 5\nbot_token = {MARK}"),
        format!("{bot}bot_id = 5\nbot_token = [\"{MARK}\"]"),
        format!("{bot}bot_id = 5\nbot_token = \"{MARK} {MARK}\""),
        format!("{bot}bot_id = 5\nbot_token_file = \"{MARK}\""),
        format!("{bot}bot_id = 5\nbot_token = \"x\"\nbot_token_file = \"./{MARK}/{MARK}\""),
        format!("{bot}bot_id = 5\nbot_tokn = \"{MARK}\""),
        format!("[sources.bot]\nbot_token = \"{MARK}\"\nwebhook_url = \"{url}\""),
        format!(
            "[sources.bot]\nkind = \"bot\"\nbot_id = 1\nbot_token = \"{MARK}\"\noauth.grant = \"{MARK}\""
        ),
        format!("{login}client_secret_file = \"{MARK}\""),
        format!("{login}client_secret = [\"{MARK}\"]"),
        format!("{login}client_secret = \"{MARK}\\n{MARK}\""),
        format!("{login}client_secret = \"{MARK}\"\nclient_secret_file = \"{MARK}\""),
        format!("{login}client_secret = \"{MARK}\"\ngrant = \"{MARK}\""),
        format!("{login}client_secret = \"{MARK}\"\nserver = \"https://b.example/?client_secret={MARK}\""),
        format!("{login}client_secret = \"{MARK}\"\nrefresh_token = \"{MARK}\""),
        format!(
            "[sources.login.oauth]\nportal = \"{url}\"\nclient_id = [\"{MARK}\"]\nclient_secret = \"{MARK}\""
        ),
        format!("[sources.login]\noauth = \"{MARK}\""),
        format!("[portals]\n\"{url}\" = \"{MARK}\""),
        format!("[portals.\"me:{MARK}@a.example\"]"),
        format!("[portals.\"a.example\"]\nplan = \"{url}\"\nrate = \"{url}\""),
    ]
}

#[test]
fn no_complaint_about_the_configuration_shows_it() {
    for text in wrong_configurations() {
        let setup = Setup::new().with(&text);
        for args in [
            ["check", "--no-network"].as_slice(),
            &["run", "--log-level", "trace"],
            &["subscribe", "support"],
        ] {
            let refused = output(args, setup.folder());
            assert_eq!(code(&refused), 78, "{args:?} of:\n{text}\n{}{}", stdout(&refused), stderr(&refused));
            assert_output_silent(&format!("{args:?} of:\n{text}"), &refused);
        }
        assert!(stderr(&output(&["run"], setup.folder())).contains("b24relay.toml"));
        // `status` reads only the state, and `healthcheck` reports the mistakes.
        for args in [["status"], ["healthcheck"]] {
            assert_output_silent(&format!("{args:?} of:\n{text}"), &output(&args, setup.folder()));
        }
    }
}

#[test]
fn no_complaint_about_a_variable_or_a_secret_file_shows_it() {
    let setup = Setup::new().with("[sinks.out]\ntype = \"stdout\"");
    fs::write(setup.path("support.toml"), format!("https://a.example/rest/1/{MARK}/ {MARK}\nx")).unwrap();
    let url = format!("https://a.example/rest/1/{MARK}/");
    for (variable, value) in [
        ("B24RELAY_SOURCES__SUPPORT__WEBHOOK_URL", format!("{url}profile/extra")),
        ("B24RELAY_SOURCES__SUPPORT__WEBHOOK_URL", MARK.to_owned()),
        ("B24RELAY_SOURCES__SUPPORT__WEBHOOK_URL_FILE", url.clone()),
        ("B24RELAY_SOURCES__SUPPORT__WEBHOOK_URL_FILE", "support.toml".to_owned()),
        ("B24RELAY_SOURCES__SUPPORT__WEBHOOK_ULR", url.clone()),
        ("B24RELAY_SOURCES__SUPPORT__POLL__IDLE", url.clone()),
        ("B24RELAY_SOURCES__SUPPORT", url.clone()),
        ("B24RELAY_SOURCES", url.clone()),
        ("B24RELAY_LOG__LEVEL", url.clone()),
        ("B24RELAY_STATE__X", url.clone()),
        ("B24RELAY_SINKS__OUT__TYPE", url),
        ("B24RELAY_SOURCES__SUPPORT__BOT_TOKEN", MARK.to_owned()),
        ("B24RELAY_SOURCES__SUPPORT__OAUTH", MARK.to_owned()),
        ("B24RELAY_SOURCES__SUPPORT__OAUTH__CLIENT_SECRET", MARK.to_owned()),
        ("B24RELAY_SOURCES__SUPPORT__OAUTH__CLIENT_SECRET_FILE", MARK.to_owned()),
    ] {
        let mut check = command();
        check.args(["check", "--no-network"]).env(variable, &value).current_dir(setup.folder());
        let refused = output_of(check);
        assert_eq!(code(&refused), 78, "{variable}={value}: {}", stderr(&refused));
        assert_output_silent(&format!("{variable}={value}"), &refused);
    }
}

#[test]
fn the_search_itself_can_fail() {
    assert!(is_in(format!("see https://a.example/rest/1/{MARK}/").as_bytes()));
    assert!(is_in(MARK.to_lowercase().as_bytes()) && !is_in(b"see https://a.example/rest/1/***/"));
}
