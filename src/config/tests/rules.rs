//! Rules for single keys and for combinations of keys. All violations are reported together.

use std::time::Duration;

use super::{SMALL, assert_refused, config_of, environment, load_text, with_sink};
use crate::config::{GiveUp, Hold, Loaded, WhenFull};

#[test]
fn all_violations_come_out_in_one_round_with_key_value_and_line() {
    let text = r#"stat = "x"
shutdown_grace = 30
[log]
level = "loud"
colour = true
[delivery]
mode = "relayed"
[sources.a]
webhook_url = "https://a.example/rest/1/"
poll = { limit = 5000, idle = "10ms", busy = "-1s", timeout = 1979-05-27 }
[sources.B]
webhook_url = 5
[sinks.out]
type = "stdout"
path = "x"
retry = { min = "1m", max = "1s" }
[sinks.f]
type = "file"
mode = "0440"
sources = ["a", "c"]
[sinks.w]
type = "carrier-pigeon"
events = []
"#;
    assert_refused(
        text,
        &[
            "shutdown_grace: must be a duration with its unit, such as \"30s\" or \"500ms\": write \"30s\" for 30 seconds (line 2)",
            "log.level: must be `error`, `warn`, `info`, `debug` or `trace`, not `loud` (line 4)",
            "log.colour: unknown key, valid here: `format`, `level` (line 5)",
            "delivery.mode: must be `direct` or `journal`, not `relayed` (line 7)",
            "sources.B: the name must be 1 to 64 of the characters a-z, 0-9, `_` and `-`",
            "sources.B.webhook_url: must be a text in quotes, not a number (line 12)",
            "sources.a.webhook_url: has no code behind the user id: it must look like https://HOST/rest/USER_ID/CODE/ (line 9)",
            "sources.a.poll.busy: must be a duration with its unit, such as \"30s\" or \"500ms\", not `-1s` (line 10)",
            "sources.a.poll.limit: must be a whole number from 1 to 1000, not `5000` (line 10)",
            "sources.a.poll.timeout: must be a duration with its unit, such as \"30s\" or \"500ms\", not a date",
            "sinks.f.path: is missing: set it to the file that events are appended to",
            "sinks.f.mode: must let the owner write, as \"0640\" does, not `0440` (line 19)",
            "sinks.out.retry.min: `min` (1m) must not be above `max` (1s) (line 16)",
            "sinks.out.path: belongs to a sink of type `file`, and this one is `stdout`",
            "sinks.w.type: must be `stdout`, `file` or `webhook`, not `carrier-pigeon` (line 22)",
            "sinks.w.events: must not be an empty list: leave the key out to take all (line 23)",
            "stat: unknown key, did you mean `state`? (line 1)",
            "sinks.f.sources: there is no source `c`",
        ],
    );
}

#[test]
fn the_first_line_names_the_file() {
    let error = load_text("", &environment(&[])).unwrap_err().to_string();
    assert!(error.lines().next().unwrap().contains("b24relay.toml` cannot be used"), "{error}");
    assert_refused("", &["sources: there must be at least one", "sinks: there must be at least one"]);
}

#[test]
fn a_wrong_type_is_a_violation_and_never_a_conversion() {
    for (line, expected) in [
        ("state = 5", "state: must be a text in quotes, not `5`"),
        ("state = true", "state: must be a text in quotes, not `true`"),
        ("state = 1979-05-27", "state: must be a text in quotes, not a date"),
        ("state = \"\"", "state: must not be empty"),
        ("log = 5", "log: must be a table, not a number"),
        ("log = [1]", "log: must be a table, not a list"),
        ("log.level = 1.5", "log.level: must be a text in quotes, not `1.5`"),
        ("shutdown_grace = 99999999999999999999", "shutdown_grace: must be a duration"),
        ("\"state.x\" = 1", "\"state.x\": unknown key"),
        ("\"log[9999999999]\" = 1", "\"log[9999999999]\": unknown key"),
    ] {
        assert_refused(&format!("{line}\n{SMALL}"), &[expected]);
    }
    assert_refused(
        "sources = 5\nsinks.a = 5",
        &[
            "sources: must be a table",
            "sources: there must be at least one",
            "sinks.a: must be a table, not a number (line 2)",
        ],
    );
}

#[test]
fn an_unknown_key_is_named_with_its_nearest_valid_one() {
    for (line, expected) in [
        ("sources.a.webhok_url = 1", "sources.a.webhok_url: unknown key, did you mean `webhook_url`?"),
        ("sources.a.Allow_HTTP = 1", "sources.a.Allow_HTTP: unknown key, did you mean `allow_http`?"),
        ("sources.a.poll.idel = 1", "sources.a.poll.idel: unknown key, did you mean `idle`?"),
        ("sinks.out.formt = 1", "sinks.out.formt: unknown key, did you mean `format`?"),
        ("sinks.out.zzz = 1", "sinks.out.zzz: unknown key, valid here: `type`,"),
        ("source = 1", "source: unknown key, did you mean `sources`?"),
    ] {
        let text = format!(
            "{line}\nsources.a.webhook_url = \"https://a.example/rest/1/x/\"\nsinks.out.type = \"stdout\""
        );
        assert_refused(&text, &[expected]);
    }
}

#[test]
fn plain_http_is_for_this_machine_or_by_permission() {
    let urls = |host: &str, allow: &str| {
        format!(
            "[sources.a]\nwebhook_url = 'http://{host}/rest/1/x/'\n{allow}\n\
             [sinks.w]\ntype = 'webhook'\nurl = 'http://{host}/x'\n{allow}"
        )
    };
    for host in ["localhost", "127.0.0.1:8080", "[::1]"] {
        assert_refused(&urls(host, ""), &[]);
    }
    assert_refused(&urls("a.example", "allow_http = true"), &[]);
    for allow in ["", "allow_http = false"] {
        assert_refused(
            &urls("a.example", allow),
            &[
                "sources.a.webhook_url: must be https: plain http shows the secret and the events to everyone on \
             the way to `a.example`; where that is fine, set `allow_http = true` (line 2)",
                "sinks.w.url: must be https",
            ],
        );
    }
}

#[test]
fn only_a_portal_on_this_machine_is_polled_faster_than_once_a_second() {
    let idle = |url: &str, idle: &str| {
        format!(
            "[sources.a]\nwebhook_url = '{url}/rest/1/x/'\npoll.idle = '{idle}'\n[sinks.out]\ntype = 'stdout'"
        )
    };
    assert_refused(&idle("http://127.0.0.1:8080", "10ms"), &[]);
    assert_refused(
        &idle("http://127.0.0.1:8080", "9ms"),
        &["sources.a.poll.idle: must be 10ms to 5m, not `9ms`"],
    );
    assert_refused(
        &idle("https://a.example", "999ms"),
        &["sources.a.poll.idle: must be 1s to 5m, not `999ms`"],
    );
}

#[test]
fn a_secret_is_given_exactly_once() {
    let both = "webhook_url = 'https://a.example/rest/1/x/'\nwebhook_url_file = 'absent-secret.url'";
    let sink = "[sinks.out]\ntype = 'stdout'";
    assert_refused(
        &format!("[sources.a]\n{both}\n{sink}"),
        &[
            "sources.a.webhook_url_file: must not be given together with `webhook_url`",
            "sources.a.webhook_url_file: there is no file `absent-secret.url`",
        ],
    );
    assert_refused(
        &format!("[sources.a]\n{sink}"),
        &["sources.a.webhook_url: is missing: set it, or put it into"],
    );
    assert_refused(&with_sink("type = 'webhook'"), &["sinks.b.url: is missing: set it, or put it into"]);
}

#[test]
fn the_pause_grows_to_no_less_than_where_it_begins() {
    let poll = |keys: &str| format!("{SMALL}[sources.a.poll]\n{keys}");
    let pauses = |keys: &str| {
        let poll = config_of(&poll(keys)).sources[0].poll;
        (poll.idle.as_secs(), poll.idle_max.as_secs())
    };
    assert_eq!(pauses(""), (5, 30));
    assert_eq!(pauses("idle = '1m'"), (60, 60));
    assert_eq!(pauses("idle_max = '5s'"), (5, 5));
    assert_eq!(pauses("idle = '10s'\nidle_max = '5m'"), (10, 300));
    let below = "sources.a.poll.idle_max: must not be below `idle` (5s), not 4s (line 7)";
    assert_refused(&poll("idle_max = '4s'"), &[below]);
    assert_refused(&poll("idle_max = '4s'\nidle = '5s'"), &[below]);
    assert_refused(&poll("idle_max = '6m'"), &["sources.a.poll.idle_max: must be 1s to 5m, not `6m`"]);
    assert_refused(&poll("idle_max = '4s'\nidle = '5'"), &["sources.a.poll.idle: must be a duration"]);
}

#[test]
fn every_source_has_a_sink_and_every_listed_source_exists() {
    let text = format!("{SMALL}sources = ['b']\n[sources.b]\nwebhook_url = 'https://a.example/rest/2/x'");
    assert_refused(&text, &["sources.a: no sink takes its events"]);
    assert_refused(
        &with_sink("type = 'file'\npath = '/x'\nsources = ['a', 'z']"),
        &["sinks.b.sources: there is no source `z`: add it, or correct the name (line 10)"],
    );
}

#[test]
fn stdout_and_files_have_one_owner_each() {
    assert_refused(
        &with_sink("type = 'stdout'"),
        &["sinks.out.type: there is one stdout, and `sinks.b` has it"],
    );
    let text = with_sink("type = 'file'\npath = '/absent/x'\n[sinks.c]\ntype = 'file'\npath = '/absent/./x'");
    assert_refused(&text, &["sinks.c.path: this file belongs to `sinks.b` already"]);
    for suffix in ["", "-wal", "-shm", "-journal", ".lock"] {
        let text = format!(
            "state = '/absent/s.db'\n{}",
            with_sink(&format!("type = 'file'\npath = '/absent/s.db{suffix}'"))
        );
        assert_refused(&text, &["sinks.b.path: this file belongs to `state` already"]);
    }
}

#[test]
fn there_are_limits_to_how_much_one_process_serves() {
    use std::fmt::Write as _;
    let text = |sources: u32, sinks: u32| {
        let mut text = String::new();
        for number in 1..=sources {
            writeln!(text, "[sources.s{number}]\nwebhook_url = 'https://a.example/rest/{number}/x/'")
                .unwrap();
        }
        for number in 1..=sinks {
            writeln!(text, "[sinks.s{number}]\ntype = 'file'\npath = '/absent/{number}'").unwrap();
        }
        text
    };
    assert_refused(&text(256, 64), &[]);
    assert_refused(
        &text(257, 65),
        &["sources: there must be at most 256, not 257", "sinks: there must be at most 64"],
    );
}

#[test]
fn hold_is_a_duration_or_forever_and_replaces_the_mode() {
    let loaded = |line: &str| load_text(format!("{line}\n{SMALL}"), &environment(&[])).unwrap();
    let for_s = |seconds| Hold::For(Duration::from_secs(seconds));
    for (line, hold) in [
        ("", for_s(30)),
        ("delivery.hold = \"0s\"", for_s(0)),
        ("delivery.hold = \"23h\"", for_s(23 * 3600)),
        ("delivery.hold = \"forever\"", Hold::Forever),
    ] {
        let Loaded { config, notices, .. } = loaded(line);
        assert_eq!(config.delivery.hold, hold, "{line}");
        assert_eq!(notices, [""; 0], "{line}");
    }
    for (word, hold, instead) in [("direct", Hold::Forever, "forever"), ("journal", for_s(0), "0s")] {
        let Loaded { config, notices, .. } = loaded(&format!("delivery.mode = \"{word}\""));
        assert_eq!(config.delivery.hold, hold);
        assert_eq!(
            notices,
            [format!(
                "delivery.mode: is deprecated: replace `mode = \"{word}\"` with `hold = \"{instead}\"` (line 1)"
            )]
        );
    }
    for (line, expected) in [
        (
            "delivery = { mode = \"direct\", hold = \"5s\" }",
            "delivery.mode: `hold` has replaced it, and is given too: remove `mode` (line 1)",
        ),
        (
            "delivery.hold = \"24h\"",
            "delivery.hold: must be a duration from 0s to 23h, such as \"30s\", or \"forever\", not `24h` (line 1)",
        ),
        ("delivery.hold = \"for ever\"", "delivery.hold: must be a duration from 0s to 23h"),
        ("delivery.hold = 30", "delivery.hold: must be a duration from 0s to 23h"),
    ] {
        assert_refused(&format!("{line}\n{SMALL}"), &[expected]);
    }
    let environment = environment(&[("B24RELAY_DELIVERY__MODE", "journal")]);
    let notices = load_text(SMALL, &environment).unwrap().notices;
    assert!(notices[0].ends_with("(set by `B24RELAY_DELIVERY__MODE`)"), "{notices:?}");
}

#[test]
fn limits_of_memory_rejections_and_dead_letters_are_read() {
    let sink = "type = \"webhook\"\nurl = \"https://a.example/x\"\nhold_after_rejections = 1000000\nretry.give_up = 7";
    let text =
        format!("memory.max = \"1MiB\"\ndead_letters.when_full = \"drop_oldest\"\n{}", with_sink(sink));
    let config = config_of(&text);
    assert_eq!(config.delivery.memory_max, 1 << 20);
    assert_eq!(config.delivery.dead_letters.when_full, WhenFull::DropOldest);
    let sink = config.sinks.iter().find(|sink| sink.name == "b").unwrap();
    assert_eq!(sink.flow.hold_after_rejections, 1_000_000);
    assert_eq!(sink.retry.give_up, GiveUp::Attempts(7));

    let usual = config_of(SMALL);
    assert_eq!(usual.delivery.memory_max, 64 << 20);
    assert_eq!(usual.delivery.dead_letters.when_full, WhenFull::Wait);
    assert_eq!(usual.sinks[0].flow.hold_after_rejections, 10);
    assert_eq!(usual.sinks[0].retry.give_up, GiveUp::Never);
    assert_eq!(usual.sources[0].confirm_lag, Duration::from_secs(30));
    for (line, expected) in [
        ("memory.max = \"1023KiB\"", "memory.max: must be a size from 1MiB to 1TiB"),
        ("memory.maximum = \"1GiB\"", "memory.maximum: unknown key, did you mean `max`?"),
        (
            "dead_letters.when_full = \"drop\"",
            "dead_letters.when_full: must be `wait` or `drop_oldest`, not `drop`",
        ),
    ] {
        assert_refused(&format!("{line}\n{SMALL}"), &[expected]);
    }
    for count in ["0", "1000001", "\"ten\""] {
        let sink =
            format!("type = \"webhook\"\nurl = \"https://a.example/x\"\nhold_after_rejections = {count}");
        assert_refused(
            &with_sink(&sink),
            &["sinks.b.hold_after_rejections: must be a whole number from 1 to 1000000"],
        );
    }
    let sink = "type = \"file\"\npath = \"f\"\nretry.give_up = \"0s\"";
    assert_refused(&with_sink(sink), &["sinks.b.retry.give_up: must be a duration from 1s to 365d"]);
}
