//! Executes a call: the checks in the portal's order, the operating limiter, then the method.

use axum::http::Method as Verb;
use jiff::Timestamp;

use crate::queue::buffer::Completeness;
use crate::rest::caller::Caller;
use crate::rest::input::call::Call;
use crate::rest::input::parameter::Parameters;
use crate::rest::method::Method;
use crate::rest::outcome::{CallContext, ExecutedCall, OperatingTime, Outcome};
use crate::rest::refusal::Refusal;
use crate::state::portal::Portal;

impl Portal {
    /// Executes `call`.
    pub(crate) fn execute(&mut self, call: &Call, completeness: Completeness) -> ExecutedCall {
        let started = self.now();
        let answer = self.answer(call, started, completeness);
        self.stats.refused += u64::from(answer.is_err());
        let operating_time = answer
            .as_ref()
            .map_or(OperatingTime::none(started.as_second()), |(_, operating_time)| *operating_time);
        ExecutedCall {
            outcome: answer.map(|(outcome, _)| outcome),
            operating_time,
            origin: self.origin(call),
            started,
            finished: self.clock.now(),
            switches: self.switches,
        }
    }

    /// The checks in the portal's order, then the method (PORTAL.md 1.3).
    fn answer(
        &mut self,
        call: &Call,
        now: Timestamp,
        completeness: Completeness,
    ) -> Result<(Outcome, OperatingTime), Refusal> {
        if self.switches.bucket.is_some_and(|size| !self.bucket.admits(size, now)) {
            self.stats.limited += 1;
            return Err(Refusal::query_limit_exceeded());
        }
        if self.switches.closed {
            return Err(Refusal::portal_deleted());
        }
        let method = call.method.ok_or_else(Refusal::method_not_found)?;
        let context = CallContext { now_s: now.as_second(), completeness };
        let caller = self.authorise(call, method, context.now_s)?;
        if !matches!(call.verb, Verb::GET | Verb::POST) {
            return Err(Refusal::invalid_http_method());
        }
        self.perform(method, &caller, &call.parameters, context)
    }

    /// Runs `method` for the authorised `caller`, unless its operating time is used up.
    ///
    /// # Errors
    ///
    /// The error of the limiter or the method.
    pub(crate) fn perform(
        &mut self,
        method: Method,
        caller: &Caller,
        parameters: &Parameters,
        context: CallContext,
    ) -> Result<(Outcome, OperatingTime), Refusal> {
        let (auth, now_s) = (&caller.auth, context.now_s);
        let limit_s = self.switches.operating_limit_s;
        if limit_s.is_some_and(|limit_s| !self.operating.admits(auth, method, limit_s, now_s)) {
            self.count_blocked();
            return Err(Refusal::operation_time_limit());
        }
        let outcome = method.run(self, caller, parameters, context);
        // A batch takes as long as its calls, which are not counted separately.
        let calls = if let Ok(Outcome::Batch(parts)) = &outcome { parts.len() } else { 1 };
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        self.operating.count(auth, method, self.switches.execution_s * f64::from(calls), now_s);
        Ok((outcome?, self.operating.spent(auth, method, now_s)))
    }
}
