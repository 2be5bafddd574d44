//! A gate that handlers wait at until the test lets them through.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Shut when made. Clones are the same gate; works across runtimes.
#[derive(Clone, Debug)]
pub struct Gate {
    passes: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { passes: Arc::new(Semaphore::new(0)) }
    }
}

impl Gate {
    /// A gate that is shut.
    #[must_use]
    pub fn shut() -> Self {
        Self::default()
    }

    /// Waits to be let through.
    pub async fn pass(&self) {
        // An open gate is a closed semaphore: everybody goes at once.
        if let Ok(pass) = self.passes.acquire().await {
            pass.forget();
        }
    }

    /// Lets so many through, those who wait first.
    pub fn admit(&self, count: usize) {
        self.passes.add_permits(count);
    }

    /// Opens for good.
    pub fn open(&self) {
        self.passes.close();
    }
}
