//! `[portals."HOST"]`: plans, rate limits, and hosts that are in use.

use std::fmt::Write as _;

use super::{SMALL, assert_refused, config_of, environment, errors, load_text};
use crate::config::RateConfig;

fn portal(keys: &str) -> String {
    format!("{SMALL}[portals.\"a.example\"]\n{keys}")
}

fn rate(keys: &str) -> Option<RateConfig> {
    let config = config_of(&portal(keys));
    assert_eq!(config.portals.len(), 1);
    config.rate_of("a.example")
}

#[test]
fn a_plan_has_its_figures_and_given_ones_override_them() {
    let figures = |burst, per_second| Some(RateConfig { burst, per_second });
    assert!(config_of(SMALL).portals.is_empty());
    assert_eq!(config_of(SMALL).rate_of("a.example"), Some(RateConfig::STANDARD));
    assert_eq!(rate(""), Some(RateConfig::STANDARD));
    assert_eq!(rate("plan = 'standard'"), Some(RateConfig::STANDARD));
    assert_eq!(rate("plan = 'enterprise'"), Some(RateConfig::ENTERPRISE));
    assert_eq!(rate("plan = 'self-hosted'"), None);
    assert_eq!(rate("burst = 10"), figures(10.0, 2.0));
    assert_eq!(rate("plan = 'enterprise'\nrate = 2.5"), figures(250.0, 2.5));
    assert_eq!(rate("burst = 1\nrate = 0.1"), figures(1.0, 0.1));
    assert_eq!(rate("burst = 1000.0\nrate = 100"), figures(1000.0, 100.0));
    assert_eq!(rate("burst = '10'\nrate = '0.5'"), figures(10.0, 0.5));
}

#[test]
fn figures_out_of_bounds_are_refused_with_the_host_in_quotes() {
    assert_refused(
        &portal("plan = 'free'\nburst = 0\nrate = 0.09\nlimit = 1"),
        &[
            "portals.\"a.example\".plan: must be `standard`, `enterprise` or `self-hosted`, not `free` (line 7)",
            "portals.\"a.example\".burst: must be a number from 1 to 1000, not `0` (line 8)",
            "portals.\"a.example\".rate: must be a number from 0.1 to 100, not `0.09` (line 9)",
            "portals.\"a.example\".limit: unknown key, valid here: `plan`, `burst`, `rate`, `moved_to`, `tls`, `proxy`, `proxy_file` (line 10)",
        ],
    );
    for rate in ["nan", "inf", "-1", "100.5", "'nan'", "'many'", "''", "true", "[2]", "9223372036854775808"] {
        assert_refused(
            &portal(&format!("rate = {rate}")),
            &["portals.\"a.example\".rate: must be a number from"],
        );
    }
    let expected = "is of no use with the plan `self-hosted`, which has no limit: remove it";
    assert_refused(
        &portal("plan = 'self-hosted'\nburst = 5\nrate = 2"),
        &[
            &format!("portals.\"a.example\".burst: {expected}"),
            &format!("portals.\"a.example\".rate: {expected}"),
        ],
    );
    assert_refused(
        &format!("{SMALL}[portals]\n\"a.example\" = 'enterprise'"),
        &["portals.\"a.example\": must be a table, not a text (line 7)"],
    );
}

#[test]
fn a_portal_that_no_source_uses_is_told_with_those_in_use() {
    let host = |host: &str| {
        format!(
            "{SMALL}[sources.b]\nwebhook_url = 'http://127.0.0.1:8080/rest/1/x'\n[sources.c.oauth]\n\
             portal = 'https://c.example'\nclient_id = 'x'\nclient_secret = 'y'\n[portals.\"{host}\"]"
        )
    };
    for known in ["a.example", "127.0.0.1:8080", "c.example"] {
        assert_refused(&host(known), &[]);
    }
    let in_use = "in use: `127.0.0.1:8080`, `a.example`, `c.example`";
    for unknown in ["b.example", "127.0.0.1", "a.example:8443", "*"] {
        let expected = format!(
            "portals.\"{unknown}\": no source uses this portal: correct the host, or remove the table; {in_use}"
        );
        assert_refused(&host(unknown), &[&expected]);
    }
    for (other, plain) in
        [("A.Example", "a.example"), ("a.example:443", "a.example"), ("c.example:0443", "c.example")]
    {
        let expected = format!("portals.\"{other}\": must be written as the portal's URL has it: `{plain}`");
        assert_refused(&host(other), &[&expected]);
    }
    for url in [
        "https://a.example",
        "https://a.example/rest/1/s3cr3t/",
        "a.example/",
        "me:s3cr3t@a.example",
        "@a.example",
        "a.example?",
    ] {
        let expected = "portals.\"***\": must be a host alone, as in `portals.\"example.bitrix24.com\"`, without scheme and path; in use:";
        assert_refused(&host(url), &[expected]);
    }
    assert_refused(&host(""), &["portals.\"\": must be a host alone"]);
}

#[test]
fn a_portal_is_no_stranger_while_a_source_cannot_be_read() {
    let text = portal("").replace("https://a.example", "s3cr3t");
    assert_refused(&text, &["sources.a.webhook_url: must start with https://"]);
    let text = text.replace("\"a.example\"", "\"https://a.example\"");
    assert_refused(
        &text,
        &["sources.a.webhook_url: must start with https://", "portals.\"***\": must be a host alone"],
    );
}

#[test]
fn there_are_at_most_256_portals() {
    let mut text = SMALL.to_owned();
    for number in 0..256 {
        writeln!(text, "[portals.\"h{number}.example\"]").unwrap();
    }
    assert_eq!(errors(&text, &environment(&[])).len(), 256, "strangers only");
    text.push_str("[portals.\"a.example\"]");
    let errors = errors(&text, &environment(&[]));
    assert!(errors[0].starts_with("portals: there must be at most 256, not 257"), "{}", errors[0]);
}

#[test]
fn the_environment_reaches_a_host_without_dots_and_leaves_the_others_alone() {
    let text = portal("rate = 1").replace("https://a.example", "http://localhost");
    let text = text.replace("\"a.example\"", "localhost");
    let variables = [("B24RELAY_PORTALS__LOCALHOST__RATE", "0.5"), ("B24RELAY_LOG__LEVEL", "warn")];
    let config = load_text(&text, &environment(&variables)).unwrap().config;
    assert_eq!(config.rate_of("localhost"), Some(RateConfig { burst: 50.0, per_second: 0.5 }));
    let errors = errors(&text, &environment(&[("B24RELAY_PORTALS__LOCALHOST__RATE", "fast")]));
    assert_eq!(
        errors,
        [
            "portals.localhost.rate: must be a number from 0.1 to 100, not `fast` (set by `B24RELAY_PORTALS__LOCALHOST__RATE`)"
        ]
    );
    let config = load_text(portal("rate = 1"), &environment(&variables[1..])).unwrap().config;
    assert_eq!(config.rate_of("a.example").unwrap().per_second.to_string(), "1");
}

#[test]
fn a_new_address_is_a_host_alone_and_another_one() {
    let moved_to =
        |text: &str| config_of(&portal(&format!("moved_to = '{text}'"))).portal("a.example").moved_to;
    for host in ["b.example", "b.example:8443", "10.0.0.7"] {
        assert_eq!(moved_to(host), Some(host.to_owned()));
    }
    for text in
        ["https://b.example", "b.example/rest/1/s3cr3t/", "a.example", "B.example", "me:s3cr3t@b.example"]
    {
        let errors = errors(&portal(&format!("moved_to = '{text}'")), &environment(&[]));
        assert!(
            errors[0].starts_with("portals.\"a.example\".moved_to: must be the portal's new host"),
            "{errors:?}"
        );
        assert!(!errors[0].contains("s3cr3t"), "{errors:?}");
    }
}
