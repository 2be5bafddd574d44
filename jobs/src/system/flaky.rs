//! `system.flaky`: fails as asked. For trying out retries, dead letters and alerts.

use std::time::Duration;

use domain::{Done, EffectClass, JobError, JobId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{Ctx, Job};

/// Payload of `system.flaky`. An attempt fails when it is among the first `fail_first`, or by chance.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Flaky {
    /// So many attempts fail for sure.
    #[schemars(range(min = 0))]
    pub fail_first: i16,
    /// Chance of failing for each further attempt, in percent. The dice depend on job and attempt only:
    /// the same attempt of the same job always falls the same way.
    #[schemars(range(max = 100))]
    pub fail_percent: u8,
    /// Error codes, in turn by attempt; `flaky` when empty.
    #[schemars(length(max = 20), inner(regex(pattern = r"^[a-z][a-z0-9_]{0,63}$")))]
    pub codes: Vec<String>,
    /// Whether a failure is permanent.
    pub permanent: bool,
    /// A time for the next attempt, as another side would name it, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 3_600_000))]
    pub retry_after_ms: Option<u64>,
}

impl Flaky {
    fn fails(&self, job: JobId, attempt: i16) -> bool {
        attempt <= self.fail_first || die(job, attempt) < u64::from(self.fail_percent)
    }

    fn code(&self, attempt: i16) -> &str {
        let turn = usize::try_from(attempt.max(1) - 1).unwrap_or_default();
        match self.codes.len() {
            0 => "flaky",
            codes => self.codes.get(turn % codes).map_or("flaky", String::as_str),
        }
    }
}

/// 0 to 99, evenly spread: the splitmix64 finisher over the job's random bits and the attempt.
fn die(job: JobId, attempt: i16) -> u64 {
    let (_, low) = job.0.as_u64_pair();
    let mut x = low.wrapping_add((attempt as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)) % 100
}

impl Job for Flaky {
    const KIND: &'static str = "system.flaky";
    const EFFECT: EffectClass = EffectClass::Read;
    const TIMEOUT: Duration = Duration::from_secs(10);
    const SUMMARY: &'static str = "Fails as often and in the way it is asked to.";

    async fn run(self, ctx: &Ctx) -> Result<Done, JobError> {
        let attempt = ctx.job.attempt;
        if !self.fails(ctx.job.job_id, attempt) {
            return Ok(Done::with(json!({ "attempt": attempt })));
        }
        let code = self.code(attempt);
        let message = format!("attempt {attempt} failed as asked");
        Err(match self.retry_after_ms {
            _ if self.permanent => JobError::fail(code, message),
            Some(after) => JobError::retry_after(code, message, Duration::from_millis(after)),
            None => JobError::retry(code, message),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dice_are_fair_and_repeat() {
        let flaky = Flaky { fail_percent: 30, ..Flaky::default() };
        let jobs: Vec<_> = (0..10_000).map(|_| JobId::new()).collect();
        let failed = |attempt| jobs.iter().filter(|job| flaky.fails(**job, attempt)).count();
        for attempt in 1..4 {
            let failed = failed(attempt);
            assert!((2_700..3_300).contains(&failed), "{failed} of 10,000");
        }
        assert_eq!(failed(1), failed(1));
    }

    #[test]
    fn codes_take_turns() {
        let flaky = Flaky { codes: vec!["a".into(), "b".into()], ..Flaky::default() };
        assert_eq!([1, 2, 3].map(|attempt| flaky.code(attempt)), ["a", "b", "a"]);
        assert_eq!(Flaky::default().code(5), "flaky");
    }
}
