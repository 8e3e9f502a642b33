//! Whatever a definition names as its image, and whatever a registry serves as one.

use longshore_tests::corpus;
use longshore_tests::fuzz::{Form, Target};

use super::manifest::{Configuration, DOCKER_INDEX, DOCKER_MANIFEST, Document, OCI_MANIFEST};
use super::platform::Machine;
use super::reference::Reference;

#[test]
fn reference() {
    Target::new(corpus!("reference"), Form::Text).run(|input| {
        let text = std::str::from_utf8(input).unwrap();
        match text.parse::<Reference>() {
            Ok(read) => {
                let full = read.to_string();
                assert_eq!(
                    full.parse::<Reference>().as_ref(),
                    Ok(&read),
                    "{full} is another image"
                );
                assert!(full.len() <= text.len() + "docker.io/library/:latest".len());
                // It becomes a part of URLs and of label values.
                assert!(full.bytes().all(|byte| byte.is_ascii_graphic()), "{full:?}");
                assert!(!full.contains("..") && !full.contains("/./"), "{full:?}");
                format!(
                    "{} {}",
                    read.digest().is_some(),
                    read.host() == super::reference::DOCKER_HUB
                )
            }
            Err(error) => error.to_string(),
        }
    });
}

#[test]
fn registry_document() {
    Target::new(corpus!("registry_document"), Form::Json).run(|input| {
        let mut said = String::new();
        for media_type in [
            None,
            Some("application/json"),
            Some(OCI_MANIFEST),
            Some(DOCKER_MANIFEST),
            Some(DOCKER_INDEX),
        ] {
            match Document::read(media_type, input) {
                Ok(read) => {
                    let labels = read.document.gc_labels();
                    assert!(
                        labels
                            .values()
                            .all(|digest| digest.parse::<super::digest::Digest>().is_ok())
                    );
                    let children = match &read.document {
                        Document::Index(manifests) => {
                            let chosen = Machine::new("amd64", "").choose(manifests);
                            said += &format!("{} ", chosen.is_some());
                            manifests.len()
                        }
                        Document::Manifest(manifest) => manifest.layers.len() + 1,
                    };
                    assert_eq!(labels.len(), children);
                }
                Err(error) => said += &error.to_string(),
            }
        }
        said
    });
}

#[test]
fn image_configuration() {
    Target::new(corpus!("image_configuration"), Form::Json).run(|input| match Configuration::read(input) {
        Ok(read) => {
            let stored = serde_json::to_vec(&read.config).unwrap();
            assert_eq!(
                serde_json::from_slice::<crate::model::ImageConfig>(&stored).unwrap(),
                read.config
            );
            let signal = read.config.stop_signal.as_deref().map(crate::spec::parse_signal);
            format!(
                "{signal:?} {} {}",
                read.diff_ids.is_empty(),
                read.config.volumes.is_empty()
            )
        }
        Err(error) => error.to_string(),
    });
}
