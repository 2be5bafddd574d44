//! One page of a list that runs from new to old.

use uuid::Uuid;

use crate::{Cursor, StoreError};

/// Most things of one page.
pub const PAGE_LIMIT: u16 = 200;

/// A page, and where the next one begins.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The things, newest first.
    pub items: Vec<T>,
    /// What to ask for next; none at the end.
    pub next: Option<String>,
}

/// The id below which the page begins; `list` names the list and its filters.
pub(crate) fn before(cursor: Option<&str>, list: &str) -> Result<Option<Uuid>, StoreError> {
    cursor.map(|text| Cursor::decode(text, list.as_bytes()).map(|cursor| cursor.before)).transpose()
}

/// Makes a page of one row more than was wanted.
pub(crate) fn page<T>(mut items: Vec<T>, limit: u16, list: &str, id: impl Fn(&T) -> Uuid) -> Page<T> {
    let more = items.len() > usize::from(limit);
    items.truncate(limit.into());
    let next = items.last().filter(|_| more).map(|last| Cursor { before: id(last) }.encode(list.as_bytes()));
    Page { items, next }
}
