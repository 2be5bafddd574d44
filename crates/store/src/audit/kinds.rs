//! Which kinds of jobs change something: the end of their jobs is an entry of its own.

use domain::EffectClass;

use crate::{Store, StoreError};

/// Tells the database which kinds write, send or move money; those that only read are passed over. A
/// process that takes jobs in, or runs them, calls it when it starts.
///
/// # Errors
/// [`StoreError`].
pub async fn declare_kinds(store: &Store, kinds: &[(&str, EffectClass)]) -> Result<(), StoreError> {
    let changing: std::collections::BTreeMap<&str, &str> = kinds
        .iter()
        .filter(|(_, effect)| *effect != EffectClass::Read)
        .map(|(kind, effect)| (*kind, effect.as_str()))
        .collect();
    sqlx::query("SELECT audit_declare($1, $2)")
        .bind(changing.keys().copied().collect::<Vec<_>>())
        .bind(changing.values().copied().collect::<Vec<_>>())
        .execute(store.pool())
        .await?;
    Ok(())
}
