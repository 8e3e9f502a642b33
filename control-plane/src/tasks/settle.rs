//! A report, taken into the books: the task, its reservation, its assignment, its tombstone, in the caller's transaction.

use super::Task;
use super::report::{self, Effect, Report};
use crate::store::{Connection, StoreError, assignments, reservations, system, tasks};

/// Moves a task by a report, and everything that hangs on it: with STOPPED its resources are free and it is buried.
///
/// # Errors
/// [`StoreError`].
pub async fn settle(
    connection: &mut Connection,
    mut task: Task,
    report: &Report,
    now: i64,
) -> Result<Effect, StoreError> {
    for news in &report.containers {
        if !task
            .containers
            .iter()
            .any(|container| container.name == news.name)
        {
            tracing::warn!(task = %task.arn, container = news.name, "a report of a container that the task doesn't have");
        }
    }
    let effect = report::apply(&mut task, report, now);
    let (id, instance) = (task.arn.id.as_str(), task.instance.id.as_str());
    match effect {
        Effect::Nothing => {}
        Effect::Changed => tasks::update(connection, &task).await?,
        Effect::Stops => {
            tasks::update(connection, &task).await?;
            assignments::order_stop(connection, instance, &task.arn, false, 1).await?;
        }
        Effect::Ended => {
            tasks::update(connection, &task).await?;
            reservations::release(connection, id).await?;
            system::bury(connection, id, instance, now).await?;
            tracing::info!(task = %task.arn, "a task is over");
        }
    }
    Ok(effect)
}
