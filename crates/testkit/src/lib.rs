//! Everything integration tests need: servers, databases, apps
