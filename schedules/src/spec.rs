//! What a caller says about a schedule, and whether it can be one.
//!
//! Everything that is wrong is told at once, field by field. Kind and payload are not looked at here:
//! they arrive as a job that `jobs::Registry::prepare` made, which is the check. Whether the lane exists
//! is for the table to say.

use chrono_tz::Tz;
use domain::{PRIORITY_RANGE, WorkspaceId};
use queue::NewJob;

use crate::cadence::{Cadence, CatchUp, Expression, parse_zone};
use crate::error::{FieldProblem, ScheduleError};

/// Longest name, in characters.
pub const MAX_NAME_CHARS: usize = 100;

/// Longest jitter: a day, in milliseconds.
pub const MAX_JITTER_MS: i64 = 86_400_000;

/// A schedule as its owner describes it. Build with [`Spec::new`], then set fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Name for people, unique in its organisation; up to [`MAX_NAME_CHARS`].
    pub name: String,
    /// Cron expression, `@daily` and the like, or `@every 90s`.
    pub expression: String,
    /// IANA time zone whose wall clock the expression reads.
    pub zone: String,
    /// What happens to ticks that were missed: `skip`, `one` or `all`; see [`CatchUp`].
    pub catch_up: String,
    /// Each job starts up to this many milliseconds after its tick, to spread load; at most
    /// [`MAX_JITTER_MS`].
    pub jitter_ms: i64,
    /// Lane of its jobs; none for the kind's own.
    pub lane: Option<String>,
    /// Priority of its jobs, -100 … 100, higher is sooner.
    pub priority: i16,
    /// Starts paused.
    pub paused: bool,
    /// Room its jobs belong to.
    pub workspace_id: Option<WorkspaceId>,
}

impl Spec {
    /// A schedule that runs once for whatever it missed, without jitter, in the kind's lane.
    #[must_use]
    pub fn new(name: impl Into<String>, expression: impl Into<String>, zone: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            expression: expression.into(),
            zone: zone.into(),
            catch_up: CatchUp::default().name().to_owned(),
            jitter_ms: 0,
            lane: None,
            priority: 0,
            paused: false,
            workspace_id: None,
        }
    }

    /// The cadence of a spec that can be a schedule.
    ///
    /// # Errors
    /// [`ScheduleError::Invalid`] with every field that is wrong.
    pub fn check(&self) -> Result<Cadence, ScheduleError> {
        let mut problems = Vec::new();
        let mut wrong = |field, problem: String| problems.push(FieldProblem { field, problem });
        let length = self.name.chars().count();
        if length == 0 || length > MAX_NAME_CHARS {
            wrong("name", format!("must have 1 to {MAX_NAME_CHARS} characters"));
        } else if self.name.trim() != self.name || self.name.chars().any(char::is_control) {
            wrong("name", "must have no spaces around it and no control characters".to_owned());
        }
        if let Err(unknown) = self.catch_up.parse::<CatchUp>() {
            wrong("catch_up", unknown.to_string());
        }
        if !(0..=MAX_JITTER_MS).contains(&self.jitter_ms) {
            wrong("jitter_ms", format!("must lie between 0 and {MAX_JITTER_MS} (a day)"));
        }
        if !PRIORITY_RANGE.contains(&self.priority) {
            wrong("priority", "must lie between -100 and 100".to_owned());
        }
        match read(&self.expression, &self.zone) {
            Ok((expression, zone)) if problems.is_empty() => Ok(Cadence::new(expression, zone)),
            Ok(_) => Err(ScheduleError::Invalid(problems)),
            Err(more) => {
                problems.extend(more);
                Err(ScheduleError::Invalid(problems))
            }
        }
    }
}

/// Expression and zone, or what is wrong with either.
pub(crate) fn read(expression: &str, zone: &str) -> Result<(Expression, Tz), Vec<FieldProblem>> {
    match (Expression::parse(expression), parse_zone(zone)) {
        (Ok(expression), Ok(zone)) => Ok((expression, zone)),
        (expression, zone) => {
            let expression = expression.err().map(|error| ("expression", error.to_string()));
            let zone = zone.err().map(|error| ("zone", error.to_string()));
            let wrong = expression.into_iter().chain(zone);
            Err(wrong.map(|(field, problem)| FieldProblem { field, problem }).collect())
        }
    }
}

/// Changes to a schedule; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    /// New name.
    pub name: Option<String>,
    /// New expression. Ticks of the old one that are due but not fired are given up.
    pub expression: Option<String>,
    /// New zone; as for the expression.
    pub zone: Option<String>,
    /// New policy for missed ticks.
    pub catch_up: Option<String>,
    /// New jitter in milliseconds.
    pub jitter_ms: Option<i64>,
    /// Another lane, or `Some(None)` for the kind's own.
    pub lane: Option<Option<String>>,
    /// New priority.
    pub priority: Option<i16>,
    /// Another room, or `Some(None)` for none.
    pub workspace_id: Option<Option<WorkspaceId>>,
    /// New kind and payload, as `jobs::Registry::prepare` made them.
    pub work: Option<NewJob>,
}

impl Patch {
    pub(crate) fn apply(self, spec: &mut Spec) -> Option<NewJob> {
        fn set<T>(field: &mut T, new: Option<T>) {
            if let Some(new) = new {
                *field = new;
            }
        }
        set(&mut spec.name, self.name);
        set(&mut spec.expression, self.expression);
        set(&mut spec.zone, self.zone);
        set(&mut spec.catch_up, self.catch_up);
        set(&mut spec.jitter_ms, self.jitter_ms);
        set(&mut spec.lane, self.lane);
        set(&mut spec.priority, self.priority);
        set(&mut spec.workspace_id, self.workspace_id);
        self.work
    }
}
