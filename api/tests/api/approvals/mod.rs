//! Approvals over HTTP: asked for by tokens and people, decided by people, released once.

mod asking;
mod deciding;
mod desk;
mod replays;
