//! Every row of PORTAL.md section 6, tested with a real client: the reaction to a refusal or a symptom.

use std::sync::Arc;
use std::time::Duration;

use b24_client::NoKeyValue;
use b24_client::http::Route;
use b24_client::{CallError, Class, Credential, EventQueue, PortalClient, PortalState};
use b24relay::config::{PortalConfig, QueueKind, WebhookUrl};
use b24relay::event::Offset;
use serde_json::{Value, json};

use crate::support::portal::sandbox::Portal;
use crate::support::process::waiting::PATIENCE;

/// A code, the documented and observed statuses, and its class.
type Row = (&'static str, &'static [u16], Class);

/// The first table, except for the rows that depend on more than a code.
const ROWS: &[Row] = &[
    ("QUERY_LIMIT_EXCEEDED", &[503, 429], Class::Rate),
    ("OPERATION_TIME_LIMIT", &[429], Class::OpWait),
    ("OVERLOAD_LIMIT", &[401, 503], Class::Operator),
    ("expired_token", &[401], Class::Refresh),
    ("invalid_token", &[401], Class::Refresh),
    ("NO_AUTH_FOUND", &[401], Class::Operator),
    ("INVALID_CREDENTIALS", &[401, 403], Class::Operator),
    ("insufficient_scope", &[401, 403], Class::Operator),
    ("user_access_error", &[403, 401], Class::Operator),
    ("authorization_error", &[401], Class::Operator),
    ("APPLICATION_NOT_FOUND", &[401], Class::Operator),
    ("ERROR_OAUTH", &[401], Class::Operator),
    ("NOT_INSTALLED", &[401], Class::Operator),
    ("PAYMENT_REQUIRED", &[401], Class::Operator),
    ("CONNECTION_ERROR", &[401], Class::Retry),
    ("METHOD_CONFIRM_WAITING", &[401], Class::Operator),
    ("METHOD_CONFIRM_DENIED", &[403], Class::Operator),
    ("ACCESS_DENIED", &[401, 403], Class::Operator),
    ("WRONG_AUTH_TYPE", &[403], Class::Operator),
    ("WRONG_LICENSE", &[403], Class::Operator),
    ("ALLOWED_ONLY_INTRANET_USER", &[403], Class::Operator),
    ("INVALID_REQUEST", &[401, 400], Class::Bug),
    ("ERROR_METHOD_NOT_FOUND", &[404, 400], Class::Operator),
    ("PORTAL_DELETED", &[403, 500, 410, 404], Class::Operator),
    ("ERROR_BATCH_METHOD_NOT_ALLOWED", &[405], Class::Bug),
    ("ERROR_BATCH_LENGTH_EXCEEDED", &[400], Class::Bug),
    ("MAIN_CONTROLLER_22001", &[400], Class::Bug),
    ("22002", &[400], Class::Operator),
    ("100", &[400], Class::RetryBounded),
    ("0", &[400], Class::RetryBounded),
    ("400", &[400], Class::RetryBounded),
    ("4711", &[400], Class::RetryBounded),
    ("", &[400], Class::RetryBounded),
    ("ERROR_CORE", &[500, 400], Class::RetryBounded),
    ("INTERNAL_SERVER_ERROR", &[500], Class::Retry),
    ("ERROR_UNEXPECTED_ANSWER", &[500, 200], Class::Retry),
    ("INTERNAL_WRONG_TRANSPORT", &[500], Class::Operator),
    ("INTERNAL_WRONG_HANDLER_CLASS", &[500], Class::Operator),
    ("WRONG_ENCODING", &[200], Class::RetryBounded),
    ("ERROR_MANIFEST_IS_NOT_AVAILABLE", &[404], Class::Bug),
    ("invalid_authentication", &[400], Class::Operator),
    ("invalid_http_method", &[400], Class::Bug),
    ("BOT_TOKEN_NOT_SPECIFIED", &[400, 403], Class::Bug),
    ("CLIENT_ID_NOT_SPECIFIED", &[400, 403], Class::Bug),
    ("BOT_ID_REQUIRED", &[400, 403], Class::Bug),
    ("PARAMS_REQUIRED", &[400, 403], Class::Bug),
    ("BOT_NOT_FOUND", &[400, 403], Class::Operator),
    ("BOT_OWNERSHIP_ERROR", &[400, 403], Class::Operator),
    ("SCOPE_ERROR", &[400, 403], Class::Operator),
    ("USER_NOT_SUBSCRIBED", &[400], Class::Unsubscribed),
    ("AUTH_ERROR", &[400], Class::Operator),
    // Codes of commands: no poll is answered with them, and a poll that was would not be given up immediately.
    ("BOT_ID_ERROR", &[400], Class::RetryBounded),
    ("APP_ID_ERROR", &[400], Class::RetryBounded),
    ("WRONG_REQUEST", &[400], Class::RetryBounded),
    ("ERROR_EVENT_NOT_FOUND", &[400], Class::RetryBounded),
    ("BOT_LIMIT_EXCEEDED", &[400], Class::RetryBounded),
    ("NEVER_SEEN", &[400, 401, 402, 403, 404, 409, 422], Class::RetryBounded),
];

/// The queue of a webhook, read as the relay reads it.
struct Reader {
    queue: EventQueue,
    code: String,
}

impl Reader {
    async fn of(url: &str, timeout: Duration) -> Self {
        let webhook = WebhookUrl::parse(url).unwrap();
        let code = webhook.expose_code().to_owned();
        let portal_state =
            PortalState::open(webhook.url(), PortalConfig::with_rate(None), Arc::new(NoKeyValue))
                .await
                .unwrap();
        let client = PortalClient::try_new(
            Arc::new(portal_state),
            Credential::Webhook(webhook),
            timeout,
            Route::default(),
        )
        .unwrap();
        Self { queue: EventQueue::new(client, QueueKind::User), code }
    }

    /// The refusal of a poll. It must be refused, and the refusal must not contain the secret.
    async fn refusal(&self, what: &str) -> CallError {
        let Err(refusal) = self.queue.poll(Offset::START, 10).await else { panic!("answered: {what}") };
        assert!(!refusal.to_string().contains(&self.code), "the secret is in: {refusal}");
        refusal
    }
}

/// A portal with an event, and a client that reads it.
struct Interview {
    portal: Portal,
    reader: Reader,
}

impl Interview {
    async fn begin() -> Self {
        let portal = Portal::start().await;
        portal.record(1, 1).await;
        let reader = Reader::of(&portal.webhook_url(1), PATIENCE).await;
        Self { portal, reader }
    }

    /// Answers one poll after another with each fault, and compares the classes with the expected ones.
    async fn assert_classes(&self, cases: Vec<(Value, Class)>) {
        assert!(!cases.is_empty());
        for (fault, _) in &cases {
            self.portal.fault(fault.clone()).await;
        }
        let mut wrong = Vec::new();
        for (fault, expected) in &cases {
            let refusal = self.reader.refusal(&fault.to_string()).await;
            if refusal.class != *expected {
                wrong.push(format!("{fault}: {:?}, not {expected:?} ({refusal})", refusal.class));
            }
            assert_eq!(refusal.hint.is_empty(), heals_by_itself(*expected), "{fault}: `{}`", refusal.hint);
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert_eq!(self.portal.faults_left().await, 0);
    }
}

/// Whether no operator has to be informed.
fn heals_by_itself(class: Class) -> bool {
    matches!(class, Class::Retry | Class::Rate | Class::OpWait)
}

fn error(status: u16, code: impl Into<Value>) -> Value {
    json!({"kind": "error", "status": status, "code": code.into()})
}

fn described(status: u16, code: &str, description: &str) -> Value {
    json!({"kind": "error", "status": status, "code": code, "description": description})
}

fn body(status: u16, body: &str) -> Value {
    json!({"kind": "raw", "status": status, "content_type": "application/json", "body": body})
}

#[tokio::test]
async fn every_code_has_its_class_whatever_its_status_and_letter_case() {
    let mut cases = Vec::new();
    for (code, statuses, class) in ROWS {
        for status in *statuses {
            for spelled in [(*code).to_owned(), code.to_ascii_lowercase(), code.to_ascii_uppercase()] {
                cases.push((error(*status, spelled), *class));
            }
        }
    }
    // An unknown code is classified only by its status.
    for status in [500, 501, 502, 503, 504, 520] {
        for code in ["NEVER_SEEN", "", "0", "100", "4711"] {
            cases.push((error(status, code), Class::Retry));
        }
    }
    Interview::begin().await.assert_classes(cases).await;
}

#[tokio::test]
async fn a_code_counts_in_every_shape_it_comes_in() {
    let mut cases = Vec::new();
    for (code, statuses, class) in ROWS {
        let status = statuses[0];
        // The code decides, even with a status of success and beside a result.
        cases.push((error(200, *code), *class));
        cases.push((error(status, json!({"code": code, "message": "in words", "validation": []})), *class));
        let beside = json!({"error": code, "result": {"events": [], "nextOffset": 9, "hasMore": false}});
        cases.push((body(status, &beside.to_string()), *class));
        cases.push((body(status, &format!("\u{feff} \r\n{}", json!({"error": code}))), *class));
        if let Ok(number) = code.parse::<u64>() {
            cases.push((error(status, number), *class));
            cases.push((error(status, json!({"code": number})), *class));
        }
    }
    for odd in [json!(null), json!(true), json!(-1), json!(1.5), json!([]), json!({}), json!({"code": null})]
    {
        cases.push((error(400, odd.clone()), Class::RetryBounded));
        cases.push((error(200, odd), Class::RetryBounded));
    }
    Interview::begin().await.assert_classes(cases).await;
}

#[tokio::test]
async fn what_stands_beside_a_code_counts_only_where_the_table_says_so() {
    let parameter = "Invalid value {} to match with parameter {offset}. Should be value of type int.";
    let with = |fault: Value, extra: Value| {
        let mut fault = fault;
        fault["extra"] = extra;
        fault
    };
    let session = json!({"sessid": "0123456789abcdef"});
    let mut cases = vec![
        (with(described(400, "ERROR_ARGUMENT", "bad"), json!({"argument": "LIMIT"})), Class::Bug),
        (with(described(400, "error_argument", "bad"), json!({"argument": "LIMIT"})), Class::Bug),
        (described(400, "100", parameter), Class::Bug),
        (described(200, "100", parameter), Class::Bug),
        (
            error(400, json!({"code": 100, "message": "Could not find value for parameter {offset}"})),
            Class::Bug,
        ),
        (described(400, "100", "Mysql query error: (1205) Lock wait timeout"), Class::RetryBounded),
        (described(400, "0", parameter), Class::RetryBounded),
        (described(500, "ERROR_CORE", "SQL query error!"), Class::RetryBounded),
        (with(error(401, "CONNECTION_ERROR"), session.clone()), Class::Retry),
        (with(described(401, "insufficient_scope", ""), json!({"type": "x"})), Class::Operator),
    ];
    for code in ["access_denied", "ACCESS_DENIED", "session_failed", "SESSION_FAILED"] {
        cases.push((with(error(401, code), session.clone()), Class::Bug));
        cases.push((with(error(401, code), json!({"sessid": null})), Class::Bug));
    }
    for text in ["REST is available only by subscription.", "REST is available only on commercial plans."] {
        cases.push((described(401, "ACCESS_DENIED", text), Class::Operator));
    }
    for text in ["The access token provided has expired", "The access token provided has expired."] {
        cases.push((described(401, "expired_token", text), Class::Refresh));
    }
    // No text decides anything without a row that names it.
    cases.push((
        described(401, "INVALID_CREDENTIALS", "QUERY_LIMIT_EXCEEDED Too many requests"),
        Class::Operator,
    ));
    cases.push((described(503, "QUERY_LIMIT_EXCEEDED", "INVALID_CREDENTIALS {parameter}"), Class::Rate));
    Interview::begin().await.assert_classes(cases).await;
}

#[tokio::test]
async fn an_answer_without_a_usable_body_is_judged_by_its_status() {
    let page = "<!DOCTYPE html><html><body>closed</body></html>";
    let mut cases = Vec::new();
    for (statuses, class) in [
        (vec![429, 503], Class::Rate),
        (vec![500, 502, 504], Class::Retry),
        (vec![401, 403, 404], Class::Operator),
        (vec![200, 400, 405], Class::RetryBounded),
    ] {
        for status in statuses {
            cases.push((json!({"kind": "html", "status": status}), class));
            // The type of a page and foreign JSON change nothing.
            cases.push((body(status, page), class));
            cases.push((body(status, "{\"message\": \"forbidden\"}"), class));
            cases.push((json!({"kind": "empty", "status": status}), class));
        }
    }
    for odd in [
        "{}",
        "[]",
        "[{\"error\":\"expired_token\"}]",
        "[{}, \"expired_token\", 3, 4, 5]",
        "null",
        "7",
        "\"x\"",
        "{\"time\":{}}",
    ] {
        cases.push((body(200, odd), Class::RetryBounded));
    }
    for odd in ["null", "true", "7", "\"x\"", "[]", "{}", "[1]"] {
        cases.push((body(200, &format!("{{\"result\":{odd}}}")), Class::RetryBounded));
    }
    for odd in ["null", "true", "7", "\"x\"", "{\"a\":1}", "[{\"eventId\":7},7,{\"eventId\":6}]"] {
        cases.push((body(200, &format!("{{\"result\":{{\"events\":{odd}}}}}")), Class::RetryBounded));
    }
    Interview::begin().await.assert_classes(cases).await;
}

#[tokio::test]
async fn an_answer_that_did_not_arrive_whole_is_asked_for_again() {
    let mut cases = vec![
        (json!({"kind": "close_before"}), Class::Retry),
        (json!({"kind": "close_after"}), Class::Retry),
        (json!({"kind": "truncate", "at": 0.0}), Class::Retry),
        (json!({"kind": "truncate", "at": 1}), Class::Retry),
        (json!({"kind": "truncate", "at": 0.5}), Class::Retry),
        (json!({"kind": "truncate", "at": 0.999}), Class::Retry),
        (json!({"kind": "wrong_length"}), Class::Retry),
        (json!({"kind": "gzip_cut"}), Class::Retry),
    ];
    for cut in ["{", "{\"error\":\"INVALID_CREDE", "{\"result\":{\"events\":[{\"eventId\":12"] {
        for status in [200, 500, 502, 504] {
            cases.push((body(status, cut), Class::Retry));
        }
        // It was a refusal of unknown kind: an operator is only informed if it stays.
        for status in [400, 401, 403, 404] {
            cases.push((body(status, cut), Class::RetryBounded));
        }
        for status in [429, 503] {
            cases.push((body(status, cut), Class::Rate));
        }
    }
    Interview::begin().await.assert_classes(cases).await;
}

#[tokio::test]
async fn nobody_follows_a_redirect_that_is_no_rename() {
    let interview = Interview::begin().await;
    let own = format!("{}im.v2.Event.get", interview.portal.webhook_url(1));
    let path = own.split_once("/rest/").unwrap().1;
    let mut cases = vec![(json!({"kind": "html", "status": 302}), Class::Operator)];
    for status in [301, 302, 303, 307, 308] {
        for location in [
            own.clone(),
            format!("http://portal.example/rest/{path}"),
            format!("https://portal.example/rest/{path}"),
            format!("https://portal.example/auth/?backurl=/rest/{path}"),
            "/auth/".to_owned(),
            "/".to_owned(),
            String::new(),
            "https://".to_owned(),
        ] {
            let redirect = json!({"kind": "redirect", "status": status, "location": location});
            cases.push((redirect, Class::Operator));
        }
    }
    interview.assert_classes(cases).await;
}

#[tokio::test]
async fn a_portal_that_cannot_be_reached_is_tried_again() {
    let portal = Portal::start().await;
    let encrypted = portal.webhook_url(1).replace("http://", "https://");
    for (what, url, class) in [
        ("nobody listens", "http://127.0.0.1:1/rest/1/s3cr3t/", Class::Retry),
        // Like a captive portal. If the error stays, the address is wrong.
        ("no TLS there", &encrypted, Class::RetryBounded),
    ] {
        let refusal = Reader::of(url, PATIENCE).await.refusal(what).await;
        assert_eq!(refusal.class, class, "{what}: {refusal}");
    }
    portal.fault(json!({"kind": "stall", "seconds": 3600})).await;
    let hasty = Reader::of(&portal.webhook_url(1), Duration::from_millis(200)).await;
    let refusal = hasty.refusal("a stall").await;
    assert_eq!(refusal.class, Class::Retry, "{refusal}");
}

#[tokio::test]
async fn an_answer_over_the_cap_is_asked_for_in_smaller_parts() {
    let huge = "x".repeat(17 << 20);
    let bodies = [format!("{{\"result\":\"{huge}\"}}"), huge];
    let cases = bodies.iter().map(|text| (body(200, text), Class::TooLarge));
    let interview = Interview::begin().await;
    for (fault, class) in cases {
        interview.portal.fault(fault).await;
        assert_eq!(interview.reader.refusal("far too much").await.class, class);
    }
}

#[tokio::test]
async fn probes_and_pauses_are_those_of_the_table() {
    let interview = Interview::begin().await;
    for (code, minutes) in [
        ("OVERLOAD_LIMIT", 15..=60),
        ("ERROR_METHOD_NOT_FOUND", 15..=60),
        ("PORTAL_DELETED", 5..=15),
        ("METHOD_CONFIRM_WAITING", 1..=5),
        ("PAYMENT_REQUIRED", 15..=60),
    ] {
        interview.portal.fault(error(401, code)).await;
        let probe = interview.reader.refusal(code).await.probe.as_secs();
        assert!(minutes.contains(&(probe / 60)), "{code}: after {probe} s");
    }
    // A page is not a refusal by a portal, and often disappears within seconds.
    for status in [200, 302, 401, 402, 403, 404, 405, 451] {
        interview.portal.fault(json!({"kind": "html", "status": status})).await;
        let probe = interview.reader.refusal("a page").await.probe;
        assert_eq!(probe, Duration::from_secs(5), "{status}");
    }
    for fault in [error(503, "QUERY_LIMIT_EXCEEDED"), error(500, "X"), json!({"kind": "html", "status": 503})]
    {
        let mut fault = fault;
        fault["headers"] = json!({"Retry-After": "7"});
        interview.portal.fault(fault.clone()).await;
        let wait = interview.reader.refusal("asked to wait").await.wait;
        assert_eq!(wait, Some(Duration::from_secs(7)), "{fault}");
    }
}

#[tokio::test]
async fn what_a_portal_writes_oddly_is_no_refusal() {
    let interview = Interview::begin().await;
    for odd in [
        r#"{"result":{"events":[],"nextOffset":null,"hasMore":false}}"#,
        r#"{"result":{"events":{},"nextOffset":"0","hasMore":"N"},"time":[]}"#,
        r#"{"result":{"events":[{"eventId":"7","type":"X","date":null,"data":[]}]},"time":null}"#,
        "\u{feff}\n {\"result\":{\"events\":[]},\"time\":{\"finish\":\"noon\",\"operating\":null}}\n",
    ] {
        interview.portal.fault(body(200, odd)).await;
        let polled = interview.reader.queue.poll(Offset::START, 10).await;
        assert!(polled.is_ok(), "{odd}: {}", polled.err().unwrap());
    }
    // Then the portal itself answers.
    let batch = interview.reader.queue.poll(Offset::START, 10).await.unwrap();
    assert_eq!(batch.events.len(), 1);
}
