//! Text from portals, receivers, chats and files that would move a cursor, forge a line, reverse text, hide or flood.
//! It is harmless in every output for people, and unchanged in JSON for programs.

use std::process::Output;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as STANDARD;
use serde_json::{Value, json};

use crate::support::portal::sandbox::Portal;
use crate::support::portal::token_server::TokenServer;
use crate::support::process::relay::{code, finished, output, stderr, stdout};
use crate::support::process::setup::Setup;
use crate::support::process::shown::{LISTEN, Shown};
use crate::support::process::terminal::Terminal;
use crate::support::process::waiting::until;
use crate::support::receivers::misbehaving_receiver::{End, MisbehavingReceiver, Misdeed};
use crate::support::receivers::proxy::Proxy;
use crate::support::receivers::receiver::{Answer, Receiver};

/// A harmless part of the text that every output shows.
const MARK: &str = "EVILMARK";

/// Clears the screen, sets the title, forges a line, overwrites a line, reverses text, hides.
const HOSTILE: &str = "EVILMARK\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{8}\u{202e}r\u{2066}i\u{200b}\u{200d}\u{feff}\u{ad}\
                       \u{e0041}\u{fe0f}\u{2028}\u{2029}\u{85}\u{7f}\rover\r\nFORGED line\n\tFORGED";

/// No line is longer than a few sentences.
const LINE_MAX: usize = 3000;

fn hostile() -> String {
    format!("{HOSTILE}{}", "LONG".repeat(5000))
}

fn is_wild(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

/// Asserts that `text` contains no control sequences, no invisible characters and no forged lines.
#[track_caller]
fn assert_tame(what: &str, text: &str) {
    for line in text.lines() {
        assert!(!line.contains(is_wild), "{what}: {line:?}");
        assert!(!line.trim_start().starts_with("FORGED"), "{what}: {text:?}");
    }
}

#[track_caller]
fn assert_tame_and_short(what: &str, text: &str) {
    assert_tame(what, text);
    let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    assert!(longest <= LINE_MAX, "{what}: a line of {longest} characters");
}

#[track_caller]
fn assert_output_tame(what: &str, output: &Output) {
    assert_tame_and_short(what, &stdout(output));
    assert_tame_and_short(what, &stderr(output));
    assert!(
        format!("{}{}", stdout(output), stderr(output)).contains(MARK),
        "{what} shows nothing of it: {output:?}"
    );
}

/// The output of a command on a terminal, without our own colours.
async fn on_terminal(setup: &Setup, args: &[&str]) -> String {
    let terminal = Terminal::open(50, 200);
    let mut command = terminal.start(args, &[], setup.folder());
    assert_eq!(command.exit_code().await, 0, "{args:?}: {}", command.log());
    let written = terminal.ended();
    ["31", "32", "33", "0"].iter().fold(written, |text, code| text.replace(&format!("\u{1b}[{code}m"), ""))
}

/// A portal with one hostile event.
async fn hostile_chat() -> (Portal, Setup) {
    let portal = Portal::start().await;
    let words = hostile();
    portal
        .record_as(json!({"user": 1, "count": 1, "data": {
            "message": {"text": words}, "chat": {"name": words, "dialogId": words}, "user": {"name": words}}}))
        .await;
    let setup = Setup::new().with_source(&portal);
    (portal, setup)
}

/// The same with a hostile type and date, for the next `times` polls.
async fn rewritten(portal: &Portal, times: u64) {
    let edits = json!([
        {"pointer": "/result/events/0/type", "value": hostile()},
        {"pointer": "/result/events/0/date", "value": format!("2026-08-20T{HOSTILE}")},
    ]);
    portal.fault(json!({"kind": "rewrite", "edits": edits, "times": times})).await;
}

#[tokio::test]
async fn a_chat_is_tame_in_text_and_on_a_terminal_and_byte_for_byte_elsewhere() {
    let (portal, setup) = hostile_chat().await;
    let setup = setup.with_stdout();
    let tap = ["tap", "support", "--once", "--format"];
    for format in ["text", "json"] {
        rewritten(&portal, 2).await;
        let piped = finished(&[&tap[..], &[format]].concat(), setup.folder()).await;
        let terminal = on_terminal(&setup, &[&tap[..], &[format]].concat()).await;
        assert_tame(&format!("tap on a terminal as {format}"), &terminal);
        if format == "text" {
            assert_output_tame("tap as text", &piped);
            continue;
        }
        let data = serde_json::to_string(&hostile()).unwrap();
        assert!(stdout(&piped).contains(&data), "the data is as the portal sent it");
        assert_eq!(stdout(&piped).lines().count(), 1);
        let [piped, terminal] =
            [&stdout(&piped), &terminal].map(|line| serde_json::from_str::<Value>(line).unwrap());
        assert_eq!(piped, terminal, "a terminal is shown the same value");
        assert_eq!(piped["type"], hostile());
    }
    rewritten(&portal, 1).await;
    let run = on_terminal(&setup, &["run", "--once"]).await;
    assert_tame("the stdout sink on a terminal", &run);
    let line: Value = serde_json::from_str(&run).unwrap();
    assert_eq!(line["data"]["message"]["text"], hostile());
}

#[tokio::test]
async fn a_dead_letter_is_tame_wherever_it_is_shown() {
    let (portal, setup) = hostile_chat().await;
    let receiver = Receiver::start().await;
    let setup = setup.with_receiver(&receiver);
    receiver.script(std::iter::repeat_n(Answer::Body(422, hostile()), 3));
    rewritten(&portal, 1).await;
    let run = finished(&["run", "--once"], setup.folder()).await;
    assert_tame_and_short("the log", &stderr(&run));
    for args in [
        &["dead-letters", "list"][..],
        &["dead-letters", "show", "1"],
        &["dead-letters", "discard", "1", "--dry-run"],
    ] {
        let shown = finished(args, setup.folder()).await;
        assert_tame(&args.join(" "), &stdout(&shown));
        assert!(stdout(&shown).contains(MARK), "{args:?}: {}", stdout(&shown));
        assert_tame(&args.join(" "), &on_terminal(&setup, args).await);
    }
    for args in [
        &["dead-letters", "list", "--json"][..],
        &["dead-letters", "show", "1", "--json"],
        &["dead-letters", "show", "1", "--raw"],
    ] {
        let piped = stdout(&finished(args, setup.folder()).await);
        let terminal = on_terminal(&setup, args).await;
        assert_tame(&args.join(" "), &terminal);
        let [piped, terminal] = [&piped, &terminal].map(|text| serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(piped, terminal, "{args:?}");
    }
    let raw = stdout(&finished(&["dead-letters", "show", "1", "--raw"], setup.folder()).await);
    assert!(raw.contains(&serde_json::to_string(&hostile()).unwrap()), "byte for byte");
}

#[tokio::test]
async fn a_portals_refusal_is_tame_in_the_log_and_in_every_view() {
    for format in ["text", "json"] {
        let portal = Portal::start().await;
        let setup = Setup::new()
            .with(&format!("log.format = \"{format}\""))
            .with_source(&portal)
            .with_file()
            .with(LISTEN);
        let fault = json!({"kind": "error", "status": 401, "code": format!("X_{HOSTILE}"), "description": hostile(), "times": 1000});
        portal.fault(fault).await;
        let mut shown = Shown::start(&setup).await;
        until("a person is needed", async || shown.text("").await.1.contains(MARK)).await;
        for path in ["", "status", "readyz", "metrics"] {
            assert_tame(path, &shown.text(path).await.1);
        }
        for args in [&["status"][..], &["status", "--json"]] {
            assert_tame(&args.join(" "), &on_terminal(&setup, args).await);
            assert!(stdout(&finished(args, setup.folder()).await).contains(MARK));
        }
        assert_output_tame("status", &finished(&["status"], setup.folder()).await);
        assert_output_tame("healthcheck", &finished(&["healthcheck", "--strict"], setup.folder()).await);
        assert_tame_and_short("the log", &shown.relay.log());
        assert!(shown.relay.log().contains(MARK), "{}", shown.relay.log());
        shown.relay.stop().await;
    }
}

#[tokio::test]
async fn what_a_portal_answers_to_commands_is_tame() {
    let portal = Portal::start().await;
    let setup = Setup::new().with_source(&portal).with_login(&portal, "office").with_file();
    let rewrite = async |method: &str, edits: Value| {
        portal.post("faults", json!({"method": method, "kind": "rewrite", "edits": edits, "times": 2})).await;
    };
    let name = json!([{"pointer": "/result/NAME", "value": hostile()}]);
    let scopes = json!([{"pointer": "/result", "value": ["im", "imbot", hostile()]}]);
    rewrite("profile", name.clone()).await;
    rewrite("scope", scopes).await;
    let login = setup.give("office", &portal.tokens(2).await, &[]).await;
    assert_eq!(code(&login), 0, "{}", stderr(&login));
    assert_output_tame("login", &login);

    let mut foreign = portal.tokens(2).await;
    foreign["client_id"] = hostile().into();
    assert_output_tame("login of another application", &setup.give("office", &foreign, &[]).await);

    rewrite("profile", name).await;
    rewrite("app.info", json!([{"pointer": "/result/LICENSE", "value": hostile()}])).await;
    assert_output_tame("check", &finished(&["check"], setup.folder()).await);

    rewrite(
        "imbot.bot.list",
        json!([{"pointer": "/result", "value": [
        {"ID": 7, "NAME": hostile(), "CODE": hostile(), "OPENLINE": "N"}]}]),
    )
    .await;
    assert_output_tame("bots list", &finished(&["bots", "list", "office"], setup.folder()).await);

    rewrite("event.get", json!([{"pointer": "/result", "value": [
        {"event": HOSTILE, "handler": format!("https://a.example/{HOSTILE}"), "auth_type": 1, "offline": 0}]}])).await;
    assert_output_tame("handlers list", &finished(&["handlers", "list", "office"], setup.folder()).await);

    let refusal = json!({"kind": "error", "status": 400, "code": HOSTILE, "description": hostile(), "method": "oauth/token"});
    portal.post("faults", refusal).await;
    let refused = setup.paste("office", async |url| portal.agree(url, 1).await).await;
    assert_output_tame("a login that is refused", &refused);
}

#[tokio::test]
async fn what_receivers_proxies_and_token_servers_answer_is_tame() {
    let portal = Portal::start().await;
    portal.record(1, 1).await;
    let misbehaving = MisbehavingReceiver::start().await;
    // Characters that HTTP allows in a reason phrase and in headers.
    let words = "EVILMARK\u{202e}\u{200b}\u{9b}\tx";
    let status = async |setup: Setup, state: &str| {
        let setup = setup.with_source(&portal);
        let mut relay = setup.run();
        setup.until_crm_is(state).await;
        assert_tame("status", &on_terminal(&setup, &["status"]).await);
        relay.stop().await;
        assert_tame_and_short("the log", &relay.log());
    };
    for line in [
        format!("401 {words}"),
        format!("302 {words}\r\nlocation: https://{words}.example/{words}"),
        format!("503 {words}\r\nretry-after: {words}\r\nwebhook-delivery: {words}"),
    ] {
        let answer = format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\nset-cookie: {words}\r\n\r\n");
        misbehaving.misbehave(Some(Misdeed::new(answer, End::Close)));
        let setup = Setup::new().with_webhook("crm", &misbehaving.url(), "");
        status(setup, if line.starts_with("503") { "retrying" } else { "held" }).await;
    }
    for refusal in ["407 EVILMARK\u{202e}\u{200b}x", "502 EVILMARK\u{202e}\u{200b}x"] {
        let proxy = Proxy::start(misbehaving.address, Some(refusal)).await;
        let keys = format!("proxy = \"http://{}\"", proxy.address);
        status(Setup::new().with_webhook("crm", "https://crm.test/hook", &keys), "retrying").await;
    }
    let server = TokenServer::start(3600).await;
    let answer = json!({"error": HOSTILE, "error_description": hostile()}).to_string();
    server.script(std::iter::repeat_n((400, answer), 50));
    let setup = Setup::new().with_webhook("crm", &misbehaving.url(), &server.auth("s3cr3t-0f-the-client"));
    status(setup, "held").await;
}

#[test]
fn what_is_in_a_configuration_or_on_the_command_line_is_tame() {
    let setup = Setup::new().with("state_ = 1");
    let long = "LONG".repeat(5000);
    for text in [
        format!("\"{}\" = 1", "EVILMARK\\u001b[2J\\u202e\\u200b\\r\\nFORGED"),
        format!("state = \"x\"\n[log]\nlevel = \"EVILMARK\\u001b[2J\\u202e\\u200b\\r\\nFORGED{long}\""),
        format!("state = \"x\"\n[http]\nlisten = \"EVILMARK\\u001b[2J\\u202e\\u200b\\r\\nFORGED{long}\""),
        "state = \"x\"\n[sinks.\"EVILMARK\\u001b[2J\\u202e\\r\\nFORGED\"]\ntype = \"stdout\"".to_owned(),
        format!("state = EVILMARK\u{1b}[2J\u{202e}\u{200b}\r FORGED{long}"),
        "state = \"EVILMARK\\u001b[2J\\u202e\\r\\nFORGED\"\n[sources.a]\nwebhook_url = 1".to_owned(),
        "[sources.a]\nwebhook_url_file = \"EVILMARK\\u202e\\u200b\"".to_owned(),
    ] {
        std::fs::write(setup.path("b24relay.toml"), &text).unwrap();
        let refused = output(&["check", "--no-network"], setup.folder());
        assert_eq!(code(&refused), 78, "{text:?}: {}", stderr(&refused));
        assert_tame_and_short(&text, &stderr(&refused));
    }
    std::fs::remove_file(setup.path("b24relay.toml")).unwrap();
    for args in [["status", "--state"], ["check", "--config"]] {
        let refused = output(&[args[0], args[1], &format!("/nowhere/{HOSTILE}")], setup.folder());
        assert_tame(args[0], stderr(&refused).lines().next().unwrap());
    }
}

#[tokio::test]
async fn no_word_of_a_chat_is_in_the_log() {
    for format in ["text", "json"] {
        let (portal, setup) = hostile_chat().await;
        portal.record_as(json!({"user": 1, "count": 1, "data": {"text": hostile()}})).await;
        let receiver = Receiver::start().await;
        receiver.script([Answer::Status(500), Answer::Status(422), Answer::Status(422), Answer::Status(422)]);
        let setup = setup.with_receiver(&receiver);
        let run =
            finished(&["run", "--once", "--log-level", "trace", "--log-format", format], setup.folder())
                .await;
        assert_eq!(code(&run), 0, "{}", stderr(&run));
        assert!(receiver.count() == 5 && !stderr(&run).contains(MARK), "{}", stderr(&run));
    }
}

/// Encodings in which a server may repeat our secret.
fn encodings(secret: &str) -> [String; 8] {
    let each = |form: &dyn Fn(char) -> String| secret.chars().map(form).collect::<String>();
    [
        each(&|c| format!("%{:02X}", u32::from(c))),
        each(&|c| format!("%25{:02x}", u32::from(c))),
        each(&|c| format!("\\u{:04x}", u32::from(c))),
        each(&|c| format!("&#{};", u32::from(c))),
        each(&|c| format!("{c}\u{200b}")),
        each(&|c| format!("{c}\r\n")),
        STANDARD.encode(secret),
        STANDARD.encode(format!("ab{secret}")),
    ]
}

#[tokio::test]
async fn no_encoding_of_a_secret_gets_through_the_program() {
    const SECRET: &str = "S3CRETc0deM4RK0fOurs";
    let portal = Portal::start().await;
    portal.post("users/1", json!({"code": SECRET})).await;
    portal.record(1, 1).await;
    let receiver = Receiver::start().await;
    let url = format!("{}/{SECRET}", receiver.url());
    let setup = Setup::new().with_source(&portal).with_webhook("crm", &url, "");
    for encoding in encodings(SECRET) {
        // The remaining text would still contain this form.
        let squeezed = |text: &str| text.replace(['\u{200b}', '\r', '\n', ' '], "");
        let core = squeezed(&encoding);
        let core = &core[core.len() / 4..core.len() * 3 / 4];
        let assert_silent = |what: &str, text: &str| {
            for form in [text.to_owned(), text.replace("\\\\", "\\").replace("\\r", "").replace("\\n", "")] {
                assert!(!squeezed(&form).contains(core), "{what} shows {encoding:?}:\n{text}");
            }
        };
        portal
            .fault(
                json!({"kind": "error", "status": 500, "code": "X", "description": format!("<{encoding}>")}),
            )
            .await;
        let name = json!([{"pointer": "/result/NAME", "value": encoding}]);
        portal.post("faults", json!({"method": "profile", "kind": "rewrite", "edits": name})).await;
        let check = finished(&["check", "--json"], setup.folder()).await;
        assert_silent("check", &format!("{}{}", stdout(&check), stderr(&check)));
        assert!(stdout(&check).contains("***"), "{}", stdout(&check));
        receiver.script(std::iter::repeat_n(Answer::Body(422, format!("<{encoding}>")), 8));
        portal.record(1, 1).await;
        let run = finished(&["run", "--once"], setup.folder()).await;
        assert_silent("the log", &stderr(&run));
        let letters = setup.letters(&[]).await;
        let number =
            letters.last().unwrap_or_else(|| panic!("{encoding:?}: {}", stderr(&run)))["number"].to_string();
        let shown = finished(&["dead-letters", "show", &number, "--json"], setup.folder()).await;
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        let answer = shown["answer"].as_str().unwrap();
        assert!(answer.contains("***"), "{encoding:?}: {answer}");
        assert_silent("a dead letter", answer);
    }
}
