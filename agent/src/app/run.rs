//! `longshore-agent run`: start, serve, end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use longshore_protocol::node::InstanceId;
use longshore_protocol::session::SessionOffer;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::answers::Desk;
use super::build::Agent;
use super::locks::{RuntimeLock, SocketLock};
use super::registration::{Registrar, Standing};
use super::{AppError, DataDirLock, VERSION, notify, programs};
use crate::admin::{self, Server};
use crate::blocking;
use crate::clock::Backoff;
use crate::config::{Config, Warning};
use crate::exec;
use crate::host::{self, Gpus};
use crate::link::{Identity, IdentityError, IdentityFiles, Link};
use crate::log::Logs;
use crate::outage::Outage;
use crate::reconcile::{EngineHandle, Polling, TakeError};
use crate::supervise::Supervisor;

/// How long reports are handed in after SIGTERM; what is left is stored and handed in at the next start.
const FLUSH: Duration = Duration::from_secs(5);
/// Between registrations of a node whose container instance the control plane doesn't know as soon as it polls.
const ROUND_FIRST: Duration = Duration::from_millis(250);
const ROUND_MOST: Duration = Duration::from_secs(60);
/// How long parts have to end once they are told to.
const GRACE: Duration = Duration::from_secs(10);
/// How long pulls have to put down what they hold.
const PULLS_END: Duration = Duration::from_secs(3);
/// How long what was open has to be closed: closing the store looks at its disk once more, and that may hang. All that is to
/// be in it is written.
const CLOSED: Duration = Duration::from_secs(2);

/// Runs the agent until SIGTERM or SIGINT. Containers are left running.
///
/// # Errors
/// [`AppError`]: it could not begin, or a part of it ended.
pub async fn run(config: Config, warnings: Vec<Warning>) -> Result<(), AppError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(AppError::NotRoot);
    }
    let _data_dir = DataDirLock::take(&config.data_dir)?;
    let files = IdentityFiles::new(&config.data_dir);
    let identity = files.load()?;
    check_cluster(&config, &identity)?;
    let owner = owner(&files, &identity)?;
    let _runtime = RuntimeLock::take(&config, &owner)?;
    let _socket = SocketLock::take(&config.admin_socket)?;
    let (mut config, mut warnings) = (config, warnings);
    warnings.extend(programs::find(&mut config)?);

    // While nothing goes on yet: the socket may be somebody else's.
    let admin = Server::bind(&config.admin_socket).await?;
    let mut supervisor = Supervisor::new(CancellationToken::new());
    let agent = Agent::build(Arc::new(config), (identity, owner), &mut supervisor).await?;
    agent.serve(admin, warnings, supervisor).await
}

impl Agent {
    /// Starts what talks to others, and waits for the end.
    async fn serve(
        self,
        admin: Server,
        warnings: Vec<Warning>,
        mut supervisor: Supervisor,
    ) -> Result<(), AppError> {
        let token = supervisor.token();
        let standing = Arc::new(Standing::new(Arc::clone(&self.clock)));
        let desk = Arc::new(self.desk(warnings, Arc::clone(&standing)));
        supervisor.spawn("admin", admin.run(Arc::clone(&desk) as _, token.clone()));
        if let Some(address) = self.config.metrics_address {
            let serving = admin::metrics::serve(address, Arc::clone(&desk) as _, token.clone());
            supervisor.spawn("metrics", serving);
        }
        let (offers, offered) = mpsc::channel(exec::OFFERS);
        let sessions = exec::Deps {
            link: Arc::clone(&self.link) as _,
            execs: Arc::clone(&self.execs),
            containers: desk,
            clock: Arc::clone(&self.clock),
            folder: self.config.data_dir.join("exec"),
        };
        let bounds = super::sessions::settings(&self.config.exec);
        supervisor.spawn("exec", exec::run(sessions, bounds, offered, token.clone()));
        supervisor.spawn("watchdog", notify::watchdog(self.engine.clone(), token.clone()));

        // Ends before the rest: what is asked for last is reported before the engine goes.
        let polling = token.child_token();
        let registrar = Arc::new(self.registrar(standing));
        let (known, gpus) = watch::channel(self.host.gpus.clone());
        let watching = host::watch_gpus(
            Gpus::new(&self.config.resources),
            known,
            Arc::clone(&self.clock),
            polling.clone(),
        );
        supervisor.spawn("gpus", watching);
        supervisor.spawn("link", self.follow(registrar, (gpus, offers), polling.clone()));
        let end = end(self.engine.clone(), polling, token).await?;
        supervisor.spawn("signals", end);

        notify::ready();
        tracing::info!(version = VERSION, data_dir = %self.config.data_dir.display(), "the agent runs");
        let ended = supervisor.run(GRACE).await;
        if tokio::time::timeout(PULLS_END, self.images.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("pulls did not end in time; what they have fetched is fetched again");
        }
        if !blocking::put_down(self, CLOSED).await {
            tracing::warn!(
                "the store could not be closed in time; the next agent begins with what is written in it"
            );
        }
        tracing::info!("the agent has ended; containers go on running");
        Ok(ended?)
    }

    fn desk(&self, warnings: Vec<Warning>, standing: Arc<Standing>) -> Desk {
        let endpoint = self
            .config
            .endpoint
            .clone()
            .unwrap_or_else(|| self.link.identity().endpoint);
        Desk {
            engine: self.engine.clone(),
            link: Arc::clone(&self.link),
            runtime: Arc::clone(&self.runtime),
            standing,
            clock: Arc::clone(&self.clock),
            logs: Logs::new(&self.config.data_dir),
            endpoint,
            warnings: warnings
                .iter()
                .map(ToString::to_string)
                .chain(self.aside.iter().map(ToString::to_string))
                .collect(),
        }
    }

    fn registrar(&self, standing: Arc<Standing>) -> Registrar {
        Registrar {
            link: Arc::clone(&self.link),
            runtime: Arc::clone(&self.runtime),
            clock: Arc::clone(&self.clock),
            config: Arc::clone(&self.config),
            host: Arc::clone(&self.host),
            standing,
            outage: Outage::new("the link", "registration"),
        }
    }

    /// Registers, then polls and follows the GPUs until `token` is cancelled.
    fn follow(
        &self,
        registrar: Arc<Registrar>,
        (mut gpus, sessions): (
            watch::Receiver<Vec<crate::model::Gpu>>,
            mpsc::Sender<SessionOffer>,
        ),
        token: CancellationToken,
    ) -> impl Future<Output = Result<(), TakeError>> + Send + use<> {
        let (engine, link, clock) = (
            self.engine.clone(),
            Arc::clone(&self.link),
            Arc::clone(&self.clock),
        );
        let fingerprint = self.link.fingerprint().to_owned();
        async move {
            let mut backoff = Backoff::new(ROUND_FIRST, ROUND_MOST);
            loop {
                let now = gpus.borrow_and_update().clone();
                let Some(container_instance) = registrar.register(&now, &token).await else {
                    return Ok(());
                };
                let begun = clock.since_boot();
                let polling = Polling {
                    link: Arc::clone(&link) as _,
                    container_instance,
                    agent_run: uuid::Uuid::new_v4(),
                    fingerprint: fingerprint.clone(),
                    agent_version: VERSION.to_owned(),
                    sessions: sessions.clone(),
                };
                serve_instance(&engine, &link, polling, (&registrar, gpus.clone()), &token).await?;
                if clock.since_boot().saturating_sub(begun) > ROUND_MOST {
                    backoff.reset();
                }
                tokio::select! {
                    () = token.cancelled() => return Ok(()),
                    () = clock.sleep(backoff.next(clock.as_ref())) => {}
                }
            }
        }
    }
}

/// Polls for one container instance until the control plane doesn't know it any more, or `token` is cancelled.
async fn serve_instance(
    engine: &EngineHandle,
    link: &Link,
    polling: Polling,
    (registrar, gpus): (&Registrar, watch::Receiver<Vec<crate::model::Gpu>>),
    token: &CancellationToken,
) -> Result<(), TakeError> {
    // If it is not durable, or that can't be written down, the next start does it again, which is harmless.
    if link.begins()
        && engine.begin_again().await?
        && let Err(error) = link.has_begun().await
    {
        tracing::warn!(%error, "the assignments will be counted from the beginning again at the next start");
    }
    let round = token.child_token();
    let poll = async {
        let polled = engine.poll(polling, round.clone()).await;
        round.cancel();
        polled
    };
    let watch = async {
        tokio::select! {
            () = round.cancelled() => {}
            () = link.until_inactive() => round.cancel(),
        }
    };
    let (polled, Ok(()), ()) = tokio::join!(poll, registrar.follow(gpus, round.clone()), watch);
    polled
}

/// Waits for the order to end, and then does so in order.
async fn end(
    engine: EngineHandle,
    polling: CancellationToken,
    all: CancellationToken,
) -> Result<impl Future<Output = Result<(), std::convert::Infallible>> + Send, AppError> {
    let listen = |kind| {
        signal(kind).map_err(|source| AppError::Io {
            path: PathBuf::from("signals"),
            source,
        })
    };
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = all.cancelled() => return Ok(()),
        }
        notify::stopping();
        tracing::info!("told to end: handing in what is left to report");
        polling.cancel();
        if !engine.flush(FLUSH).await {
            tracing::warn!("reports are left; they are stored, and handed in at the next start");
        }
        all.cancel();
        Ok(())
    })
}

/// Whose containers this agent tends. On a disk that takes no writes that need not be written down yet: the machine becomes
/// another node only after it was.
fn owner(files: &IdentityFiles, identity: &Identity) -> Result<InstanceId, IdentityError> {
    if let Some(owner) = files.find_owner()? {
        return Ok(owner);
    }
    if let Err(error) = files.owner(&identity.instance_id) {
        tracing::warn!(%error, "whose the containers are can't be written down; it is tried again at the next start");
    }
    Ok(identity.instance_id.clone())
}

fn check_cluster(config: &Config, identity: &Identity) -> Result<(), AppError> {
    // The default is what an operator gets who says nothing, so it contradicts nothing.
    if config.cluster == "default" || config.cluster == identity.cluster {
        return Ok(());
    }
    Err(AppError::Cluster {
        configured: config.cluster.clone(),
        registered: identity.cluster.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Trust;

    #[test]
    fn a_disk_that_takes_no_writes_keeps_no_agent_from_its_containers() {
        let dir = tempfile::tempdir().unwrap();
        let files = IdentityFiles::new(dir.path());
        let identity = Identity::sample("https://a", &Trust::System);
        // What is written beside its place before it is moved there can't be.
        let in_the_way = dir.path().join("owner.new");
        std::fs::create_dir(&in_the_way).unwrap();
        assert_eq!(owner(&files, &identity).unwrap(), identity.instance_id);
        files.owner(&identity.instance_id).unwrap_err();
        std::fs::remove_dir(&in_the_way).unwrap();
        assert_eq!(owner(&files, &identity).unwrap(), identity.instance_id);
        assert!(dir.path().join("owner").exists());
        // One that is there and can't be read is another matter: it may name another.
        std::fs::write(dir.path().join("owner"), "").unwrap();
        owner(&files, &identity).unwrap_err();
    }
}
