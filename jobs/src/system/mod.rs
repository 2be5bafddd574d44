//! Kinds that touch nothing outside: for smoke tests, benchmarks and drills.

mod echo;
mod flaky;
mod noop;
mod panic;
mod slow;

pub use echo::Echo;
pub use flaky::Flaky;
pub use noop::Noop;
pub use panic::Panic;
pub use slow::Slow;
