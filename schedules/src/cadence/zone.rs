//! Wall clocks: what a zone's clock shows at an instant, when it first shows a
//! local time, and when its offset next changes. It refuses to guess a zone from
//! an offset or an abbreviation.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};

/// Offsets are compared at this distance and the change in between is bisected.
/// No zone has changed twice and back within it since 1970.
const PROBE: TimeDelta = TimeDelta::hours(6);

/// A time zone name that the zone database does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown time zone `{name}`: use an IANA name such as `{suggestion}`")]
pub struct UnknownZone {
    name: String,
    suggestion: &'static str,
}

/// Finds a zone by its IANA name (`Europe/Madrid`, `UTC`).
///
/// # Errors
/// [`UnknownZone`], with the right spelling where the name is only missing its
/// region or has the wrong case.
pub fn parse_zone(name: &str) -> Result<Tz, UnknownZone> {
    name.parse()
        .map_err(|_| UnknownZone { name: name.chars().take(64).collect(), suggestion: suggestion(name) })
}

fn suggestion(name: &str) -> &'static str {
    let wanted = name.trim().replace(' ', "_");
    TZ_VARIANTS
        .iter()
        .map(|zone| zone.name())
        .find(|known| {
            let city = known.rsplit('/').next().unwrap_or(known);
            known.eq_ignore_ascii_case(&wanted) || city.eq_ignore_ascii_case(&wanted)
        })
        .unwrap_or("Europe/Madrid")
}

/// The zone's distance from UTC at an instant, positive to the east.
pub(super) fn offset_at(zone: Tz, instant: NaiveDateTime) -> TimeDelta {
    let offset = zone.offset_from_utc_datetime(&instant).fix();
    TimeDelta::seconds(offset.local_minus_utc().into())
}

/// The first instant in `(after, until]`, to the second, at which the zone's
/// offset is not the one it has at `after`. Both are UTC.
pub(super) fn next_change(zone: Tz, after: NaiveDateTime, until: NaiveDateTime) -> Option<NaiveDateTime> {
    let offset = offset_at(zone, after);
    let mut same = after;
    while same < until {
        let probe = same.checked_add_signed(PROBE).map_or(until, |t| t.min(until));
        if offset_at(zone, probe) == offset {
            same = probe;
            continue;
        }
        let mut changed = probe;
        while changed - same > TimeDelta::seconds(1) {
            let middle = same + TimeDelta::seconds((changed - same).num_seconds() / 2);
            if offset_at(zone, middle) == offset {
                same = middle;
            } else {
                changed = middle;
            }
        }
        return Some(changed);
    }
    None
}

/// The first instant at which the zone's wall clock shows `local` or, where it
/// jumps over it, something later.
pub(super) fn first_reached(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    let at = |offset: TimeDelta| local.checked_sub_signed(offset).map(|t| t.and_utc());
    match zone.offset_from_local_datetime(&local) {
        MappedLocalTime::Single(offset) => at(seconds(&offset)),
        // The larger offset is the earlier instant.
        MappedLocalTime::Ambiguous(one, other) => at(seconds(&one).max(seconds(&other))),
        MappedLocalTime::None => gap_end(zone, local),
    }
}

fn seconds(offset: &impl Offset) -> TimeDelta {
    TimeDelta::seconds(offset.fix().local_minus_utc().into())
}

fn gap_end(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    // Zones are at most 15 hours from UTC and no gap was longer than a day.
    let mut from = local.checked_sub_signed(TimeDelta::days(2))?;
    let until = local.checked_add_signed(TimeDelta::days(2))?;
    while let Some(change) = next_change(zone, from, until) {
        if change + offset_at(zone, change) >= local {
            return Some(change.and_utc());
        }
        from = change;
    }
    None
}
