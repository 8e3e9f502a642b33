//! Programs that read output themselves.

use super::*;

#[test]
fn a_logger_is_started_as_containerd_does() {
    let dir = tempfile::tempdir().unwrap();
    let script = r#"echo "$# $1 $3$4 $CONTAINER_ID $CONTAINER_NAMESPACE $(env | wc -l)" > "$2/told"
        exec 5>&-; cat <&3 > "$2/out" & cat <&4 > "$2/err"; wait"#;
    let uri = logger_uri(dir.path(), script);
    let io = start();
    let (child, process) = io.open(&to(&uri), &NAME).unwrap();
    // The shell adds PWD of its own.
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(read("told"), "4 dir flag web tests 3\n");
    assert!(run(child, "echo out; echo err >&2").wait().unwrap().success());
    assert!(process.drained(LONG));
    assert_eq!((read("out").as_str(), read("err").as_str()), ("out\n", "err\n"));
    assert_eq!(process.dropped_bytes(), 0);
}

#[test]
fn the_death_of_a_logger_costs_output_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let uri = logger_uri(dir.path(), "exec 5>&-; head -c 6 <&3 > \"$2/out\"");
    let io = start();
    let (child, process) = io.open(&to(&uri), &NAME).unwrap();
    let (mut out, err) = (File::from(child.stdout), File::from(child.stderr));
    out.write_all(b"taken\n").unwrap();
    // More than the pipe holds: this returns only if it is read.
    out.write_all(&vec![b'x'; 1 << 20]).unwrap();
    (&err).write_all(b"gone").unwrap();
    drop((out, err));
    assert!(process.drained(LONG));
    assert_eq!(std::fs::read(dir.path().join("out")).unwrap(), b"taken\n");
    let dropped = process.dropped_bytes();
    assert!((1..=(1 << 20) + 4).contains(&dropped), "{dropped}");
}

#[test]
fn a_logger_that_goes_on_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let script = "trap 'echo asked > \"$2/end\"; kill $!' TERM; exec 5>&-; sleep 1000 & wait; wait";
    let uri = logger_uri(dir.path(), script);
    let io = start();
    let (child, process) = io.open(&to(&uri), &NAME).unwrap();
    drop(child);
    process.close();
    wait_for(|| std::fs::read(dir.path().join("end")).is_ok_and(|text| text == b"asked\n"));
}

#[test]
fn a_logger_that_cant_be_started_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let io = start();
    for uri in [
        "binary:///does/not/exist".to_owned(),
        format!("binary://{}", dir.path().display()),
    ] {
        let error = io.open(&to(&uri), &NAME).unwrap_err();
        assert!(matches!(error, IoError::Logger { program, .. } if uri.ends_with(program.to_str().unwrap())));
    }
}
