use longshore_protocol::status::InstanceStatus;

use super::*;
use crate::model::sample;
use crate::store::{Contents, Store, StoreError};

struct Kit {
    folder: tempfile::TempDir,
    store: Store,
    intake: Intake,
}

impl Kit {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (store, contents) = Store::open(&folder.path().join("s.db")).unwrap();
        let intake = Intake::new(Rules::default(), contents.cursor, Vec::new());
        Self {
            folder,
            store,
            intake,
        }
    }

    async fn take(&mut self, response: &PollResponse) -> Result<Vec<Arrival>, StoreError> {
        let judged = self.intake.judge(response);
        if !judged.writes.is_empty() {
            self.store.commit(judged.writes.clone()).await?;
        }
        Ok(self.intake.take(judged))
    }

    /// What is on the disk.
    fn stored(self) -> Contents {
        drop(self.store);
        Store::open(&self.folder.path().join("s.db")).unwrap().1
    }
}

fn spec() -> Option<Box<poll::TaskSpec>> {
    let nothing = || serde_json::json!({});
    Some(Box::new(resolve::tests::spec(nothing(), nothing(), nothing())))
}

fn assignment(task: u128, generation: u64, desired: DesiredStatus) -> poll::Assignment {
    poll::Assignment {
        seq: 1,
        task_arn: sample::arn(task),
        generation,
        desired_status: desired,
        force: false,
        task: spec(),
    }
}

fn response(cursor: u64, assignments: Vec<poll::Assignment>) -> PollResponse {
    let cursor = Cursor {
        incarnation: "1".to_owned(),
        cursor,
    };
    PollResponse {
        assignments,
        ..PollResponse::nothing(cursor, InstanceStatus::Active)
    }
}

#[tokio::test]
async fn assignments_and_cursor_are_stored_in_one_commit() {
    let mut kit = Kit::new();
    let answer = response(
        2,
        vec![
            assignment(1, 1, DesiredStatus::Running),
            assignment(2, 1, DesiredStatus::Running),
        ],
    );
    assert!(kit.intake.is_news(&answer));
    let arrivals = kit.take(&answer).await.unwrap();
    assert_eq!(arrivals.len(), 2);
    assert_eq!(kit.store.commits(), 1);
    // The same again changes nothing, and costs nothing.
    assert!(!kit.intake.is_news(&answer));
    let again = kit.take(&answer).await.unwrap();
    assert!(
        again.iter().all(|arrival| matches!(arrival, Arrival::Order(..))),
        "{again:?}"
    );
    assert_eq!(kit.store.commits(), 1);
    let contents = kit.stored();
    assert_eq!(contents.cursor.cursor, 2);
    assert_eq!(contents.tasks.len(), 2);
    assert!(contents.tasks.iter().all(|task| task.record.is_none()));
}

#[tokio::test]
async fn orders_are_judged_by_their_generation() {
    let mut kit = Kit::new();
    kit.take(&response(1, vec![assignment(1, 5, DesiredStatus::Running)]))
        .await
        .unwrap();
    let older = response(2, vec![assignment(1, 4, DesiredStatus::Running)]);
    let arrivals = kit.take(&older).await.unwrap();
    assert!(
        matches!(arrivals.as_slice(), [Arrival::Order(..)]),
        "it is not taken, and handed on: {arrivals:?}"
    );
    assert_eq!(kit.intake.cursor().cursor, 2, "the cursor goes on");
    let stop = poll::Assignment {
        task: None,
        ..assignment(1, 3, DesiredStatus::Stopped)
    };
    let arrivals = kit.take(&response(3, vec![stop])).await.unwrap();
    let [Arrival::Order(arn, order)] = arrivals.as_slice() else {
        panic!("{arrivals:?}")
    };
    assert_eq!((arn, order.desired), (&sample::arn(1), DesiredStatus::Stopped));
    let contents = kit.stored();
    let stored = &contents.tasks[0].assignment;
    assert_eq!((stored.generation, stored.desired), (5, DesiredStatus::Stopped));
    assert!(stored.body.task().is_some(), "what it is stays known");
}

#[tokio::test]
async fn run_and_stop_in_one_answer_are_one_task_that_stops() {
    let mut kit = Kit::new();
    let answer = response(
        2,
        vec![
            assignment(1, 1, DesiredStatus::Running),
            assignment(1, 2, DesiredStatus::Stopped),
        ],
    );
    let arrivals = kit.take(&answer).await.unwrap();
    assert!(
        matches!(arrivals.as_slice(), [Arrival::New(_), Arrival::Order(..)]),
        "{arrivals:?}"
    );
    assert_eq!(kit.stored().tasks[0].assignment.desired, DesiredStatus::Stopped);
}

#[tokio::test]
async fn what_was_stopped_before_and_what_cant_be_understood_is_nothing_to_run() {
    let mut kit = Kit::new();
    let mut bad = assignment(2, 1, DesiredStatus::Running);
    bad.task.as_mut().unwrap().containers.clear();
    let unknown = poll::Assignment {
        task: None,
        ..assignment(3, 1, DesiredStatus::Running)
    };
    let answer = response(3, vec![assignment(1, 1, DesiredStatus::Stopped), bad, unknown]);
    let arrivals = kit.take(&answer).await.unwrap();
    let reasons: Vec<_> = arrivals
        .iter()
        .map(|arrival| match arrival {
            Arrival::New(Assignment {
                body: Body::Nothing { reason },
                desired: DesiredStatus::Stopped,
                ..
            }) => reason.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    let invalid = "InvalidTaskError: containerDefinitions is \"0\": a task has 1 to 10 containers";
    assert_eq!(reasons, [STOPPED_BEFORE, invalid]);
    assert_eq!(kit.stored().cursor.cursor, 3);
}

#[tokio::test]
async fn an_overtaken_answer_does_not_take_the_cursor_back_but_a_new_incarnation_may() {
    let mut kit = Kit::new();
    kit.take(&response(9, Vec::new())).await.unwrap();
    kit.take(&response(4, Vec::new())).await.unwrap();
    assert_eq!(kit.intake.cursor().cursor, 9);
    let mut restored = response(2, Vec::new());
    restored.cursor.incarnation = "2".to_owned();
    kit.take(&restored).await.unwrap();
    assert_eq!(
        (
            kit.intake.cursor().cursor,
            kit.intake.cursor().incarnation.as_str()
        ),
        (2, "2")
    );
}
