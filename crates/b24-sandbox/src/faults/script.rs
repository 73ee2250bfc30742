//! The script of faults: each waits for the calls that it applies to, first come first served (PORTAL.md
//! 9.2). `effects` applies them to responses.

use std::collections::{BTreeMap, VecDeque};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

use crate::rest::input::target::Target;

/// One entry of the script.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// The effect on the response.
    pub effect: FaultEffect,
    /// Headers added to the response, whatever it is.
    pub headers: HeaderMap,
    times: u64,
    skip: u64,
    target: Option<Target>,
    user: Option<u64>,
}

/// The effect of a fault on a response.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum FaultEffect {
    /// An error response instead of the real one. The code may be any JSON.
    Error {
        /// The HTTP status.
        #[serde(deserialize_with = "status")]
        status: StatusCode,
        /// `error`.
        code: Value,
        /// `error_description`.
        description: Option<String>,
        /// Merged into the body.
        #[serde(default)]
        extra: Map<String, Value>,
    },
    /// Any body instead of the real response.
    Raw {
        /// The HTTP status.
        #[serde(deserialize_with = "status")]
        status: StatusCode,
        /// The content type; JSON if missing.
        content_type: Option<String>,
        /// The body.
        body: String,
    },
    /// A styled HTML page of a front-end server instead of the response.
    Html {
        /// The HTTP status.
        #[serde(deserialize_with = "status")]
        status: StatusCode,
    },
    /// An empty body instead of the response.
    Empty {
        /// The HTTP status.
        #[serde(deserialize_with = "status")]
        status: StatusCode,
    },
    /// A redirect instead of the response.
    Redirect {
        /// The HTTP status.
        #[serde(deserialize_with = "status")]
        status: StatusCode,
        /// `Location`.
        location: String,
    },
    /// The connection closes without a response, and the call is not executed.
    CloseBefore {},
    /// The call is executed, then the connection closes without a response.
    CloseAfter {},
    /// The real response, cut off: the connection closes inside the body.
    Truncate {
        /// How much arrives: a fraction of the body up to 1, or else a number of bytes.
        at: f64,
    },
    /// The real response with a Content-Length that is too large.
    WrongLength {},
    /// The real response as truncated gzip, in a complete HTTP message.
    GzipCut {},
    /// The real response after a delay.
    Stall {
        /// The delay.
        seconds: f64,
    },
    /// The real response at a low speed.
    Drip {
        /// The speed.
        bytes_per_second: f64,
    },
    /// The real response with its JSON edited.
    Rewrite {
        /// The position (RFC 6901). A missing value is added.
        pointer: Option<String>,
        /// The new value.
        #[serde(default)]
        value: Value,
        /// Removes the value.
        #[serde(default)]
        remove: bool,
        /// Further edits.
        #[serde(default)]
        edits: Vec<Edit>,
    },
    /// The real response with its events in random order.
    Shuffle {},
    /// The real response with its first event repeated.
    Duplicate {},
}

/// One change to the JSON of a response.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    /// The position (RFC 6901).
    pub pointer: String,
    /// The new value.
    #[serde(default)]
    pub value: Value,
    /// Removes the value.
    #[serde(default)]
    pub remove: bool,
}

/// The responses that a fault applies to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Aim {
    #[serde(default = "once")]
    times: u64,
    #[serde(default)]
    skip: u64,
    method: Option<String>,
    user: Option<u64>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// The keys of [`Aim`]; all other keys belong to the effect.
const AIM_KEYS: [&str; 5] = ["times", "skip", "method", "user", "headers"];

impl Fault {
    /// Parses one fault of the control API.
    ///
    /// # Errors
    ///
    /// Describes the problem: an unknown kind, key, method or header, or a missing value.
    pub(crate) fn read(value: Value) -> Result<Self, String> {
        let Value::Object(mut rest) = value else { return Err("a fault must be an object".into()) };
        let aim: Map<_, _> =
            AIM_KEYS.iter().filter_map(|key| Some(((*key).to_owned(), rest.remove(*key)?))).collect();
        let aim: Aim = serde_json::from_value(Value::Object(aim)).map_err(|error| error.to_string())?;
        let effect = serde_json::from_value(Value::Object(rest)).map_err(|error| error.to_string())?;
        let find = |name: String| Target::find(&name).ok_or(format!("there is no method `{name}`"));
        Ok(Self {
            effect,
            headers: read_headers(&aim.headers)?,
            times: aim.times,
            skip: aim.skip,
            target: aim.method.map(find).transpose()?,
            user: aim.user,
        })
    }

    fn is_meant_for(&self, target: Option<Target>, user: Option<u64>) -> bool {
        self.target.is_none_or(|wanted| Some(wanted) == target)
            && self.user.is_none_or(|wanted| Some(wanted) == user)
    }
}

/// The faults that are still to come.
#[derive(Debug, Default)]
pub(crate) struct FaultScript(VecDeque<Fault>);

impl FaultScript {
    /// Adds a fault after the others.
    pub(crate) fn push(&mut self, fault: Fault) {
        if fault.times > 0 {
            self.0.push_back(fault);
        }
    }

    /// Removes all faults.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The number of responses that faults will still affect.
    pub(crate) fn left(&self) -> u64 {
        self.0.iter().fold(0, |left, fault| left.saturating_add(fault.times))
    }

    /// Takes the fault for this request. The first matching fault may first skip some requests.
    pub(crate) fn draw(&mut self, target: Option<Target>, user: Option<u64>) -> Option<Fault> {
        let index = self.0.iter().position(|fault| fault.is_meant_for(target, user))?;
        let fault = self.0.get_mut(index)?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.times -= 1;
        if fault.times > 0 { Some(fault.clone()) } else { self.0.remove(index) }
    }
}

fn once() -> u64 {
    1
}

/// A status of a final response, so not 1xx.
fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StatusCode, D::Error> {
    let number = u16::deserialize(deserializer)?;
    let status = StatusCode::from_u16(number).ok().filter(|_| number >= 200);
    status.ok_or_else(|| de::Error::custom(format!("`status` must be 200 to 999, not {number}")))
}

fn read_headers(headers: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let read = |(name, value): (&String, &String)| {
        let pair = (HeaderName::try_from(name).ok(), HeaderValue::try_from(value).ok());
        if let (Some(name), Some(value)) = pair {
            Ok((name, value))
        } else {
            Err(format!("bad header `{name}`"))
        }
    };
    headers.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rest::method::Method;

    fn script(faults: &[Value]) -> FaultScript {
        let mut script = FaultScript::default();
        for fault in faults {
            script.push(Fault::read(fault.clone()).unwrap());
        }
        script
    }

    /// The status of the fault drawn by each of `count` polls of user 1.
    fn draw(script: &mut FaultScript, count: usize) -> Vec<Option<u16>> {
        let draw = |fault: Fault| match fault.effect {
            FaultEffect::Empty { status } => status.as_u16(),
            other => panic!("{other:?}"),
        };
        (0..count).map(|_| script.draw(Some(Target::Method(Method::Get)), Some(1)).map(draw)).collect()
    }

    #[test]
    fn faults_come_in_order_and_skip_and_repeat() {
        let mut script = script(&[
            json!({"kind": "empty", "status": 500, "skip": 1, "times": 2}),
            json!({"kind": "empty", "status": 502}),
        ]);
        assert_eq!(script.left(), 3);
        assert_eq!(draw(&mut script, 5), [None, Some(500), Some(500), Some(502), None]);
    }

    #[test]
    fn a_fault_waits_for_its_method_and_user() {
        let mut script = script(&[
            json!({"kind": "empty", "status": 500, "method": "profile"}),
            json!({"kind": "empty", "status": 501, "user": 2}),
            json!({"kind": "empty", "status": 502, "user": 1, "method": "im.v2.event.get"}),
        ]);
        assert_eq!(draw(&mut script, 2), [Some(502), None]);
        assert!(script.draw(Some(Target::Method(Method::Scope)), Some(2)).is_some());
        assert!(script.draw(Some(Target::Method(Method::Profile)), None).is_some());
        assert_eq!(script.left(), 0);
    }

    #[test]
    fn mistakes_are_named() {
        for (fault, named) in [
            (json!({"kind": "explode"}), "explode"),
            (json!({"kind": "empty", "status": 500, "tims": 2}), "tims"),
            (json!({"kind": "shuffle", "tims": 2}), "tims"),
            (json!({"kind": "empty", "status": 100}), "100"),
            (json!({"kind": "empty"}), "status"),
            (json!({"kind": "shuffle", "method": "im.nope"}), "im.nope"),
            (json!({"kind": "shuffle", "headers": {"a b": "c"}}), "a b"),
            (json!([]), "object"),
        ] {
            let error = Fault::read(fault).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
