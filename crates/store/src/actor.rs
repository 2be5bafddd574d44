//! Somebody who was let in: who, in which organisation, what they may do and see, and how they came.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use domain::{AccountId, ActorId, OrgId, Permissions, Role, SessionId, WorkspaceId};

/// Which rooms somebody sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workspaces {
    /// The whole organisation, also what belongs to no room.
    All,
    /// These rooms only.
    Only(Arc<[WorkspaceId]>),
}

impl Workspaces {
    /// Whether something of this room (none: of no room) is seen.
    #[must_use]
    pub fn sees(&self, workspace: Option<WorkspaceId>) -> bool {
        match self {
            Self::All => true,
            Self::Only(rooms) => workspace.is_some_and(|room| rooms.contains(&room)),
        }
    }

    /// The one room somebody is bound to, if it is one.
    #[must_use]
    pub fn sole(&self) -> Option<WorkspaceId> {
        match self {
            Self::Only(rooms) if rooms.len() == 1 => rooms.first().copied(),
            _ => None,
        }
    }

    /// As the database's policies read it: `*`, or an array of ids.
    pub(crate) fn setting(&self) -> String {
        match self {
            Self::All => "*".to_owned(),
            Self::Only(rooms) => {
                let ids: Vec<String> = rooms.iter().map(WorkspaceId::to_string).collect();
                format!("{{{}}}", ids.join(","))
            }
        }
    }
}

/// What somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A person with a role; signed in, or acting at the command line of the machine.
    Person(Role),
    /// An API token.
    Token,
    /// The platform itself, or an operator at its command line.
    System,
}

impl Standing {
    /// As the database's policies and the audit log read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person(role) => role.as_str(),
            Self::Token => "token",
            Self::System => "system",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The session somebody acts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InSession {
    /// Whose sign-in.
    pub account_id: AccountId,
    /// Which of theirs.
    pub session_id: SessionId,
}

/// Where an action came from; goes into the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The request's id.
    pub request_id: Option<Arc<str>>,
    /// The caller's network address, as far as trusted proxies tell it.
    pub address: Option<IpAddr>,
}

/// Somebody who was let in.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The organisation acted in.
    pub org_id: OrgId,
    /// Who acts.
    pub actor_id: ActorId,
    /// What they are.
    pub standing: Standing,
    /// What they may do.
    pub permissions: Permissions,
    /// What they see.
    pub workspaces: Workspaces,
    /// The session they act in; none for tokens.
    pub session: Option<InSession>,
    /// Where the action came from.
    pub origin: Origin,
}

impl Actor {
    /// A token's owner: sees the whole organisation, may do what the token says.
    #[must_use]
    pub fn token(org_id: OrgId, actor_id: ActorId, permissions: Permissions) -> Self {
        Self {
            org_id,
            actor_id,
            standing: Standing::Token,
            permissions,
            workspaces: Workspaces::All,
            session: None,
            origin: Origin::default(),
        }
    }

    /// A person with a role. Roles for the whole organisation see all of it, whatever `workspaces` says.
    #[must_use]
    pub fn person(org_id: OrgId, actor_id: ActorId, role: Role, workspaces: Workspaces) -> Self {
        Self {
            org_id,
            actor_id,
            standing: Standing::Person(role),
            permissions: role.permissions(),
            workspaces: if role.is_org_wide() { Workspaces::All } else { workspaces },
            session: None,
            origin: Origin::default(),
        }
    }

    /// The same, come this way.
    #[must_use]
    pub fn from(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// The role of a person.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        match self.standing {
            Standing::Person(role) => Some(role),
            Standing::Token | Standing::System => None,
        }
    }
}
