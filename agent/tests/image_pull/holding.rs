//! What is held is not collected, and what is let go of is.

use longshore_agent::config::PullBehavior;
use longshore_agent::image::Images;

use crate::images::Image;
use crate::lab::{Lab, ensure, holder, until};

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
