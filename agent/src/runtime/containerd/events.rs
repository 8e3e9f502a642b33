//! containerd's event stream.

use std::time::Duration;

use prost::Message;
use prost_types::Any;
use tokio::sync::mpsc;

use super::watch::{Told, Watch};
use super::{ContainerdRuntime, reap};
use crate::containerd::events::{TaskDelete, TaskExit, TaskOom, TaskStart};
use crate::containerd::services::v1::{PublishRequest, SubscribeRequest};
use crate::containerd::types::Envelope;
use crate::containerd::{QUICK, call};
use crate::model::ContainerId;
use crate::runtime::{RuntimeError, RuntimeEvent};

/// A thousand containers that end at once fit; when more are not taken, listing again is cheaper than memory.
const CAPACITY: usize = 1024;

const START: &str = "/tasks/start";
const EXIT: &str = "/tasks/exit";
const DELETE: &str = "/tasks/delete";
const OUT_OF_MEMORY: &str = "/tasks/oom";
/// Our own, to find out that a subscription stands.
const KNOCK: &str = "/longshore/subscribed";

impl ContainerdRuntime {
    /// The stream ends with [`RuntimeEvent::Lost`] when containerd goes or its reader is too slow: subscribe again.
    pub(super) async fn subscribe(&self) -> Result<mpsc::Receiver<RuntimeEvent>, RuntimeError> {
        let namespace = &self.settings.namespace;
        let filter = |topic: &str| format!("namespace=={namespace:?},topic=={topic:?}");
        let request = SubscribeRequest {
            filters: [START, EXIT, DELETE, OUT_OF_MEMORY, KNOCK].map(filter).into(),
        };
        let mut events = self.client.events();
        let mut stream = tokio::select! {
            stream = call("Subscribe", "", QUICK, events.subscribe(request)) => stream?,
            error = self.knock() => return Err(error),
        };

        let (sender, receiver) = mpsc::channel(CAPACITY);
        let watch = self.watch.clone();
        let mut streams = self.streams();
        // The ones that ended are let go of here, so there are never more than were open at once.
        while streams.tasks.try_join_next().is_some() {}
        streams
            .subscribers
            .retain(|subscriber| subscriber.upgrade().is_some());
        streams.subscribers.push(sender.downgrade());
        streams.tasks.spawn(async move {
            loop {
                let event = tokio::select! {
                    () = sender.closed() => return,
                    event = stream.message() => event,
                };
                let delivered = match event {
                    Ok(Some(envelope)) => interpret(&watch, &envelope).map(|event| sender.try_send(event)),
                    Ok(None) | Err(_) => break,
                };
                if let Some(Err(mpsc::error::TrySendError::Full(_))) = delivered {
                    break;
                }
            }
            // Waits for room, if need be; if nobody reads any more, nobody misses it.
            let told = sender.send(RuntimeEvent::Lost).await;
            tracing::debug!(?told, "event stream lost");
        });
        Ok(receiver)
    }
}

impl ContainerdRuntime {
    /// containerd answers a subscription with its first event, not before; until then nobody could know that it listens.
    /// So events of our own are published until one has come back. Returns only if that can't be done.
    async fn knock(&self) -> RuntimeError {
        let mut pause = Duration::from_millis(1);
        loop {
            let request = PublishRequest {
                topic: KNOCK.to_owned(),
                event: Some(Any {
                    type_url: "longshore.subscribed".to_owned(),
                    value: Vec::new(),
                }),
            };
            let mut events = self.client.events();
            if let Err(error) = call("Publish", KNOCK, QUICK, events.publish(request)).await {
                return error.into();
            }
            self.clock.sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }
}

/// Notes what an event tells and says what is to be passed on: the end of a container's first process. Those of other
/// processes, which have ids of their own, are nobody's business here; nor is what no list has named yet, since the list
/// will tell (it asks for tasks after it has read the records).
fn interpret(watch: &Watch, envelope: &Envelope) -> Option<RuntimeEvent> {
    let bytes = envelope.event.as_ref()?.value.as_slice();
    match envelope.topic.as_str() {
        START => {
            let event = TaskStart::decode(bytes).ok()?;
            watch.started(&event.container_id.parse().ok()?, event.pid);
            None
        }
        EXIT => {
            let event = TaskExit::decode(bytes).ok()?;
            let id: ContainerId = event.container_id.parse().ok()?;
            let of_a_run = event.id == event.container_id
                && watch.exited(&id, event.pid, told(event.exit_status, event.exited_at));
            of_a_run.then_some(RuntimeEvent::Exited(id))
        }
        DELETE => {
            let event = TaskDelete::decode(bytes).ok()?;
            let id: ContainerId = event.container_id.parse().ok()?;
            // Only executed processes have an id here.
            if event.id.is_empty() || event.id == event.container_id {
                watch.deleted(&id, event.pid, told(event.exit_status, event.exited_at));
            }
            None
        }
        OUT_OF_MEMORY => {
            let event = TaskOom::decode(bytes).ok()?;
            watch.out_of_memory(&event.container_id.parse().ok()?);
            None
        }
        _ => None,
    }
}

fn told(status: u32, at: Option<prost_types::Timestamp>) -> Told {
    Told {
        status,
        at_nanos: reap::nanos(at.as_ref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef-0";

    fn envelope(topic: &str, event: &impl Message) -> Envelope {
        Envelope {
            topic: topic.to_owned(),
            event: Some(Any {
                type_url: String::new(),
                value: event.encode_to_vec(),
            }),
            ..Envelope::default()
        }
    }

    #[test]
    fn only_the_first_process_and_only_ours_is_passed_on() {
        let watch = Watch::default();
        let exit = |container: &str, id: &str| TaskExit {
            container_id: container.to_owned(),
            id: id.to_owned(),
            exit_status: 7,
            ..TaskExit::default()
        };
        watch.know(&ID.parse().unwrap());
        assert_eq!(
            interpret(&watch, &envelope(EXIT, &exit(ID, ID))),
            None,
            "never started"
        );
        let start = TaskStart {
            container_id: ID.to_owned(),
            pid: 7,
        };
        assert_eq!(interpret(&watch, &envelope(START, &start)), None);
        assert_eq!(interpret(&watch, &envelope(EXIT, &exit(ID, "exec-1"))), None);
        assert_eq!(interpret(&watch, &envelope(EXIT, &exit("other", "other"))), None);
        assert_eq!(watch.told(&ID.parse().unwrap()), None);
        let exited = RuntimeEvent::Exited(ID.parse().unwrap());
        assert_eq!(interpret(&watch, &envelope(EXIT, &exit(ID, ID))), Some(exited));
        assert_eq!(watch.told(&ID.parse().unwrap()).unwrap().status, 7);
        let broken = Envelope {
            topic: EXIT.to_owned(),
            event: Some(Any {
                type_url: String::new(),
                value: vec![0xff; 3],
            }),
            ..Envelope::default()
        };
        assert_eq!(interpret(&watch, &broken), None);
    }
}
