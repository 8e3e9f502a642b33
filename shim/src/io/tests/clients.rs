//! FIFOs and consoles.

use super::*;

#[test]
fn clients_have_fifos_for_all_three() {
    let dir = tempfile::tempdir().unwrap();
    let (stdin, stdout, stderr) = (
        fifo(dir.path(), "0"),
        fifo(dir.path(), "1"),
        fifo(dir.path(), "2"),
    );
    let io = start();
    let request = StdioRequest {
        stdin: &stdin,
        stdout: &stdout,
        stderr: &stderr,
        ..StdioRequest::default()
    };
    let (child, process) = io.open(&request, &NAME).unwrap();
    let mut program = run(child, "read line; echo got $line; cat; echo done >&2");
    let mut input = OpenOptions::new().write(true).open(&stdin).unwrap();
    input.write_all(b"one\ntwo\n").unwrap();
    let mut output = File::open(&stdout).unwrap();
    let mut error = File::open(&stderr).unwrap();
    let mut seen = [0; 8];
    output.read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"got one\n");
    // A client that leaves, and comes back, has not ended stdin.
    drop(input);
    let mut input = OpenOptions::new().write(true).open(&stdin).unwrap();
    input.write_all(b"three\n").unwrap();
    drop(input);
    process.close_stdin();
    let (mut rest, mut errors) = (String::new(), String::new());
    output.read_to_string(&mut rest).unwrap();
    error.read_to_string(&mut errors).unwrap();
    assert_eq!((rest.as_str(), errors.as_str()), ("two\nthree\n", "done\n"));
    assert!(program.wait().unwrap().success());
    assert!(process.drained(LONG));
    assert_eq!(process.dropped_bytes(), 0);
}

#[test]
fn output_waits_for_the_first_client() {
    let dir = tempfile::tempdir().unwrap();
    let stdout = fifo(dir.path(), "1");
    let io = start();
    let request = to(&stdout);
    let (child, process) = io.open(&request, &NAME).unwrap();
    assert!(run(child, "echo early").wait().unwrap().success());
    assert!(!process.status.wait_drained(Duration::ZERO));
    assert_eq!(std::fs::read_to_string(&stdout).unwrap(), "early\n");
    assert!(process.drained(LONG));
}

#[test]
fn a_client_that_goes_is_not_missed_and_may_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let stdout = fifo(dir.path(), "1");
    let io = start();
    let client = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(&stdout)
        .unwrap();
    let request = to(&stdout);
    let (child, process) = io.open(&request, &NAME).unwrap();
    drop(client);
    // More than pipe and FIFO hold: this returns only if it is read.
    let mut out = File::from(child.stdout);
    out.write_all(&vec![b'x'; 1 << 20]).unwrap();
    wait_for(|| process.dropped_bytes() == 1 << 20);
    let (told, hears) = std::sync::mpsc::channel();
    let client = std::thread::spawn(move || {
        let mut fifo = BufReader::new(File::open(stdout).unwrap());
        let mut text = String::new();
        fifo.read_line(&mut text).unwrap();
        told.send(()).unwrap();
        fifo.read_to_string(&mut text).unwrap();
        text
    });
    // What comes before the client does is dropped.
    while hears.try_recv().is_err() {
        out.write_all(b"back\n").unwrap();
    }
    out.write_all(b"last\n").unwrap();
    drop((out, child.stderr));
    assert!(process.drained(LONG));
    assert!(client.join().unwrap().ends_with("back\nlast\n"));
}

#[test]
fn a_process_that_closes_stdin_leaves_its_client_without_a_reader() {
    let dir = tempfile::tempdir().unwrap();
    let stdin = fifo(dir.path(), "0");
    let io = start();
    let request = StdioRequest {
        stdin: &stdin,
        ..StdioRequest::default()
    };
    let (child, _process) = io.open(&request, &NAME).unwrap();
    let mut input = OpenOptions::new().write(true).open(&stdin).unwrap();
    drop(child);
    while input.write_all(b"into the void\n").is_ok() {}
}

#[test]
fn a_slow_client_slows_down_its_process_only() {
    let dir = tempfile::tempdir().unwrap();
    let stdout = fifo(dir.path(), "1");
    let (uri, path) = log_uri(dir.path(), 1 << 20, 2);
    let io = start();
    let client = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(&stdout)
        .unwrap();
    let (child, slow) = io.open(&to(&stdout), &NAME).unwrap();
    let mut program = run(child, "head -c 10000000 /dev/zero");
    let (child, other) = io.open(&to(&uri), &NAME).unwrap();
    assert!(run(child, "echo other").wait().unwrap().success());
    assert!(other.drained(LONG));
    assert_eq!(records(&path).len(), 1);
    assert!(program.try_wait().unwrap().is_none() && !slow.status.wait_drained(Duration::ZERO));
    // The process has ended when its client begins to read: everything is still there.
    nix::fcntl::fcntl(&client, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty())).unwrap();
    let mut read = 0;
    let mut client = client;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match client.read(&mut buffer).unwrap() {
            0 => break,
            count => read += count,
        }
    }
    assert_eq!(read, 10_000_000);
    assert!(program.wait().unwrap().success() && slow.drained(LONG));
}

#[test]
fn a_console_is_joined_to_fifos_and_hung_up_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (stdin, stdout) = (fifo(dir.path(), "0"), fifo(dir.path(), "1"));
    let io = start();
    let request = StdioRequest {
        stdin: &stdin,
        terminal: true,
        ..to(&stdout)
    };
    let (_, process) = io.open(&request, &NAME).unwrap();
    let console = nix::pty::openpty(None, None).unwrap();
    // Whoever resizes the console has it too.
    let other = console.master.try_clone().unwrap();
    process.attach_console(console.master).unwrap();
    let path = stdout.clone();
    let client = std::thread::spawn(move || std::fs::read_to_string(path).unwrap());
    let mut input = OpenOptions::new().write(true).open(&stdin).unwrap();
    input.write_all(b"typed\n").unwrap();
    let mut line = String::new();
    let mut slave = BufReader::new(File::from(console.slave));
    slave.read_line(&mut line).unwrap();
    assert_eq!(line, "typed\n");
    slave.get_ref().write_all(b"shown").unwrap();
    drop(slave);
    assert!(process.drained(LONG));
    assert_eq!(client.join().unwrap(), "typed\r\nshown");
    drop(other);
}
