//! Whatever comes as a poll's answer.

use longshore_protocol::poll::{PollResponse, TaskSpec};
use longshore_tests::corpus;
use longshore_tests::fuzz::{Form, Target};

use super::{Intake, Rules, resolve, unresolve};
use crate::model::{Assignment, Body, ResolvedTask, sample};
use crate::store::Write;

/// The most that is said of why a task is none: it is stored, and goes into a report.
const REASON: usize = 2_000;

#[test]
fn poll_response() {
    Target::new(corpus!("poll_response"), Form::Json).run(|input| {
        let response: PollResponse = match serde_json::from_slice(input) {
            Ok(response) => response,
            Err(error) => return error.to_string(),
        };
        let written = serde_json::to_vec(&response).unwrap();
        assert_eq!(
            serde_json::from_slice::<PollResponse>(&written).unwrap(),
            response
        );
        let mut intake = Intake::new(Rules::default(), Default::default(), Vec::new());
        let judged = intake.judge(&response);
        for write in &judged.writes {
            if let Write::Assignment(assignment) = write {
                assert_stored(assignment);
            }
        }
        let arrivals = intake.take(judged);
        // The same again is nothing new.
        assert!(!intake.is_news(&response) || arrivals.len() < response.assignments.len());
        assert!(
            intake
                .judge(&response)
                .writes
                .iter()
                .all(|write| matches!(write, Write::Assignment(_)))
        );
        format!(
            "{:?}",
            arrivals
                .iter()
                .map(std::mem::discriminant)
                .take(3)
                .collect::<Vec<_>>()
        )
    });
}

fn assert_stored(assignment: &Assignment) {
    match &assignment.body {
        Body::Task(task) => {
            let json = serde_json::to_vec(task.as_ref()).unwrap();
            assert_eq!(&serde_json::from_slice::<ResolvedTask>(&json).unwrap(), &**task);
        }
        Body::Nothing { reason } => assert!(reason.len() <= REASON, "a reason of {} bytes", reason.len()),
        Body::Ended(report) => panic!("nothing has run: {report:?}"),
    }
}

#[test]
fn task_payload() {
    Target::new(corpus!("task_payload"), Form::Json).run(|input| {
        let spec: TaskSpec = match serde_json::from_slice(input) {
            Ok(spec) => spec,
            Err(error) => return error.to_string(),
        };
        match resolve(&sample::arn(1), &spec, &Rules::default()) {
            Ok(task) => {
                let back = serde_json::to_vec(&unresolve(&task)).unwrap();
                let again = resolve(
                    &sample::arn(1),
                    &serde_json::from_slice(&back).unwrap(),
                    &Rules::default(),
                );
                assert_eq!(again.as_ref(), Ok(&task), "what goes back is another task");
                format!("{} {}", task.containers.len(), task.volumes.len())
            }
            Err(error) => {
                let words = error.to_string();
                assert!(words.len() <= REASON, "a reason of {} bytes", words.len());
                words
            }
        }
    });
}
