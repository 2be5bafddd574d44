//! The demo's people: one a role, with a password that is made once and kept beside the data.
//!
//! The file also keeps the hashes as they were set, so that a start changes nothing unless somebody did.

use std::collections::BTreeMap;

use anyhow::Context;
use api::passwords;
use chrono::Utc;
use domain::{OrgId, Role};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::accounts::{self, NewAccount};
use store::audit::Entry;
use store::people::joining;
use store::{Store, Tx, Workspaces};
use uuid::Uuid;

use super::home::Home;
use crate::table::Table;

/// What `.countersign/demo-people` holds.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Everybody's.
    password: String,
    /// As it was last set, by address.
    hashes: BTreeMap<String, String>,
}

/// The demo's people, ready to sign in.
pub(super) struct People {
    password: String,
}

impl People {
    /// Makes who is missing; gives back the kept password to whose was changed meanwhile.
    pub(super) async fn ensure(home: &Home, store: &Store, org: OrgId) -> anyhow::Result<Self> {
        let path = home.people();
        let kept = Home::read_private(&path).and_then(|text| serde_json::from_str(&text).ok());
        let mut kept = kept.unwrap_or_else(|| Kept { password: fresh_password(), hashes: BTreeMap::new() });
        for role in Role::ALL {
            let hash = one(store, org, *role, &kept).await;
            let hash = hash.with_context(|| format!("the demo's {role} was not made"))?;
            kept.hashes.insert(address(*role), hash);
        }
        // Written again, so that it is private whatever happened to it meanwhile.
        Home::write_private(&path, &serde_json::to_string(&kept)?)?;
        Ok(Self { password: kept.password })
    }

    /// Who there is, and how they sign in.
    pub(super) fn table(&self) -> Table {
        let mut table = Table::new(&["ROLE", "EMAIL", "PASSWORD"]);
        for role in Role::ALL {
            table.row([role.to_string(), address(*role), self.password.clone()]);
        }
        table
    }
}

async fn one(store: &Store, org: OrgId, role: Role, kept: &Kept) -> anyhow::Result<String> {
    let email = address(role);
    let known = accounts::candidate(store, &email).await?;
    let set = kept.hashes.get(&email);
    if let (Some(known), Some(set)) = (&known, set)
        && known.password_hash.as_ref() == Some(set)
    {
        let member = accounts::memberships(store, known.account_id).await?;
        if member.iter().any(|member| member.org_id == org) {
            return Ok(set.clone());
        }
    }
    let hash = passwords::hash(&SecretString::from(kept.password.clone()))?;
    let mut tx = Tx::system(store, org, "make the demo's people").await?;
    let account_id = match known {
        Some(known) => {
            accounts::also_as(&mut tx, known.account_id).await?;
            accounts::set_password(&mut tx, &hash, Utc::now()).await?;
            tx.record(
                Entry::new("account.set_password", "account", known.account_id)
                    .after(json!({ "how": "make up" })),
            )
            .await?;
            known.account_id
        }
        None => {
            let name = name(role);
            let new = NewAccount { email: &email, name, locale: "en", password_hash: Some(&hash) };
            accounts::create(&mut tx, &new, Utc::now()).await?
        }
    };
    let memberships = accounts::memberships(store, account_id).await?;
    if !memberships.iter().any(|member| member.org_id == org) {
        let account = accounts::get(&mut tx).await?;
        joining::join(&mut tx, &account, role, &Workspaces::All, "make up").await?;
    }
    tx.commit().await?;
    Ok(hash)
}

/// `example.test` and the like never lead anywhere.
fn address(role: Role) -> String {
    format!("{role}@demo.test")
}

fn name(role: Role) -> &'static str {
    match role {
        Role::Owner => "Demo Owner",
        Role::Manager => "Demo Manager",
        Role::Finance => "Demo Finance",
        Role::Support => "Demo Support",
        Role::Auditor => "Demo Auditor",
    }
}

/// Four groups of five letters and digits, from random UUIDs' 80 bits: to be read from one window and typed into
/// another.
fn fresh_password() -> String {
    let random = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let picked: Vec<char> = random.chars().rev().take(20).collect();
    picked.chunks(5).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}
