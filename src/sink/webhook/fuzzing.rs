//! Properties that hold for every response of a receiver.

use std::mem::discriminant;
use std::time::Duration;

use b24_testkit::fuzzing::{Answer, MARK, assert_hides_the_mark};
use reqwest::{Body, Response};
use tokio::runtime::{Builder, Runtime};

use super::answer::ResponseClassifier;
use super::redactor::Redactor;
use crate::config::{SecretUrl, WebhookConfig};
use crate::sink::contract::DeliverError;
use crate::sink::webhook::answer::ANSWER_MAX;

/// The maximum length that a dead letter keeps, and the longest wait that a receiver may request.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// Checks the properties for `bytes` as a receiver's response.
///
/// # Panics
/// If a property does not hold.
pub fn answer(bytes: &[u8]) {
    thread_local! {
        static WORLD: (Runtime, ResponseClassifier) = world();
    }
    let Some(answer) = Answer::read(bytes) else { return };
    WORLD.with(|(runtime, classifier)| {
        let body = answer.body.to_vec();
        let outcome = runtime.block_on(classifier.classifier(response(&answer, body)));
        let of_head = runtime.block_on(classifier.classifier(response(&answer, Vec::new())));
        assert!(is_same(&outcome, &of_head), "the body changed the outcome: {outcome:?}, {of_head:?}");
        if let Err(failure) = outcome {
            assert_is_bounded(&failure);
            assert_is_fit_to_be_shown(&failure);
        }
    });
}

fn world() -> (Runtime, ResponseClassifier) {
    let url = SecretUrl::parse(&format!("https://receiver.example/hooks/{MARK}?token={MARK}"));
    let config = WebhookConfig::of(url.unwrap_or_else(|reason| panic!("{reason}")));
    let runtime = Builder::new_current_thread().enable_time().build();
    (
        runtime.unwrap_or_else(|error| panic!("{error}")),
        ResponseClassifier::new(&config, Redactor::of(&config)),
    )
}

fn response(answer: &Answer<'_>, body: Vec<u8>) -> Response {
    let mut response = hyper::Response::new(Body::from(body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers.clone();
    response.into()
}

fn is_same(one: &Result<(), DeliverError>, other: &Result<(), DeliverError>) -> bool {
    match (one, other) {
        (Ok(()), Ok(())) => true,
        (Err(one), Err(other)) => discriminant(one) == discriminant(other),
        _ => false,
    }
}

fn assert_is_bounded(failure: &DeliverError) {
    match failure {
        DeliverError::Transient { wait, .. } | DeliverError::Held { wait, .. } => {
            assert!(wait.is_none_or(|wait| wait <= WAIT_MAX), "{wait:?}");
        }
        DeliverError::Rejected { answer, .. } => assert!(answer.len() <= ANSWER_MAX),
        DeliverError::Paused { .. } | DeliverError::Closed { .. } => {}
    }
}

fn assert_is_fit_to_be_shown(failure: &DeliverError) {
    let answer = if let DeliverError::Rejected { answer, .. } = failure { answer.as_str() } else { "" };
    for text in [&failure.to_string(), answer] {
        assert_hides_the_mark(text);
        assert!(!text.contains(char::is_control), "moves the cursor: {text:?}");
    }
}
