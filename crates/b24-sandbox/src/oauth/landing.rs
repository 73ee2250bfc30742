//! The pages in the browser of a user who authorises an application.

use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};

use crate::http::state::AppState;
use crate::rest::input::parameter::Parameters;

/// The path of the landing page.
pub(crate) const PATH: &str = "/sandbox/landed";

/// The address of the landing page, for applications without their own.
pub(crate) fn url(app_state: &AppState) -> String {
    format!("{}{}", app_state.base_url().trim_end_matches('/'), PATH)
}

/// `GET /sandbox/landed`: shows the parameters from the redirect.
pub(crate) async fn landed(RawQuery(query): RawQuery) -> Html<String> {
    let brought = Parameters::read(&query.unwrap_or_default(), "", b"");
    let row = |name: &str| {
        let value = escape(brought.text(name).unwrap_or(""));
        format!("<tr><th>{name}</th><td><code>{value}</code></td></tr>\n")
    };
    let rows: String =
        ["code", "state", "domain", "member_id", "scope"].iter().map(|name| row(name)).collect();
    Html(document(&format!(
        "<h1>The application is authorised</h1>\n<p>Its code works once, within 30 seconds.</p>\n\
         <table>\n{rows}</table>"
    )))
}

/// Shows an error to the user; the application gets no callback (PORTAL.md 5.1).
pub(crate) fn refused(reason: &str) -> Response {
    let page = document(&format!("<h1>The application cannot be authorised</h1>\n<p>{}</p>", escape(reason)));
    (StatusCode::BAD_REQUEST, Html(page)).into_response()
}

fn document(content: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>b24relay sandbox</title>\n\
         <style>body{{font-family:sans-serif;margin:15vh auto;max-width:60em}}th{{text-align:left;\
         padding-right:1em}}</style></head>\n<body>\n{content}\n</body></html>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
