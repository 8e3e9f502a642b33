//! Tasks that have ended here, and are remembered for a while.

use jiff::ToSpan as _;
use longshore_protocol::status::ReportedStatus;

use super::*;
use crate::model::{Report, TaskState, sample};

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn report(number: u128) -> Report {
    let mut assignment = sample::assignment(&[true]);
    assignment.arn = sample::arn(number);
    TaskState::new(assignment).standing(crate::model::KnownStatus::Stopped)
}

fn ended(number: u128, at: Timestamp) -> Write {
    Write::Ended(Box::new(report(number)), at)
}

async fn known(store: &Store, number: u128) -> bool {
    let found = store
        .take_in(Vec::new(), vec![sample::arn(number)])
        .await
        .unwrap();
    !found.is_empty()
}

#[tokio::test]
async fn an_assignment_of_one_that_has_ended_is_its_report() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = opened(&path(&folder));
    store.commit(vec![ended(1, start())]).await.unwrap();
    let assignment = Assignment {
        arn: sample::arn(1),
        ..sample::assignment(&[true])
    };
    let writes = vec![Write::Assignment(assignment.clone())];
    let found = store
        .take_in(writes, vec![sample::arn(2), sample::arn(1)])
        .await
        .unwrap();
    assert_eq!(found, [report(1)]);
    drop(store);
    let (store, contents) = opened(&path(&folder));
    assert_eq!(
        contents.tasks[0].assignment.body,
        Body::Ended(Box::new(report(1)))
    );
    // What is found in the runtime has not ended.
    store.commit(vec![Write::Adopted(assignment)]).await.unwrap();
    assert!(!known(&store, 1).await);
}

#[tokio::test]
async fn they_are_bounded_in_number_and_age_and_none_that_is_ordered_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = opened(&path(&folder));
    let ordered = Assignment {
        arn: sample::arn(1),
        ..sample::assignment(&[true])
    };
    let writes = vec![
        ended(1, start()),
        ended(2, start()),
        ended(3, start()),
        Write::Assignment(ordered.clone()),
    ];
    store.commit(writes).await.unwrap();
    let young = start() + (399 * 24).hours();
    store.commit(vec![ended(4, young)]).await.unwrap();
    assert!(known(&store, 2).await);
    let old = start() + (401 * 24).hours();
    store.commit(vec![ended(5, old)]).await.unwrap();
    assert!(known(&store, 1).await, "it is ordered");
    assert!(!known(&store, 2).await);
    store.commit(vec![Write::Forget(ordered.arn)]).await.unwrap();
    let many = (6..=10_005).map(|number| ended(number, old)).collect();
    store.commit(many).await.unwrap();
    for (number, is_known) in [(1, false), (5, false), (6, true), (10_005, true)] {
        assert_eq!(known(&store, number).await, is_known, "{number}");
    }
}

#[tokio::test]
async fn an_order_to_tell_an_end_again_outlives_an_older_record() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = opened(&path(&folder));
    let assignment = sample::assignment(&[true]);
    let arn = assignment.arn.clone();
    let mut record: TaskRecord = serde_json::from_str(RECORD).unwrap();
    record.acknowledged.task = ReportedStatus::Stopped;
    let told = |store| {
        drop(store);
        let (store, contents) = opened(&path(&folder));
        (store, contents.tasks[0].record.clone().unwrap().acknowledged.task)
    };
    let save = Write::Record(arn.clone(), record);
    store
        .commit(vec![Write::Assignment(assignment), save.clone()])
        .await
        .unwrap();
    let (store, status) = told(store);
    assert_eq!(status, ReportedStatus::Stopped);
    // One that was on its way when the order came.
    store.commit(vec![Write::TellAgain(arn.clone())]).await.unwrap();
    store.commit(vec![save.clone()]).await.unwrap();
    let (store, status) = told(store);
    assert_eq!(status, ReportedStatus::Running);
    store
        .commit(vec![save, Write::KnowsOfOrders(arn.clone())])
        .await
        .unwrap();
    let (store, status) = told(store);
    assert_eq!(status, ReportedStatus::Stopped);
    store.commit(vec![Write::TellAgain(arn.clone())]).await.unwrap();
    store.commit(vec![Write::Forget(arn.clone())]).await.unwrap();
    assert_eq!(store.get(&format!("store.tell-again.{arn}")).await.unwrap(), None);
}

#[tokio::test]
async fn a_report_that_can_not_be_read_costs_nothing_but_itself() {
    for spoilt in ["'{\"task\":7}'", "CAST(x'ff00' AS TEXT)", "'half a rep'", "5"] {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = opened(&path(&folder));
        store
            .commit(vec![ended(1, start()), ended(2, start())])
            .await
            .unwrap();
        let spoil = format!("UPDATE ended SET report = {spoilt} WHERE number = 1");
        store.writer.execute(&spoil);
        let assignment = Assignment {
            arn: sample::arn(1),
            ..sample::assignment(&[true])
        };
        let writes = vec![Write::Assignment(assignment)];
        let news = vec![sample::arn(1), sample::arn(2)];
        let found = store.take_in(writes, news).await.unwrap();
        let plain = Report::of_ended(sample::arn(1));
        assert_eq!(found, [plain.clone(), report(2)], "{spoilt}");
        drop(store);
        let (_store, contents, aside) = Store::open_or_begin(&path(&folder), start()).unwrap();
        assert!(aside.is_none(), "{spoilt}");
        assert_eq!(contents.tasks[0].assignment.body, Body::Ended(Box::new(plain)));
    }
}

#[tokio::test]
async fn what_can_not_be_said_of_news_is_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = opened(&path(&folder));
    store.writer.execute("ALTER TABLE ended RENAME TO elsewhere");
    let writes = vec![Write::Cursor(Cursor {
        incarnation: "1".to_owned(),
        cursor: 7,
    })];
    let error = store.take_in(writes, vec![sample::arn(1)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Failed { .. }), "{error}");
    store.writer.execute("ALTER TABLE elsewhere RENAME TO ended");
    drop(store);
    assert_eq!(opened(&path(&folder)).1.cursor, Cursor::default());
}

#[test]
fn a_report_of_before_some_of_its_members_is_read() {
    let arn = sample::arn(1);
    let oldest =
        format!(r#"{{"task":"{arn}","status":"STOPPED","containers":[{{"name":"a","status":"STOPPED"}}]}}"#);
    let read: Report = serde_json::from_str(&oldest).unwrap();
    assert_eq!(read.containers[0].bindings, []);
    let bare = format!(r#"{{"task":"{arn}","status":"STOPPED"}}"#);
    assert_eq!(serde_json::from_str::<Report>(&bare).unwrap().containers, []);
}
