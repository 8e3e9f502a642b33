use proptest::prelude::*;

use super::*;

fn roots(endpoints: &[Endpoint]) -> Vec<String> {
    endpoints
        .iter()
        .map(|endpoint| endpoint.root.to_string())
        .collect()
}

#[tokio::test]
async fn without_a_file_the_registry_itself_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    for (host, root) in [
        ("docker.io", "https://registry-1.docker.io/v2"),
        ("quay.io", "https://quay.io/v2"),
        ("localhost:5000", "http://localhost:5000/v2"),
        ("127.9.9.9:5000", "http://127.9.9.9:5000/v2"),
        ("[::1]:5000", "http://[::1]:5000/v2"),
        ("[::2]:5000", "https://[::2]:5000/v2"),
        ("localhost", "https://localhost/v2"),
        ("localhost.example:5000", "https://localhost.example:5000/v2"),
    ] {
        let endpoints = endpoints(folder.path(), host).await.unwrap();
        assert_eq!(roots(&endpoints), [root], "{host}");
    }
}

#[tokio::test]
async fn mirrors_come_in_the_file_s_order_and_the_server_last() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("r.example_5000_");
    std::fs::create_dir(&own).unwrap();
    let text = r#"
        server = "https://up.example/base"
        skip_verify = true
        [host."http://z.example:80"]
          capabilities = ["pull"]
          [host."http://z.example:80".header]
            x-a = ["1", "2"]
        [host."a.example/v2/mirror"]
          override_path = true
          ca = "ca.pem"
          client = [["c.pem", "k.pem"], "both.pem"]
    "#;
    std::fs::write(own.join("hosts.toml"), text).unwrap();
    let found = endpoints(folder.path(), "r.example:5000").await.unwrap();
    assert_eq!(
        roots(&found),
        [
            "http://z.example/v2",
            "https://a.example/v2/mirror",
            "https://up.example/base/v2"
        ]
    );
    let [z, a, up] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert!(z.pulls && !z.resolves && a.resolves);
    assert_eq!(z.headers.get_all("x-a").iter().count(), 2);
    assert_eq!(a.tls.ca, [own.join("ca.pem")]);
    assert_eq!(
        a.tls.client,
        [
            (own.join("c.pem"), own.join("k.pem")),
            (own.join("both.pem"), own.join("both.pem"))
        ]
    );
    assert!(up.tls.skip_verify && !a.tls.skip_verify);
}

#[tokio::test]
async fn a_file_that_can_t_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("_default");
    std::fs::create_dir(&own).unwrap();
    for bad in [
        "server = 1",
        "[host]\na = 1",
        "host = 'x'",
        "[host.\"ftp://x\"]",
        "[host.\"https://u:p@x\"]",
        "[host.\"https://x\"]\ncapabilities = ['fly']",
        "[host.\"https://x\"]\nskip_verify = 'yes'",
        "[host.\"https://x\"]\nclient = [['a','b','c']]",
        "[host.\"https://x\".header]\n\"a b\" = 'c'",
        "{",
    ] {
        std::fs::write(own.join("hosts.toml"), bad).unwrap();
        let error = endpoints(folder.path(), "r.example").await.unwrap_err();
        assert!(
            error.to_string().contains("_default/hosts.toml: "),
            "{bad}: {error}"
        );
    }
}

#[tokio::test]
async fn docker_s_certificate_files_count_where_there_is_no_hosts_toml() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("localhost:5000");
    std::fs::create_dir(&own).unwrap();
    for name in ["ca.crt", "me.cert", "me.key", "notes"] {
        std::fs::write(own.join(name), "").unwrap();
    }
    let found = endpoints(folder.path(), "localhost:5000").await.unwrap();
    assert_eq!(roots(&found), ["https://localhost:5000/v2"]);
    let tls = &found.first().unwrap().tls;
    assert_eq!(tls.ca, [own.join("ca.crt")]);
    assert_eq!(tls.client, [(own.join("me.cert"), own.join("me.key"))]);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = parse(&text, Path::new("/x"), "r.example");
    }

    #[test]
    fn any_value_of_any_key_is_read_or_refused(
        key in "(server|host|ca|client|capabilities|skip_verify|override_path|header)",
        value in "(true|1|'[ -&(-~]{0,12}'|\\['a',1\\]|\\[\\['a','b'\\]\\]|\\{a='b',c=1\\}|\\{'https://x'=\\{\\}\\})",
    ) {
        let _ = parse(&format!("{key} = {value}"), Path::new("/x"), "r.example");
        let _ = parse(&format!("[host.'https://x']\n{key} = {value}"), Path::new("/x"), "r.example");
    }
}
