//! Sleeping until there is work: one blocking pop for all lanes a worker has room in.
//!
//! Wake-ups are tokens in lists, so one that arrives before the sleep is not lost. A worker leaves its
//! own sleep (a slot came free in another lane) by a token in a list of its own.

use std::time::Duration;

use domain::WorkerId;
use redis::aio::MultiplexedConnection;

use super::Dispatch;

/// Longest sleep; a lane's change of mode is noticed at the latest then.
const LONGEST: Duration = Duration::from_secs(5);

/// A connection that may block.
pub(crate) struct Waiter {
    dispatch: Dispatch,
    connection: Option<MultiplexedConnection>,
    nudge: String,
}

impl Waiter {
    pub(crate) fn new(dispatch: Dispatch, worker: WorkerId) -> Self {
        let nudge = dispatch.keys().nudge(worker);
        Self { dispatch, connection: None, nudge }
    }

    /// Sleeps until one of `lanes` may have work, the worker nudges itself, or a few seconds passed.
    ///
    /// # Errors
    /// What Redis said; the next call connects anew.
    pub(crate) async fn sleep(&mut self, lanes: &[std::sync::Arc<str>]) -> Result<(), redis::RedisError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                // No response timeout: the server answers when there is something to say.
                let config = redis::AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(Duration::from_secs(2)))
                    .set_response_timeout(None);
                self.dispatch.client().get_multiplexed_async_connection_with_config(&config).await?
            }
        };
        let mut pop = redis::cmd("BLPOP");
        pop.arg(&self.nudge);
        for lane in lanes {
            pop.arg(self.dispatch.keys().wake(lane));
        }
        pop.arg(LONGEST.as_secs_f64());
        // A server that hangs without closing must not keep the worker asleep for ever.
        let answer: Result<Option<(String, String)>, _> =
            match tokio::time::timeout(LONGEST * 2, pop.query_async(&mut connection)).await {
                Ok(answer) => answer,
                Err(_) => return Ok(()),
            };
        answer?;
        self.connection = Some(connection);
        Ok(())
    }

    /// A handle with which the worker ends its own sleep.
    pub(crate) fn nudger(&self) -> Nudger {
        Nudger { dispatch: self.dispatch.clone(), key: self.nudge.clone() }
    }
}

/// Ends a [`Waiter`]'s sleep.
#[derive(Clone)]
pub(crate) struct Nudger {
    dispatch: Dispatch,
    key: String,
}

impl Nudger {
    /// Leaves a token; at most one is kept, and it is gone after a minute if nobody sleeps.
    pub(crate) async fn nudge(&self) {
        let mut redis = self.dispatch.redis();
        let _: Result<(), _> = redis::pipe()
            .del(&self.key)
            .ignore()
            .lpush(&self.key, 1)
            .ignore()
            .expire(&self.key, 60)
            .ignore()
            .query_async(&mut redis)
            .await;
    }
}
