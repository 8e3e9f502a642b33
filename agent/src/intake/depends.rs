//! The edges between a task's containers, read and judged: each leads somewhere, and none leads back.

use longshore_protocol::poll::TaskSpec;

use crate::model::{Condition, Dependency, ResolvedContainer};

use super::InvalidTask;
use super::parts::{invalid, required};

/// Gives the containers of a task, which are in the order of its definition, their edges.
pub(super) fn give_edges(spec: &TaskSpec, containers: &mut [ResolvedContainer]) -> Result<(), InvalidTask> {
    let mut all = Vec::with_capacity(containers.len());
    for (own, assigned) in spec.containers.iter().enumerate() {
        let mut edges: Vec<Dependency> = Vec::new();
        for given in assigned.definition.depends_on.iter().flatten() {
            let edge = edge(given, own, spec, containers)?;
            if !edges.contains(&edge) {
                edges.push(edge);
            }
        }
        all.push(edges);
    }
    for (container, edges) in containers.iter_mut().zip(all) {
        container.depends_on = edges;
    }
    match in_a_cycle(containers) {
        Some(container) => Err(invalid(
            member(&container.name, "containerName"),
            &container.name,
            "containers that wait for each other never start",
        )),
        None => Ok(()),
    }
}

fn member(container: &str, name: &str) -> String {
    format!("containerDefinitions[{container}].dependsOn.{name}")
}

fn edge(
    given: &longshore_protocol::ecs::ContainerDependency,
    own: usize,
    spec: &TaskSpec,
    containers: &[ResolvedContainer],
) -> Result<Dependency, InvalidTask> {
    let name = containers.get(own).map_or("", |container| &container.name);
    let member = |of: &str| member(name, of);
    let other = required(given.container_name.as_ref(), &member("containerName"))?;
    let word = required(given.condition.as_ref(), &member("condition"))?;
    let Some(condition) = Condition::parse(word) else {
        let why = "it is START, COMPLETE, SUCCESS or HEALTHY";
        return Err(invalid(member("condition"), word, why));
    };
    let Some(on) = containers.iter().position(|container| container.name == other) else {
        return Err(invalid(
            member("containerName"),
            other,
            "the task has no such container",
        ));
    };
    let checked = spec
        .containers
        .get(on)
        .is_some_and(|other| other.definition.health_check.is_some());
    if condition == Condition::Healthy && !checked {
        return Err(invalid(
            member("condition"),
            word,
            "that container has no healthCheck",
        ));
    }
    let on = u16::try_from(on).unwrap_or(u16::MAX);
    Ok(Dependency { on, condition })
}

/// A container that waits for itself, by however many others.
fn in_a_cycle(containers: &[ResolvedContainer]) -> Option<&ResolvedContainer> {
    // Those whose edges all lead to settled ones are settled; a cycle never is.
    let mut settled = vec![false; containers.len()];
    for _ in containers {
        let now = containers.iter().map(|container| {
            let mut edges = container.depends_on.iter();
            edges.all(|edge| settled.get(usize::from(edge.on)).copied().unwrap_or(false))
        });
        settled = now.collect();
    }
    let (found, _) = containers.iter().zip(&settled).find(|(_, settled)| !**settled)?;
    Some(found)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use longshore_protocol::poll::TaskSpec;
    use serde_json::json;

    use super::super::resolve::tests::spec;
    use super::super::{Rules, resolve};
    use super::*;
    use crate::model::{ResolvedTask, sample};

    /// A task of three containers, `a` to `c`, with these edges, and a startTimeout for the first of them.
    fn task(edges: &[(&str, &str, &str)], start_timeout: i32) -> TaskSpec {
        let mut spec = spec(json!({}), json!({"name": "a"}), json!({}));
        let first = spec.containers.remove(0);
        for name in ["a", "b", "c"] {
            let of = edges.iter().filter(|(from, ..)| *from == name);
            let edges = of.map(|(_, on, condition)| json!({"containerName": on, "condition": condition}));
            let edges = edges.collect::<Vec<_>>();
            let timeout = (name == "a").then_some(start_timeout);
            let container =
                json!({"name": name, "image": "busybox", "dependsOn": edges, "startTimeout": timeout});
            let mut assigned = first.clone();
            assigned.definition = serde_json::from_value(container).unwrap();
            spec.containers.push(assigned);
        }
        spec
    }

    fn resolved(edges: &[(&str, &str, &str)], start_timeout: i32) -> Result<ResolvedTask, InvalidTask> {
        resolve(&sample::arn(1), &task(edges, start_timeout), &Rules::default())
    }

    #[test]
    fn edges_become_places_and_come_once() {
        let edges = [
            ("b", "c", "SUCCESS"),
            ("b", "a", "START"),
            ("b", "c", "SUCCESS"),
            ("c", "a", "COMPLETE"),
        ];
        let task = resolved(&edges, 5).unwrap();
        let edges = |at: usize| {
            let edges = task.containers[at].depends_on.iter();
            edges.map(|edge| (edge.on, edge.condition)).collect::<Vec<_>>()
        };
        assert_eq!(edges(0), []);
        assert_eq!(edges(1), [(2, Condition::Success), (0, Condition::Start)]);
        assert_eq!(edges(2), [(0, Condition::Complete)]);
        assert_eq!(task.containers[0].start_timeout, Some(Duration::from_secs(5)));
        let none = resolved(&[], 0).unwrap();
        assert_eq!(none.containers[0].start_timeout, None, "0 is none, as in ECS");
    }

    #[test]
    fn edges_that_cant_be_kept_are_refused() {
        for (edges, says) in [
            (&[("a", "d", "START")][..], "the task has no such container"),
            (&[("a", "b", "READY")], "START, COMPLETE, SUCCESS or HEALTHY"),
            (&[("a", "b", "HEALTHY")], "has no healthCheck"),
            (&[("b", "b", "START")], "never start"),
            (
                &[("a", "b", "START"), ("b", "c", "START"), ("c", "a", "START")],
                "never start",
            ),
            (
                &[("a", "b", "START"), ("b", "c", "START"), ("c", "b", "SUCCESS")],
                "never start",
            ),
        ] {
            let said = resolved(edges, 0).unwrap_err().to_string();
            assert!(said.contains(says), "{said}");
        }
        let said = resolved(&[], -1).unwrap_err().to_string();
        assert!(said.contains("startTimeout"), "{said}");
    }
}
