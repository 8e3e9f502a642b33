use super::*;
use crate::api::Any;
use crate::api::task::OPTIONS;

#[test]
fn the_runtime_is_the_annotations_then_the_options_then_runc() {
    let config = |json: &str| serde_json::from_str::<Config>(json).unwrap();
    let plain = config("{}");
    let runtime = Runtime::new("ns", &plain, &Options::default());
    assert_eq!(
        (runtime.program, runtime.root),
        ("runc".into(), Path::new(ROOT).join("ns"))
    );
    let options = Options {
        binary_name: "/bin/crun".into(),
        root: "/run/other".into(),
        ..Options::default()
    };
    let runtime = Runtime::new("ns", &plain, &options);
    assert_eq!(
        (runtime.program, runtime.root),
        ("/bin/crun".into(), "/run/other/ns".into())
    );
    let said = config(r#"{"annotations": {"longshore.runtime": "/x", "longshore.runtime-root": "/y"}}"#);
    let runtime = Runtime::new("ns", &said, &options);
    assert_eq!((runtime.program, runtime.root), ("/x".into(), "/y/ns".into()));
}

#[test]
fn foreign_options_are_refused_by_name() {
    let any = |type_url: &str, value: &[u8]| Any {
        type_url: type_url.into(),
        value: value.to_vec(),
    };
    assert!(options(None).is_ok());
    assert!(options(Some(&any("types.containerd.io/containerd.runc.v1.Options", b""))).is_ok());
    let foreign = options(Some(&any("runtimeoptions.v1.Options", b""))).unwrap_err();
    assert!(foreign.to_string().contains("runtimeoptions.v1.Options"));
    assert!(matches!(
        options(Some(&any(OPTIONS, b"\xff"))),
        Err(OptionsError::Parse(_))
    ));
}

#[test]
fn what_failed_is_said_in_the_runtimes_words() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    assert_eq!(last_error(&log), None);
    let lines = [
        r#"{"level":"warning","msg":"so so"}"#,
        r#"{"level":"error","msg":"exec: \"nope\": not found"}"#,
        "torn {",
    ];
    std::fs::write(&log, lines.join("\n")).unwrap();
    assert_eq!(last_error(&log).unwrap(), r#"exec: "nope": not found"#);
}
