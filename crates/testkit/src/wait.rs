//! Waiting for something to become true, with a limit and a failure that says where.

use std::panic::Location;
use std::time::{Duration, Instant};

/// What a look answers: nothing yet, or what was waited for.
pub trait Answer {
    /// What was waited for.
    type Found;

    /// The thing, once it is there.
    fn found(self) -> Option<Self::Found>;
}

impl Answer for bool {
    type Found = ();

    fn found(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Answer for Option<T> {
    type Found = T;

    fn found(self) -> Option<T> {
        self
    }
}

/// Looks until it finds, every few milliseconds; fails the caller's line after `timeout`.
#[track_caller]
pub fn eventually<A, F, Fut>(timeout: Duration, mut look: F) -> impl Future<Output = A::Found>
where
    A: Answer,
    F: FnMut() -> Fut,
    Fut: Future<Output = A>,
{
    let caller = Location::caller();
    async move {
        let started = Instant::now();
        let mut pause = Duration::from_millis(2);
        loop {
            if let Some(found) = look().await.found() {
                return found;
            }
            assert!(started.elapsed() < timeout, "{caller}: still not so after {timeout:?}");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}
