//! The deployment files agree with the program, with its manual and with each other.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::documents::manuals::anchors;
use crate::support::process::relay::{code, output, stderr, stdout};

/// Where the runbooks of alerts are.
const PAGE: &str = "docs/operate/troubleshooting.md";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The values of all lines `key: value` or `key = "value"` in `text`.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let lines = text.lines().map(|line| line.trim_start().trim_start_matches("- "));
    let behind = lines.filter_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix([':', '=']));
    behind.map(|value| value.trim().trim_matches('"')).collect()
}

/// The text of the block scalar `key: |`, without its indentation.
fn block(text: &str, key: &str) -> String {
    let lines = text.lines().skip_while(|line| *line != format!("{key}: |")).skip(1);
    let lines = lines.take_while(|line| line.is_empty() || line.starts_with("  "));
    lines.map(|line| line.strip_prefix("  ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn each_alert_has_a_runbook_that_exists_and_a_test_that_sees_it_fire() {
    let (rules, tests) = (read("deploy/prometheus/alerts.yaml"), read("deploy/prometheus/alerts.test.yaml"));
    let (alerts, runbooks) = (values(&rules, "alert"), values(&rules, "runbook_url"));
    assert!(alerts.len() > 20, "{alerts:?}");
    assert_eq!(alerts.len(), runbooks.len(), "an alert without a runbook, or with two");
    let manifest = read("Cargo.toml");
    let repository = values(&manifest, "repository")[0];
    let sections = anchors(&read(PAGE));
    for runbook in runbooks {
        let (page, anchor) = runbook.split_once('#').unwrap_or_else(|| panic!("{runbook}"));
        assert_eq!(page, format!("{repository}/blob/main/{PAGE}"));
        assert!(sections.iter().any(|section| section == anchor), "{PAGE} has no section #{anchor}");
    }
    for alert in alerts {
        let fires = format!("alertname: {alert}\n        exp_alerts:\n");
        assert!(tests.contains(&fires), "no test sees {alert} fire");
    }
}

#[test]
fn an_import_of_the_dashboard_asks_for_the_data_source_of_its_panels() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/b24relay.json")).unwrap();
    let input = &dashboard["__inputs"][0];
    assert_eq!((&input["type"], &input["pluginId"]), (&"datasource".into(), &"prometheus".into()));
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let source = variables.iter().find(|variable| variable["name"] == "datasource").unwrap();
    assert_eq!(source["current"]["value"], format!("${{{}}}", input["name"].as_str().unwrap()));
    let panels = dashboard["panels"].as_array().unwrap();
    let asking: Vec<_> = panels.iter().filter(|panel| panel["targets"].is_array()).collect();
    assert!(asking.len() > 20, "{}", asking.len());
    for panel in asking {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
    }
}

#[test]
fn every_artefact_has_the_version_of_the_workspace() {
    let manifest = read("Cargo.toml");
    let version = values(&manifest, "version")[0];
    let chart = read("deploy/helm/b24relay/Chart.yaml");
    assert_eq!(values(&chart, "version"), [version]);
    assert_eq!(values(&chart, "appVersion"), [version]);
    assert_eq!(values(&read("deploy/docker/Dockerfile"), "ARG VERSION"), [version]);
    for path in ["Cargo.toml", "crates/b24-client/Cargo.toml"] {
        for line in
            read(path).lines().filter(|line| line.contains("{ version = ") && line.contains("path = "))
        {
            assert!(line.contains(&format!("version = \"{version}\"")), "{path}: {line}");
        }
    }
}

#[test]
fn the_chart_has_the_alerts_of_the_repository() {
    let rules = read("deploy/prometheus/alerts.yaml");
    assert_eq!(read("deploy/helm/b24relay/files/alerts.yaml"), rules);
}

#[test]
fn the_configuration_that_the_chart_starts_with_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let configuration = block(&read("deploy/helm/b24relay/values.yaml"), "config");
    for (file, content) in [
        ("b24relay.toml", configuration.as_str()),
        ("support.url", "https://b24.example.org/rest/12/abcdef123456/"),
        ("crm.url", "https://crm.example.org/hooks/b24"),
    ] {
        fs::write(folder.path().join(file), content).unwrap();
    }
    let checked = output(&["check", "--no-network"], folder.path());
    assert_eq!(code(&checked), 0, "{configuration}\n{}{}", stdout(&checked), stderr(&checked));
    assert!(configuration.contains("[sinks.crm]"), "{configuration}");
}

#[test]
fn the_image_is_built_from_all_that_the_manifest_names() {
    let ignored = read(".dockerignore");
    let context: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let manifest = read("Cargo.toml");
    let targets = values(&manifest, "path").into_iter();
    let mut named: Vec<&str> =
        targets.chain(["Cargo.toml", "Cargo.lock", "src/main.rs", "benches/relay"]).collect();
    named.extend(["crates", ".cargo", "deploy/docker/rootfs", "LICENSE-MIT"]);
    assert!(named.len() > 9, "{named:?}");
    for path in named {
        assert!(root().join(path).exists(), "{path}");
        let is_there = context.iter().any(|entry| is_below(path, entry.trim_end_matches('*')));
        assert!(is_there, ".dockerignore leaves {path} out, which the build needs");
    }
}

/// Whether `path` is `entry`, lies in it, or begins with it.
fn is_below(path: &str, entry: &str) -> bool {
    Path::new(path).starts_with(entry) || (entry.ends_with('-') && path.starts_with(entry))
}

#[test]
fn values_and_blocks_are_found() {
    let text = "a: 1\n  - b: \"two\"\nb = \"three\"\nbc: 4\nkey: |\n  one\n\n    two\nend: 5\n";
    assert_eq!(values(text, "b"), ["two", "three"]);
    assert_eq!(block(text, "key"), "one\n\n  two");
    assert!(
        is_below("src/main.rs", "src") && !is_below("srcs", "src") && is_below("LICENSE-MIT", "LICENSE-")
    );
}
