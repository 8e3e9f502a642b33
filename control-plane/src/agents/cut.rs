//! What of a list of assignments goes into one answer.

use longshore_protocol::poll::{Assignment, MAX_RESPONSE_BYTES};
use longshore_protocol::shape::{self, Room};

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
        huge[0].task.as_mut().unwrap().volumes = vec![ecs::Volume::default(); 70_000];
        assert!(!cut(&mut huge).unwrap() && huge.len() == 1, "one always goes");
    }
}
