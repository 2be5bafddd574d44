//! Inbound webhooks: endpoints, what arrived, and what became of it.
