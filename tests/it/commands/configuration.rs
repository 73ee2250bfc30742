//! The configuration from outside: all mistakes are reported at once, and the order of precedence is correct.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use tempfile::TempDir;

use crate::support::portal::sandbox::Portal;
use crate::support::process::relay::{code, command, finished_command, output, output_of, stderr, stdout};
use crate::support::process::setup::Setup;

const CHECK: [&str; 2] = ["check", "--no-network"];
const URL: &str = "https://a.example/rest/1/abc/";

/// A source and a sink without mistakes.
fn sound() -> Setup {
    Setup::new()
        .with(&format!("[sources.support]\nwebhook_url = \"{URL}\""))
        .with("[sinks.console]\ntype = \"stdout\"")
}

fn check_with(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut check = command();
    check.args(CHECK).args(args).envs(variables.iter().copied()).current_dir(folder);
    output_of(check)
}

#[test]
fn every_mistake_is_told_in_one_round_with_its_key() {
    let setup = Setup::new().with(&format!(
        "shutdown_grace = 30\n\
         [log]\nlevle = \"info\"\n\
         [delivery]\nmode = \"relayed\"\n\
         [sources.support]\nwebhook_url = \"http://a.example/rest/1/abc/\"\n\
         poll = {{ limit = 5000, idle = true, busy = \"-1s\" }}\n\
         [sources.again]\nwebhook_url = \"{URL}\"\n\
         [sources.Sales]\nwebhook_url_file = \"nowhere.url\"\n\
         [sinks.untyped]\npath = \"a.jsonl\"\n\
         [sinks.first]\ntype = \"file\"\npath = \"b.jsonl\"\nurl = \"{URL}\"\n\
         [sinks.second]\ntype = \"file\"\npath = \"./b.jsonl\"\nmode = \"0888\"\n\
         [sinks.third]\ntype = \"file\"\npath = \"b24relay.db\"\nsources = [\"nobody\"]\n\
         [sinks.crm]\ntype = \"webhook\"\nurl = \"http://crm.example/x\"\nretry = {{ min = \"1h\", max = \"1s\" }}\n\
         [sinks.pathless]\ntype = \"file\""
    ));
    let expected = [
        ("shutdown_grace", "write \"30s\""),
        ("log.levle", "did you mean `level`?"),
        ("delivery.mode", "must be `direct` or `journal`"),
        ("sources.support.webhook_url", "must be https"),
        ("sources.support.poll.limit", "1 to 1000"),
        ("sources.support.poll.idle", "must be a duration"),
        ("sources.support.poll.busy", "must be a duration"),
        ("sources.support.webhook_url", "the same queue"),
        ("sources.Sales", "a-z"),
        ("sources.Sales.webhook_url_file", "there is no file `nowhere.url`"),
        ("sinks.untyped.type", "is missing"),
        ("sinks.first.url", "belongs to a sink of type `webhook`"),
        ("sinks.second.path", "belongs to `sinks.first`"),
        ("sinks.second.mode", "octal"),
        ("sinks.third.path", "belongs to `state`"),
        ("sinks.third.sources", "there is no source `nobody`"),
        ("sinks.crm.url", "must be https"),
        ("sinks.crm.retry.min", "must not be above `max`"),
        ("sinks.pathless.path", "is missing"),
    ];
    assert_all_told(&setup, &expected);
}

#[test]
fn every_mistake_with_logins_bots_and_portals_is_told_in_the_same_round() {
    let setup = Setup::new().with(&format!(
        "[sources.user]\nwebhook_url = \"{URL}\"\nbot_id = 1\npoll = {{ idle = \"9s\", idle_max = \"8s\" }}\n\
         [sources.greedy]\nkind = \"bot\"\nwebhook_url = \"{URL}\"\nbot_id = 5\nbot_token = \"t\"\nwith_user_events = true\n\
         [sources.bare]\nkind = \"bot\"\nwebhook_url = \"{URL}\"\n\
         [sources.robot]\nkind = \"robot\"\nwebhook_url = \"https://a.example/rest/2/abc/\"\n\
         [sources.nothing]\nkind = \"user\"\n\
         [sources.both]\nwebhook_url = \"https://a.example/rest/3/abc/\"\noauth.grant = \"login\"\n\
         [sources.login.oauth]\nportal = \"https://b.example/rest/\"\nclient_secret_file = \"nowhere.secret\"\n\
         [sources.token]\nkind = \"bot\"\nbot_id = 6\nbot_token = \"t\"\noauth.grant = \"login\"\n\
         [sources.lost]\nkind = \"bot\"\nbot_id = 7\noauth = {{ grant = \"nobody\", portal = \"https://b.example\" }}\n\
         [portals.\"a.example\"]\nplan = \"self-hosted\"\nrate = 2\n\
         [portals.\"A.example\"]\nplan = \"enterprise\"\nburst = 0\n\
         [portals.\"https://a.example\"]\nplan = \"free\"\n\
         [sinks.console]\ntype = \"stdout\""
    ));
    let expected = [
        ("sources.user.bot_id", "belongs to a source of kind `bot`"),
        ("sources.user.poll.idle_max", "must not be below `idle` (9s)"),
        ("sources.user.webhook_url", "the same queue as `sources.greedy` (`a.example/user/1`)"),
        ("sources.bare.bot_id", "is missing"),
        ("sources.bare.bot_token", "is missing"),
        ("sources.robot.kind", "`user` or `bot`"),
        ("sources.nothing.webhook_url", "is missing"),
        ("sources.both.oauth", "must not be given together"),
        ("sources.login.oauth.portal", "https://HOST alone"),
        ("sources.login.oauth.client_id", "is missing"),
        ("sources.login.oauth.client_secret_file", "there is no file `nowhere.secret`"),
        ("sources.token.bot_token", "is of no use with `oauth`"),
        ("sources.lost.oauth.portal", "does not go with `grant`"),
        ("sources.lost.oauth.grant", "name one with a login of its own: `login`"),
        ("portals.\"a.example\".rate", "is of no use with the plan `self-hosted`"),
        ("portals.\"A.example\"", "must be written as the portal's URL has it: `a.example`"),
        ("portals.\"A.example\".burst", "must be a number from 1 to 1000"),
        ("portals.\"***\"", "must be a host alone"),
        ("portals.\"***\".plan", "`standard`, `enterprise` or `self-hosted`"),
    ];
    assert_all_told(&setup, &expected);
}

/// Every command that reads the configuration reports each of these on a line, and changes nothing.
fn assert_all_told(setup: &Setup, expected: &[(&str, &str)]) {
    for args in
        [CHECK.as_slice(), &["run"], &["run", "--once"], &["tap", "support"], &["subscribe", "support"]]
    {
        let refused = output(args, setup.folder());
        let said = stderr(&refused);
        assert_eq!((code(&refused), stdout(&refused).as_str()), (78, ""), "{args:?}: {said}");
        for (key, words) in expected {
            let told = said.lines().any(|line| line.starts_with(&format!("{key}: ")) && line.contains(words));
            assert!(told, "{args:?}: nothing on `{key}` with `{words}` in:\n{said}");
        }
        assert_eq!(said.lines().count(), expected.len() + 1, "a line each and a heading:\n{said}");
    }
    assert!(!setup.path("b24relay.db").exists(), "nothing was touched");
}

#[test]
fn a_mistake_names_its_line_or_its_variable() {
    let setup = sound().with("[log]\nlevel = \"loud\"");
    let refused = check_with(setup.folder(), &[], &[("B24RELAY_LOG__FORMAT", "xml")]);
    let said = stderr(&refused);
    assert!(said.contains("(line 7)") && said.contains("(set by `B24RELAY_LOG__FORMAT`)"), "{said}");
}

#[test]
fn a_missing_file_is_named() {
    let folder = TempDir::new().unwrap();
    let refused = output(&["check", "--no-network", "--config", "nowhere.toml"], folder.path());
    assert_eq!(code(&refused), 78);
    assert!(stderr(&refused).contains("`nowhere.toml`"), "{}", stderr(&refused));
    let refused = output(&["run", "--config", "."], folder.path());
    assert_eq!(code(&refused), 78, "a folder is no file: {}", stderr(&refused));
}

#[test]
fn no_file_at_all_tells_where_it_was_looked_for_and_how_to_begin() {
    if Path::new("/etc/b24relay/b24relay.toml").exists() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let refused = output(&["run"], folder.path());
    assert_eq!(code(&refused), 78);
    for words in
        ["./b24relay.toml", "/etc/b24relay/b24relay.toml", "--config", "b24relay init", "b24relay demo"]
    {
        assert!(stderr(&refused).contains(words), "no `{words}` in: {}", stderr(&refused));
    }
}

#[test]
fn a_syntax_error_shows_the_line_with_a_caret_unless_it_may_hold_a_secret() {
    let setup = sound().with("[log]\nlevel = info");
    let said = stderr(&output(&["run"], setup.folder()));
    assert!(said.contains("line 7, column 9: texts need quotes"), "{said}");
    assert!(said.contains("\n7 | level = info\n  |         ^\n"), "{said}");

    let setup = sound().with("[sources.b]\nwebhook_url = s3cr3t");
    let refused = output(&["run"], setup.folder());
    let said = stderr(&refused);
    assert_eq!(code(&refused), 78, "{said}");
    assert!(said.contains("line 7, column ") && !said.contains("s3cr3t"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let setup = sound();
    let state = |args: &[&str], variables: &[(&str, &str)]| {
        let checked = check_with(setup.folder(), args, variables);
        assert_eq!(code(&checked), 0, "{}", stderr(&checked));
        stdout(&checked).lines().next().unwrap().to_owned()
    };
    let variable = [("B24RELAY_STATE", "of-the-environment.db")];
    assert_eq!(state(&[], &[]), "state b24relay.db");
    assert_eq!(state(&[], &variable), "state of-the-environment.db");
    assert_eq!(state(&["--state", "of-the-flag.db"], &variable), "state of-the-flag.db");
    assert_eq!(state(&[], &[("B24RELAY_STATE", "")]), "state b24relay.db", "an empty one counts as not set");
}

#[tokio::test]
async fn the_log_obeys_file_environment_and_flags() {
    let portal = Portal::start().await;
    let setup = Setup::new().with("log.format = \"json\"").with_source(&portal).with_file();
    let log = async |args: &[&str], variables: &[(&str, &str)]| {
        let mut once = command();
        once.args(["run", "--once"]).args(args).envs(variables.iter().copied()).current_dir(setup.folder());
        let once = finished_command(once).await;
        assert_eq!(code(&once), 0, "{}", stderr(&once));
        stderr(&once)
    };
    let is_json = |text: &str| text.lines().all(|line| line.starts_with('{') && line.ends_with('}'));
    assert!(is_json(&log(&[], &[]).await));
    let variables = [("B24RELAY_LOG__FORMAT", "text"), ("B24RELAY_LOG__LEVEL", "debug")];
    let text = log(&[], &variables).await;
    assert!(!is_json(&text) && text.contains("DEBUG") && text.contains("INFO"), "{text}");
    let json = log(&["--log-format", "json", "--log-level", "warn"], &variables).await;
    assert!(json.is_empty(), "all is well, so a level of warnings says nothing: {json}");
}

#[tokio::test]
async fn the_environment_alone_is_enough() {
    let portal = Portal::start().await;
    portal.record(1, 3).await;
    let folder = TempDir::new().unwrap();
    let mut once = command();
    once.args(["run", "--once"]).current_dir(folder.path()).envs([
        ("B24RELAY_STATE", "state.db"),
        ("B24RELAY_SOURCES__SUPPORT__WEBHOOK_URL", &portal.webhook_url(1)),
        ("B24RELAY_SOURCES__SUPPORT__POLL__LIMIT", "2"),
        ("B24RELAY_SOURCES__SUPPORT__POLL__BUSY", "0s"),
        ("B24RELAY_SINKS__CONSOLE__TYPE", "stdout"),
        ("B24RELAY_SINKS__CONSOLE__SOURCES", "support"),
    ]);
    let once = finished_command(once).await;
    assert_eq!(code(&once), 0, "{}", stderr(&once));
    assert_eq!(stdout(&once).lines().count(), 3, "{}", stdout(&once));
    assert!(stdout(&once).contains("\"source\":\"support\""));
}

#[test]
fn a_wrong_variable_is_named_like_a_wrong_key() {
    let setup = sound();
    for (variable, value, words) in [
        ("B24RELAY_LOGG__LEVEL", "info", "did you mean `log`?"),
        ("B24RELAY_SOURCES__SUPPORT__POLL__LIMIT", "many", "sources.support.poll.limit: "),
        ("B24RELAY_SHUTDOWN_GRACE", "30", "write \"30s\""),
    ] {
        let refused = check_with(setup.folder(), &[], &[(variable, value)]);
        assert_eq!(code(&refused), 78, "{variable}");
        assert!(
            stderr(&refused).contains(words) && stderr(&refused).contains(variable),
            "{}",
            stderr(&refused)
        );
    }
}

#[test]
fn a_secret_can_lie_in_a_file_of_its_own_or_among_the_credentials() {
    let setup = Setup::new()
        .with("[sources.support]\nwebhook_url_file = \"support.url\"")
        .with("[sinks.crm]\ntype = \"webhook\"\nurl_file = \"crm.url\"");
    let credentials = TempDir::new().unwrap();
    let variables = [("CREDENTIALS_DIRECTORY", credentials.path().to_str().unwrap())];
    let refused = check_with(setup.folder(), &[], &variables);
    assert_eq!(code(&refused), 78);
    for words in ["sources.support.webhook_url_file", "sinks.crm.url_file", variables[0].1] {
        assert!(stderr(&refused).contains(words), "{}", stderr(&refused));
    }

    fs::write(credentials.path().join("support.url"), format!("{URL}\n")).unwrap();
    fs::write(credentials.path().join("crm.url"), "https://credentials.example/x\n").unwrap();
    let checked = check_with(setup.folder(), &[], &variables);
    assert_eq!(code(&checked), 0, "{}", stderr(&checked));
    assert!(stdout(&checked).contains("credentials.example"), "{}", stdout(&checked));

    fs::write(setup.path("crm.url"), "https://folder.example/x").unwrap();
    let checked = check_with(setup.folder(), &[], &variables);
    assert!(stdout(&checked).contains("folder.example"), "the working directory comes first");
}

fn of_the_repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

#[test]
fn the_reference_and_every_example_are_right() {
    let folder = TempDir::new().unwrap();
    for (secret, text) in [
        ("support.url", "https://acme.bitrix24.com/rest/1/abc/"),
        ("intranet.url", "https://bitrix.intranet.example:8443/rest/1/abc/"),
        ("crm.url", URL),
        ("assistant.token", "token"),
        ("crm.secrets", "whsec_VGhpcyBpcyBubyBzZWNyZXQsIGV2ZXJ5Ym9keSBoYXMgaXQ="),
        ("office.secret", "secret"),
        ("slack.url", "https://hooks.slack.com/services/T0/B0/s3cr3t-path"),
        ("telegram.url", "https://api.telegram.org/bot1:s3cr3t-path/sendMessage"),
    ] {
        fs::write(folder.path().join(secret), text).unwrap();
    }
    let credentials = [("CREDENTIALS_DIRECTORY", folder.path().to_str().unwrap())];
    // What each example file says about the location of its secrets.
    let secrets: [(&str, &[(&str, &str)]); 10] = [
        ("b24relay.toml", &[]),
        ("examples/archive-to-file.toml", &[("B24RELAY_SOURCES__SUPPORT__WEBHOOK_URL_FILE", "support.url")]),
        ("examples/crm-webhook.toml", &credentials),
        ("examples/bot.toml", &credentials),
        ("examples/oauth-application.toml", &credentials),
        ("examples/enterprise-portal.toml", &credentials),
        ("examples/slack.toml", &credentials),
        ("examples/telegram.toml", &credentials),
        ("examples/template.toml", &credentials),
        (
            "examples/two-users.toml",
            &[
                ("B24RELAY_SOURCES__SUPPORT__WEBHOOK_URL", "https://a.example/rest/7/abc/"),
                ("B24RELAY_SOURCES__SALES__WEBHOOK_URL", "https://a.example/rest/12/abc/"),
            ],
        ),
    ];
    let elsewhere = TempDir::new().unwrap();
    for (name, variables) in secrets {
        let file = elsewhere.path().join(name.replace('/', "-"));
        let text = fs::read_to_string(of_the_repository(name)).unwrap();
        // As an operator would fill it in.
        let text = text.replace("example.bitrix24.", "acme.bitrix24.").replace("/CODE/", "/abc123/");
        fs::write(&file, text).unwrap();
        let folder = if name.contains("archive") { &folder } else { &elsewhere };
        let checked = check_with(folder.path(), &["--config", file.to_str().unwrap()], variables);
        assert_eq!(code(&checked), 0, "{name}: {}", stderr(&checked));
        assert!(stdout(&checked).contains("the configuration is right"), "{}", stdout(&checked));
    }
    let examples = fs::read_dir(of_the_repository("examples")).unwrap().count();
    assert_eq!(examples + 1, secrets.len(), "an example that nobody checks");
}

#[test]
fn check_shows_what_would_run() {
    let setup = sound().with("[sinks.archive]\ntype = \"file\"\npath = \"events.jsonl\"");
    let shown = stdout(&output(&CHECK, setup.folder()));
    for line in [
        "source support: https://a.example/rest/1/***",
        "sink console: stdout",
        "sink archive: file events.jsonl",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "no `{line}` in:\n{shown}");
    }
    assert_eq!(fs::read_dir(setup.folder()).unwrap().count(), 1, "nothing was created");
}

#[tokio::test]
async fn a_deprecated_key_is_named_by_check_and_at_the_start_of_run() {
    let portal = Portal::start().await;
    let setup = Setup::new().with("delivery.mode = \"journal\"").with_source(&portal).with_file();
    let said = "delivery.mode: is deprecated: replace `mode = \"journal\"` with `hold = \"0s\"`";
    let checked = output(&CHECK, setup.folder());
    assert_eq!(code(&checked), 0, "a warning is no failure");
    let shown = stdout(&checked);
    assert_eq!((shown.matches(said).count(), shown.contains("warn")), (1, true), "{shown}");
    let log = setup.drain().await;
    let lines: Vec<_> = log.lines().filter(|line| line.contains("works, but should be changed")).collect();
    assert!(lines.len() == 1 && lines[0].contains("WARN"), "{log}");
    assert!(lines[0].replace('\\', "").contains(said), "{log}");
}
