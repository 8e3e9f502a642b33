//! From the digest of an index or a manifest to the manifest for this machine.

use async_trait::async_trait;

use super::PullError;
use super::digest::Digest;
use super::manifest::{Configuration, Document, Manifest, Platform, Typed};
use super::platform::{Machine, full_name, offered};

/// An index, in an index, and its manifest: nothing that is in use is deeper.
const DEPTH: usize = 3;

/// What an image record points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Of the index or manifest.
    pub media_type: String,
    /// Of the index or manifest.
    pub digest: Digest,
    /// Of the index or manifest, in bytes.
    pub size: u64,
}

/// A document by its digest.
#[derive(Clone, Debug)]
pub struct Found {
    /// What it says.
    pub typed: Typed,
    /// Its length in bytes.
    pub size: u64,
}

/// Where documents are had.
#[async_trait]
pub trait Documents: Sync {
    /// The document, `None` where it isn't here and may not be fetched. `media_type` is what led here calls it.
    async fn get(&self, digest: &Digest, media_type: Option<&str>) -> Result<Option<Found>, PullError>;
}

/// The manifest for this machine, and how it was found.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The top: what the image's name stands for.
    pub target: Target,
    /// The manifest.
    pub manifest: Manifest,
    /// For whom the index says it is; `None` where there is no index.
    platform: Option<Platform>,
}

/// Goes from `digest` to the manifest for `machine`; `None` if a document isn't there.
///
/// # Errors
/// [`PullError::Platform`] if no manifest is for `machine`, and those of [`Documents::get`].
pub async fn walk(
    documents: &dyn Documents,
    machine: &Machine,
    digest: &Digest,
    media_type: Option<&str>,
) -> Result<Option<Chosen>, PullError> {
    let mut next = (digest.clone(), media_type.map(str::to_owned), None);
    let mut target = None;
    for _ in 0..DEPTH {
        let (digest, media_type, platform) = next;
        let Some(found) = documents.get(&digest, media_type.as_deref()).await? else {
            return Ok(None);
        };
        let target = target.get_or_insert_with(|| Target {
            media_type: found.typed.media_type.clone(),
            digest,
            size: found.size,
        });
        let manifests = match found.typed.document {
            Document::Index(manifests) => manifests,
            Document::Manifest(manifest) => {
                return Ok(Some(Chosen {
                    target: target.clone(),
                    manifest,
                    platform,
                }));
            }
        };
        let chosen = machine.choose(&manifests).ok_or_else(|| PullError::Platform {
            offered: offered(&manifests),
            host: machine.to_string(),
        })?;
        let media_type = Some(chosen.media_type.clone()).filter(|media_type| !media_type.is_empty());
        next = (chosen.digest.clone(), media_type, chosen.platform.clone());
    }
    Err(PullError::Endless)
}

impl Chosen {
    /// Whether the image's own words agree that it is for this machine and that its layers are all there. An index may
    /// know the variant better than the configuration, which often leaves it out.
    ///
    /// # Errors
    /// [`PullError::Platform`] and [`PullError::Manifest`].
    pub fn check(&self, configuration: &Configuration, machine: &Machine) -> Result<(), PullError> {
        let own = &configuration.platform;
        let mut platform = own.clone();
        if let (Some(said), true) = (&self.platform, own.variant.is_empty()) {
            platform.variant.clone_from(&said.variant);
        }
        if machine.suits(&platform).is_none() {
            return Err(PullError::Platform {
                offered: full_name(own),
                host: machine.to_string(),
            });
        }
        Ok(self.manifest.fits(configuration)?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;

    use super::*;

    #[derive(Default)]
    struct Shelf(HashMap<Digest, String>);

    impl Shelf {
        fn put(&mut self, document: &serde_json::Value) -> Digest {
            let text = document.to_string();
            let digest = Digest::sha256(text.as_bytes());
            self.0.insert(digest.clone(), text);
            digest
        }
    }

    #[async_trait]
    impl Documents for Shelf {
        async fn get(&self, digest: &Digest, media_type: Option<&str>) -> Result<Option<Found>, PullError> {
            let Some(text) = self.0.get(digest) else {
                return Ok(None);
            };
            let typed = Document::read(media_type, text.as_bytes())?;
            Ok(Some(Found { typed, size: 1 }))
        }
    }

    fn manifest(name: &str) -> serde_json::Value {
        let digest = Digest::sha256(name.as_bytes());
        json!({"config": {"digest": digest, "size": 1}, "layers": [{"digest": digest, "size": 1}]})
    }

    fn index(children: &[(&Digest, &str, &str)]) -> serde_json::Value {
        let manifests: Vec<_> = children
            .iter()
            .map(|(digest, architecture, variant)| {
                json!({"digest": digest, "size": 1, "platform":
                    {"os": "linux", "architecture": architecture, "variant": variant}})
            })
            .collect();
        json!({"manifests": manifests})
    }

    #[tokio::test]
    async fn the_machine_s_own_manifest_is_found_below_the_top() {
        let mut shelf = Shelf::default();
        let amd64 = shelf.put(&manifest("amd64"));
        let arm = shelf.put(&manifest("arm"));
        let inner = shelf.put(&index(&[(&amd64, "amd64", ""), (&arm, "arm", "v6")]));
        let top = shelf.put(&index(&[(&inner, "amd64", "")]));
        let machine = Machine::new("amd64", "");
        let chosen = walk(&shelf, &machine, &top, None).await.unwrap().unwrap();
        assert_eq!(chosen.target.digest, top);
        assert_eq!(chosen.manifest.config.digest, Digest::sha256(b"amd64"));
        let error = walk(&shelf, &Machine::new("riscv64", ""), &inner, None).await;
        let error = error.unwrap_err().to_string();
        assert_eq!(error, "it is for amd64, arm/v6, this machine is riscv64");
    }

    #[tokio::test]
    async fn what_leads_nowhere_ends() {
        let mut shelf = Shelf::default();
        let mut top = shelf.put(&manifest("deep"));
        for _ in 0..DEPTH {
            top = shelf.put(&index(&[(&top, "amd64", "")]));
        }
        let machine = Machine::new("amd64", "");
        assert!(matches!(
            walk(&shelf, &machine, &top, None).await,
            Err(PullError::Endless)
        ));
        let absent = Digest::sha256(b"absent");
        assert!(walk(&shelf, &machine, &absent, None).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_index_knows_the_variant_that_the_configuration_leaves_out() {
        let mut shelf = Shelf::default();
        let arm = shelf.put(&manifest("arm"));
        let top = shelf.put(&index(&[(&arm, "arm", "v6")]));
        let machine = Machine::new("arm", "v6");
        let chosen = walk(&shelf, &machine, &top, None).await.unwrap().unwrap();
        let read = |architecture: &str| {
            let text = json!({"os": "linux", "architecture": architecture, "rootfs": {"diff_ids": [arm]}});
            Configuration::read(text.to_string().as_bytes()).unwrap()
        };
        chosen.check(&read("arm"), &machine).unwrap();
        let lie = chosen.check(&read("amd64"), &machine).unwrap_err();
        assert_eq!(lie.to_string(), "it is for amd64, this machine is arm/v6");
        let alone = walk(&shelf, &machine, &arm, None).await.unwrap().unwrap();
        assert!(alone.check(&read("arm"), &machine).is_err(), "arm alone means v7");
    }
}
