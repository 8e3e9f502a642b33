//! The rest of the machine: images, networks, folders.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use longshore_agent::executor::{AssembleError, Assembler};
use longshore_agent::image::{ImageError, Images, PullProgress};
use longshore_agent::janitor::{Folders, FoldersError};
use longshore_agent::model::{Attachment, ContainerId, ImageConfig, PortBinding, PulledImage, ResolvedTask};
use longshore_agent::network::{Attach, Network, NetworkError};
use longshore_agent::runtime::CreateContainer;
use longshore_protocol::arn::ResourceId;
use longshore_protocol::status::NetworkMode;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// Images by their reference: `missing` is nowhere, `slow` takes an hour, `cached` falls back, `quit` has a
/// STOPSIGNAL; all else is here.
pub struct FakeImages {
    world: Arc<World>,
    held: Mutex<BTreeMap<ContainerId, String>>,
}

impl FakeImages {
    pub fn new(world: &Arc<World>) -> Arc<Self> {
        Arc::new(Self {
            world: Arc::clone(world),
            held: Mutex::default(),
        })
    }

    pub fn held(&self) -> usize {
        self.held.lock().unwrap().len()
    }
}

#[async_trait]
impl Images for FakeImages {
    async fn ensure(
        &self,
        reference: &str,
        holder: &ContainerId,
        progress: watch::Sender<PullProgress>,
        cancel: CancellationToken,
    ) -> Result<PulledImage, ImageError> {
        self.world.cross(&format!("> pull {holder}")).await;
        let reference = reference.to_owned();
        match reference.as_str() {
            "missing" => {
                let why = "manifest unknown".to_owned();
                return Err(ImageError::Refused { reference, why });
            }
            "slow" => {
                progress.send_replace(PullProgress {
                    doing: "pulling".to_owned(),
                    done: 30,
                    total: 100,
                });
                let _busy = self.world.busy(&format!("slow pull {holder}"));
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(3600)) => {}
                    () = cancel.cancelled() => return Err(ImageError::Cancelled(reference)),
                }
            }
            _ => {}
        }
        self.held
            .lock()
            .unwrap()
            .insert(holder.clone(), reference.clone());
        self.world.cross(&format!("< pull {holder}")).await;
        Ok(PulledImage {
            name: reference.clone(),
            digest: "sha256:00".to_owned(),
            chain_id: "sha256:01".to_owned(),
            config: ImageConfig {
                stop_signal: (reference == "quit").then(|| "SIGQUIT".to_owned()),
                ..ImageConfig::default()
            },
            fallback: (reference == "cached").then(|| "connection refused".to_owned()),
            reference,
        })
    }

    async fn release(&self, holder: &ContainerId) {
        self.world.cross(&format!("> release {holder}")).await;
        self.held.lock().unwrap().remove(holder);
    }
}

/// Networks: addresses and ports that are held by one container each.
pub struct FakeNetwork {
    world: Arc<World>,
    attached: Mutex<BTreeMap<ContainerId, Attachment>>,
    /// Of which an earlier boot has left an address.
    old: Mutex<BTreeSet<ContainerId>>,
    expected: Mutex<BTreeMap<ContainerId, Attachment>>,
    pub adopted: Mutex<Vec<ContainerId>>,
}

impl FakeNetwork {
    pub fn new(world: &Arc<World>) -> Arc<Self> {
        Arc::new(Self {
            world: Arc::clone(world),
            attached: Mutex::default(),
            old: Mutex::default(),
            expected: Mutex::default(),
            adopted: Mutex::default(),
        })
    }

    /// How many have something.
    pub fn attached(&self) -> usize {
        self.all().len()
    }

    fn all(&self) -> BTreeSet<ContainerId> {
        let mut all = self.old.lock().unwrap().clone();
        all.extend(self.attached.lock().unwrap().keys().cloned());
        all
    }

    /// Interfaces and rules are gone, addresses are not.
    pub fn reboot(&self) {
        let gone = std::mem::take(&mut *self.attached.lock().unwrap());
        self.old.lock().unwrap().extend(gone.into_keys());
        self.expected.lock().unwrap().clear();
    }

    /// What an earlier boot has left is given back, as the agent's program does beside all else.
    pub async fn forget_old_boots(&self) {
        let old = self.old.lock().unwrap().clone();
        let giving_back = old.iter().map(|container| async move {
            self.world.cross(&format!("> give back {container}")).await;
            if !self.world.faulty() {
                self.old.lock().unwrap().remove(container);
            }
        });
        futures_util::future::join_all(giving_back).await;
    }

    fn trouble(&self, container: &ContainerId) -> NetworkError {
        NetworkError::Plugin {
            command: "ADD",
            container: container.clone(),
            plugin: "bridge".to_owned(),
            why: "simulated".to_owned(),
        }
    }
}

#[async_trait]
impl Network for FakeNetwork {
    fn expect(&self, container: &ContainerId, attachment: &Attachment) {
        let mut expected = self.expected.lock().unwrap();
        expected.insert(container.clone(), attachment.clone());
    }

    async fn attach(&self, request: &Attach) -> Result<Attachment, NetworkError> {
        self.world
            .cross(&format!(
                "> attach {} {:?}",
                request.container,
                request
                    .ports
                    .iter()
                    .map(|port| port.host_port)
                    .collect::<Vec<_>>()
            ))
            .await;
        if request.ports.iter().any(|mapping| mapping.host_port == Some(666)) {
            return Err(NetworkError::Port {
                port: 666,
                protocol: "tcp",
                why: "a stranger has it".to_owned(),
            });
        }
        if request.ports.iter().any(|mapping| mapping.container_port == 667) {
            return Err(self.trouble(&request.container));
        }
        let bridge = request.mode == NetworkMode::Bridge;
        let attachment = {
            let mut attached = self.attached.lock().unwrap();
            attached.remove(&request.container);
            self.old.lock().unwrap().remove(&request.container);
            let mut expected = self.expected.lock().unwrap();
            expected.remove(&request.container);
            let taken: Vec<u16> = attached
                .values()
                .chain(expected.values())
                .flat_map(|other| {
                    other
                        .bindings
                        .iter()
                        .filter_map(|binding| binding.mapping.host_port)
                })
                .collect();
            let bindings = request.ports.iter().filter(|_| bridge).map(|mapping| {
                let mut mapping = *mapping;
                let free = || (40000..).find(|port| !taken.contains(port));
                mapping.host_port = mapping.host_port.or_else(free);
                assert!(
                    !taken.contains(&mapping.host_port.unwrap()),
                    "a port is given twice"
                );
                PortBinding {
                    mapping,
                    bind_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                }
            });
            let attachment = Attachment {
                mode: request.mode,
                namespace: bridge.then(|| PathBuf::from("/run/netns/x")),
                addresses: Vec::new(),
                bindings: bindings.collect(),
                files: Vec::new(),
            };
            attached.insert(request.container.clone(), attachment.clone());
            attachment
        };
        self.world.cross(&format!("< attach {}", request.container)).await;
        Ok(attachment)
    }

    async fn adopt(&self, container: &ContainerId, attachment: &Attachment) -> Result<(), NetworkError> {
        self.world.cross(&format!("> adopt {container}")).await;
        let attached = self.attached.lock().unwrap().get(container).cloned();
        assert_eq!(
            attached.as_ref(),
            Some(attachment),
            "what is adopted is what was attached"
        );
        self.adopted.lock().unwrap().push(container.clone());
        Ok(())
    }

    async fn detach(&self, container: &ContainerId) -> Result<(), NetworkError> {
        self.world.cross(&format!("> detach {container}")).await;
        if self.world.faulty() {
            return Err(self.trouble(container));
        }
        self.attached.lock().unwrap().remove(container);
        self.old.lock().unwrap().remove(container);
        self.expected.lock().unwrap().remove(container);
        self.world.cross(&format!("< detach {container}")).await;
        Ok(())
    }

    async fn list(&self) -> Result<Vec<ContainerId>, NetworkError> {
        // It reads a folder: it does not hang.
        self.world.cross_at_once("> networks").await;
        Ok(self.all().into_iter().collect())
    }
}

/// Folders: volumes and logs, by task.
pub struct FakeAssembler {
    world: Arc<World>,
    volumes: Mutex<Vec<ResourceId>>,
    logs: Mutex<Vec<ResourceId>>,
    /// Whether folders of tasks that nobody knows can't be removed, and how many are being removed.
    pub hangs: AtomicBool,
    removing: AtomicUsize,
}

impl FakeAssembler {
    pub fn new(world: &Arc<World>) -> Arc<Self> {
        Arc::new(Self {
            world: Arc::clone(world),
            volumes: Mutex::default(),
            logs: Mutex::default(),
            hangs: AtomicBool::new(false),
            removing: AtomicUsize::new(0),
        })
    }

    pub fn volumes(&self) -> usize {
        self.volumes.lock().unwrap().len()
    }

    pub fn logs(&self) -> usize {
        self.logs.lock().unwrap().len()
    }

    pub fn removing(&self) -> usize {
        self.removing.load(Ordering::Relaxed)
    }
}

fn add(list: &Mutex<Vec<ResourceId>>, id: &ResourceId) {
    let mut list = list.lock().unwrap();
    if !list.contains(id) {
        list.push(id.clone());
    }
}

#[async_trait]
impl Assembler for FakeAssembler {
    async fn assemble(
        &self,
        task: &Arc<ResolvedTask>,
        container: &ContainerId,
        image: &PulledImage,
        _attachment: &Attachment,
    ) -> Result<CreateContainer, AssembleError> {
        self.world.cross(&format!("> assemble {container}")).await;
        if image.reference == "secretive" {
            return Err(AssembleError {
                name: "ResourceInitializationError",
                why: "no such secret".to_owned(),
                transient: false,
            });
        }
        add(&self.volumes, &task.arn.id);
        add(&self.logs, &task.arn.id);
        Ok(CreateContainer {
            id: container.clone(),
            task: task.as_ref().clone(),
            image: image.clone(),
            user: String::new(),
            spec: oci_spec::runtime::Spec::default(),
            log_options: None,
        })
    }

    async fn dismantle_task(&self, task: &ResourceId) -> Result<(), AssembleError> {
        self.world.cross(&format!("> dismantle {task}")).await;
        self.volumes.lock().unwrap().retain(|id| id != task);
        Ok(())
    }

    async fn clean_task(&self, task: &ResourceId) -> Result<(), AssembleError> {
        self.world.cross(&format!("> clean {task}")).await;
        self.logs.lock().unwrap().retain(|id| id != task);
        Ok(())
    }
}

#[async_trait]
impl Folders for FakeAssembler {
    async fn of_others(&self, known: BTreeSet<ResourceId>) -> Result<BTreeSet<ResourceId>, FoldersError> {
        let (logs, volumes) = (self.logs.lock().unwrap(), self.volumes.lock().unwrap());
        let others = logs.iter().chain(volumes.iter()).filter(|id| !known.contains(id));
        Ok(others.cloned().collect())
    }

    async fn remove(&self, task: &ResourceId) -> Result<(), FoldersError> {
        self.world.cross(&format!("> remove folders {task}")).await;
        self.removing.fetch_add(1, Ordering::Relaxed);
        while self.hangs.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.removing.fetch_sub(1, Ordering::Relaxed);
        self.logs.lock().unwrap().retain(|id| id != task);
        self.volumes.lock().unwrap().retain(|id| id != task);
        Ok(())
    }
}
