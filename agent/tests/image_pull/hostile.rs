//! A registry that is broken, or means harm: nothing of what it says becomes an image, nothing is taken without end, and
//! the reason says what is wrong with which part.

use std::time::Duration;

use longshore_agent::config::PullBehavior;
use longshore_agent::image::ImageError;
use serde_json::{Value, json};

use crate::images::{Blob, Image, Kind, joined, noise, pax, sha256, tar};
use crate::lab::{Lab, ensure};
use crate::rogue::{Answer, Rogue};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const BYTES: &str = "application/octet-stream";

/// Asks for the image, which must fail, and leave nothing.
async fn refused(lab: &Lab, rogue: &Rogue) -> ImageError {
    let images = lab.images(PullBehavior::Default);
    let error = ensure(&images, &rogue.reference(), 0).await.unwrap_err();
    // What came whole of a pull that may be tried again is kept for a while.
    assert_eq!(lab.ctr(&["images", "ls", "-q"]).await.trim(), "", "{error}");
    images.shutdown().await;
    lab.collect().await;
    let snapshots = lab.ctr(&["snapshots", "ls"]).await;
    assert_eq!(
        snapshots.lines().count(),
        1,
        "only the header: {snapshots}, after {error}"
    );
    error
}

/// An image whose manifest is another one.
fn remade(image: &Image, change: impl FnOnce(&mut Value)) -> Image {
    let mut manifest: Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
    change(&mut manifest);
    Image {
        manifest: Blob::new(manifest.to_string()),
        ..image.clone()
    }
}

#[tokio::test]
async fn what_is_not_what_its_digest_says_is_told_by_its_name() {
    let lab = Lab::start().await;
    for (seed, kind) in (0_u32..).step_by(3).zip(["layer", "config", "manifest"]) {
        for (seed, how) in (seed..).zip(["changed", "longer", "shorter"]) {
            // Another one each time: what came whole of the last one is here.
            let image = Image::new(&[("a", &noise(seed, 5000))]);
            let (folder, part) = match kind {
                "layer" => ("blobs", &image.layers[0]),
                "config" => ("blobs", image.config.as_ref().unwrap()),
                _ => ("manifests", &image.manifest),
            };
            let length = part.bytes.len();
            let mut bytes = part.bytes.clone();
            let blob_says = match how {
                "changed" => {
                    bytes[20] ^= 1;
                    "came damaged from the registry: ".to_owned()
                }
                "longer" => {
                    bytes.extend(b"more");
                    format!("it is longer than {length} bytes")
                }
                _ => {
                    bytes.pop();
                    format!("it ended after {} of {length} bytes", length - 1)
                }
            };
            let says = match kind {
                "manifest" => "the manifest that it gave is not",
                _ => &*blob_says,
            };
            let rogue = Rogue::with(&image).await;
            let lie = vec![Answer::Whole(BYTES, bytes)];
            rogue.say(&format!("{folder}/{}", part.digest), lie);
            let error = refused(&lab, &rogue).await.to_string();
            let named = format!("{kind} {}", part.digest);
            assert!(
                error.contains(&named) && error.contains(says),
                "{kind}, {how}: {error}"
            );
        }
    }
    let image = Image::new(&[("a", &noise(99, 5000))]);
    // An honest one.
    let rogue = Rogue::with(&image).await;
    ensure(&lab.images(PullBehavior::Default), &rogue.reference(), 0)
        .await
        .unwrap();
}

#[tokio::test]
async fn bodies_without_end_end() {
    let lab = Lab::start().await;
    for (kind, says) in [
        ("layer", "it is longer than"),
        ("config", "it is longer than"),
        ("manifest", "longer than 4194304 bytes"),
    ] {
        let image = Image::new(&[(kind, b"1")]);
        let part = match kind {
            "layer" => format!("blobs/{}", image.layers[0].digest),
            "config" => format!("blobs/{}", image.config.as_ref().unwrap().digest),
            _ => format!("manifests/{}", image.manifest.digest),
        };
        let rogue = Rogue::with(&image).await;
        rogue.say(&part, vec![Answer::Endless(vec![b'x'; 64 << 10])]);
        let error = refused(&lab, &rogue).await.to_string();
        let named = format!("{kind} sha256:");
        assert!(error.contains(&named) && error.contains(says), "{kind}: {error}");
    }
}

#[tokio::test]
async fn a_drip_ends_with_the_time_for_the_pull_and_silence_before_that() {
    let lab = Lab::start().await;
    let image = Image::new(&[("a", &noise(1, 100_000))]);
    let layer = format!("blobs/{}", image.layers[0].digest);
    let rogue = Rogue::with(&image).await;
    rogue.say(&layer, vec![Answer::Drip]);
    let images = lab.images_for(Duration::from_secs(3));
    let error = ensure(&images, &rogue.reference(), 0).await.unwrap_err();
    assert!(
        error.to_string().contains("the pull did not end within 3 s"),
        "{error}"
    );
    images.shutdown().await;

    // What came before it fell silent is kept, and the next try brings the rest, of a registry that knows no ranges.
    let begin = image.layers[0].bytes[..1000].to_vec();
    let rest = Answer::Whole(BYTES, image.layers[0].bytes.clone());
    let rogue = Rogue::with(&image).await;
    rogue.say(&layer, vec![Answer::Stall(begin), rest]);
    ensure(&lab.images(PullBehavior::Default), &rogue.reference(), 0)
        .await
        .unwrap();
    assert_eq!(rogue.count(&layer), 2);
}

#[tokio::test]
async fn a_layer_that_unpacks_to_far_more_is_not_unpacked() {
    let lab = Lab::start().await;
    let zeros = vec![0; 4 << 20];
    let zipped = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    };
    let half = 2 << 20;
    let members = [zipped(&zeros[..half]), zipped(&zeros[half..])].concat();
    let kinds = [
        ("gzip", Kind::Oci, zipped(&zeros)),
        ("members of gzip", Kind::Docker, members),
        ("zstd", Kind::OciZstd, zstd::encode_all(&*zeros, 1).unwrap()),
    ];
    for (how, kind, packed) in kinds {
        let image = Image::of_packed(kind, "amd64", vec![(packed, sha256(&zeros))]);
        let rogue = Rogue::with(&image).await;
        let error = refused(&lab, &rogue).await;
        assert!(matches!(error, ImageError::Refused { .. }), "{how}: {error}");
        let says = format!(
            "layer {} is not unpacked: it unpacks to more than 100 times its size (LONGSHORE_LAYER_RATIO_LIMIT)",
            image.layers[0].digest
        );
        assert!(error.to_string().ends_with(&says), "{how}: {error}");
        assert_eq!(
            rogue.count(&image.layers[0].digest),
            1,
            "{how}: no try again would help"
        );
    }
}

#[tokio::test]
async fn a_sparse_layer_is_counted_with_its_holes() {
    let lab = Lab::start().await;
    let sparse = |size: u64| {
        let records = format!(
            "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n{} GNU.sparse.realsize={size}\n",
            24 + size.to_string().len()
        );
        // A map of one fragment: the byte at the end.
        let mut file = format!("1\n{}\n1\n", size - 1).into_bytes();
        file.resize(512, 0);
        file.push(b'x');
        joined(&[pax(&records), tar("a", &file)])
    };
    let zipped = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    };
    let bomb = sparse(1 << 40);
    for (how, packed) in [("gzip", zipped(&bomb)), ("plain", bomb.clone())] {
        let image = Image::of_packed(Kind::Oci, "amd64", vec![(packed, sha256(&bomb))]);
        let error = refused(&lab, &Rogue::with(&image).await).await.to_string();
        assert!(
            error.contains("it unpacks to more than 24 MiB (LONGSHORE_LAYER_SIZE_LIMIT)"),
            "{how}: {error}"
        );
    }
    // An honest one is taken, and is as long as it was counted.
    let honest = sparse(900_000);
    let image = Image::of_packed(Kind::Oci, "amd64", vec![(zipped(&honest), sha256(&honest))]);
    let rogue = Rogue::with(&image).await;
    let images = lab.images(PullBehavior::Default);
    let pulled = ensure(&images, &rogue.reference(), 0).await.unwrap();
    let view = ["snapshots", "view", "--target", "/x", "look", &pulled.chain_id];
    let mounts = lab.ctr(&view).await;
    // One layer is bound, not laid over others.
    let found = mounts
        .split_whitespace()
        .find_map(|word| std::fs::metadata(std::path::Path::new(word).join("a")).ok());
    assert_eq!(found.map(|file| file.len()), Some(900_000), "{mounts}");
}

#[tokio::test]
async fn layers_and_images_have_a_size_that_they_may_have() {
    let lab = Lab::start().await;
    // A tenth of it is noise, so that no ratio is at work.
    let file = |seed: u32, length: usize| -> Vec<u8> {
        let mut bytes = vec![0; length];
        for (at, block) in (0_u32..).zip(bytes.chunks_mut(64 << 10)) {
            block[..6 << 10].copy_from_slice(&noise(seed * 1000 + at, 6 << 10));
        }
        bytes
    };
    let big = Image::new(&[("a", &file(1, 25 << 20))]);
    let error = refused(&lab, &Rogue::with(&big).await).await.to_string();
    assert!(
        error.contains("it unpacks to more than 24 MiB (LONGSHORE_LAYER_SIZE_LIMIT)"),
        "{error}"
    );
    let many = Image::new(&[("a", &file(2, 17 << 20)), ("b", &file(3, 17 << 20))]);
    let error = refused(&lab, &Rogue::with(&many).await).await.to_string();
    assert!(
        error.contains("it unpacks to more than 32 MiB (LONGSHORE_IMAGE_SIZE_LIMIT)"),
        "{error}"
    );
    // Said to be too big, it isn't even asked for.
    let said = remade(&many, |manifest| manifest["layers"][0]["size"] = json!(u64::MAX));
    let rogue = Rogue::with(&said).await;
    let error = refused(&lab, &rogue).await.to_string();
    assert!(error.contains("more than 24 MiB"), "{error}");
    assert_eq!(rogue.count(&many.layers[0].digest), 0);
    let said = remade(&many, |manifest| manifest["config"]["size"] = json!(1_u64 << 40));
    let rogue = Rogue::with(&said).await;
    let error = refused(&lab, &rogue).await.to_string();
    assert!(error.contains("is said to have 1099511627776 bytes"), "{error}");
    assert_eq!(rogue.count(&many.config.as_ref().unwrap().digest), 0);
}

#[tokio::test]
async fn what_is_here_already_counts_for_the_limit_of_an_image() {
    let lab = Lab::start().await;
    let file = |seed: u32| -> Vec<u8> { noise(seed, 1 << 20).repeat(17) };
    let both = Image::new(&[("a", &file(1)), ("b", &file(2))]);
    let below = Image::new(&[("a", &file(1))]);
    assert_eq!(below.layers[0].digest, both.layers[0].digest);
    let images = lab.images(PullBehavior::Default);
    let rogue = Rogue::with(&below).await;
    ensure(&images, &rogue.reference(), 0).await.unwrap();
    let contents = lab.ctr(&["content", "ls"]).await;
    assert!(contents.contains("longshore.unpacked-size="), "{contents}");
    for index in 1..3 {
        let rogue = Rogue::with(&both).await;
        let error = ensure(&images, &rogue.reference(), index).await.unwrap_err();
        assert!(
            error
                .to_string()
                .contains("it unpacks to more than 32 MiB (LONGSHORE_IMAGE_SIZE_LIMIT)"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_layer_that_is_no_archive_or_badly_packed_is_named() {
    let lab = Lab::start().await;
    let mut broken = Image::new(&[("a", b"text")]).layers[0].bytes.clone();
    let end = broken.len() - 6;
    broken[end] ^= 1;
    let rubbish = noise(1, 4096);
    for (how, bytes) in [("broken", broken), ("rubbish", rubbish)] {
        let image = Image::of_packed(Kind::Oci, "amd64", vec![(bytes.clone(), sha256(&bytes))]);
        let rogue = Rogue::with(&image).await;
        let error = refused(&lab, &rogue).await;
        assert!(
            error.to_string().contains(&image.layers[0].digest),
            "{how}: {error}"
        );
        assert!(matches!(error, ImageError::Refused { .. }), "{how}: {error}");
    }
    // True, but not what the configuration says.
    let other = Image::new(&[("b", b"2")]);
    let lie = Image::of_packed(
        Kind::Oci,
        "amd64",
        vec![(other.layers[0].bytes.clone(), sha256(b"x"))],
    );
    let error = refused(&lab, &Rogue::with(&lie).await).await.to_string();
    assert!(error.contains("as the image says"), "{error}");
}

#[tokio::test]
async fn documents_that_lead_nowhere_or_to_too_much_are_refused() {
    let lab = Lab::start().await;
    let image = Image::new(&[("a", b"1")]);
    let layer = json!({"digest": image.layers[0].digest, "size": image.layers[0].bytes.len()});
    let many = remade(&image, |manifest| manifest["layers"] = vec![layer; 1000].into());
    let error = refused(&lab, &Rogue::with(&many).await).await.to_string();
    assert!(
        error.ends_with("it has 1000 layers, and more than 500 are not taken"),
        "{error}"
    );

    let both = remade(&image, |manifest| manifest["manifests"] = json!([]));
    let error = refused(&lab, &Rogue::with(&both).await).await.to_string();
    assert!(error.contains("it can be read in two ways"), "{error}");

    let rogue = Rogue::with(&image).await;
    let page = Answer::Whole("text/html", image.manifest.bytes.clone());
    rogue.say(&format!("manifests/{}", image.manifest.digest), vec![page]);
    let error = refused(&lab, &rogue).await.to_string();
    assert!(
        error.contains(r#""text/html" is not the media type of an image"#),
        "{error}"
    );

    // An index in an index in an index.
    let mut deep = image.clone();
    let rogue = Rogue::with(&image).await;
    for _ in 0..4 {
        deep = Image::index(vec![(deep, "amd64")]);
        rogue.shelve(&deep);
    }
    let error = refused(&lab, &rogue).await.to_string();
    assert!(error.ends_with("its index leads to no manifest"), "{error}");

    // One that is given wherever it leads to.
    let index = Image::index(vec![(image.clone(), "amd64")]);
    let rogue = Rogue::with(&index).await;
    let again = Answer::Whole(OCI_INDEX, index.manifest.bytes.clone());
    rogue.say(&format!("manifests/{}", image.manifest.digest), vec![again]);
    let error = refused(&lab, &rogue).await.to_string();
    assert!(error.contains("the manifest that it gave is not"), "{error}");

    let nested = format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
    let deep = Image {
        manifest: Blob::new(nested),
        media_type: OCI_MANIFEST,
        ..image
    };
    let error = refused(&lab, &Rogue::with(&deep).await).await.to_string();
    assert!(error.contains("the manifest can't be read"), "{error}");
}

#[tokio::test]
async fn a_part_that_is_refused_or_leads_in_circles_is_named() {
    let lab = Lab::start().await;
    let image = Image::new(&[("a", b"1")]);
    let layer = format!("blobs/{}", image.layers[0].digest);
    let named = format!("layer {}: ", image.layers[0].digest);
    let circle = format!("/v2/a/{layer}");
    for (answer, says, tries) in [
        (Answer::Status(404, ""), "HTTP 404 Not Found", 1),
        (Answer::Status(500, "boom"), "boom (HTTP 500)", 3),
        (Answer::Elsewhere(circle), "it leads on more than 5 times", 6),
        (
            Answer::Elsewhere("ftp://h/x".to_owned()),
            "it leads on to \"ftp://h/x\"",
            1,
        ),
    ] {
        let rogue = Rogue::with(&image).await;
        rogue.say(&layer, vec![answer]);
        let error = refused(&lab, &rogue).await.to_string();
        assert!(error.contains(&named) && error.contains(says), "{error}");
        assert_eq!(rogue.count(&layer), tries, "{error}");
    }
    // One that only has too much to do is asked again.
    let rogue = Rogue::with(&image).await;
    let then = Answer::Whole(BYTES, image.layers[0].bytes.clone());
    let busy = [429, 503].map(|status| Answer::Status(status, "busy"));
    rogue.say(&layer, busy.into_iter().chain([then]).collect());
    ensure(&lab.images(PullBehavior::Default), &rogue.reference(), 0)
        .await
        .unwrap();
    assert_eq!(rogue.count(&layer), 3);
}
