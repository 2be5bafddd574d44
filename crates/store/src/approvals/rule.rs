//! What an organisation says about one kind of subject: whose decision counts, how many, until when.

use chrono::{DateTime, Utc};
use domain::Role;
use serde_json::{Value, json};
use sqlx::FromRow;
use uuid::Uuid;

use crate::audit::Entry;
use crate::{StoreError, Tx};

/// How long an approval waits where no rule says otherwise, in seconds.
pub const DEFAULT_EXPIRY_S: i32 = 72 * 3600;

/// A rule as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSpec {
    /// Who may decide; roles that may decide at all.
    pub roles: Vec<Role>,
    /// Different people whose approval it takes, 1 to 10.
    pub needed: i16,
    /// Whether whoever asked or edited may decide too.
    pub maker_may_decide: bool,
    /// Whether approving needs a fresh second factor.
    pub step_up: bool,
    /// Whether it does from an amount on: minor units and currency.
    pub step_up_above: Option<(i64, String)>,
    /// How long it waits for decisions, in seconds, 60 to 2,592,000.
    pub expires_after_s: i32,
}

impl Default for RuleSpec {
    /// What holds without a rule: one owner, who is no maker, within 72 hours.
    fn default() -> Self {
        Self {
            roles: vec![Role::Owner],
            needed: 1,
            maker_may_decide: false,
            step_up: false,
            step_up_above: None,
            expires_after_s: DEFAULT_EXPIRY_S,
        }
    }
}

/// A rule in force.
#[derive(Clone, Debug, FromRow)]
pub struct Rule {
    /// What it is about: `job:<kind>`, `job_replay`, or another noun.
    pub subject_kind: String,
    /// Who may decide.
    pub roles: Vec<String>,
    /// Different people whose approval it takes.
    pub needed: i16,
    /// Whether makers may decide too.
    pub maker_may_decide: bool,
    /// Whether approving needs a fresh second factor.
    pub step_up: bool,
    /// From which amount on it does, in minor units of `currency`.
    pub step_up_above_minor: Option<i64>,
    /// The currency of that amount.
    pub currency: Option<String>,
    /// How long an approval waits, in seconds.
    pub expires_after_s: i32,
    /// Who last changed it.
    pub changed_by: Option<Uuid>,
    /// When it was last changed.
    pub changed_at: DateTime<Utc>,
}

impl Rule {
    fn told(&self) -> Value {
        json!({
            "roles": self.roles, "needed": self.needed, "maker_may_decide": self.maker_may_decide,
            "step_up": self.step_up, "step_up_above_minor": self.step_up_above_minor,
            "currency": self.currency, "expires_after_s": self.expires_after_s,
        })
    }
}

const COLUMNS: &str = "subject_kind, roles, needed, maker_may_decide, step_up, step_up_above_minor, currency, \
                       expires_after_s, changed_by, changed_at";

/// The organisation's rules, by subject.
///
/// # Errors
/// [`StoreError`].
pub async fn rules(tx: &mut Tx) -> Result<Vec<Rule>, StoreError> {
    let text =
        format!("SELECT {COLUMNS} FROM approval_rule WHERE org_id = current_org() ORDER BY subject_kind");
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(text)).fetch_all(tx.conn()).await?)
}

async fn held(tx: &mut Tx, subject_kind: &str) -> Result<Option<Rule>, StoreError> {
    let text = format!(
        "SELECT {COLUMNS} FROM approval_rule WHERE org_id = current_org() AND subject_kind = $1 FOR UPDATE"
    );
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(text)).bind(subject_kind).fetch_optional(tx.conn()).await?)
}

/// Makes or changes a rule. Approvals that were asked for before keep the rule they were asked under.
///
/// # Errors
/// [`StoreError::Invalid`] for values out of range.
pub async fn put_rule(tx: &mut Tx, subject_kind: &str, spec: &RuleSpec) -> Result<Rule, StoreError> {
    let before = held(tx, subject_kind).await?;
    let mut roles: Vec<&str> = spec.roles.iter().map(|role| role.as_str()).collect();
    roles.sort_unstable();
    roles.dedup();
    let text = format!(
        "INSERT INTO approval_rule (org_id, subject_kind, roles, needed, maker_may_decide, step_up,
                                    step_up_above_minor, currency, expires_after_s)
         VALUES (current_org(), $1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (org_id, subject_kind) DO UPDATE SET roles = excluded.roles, needed = excluded.needed,
             maker_may_decide = excluded.maker_may_decide, step_up = excluded.step_up,
             step_up_above_minor = excluded.step_up_above_minor, currency = excluded.currency,
             expires_after_s = excluded.expires_after_s
         RETURNING {COLUMNS}"
    );
    let rule: Rule = sqlx::query_as(sqlx::AssertSqlSafe(text))
        .bind(subject_kind)
        .bind(roles)
        .bind(spec.needed)
        .bind(spec.maker_may_decide)
        .bind(spec.step_up)
        .bind(spec.step_up_above.as_ref().map(|(minor, _)| *minor))
        .bind(spec.step_up_above.as_ref().map(|(_, currency)| currency.as_str()))
        .bind(spec.expires_after_s)
        .fetch_one(tx.conn())
        .await?;
    let mut entry = Entry::new("approval_rule.put", "approval_rule", subject_kind).after(rule.told());
    if let Some(before) = before {
        entry = entry.before(before.told());
    }
    tx.record(entry).await?;
    Ok(rule)
}

/// Removes a rule: what holds without one holds again, and kinds that only the rule guarded are free.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn delete_rule(tx: &mut Tx, subject_kind: &str) -> Result<(), StoreError> {
    let before = held(tx, subject_kind).await?.ok_or(StoreError::NotFound("approval rule"))?;
    sqlx::query("DELETE FROM approval_rule WHERE org_id = current_org() AND subject_kind = $1")
        .bind(subject_kind)
        .execute(tx.conn())
        .await?;
    tx.record(Entry::new("approval_rule.delete", "approval_rule", subject_kind).before(before.told()))
        .await?;
    Ok(())
}
