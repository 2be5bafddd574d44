//! Events on their way to subscribers.

mod deliver;

pub use deliver::DeliverWebhook;
