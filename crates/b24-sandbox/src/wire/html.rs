//! Responses of a front-end server: HTML pages and redirects.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, Response, StatusCode};

use crate::wire::envelope::Answer;

/// A response with any text as its body.
pub(crate) fn page(status: StatusCode, content_type: &str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    if let Ok(content_type) = HeaderValue::try_from(content_type) {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response
}

/// The page of an overloaded front-end server.
pub(crate) fn html_answer(status: StatusCode) -> Answer {
    let mut answer = Response::new(html(status).into());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    answer
}

fn html(status: StatusCode) -> String {
    format!(
        "<!DOCTYPE html>\n<html><head><title>{status}</title>\n<style>body{{font-family:sans-serif;\
         background:#eef2f4;text-align:center;padding-top:20vh}}</style></head>\n<body><h1>{status}</h1>\n\
         <p>Сервис временно недоступен. Мы уже знаем об этом &mdash; попробуйте обновить страницу через минуту.</p>\n\
         </body></html>\n"
    )
}

/// A redirect to `location`, with the body of a front-end server.
pub(crate) fn redirect(status: StatusCode, location: &str) -> Response<Body> {
    let mut response = page(status, "text/html; charset=utf-8", html(status));
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}
