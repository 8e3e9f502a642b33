//! What a container's process has and what it must not do.

use longshore_agent::model::{BindMount, Ulimit};

use crate::stage::{Stage, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_in_the_cgroups() {
    let mut stage = Stage::new(&["sleep", "1000"]);
    stage.task.cpu = Some(256);
    stage.task.memory = Some(64);
    stage.container().cpu = 128;
    stage.container().memory = Some(32);
    stage.container().memory_reservation = Some(16);
    stage.run(0).await.unwrap();
    let task = stage.task.arn.id.to_string();
    let own = format!("{task}/{}", stage.id(0));
    assert_eq!(
        stage.limit(&task, ("memory", "memory.limit_in_bytes"), "memory.max"),
        (64 << 20).to_string()
    );
    let quota = stage.limit(&task, ("cpu", "cpu.cfs_quota_us"), "cpu.max");
    assert!(["25000", "25000 100000"].contains(&&*quota), "{quota}");
    assert_eq!(
        stage.limit(&own, ("memory", "memory.limit_in_bytes"), "memory.max"),
        (32 << 20).to_string()
    );
    let soft = stage.limit(&own, ("memory", "memory.soft_limit_in_bytes"), "memory.low");
    assert_eq!(soft, (16 << 20).to_string());
    let shares = stage.limit(&own, ("cpu", "cpu.shares"), "cpu.weight");
    assert!(["128", "5"].contains(&&*shares), "{shares}");
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_has_what_the_spec_says() {
    let mut stage = Stage::new(&["sleep", "1000"]);
    stage.user = "app".to_owned();
    stage.container().ulimits = vec![Ulimit {
        name: "nofile".to_owned(),
        soft: 100,
        hard: 200,
    }];
    let pid = stage.run(0).await.unwrap().pid;
    let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap();
    let text = |file: &str| String::from_utf8(read(file)).unwrap();
    // Until then it is the OCI runtime, about to become the program.
    eventually("the program runs", || text("cmdline").starts_with("sleep")).await;
    assert_eq!(text("oom_score_adj").trim(), "0");
    assert!(
        text("limits")
            .lines()
            .any(|line| line.starts_with("Max open files") && line.contains("100                  200"))
    );
    let status = text("status");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(field("Uid:"), "1000 1000 1000 1000");
    assert_eq!(field("Gid:"), "1001 1001 1001 1001");
    assert_eq!(field("Groups:"), "2000");
    assert_eq!(field("CapBnd:"), "00000000a80425fb");
    assert_eq!(field("CapEff:"), "0000000000000000");
    assert_eq!(field("Seccomp:"), "2");
    assert_eq!(field("NoNewPrivs:"), "0");
    let environment = String::from_utf8(read("environ")).unwrap();
    assert!(
        environment.split('\0').any(|line| line == "HOME=/home/app"),
        "{environment}"
    );
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_container_must_not_do_fails_inside() {
    let script = "\
        unshare -U true && exit 1; \
        echo x > /proc/sys/kernel/hostname && exit 2; \
        grep -q . /proc/kcore && exit 3; \
        echo x > /ro/file && exit 4; \
        echo x > /rw/file || exit 5; \
        echo x > /dev/null || exit 6; \
        echo x > /tmp/file && exit 7; \
        [ \"$(cat /proc/sys/kernel/hostname)\" = \"$1\" ] || exit 8; \
        exit 0";
    let mut stage = Stage::new(&["sh", "-c", script, "sh"]);
    let volume = |name: &str, read_only| {
        let source = stage.daemon.folder().join(name);
        std::fs::create_dir(&source).unwrap();
        BindMount {
            source,
            destination: format!("/{name}").into(),
            read_only,
        }
    };
    stage.mounts = vec![volume("ro", true), volume("rw", false)];
    let hostname = format!("{}-0", &stage.task.arn.id.as_str()[..12]);
    stage.container().command.as_mut().unwrap().push(hostname);
    stage.container().readonly_root_filesystem = true;
    assert_eq!(stage.run_to_end().await.code, Some(0));
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_privileged_container_has_the_machines_devices() {
    let mut stage = Stage::new(&[
        "sh",
        "-c",
        "cat /dev/kmsg & sleep 0.1; [ -c /dev/kmsg ] && exit 9",
    ]);
    stage.container().privileged = true;
    assert!(std::path::Path::new("/dev/kmsg").exists());
    assert_eq!(stage.run_to_end().await.code, Some(9));
    stage.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_own_programs_run_under_the_filter() {
    // Processes, pipes, sockets, polling, signals, files: what an interpreter's start and a small server need.
    let script = r#"
        use IO::Socket::INET; use POSIX ":sys_wait_h";
        my $server = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1:0") or exit 1;
        pipe(my $read, my $write) or exit 2;
        my $child = fork() // exit 3;
        if (!$child) { print $write "ready\n"; close $write; sleep 60; exit 4 }
        <$read> eq "ready\n" or exit 5;
        kill "TERM", $child; waitpid($child, 0) == $child or exit 6;
        WIFSIGNALED($?) or exit 7;
        my $client = IO::Socket::INET->new($server->sockhost . ":" . $server->sockport) or exit 8;
        open(my $file, ">", "/tmp/file") or exit 9; print $file "x"; close $file or exit 10;
        exit 0;"#;
    let mut stage = Stage::new(&["/usr/bin/perl", "-e", script]);
    for folder in ["/usr", "/lib", "/lib64"] {
        if std::path::Path::new(folder).exists() {
            stage.mounts.push(BindMount {
                source: std::fs::canonicalize(folder).unwrap(),
                destination: folder.into(),
                read_only: true,
            });
        }
    }
    assert_eq!(stage.run_to_end().await.code, Some(0));
    stage.clear().await;
}
