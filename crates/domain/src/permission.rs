//! Who may do what: the one table from which the API's checks, the database's policies, the matrix tests
//! and the admin's navigation all follow.
//!
//! A [`Permission`] is one word; a [`Role`] is what a person is in an organisation and stands for a set of
//! words; an API token carries the words it was made with. Refuses to know routes and tables: they name
//! the word they need.

use std::fmt;
use std::str::FromStr;

macro_rules! permissions {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal;)+) => {
        /// One permission.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Permission {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Permission {
            /// Every permission, in the order people read them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The word as it is stored and written.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// What it lets one do, for people.
            #[must_use]
            pub fn summary(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

permissions! {
    /// See jobs, dead letters, lanes, limits, schedules, workers, events.
    JobsRead = "jobs:read";
    /// Enqueue, cancel, retry.
    JobsWrite = "jobs:write";
    /// Replay and discard dead letters.
    DeadWrite = "dead:write";
    /// Pause, resume, drain lanes and change their caps.
    LanesWrite = "lanes:write";
    /// Change rate limits.
    LimitsWrite = "limits:write";
    /// Make, change, pause and delete schedules.
    SchedulesWrite = "schedules:write";
    /// See approvals and what they would release.
    ApprovalsRead = "approvals:read";
    /// Ask for an approval, edit or withdraw what was asked.
    ApprovalsRequest = "approvals:request";
    /// Approve and reject, where the approval's rule allows one's role. People only.
    ApprovalsDecide = "approvals:decide";
    /// Say which work needs an approval, and whose.
    ApprovalsRules = "approvals:rules";
    /// Read, search, verify and export the audit log.
    AuditRead = "audit:read";
    /// See who belongs to the organisation, with which role.
    PeopleRead = "people:read";
    /// Invite people, change their roles, end their sessions.
    PeopleWrite = "people:write";
    /// See API tokens, without their secrets.
    TokensRead = "tokens:read";
    /// Make and revoke API tokens.
    TokensWrite = "tokens:write";
    /// See which credentials there are, whose, and what uses them; never their values.
    SecretsRead = "secrets:read";
    /// Store, replace and delete credentials.
    SecretsWrite = "secrets:write";
    /// See inbound webhook endpoints and what arrived.
    HooksRead = "hooks:read";
    /// Make and change inbound webhook endpoints, replay what arrived.
    HooksWrite = "hooks:write";
    /// Change the organisation and its workspaces.
    OrgWrite = "org:write";
}

impl Permission {
    const fn bit(self) -> u32 {
        1 << self as u8
    }

    /// Whether an API token may carry it. A decision is a person's.
    #[must_use]
    pub const fn grantable_to_token(self) -> bool {
        !matches!(self, Self::ApprovalsDecide)
    }

    /// What it is about: the word before the colon.
    fn area(self) -> &'static str {
        self.as_str().split(':').next().unwrap_or_default()
    }

    /// Whether it only looks.
    #[must_use]
    pub fn only_reads(self) -> bool {
        self.as_str().ends_with(":read")
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no permission.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("“{0}” is no scope; use {known} or *", known = Permissions::EVERYTHING.words_for_people())]
pub struct UnknownPermission(pub String);

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|permission| permission.as_str() == text)
            .ok_or_else(|| UnknownPermission(text.to_owned()))
    }
}

/// A set of permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions(u32);

impl Permissions {
    /// Every permission there is.
    pub const EVERYTHING: Self = {
        let mut set = 0;
        let mut at = 0;
        while at < Permission::ALL.len() {
            set |= Permission::ALL[at].bit();
            at += 1;
        }
        Self(set)
    };

    /// What `*` means on an API token: everything a token may carry.
    pub const TOKEN: Self = Self(Self::EVERYTHING.0 & !Permission::ApprovalsDecide.bit());

    /// A set of the given permissions.
    #[must_use]
    pub const fn of(permissions: &[Permission]) -> Self {
        let mut set = 0;
        let mut at = 0;
        while at < permissions.len() {
            set |= permissions[at].bit();
            at += 1;
        }
        Self(set)
    }

    /// Reads a token's words, such as `jobs:read` or `*`.
    ///
    /// # Errors
    /// The first word that is no permission, or that no token may carry.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self, UnknownPermission> {
        words.iter().map(AsRef::as_ref).try_fold(Self::default(), |set, word| {
            if word == "*" {
                return Ok(Self(set.0 | Self::TOKEN.0));
            }
            let permission: Permission = word.parse()?;
            if !permission.grantable_to_token() {
                return Err(UnknownPermission(word.to_owned()));
            }
            Ok(Self(set.0 | permission.bit()))
        })
    }

    /// Reads stored words, passing over those that this version does not know.
    #[must_use]
    pub fn from_stored(words: &[String]) -> Self {
        words.iter().fold(Self::default(), |set, word| match word.as_str() {
            "*" => Self(set.0 | Self::TOKEN.0),
            word => Self(set.0 | word.parse::<Permission>().map_or(0, Permission::bit)),
        })
    }

    /// Whether the set holds `permission`.
    #[must_use]
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    /// Whether everything in `other` is in this set too.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Whether the set holds nothing.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The permissions of the set, in their order.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.iter().copied().filter(move |permission| self.has(*permission))
    }

    /// The words of the set: `["*"]` for all that a token may carry.
    #[must_use]
    pub fn words(self) -> Vec<String> {
        if self == Self::TOKEN {
            return vec!["*".to_owned()];
        }
        self.iter().map(|permission| permission.to_string()).collect()
    }

    fn words_for_people(self) -> String {
        let words: Vec<&str> = self
            .iter()
            .filter(|permission| permission.grantable_to_token())
            .map(Permission::as_str)
            .collect();
        words.join(", ")
    }

    /// The set as the database's policies read it: ` jobs:read jobs:write `. Whoever may change things sees the rows
    /// they change, or they could not: `secrets:write` alone reads ` secrets:read secrets:write ` there. What is
    /// shown to anybody was decided before, by [`Permissions::has`].
    #[must_use]
    pub fn setting(self) -> String {
        let mut text = String::from(" ");
        for permission in Permission::ALL {
            let changes_it =
                permission.only_reads() && self.iter().any(|held| held.area() == permission.area());
            if self.has(*permission) || changes_it {
                text.push_str(permission.as_str());
                text.push(' ');
            }
        }
        text
    }
}

macro_rules! roles {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal: $($permission:ident)+;)+) => {
        /// What a person is in an organisation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Role {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Role {
            /// Every role.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The role as it is stored and written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// What it is for, for people.
            #[must_use]
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }

            /// What it may do: the permission table.
            #[must_use]
            pub const fn permissions(self) -> Permissions {
                match self { $(Self::$name => Permissions::of(&[$(Permission::$permission),+]),)+ }
            }
        }
    };
}

roles! {
    /// Owns the organisation: sees every workspace, decides, and says who else may.
    Owner = "owner": JobsRead JobsWrite DeadWrite LanesWrite LimitsWrite SchedulesWrite ApprovalsRead
        ApprovalsRequest ApprovalsDecide ApprovalsRules AuditRead PeopleRead PeopleWrite TokensRead TokensWrite
        SecretsRead SecretsWrite HooksRead HooksWrite OrgWrite;
    /// Runs the daily work of their workspaces.
    Manager = "manager": JobsRead JobsWrite DeadWrite LanesWrite LimitsWrite SchedulesWrite ApprovalsRead
        ApprovalsRequest ApprovalsDecide PeopleRead SecretsRead HooksRead HooksWrite;
    /// Prepares and checks what concerns money.
    Finance = "finance": JobsRead ApprovalsRead ApprovalsRequest ApprovalsDecide AuditRead PeopleRead HooksRead;
    /// Helps customers: sees work, tries it again.
    Support = "support": JobsRead JobsWrite DeadWrite ApprovalsRead ApprovalsRequest HooksRead;
    /// Looks at everything and changes nothing.
    Auditor = "auditor": JobsRead ApprovalsRead AuditRead PeopleRead TokensRead SecretsRead HooksRead;
}

impl Role {
    /// Whether the role is for the whole organisation; the others may be bound to workspaces.
    #[must_use]
    pub const fn is_org_wide(self) -> bool {
        matches!(self, Self::Owner | Self::Auditor)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no role.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("“{0}” is no role; use owner, manager, finance, support or auditor")]
pub struct UnknownRole(pub String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_go_both_ways_and_nonsense_is_named() {
        let set = Permissions::parse(&["jobs:read", "dead:write"]).unwrap();
        assert!(set.has(Permission::JobsRead) && set.has(Permission::DeadWrite));
        assert!(!set.has(Permission::JobsWrite));
        assert_eq!(Permissions::from_stored(&set.words()), set);
        assert_eq!(Permissions::parse(&["*"]).unwrap(), Permissions::TOKEN);
        assert_eq!(Permissions::TOKEN.words(), ["*"]);
        let error = Permissions::parse(&["jobs:eat"]).unwrap_err();
        assert!(error.to_string().contains("jobs:eat") && error.to_string().contains("jobs:read"), "{error}");
        assert!(Permissions::from_stored(&["of:tomorrow".into()]).is_empty());
    }

    #[test]
    fn a_token_never_decides() {
        assert!(Permissions::parse(&["approvals:decide"]).is_err());
        assert!(!Permissions::parse(&["*"]).unwrap().has(Permission::ApprovalsDecide));
        assert!(!Permissions::from_stored(&["*".into()]).has(Permission::ApprovalsDecide));
    }

    #[test]
    fn the_owner_may_everything_and_the_auditor_only_look() {
        assert_eq!(Role::Owner.permissions(), Permissions::EVERYTHING);
        assert!(Role::Auditor.permissions().iter().all(Permission::only_reads));
        for role in Role::ALL {
            assert!(Role::Owner.permissions().covers(role.permissions()), "{role}");
            assert_eq!(role.as_str().parse(), Ok(*role));
        }
        for permission in Permission::ALL.iter().filter(|permission| permission.only_reads()) {
            assert!(Role::Auditor.permissions().has(*permission), "the auditor sees {permission}");
        }
    }

    #[test]
    fn the_setting_holds_whole_words() {
        let setting = Permissions::of(&[Permission::JobsRead, Permission::OrgWrite]).setting();
        assert_eq!(setting, " jobs:read org:write ");
    }

    #[test]
    fn whoever_changes_rows_sees_them_in_the_database_only() {
        let set = Permissions::of(&[Permission::SecretsWrite, Permission::ApprovalsRules]);
        assert_eq!(set.setting(), " approvals:read approvals:rules secrets:read secrets:write ");
        assert!(!set.has(Permission::SecretsRead) && !set.has(Permission::ApprovalsRead));
        assert_eq!(Permissions::of(&[Permission::DeadWrite]).setting(), " dead:write ");
    }
}
