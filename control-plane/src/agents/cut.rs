//! What of a list of assignments goes into one answer, and what goes into none.

use longshore_protocol::poll::{
    Assignment, MAX_ASSIGNMENT_BYTES, MAX_ASSIGNMENT_NODES, MAX_RESPONSE_BYTES, TaskSpec,
};
use longshore_protocol::shape::{self, Room};

/// Why a task can't be assigned: its node would refuse the answer that has it, for ever, and hear of nothing else.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unassignable {
    #[error("it has {0} bytes as JSON, of at most {MAX_ASSIGNMENT_BYTES}")]
    Bytes(usize),
    #[error("it has more than {MAX_ASSIGNMENT_NODES} objects and lists")]
    Nodes,
    #[error("it can't be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// That an answer with this task is one that its node reads. What requests can ask for is far less.
pub(crate) fn check_task(task: &TaskSpec) -> Result<(), Unassignable> {
    let json = serde_json::to_vec(task)?;
    if json.len() > MAX_ASSIGNMENT_BYTES {
        return Err(Unassignable::Bytes(json.len()));
    }
    match shape::count(&json) < MAX_ASSIGNMENT_NODES {
        true => Ok(()),
        false => Err(Unassignable::Nodes),
    }
}

/// Cuts a list to what fits into one response that its node reads, the first always; says whether something was cut.
pub(super) fn cut(rows: &mut Vec<Assignment>) -> Result<bool, serde_json::Error> {
    // Room for the other members.
    let mut room = Room::new(MAX_RESPONSE_BYTES - 4096, shape::MAX_NODES - 4096);
    for (index, row) in rows.iter().enumerate() {
        if !room.take(&serde_json::to_vec(row)?) {
            rows.truncate(index);
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use longshore_protocol::ecs;

    use super::*;
    use crate::testing::{Node, World};

    /// The agent refuses an answer with more, for ever.
    #[tokio::test]
    async fn an_answer_has_no_more_objects_than_a_node_reads() {
        let world = World::new().await;
        let mut node = Node::join(&world).await;
        node.obey(&world).await;
        world.define("f", 1, 16).await;
        world.run("f").await;
        let mut order = node.poll(&world).await.assignments.remove(0);
        order.task.as_mut().unwrap().volumes = vec![ecs::Volume::default(); 10_000];
        let mut rows = vec![order.clone(); 10];
        let small = serde_json::to_vec(&rows).unwrap().len();
        assert!(small < MAX_RESPONSE_BYTES, "{small}");
        assert!(cut(&mut rows).unwrap());
        assert_eq!(rows.len(), 6);
        let json = serde_json::to_vec(&rows).unwrap();
        assert!(shape::check(&json, shape::MAX_NODES).is_ok());
        assert!(!cut(&mut rows).unwrap());
        let mut huge = vec![order; 1];
        let task = huge[0].task.as_mut().unwrap();
        assert!(check_task(task).is_ok());
        task.volumes = vec![ecs::Volume::default(); 40_000];
        assert!(matches!(check_task(task), Err(Unassignable::Nodes)));
        task.volumes = vec![ecs::Volume::default(); 70_000];
        assert!(!cut(&mut huge).unwrap() && huge.len() == 1, "one always goes");
    }
}
