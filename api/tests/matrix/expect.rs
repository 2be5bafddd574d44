//! What should happen to a call, and what did otherwise.

use std::fmt;

use domain::Role;
use reqwest::StatusCode;

use crate::call::Outcome;
use crate::document::{Guard, Operation};
use crate::recipes::{About, Bound, Recipe};

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// A person; manager, finance and support are bound to one workspace.
    Person(Role),
    /// An API token with just the scope that is needed.
    TokenWith,
    /// An API token with every other scope.
    TokenWithout,
    /// Somebody who shows nothing.
    Nobody,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(role) => write!(f, "{role}"),
            Self::TokenWith => f.write_str("a token with the scope"),
            Self::TokenWithout => f.write_str("a token without the scope"),
            Self::Nobody => f.write_str("nobody"),
        }
    }
}

impl Who {
    pub(crate) fn everybody(operation: &Operation) -> Vec<Self> {
        let persons = Role::ALL.iter().map(|role| Self::Person(*role));
        match operation.guard {
            Guard::Nobody => vec![Self::Nobody],
            Guard::Person => persons.chain([Self::TokenWithout, Self::Nobody]).collect(),
            Guard::May(permission) if permission.grantable_to_token() => {
                persons.chain([Self::TokenWith, Self::TokenWithout, Self::Nobody]).collect()
            }
            Guard::May(_) => persons.chain([Self::TokenWithout, Self::Nobody]).collect(),
        }
    }

    fn sees_every_room(self) -> bool {
        match self {
            Self::Person(role) => role.is_org_wide(),
            Self::TokenWith | Self::TokenWithout => true,
            Self::Nobody => false,
        }
    }
}

/// Where what is asked about is, seen by somebody of the first organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the workspace that manager, finance and support are bound to.
    OwnRoom,
    /// In another workspace.
    OtherRoom,
    /// In the first workspace, private to somebody who does not call.
    Private,
    /// In another organisation.
    OtherOrg,
}

impl Place {
    pub(crate) const ALL: [Self; 4] = [Self::OwnRoom, Self::OtherRoom, Self::Private, Self::OtherOrg];

    pub(crate) fn fits(self, about: About) -> bool {
        match (self, about) {
            (Self::OwnRoom, _) => true,
            (_, About::Nothing | About::Public) => false,
            (Self::OtherOrg, _) => true,
            (Self::OtherRoom, About::One(Bound::Org) | About::Many(Bound::Org)) => false,
            (Self::OtherRoom, _) => true,
            (Self::Private, About::One(Bound::Private) | About::Many(Bound::Private)) => true,
            (Self::Private, _) => false,
        }
    }

    fn is_seen_by(self, who: Who) -> bool {
        match self {
            Self::OwnRoom => true,
            Self::OtherRoom => who.sees_every_room(),
            Self::Private | Self::OtherOrg => false,
        }
    }
}

/// What went otherwise than it should.
pub(crate) fn complaints(
    operation: &Operation,
    recipe: &Recipe,
    who: Who,
    place: Place,
    outcome: &Outcome,
) -> Vec<String> {
    let Outcome { status, code, .. } = outcome;
    let is = |wanted: StatusCode, codes: &[&str]| {
        let right = *status == wanted && (codes.is_empty() || codes.contains(&code.as_str()));
        (!right).then(|| format!("{wanted} {codes:?} was due, and it was {status} {code}: {}", outcome.body))
    };
    let refused = match (operation.guard, who) {
        (Guard::Nobody, _) => None,
        (_, Who::Nobody) => Some(is(StatusCode::UNAUTHORIZED, &["token_missing"])),
        (Guard::Person, Who::Person(_)) => None,
        (Guard::Person, _) => Some(is(StatusCode::FORBIDDEN, &["person_required"])),
        (Guard::May(permission), Who::Person(role)) => {
            let may = role.permissions().has(permission);
            (!may).then(|| is(StatusCode::FORBIDDEN, &["role_insufficient"]))
        }
        (Guard::May(_), Who::TokenWith) => None,
        (Guard::May(_), Who::TokenWithout) => Some(is(StatusCode::FORBIDDEN, &["scope_missing"])),
    };
    if let Some(complaint) = refused {
        return complaint.into_iter().collect();
    }
    let seen = place.is_seen_by(who);
    match recipe.about {
        About::One(_) if !seen => return is(StatusCode::NOT_FOUND, &["not_found"]).into_iter().collect(),
        About::NamesRoom if !seen => {
            return is(StatusCode::UNPROCESSABLE_ENTITY, &["invalid_request"]).into_iter().collect();
        }
        _ => {}
    }
    let mut complaints = Vec::new();
    let right = match recipe.answers {
        Some(wanted) => status.as_u16() == wanted,
        None => status.is_success() || status.is_redirection(),
    };
    if !right {
        complaints.push(format!("it should have succeeded, and it was {status} {code}: {}", outcome.body));
    }
    if let (About::Many(_), Some(marker)) = (recipe.about, &outcome.marker)
        && outcome.body.contains(marker) != seen
    {
        let should = if seen { "should" } else { "should not" };
        complaints.push(format!("the answer {should} hold {marker}: {}", outcome.body));
    }
    if right && operation.changes() {
        match (recipe.unrecorded, outcome.recorded) {
            (None, 0) => complaints.push("it left no word in the audit log".to_owned()),
            (Some(why), found) if found > 0 => {
                complaints
                    .push(format!("it is said to leave nothing in the audit log ({why}), and left {found}"));
            }
            _ => {}
        }
    }
    complaints
}
