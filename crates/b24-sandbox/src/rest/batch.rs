//! `batch`: up to 50 calls in one request, each with its own response (PORTAL.md 7, 8).

use serde_json::{Map, Value};

use crate::rest::caller::Caller;
use crate::rest::input::parameter::Parameters;
use crate::rest::method::Method;
use crate::rest::outcome::CallContext;
use crate::rest::outcome::ExecutedCall;
use crate::rest::outcome::OperatingTime;
use crate::rest::outcome::Outcome;
use crate::rest::outcome::Part;
use crate::rest::reference::Results;
use crate::rest::refusal::Refusal;
use crate::state::portal::Portal;
use crate::wire::outcome;

/// How many calls one batch executes; further calls are refused.
const LENGTH_MAX: usize = 50;

impl Portal {
    /// Executes the calls of `cmd` one after another. With `halt`, it stops after the first error.
    pub(crate) fn run_batch(
        &mut self,
        caller: &Caller,
        parameters: &Parameters,
        context: CallContext,
    ) -> Vec<Part> {
        let parameters = parameters.folded();
        let halt = parameters.flag("HALT", false);
        let (mut parts, mut results) = (Vec::new(), Results::default());
        for (index, (key, command)) in commands(&parameters).into_iter().enumerate() {
            let part = if index < LENGTH_MAX {
                self.run_part(caller, &command, &results, context)
            } else {
                self.part(Err(Refusal::batch_too_long()), context)
            };
            if let Ok(outcome) = &part.outcome {
                results.keep(&key, outcome::result(outcome, &part.switches));
            }
            let failed = part.outcome.is_err();
            parts.push((key, part));
            if failed && halt {
                break;
            }
        }
        parts
    }

    /// Executes one call; the caller is already authorised.
    fn run_part(
        &mut self,
        caller: &Caller,
        command: &str,
        results: &Results,
        context: CallContext,
    ) -> ExecutedCall {
        let (name, query) = command.split_once('?').unwrap_or((command, ""));
        let parameters = Parameters::from_query(query).with_texts(&|text| results.resolve(text));
        let outcome = match Method::find(name.trim_matches('/')) {
            None => Err(Refusal::method_not_found()),
            Some(Method::Batch) => Err(Refusal::not_in_batch()),
            // Inside a batch, this error has no description (PORTAL.md 6).
            Some(method) if !caller.may(method) => Err(Refusal::new(401, "insufficient_scope", "")),
            Some(method) => method.run(self, caller, &parameters, context),
        };
        self.part(outcome, context)
    }

    fn part(&self, outcome: Result<Outcome, Refusal>, context: CallContext) -> ExecutedCall {
        let now = self.clock.now();
        // Its time is counted for the batch.
        let operating_time = OperatingTime::none(context.now_s);
        // Only the headers of the whole batch contain the origin.
        ExecutedCall {
            outcome,
            operating_time,
            origin: String::new(),
            started: now,
            finished: now,
            switches: self.switches,
        }
    }
}

/// The commands with their keys, in the order in which they were sent.
fn commands(parameters: &Parameters) -> Vec<(String, String)> {
    let named = match parameters.get("CMD") {
        Some(Value::Array(list)) => numbered(list),
        Some(Value::Object(named)) => ordered(named, &parameters.order_of("CMD")),
        _ => Vec::new(),
    };
    // Values that are not text are ignored.
    named.into_iter().filter_map(|(key, value)| Some((key, value.as_str()?.to_owned()))).collect()
}

fn numbered(list: &[Value]) -> Vec<(String, &Value)> {
    list.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
}

fn ordered<'a>(named: &'a Map<String, Value>, order: &[String]) -> Vec<(String, &'a Value)> {
    let mut named: Vec<_> = named.iter().map(|(key, value)| (key.clone(), value)).collect();
    named.sort_by_key(|(key, _)| order.iter().position(|name| name == key));
    named
}
