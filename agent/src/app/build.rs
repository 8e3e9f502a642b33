//! What the agent is made of, built in the order in which one part needs another. Nothing talks to others yet.

use std::convert::Infallible;
use std::sync::Arc;

use longshore_protocol::node::InstanceId;
use tokio_util::sync::CancellationToken;

use super::AppError;
use super::assemble::Workshop;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ProxyConfig};
use crate::containerd;
use crate::executor::Limits;
use crate::host::{self, Gpus};
use crate::http::{CertificateClock, Client, Trust, client_config};
use crate::image::{ContainerdImages, Node, Reach};
use crate::intake::Rules;
use crate::janitor::DataFolders;
use crate::link::{Identity, Link};
use crate::log::Logs;
use crate::model::{Boot, HostFacts};
use crate::network::CniNetwork;
use crate::plan::Policy;
use crate::reconcile::{self, Deps, EngineHandle, Settings};
use crate::runtime::Runtime;
use crate::runtime::containerd::{ContainerdRuntime, Settings as RuntimeSettings};
use crate::runtime::exec::Execs;
use crate::store::{SetAside, Store};
use crate::supervise::Supervisor;
use crate::volume::Volumes;

/// How many stopped tasks are kept, in memory and with their log files; the oldest go first.
const KEPT: usize = 1000;

/// The parts that others are made of.
pub(super) struct Agent {
    pub(super) config: Arc<Config>,
    pub(super) host: Arc<HostFacts>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) link: Arc<Link>,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) execs: Arc<dyn Execs>,
    pub(super) images: Arc<ContainerdImages>,
    pub(super) engine: EngineHandle,
    /// A store that could not be used.
    pub(super) aside: Option<SetAside>,
}

impl Agent {
    pub(super) async fn build(
        config: Arc<Config>,
        (identity, owner): (Identity, InstanceId),
        supervisor: &mut Supervisor,
    ) -> Result<Self, AppError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let host = Arc::new(host::read(&config)?);
        // Blocking is fine here: nothing else is going on yet.
        let (store, contents, aside) = Store::open_or_begin(&config.data_dir.join("agent.db"), clock.now())?;
        let owner = owner.to_string();
        let trust = identity.trust();
        // One for all: a box that boots in 1970 learns from the control plane what its registries are judged by.
        let certificates = Arc::new(CertificateClock::new(Arc::clone(&clock)));
        let link = super::link_by(&config, identity, &trust, Arc::clone(&certificates))?;
        let link = Arc::new(link);

        let client = containerd::Client::new(&config.containerd_address, &config.containerd_namespace)?;
        let settings = RuntimeSettings::new(&config, &owner);
        let exits = settings.exits.clone();
        exits.prepare().map_err(|source| AppError::Io {
            path: exits.folder().to_owned(),
            source,
        })?;
        tracing::info!(runtime = settings.runtime, "new containers run by this shim");
        let runtime = ContainerdRuntime::new(client.clone(), settings, Arc::clone(&clock))?;
        let runtime = Arc::new(runtime);
        let (runtime, execs) = (Arc::clone(&runtime) as Arc<dyn Runtime>, runtime as _);
        let images = Arc::new(images(
            client,
            &config,
            &host,
            owner,
            Arc::clone(&clock),
            certificates,
        )?);
        let network = Arc::new(CniNetwork::new(&config, &host.boot_id, Arc::clone(&clock)));
        let folders = DataFolders {
            logs: Logs::new(&config.data_dir),
            volumes: Volumes::new(&config.data_dir),
            exits,
        };
        let workshop = Workshop {
            host: Arc::clone(&host),
            gpus: Arc::new(Gpus::new(&config.resources)),
            folders: folders.clone(),
            cgroup_parent: config.cgroup_parent.clone(),
        };
        let deps = Deps {
            store,
            contents,
            runtime: Arc::clone(&runtime),
            images: Arc::clone(&images) as _,
            network: Arc::clone(&network) as _,
            assembler: Arc::new(workshop),
            folders: Arc::new(folders),
            link: Arc::clone(&link) as _,
            clock: Arc::clone(&clock),
        };
        let engine = reconcile::start(deps, engine_settings(&config, &host), supervisor);
        let token = supervisor.token();
        supervisor.spawn("networks of earlier boots", forget_old_boots(network, token));
        Ok(Self {
            config,
            host,
            clock,
            link,
            runtime,
            execs,
            images,
            engine,
            aside,
        })
    }
}

fn images(
    client: containerd::Client,
    config: &Config,
    host: &HostFacts,
    owner: String,
    clock: Arc<dyn Clock>,
    time: Arc<CertificateClock>,
) -> Result<ContainerdImages, AppError> {
    // Registries are trusted as the machine trusts; the control plane's pin or authority is not theirs.
    let tls = client_config(&Trust::System, Arc::clone(&time))?;
    let proxy: ProxyConfig = config.proxy.clone();
    let reach = Reach {
        http: Client::through(tls, &proxy),
        proxy,
        time,
    };
    let node = Node {
        snapshotter: config.snapshotter.clone(),
        instance: owner,
        architecture: host.architecture.clone(),
        variant: host.variant.clone(),
    };
    Ok(ContainerdImages::new(client, reach, &config.image, clock, node))
}

fn engine_settings(config: &Config, host: &HostFacts) -> Settings {
    Settings {
        boot: Boot {
            boot_id: host.boot_id.clone(),
            fingerprint: host.fingerprint.clone(),
        },
        resume: config.resume_on_boot,
        policy: Policy {
            stop_timeout: config.stop_timeout,
            cleanup_wait: config.cleanup_wait,
            forget: false,
        },
        limits: Limits {
            create: config.create_timeout,
            start: config.start_timeout,
        },
        rules: Rules {
            disable_privileged: config.disable_privileged,
        },
        kept: KEPT,
    }
}

/// Rules and namespaces of an earlier boot are gone; the addresses that it gave out are not. A plugin may hang, so this
/// is done beside all else. What is broken off when the agent ends is done by the next one.
async fn forget_old_boots(network: Arc<CniNetwork>, token: CancellationToken) -> Result<(), Infallible> {
    let forgotten = tokio::select! {
        biased;
        () = token.cancelled() => return Ok(()),
        forgotten = network.forget_old_boots() => forgotten,
    };
    match forgotten {
        Ok(left) => {
            for (container, error) in left {
                tracing::warn!(%container, %error, "a network of an earlier boot could not be given back yet");
            }
        }
        Err(error) => tracing::warn!(%error, "networks of an earlier boot could not be listed"),
    }
    Ok(())
}
