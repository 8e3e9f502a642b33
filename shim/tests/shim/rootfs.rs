//! Root file systems that the shim mounts.

use longshore_shim::api::task::Mount;

use crate::kit::on_a_host;

#[test]
fn more_layers_than_a_page_has_room_for() {
    on_a_host(|shims| {
        let dir = shims.host.dir();
        let layers = dir.join("snapshots").join("x".repeat(100));
        let name = |number: usize| layers.join(number.to_string()).join("fs");
        for number in 0..60 {
            std::fs::create_dir_all(name(number)).unwrap();
            std::fs::write(name(number).join(format!("file-{number}")), "").unwrap();
        }
        let (upper, work) = (dir.join("upper"), dir.join("work"));
        std::fs::create_dir_all(&upper).unwrap();
        std::fs::create_dir_all(&work).unwrap();
        crate::kit::rootfs(&name(60));
        let lower: Vec<_> = (0..=60)
            .map(|number| name(number).display().to_string())
            .collect();
        let options = vec![
            format!("upperdir={}", upper.display()),
            format!("workdir={}", work.display()),
            format!("lowerdir={}", lower.join(":")),
        ];
        assert!(options.join(",").len() > 4096);
        let mut container =
            shims.container("c", "[ -e /file-0 ] && [ -e /file-59 ] && echo > /new && exit 6");
        container.config["root"]["path"] = "rootfs".into();
        container.request.rootfs = vec![Mount {
            r#type: "overlay".into(),
            source: "overlay".into(),
            target: String::new(),
            options,
        }];
        let mut shim = shims.running(&container);
        assert_eq!(shim.wait("c", ""), 6);
        shim.delete("c", "").unwrap();
        assert!(upper.join("new").exists());
        assert_eq!(
            std::fs::read_dir(container.bundle.join("rootfs"))
                .unwrap()
                .count(),
            0,
            "it is unmounted"
        );
        shim.end();
    });
}

#[test]
fn a_mount_that_fails_leaves_none_behind() {
    on_a_host(|shims| {
        let mount = |kind: &str, target: &str| Mount {
            r#type: kind.into(),
            source: kind.into(),
            target: target.into(),
            options: vec![],
        };
        let mut container = shims.container("c", "exit 0");
        container.request.rootfs = vec![mount("tmpfs", ""), mount("no-such-fs", "../../deep")];
        let mut shim = shims.shim(&container);
        let error = shim.create(&container).unwrap_err().to_string();
        assert!(
            error.contains("no-such-fs") && error.contains("rootfs/deep"),
            "{error}"
        );
        let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        assert!(!mounts.contains(container.bundle.to_str().unwrap()));
        shim.end();
    });
}
