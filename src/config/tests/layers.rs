//! Files, environment and flags: where each is found and which one wins.

use std::path::PathBuf;
use std::time::Duration;

use super::{SMALL, environment, errors, load_text, load_with};
use crate::config::parse::load::load_from;
use crate::config::{ConfigError, LogFormat, LogLevel, Overrides, StdoutFormat, TargetConfig};

#[test]
fn flags_win_over_the_environment_the_environment_over_the_file_the_file_over_defaults() {
    let text = format!("state = '/file'\n[log]\nlevel = 'warn'\nformat = 'json'\n{SMALL}");
    let variables = environment(&[("B24RELAY_STATE", "/environment"), ("B24RELAY_LOG__LEVEL", "debug")]);
    let flags = Overrides { state: Some("/flag".into()), ..Overrides::default() };

    let config = load_text(SMALL, &environment(&[])).unwrap().config;
    assert_eq!(config.state, PathBuf::from("/var/lib/b24relay/b24relay.db"));
    assert_eq!((config.log.level, config.log.format), (LogLevel::Info, LogFormat::Text));
    let config = load_text(&text, &environment(&[])).unwrap().config;
    assert_eq!((config.state, config.log.level), (PathBuf::from("/file"), LogLevel::Warn));
    let config = load_text(&text, &variables).unwrap().config;
    assert_eq!((config.state, config.log.level), (PathBuf::from("/environment"), LogLevel::Debug));
    assert_eq!(config.log.format, LogFormat::Json);
    let config = load_with(&text, &variables, flags).unwrap().config;
    assert_eq!((config.state, config.log.level), (PathBuf::from("/flag"), LogLevel::Debug));
    let flags = Overrides {
        log_level: Some(LogLevel::Trace),
        log_format: Some(LogFormat::Text),
        ..Overrides::default()
    };
    let config = load_with(&text, &variables, flags).unwrap().config;
    assert_eq!((config.log.level, config.log.format), (LogLevel::Trace, LogFormat::Text));
}

#[test]
fn the_environment_alone_is_enough_and_reads_texts_as_what_the_key_wants() {
    let variables = environment(&[
        ("B24RELAY_SOURCES__A__WEBHOOK_URL", "http://a.example/rest/1/x/"),
        ("B24RELAY_SOURCES__A__ALLOW_HTTP", "true"),
        ("B24RELAY_SOURCES__A__POLL__LIMIT", "5"),
        ("B24RELAY_SOURCES__A__POLL__IDLE", "1m"),
        ("B24RELAY_SOURCES__B__WEBHOOK_URL", "https://a.example/rest/2/x/"),
        ("B24RELAY_SINKS__OUT__TYPE", "stdout"),
        ("B24RELAY_SINKS__OUT__SOURCES", "a, b"),
        ("B24RELAY_SINKS__OUT__EVENTS", "onimv2messageadd,ONIMV2JOINCHAT"),
        ("B24RELAY_SINKS__OUT__FORMAT", ""),
        ("OTHER_THING", "x"),
    ]);
    let loaded = load_from(&["/absent/b24relay.toml".into()], &variables, &Overrides::default()).unwrap();
    assert_eq!(loaded.file, None);
    let [a, b] = &loaded.config.sources[..] else { panic!("not two sources") };
    assert_eq!((a.poll.limit, a.poll.idle), (5, Duration::from_secs(60)));
    assert_eq!((a.name.as_str(), b.name.as_str()), ("a", "b"));
    let [out] = &loaded.config.sinks[..] else { panic!("not one sink") };
    assert_eq!(out.sources, Some(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(out.events, Some(vec!["ONIMV2MESSAGEADD".to_owned(), "ONIMV2JOINCHAT".to_owned()]));
    let TargetConfig::Stdout(stdout) = &out.target else { panic!("not stdout") };
    assert_eq!(stdout.format, StdoutFormat::Json);
}

#[test]
fn a_violation_of_the_environment_or_a_flag_names_it() {
    let variables = environment(&[("B24RELAY_SINKS__OUT__RETRY__MIN", "5"), ("B24RELAY_SERVICE", "x")]);
    let errors = errors(SMALL, &variables);
    assert!(
        errors[0].ends_with("write \"5s\" for 5 seconds (set by `B24RELAY_SINKS__OUT__RETRY__MIN`)"),
        "{errors:?}"
    );
    assert!(errors[1].starts_with("service: unknown key"), "{errors:?}");
    assert!(errors[1].ends_with("(set by `B24RELAY_SERVICE`)"), "{errors:?}");
    let errors = super::errors(SMALL, &environment(&[("B24RELAY_SOURCES____URL", "x")]));
    assert!(errors[0].starts_with("\"sources..url\": unknown key"), "{errors:?}");
    assert!(errors[0].ends_with("(set by `B24RELAY_SOURCES____URL`)"), "{errors:?}");
    let flags = Overrides { state: Some("".into()), ..Overrides::default() };
    let error = load_with(SMALL, &environment(&[]), flags).unwrap_err().to_string();
    assert!(error.ends_with("state: must not be empty (the command line)"), "{error}");
}

#[test]
fn the_first_file_there_is_gets_loaded_and_a_given_one_must_be_there() {
    let directory = tempfile::tempdir().unwrap();
    let [absent, there, other] = ["absent", "there", "other"].map(|name| directory.path().join(name));
    std::fs::write(&there, SMALL).unwrap();
    std::fs::write(&other, "nonsense").unwrap();
    let places = [absent.clone(), there.clone(), other];
    let nothing = environment(&[]);
    let loaded = load_from(&places, &nothing, &Overrides::default()).unwrap();
    assert_eq!(loaded.file, Some(there));

    let given = |file: &PathBuf| Overrides { config: Some(file.clone()), ..Overrides::default() };
    let error = load_from(&places, &nothing, &given(&absent)).unwrap_err();
    assert!(matches!(error, ConfigError::Unreadable { .. }), "{error}");
    let error = load_from(&places, &nothing, &given(&directory.path().to_owned())).unwrap_err();
    assert!(matches!(error, ConfigError::Unreadable { .. }), "{error}");
    let error =
        load_from(std::slice::from_ref(&absent), &nothing, &Overrides::default()).unwrap_err().to_string();
    for part in [&absent.display().to_string(), "b24relay demo", "b24relay init"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_file_above_one_mebibyte_is_refused() {
    let padded = |len: usize| format!("{SMALL}#{}", " ".repeat(len - SMALL.len() - 1));
    assert!(load_text(padded(1024 * 1024), &environment(&[])).is_ok());
    let error = load_text(padded(1024 * 1024 + 1), &environment(&[])).unwrap_err().to_string();
    assert!(error.ends_with("is larger than 1 MiB"), "{error}");
}

#[test]
fn deep_nesting_is_refused_and_does_not_crash() {
    let dotted = format!("{}a = 1", "a.".repeat(400_000));
    let variable = format!("B24RELAY_{}A", "A__".repeat(40_000));
    assert!(load_text(dotted, &environment(&[])).is_err());
    assert!(load_text(SMALL, &environment(&[(&variable, "x")])).is_err());
}
