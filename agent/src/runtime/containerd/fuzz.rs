//! What is read back of containerd's records and events, and of the exit records of shims: another version may have
//! written it, or a disk that failed.

use std::collections::HashMap;

use longshore_protocol::exit_record::{self, ExitRecord};
use longshore_tests::corpus;
use longshore_tests::fuzz::{Form, Target};
use prost_types::Any;

use super::record::{self, EXIT_EXTENSION, RUN_EXTENSION, Record, TASK_EXTENSION};
use crate::containerd::services::v1::Container;
use crate::model::sample;

fn stored(kind: &str, value: &[u8]) -> Container {
    let any = Any {
        type_url: String::new(),
        value: value.to_vec(),
    };
    Container {
        extensions: HashMap::from([(kind.to_owned(), any)]),
        ..Container::default()
    }
}

#[test]
fn container_record() {
    let whole = Record::new(sample::task(vec![sample::container("a", true)]), None);
    let target = Target::new(corpus!("container_record"), Form::Json);
    target.seed(serde_json::to_vec(&whole).unwrap()).run(|input| {
        let Some(read) = Record::read(&stored(TASK_EXTENSION, input)) else {
            return "no record".to_owned();
        };
        let written = record::json(TASK_EXTENSION, &read).unwrap();
        assert_eq!(
            Record::read(&stored(TASK_EXTENSION, &written.value)),
            Some(read.clone())
        );
        format!(
            "{:?}",
            read.task
                .containers
                .first()
                .map(|container| container.restart_policy.is_some())
        )
    });
}

#[test]
fn container_exit() {
    Target::new(corpus!("container_exit"), Form::Json).run(|input| {
        let exit = record::read_exit(&stored(EXIT_EXTENSION, input));
        if let Some(exit) = &exit {
            let written = record::json(EXIT_EXTENSION, &Some(exit)).unwrap();
            assert_eq!(
                record::read_exit(&stored(EXIT_EXTENSION, &written.value)).as_ref(),
                Some(exit)
            );
        }
        let run = record::read_run(&stored(RUN_EXTENSION, input));
        format!("{} {}", exit.is_some(), run > 0)
    });
}

#[test]
fn exit_record() {
    Target::new(corpus!("exit_record"), Form::Json).run(|input| match ExitRecord::parse(input) {
        Ok(record) => {
            assert_eq!(ExitRecord::parse(&record.to_json()).unwrap(), record);
            format!(
                "{} {} {}",
                record.exec.is_some(),
                record.memory.is_some(),
                record.undead.is_empty()
            )
        }
        Err(error) => std::error::Error::source(&error).unwrap().to_string(),
    });
}

#[test]
fn exit_record_name() {
    Target::new(corpus!("exit_record_name"), Form::Text).run(|input| {
        let name = std::str::from_utf8(input).unwrap();
        match exit_record::parse_file_name(name) {
            Some((container, exec)) => {
                assert_eq!(exit_record::file_name(container, exec), name);
                format!("{}", exec.is_some())
            }
            None => "no name".to_owned(),
        }
    });
}

#[test]
fn user_of_an_image() {
    Target::new(corpus!("user_of_an_image"), Form::Text)
        .holds(10)
        .run(|input| {
            let text = std::str::from_utf8(input).unwrap();
            let mut parts = text.splitn(3, '\u{1}');
            let mut part = || parts.next().unwrap_or_default();
            match super::user::resolve(part(), part(), part()) {
                Ok(identity) => format!("{}", identity.uid == 0),
                Err(error) => error.to_string(),
            }
        });
}
