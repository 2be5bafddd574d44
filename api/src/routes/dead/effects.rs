//! What a replay would do to the world, and what it needs for that.

use domain::EffectClass;
use domain::effect::ReplayNeeds;
use queue::KindBook;

use crate::problem::{Code, Problem};
use crate::state::Api;

/// The effect class of a kind at the version of a job, or at any version this program knows.
///
/// None: this program has no such kind, so nobody here can say what a replay would do.
pub(super) fn effect_of(api: &Api, kind: &str, version: Option<i16>) -> Option<EffectClass> {
    match version {
        Some(version) => api.effect(kind, version),
        None => {
            api.registry().all().into_iter().find(|policy| policy.kind == kind).map(|policy| policy.effect)
        }
    }
}

/// What a replay of such jobs needs; a kind nobody knows counts as the most dangerous one.
pub(super) fn needs(effect: Option<EffectClass>) -> ReplayNeeds {
    effect.map_or(ReplayNeeds::Approval, EffectClass::replay_needs)
}

/// Refuses a replay that lacks what it needs.
pub(super) fn check(effect: Option<EffectClass>, kind: &str, confirm: bool) -> Result<(), Problem> {
    if effect.is_none() {
        return Err(Problem::new(
            Code::Conflict,
            format!(
                "this program has no handler for {kind} at the job's version, so it can't tell what a replay would do; roll out a version that has it first"
            ),
        ));
    }
    match needs(effect) {
        ReplayNeeds::Nothing => Ok(()),
        ReplayNeeds::Confirmation if confirm => Ok(()),
        ReplayNeeds::Confirmation => Err(Problem::new(
            Code::ConfirmationRequired,
            format!(
                "{kind} reaches people or systems outside and can't be called back; send \"confirm\": true to replay it"
            ),
        )),
        ReplayNeeds::Approval => Err(Problem::new(
            Code::ApprovalRequired,
            format!(
                "{kind} moves money: look up what became of each, then replay them one by one, which asks for an approval"
            ),
        )),
    }
}
