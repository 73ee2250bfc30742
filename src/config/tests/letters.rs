//! `format`, `secrets` and `secrets_file` of a webhook.

use super::{SMALL, assert_refused, config_of, environment, errors, load_text, with_sink};
use crate::config::{BodyConfig, PayloadConfig, PayloadFormat, TargetConfig};

const ONE: &str = "whsec_b25lIHNlY3JldCBvZiB0aGUgdGVzdHMuLi4=";
const OTHER: &str = "whsec_b3RoZXIgc2VjcmV0IG9mIHRoZSB0ZXN0cw==";

fn webhook(lines: &str) -> String {
    with_sink(&format!("type = 'webhook'\nurl = 'https://w.example/'\n{lines}"))
}

#[track_caller]
fn letter_of(text: &str) -> PayloadConfig {
    let sink = config_of(text).sinks.into_iter().find(|sink| sink.name == "b").unwrap();
    let TargetConfig::Webhook(webhook) = sink.target else { panic!("not a webhook") };
    webhook.payload
}

#[test]
fn each_format_has_its_word_and_only_some_hold_batches() {
    for (word, format, holds_batches) in [
        ("json", PayloadFormat::Json, true),
        ("raw", PayloadFormat::Raw, true),
        ("cloudevents", PayloadFormat::CloudEvents, false),
        ("cloudevents-binary", PayloadFormat::CloudEventsBinary, false),
        ("cloudevents-batch", PayloadFormat::CloudEventsBatch, true),
    ] {
        let letter = letter_of(&webhook(&format!("format = '{word}'")));
        assert_eq!(letter.body.holds_batches(), holds_batches);
        assert_eq!(letter.body, BodyConfig::Event(format));
    }
    assert_eq!(letter_of(&webhook("")).body, BodyConfig::Event(PayloadFormat::Json));
    assert_refused(&webhook("format = 'text'"), &["sinks.b.format: must be `json`, `raw`, `cloudevents`"]);
}

#[test]
fn a_format_is_for_standard_output_and_webhooks_alone() {
    assert_refused(&with_sink("type = 'file'\npath = 'x'\nformat = 'raw'"), &["sinks.b.format: belongs to"]);
    let errors = errors(&with_sink("type = 'stdout'\nformat = 'raw'"), &environment(&[]));
    assert!(errors[0].contains("sinks.b.format: must be `json` or `text`"), "{errors:?}");
}

#[test]
fn secrets_come_in_their_order_from_a_list_a_variable_or_a_file() {
    let given = letter_of(&webhook(&format!("secrets = ['{ONE}', '{OTHER}']"))).signing;
    assert_eq!((given.key.as_str(), given.secrets.len(), given.file), ("sinks.b.secrets", 2, None));
    assert_ne!(given.secrets[0], given.secrets[1]);

    let variables = environment(&[("B24RELAY_SINKS__B__SECRETS", &format!("{ONE}, {OTHER}"))]);
    let loaded = load_text(webhook(""), &variables).unwrap();
    let sink = loaded.config.sinks.into_iter().find(|sink| sink.name == "b").unwrap();
    let TargetConfig::Webhook(webhook_config) = sink.target else { panic!("not a webhook") };
    assert_eq!(webhook_config.payload.signing.secrets, given.secrets);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.secrets");
    std::fs::write(&path, format!("{ONE}\n{OTHER}\n")).unwrap();
    let from_file = letter_of(&webhook(&format!("secrets_file = '{}'", path.display()))).signing;
    assert_eq!((from_file.key.as_str(), from_file.file), ("sinks.b.secrets_file", Some(path)));
    assert_eq!(from_file.secrets, given.secrets);
    assert!(letter_of(&webhook("")).signing.secrets.is_empty());
}

#[test]
fn a_wrong_secret_is_named_by_its_place_with_the_way_out() {
    assert_refused(
        &webhook(&format!("secrets = ['{ONE}', 'whsec_c2hvcnQ=']")),
        &[
            "sinks.b.secrets: secret 2 of the list must be 24 to 64 bytes in base64 behind `whsec_`: make one with",
        ],
    );
    assert_refused(&webhook("secrets = []"), &["sinks.b.secrets: must hold 1 to 10 secrets"]);
    let many = vec![format!("'{ONE}'"); 11].join(",");
    assert_refused(&webhook(&format!("secrets = [{many}]")), &["sinks.b.secrets: must hold 1 to 10 secrets"]);
    assert_refused(&webhook("secrets = 5"), &["sinks.b.secrets: must be a list"]);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.secrets");
    let text = webhook(&format!("secrets_file = '{}'", path.display()));
    for (content, expected) in [
        ("\n".to_owned(), "b.secrets` is empty"),
        (format!("{ONE}\nwhpk_x\n"), "line 2 of the file is the public key"),
        (
            "x".to_owned(),
            "line 1 of the file must begin with `whsec_` or `whsk_`: make one with `b24relay secret new`",
        ),
    ] {
        std::fs::write(&path, content).unwrap();
        let errors = errors(&text, &environment(&[]));
        assert!(errors.len() == 1 && errors[0].contains(expected), "{errors:?}");
    }
    std::fs::write(&path, ONE).unwrap();
    assert_refused(
        &format!("{text}secrets = ['{ONE}']\n"),
        &["sinks.b.secrets_file: must not be given together with `secrets`: keep one"],
    );
    assert!(errors(SMALL, &environment(&[])).is_empty());
}
