//! What is held is not collected, and what is let go of is.

use longshore_agent::config::PullBehavior;
use longshore_agent::containerd::Resource;
use longshore_agent::image::{Images, PullProgress};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::images::Image;
use crate::lab::{Lab, SNAPSHOTTER, ensure, holder, until};

#[tokio::test]
async fn layers_of_a_held_image_outlive_its_name() {
    let lab = Lab::start().await;
    lab.push("a:v1", &Image::new(&[("a", b"1"), ("b", b"2")])).await;
    let images = lab.images(PullBehavior::Default);
    let reference = lab.reference("a:v1");
    let pulled = ensure(&images, &reference, 0).await.unwrap();
    ensure(&images, &reference, 1).await.unwrap();
    assert_eq!(lab.leases("longshore-image-").await.len(), 1, "one lease for all");
    until("the lease of the pull ends", async || {
        lab.leases("longshore-pull-").await.is_empty()
    })
    .await;
    lab.ctr(&["images", "rm", "--sync", &reference]).await;
    lab.collect().await;
    assert!(lab.has_snapshot(&pulled.chain_id).await);
    images.release(&holder(0)).await;
    lab.collect().await;
    assert!(
        lab.has_snapshot(&pulled.chain_id).await,
        "the second still holds it"
    );
    images.release(&holder(1)).await;
    assert!(lab.leases("longshore-image-").await.is_empty());
    lab.collect().await;
    assert!(!lab.has_snapshot(&pulled.chain_id).await);
}

#[tokio::test]
async fn a_tag_that_moves_leaves_the_held_image_alone() {
    let lab = Lab::start().await;
    lab.push("a:v1", &Image::new(&[("a", b"old")])).await;
    let images = lab.images(PullBehavior::Default);
    let reference = lab.reference("a:v1");
    let old = ensure(&images, &reference, 0).await.unwrap();
    lab.push("a:v1", &Image::new(&[("a", b"new")])).await;
    let new = ensure(&images, &reference, 1).await.unwrap();
    assert_ne!(old.chain_id, new.chain_id);
    until("the leases of the pulls end", async || {
        lab.leases("longshore-pull-").await.is_empty()
    })
    .await;
    lab.collect().await;
    assert!(lab.has_snapshot(&old.chain_id).await && lab.has_snapshot(&new.chain_id).await);
    images.release(&holder(0)).await;
    lab.collect().await;
    assert!(!lab.has_snapshot(&old.chain_id).await && lab.has_snapshot(&new.chain_id).await);
    // The name still stands for it: the next container needs no write.
    images.release(&holder(1)).await;
    assert_eq!(lab.leases("longshore-image-").await.len(), 1);
}

#[tokio::test]
async fn an_image_that_nobody_holds_is_replaced_at_once() {
    let lab = Lab::start().await;
    lab.push("a:v1", &Image::new(&[("a", b"old")])).await;
    let images = lab.images(PullBehavior::Default);
    let reference = lab.reference("a:v1");
    let old = ensure(&images, &reference, 0).await.unwrap();
    images.release(&holder(0)).await;
    lab.push("a:v1", &Image::new(&[("a", b"new")])).await;
    ensure(&images, &reference, 1).await.unwrap();
    until("the leases of the pulls end", async || {
        lab.leases("longshore-pull-").await.is_empty()
    })
    .await;
    assert_eq!(lab.leases("longshore-image-").await.len(), 1);
    lab.collect().await;
    assert!(!lab.has_snapshot(&old.chain_id).await);
}

#[tokio::test]
async fn the_next_run_of_the_agent_takes_over_the_leases() {
    let lab = Lab::start().await;
    lab.push("a:v1", &Image::new(&[("a", b"1")])).await;
    lab.push("b:v1", &Image::new(&[("b", b"1")])).await;
    let (a, b) = (lab.reference("a:v1"), lab.reference("b:v1"));
    let first = lab.images(PullBehavior::Default);
    ensure(&first, &a, 0).await.unwrap();
    ensure(&first, &b, 1).await.unwrap();
    first.shutdown().await;
    lab.ctr(&["images", "rm", &a]).await;
    let second = lab.images(PullBehavior::Default);
    ensure(&second, &b, 1).await.unwrap();
    until("the lease of the removed image ends", async || {
        lab.leases("longshore-image-").await.len() == 1
    })
    .await;
    second.release(&holder(1)).await;
    assert_eq!(lab.leases("longshore-image-").await.len(), 1);
}

#[tokio::test]
async fn leases_are_taken_over_although_containerd_was_away_at_first() {
    let lab = Lab::start().await;
    lab.push("a:v1", &Image::new(&[("a", b"1")])).await;
    let reference = lab.reference("a:v1");
    ensure(&lab.images(PullBehavior::Default), &reference, 0)
        .await
        .unwrap();
    let before = lab.leases("longshore-image-").await;
    let second = lab.images(PullBehavior::Default);
    let (progress, mut watched) = watch::channel(PullProgress::default());
    let holder = holder(1);
    let asks = second.ensure(&reference, &holder, progress, CancellationToken::new());
    let away = |progress: &PullProgress| progress.doing.contains("after: containerd");
    let (begin, begun) = oneshot::channel();
    let asks = async {
        begun.await.unwrap();
        asks.await
    };
    let restart = lab.without_containerd(async {
        begin.send(()).unwrap();
        watched.wait_for(away).await.unwrap();
    });
    let (pulled, ()) = tokio::join!(asks, restart);
    pulled.unwrap();
    assert_eq!(lab.leases("longshore-image-").await, before, "one lease for all");
}

#[tokio::test]
async fn a_lease_that_holds_nothing_yet_holds_the_image_when_it_is_taken_over() {
    let lab = Lab::start().await;
    lab.push("a:v1", &Image::new(&[("a", b"1")])).await;
    let reference = lab.reference("a:v1");
    let pulled = ensure(&lab.images(PullBehavior::Default), &reference, 0)
        .await
        .unwrap();
    // As if the agent had died as soon as there was a lease.
    let lease = lab.leases("longshore-image-").await.remove(0);
    let snapshot = Resource::Snapshot {
        snapshotter: SNAPSHOTTER.to_owned(),
        key: pulled.chain_id.clone(),
    };
    lab.client.let_go(&lease, &snapshot).await.unwrap();
    ensure(&lab.images(PullBehavior::Default), &reference, 1)
        .await
        .unwrap();
    lab.ctr(&["images", "rm", "--sync", &reference]).await;
    lab.collect().await;
    assert!(lab.has_snapshot(&pulled.chain_id).await);
    assert_eq!(lab.leases("longshore-image-").await, [lease]);
}
