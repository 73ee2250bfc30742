//! A template of a request's body: `template` of a webhook.
//!
//! Each value is escaped as the content type asks, so that a chat's text cannot leave its place. A JSON body is parsed
//! before it is sent.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, Value};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::IgnoredAny;

use crate::event::{Event, Queue, line};
use crate::template::engine::{self, Mistake};
use crate::template::variables;

/// The only template of an environment.
const NAME: &str = "body";

/// The largest body. No service that a template is for takes more.
const BODY_MAX: usize = 1 << 20;

/// The escaping of values in a form.
const FORM: &str = "form";

/// How values are written into a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Escape {
    Json,
    Markup,
    Form,
    None,
}

impl Escape {
    /// The escaping for a content type.
    fn of(content_type: &str) -> Self {
        let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media.as_str() {
            "application/json" | "text/json" => Self::Json,
            "application/x-www-form-urlencoded" => Self::Form,
            "text/html" | "text/xml" | "application/xml" => Self::Markup,
            _ if media.ends_with("+json") => Self::Json,
            _ if media.ends_with("+xml") => Self::Markup,
            _ => Self::None,
        }
    }

    fn auto_escape(self) -> AutoEscape {
        match self {
            Self::Json => AutoEscape::Json,
            Self::Markup => AutoEscape::Html,
            Self::Form => AutoEscape::Custom(FORM.into()),
            Self::None => AutoEscape::None,
        }
    }
}

/// A compiled template. Clones share it.
#[derive(Clone)]
pub struct BodyTemplate {
    text: Arc<str>,
    environment: Arc<Environment<'static>>,
    escape: Escape,
}

impl BodyTemplate {
    /// Compiles `text` for bodies of `content_type`.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub(crate) fn parse(text: &str, content_type: &str) -> Result<Self, Mistake> {
        let escape = Escape::of(content_type);
        let mut environment = engine::environment();
        environment.set_auto_escape_callback(move |_| escape.auto_escape());
        environment.set_formatter(format);
        environment
            .add_template_owned(NAME, text.to_owned())
            .map_err(|error| Mistake::detailed(text, &error))?;
        Ok(Self { text: text.into(), environment: Arc::new(environment), escape })
    }

    /// Renders a sample of every event type that `is_taken`, and a gap event. Returns notices about unknown keys.
    ///
    /// # Errors
    /// The first mistake, with its place and the type of the sample.
    pub(crate) fn try_out(&self, is_taken: impl Fn(&str) -> bool) -> Result<Vec<String>, String> {
        let template = self.environment.get_template(NAME);
        let names = template.map(|template| template.undeclared_variables(true)).unwrap_or_default();
        let unknown = variables::check(&names, &self.text).map_err(|mistake| mistake.to_string())?;
        let queue = Arc::new(Queue::new("sample", "example.bitrix24.com/user/1"));
        let samples = line::samples(&queue).into_iter().filter(|event| is_taken(&event.kind));
        for event in samples.chain(line::gap_sample(&queue)) {
            let kind = &event.kind;
            let body = self.write(&event).map_err(|error| {
                format!("{}, for an event of the type `{kind}`", Mistake::detailed(&self.text, &error))
            })?;
            self.check(&body).map_err(|reason| {
                format!(
                    "{reason}, for an event of the type `{kind}`. Values bring their own quotes: write \
                     `{{{{ message.text }}}}` without quotes around it, and join texts with `~`, as in \
                     `{{{{ \"New: \" ~ message.text }}}}`"
                )
            })?;
        }
        Ok(unknown.iter().map(ToString::to_string).collect())
    }

    /// The body for `event`.
    ///
    /// # Errors
    /// Says why there is none, without content of the event.
    pub(crate) fn render(&self, event: &Event) -> Result<Vec<u8>, String> {
        let body = self.write(event).map_err(|error| Mistake::discreet(&self.text, &error).to_string())?;
        self.check(&body)?;
        Ok(body)
    }

    fn write(&self, event: &Event) -> Result<Vec<u8>, Error> {
        let mut body = Limited(Vec::new());
        self.environment.get_template(NAME)?.render_captured_to(variables::of(event)?, &mut body)?;
        Ok(body.0)
    }

    fn check(&self, body: &[u8]) -> Result<(), String> {
        if self.escape != Escape::Json {
            return Ok(());
        }
        let parsed = serde_json::from_slice::<IgnoredAny>(body);
        parsed.map(|_| ()).map_err(|error| format!("the body is not valid JSON: {error}"))
    }
}

/// Writes a value as the content type asks. `|safe` writes it as it is.
fn format(output: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if *state.auto_escape() != Escape::Form.auto_escape() {
        return minijinja::escape_formatter(output, state, value);
    }
    if value.is_undefined() || value.is_none() {
        return Ok(());
    }
    let text = value.to_string();
    let text = if value.is_safe() { text } else { utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string() };
    output.write_str(&text).map_err(|_| Error::from(ErrorKind::WriteFailure))
}

/// A buffer that refuses to grow beyond [`BODY_MAX`].
struct Limited(Vec<u8>);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > BODY_MAX {
            return Err(io::Error::other(format!("the body is larger than {BODY_MAX} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PartialEq for BodyTemplate {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.escape) == (&other.text, other.escape)
    }
}

impl fmt::Debug for BodyTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyTemplate").field("escape", &self.escape).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::event::tests::event;

    const JSON: &str = "application/json";

    fn message(text: &str) -> Event {
        let data = json!({"message": {"text": text, "id": 7}, "chat": {"id": 318}}).to_string();
        event("ONIMV2MESSAGEADD", &data)
    }

    fn rendered(template: &str, content_type: &str, text: &str) -> String {
        let template = BodyTemplate::parse(template, content_type).unwrap();
        String::from_utf8(template.render(&message(text)).unwrap()).unwrap()
    }

    fn mistake(template: &str) -> String {
        match BodyTemplate::parse(template, JSON) {
            Ok(template) => template.try_out(|_| true).unwrap_err(),
            Err(mistake) => mistake.to_string(),
        }
    }

    proptest! {
        #[test]
        fn no_text_of_a_chat_leaves_its_place(text in any::<String>()) {
            let template = r#"{"a": {{ message.text }}, "b": {{ "<" ~ message.text ~ ">" }}, "c": [{{ message }}]}"#;
            let body: serde_json::Value = serde_json::from_str(&rendered(template, JSON, &text)).unwrap();
            prop_assert_eq!(&body["a"], &json!(text));
            prop_assert_eq!(&body["b"], &json!(format!("<{text}>")));
            prop_assert_eq!(&body["c"][0]["text"], &json!(text));
            let form = rendered("a={{ message.text }}&b={{ message.id }}", "application/x-www-form-urlencoded", &text);
            let (a, b) = form.split_once('&').unwrap();
            prop_assert_eq!(b, "b=7");
            let decoded = percent_encoding::percent_decode_str(&a[2..]).decode_utf8().unwrap();
            prop_assert_eq!(&*decoded, &text);
        }
    }

    #[test]
    fn the_content_type_decides_how_values_are_escaped() {
        let text = "a<b> & \"c\"";
        assert_eq!(rendered("{{ message.text }}", "text/plain; charset=utf-8", text), text);
        let markup = rendered("<p>{{ message.text }}</p>", "application/atom+xml", text);
        assert_eq!(markup, "<p>a&lt;b&gt; &amp; &quot;c&quot;</p>");
        assert_eq!(rendered("{{ message.text }}", "application/vnd.api+json; v=1", "\"\n"), r#""\"\n""#);
        assert_eq!(rendered("{{ message.absent.deep }}", JSON, ""), "null");
        assert_eq!(rendered("a={{ message.absent }}", "application/x-www-form-urlencoded", ""), "a=");
    }

    #[test]
    fn every_mistake_has_its_place() {
        for (template, told) in [
            ("{\"a\": {{ message.text }", "column "),
            ("{\n  \"a\": {{ mesage.text }}\n}", "line 2, column 11: there is no variable `mesage`"),
            ("{\"a\": {{ message.text|lowre }}}", "column 23: "),
            ("{\"a\": \"New: {{ message.text }}\"}", "the body is not valid JSON: "),
            ("{% for n in range(90000) %}{% for m in range(90000) %}1{% endfor %}{% endfor %}", "column "),
        ] {
            let mistake = mistake(template);
            assert!(mistake.starts_with(told), "{template}: {mistake}");
        }
        let quotes = mistake("{\"a\": \"New: {{ message.text }}\"}");
        assert!(
            quotes.contains("for an event of the type `ONIMV2MESSAGEADD`") && quotes.contains("`~`"),
            "{quotes}"
        );
    }

    #[test]
    fn a_template_that_writes_no_end_is_stopped() {
        let text = "x".repeat(20_000);
        let template = "{% for n in range(100) %}{{ message.text }}{% endfor %}";
        let refused =
            BodyTemplate::parse(template, "text/plain").unwrap().render(&message(&text)).unwrap_err();
        assert!(!refused.contains("xxx"), "{refused}");
    }
}
