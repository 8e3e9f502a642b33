//! What an earlier boot left of networks, and who needs it given back.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use longshore_agent::model::Protocol;
use longshore_agent::network::{Attachment, CniNetwork, Network, NetworkError};
use tokio::task::JoinSet;

use crate::support::{PATIENCE, Place, bridge, host_port, id, inside, isolated, run, within};

/// Attaches containers, and cuts the power: namespaces, rules and links are gone.
async fn cut_off(place: &Place, indexes: &[u16]) -> Vec<Attachment> {
    let network = place.network();
    let mut attached = Vec::new();
    for index in indexes {
        let request = bridge(*index, &[(80, None, Protocol::Tcp)]);
        attached.push(network.attach(&request).await.unwrap());
    }
    for web in &attached {
        run(&format!("umount {}", inside(web).display()));
    }
    run("iptables -F; iptables -t nat -F; iptables -X; iptables -t nat -X; ip link del ls-test0");
    attached
}

/// A firewall plugin that does not come back from taking away what one container has.
struct Hanging {
    /// It waits until somebody writes to this.
    fifo: PathBuf,
    /// It is there once it waits.
    waits: PathBuf,
    /// Where plugins are looked for then.
    dirs: String,
}

impl Hanging {
    /// Before the real one in `place`.
    fn for_container(place: &mut Place, index: u16) -> Self {
        let folder = place.dir.path().join("plugins");
        std::fs::create_dir(&folder).unwrap();
        let (fifo, waits) = (folder.join("fifo"), folder.join("waits"));
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let script = format!(
            "#!/bin/sh\nif [ $CNI_COMMAND = DEL ] && [ $CNI_CONTAINERID = {} ] && [ -p {fifo} ]; then\n  \
             touch {waits}; : < {fifo}\nfi\n\
             for dir in /opt/cni/bin /usr/lib/cni /usr/libexec/cni; do\n  \
             if [ -x $dir/firewall ]; then exec $dir/firewall; fi\ndone\n",
            id(index),
            fifo = fifo.display(),
            waits = waits.display(),
        );
        // Written under another name: a script that a fork holds open for writing can't be run.
        let new = folder.join("new");
        std::fs::write(&new, script).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
        run(&format!(
            "cp -p {} {}",
            new.display(),
            folder.join("firewall").display()
        ));
        let dirs = format!("{}:/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni", folder.display());
        place.set(&[
            ("LONGSHORE_CNI_BIN_DIRS", &dirs),
            ("ECS_DYNAMIC_HOST_PORT_RANGE", "45000-45013"),
        ]);
        Self { fifo, waits, dirs }
    }

    /// It goes on, and hangs no more.
    fn answer(self) {
        let opened = std::fs::File::options().read(true).write(true).open(&self.fifo);
        std::fs::remove_file(&self.fifo).unwrap();
        drop(opened.unwrap());
    }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "{what} did not come about");
}

async fn until_only_it_is_left(network: &CniNetwork, index: u16) {
    until("that all others are given back", async || {
        network.list().await.unwrap() == [id(index)]
    })
    .await;
}

fn giving_back(network: &Arc<CniNetwork>) -> JoinSet<()> {
    let network = Arc::clone(network);
    let mut giving_back = JoinSet::new();
    giving_back.spawn(async move { assert!(network.forget_old_boots().await.unwrap().is_empty()) });
    giving_back
}

/// Whether a record in the container's folder is of this boot.
fn is_attached(data_dir: &Path, index: u16, boot_id: &str) -> bool {
    let record = data_dir
        .join("network")
        .join(id(index).to_string())
        .join("attachment.json");
    std::fs::read_to_string(record).is_ok_and(|text| text.contains(boot_id))
}

#[test]
fn the_leases_of_an_earlier_boot_are_given_back() {
    isolated(
        "old_boots::the_leases_of_an_earlier_boot_are_given_back",
        |place| async move {
            cut_off(&place, &[0, 1, 2]).await;
            // A container of which a power cut left the lease alone.
            std::fs::remove_dir_all(place.dir.path().join("network").join(id(2).to_string())).unwrap();
            let next = place.network_in("the next boot");
            assert_eq!(next.list().await.unwrap(), [id(0), id(1), id(2)]);
            assert!(next.forget_old_boots().await.unwrap().is_empty());
            assert_eq!(place.traces(), Vec::<String>::new());
        },
    );
}

#[test]
fn a_plugin_that_hangs_keeps_no_other_network_from_being_given_back_or_made() {
    isolated(
        "old_boots::a_plugin_that_hangs_keeps_no_other_network_from_being_given_back_or_made",
        |mut place| async move {
            let hanging = Hanging::for_container(&mut place, 0);
            let indexes = Vec::from_iter(0..12);
            let before = cut_off(&place, &indexes).await;
            let next = Arc::new(place.network_in("the next boot"));
            // They go on in this boot, and clients were told their ports.
            for index in [0, 1] {
                next.expect(&id(index), &before[usize::from(index)]);
            }
            let giving_back = giving_back(&next);
            until_only_it_is_left(&next, 0).await;
            assert!(hanging.waits.exists());

            // One that goes on, and a new one, which gets neither's port.
            let again = next
                .attach(&bridge(1, &[(80, None, Protocol::Tcp)]))
                .await
                .unwrap();
            assert_eq!(host_port(&again, 0), host_port(&before[1], 0));
            for index in 20..32 {
                let new = next
                    .attach(&bridge(index, &[(80, None, Protocol::Tcp)]))
                    .await
                    .unwrap();
                for known in &before[..2] {
                    assert_ne!(host_port(&new, 0), host_port(known, 0));
                }
            }
            hanging.answer();
            giving_back.join_all().await;
            assert!(!next.list().await.unwrap().contains(&id(0)));
            // All that may be given are in use but the one that is kept.
            let none = next.attach(&bridge(32, &[(80, None, Protocol::Tcp)])).await;
            assert!(none.is_err(), "{none:?}");
            let first = next
                .attach(&bridge(0, &[(80, None, Protocol::Tcp)]))
                .await
                .unwrap();
            assert_eq!(host_port(&first, 0), host_port(&before[0], 0));
            for index in [0, 1].into_iter().chain(20..32) {
                next.detach(&id(index)).await.unwrap();
            }
            assert_eq!(place.traces(), Vec::<String>::new());
        },
    );
}

#[test]
fn what_is_attached_anew_meanwhile_is_left_alone() {
    isolated(
        "old_boots::what_is_attached_anew_meanwhile_is_left_alone",
        |mut place| async move {
            let hanging = Hanging::for_container(&mut place, 0);
            cut_off(&place, &[0, 1]).await;
            let next = Arc::new(place.network_in("the next boot"));
            let mut attaching = JoinSet::new();
            attaching.spawn({
                let next = Arc::clone(&next);
                async move { next.attach(&bridge(0, &[])).await.unwrap() }
            });
            until("that the attachment waits", async || hanging.waits.exists()).await;
            let giving_back = giving_back(&next);
            until_only_it_is_left(&next, 0).await;
            hanging.answer();
            let web = attaching.join_all().await.remove(0);
            giving_back.join_all().await;
            assert!(is_attached(place.dir.path(), 0, "the next boot"));
            within(inside(&web), || run("ip -o addr show eth0 | grep -q 172.29"));
            next.detach(&id(0)).await.unwrap();
            assert_eq!(place.traces(), Vec::<String>::new());
        },
    );
}

#[test]
fn who_finds_no_address_is_told_of_those_of_an_earlier_boot() {
    isolated(
        "old_boots::who_finds_no_address_is_told_of_those_of_an_earlier_boot",
        |mut place| async move {
            let hanging = Hanging::for_container(&mut place, 0);
            // Five addresses beside the gateway's.
            place.set(&[
                ("LONGSHORE_CNI_BIN_DIRS", &hanging.dirs),
                ("LONGSHORE_BRIDGE_SUBNET", "172.29.0.0/29"),
            ]);
            cut_off(&place, &[0, 1, 2, 3, 4]).await;
            let next = Arc::new(place.network_in("the next boot"));
            let giving_back = giving_back(&next);
            until_only_it_is_left(&next, 0).await;
            for index in 10..14 {
                next.attach(&bridge(index, &[])).await.unwrap();
            }
            let error = next.attach(&bridge(14, &[])).await.unwrap_err();
            assert!(matches!(error, NetworkError::NoAddressYet(_)), "{error}");
            // One that comes back otherwise is as good.
            next.detach(&id(13)).await.unwrap();
            next.attach(&bridge(14, &[])).await.unwrap();
            next.attach(&bridge(13, &[])).await.unwrap_err();
            hanging.answer();
            giving_back.join_all().await;
            next.attach(&bridge(13, &[])).await.unwrap();
            let error = next.attach(&bridge(15, &[])).await.unwrap_err();
            assert!(matches!(error, NetworkError::Plugin { .. }), "{error}");
            for index in 10..15 {
                next.detach(&id(index)).await.unwrap();
            }
            assert_eq!(place.traces(), Vec::<String>::new());
        },
    );
}
