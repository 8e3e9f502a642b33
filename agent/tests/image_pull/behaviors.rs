//! `ECS_IMAGE_PULL_BEHAVIOR`.

use longshore_agent::config::PullBehavior;
use longshore_agent::image::ImageError;

use crate::images::Image;
use crate::lab::{Lab, ensure};

#[tokio::test]
async fn by_default_the_image_that_is_here_stands_in_for_a_registry_that_is_away() {
    let lab = Lab::start().await;
    let image = Image::new(&[("a", b"1")]);
    lab.push("a:v1", &image).await;
    let reference = lab.reference("a:v1");
    let images = lab.images(PullBehavior::Default);
    lab.relay.down(true);
    let error = ensure(&images, &reference, 0).await.unwrap_err();
    assert!(matches!(error, ImageError::Unavailable { .. }), "{error}");
    assert_eq!(lab.relay.count("HEAD"), 3);
    lab.relay.down(false);
    ensure(&images, &reference, 0).await.unwrap();

    lab.relay.down(true);
    // Another run of the agent remembers nothing.
    for images in [images, lab.images(PullBehavior::Default)] {
        let pulled = ensure(&images, &reference, 0).await.unwrap();
        assert_eq!(pulled.digest, image.manifest.digest);
        assert!(pulled.fallback.unwrap().contains(&lab.relay.host));
    }
    let always = lab.images(PullBehavior::Always);
    let error = ensure(&always, &reference, 0).await.unwrap_err();
    assert!(matches!(error, ImageError::Unavailable { .. }), "{error}");
    lab.relay.down(false);
    let pulled = ensure(&lab.images(PullBehavior::Default), &reference, 0)
        .await
        .unwrap();
    assert_eq!(pulled.fallback, None);
}

#[tokio::test]
async fn cached_images_are_preferred_where_that_is_set() {
    let lab = Lab::start().await;
    let old = Image::new(&[("a", b"old")]);
    lab.push("a:v1", &old).await;
    let reference = lab.reference("a:v1");
    // As if loaded by hand: without this agent's label, and not unpacked.
    lab.ctr(&["images", "pull", "--plain-http", "--all-platforms", &reference])
        .await;
    lab.push("a:v1", &Image::new(&[("a", b"new")])).await;
    lab.relay.forget();
    let pulled = ensure(&lab.images(PullBehavior::PreferCached), &reference, 0)
        .await
        .unwrap();
    assert_eq!(pulled.digest, old.manifest.digest);
    assert_eq!(lab.relay.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn once_means_once_by_this_agent() {
    let lab = Lab::start().await;
    let old = Image::new(&[("a", b"old")]);
    let new = Image::new(&[("a", b"new")]);
    lab.push("a:v1", &old).await;
    let reference = lab.reference("a:v1");
    lab.ctr(&["images", "pull", "--plain-http", &reference]).await;
    lab.push("a:v1", &new).await;
    let images = lab.images(PullBehavior::Once);
    let pulled = ensure(&images, &reference, 0).await.unwrap();
    assert_eq!(
        pulled.digest, new.manifest.digest,
        "this agent had not pulled it yet"
    );
    lab.push("a:v1", &old).await;
    lab.relay.forget();
    for images in [images, lab.images(PullBehavior::Once)] {
        assert_eq!(
            ensure(&images, &reference, 0).await.unwrap().digest,
            new.manifest.digest
        );
    }
    assert_eq!(lab.relay.seen(), Vec::<String>::new());
    // Removed, it is pulled again.
    lab.ctr(&["images", "rm", "--sync", &reference]).await;
    let pulled = ensure(&lab.images(PullBehavior::Once), &reference, 0)
        .await
        .unwrap();
    assert_eq!(pulled.digest, old.manifest.digest);
}
