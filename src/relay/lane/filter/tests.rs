//! Tests of the filter.

use super::*;
use crate::config::{Overrides, load};
use crate::event::tests::event;

/// The filter of a sink with these keys.
fn filter(keys: &str) -> ContentFilter {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("b24relay.toml");
    let text = format!(
        "[sources.support]\nwebhook_url = \"https://acme.bitrix24.com/rest/12/abc123/\"\n[sinks.console]\n\
         type = \"stdout\"\n{keys}\n"
    );
    std::fs::write(&file, text).unwrap();
    let config = load(&Overrides { config: Some(file), ..Overrides::default() }).unwrap().config;
    ContentFilter::new(&config.sinks[0])
}

fn message(data: &str) -> Event {
    event("ONIMV2MESSAGEADD", data)
}

/// The key that excludes a message with this data.
fn reason(keys: &str, data: &str) -> Option<&'static str> {
    let verdict = filter(keys).judge(&message(data));
    assert_eq!(verdict.failure, None);
    verdict.reason.map(FilterReason::word)
}

#[test]
fn each_key_excludes_what_it_says() {
    let own = r#"{"message":{"authorId":12,"text":"x"},"user":{"id":12},"chat":{"id":318,"type":"chat"}}"#;
    let other = r#"{"message":{"authorId":4,"text":"x"},"user":{"id":4},"chat":{"id":55,"type":"chat"}}"#;
    let bot = r#"{"message":{"authorId":39,"text":"x"},"user":{"id":39,"bot":true},"chat":{"id":55}}"#;
    let system = r#"{"message":{"authorId":0,"isSystem":true,"text":"x"},"user":[],"chat":{"id":55}}"#;
    for (keys, data, expected) in [
        ("", own, None),
        ("events = [\"ONIMV2MESSAGEUPDATE\"]", own, Some("events")),
        ("chats = [318]", own, None),
        ("chats = [318]", other, Some("chats")),
        ("chats = [\"-chat55\"]", other, Some("chats")),
        ("chats = [-55]", own, None),
        ("authors = [4]", other, None),
        ("authors = [4]", own, Some("authors")),
        ("authors = [4]", system, Some("authors")),
        ("authors = [-4]", other, Some("authors")),
        ("authors = [-4]", system, None),
        ("own = false", own, Some("own")),
        ("own = false", other, None),
        ("own = true", own, None),
        ("bots = false", bot, Some("bots")),
        ("bots = false", other, None),
        ("system = false", system, Some("system")),
        ("system = false", own, None),
        ("mentions = true", other, Some("mentions")),
        ("filter = \"chat.id == 318\"", own, None),
        ("filter = \"chat.id == 318\"", other, Some("filter")),
        ("chats = [55]\nfilter = \"message.text == 'x'\"", other, None),
        ("chats = [55]\nown = false", own, Some("chats")),
    ] {
        assert_eq!(reason(keys, data), expected, "{keys}: {data}");
    }
}

#[test]
fn what_the_portal_did_not_send_excludes_nothing() {
    let keys = "chats = [318]\nauthors = [4]\nown = false\nbots = false\nsystem = false\nmentions = true";
    for data in [r#"{"message":{"id":7},"chat":[],"user":[]}"#, "{}", "[]", "null", "\"x\""] {
        assert_eq!(reason(keys, data), None, "{data}");
    }
}

#[test]
fn an_expression_that_cannot_be_evaluated_lets_the_event_pass_and_says_so() {
    let filter = filter("filter = \"message.id % 2 == 0\"");
    let verdict = filter.judge(&event("ONIMV2MESSAGEDELETE", r#"{"messageId":7}"#));
    assert_eq!(verdict.reason, None);
    let failure = verdict.failure.unwrap();
    assert!(failure.starts_with("column "), "{failure}");
    // A number that no 64 bits hold is no JSON for the language.
    let verdict = filter.judge(&message(r#"{"message":{"text":"x","id":1e999}}"#));
    assert!(verdict.reason.is_none() && verdict.failure.is_some(), "{verdict:?}");
}

#[test]
fn a_filter_that_leaves_out_everything_is_noticed_once_and_one_that_takes_something_never() {
    let mut all = LeftOut { count: Some(0) };
    let noticed: Vec<usize> =
        (1..=300).filter(|_| all.is_everything(FilterDecision::Filtered(FilterReason::Events))).collect();
    assert_eq!(noticed, [100]);
    let mut some = LeftOut { count: Some(0) };
    assert!((0..300).all(|number| !some.is_everything(if number == 99 {
        FilterDecision::Wanted
    } else {
        FilterDecision::Filtered(FilterReason::Events)
    })));
    assert!(
        (0..300)
            .all(|_| !LeftOut { count: None }.is_everything(FilterDecision::Filtered(FilterReason::Events)))
    );
}
