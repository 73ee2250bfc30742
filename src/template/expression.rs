//! An expression that is true or false for an event: `filter` of a sink.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use minijinja::{Environment, Error, ErrorKind};

use crate::event::{Event, Queue, line};
use crate::template::engine::{self, Mistake};
use crate::template::variables;

/// The environment of all expressions. They borrow it, so it is static.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(engine::environment);

/// A compiled expression. Clones share it.
#[derive(Clone)]
pub struct Expression {
    text: Arc<str>,
    compiled: Arc<minijinja::Expression<'static, 'static>>,
}

impl Expression {
    /// Compiles `text` and checks the names in it.
    ///
    /// # Errors
    /// The first mistake, with its column.
    pub(crate) fn parse(text: &str) -> Result<Self, Mistake> {
        let compiled = ENVIRONMENT.compile_expression_owned(text.to_owned());
        let compiled = compiled.map_err(|error| Mistake::detailed(text, &error))?;
        Ok(Self { text: text.into(), compiled: Arc::new(compiled) })
    }

    /// Evaluates it for a sample of every event type that `is_taken`. Returns notices about failures for some types
    /// and about unknown keys.
    ///
    /// # Errors
    /// A mistake that concerns all of them, or a name that does not exist.
    pub(crate) fn try_out(&self, is_taken: impl Fn(&str) -> bool) -> Result<Vec<String>, Mistake> {
        let unknown = variables::check(&self.compiled.undeclared_variables(true), &self.text)?;
        let queue = Arc::new(Queue::new("sample", "example.bitrix24.com/user/1"));
        let samples = line::samples(&queue).into_iter().filter(|event| is_taken(&event.kind));
        let (mut failed, mut count) = (Vec::new(), 0);
        for event in samples {
            count += 1;
            let Err(error) = self.evaluate(&event) else { continue };
            let mistake = Mistake::detailed(&self.text, &error);
            if is_always_wrong(error.kind()) {
                return Err(mistake);
            }
            failed.push((event.kind, mistake));
        }
        match failed.first() {
            Some((_, mistake)) if failed.len() == count => return Err(mistake.clone()),
            _ => {}
        }
        let failed = failed
            .into_iter()
            .map(|(kind, mistake)| format!("{mistake}, for `{kind}`: such events pass this filter"));
        Ok(unknown.iter().map(ToString::to_string).chain(failed).collect())
    }

    /// Whether it is true for `event`.
    ///
    /// # Errors
    /// Says why it cannot be evaluated, without content of the event.
    pub(crate) fn holds(&self, event: &Event) -> Result<bool, Mistake> {
        self.evaluate(event).map_err(|error| Mistake::discreet(&self.text, &error))
    }

    fn evaluate(&self, event: &Event) -> Result<bool, Error> {
        Ok(self.compiled.eval(variables::of(event)?)?.is_true())
    }
}

/// Whether such an error is in the expression, and not in what an event lacks.
fn is_always_wrong(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnknownFilter
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownFunction
            | ErrorKind::MissingArgument
            | ErrorKind::TooManyArguments
            | ErrorKind::OutOfFuel
            | ErrorKind::SyntaxError
    )
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Hash for Expression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(kind: &str) -> Event {
        let queue = Arc::new(Queue::new("support", "acme.bitrix24.com/user/12"));
        line::samples(&queue).into_iter().find(|event| event.kind == kind).unwrap()
    }

    fn holds(text: &str, kind: &str) -> bool {
        Expression::parse(text).unwrap().holds(&sample(kind)).unwrap()
    }

    fn mistake(text: &str) -> String {
        let tried = Expression::parse(text).and_then(|expression| expression.try_out(|_| true));
        tried.unwrap_err().to_string()
    }

    fn notices(text: &str) -> Vec<String> {
        Expression::parse(text).unwrap().try_out(|_| true).unwrap()
    }

    #[test]
    fn an_expression_sees_the_event_and_what_the_portal_sent() {
        for text in [
            "message.authorId == 12",
            "'green' in message.text",
            "message.text is startingwith('Sample')",
            "chat.type in ['chat', 'open'] and not user.bot",
            "event.type == 'ONIMV2MESSAGEADD' and event.source == 'support'",
            "event.portal == 'acme.bitrix24.com' and event.eventId == 1",
            "message.text|lower|length > 10",
            "data.language == 'ru'",
            "user.departments and 3 in user.departments",
        ] {
            assert!(holds(text, "ONIMV2MESSAGEADD"), "{text}");
            assert_eq!(notices(text).iter().filter(|told| told.contains("no known event")).count(), 0);
        }
    }

    #[test]
    fn what_an_event_lacks_is_false_and_no_error() {
        for text in ["message.text", "message.forward.id", "'x' in message.text", "message.text == 'x'"] {
            assert!(!holds(text, "ONIMBOTV2DELETE"), "{text}");
        }
        assert!(holds("not message.text", "ONIMV2MESSAGEDELETE"));
    }

    #[test]
    fn every_mistake_has_its_column() {
        for (text, told) in [
            ("message.text ==", "column 14: "),
            ("user.bot and (chat.id == 5", "column "),
            (
                "chat.id == 5 or mesage.text",
                "column 17: there is no variable `mesage`: did you mean `message`?",
            ),
            ("secrets.token", "column 1: there is no variable `secrets`: known are "),
            (
                "1 and event.typ == 'X'",
                "column 7: no known event has `event.typ`: did you mean `event.type`?",
            ),
            ("message.text|lowre == 'x'", "column 14: "),
            ("message.text is beginning('x')", "column "),
            ("chat.id == 5\nand now()", "line 2, column 5: "),
            ("range(100000000)|list", "column "),
        ] {
            let mistake = mistake(text);
            assert!(mistake.starts_with(told), "{text}: {mistake}");
        }
    }

    #[test]
    fn a_key_that_no_known_event_has_is_a_notice() {
        let told = notices("message.txet == 'x'");
        let expected = "column 1: no known event has `message.txet`: did you mean `message.text`?";
        assert_eq!(told, [expected]);
        assert_eq!(notices("message.params.FILE_ID"), [""; 0]);
    }

    #[test]
    fn an_error_for_some_types_is_a_notice_and_one_for_all_types_taken_is_a_mistake() {
        let text = "message.id % 2 == 1";
        let told = notices(text);
        assert!(told.iter().any(|told| told.contains("for `ONIMV2MESSAGEDELETE`")), "{told:?}");
        assert!(!told.iter().any(|told| told.contains("`ONIMV2MESSAGEADD`")), "{told:?}");
        let expression = Expression::parse(text).unwrap();
        assert_eq!(expression.try_out(|kind| kind == "ONIMV2MESSAGEADD"), Ok(Vec::new()));
        assert!(expression.try_out(|kind| kind == "ONIMV2MESSAGEDELETE").is_err());
    }

    #[test]
    fn what_is_told_at_run_time_has_no_content_of_the_event() {
        let expression = Expression::parse("message.text|int > 3").unwrap();
        let told = expression.holds(&sample("ONIMV2MESSAGEADD")).unwrap_err().to_string();
        assert!(told.starts_with("column ") && !told.contains("Sample"), "{told}");
    }

    #[test]
    fn an_endless_expression_ends() {
        let expression = Expression::parse("range(2000)|sum > 3").unwrap();
        assert!(expression.holds(&sample("ONIMV2MESSAGEADD")).is_ok());
        let endless = "range(90000)|map('string')|map('string')|map('string')|join|length";
        assert!(Expression::parse(endless).unwrap().holds(&sample("ONIMV2MESSAGEADD")).is_err());
    }
}
