//! What is done with events of a kind, beyond keeping and forwarding them. One line of [`HANDLERS`] a handler:
//! the first whose provider and type fit takes the event.

use domain::JobError;
use futures::future::BoxFuture;
use serde_json::Value;

use crate::Ctx;

/// An event to handle.
pub struct Event<'a> {
    /// Who sent it.
    pub provider: &'a str,
    /// Their id of it: the same for every delivery, so what is done under it can be recognised.
    pub provider_event_id: &'a str,
    /// Its type, as the provider calls it.
    pub event_type: &'a str,
    /// The body.
    pub body: &'a Value,
}

/// Does something with events of one provider whose type begins with a word.
pub trait Handler: Sync {
    /// Whose events.
    fn provider(&self) -> &'static str;

    /// What their type begins with; empty for all.
    fn type_prefix(&self) -> &'static str;

    /// Does it; answers what became of it, in a few words without secrets. Must bear repeating: replays and
    /// crashes bring an event again.
    fn handle<'a>(&'a self, event: Event<'a>, ctx: &'a Ctx) -> BoxFuture<'a, Result<String, JobError>>;
}

/// Every handler.
pub(super) const HANDLERS: &[&dyn Handler] = &[];

/// Who takes an event.
pub(super) fn handler(provider: &str, event_type: &str) -> Option<&'static dyn Handler> {
    pick(HANDLERS, provider, event_type)
}

fn pick(handlers: &[&'static dyn Handler], provider: &str, event_type: &str) -> Option<&'static dyn Handler> {
    handlers
        .iter()
        .copied()
        .find(|handler| handler.provider() == provider && event_type.starts_with(handler.type_prefix()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    struct Named(&'static str, &'static str);

    impl Handler for Named {
        fn provider(&self) -> &'static str {
            self.0
        }

        fn type_prefix(&self) -> &'static str {
            self.1
        }

        fn handle<'a>(&'a self, _: Event<'a>, _: &'a Ctx) -> BoxFuture<'a, Result<String, JobError>> {
            Box::pin(async { Ok(String::new()) })
        }
    }

    #[test]
    fn the_first_that_fits_takes_it() {
        let handlers: &[&'static dyn Handler] =
            &[&Named("stripe", "payout."), &Named("stripe", ""), &Named("standard", "order.")];
        let prefix = |provider, kind| pick(handlers, provider, kind).map(|handler| handler.type_prefix());
        assert_eq!(prefix("stripe", "payout.paid"), Some("payout."));
        assert_eq!(prefix("stripe", "charge.failed"), Some(""));
        assert_eq!(prefix("standard", "payout.paid"), None);
    }
}
