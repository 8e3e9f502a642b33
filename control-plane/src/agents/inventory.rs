//! What a node holds, against what is known here.
//!
//! Absence is never an order: a task that is not known here goes on running. One that is over for good, by its
//! tombstone, is ordered to stop again; any other is taken in from its node, with what it has of the instance, into the
//! node's own cluster and never over a row that is there. One that is further on its node than here is asked for with a
//! run's first list, as its report may have been taken after the backup, and is not made again. So a control plane that
//! was restored from a backup catches up.

use std::collections::BTreeSet;

use longshore_protocol::arn::TaskArn;
use longshore_protocol::poll::{HeldTask, Inventory, InventoryTask, MAX_WANTED};
use longshore_protocol::status::{ReportedStatus, TaskStatus};

use super::import;
use super::peer::Open;
use crate::app::ControlPlane;
use crate::error::ApiError;
use crate::store::instances::Instance;
use crate::store::{assignments, system, tasks};

/// Whether a node has no more what it was given up to `seen`, by its list: it has ended there, and the word of that was
/// lost here, as with a restored backup. The node has to be told everything again, so that it says so again.
///
/// # Errors
/// The store's.
pub(super) async fn falls_short(
    plane: &ControlPlane,
    instance: &Instance,
    inventory: &Inventory,
    seen: u64,
) -> Result<bool, ApiError> {
    let list = inventory.tasks.iter().flatten();
    let alive = list.filter(|held| held.status != ReportedStatus::Stopped);
    let alive: BTreeSet<_> = alive.map(|held| &held.task_arn).collect();
    let mut connection = plane.store.read().await?;
    let given = assignments::tasks_up_to(&mut connection, &instance.id, seen).await?;
    let missing = given.iter().find(|arn| !alive.contains(arn));
    if let Some(task) = missing {
        tracing::info!(instance = instance.id, %task, "a node has ended what it was given, and may have said so: every assignment is sent again");
    }
    Ok(missing.is_some())
}

/// How often a body is asked for before the node counts as one that has none: answers get lost.
const ASKS: u32 = 3;

/// What a list has that the books have not.
#[derive(Debug, Default)]
struct Odd {
    /// Over for good, and still there.
    buried: Vec<InventoryTask>,
    /// Not known at all.
    unknown: Vec<TaskArn>,
    /// Known, and further than is known.
    behind: Vec<TaskArn>,
}

/// Takes a node's list in, and the bodies that came with it; returns the tasks whose bodies are wanted next, after which
/// the list is wanted again.
///
/// # Errors
/// The store's; the list is then taken as not seen.
pub(super) async fn take(
    plane: &ControlPlane,
    instance: &Instance,
    open: &Open,
    inventory: &Inventory,
) -> Result<Vec<TaskArn>, ApiError> {
    let list = inventory.tasks.as_deref().unwrap_or_default();
    let asked = open.asked();
    let first = !open.has_listed();
    // Later the report that says so is on its way.
    let may_be_behind = |arn: &TaskArn| first || asked.contains_key(arn.id.as_str());
    let epoch = open.list_epoch();
    let mut odd = compare(plane, instance, list, may_be_behind).await?;
    stop(plane, instance, &odd.buried).await?;
    // Another machine may have come or gone meanwhile. Then what was found is no good, and the list is wanted again.
    let epoch = Some(epoch).filter(|epoch| epoch.cloned.is_some() == open.is_cloned());
    if epoch.is_none_or(|epoch| epoch.cloned.is_some()) {
        // Of two machines with one identity, nobody knows whose tasks these are.
        odd.unknown.clear();
        odd.behind.clear();
    }
    odd.unknown.retain(|arn| !open.is_given_up(arn.id.as_str()));
    import(plane, instance, open, &mut odd.unknown, &inventory.bodies).await?;
    catch_up(plane, instance, &mut odd.behind, &inventory.bodies).await?;
    let silent = inventory.bodies.is_empty();
    // Its node has other news of it some day.
    odd.behind
        .retain(|arn| asked.get(arn.id.as_str()).is_none_or(|times| *times < ASKS));
    odd.unknown.retain(|arn| {
        let id = arn.id.as_str();
        let hopeless = open.is_given_up(id) || (silent && asked.get(id).is_some_and(|times| *times >= ASKS));
        if hopeless {
            tracing::warn!(instance = instance.id, task = %arn, "a node holds a task that it was not given and that can't be taken in; it goes on running");
            open.give_up(id.to_owned());
        }
        !hopeless
    });
    odd.unknown.append(&mut odd.behind);
    odd.unknown.truncate(MAX_WANTED);
    let complete = odd.unknown.is_empty().then_some(inventory.hash.as_str());
    open.took_inventory(list, complete, epoch);
    let ids = odd.unknown.iter().map(|arn| {
        let id = arn.id.to_string();
        let times = asked.get(&id).copied().unwrap_or(0);
        (id, times + 1)
    });
    let ids = ids.collect();
    open.ask(ids);
    Ok(odd.unknown)
}

async fn compare(
    plane: &ControlPlane,
    instance: &Instance,
    list: &[InventoryTask],
    may_be_behind: impl Fn(&TaskArn) -> bool,
) -> Result<Odd, ApiError> {
    let mut connection = plane.store.read().await?;
    let assigned: BTreeSet<_> = assignments::tasks_of(&mut connection, &instance.id)
        .await?
        .into_iter()
        .collect();
    let mut odd = Odd::default();
    for held in list {
        let id = held.task_arn.id.as_str();
        if assigned.contains(&held.task_arn) {
            if held.status == ReportedStatus::Running
                && may_be_behind(&held.task_arn)
                && let Some(task) = tasks::get(&mut connection, &held.task_arn.cluster, id).await?
                && task.last < TaskStatus::Running
            {
                odd.behind.push(held.task_arn.clone());
            }
            continue;
        }
        let over = held.status == ReportedStatus::Stopped;
        match system::tombstone(&mut connection, id).await? {
            Some(_) if over => {}
            Some(_) => odd.buried.push(held.clone()),
            None if !tasks::exists(&mut connection, id).await? => odd.unknown.push(held.task_arn.clone()),
            None if over => {}
            None => tracing::warn!(
                instance = instance.id,
                task = %held.task_arn,
                "a node holds a task of another; it goes on running"
            ),
        }
    }
    Ok(odd)
}

async fn stop(plane: &ControlPlane, instance: &Instance, buried: &[InventoryTask]) -> Result<(), ApiError> {
    if buried.is_empty() {
        return Ok(());
    }
    let mut transaction = plane.store.write().await?;
    for held in buried {
        tracing::warn!(instance = instance.id, task = %held.task_arn, "a node runs a task that is over; it is to stop");
        let generation = held.generation.saturating_add(1);
        assignments::order_stop(&mut transaction, &instance.id, &held.task_arn, false, generation).await?;
    }
    Ok(transaction.commit().await?)
}

/// Takes in the bodies of unknown tasks, each in a transaction of its own, and takes them off the list of those.
async fn import(
    plane: &ControlPlane,
    instance: &Instance,
    open: &Open,
    unknown: &mut Vec<TaskArn>,
    bodies: &[HeldTask],
) -> Result<(), ApiError> {
    for held in bodies {
        let Some(at) = unknown.iter().position(|arn| *arn == held.task_arn) else {
            continue;
        };
        let arn = unknown.remove(at);
        if let Err(refusal) = import::take(plane, instance, held).await? {
            tracing::warn!(instance = instance.id, task = %arn, %refusal, "a node's task can't be taken in");
            open.give_up(arn.id.to_string());
        }
    }
    Ok(())
}

/// Takes in how far known tasks are by their bodies, and takes them off the list of those.
async fn catch_up(
    plane: &ControlPlane,
    instance: &Instance,
    behind: &mut Vec<TaskArn>,
    bodies: &[HeldTask],
) -> Result<(), ApiError> {
    for held in bodies {
        let Some(at) = behind.iter().position(|arn| *arn == held.task_arn) else {
            continue;
        };
        let arn = behind.remove(at);
        if let Err(refusal) = import::catch_up(plane, instance, held).await? {
            tracing::warn!(instance = instance.id, task = %arn, %refusal, "how far a node's task is can't be taken in");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::agents::{Admission, Caller};
    use crate::store::READERS;
    use crate::testing::{Node, World};

    fn admitted(world: &World, instance: &str, caller: &Caller) -> Open {
        let peer = world.plane.hub.peer(instance);
        match peer.admit(caller, "machine", &world.plane.clock) {
            Admission::Served(open) => open,
            other => panic!("{other:?}"),
        }
    }

    /// A node with a task that is RUNNING there and PENDING here, as a backup was restored.
    async fn behind() -> (World, Node, String) {
        let mut world = World::new().await;
        let mut node = Node::join(&world).await;
        node.obey(&world).await;
        world.define("f", 1, 16).await;
        let task = world.run("f").await;
        node.poll(&world).await;
        node.poll(&world).await;
        world.back_up().await;
        node.cursor = longshore_protocol::poll::Cursor::default();
        node.obey(&world).await;
        node.report(&world, &task, "RUNNING", json!({})).await.unwrap();
        world.restore().await;
        assert_eq!(world.task(&task).await["lastStatus"], "PENDING");
        (world, node, task)
    }

    #[tokio::test]
    async fn a_list_that_a_copy_came_in_upon_is_looked_at_again_once_the_copy_is_gone() {
        let (world, mut node, task) = behind().await;
        let request = node.request(true);
        let (cluster, id) = (
            &request.container_instance.cluster,
            &request.container_instance.id,
        );
        let mut connection = world.plane.store.read().await.unwrap();
        let instance = crate::store::instances::get(&mut connection, cluster, id.as_str());
        let instance = instance.await.unwrap().unwrap();
        drop(connection);
        let caller = Caller::from(&request);
        let open = admitted(&world, &instance.id, &caller);
        let mut readers = Vec::new();
        for _ in 0..READERS {
            readers.push(world.plane.store.read().await.unwrap());
        }
        let mut taking = Box::pin(take(&world.plane, &instance, &open, &request.inventory));
        let asks = poll_fn(|context| Poll::Ready(taking.as_mut().poll(context).is_pending()));
        assert!(asks.await, "it asks the store");
        drop(readers);
        let copy = Caller {
            run: uuid::Uuid::new_v4(),
            n: 1,
            fingerprint: "copy".into(),
            wait: Duration::from_secs(1),
        };
        let copy = admitted(&world, &instance.id, &copy);
        assert_eq!(taking.await.unwrap(), [], "nobody knows whose tasks these are");
        drop((copy, open));
        world.advance(41);
        node.obey(&world).await;
        assert_eq!(world.task(&task).await["lastStatus"], "RUNNING");
    }
}
