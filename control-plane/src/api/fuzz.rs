//! Bodies of requests: what clients, nodes and whoever holds their keys may send.

use longshore_protocol::check::{Check, Path};
use longshore_protocol::{ecs, node, poll::PollRequest};
use longshore_tests::corpus;
use longshore_tests::fuzz::{Form, Target};
use serde::{Serialize, de::DeserializeOwned};

use super::{MAX_BODY_NODES, parse, refs};
use crate::definition::{check_overrides, effective, register};
use crate::error::{ApiError, MAX_MESSAGE};

/// What may be held for each byte of a request: it is in memory three times, as bytes, as what it says, and as JSON.
const HOLDS: u64 = 100;
/// And for as many objects as one may have, each of which may be the largest that there is.
const HOLDS_ALWAYS: u64 = 24 << 20;
/// Enough for more objects than one may have.
const LONGEST: usize = 64 << 10;

fn target(corpus: &str) -> Target {
    Target::new(corpus, Form::Json)
        .holds(HOLDS)
        .holds_always(HOLDS_ALWAYS)
        .longest(LONGEST)
}

/// Reads a request; what is read can be written, and is the same when it is read again.
fn read<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(input: &[u8]) -> Result<T, String> {
    let read: T = parse(input, MAX_BODY_NODES).map_err(bounded)?;
    let written = serde_json::to_vec(&read).unwrap();
    assert_eq!(serde_json::from_slice::<T>(&written).unwrap(), read);
    Ok(read)
}

fn bounded(error: impl Into<ApiError>) -> String {
    let words = error.into().message;
    assert!(
        words.chars().count() <= MAX_MESSAGE + 1,
        "an error of {} bytes",
        words.len()
    );
    words
}

#[test]
fn register_task_definition() {
    target(corpus!("register_task_definition")).run(|input| {
        let request: ecs::RegisterTaskDefinitionRequest = match read(input) {
            Ok(request) => request,
            Err(words) => return words,
        };
        if let Err(violation) = request.check(&Path::ROOT) {
            return bounded(ApiError::client(violation.to_string()));
        }
        match register(&request) {
            Ok(definition) => {
                let shown = serde_json::to_vec(&definition.task_definition).unwrap();
                let again = register(&serde_json::from_slice(&shown).unwrap());
                assert_eq!(
                    again.unwrap().task_definition,
                    definition.task_definition,
                    "what is shown is another one"
                );
                effective(&definition.task_definition, &ecs::TaskOverride::default()).unwrap();
                "registered".to_owned()
            }
            Err(refusal) => bounded(refusal),
        }
    });
}

#[test]
fn run_task() {
    let definition = include_bytes!("../../fuzz/register_task_definition/registered.json");
    let definition = register(&parse(definition, MAX_BODY_NODES).unwrap())
        .unwrap()
        .task_definition;
    target(corpus!("run_task")).run(|input| {
        let request: ecs::RunTaskRequest = match read(input) {
            Ok(request) => request,
            Err(words) => return words,
        };
        if let Err(violation) = request.check(&Path::ROOT) {
            return bounded(ApiError::client(violation.to_string()));
        }
        let overrides = request.overrides.unwrap_or_default();
        match check_overrides(&definition, &overrides) {
            Ok(()) => {
                let effective = effective(&definition, &overrides).unwrap();
                assert_eq!(
                    effective.containers.len(),
                    definition.container_definitions.as_ref().unwrap().len()
                );
                "taken".to_owned()
            }
            Err(refusal) => bounded(refusal),
        }
    });
}

#[test]
fn poll_request() {
    target(corpus!("poll_request")).run(|input| match read::<PollRequest>(input) {
        Ok(request) => {
            let tasks = request.inventory.tasks.as_deref().unwrap_or_default();
            assert_eq!(longshore_protocol::poll::Inventory::hash_of(tasks).len(), 64);
            format!(
                "{} {}",
                request.inventory.bodies.len().min(2),
                request.status.tasks.len().min(2)
            )
        }
        Err(words) => words,
    });
}

#[test]
fn node_calls() {
    fn said<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug + Check>(input: &[u8]) -> String {
        match read::<T>(input) {
            Ok(request) => request.check(&Path::ROOT).map_or_else(
                |violation| bounded(ApiError::client(violation.to_string())),
                |()| "taken".to_owned(),
            ),
            Err(words) => words,
        }
    }
    target(corpus!("node_calls")).run(|input| {
        [
            said::<ecs::SubmitTaskStateChangeRequest>(input),
            said::<ecs::RegisterContainerInstanceRequest>(input),
            said::<node::RegisterManagedInstanceRequest>(input),
        ]
        .concat()
    });
}

#[test]
fn references() {
    let scope = longshore_protocol::arn::Scope::new("us-east-1", "000000000000");
    Target::new(corpus!("references"), Form::Text).run(|input| {
        let text = std::str::from_utf8(input).unwrap();
        let said = [
            refs::cluster_name(&scope, Some(text)).err(),
            refs::task(&scope, "default", text).err(),
            refs::container_instance(&scope, "default", text).err(),
            refs::task_definition(&scope, text).err(),
        ];
        said.into_iter().flatten().map(|error| error.message).collect()
    });
}
