//! The owner of every spawned task.
//!
//! Invariants: a task that ends by itself with an error, or panics, cancels all others, since a daemon that lost a part
//! must not look alive; after a cancellation everyone has until a deadline, and those who don't make it are named.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A part of the daemon that ended when it should not have.
#[derive(Debug, thiserror::Error)]
#[error("{name} ended: {why}")]
pub struct Ended {
    /// Which part.
    pub name: &'static str,
    /// Its error, or that it panicked.
    pub why: String,
}

/// Owns tasks until they have all ended.
#[derive(Debug)]
pub struct Supervisor {
    tasks: JoinSet<(&'static str, Result<(), String>)>,
    token: CancellationToken,
    running: Vec<&'static str>,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::new(CancellationToken::new())
    }
}

impl Supervisor {
    /// A supervisor that also ends when `token` is cancelled.
    #[must_use]
    pub fn new(token: CancellationToken) -> Self {
        Self {
            tasks: JoinSet::new(),
            token,
            running: Vec::new(),
        }
    }

    /// Cancelled when everyone is to end.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Starts a part. It must watch [`Supervisor::token`] and return soon after it is cancelled.
    pub fn spawn<F, E>(&mut self, name: &'static str, part: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display + 'static,
    {
        self.running.push(name);
        self.tasks
            .spawn(async move { (name, part.await.map_err(|error| error.to_string())) });
    }

    /// Waits until the token is cancelled or a part fails, then cancels and gives the others `grace` to end.
    ///
    /// # Errors
    /// The first part that failed, or those that did not end in time.
    pub async fn run(mut self, grace: Duration) -> Result<(), Ended> {
        let mut first = None;
        while first.is_none() {
            tokio::select! {
                biased;
                () = self.token.cancelled() => break,
                ended = self.tasks.join_next() => match ended {
                    None => break,
                    Some(ended) => first = self.failure(ended),
                },
            }
        }
        self.token.cancel();
        let deadline = tokio::time::sleep(grace);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                biased;
                () = &mut deadline => {
                    let why = format!("still running {} s after it was told to end", grace.as_secs());
                    let name = self.running.first().copied().unwrap_or("unknown");
                    return Err(first.unwrap_or(Ended { name, why }));
                }
                ended = self.tasks.join_next() => match ended {
                    None => return first.map_or(Ok(()), Err),
                    Some(ended) => first = first.or(self.failure(ended)),
                },
            }
        }
    }

    fn failure(
        &mut self,
        ended: Result<(&'static str, Result<(), String>), tokio::task::JoinError>,
    ) -> Option<Ended> {
        match ended {
            Ok((name, result)) => {
                self.running.retain(|running| *running != name);
                result.err().map(|why| Ended { name, why })
            }
            Err(error) => Some(Ended {
                name: "a task",
                why: error.to_string(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failing_part_ends_the_others_and_is_named() {
        let mut supervisor = Supervisor::default();
        let token = supervisor.token();
        supervisor.spawn("patient", async move {
            token.cancelled().await;
            Ok::<_, String>(())
        });
        supervisor.spawn("failing", async { Err("no more") });
        let ended = supervisor.run(Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(ended.to_string(), "failing ended: no more");
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_does_not_end_is_named_after_the_grace() {
        let mut supervisor = Supervisor::default();
        supervisor.spawn("deaf", std::future::pending::<Result<(), String>>());
        supervisor.token().cancel();
        let ended = supervisor.run(Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(ended.name, "deaf");
    }
}
