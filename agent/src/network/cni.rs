//! The network by CNI plugins.
//!
//! Per container: a folder `DATA_DIR/network/ID` with its record and files, a namespace mounted at
//! `DATA_DIR/netns/ID`, and for `bridge` what the plugins make: an interface pair, a lease, firewall rules.
//!
//! Invariants: the record is written before the first effect and removed after the last, so whatever is interrupted
//! can be taken back; taking back goes on past a fault, and keeps record and namespace as long as there is one, since
//! the plugins need both to try again. Plugins of different containers run at the same time.

mod old_boots;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use longshore_protocol::status::NetworkMode;
use serde_json::Value;

use super::files::{Layout, failed, names, remove_folder};
use super::lock::{Lock, lock};
use super::plugin::{Call, Plugins, Verb};
use super::ports::PortKeeper;
use super::record::{Found, Record};
use super::resolv::{HostFiles, Names, write_files};
use super::{
    Attach, Attachment, Network, NetworkError, chain, forward, leases, masquerade, namespace, routes,
};
use crate::blocking;
use crate::clock::Clock;
use crate::config::{Config, NetworkConfig};
use crate::model::{ContainerId, Protocol};

use old_boots::OldBoots;

/// How often a plugin that works in shared chains is tried.
const ADD_TRIES: u32 = 4;

/// What blocking work needs; shared with the threads that do it.
struct Shared {
    layout: Layout,
    network: NetworkConfig,
    boot_id: String,
    host_files: HostFiles,
    ports: PortKeeper,
}

/// Gives containers their network with the plugins that are on this machine.
pub struct CniNetwork {
    shared: Arc<Shared>,
    plugins: Plugins,
    clock: Arc<dyn Clock>,
    /// What was attached here and is untouched since: its plugins can take all of it back.
    whole: Mutex<BTreeSet<ContainerId>>,
    old_boots: OldBoots,
}

impl CniNetwork {
    /// Nothing is made or looked at before the first call. `boot_id` is this boot's.
    #[must_use]
    pub fn new(config: &Config, boot_id: &str, clock: Arc<dyn Clock>) -> Self {
        let never = BTreeMap::from([
            (Protocol::Tcp, config.resources.reserved_ports.clone()),
            (Protocol::Udp, config.resources.reserved_ports_udp.clone()),
        ]);
        let shared = Shared {
            layout: Layout::new(&config.data_dir),
            network: config.network.clone(),
            boot_id: boot_id.to_owned(),
            host_files: HostFiles::default(),
            ports: PortKeeper::new(config.network.dynamic_ports, never, Arc::clone(&clock)),
        };
        Self {
            shared: Arc::new(shared),
            plugins: Plugins {
                dirs: config.network.plugin_dirs.clone(),
                clock: Arc::clone(&clock),
            },
            clock,
            whole: Mutex::default(),
            old_boots: OldBoots::default(),
        }
    }

    fn folder(&self, container: &ContainerId) -> PathBuf {
        self.shared.layout.attachments.join(container.to_string())
    }

    fn namespace(&self, container: &ContainerId) -> PathBuf {
        self.shared.layout.namespaces.join(container.to_string())
    }

    /// Does file and kernel work off the runtime's threads. It ends even if nobody waits for it any more, so it keeps
    /// the container's lock meanwhile.
    async fn locked<T: Send + 'static>(
        &self,
        lock: &Lock,
        work: impl FnOnce(&Shared) -> Result<T, NetworkError> + Send + 'static,
    ) -> Result<T, NetworkError> {
        let lock = Arc::clone(lock);
        self.blocking(move |shared| {
            let done = work(shared);
            drop(lock);
            done
        })
        .await
    }

    /// Does work that needs no lock off the runtime's threads.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, NetworkError> + Send + 'static,
    ) -> Result<T, NetworkError> {
        let shared = Arc::clone(&self.shared);
        let data_dir = shared.layout.attachments.clone();
        let worked = blocking::DISK.run(move || work(&shared)).await;
        worked.map_err(failed("cannot work on", &data_dir))?
    }

    /// Files only: `host` shares everything, `none` has nothing.
    async fn attach_files(&self, request: &Attach, lock: &Lock) -> Result<Attachment, NetworkError> {
        let (folder, request) = (self.folder(&request.container), request.clone());
        self.locked(lock, move |shared| {
            let names = match request.mode {
                NetworkMode::Host => Names::Host,
                NetworkMode::None | NetworkMode::Bridge => Names::None,
            };
            Ok(Attachment {
                mode: request.mode,
                namespace: None,
                addresses: Vec::new(),
                bindings: Vec::new(),
                files: write_files(&folder, &shared.host_files, &names, &request.hostname)?,
            })
        })
        .await
    }

    async fn attach_bridge(&self, request: &Attach, lock: &Lock) -> Result<Attachment, NetworkError> {
        let (folder, path) = (
            self.folder(&request.container),
            self.namespace(&request.container),
        );
        let prepare = {
            let (folder, path, request) = (folder.clone(), path.clone(), request.clone());
            move |shared: &Shared| {
                routes::check(&shared.network)?;
                let bindings = shared.ports.hold(&request.container, &request.ports)?;
                let plugins = chain::plugins(&shared.network, &bindings);
                let record = Record::new(&shared.boot_id, plugins, bindings);
                record.write(&folder)?;
                namespace::create(&path)?;
                Ok(record)
            }
        };
        let mut record = self.locked(lock, prepare).await?;
        let call = |interface| Call {
            verb: Verb::Add,
            container: &request.container,
            namespace: Some(&path),
            interface,
            lock,
        };
        let loopback_call = call("lo");
        let loopback_config = chain::loopback(&self.shared.network);
        let loopback = self.plugins.call(&loopback_call, &loopback_config);
        let chain_call = call(chain::INTERFACE);
        let chained = self.add_chain(&mut record, &chain_call, &folder);
        // Loopback is in nobody's chain, so both go at once.
        let (loopback, chained) = tokio::join!(loopback, chained);
        loopback.and(chained.map(|()| Value::Null))?;
        let addresses = chain::addresses(&record.result);
        let hostname = request.hostname.clone();
        let names = addresses.clone();
        let files = self
            .locked(lock, move |shared| {
                write_files(&folder, &shared.host_files, &Names::Bridge(&names), &hostname)
            })
            .await?;
        Ok(Attachment {
            mode: NetworkMode::Bridge,
            namespace: Some(path),
            addresses,
            bindings: record.bindings,
            files,
        })
    }

    async fn add_chain(
        &self,
        record: &mut Record,
        call: &Call<'_>,
        folder: &Path,
    ) -> Result<(), NetworkError> {
        for config in record.plugins.clone() {
            let config = chain::with_previous(&config, &record.result);
            let result = self.add_plugin(call, &config).await?;
            if result != record.result {
                record.result = result;
                let (record, folder) = (record.clone(), folder.to_owned());
                self.locked(call.lock, move |_| record.write(&folder)).await?;
            }
        }
        if !record.bindings.is_empty() {
            forward::change(&self.plugins, call, &chain::addresses(&record.result)).await?;
        }
        Ok(())
    }

    /// Two plugins that meet in the chains that all containers share, these or another program's, fail where each makes
    /// what the other just made. So they are tried again, but for the first: whoever wants it again starts over.
    async fn add_plugin(&self, call: &Call<'_>, config: &Value) -> Result<Value, NetworkError> {
        let mut added = self.plugins.call(call, config).await;
        for _ in 1..ADD_TRIES {
            if added.is_ok() || config["prevResult"].is_null() {
                break;
            }
            let undo = Call {
                verb: Verb::Del,
                ..*call
            };
            self.plugins.call(&undo, config).await?;
            added = self.plugins.call(call, config).await;
        }
        added
    }

    /// Takes everything back but the folder and its lock, which the caller holds.
    async fn take_back(&self, container: &ContainerId, lock: &Lock) -> Result<(), NetworkError> {
        let mut whole = self.lock_whole().remove(container);
        let (folder, path) = (self.folder(container), self.namespace(container));
        let at = path.clone();
        let looked = self.blocking(move |_| Ok((Record::read(&folder)?, namespace::is_mounted(&at))));
        let (found, mounted) = looked.await?;
        let (plugins, result, mapped) = match found {
            Found::Nothing => {
                // With no record, all that can be left of the plugins is a lease.
                let mut plugins = chain::plugins(&self.shared.network, &[]);
                plugins.truncate(self.leased(container).await?.len().min(1));
                whole = true;
                (plugins, Value::Null, false)
            }
            Found::Record(record) => (record.plugins, record.result, !record.bindings.is_empty()),
            Found::Unreadable(why) => {
                tracing::warn!(%container, %why, "the network's record can't be read; detaching without it");
                let result = chain::result(&self.leased(container).await?);
                (chain::every_plugin(&self.shared.network), result, true)
            }
        };
        let call = Call {
            verb: Verb::Del,
            container,
            namespace: mounted.then_some(path.as_path()),
            interface: chain::INTERFACE,
            lock,
        };
        let mut first = Ok(Value::Null);
        if mapped {
            let removed = forward::change(&self.plugins, &call, &chain::addresses(&result)).await;
            first = removed.map(|()| Value::Null);
        }
        // Loopback is left out: it ends with its namespace.
        for config in plugins.iter().rev() {
            let config = chain::with_previous(config, &result);
            let mut done = self.plugins.call(&call, &config).await;
            if done.is_err() {
                // The bridge plugin takes the interface away before it stumbles over rules that an ADD which was
                // broken off never made. The second time there is nothing to stumble over.
                done = self.plugins.call(&call, &config).await;
                whole = false;
            }
            first = first.and(done);
        }
        if !whole {
            let removed = masquerade::remove(&self.plugins, &call, &self.shared.network.bridge).await;
            first = first.and(removed.map(|()| Value::Null));
        }
        first?;
        self.locked(lock, move |_| namespace::remove(&path)).await
    }

    fn lock_whole(&self) -> std::sync::MutexGuard<'_, BTreeSet<ContainerId>> {
        // Nothing is half done under this lock, so a panic elsewhere leaves a good set.
        self.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn leased(&self, container: &ContainerId) -> Result<Vec<IpAddr>, NetworkError> {
        let mut leases = self.blocking(|shared| leases::held(&shared.network)).await?;
        Ok(leases.remove(container).unwrap_or_default())
    }

    async fn remove_files(&self, container: &ContainerId, lock: &Lock) -> Result<(), NetworkError> {
        let (folder, id) = (self.folder(container), container.clone());
        self.locked(lock, move |shared| {
            remove_folder(&folder)?;
            shared.ports.release(&id);
            leases::remove_nameless(&shared.network)
        })
        .await
    }
}

#[async_trait]
impl Network for CniNetwork {
    fn expect(&self, container: &ContainerId, attachment: &Attachment) {
        self.shared.ports.expect(container, &attachment.bindings);
    }

    async fn attach(&self, request: &Attach) -> Result<Attachment, NetworkError> {
        let folder = self.folder(&request.container);
        let Some(lock) = lock(&folder, true, &*self.clock).await? else {
            let gone = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(failed("cannot lock", &folder)(gone));
        };
        self.take_back(&request.container, &lock).await?;
        let old_are_leaving = self.old_boots.are_leaving();
        let attached = match request.mode {
            NetworkMode::Bridge => {
                let attached = self.attach_bridge(request, &lock).await;
                if attached.is_ok() {
                    self.lock_whole().insert(request.container.clone());
                }
                attached
            }
            NetworkMode::Host | NetworkMode::None => self.attach_files(request, &lock).await,
        };
        if attached.is_ok() {
            // Not before: if it fails, it is tried again.
            self.shared.ports.expect_no_more(&request.container);
        } else {
            match self.take_back(&request.container, &lock).await {
                Ok(()) => self.remove_files(&request.container, &lock).await?,
                Err(error) => {
                    tracing::warn!(container = %request.container, %error, "a failed attachment is not all taken back yet");
                }
            }
        }
        attached.map_err(|error| match error.is_out_of_addresses() && old_are_leaving {
            true => NetworkError::NoAddressYet(Box::new(error)),
            false => error,
        })
    }

    async fn adopt(&self, container: &ContainerId, attachment: &Attachment) -> Result<(), NetworkError> {
        let (container, bindings) = (container.clone(), attachment.bindings.clone());
        self.blocking(move |shared| shared.ports.adopt(&container, &bindings))
            .await
    }

    async fn detach(&self, container: &ContainerId) -> Result<(), NetworkError> {
        let listed = self.list().await?.contains(container);
        if let Some(lock) = lock(&self.folder(container), listed, &*self.clock).await? {
            self.take_back(container, &lock).await?;
            self.remove_files(container, &lock).await?;
        }
        self.shared.ports.expect_no_more(container);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<ContainerId>, NetworkError> {
        let list = |shared: &Shared| listed(shared, &leases::held(&shared.network)?);
        self.blocking(list).await
    }
}

/// The containers that something is left of, with these leases.
fn listed(
    shared: &Shared,
    leases: &BTreeMap<ContainerId, Vec<IpAddr>>,
) -> Result<Vec<ContainerId>, NetworkError> {
    let mut found: BTreeSet<_> = leases.keys().cloned().collect();
    for dir in [&shared.layout.attachments, &shared.layout.namespaces] {
        for name in names(dir)? {
            match name.parse() {
                Ok(container) => _ = found.insert(container),
                Err(error) => {
                    tracing::warn!(dir = %dir.display(), %error, "a file that is not the network's");
                }
            }
        }
    }
    Ok(found.into_iter().collect())
}
