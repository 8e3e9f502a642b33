//! What a pull leaves: the image as containerd's own client would have it.

use longshore_agent::config::PullBehavior;
use longshore_agent::image::{ImageError, Images, PullProgress};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::images::{Image, Kind, noise};
use crate::lab::{Lab, ensure, holder, until};

#[tokio::test]
async fn a_tagged_image_is_pulled_unpacked_and_complete() {
    let lab = Lab::start().await;
    let image = Image::build(
        Kind::Docker,
        "amd64",
        &[("a", b"1"), ("b", &noise(1, 3 << 20)), ("c", b"3")],
    );
    lab.push("a/b:v1", &image).await;
    let images = lab.images(PullBehavior::Default);
    let reference = lab.reference("a/b:v1");
    let (progress, watched) = watch::channel(PullProgress::default());
    let pulled = images
        .ensure(&reference, &holder(0), progress, CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(pulled.digest, image.manifest.digest);
    assert_eq!(pulled.name, reference);
    assert_eq!(pulled.config.cmd, ["/run"]);
    assert_eq!(pulled.config.env, ["A=b"]);
    assert_eq!(pulled.config.user, "7");
    assert_eq!(pulled.config.stop_signal.as_deref(), Some("SIGQUIT"));
    assert_eq!(pulled.fallback, None);
    let total: usize = image.layers.iter().map(|layer| layer.bytes.len()).sum();
    assert_eq!(watched.borrow().total, total as u64);

    let check = lab.ctr(&["images", "check"]).await;
    assert!(
        check.contains("complete (4/4)") && check.contains("true"),
        "{check}"
    );
    let list = lab.ctr(&["images", "ls"]).await;
    assert!(
        list.contains(&image.manifest.digest) && list.contains("longshore.instance=mi-0123"),
        "{list}"
    );
    until("the lease of the pull ends", async || {
        lab.leases("longshore-pull-").await.is_empty()
    })
    .await;
    lab.collect().await;
    let check = lab.ctr(&["images", "check"]).await;
    assert!(
        check.contains("complete (4/4)") && check.contains("true"),
        "{check}"
    );

    let mounts = lab
        .ctr(&["snapshots", "view", "--target", "/x", "look", &pulled.chain_id])
        .await;
    let lowers = mounts.split("lowerdir=").nth(1).unwrap();
    let lowers: Vec<_> = lowers
        .split(&[',', ' ', '\n'][..])
        .next()
        .unwrap()
        .split(':')
        .collect();
    let found = |name: &str| {
        lowers
            .iter()
            .any(|lower| std::path::Path::new(lower).join(name).exists())
    };
    assert!(found("a") && found("b") && found("c"), "{mounts}");
}

#[tokio::test]
async fn what_is_here_costs_one_request_and_no_write() {
    let lab = Lab::start().await;
    lab.push("a:v1", &Image::new(&[("a", b"1")])).await;
    let images = lab.images(PullBehavior::Default);
    let reference = lab.reference("a:v1");
    let first = ensure(&images, &reference, 0).await.unwrap();
    let path = lab.folder().join("root/io.containerd.metadata.v1.bolt/meta.db");
    let written = || std::fs::metadata(&path).unwrap().modified().unwrap();
    // containerd writes by itself too, when it collects; a cached start that wrote would never pass.
    until("a cached start writes nothing", async || {
        let before = written();
        lab.relay.forget();
        assert_eq!(ensure(&images, &reference, 1).await.unwrap(), first);
        assert_eq!(lab.relay.seen(), ["HEAD /v2/a/manifests/v1 "]);
        written() == before
    })
    .await;
}

#[tokio::test]
async fn a_digest_that_is_here_needs_no_registry() {
    let lab = Lab::start().await;
    let image = Image::new(&[("a", b"1")]);
    lab.push("a:v1", &image).await;
    let images = lab.images(PullBehavior::Always);
    let reference = lab.reference(&format!("a@{}", image.manifest.digest));
    let pulled = ensure(&images, &reference, 0).await.unwrap();
    assert_eq!(pulled.digest, image.manifest.digest);
    assert_eq!(lab.relay.count("HEAD"), 0, "the digest says it all");
    lab.relay.forget();
    ensure(&images, &reference, 1).await.unwrap();
    assert_eq!(lab.relay.seen(), Vec::<String>::new());
    // By tag, the registry is asked what the tag is, and nothing is fetched.
    ensure(&images, &lab.reference("a:v1"), 2).await.unwrap();
    assert_eq!(lab.relay.count("GET"), 0, "{:?}", lab.relay.seen());
}

#[tokio::test]
async fn an_index_gives_the_image_for_this_machine() {
    let lab = Lab::start().await;
    let arm = Image::build(Kind::Oci, "arm64", &[("arm", b"1")]);
    let amd = Image::build(Kind::Oci, "amd64", &[("amd", b"1")]);
    let index = Image::index(vec![(arm.clone(), "arm64"), (amd.clone(), "amd64")]);
    lab.push("both:v1", &index).await;
    lab.push("arm:v1", &arm).await;
    lab.push("arms:v1", &Image::index(vec![(arm.clone(), "arm64")]))
        .await;
    lab.push("lie:v1", &Image::index(vec![(arm.clone(), "amd64")]))
        .await;
    let images = lab.images(PullBehavior::Default);
    let pulled = ensure(&images, &lab.reference("both:v1"), 0).await.unwrap();
    assert_eq!(pulled.digest, index.manifest.digest);
    assert_eq!(lab.relay.count(&arm.layers[0].digest), 0);
    let check = lab.ctr(&["images", "check"]).await;
    assert!(check.contains("complete (2/2)"), "{check}");
    for name in ["arm:v1", "arms:v1", "lie:v1"] {
        let reference = lab.reference(name);
        let error = ensure(&images, &reference, 1).await.unwrap_err();
        assert!(matches!(error, ImageError::Platform { .. }), "{name}: {error}");
        let text = format!("{reference} is for arm64, this machine is amd64");
        assert_eq!(error.to_string(), text);
    }
    assert_eq!(
        lab.relay.count(&arm.layers[0].digest),
        0,
        "no layer comes before the check"
    );
}

#[tokio::test]
async fn ten_who_ask_at_once_share_one_pull() {
    let lab = Lab::start().await;
    let image = Image::new(&[("a", &noise(1, 1 << 20))]);
    lab.push("a:v1", &image).await;
    let images = lab.images(PullBehavior::Default);
    let reference = lab.reference("a:v1");
    let asked = (0..10).map(|index| ensure(&images, &reference, index));
    for pulled in futures_util::future::join_all(asked).await {
        assert_eq!(pulled.unwrap().digest, image.manifest.digest);
    }
    assert_eq!(lab.relay.count(&image.layers[0].digest), 1);
    assert_eq!(lab.relay.count("/manifests/"), 2, "{:?}", lab.relay.seen());
}

#[tokio::test]
async fn two_images_with_a_layer_in_common_fetch_it_once() {
    let lab = Lab::start().await;
    let common = noise(7, 4 << 20);
    let one = Image::new(&[("base", &common), ("one", b"1")]);
    let two = Image::new(&[("base", &common), ("two", b"2")]);
    lab.push("one:v1", &one).await;
    lab.push("two:v1", &two).await;
    let images = lab.images(PullBehavior::Default);
    let (first, second) = (lab.reference("one:v1"), lab.reference("two:v1"));
    let (first, second) = tokio::join!(ensure(&images, &first, 0), ensure(&images, &second, 1));
    assert_ne!(first.unwrap().chain_id, second.unwrap().chain_id);
    assert_eq!(
        lab.relay.count(&one.layers[0].digest),
        1,
        "{:?}",
        lab.relay.seen()
    );
}

#[tokio::test]
async fn layers_may_be_packed_by_zstd() {
    let lab = Lab::start().await;
    let image = Image::build(Kind::OciZstd, "amd64", &[("a", b"1"), ("b", b"2")]);
    lab.push("a:v1", &image).await;
    let images = lab.images(PullBehavior::Default);
    let pulled = ensure(&images, &lab.reference("a:v1"), 0).await.unwrap();
    assert!(lab.has_snapshot(&pulled.chain_id).await);
}
