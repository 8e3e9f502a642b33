//! What breaks on the way, and what is made of it.

use std::time::Duration;

use longshore_agent::config::PullBehavior;
use longshore_agent::image::{ImageError, Images, PullProgress};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::images::{Image, noise};
use crate::lab::{Lab, ensure, holder, until};
use crate::relay::Fault;

#[tokio::test]
async fn an_image_that_is_not_there_is_refused_in_the_registry_s_words() {
    let lab = Lab::start().await;
    lab.push("a:v1", &Image::new(&[("a", b"1")])).await;
    let images = lab.images(PullBehavior::Default);
    let error = ensure(&images, &lab.reference("a:v2"), 0).await.unwrap_err();
    assert!(matches!(error, ImageError::Refused { .. }), "{error}");
    assert!(
        error.to_string().contains("manifest unknown: manifest unknown"),
        "{error}"
    );
    assert_eq!(lab.relay.count("HEAD"), 1, "asking again would not help");
    let error = ensure(&images, "Not A Reference", 0).await.unwrap_err();
    assert!(matches!(error, ImageError::Reference { .. }), "{error}");
}

#[tokio::test]
async fn a_damaged_layer_never_becomes_an_image() {
    let lab = Lab::start().await;
    let image = Image::new(&[("a", &noise(1, 100_000))]);
    lab.push("a:v1", &image).await;
    let stored = lab.stored(&image.layers[0].digest);
    let mut bytes = std::fs::read(&stored).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&stored, &bytes).unwrap();
    let images = lab.images(PullBehavior::Default);
    let reference = lab.reference("a:v1");
    let error = ensure(&images, &reference, 0).await.unwrap_err();
    assert!(matches!(error, ImageError::Unavailable { .. }), "{error}");
    assert!(
        error.to_string().contains("came damaged from the registry"),
        "{error}"
    );
    assert_eq!(
        lab.relay.count(&image.layers[0].digest),
        3,
        "three tries, each of the whole"
    );
    assert_eq!(lab.ctr(&["images", "ls", "-q"]).await.trim(), "");
    // Mended, it comes.
    std::fs::write(&stored, &image.layers[0].bytes).unwrap();
    ensure(&images, &reference, 0).await.unwrap();
    until("no lease of a pull is left", async || {
        lab.leases("longshore-pull-").await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_broken_connection_goes_on_where_it_ended() {
    let lab = Lab::start().await;
    let image = Image::new(&[("a", &noise(1, 3 << 20))]);
    lab.push("a:v1", &image).await;
    let layer = image.layers[0].digest.clone();
    lab.relay.fault(&layer, Fault::Cut(1_500_000));
    lab.relay.fault(&layer, Fault::Cut(700_000));
    let images = lab.images(PullBehavior::Default);
    ensure(&images, &lab.reference("a:v1"), 0).await.unwrap();
    let ranges: Vec<_> = lab
        .relay
        .seen()
        .into_iter()
        .filter(|line| line.contains(&layer))
        .collect();
    let ends: Vec<_> = ranges
        .iter()
        .map(|line| line.rsplit(' ').next().unwrap())
        .collect();
    assert_eq!(ends, ["", "bytes=1500000-", "bytes=2200000-"], "{ranges:?}");
}

#[tokio::test]
async fn what_a_failed_pull_has_fetched_serves_the_next_one() {
    let lab = Lab::start().await;
    let image = Image::new(&[("a", &noise(1, 1 << 20)), ("b", &noise(2, 3 << 20))]);
    lab.push("a:v1", &image).await;
    let layer = image.layers[1].digest.clone();
    for _ in 0..3 {
        lab.relay.fault(&layer, Fault::Cut(600_000));
    }
    let images = lab.images(PullBehavior::Default);
    let error = ensure(&images, &lab.reference("a:v1"), 0).await.unwrap_err();
    assert!(matches!(error, ImageError::Unavailable { .. }), "{error}");
    lab.collect().await;
    lab.relay.forget();
    ensure(&images, &lab.reference("a:v1"), 0).await.unwrap();
    let rest = format!("GET /v2/a/blobs/{layer} bytes=1800000-");
    assert_eq!(lab.relay.count(&rest), 1, "{:?}", lab.relay.seen());
    assert_eq!(lab.relay.count(&image.layers[0].digest), 0);
    until("no lease of a pull is left", async || {
        lab.leases("longshore-pull-").await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_busy_registry_is_left_alone_for_as_long_as_it_says() {
    let lab = Lab::start().await;
    lab.push("a:v1", &Image::new(&[("a", b"1")])).await;
    lab.relay.fault("HEAD", Fault::Busy);
    lab.relay.fault("GET /v2/a/manifests/v1", Fault::Busy);
    let images = lab.images(PullBehavior::Default);
    let (progress, mut watched) = watch::channel(PullProgress::default());
    let token = CancellationToken::new();
    let reference = lab.reference("a:v1");
    let holder = holder(0);
    let asked = images.ensure(&reference, &holder, progress, token);
    let waits = async {
        let waiting = |progress: &PullProgress| progress.doing.starts_with("waiting");
        let progress = watched.wait_for(waiting).await.unwrap();
        progress.doing.clone()
    };
    let (pulled, doing) = tokio::join!(asked, waits);
    pulled.unwrap();
    assert!(
        doing.starts_with("waiting 1.0 s after: ") && doing.contains("toomanyrequests: slow down"),
        "{doing}"
    );
}

#[tokio::test]
async fn silence_ends_a_try_and_cancelling_ends_the_pull() {
    let lab = Lab::start().await;
    let image = Image::new(&[("a", b"1")]);
    lab.push("a:v1", &image).await;
    let images = lab.images(PullBehavior::Default);
    let reference = lab.reference("a:v1");
    // After the inactivity timeout, another try.
    lab.relay.fault(&image.layers[0].digest, Fault::Silence);
    ensure(&images, &reference, 0).await.unwrap();

    let other = Image::new(&[("other", b"1")]);
    lab.push("a:v2", &other).await;
    lab.relay.fault(&other.layers[0].digest, Fault::Silence);
    let reference = lab.reference("a:v2");
    let (first, second) = (CancellationToken::new(), CancellationToken::new());
    let (progress, _) = watch::channel(PullProgress::default());
    let (one, two) = (holder(1), holder(2));
    let asks = async {
        tokio::join!(
            images.ensure(&reference, &one, progress.clone(), first.clone()),
            images.ensure(&reference, &two, progress.clone(), second.clone())
        )
    };
    let cancels = async {
        let asked = async || lab.relay.count(&other.layers[0].digest) > 0;
        until("the layer is asked for", asked).await;
        first.cancel();
        second.cancel();
    };
    let ((a, b), ()) = tokio::join!(asks, cancels);
    for error in [a.unwrap_err(), b.unwrap_err()] {
        assert!(matches!(error, ImageError::Cancelled(_)), "{error}");
    }
    until("its lease ends", async || {
        lab.leases("longshore-pull-").await.is_empty()
    })
    .await;
    lab.collect().await;
    let content = lab.ctr(&["content", "ls", "-q"]).await;
    assert!(!content.contains(&other.manifest.digest), "{content}");
    ensure(&images, &reference, 3).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), images.shutdown())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_pull_outlives_a_restart_of_containerd() {
    let lab = Lab::start().await;
    let image = Image::new(&[("a", &noise(1, 2 << 20))]);
    lab.push("a:v1", &image).await;
    let layer = image.layers[0].digest.clone();
    lab.relay.fault(&layer, Fault::Silence);
    let images = lab.images(PullBehavior::Default);
    let reference = lab.reference("a:v1");
    let (progress, mut watched) = watch::channel(PullProgress::default());
    let holder = holder(0);
    let asked = images.ensure(&reference, &holder, progress, CancellationToken::new());
    let restart = async {
        until("the layer is asked for", async || lab.relay.count(&layer) > 0).await;
        let away = |progress: &PullProgress| progress.doing.contains("after: containerd");
        let told = async {
            watched.wait_for(away).await.unwrap();
        };
        lab.without_containerd(told).await;
    };
    let (pulled, ()) = tokio::join!(asked, restart);
    assert_eq!(pulled.unwrap().digest, image.manifest.digest);
    until("no lease of a pull is left", async || {
        lab.leases("longshore-pull-").await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_full_disk_is_told_and_is_not_kept_full() {
    let lab = Lab::on_a_disk_of(12 << 20).await;
    lab.push("a:v1", &Image::new(&[("a", &noise(1, 20 << 20))])).await;
    let images = lab.images(PullBehavior::Default);
    let error = ensure(&images, &lab.reference("a:v1"), 0).await.unwrap_err();
    assert!(error.to_string().contains("no space left on device"), "{error}");
    until("no lease of a pull is left", async || {
        lab.leases("longshore-pull-").await.is_empty()
    })
    .await;
    lab.collect().await;
    let fetched = lab.ctr(&["content", "active"]).await;
    assert!(!fetched.contains("layer-"), "{fetched}");
    // What fits can still be had.
    lab.push("b:v1", &Image::new(&[("b", &noise(2, 1 << 20))])).await;
    ensure(&images, &lab.reference("b:v1"), 1).await.unwrap();
}
