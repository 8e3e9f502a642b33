use proptest::prelude::*;
use serde_json::json;

use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn manifest() -> serde_json::Value {
    json!({"schemaVersion": 2, "config": {"digest": DIGEST, "size": 7}, "layers": [{"digest": DIGEST, "size": 9}]})
}

#[test]
fn the_shape_decides_where_no_media_type_does() {
    for said in [None, Some("application/json"), Some(DOCKER_MANIFEST)] {
        let read = Document::read(said, manifest().to_string().as_bytes()).unwrap();
        assert!(
            matches!(read.document, Document::Manifest(_)),
            "{said:?}: {read:?}"
        );
    }
    let index = json!({"schemaVersion": 2, "manifests": []}).to_string();
    assert_eq!(
        Document::read(None, index.as_bytes()).unwrap().document,
        Document::Index(Vec::new())
    );
}

#[test]
fn schema_1_and_things_that_are_no_images_are_refused_by_name() {
    let old = json!({"schemaVersion": 1, "name": "a"}).to_string();
    assert_eq!(
        Document::read(None, old.as_bytes()),
        Err(ManifestError::SchemaOne)
    );
    assert_eq!(
        Document::read(Some(SCHEMA_1_SIGNED), old.as_bytes()),
        Err(ManifestError::SchemaOne)
    );
    let error = Document::read(Some("application/vnd.x+json"), manifest().to_string().as_bytes());
    assert_eq!(
        error,
        Err(ManifestError::MediaType("application/vnd.x+json".to_owned()))
    );
}

#[test]
fn what_can_be_read_in_two_ways_is_not_read() {
    let mut both = manifest();
    both["manifests"] = json!([{"digest": DIGEST, "size": 7}]);
    let both = both.to_string();
    for said in [None, Some(OCI_INDEX), Some(DOCKER_MANIFEST)] {
        let read = Document::read(said, both.as_bytes());
        assert!(
            matches!(read, Err(ManifestError::Ambiguous { .. })),
            "{said:?}: {read:?}"
        );
    }
    let mut other = manifest();
    other["mediaType"] = json!(DOCKER_INDEX);
    let read = Document::read(Some(OCI_MANIFEST), other.to_string().as_bytes());
    assert!(matches!(read, Err(ManifestError::Ambiguous { .. })), "{read:?}");
    let nulls = json!({"manifests": [], "layers": null, "config": null}).to_string();
    assert!(Document::read(Some(OCI_INDEX), nulls.as_bytes()).is_ok());
}

#[test]
fn no_document_has_more_parts_than_can_be_used() {
    let part = json!({"digest": DIGEST, "size": 7});
    let mut many = manifest();
    many["layers"] = vec![part.clone(); MOST_LAYERS + 1].into();
    let error = Document::read(None, many.to_string().as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "it has 501 layers, and more than 500 are not taken"
    );
    let index = json!({"manifests": vec![part; MOST_MANIFESTS + 1]});
    let error = Document::read(None, index.to_string().as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "it has 1001 manifests, and more than 1000 are not taken"
    );
}

#[test]
fn what_is_nested_without_end_is_refused() {
    let depth = 100_000;
    let deep = format!(r#"{{"annotations":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    // What is not used is passed over, however deep; what is used isn't nested.
    assert!(Document::read(None, deep.as_bytes()).is_err());
    let config = format!(
        r#"{{"config":{{"Env":{}{}}}}}"#,
        "[".repeat(depth),
        "]".repeat(depth)
    );
    assert!(Configuration::read(config.as_bytes()).is_err());
    let beside = format!(
        r#"{{"x":{}{},"rootfs":{{"diff_ids":[]}}}}"#,
        "{\"a\":".repeat(depth),
        "1".to_owned() + &"}".repeat(depth)
    );
    // Flattened members are kept while they are sorted, so that their depth counts.
    assert!(Configuration::read(beside.as_bytes()).is_err());
}

#[test]
fn a_configuration_may_have_docker_s_nulls() {
    let text = json!({"architecture": "arm", "variant": "v7", "os": "linux", "rootfs": {"diff_ids": [DIGEST]},
        "config": {"Env": null, "Cmd": ["sh"], "Entrypoint": null, "Volumes": {"/data": {}}, "StopSignal": "",
            "User": "1:2", "WorkingDir": "/w", "Labels": null}});
    let read = Configuration::read(text.to_string().as_bytes()).unwrap();
    assert_eq!(read.platform.variant, "v7");
    assert_eq!(read.config.cmd, ["sh"]);
    assert_eq!(read.config.volumes, ["/data"]);
    assert_eq!(read.config.stop_signal, None);
    assert_eq!(read.config.user, "1:2");
    let bare = json!({"rootfs": {"diff_ids": []}, "config": null}).to_string();
    assert_eq!(
        Configuration::read(bare.as_bytes()).unwrap().config,
        ImageConfig::default()
    );
}

#[test]
fn layers_and_their_unpacked_digests_must_pair_up() {
    let read = Document::read(None, manifest().to_string().as_bytes()).unwrap();
    let labels = read.document.gc_labels();
    let label = |key: &str| {
        labels
            .get(&format!("containerd.io/gc.ref.content.{key}"))
            .cloned()
    };
    assert_eq!(label("config").as_deref(), Some(DIGEST));
    assert_eq!(label("l.0").as_deref(), Some(DIGEST));
    let Document::Manifest(manifest) = read.document else {
        panic!("not a manifest");
    };
    let none = json!({"rootfs": {"diff_ids": []}}).to_string();
    let configuration = Configuration::read(none.as_bytes()).unwrap();
    assert!(manifest.fits(&configuration).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Document::read(None, &bytes);
        let _ = Configuration::read(&bytes);
    }

    #[test]
    fn any_json_text_is_read_or_refused(text in "[\\[{\"a-z:,0-9}\\] ]{0,80}") {
        let _ = Document::read(Some(OCI_INDEX), text.as_bytes());
        let _ = Configuration::read(text.as_bytes());
    }
}
