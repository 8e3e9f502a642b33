//! What containerd sends, what the bundle says, and what the system's files say.

use longshore_protocol::json_file::WriterOptions;
use longshore_tests::corpus;
use longshore_tests::fuzz::{Form, Target};
use prost::Message;

use crate::api::{Any, task};
use crate::bundle::Config;
use crate::cgroup::Mounts;
use crate::command::Arguments;
use crate::log::options;
use crate::runtime;
use crate::ttrpc::frame::{HEADER, MAX_MESSAGE, Parsed, REQUEST, Request, frame, parse};

/// What is decoded is what is encoded again.
fn decoded<R: Message + Default + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> String {
    match R::decode(bytes) {
        Ok(read) => {
            assert_eq!(R::decode(read.encode_to_vec().as_slice()).unwrap(), read);
            "read ".to_owned()
        }
        Err(error) => error.to_string(),
    }
}

fn request(method: &str, message: &impl Message) -> Request {
    Request {
        service: "containerd.task.v2.Task".into(),
        method: method.into(),
        payload: message.encode_to_vec(),
        timeout_nano: 5_000_000_000,
    }
}

fn create() -> task::CreateTaskRequest {
    task::CreateTaskRequest {
        id: "c".into(),
        bundle: "/b".into(),
        rootfs: vec![task::Mount {
            r#type: "overlay".into(),
            source: "overlay".into(),
            options: vec!["lowerdir=/a:/b".into()],
            ..Default::default()
        }],
        stdout: "longshore-log:///o".into(),
        options: Some(crate::api::any(
            "containerd.runc.v1.Options",
            &task::Options::default(),
        )),
        ..Default::default()
    }
}

#[test]
fn ttrpc_frames() {
    let frames = [
        frame(1, REQUEST, &request("Create", &create())),
        frame(3, REQUEST, &request("Kill", &task::KillRequest::default())),
    ];
    let target = Target::new(corpus!("ttrpc_frames"), Form::Bytes);
    target.seed(frames.concat()).run(|input| {
        let (mut said, mut rest) = (String::new(), input);
        for _ in 0..3 {
            match parse(rest) {
                Parsed::Incomplete => break,
                Parsed::TooLong(header) => {
                    assert!(header.length > MAX_MESSAGE);
                    said += "too long";
                    break;
                }
                Parsed::Frame(header, place) => {
                    assert_eq!((place.start, place.len()), (HEADER, header.length));
                    said += &format!("{} ", header.kind == REQUEST);
                    said += &decoded::<Request>(&rest[place.clone()]);
                    rest = &rest[place.end..];
                }
            }
        }
        said
    });
}

#[test]
fn shim_requests() {
    let exec = task::ExecProcessRequest {
        id: "c".into(),
        exec_id: "e".into(),
        spec: Some(Any::default()),
        ..Default::default()
    };
    // Two bytes are a mount.
    let target = Target::new(corpus!("shim_requests"), Form::Bytes).holds(250);
    target
        .seed(create().encode_to_vec())
        .seed(exec.encode_to_vec())
        .run(|input| {
            [
                decoded::<task::CreateTaskRequest>(input),
                decoded::<task::ExecProcessRequest>(input),
                decoded::<task::DeleteRequest>(input),
                decoded::<task::KillRequest>(input),
                decoded::<task::ResizePtyRequest>(input),
                decoded::<task::UpdateTaskRequest>(input),
                decoded::<task::CloseIoRequest>(input),
                decoded::<task::WaitRequest>(input),
            ]
            .concat()
        });
}

#[test]
fn runtime_options() {
    let given = crate::api::any(
        "types.example/containerd.runc.v1.Options",
        &task::Options::default(),
    );
    let target = Target::new(corpus!("runtime_options"), Form::Bytes);
    target
        .seed(given.encode_to_vec())
        .run(|input| match Any::decode(input) {
            Ok(any) => {
                runtime::options(Some(&any)).map_or_else(|error| error.to_string(), |_| "read".to_owned())
            }
            Err(error) => error.to_string(),
        });
}

#[test]
fn bundle_config() {
    Target::new(corpus!("bundle_config"), Form::Json).run(|input| {
        match serde_json::from_slice::<Config>(input) {
            Ok(config) => format!("{:?} {:?}", config.runtime().is_some(), config.exits().is_some()),
            Err(error) => error.to_string(),
        }
    });
}

#[test]
fn writer_options() {
    Target::new(corpus!("writer_options"), Form::Json).run(|input| {
        match serde_json::from_slice::<WriterOptions>(input) {
            Ok(read) => {
                let written = serde_json::to_vec(&read).unwrap();
                assert_eq!(serde_json::from_slice::<WriterOptions>(&written).unwrap(), read);
                options::check(&read).map_or_else(|error| error.to_string(), |()| "good".to_owned())
            }
            Err(error) => error.to_string(),
        }
    });
}

#[test]
fn mountinfo() {
    Target::new(corpus!("mountinfo"), Form::Text)
        .holds(60)
        .run(|input| {
            let text = std::str::from_utf8(input).unwrap();
            let places = Mounts::parse(text).places("3:memory:/a/b\n0::/a/b\n", "3:memory:/\n0::/\n");
            format!("{}", places.len())
        });
}

#[test]
fn command_line() {
    Target::new(corpus!("command_line"), Form::Text).run(|input| {
        let words = std::str::from_utf8(input).unwrap().split('\n').map(str::to_owned);
        match Arguments::parse(words) {
            Ok(read) => format!("{:?} {}", read.action, read.bundle.is_some()),
            Err(error) => error.to_string(),
        }
    });
}
