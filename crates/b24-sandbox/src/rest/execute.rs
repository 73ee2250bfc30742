//! Executes a call: the checks in the portal's order, the operating limiter, then the method.

use axum::http::Method as Verb;
use jiff::Timestamp;

use crate::queue::buffer::Passage;
use crate::rest::caller::Caller;
use crate::rest::input::call::Call;
use crate::rest::input::parameter::Parameters;
use crate::rest::method::Method;
use crate::rest::outcome::{Effort, Executed, Outcome, Situation};
use crate::rest::refusal::Refusal;
use crate::state::portal::Portal;

impl Portal {
    /// Executes `call`.
    pub(crate) fn execute(&mut self, call: &Call, passage: Passage) -> Executed {
        let started = self.now();
        let answer = self.answer(call, started, passage);
        self.stats.refused += u64::from(answer.is_err());
        let effort = answer.as_ref().map_or(Effort::none(started.as_second()), |(_, effort)| *effort);
        Executed {
            outcome: answer.map(|(outcome, _)| outcome),
            effort,
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
        passage: Passage,
    ) -> Result<(Outcome, Effort), Refusal> {
        if self.switches.bucket.is_some_and(|size| !self.bucket.admits(size, now)) {
            self.stats.limited += 1;
            return Err(Refusal::query_limit_exceeded());
        }
        if self.switches.closed {
            return Err(Refusal::portal_deleted());
        }
        let method = call.method.ok_or_else(Refusal::method_not_found)?;
        let situation = Situation { now_s: now.as_second(), passage };
        let caller = self.authorise(call, method, situation.now_s)?;
        if !matches!(call.verb, Verb::GET | Verb::POST) {
            return Err(Refusal::invalid_http_method());
        }
        self.perform(method, &caller, &call.parameters, situation)
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
        situation: Situation,
    ) -> Result<(Outcome, Effort), Refusal> {
        let (auth, now_s) = (&caller.auth, situation.now_s);
        let limit_s = self.switches.operating_limit_s;
        if limit_s.is_some_and(|limit_s| !self.operating.admits(auth, method, limit_s, now_s)) {
            self.count_blocked();
            return Err(Refusal::operation_time_limit());
        }
        let outcome = method.run(self, caller, parameters, situation);
        // A batch takes as long as its calls, which are not counted separately.
        let calls = if let Ok(Outcome::Batch(parts)) = &outcome { parts.len() } else { 1 };
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        self.operating.count(auth, method, self.switches.execution_s * f64::from(calls), now_s);
        Ok((outcome?, self.operating.spent(auth, method, now_s)))
    }
}
