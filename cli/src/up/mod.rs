//! `longshore up`: a whole system on this machine, in the foreground.
//!
//! Start order: folder and lock, containerd, control plane, registration by a real activation, agent, `DIR/env`. The
//! end goes the other way: tasks by their full stop sequence (unless they are to be kept), agent, control plane, what
//! tasks left outside of the folder, containerd.
//!
//! Invariants: one `up` a folder. Control plane and agent die with it, however it dies. Everything outside of the
//! folder has a name that comes from the folder, and is gone after a clean end.
//!
//! Limits: Linux, root.

mod children;
mod containerd;
mod error;
mod folder;
mod identity;
mod image;
mod leftovers;
mod link;
mod mounts;
mod names;
mod namespace;
mod preflight;
mod registry;
mod sample;
mod services;
mod shutdown;
mod signals;
mod start;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::UpError;

use crate::api::Client;
use crate::args::Up;
use crate::out;
use crate::progress::Progress;
use containerd::Containerd;
use folder::Folder;
use names::Names;
use namespace::Namespace;
use sample::Sample;
use services::Service;
use signals::Signals;

/// How long the agent and the control plane may take to end. The agent gives its reports 5 s to get away.
const STOP_GRACE: Duration = Duration::from_secs(15);
/// How long containerd may take to answer when everything is to end; a private one may just be starting again.
const CONTAINERD_DEADLINE: Duration = Duration::from_secs(20);
/// How often it is asked.
const PAUSE: Duration = Duration::from_millis(100);

/// The agent's data folder in a folder of `up`.
#[must_use]
pub fn agent_data_dir(folder: &Path) -> PathBuf {
    folder.join("agent")
}

/// What runs so far.
struct System {
    folder: Folder,
    names: Names,
    containerd: Option<Containerd>,
    control_plane: Option<Service>,
    agent: Option<Service>,
    registry: Option<Service>,
    client: Option<Client>,
    cluster: String,
    /// Whether everything came up: only then can tasks be stopped properly.
    ready: bool,
}

/// Starts everything, stays until a signal, and ends everything.
///
/// # Errors
/// [`UpError`]: why it could not start or go on, or what could not be removed at the end.
pub async fn up(options: Up) -> Result<(), UpError> {
    preflight::check_root()?;
    preflight::check_programs(options.containerd_address.is_none(), options.sample)?;
    for program in [services::CONTROL_PLANE, services::AGENT, services::LOG_WRITER] {
        preflight::sibling(program)?;
    }
    let path = options.data_dir.clone().unwrap_or_else(crate::commands::up_dir);
    let mut signals = Signals::listen()?;
    let mut system = System::new(&path)?;
    if let Some(ready_file) = &options.ready_file {
        // One that was killed has left its own.
        folder::remove(ready_file)?;
    }
    let progress = Progress::start();
    let outcome = tokio::select! {
        started = system.start(&options, &progress) => started,
        () = signals.next() => Err(UpError::Interrupted),
    };
    let outcome = match outcome {
        Ok(()) => system.serve(&options, &mut signals, progress).await,
        Err(error) => Err(error),
    };
    let ended = system.stop(&options, &mut signals).await;
    match (outcome, ended) {
        (Err(error), Err(also)) => {
            out::note(format_args!("longshore: {also}"));
            Err(error)
        }
        (outcome, ended) => outcome.and(ended),
    }
}

impl System {
    fn new(path: &Path) -> Result<Self, UpError> {
        let folder = Folder::take(path)?;
        Ok(Self {
            names: folder.names()?,
            folder,
            containerd: None,
            control_plane: None,
            agent: None,
            registry: None,
            client: None,
            cluster: crate::settings::DEFAULT_CLUSTER.to_owned(),
            ready: false,
        })
    }

    /// Runs the sample if it is wanted, then stays until a signal or until something can't be kept running.
    async fn serve(
        &mut self,
        options: &Up,
        signals: &mut Signals,
        progress: Progress,
    ) -> Result<(), UpError> {
        let once = options.sample
            && (std::env::var_os("ONCE").is_some_and(|once| once == "1") || !std::io::stdin().is_terminal());
        let Self {
            client,
            cluster,
            folder,
            control_plane,
            agent,
            registry,
            containerd,
            ..
        } = self;
        let Some(client) = client else { return Ok(()) };
        let show = async {
            let sample = match options.sample {
                true => Some(show_sample(client, cluster, folder, registry, &progress).await?),
                false => None,
            };
            if let (Some(sample), true) = (&sample, once) {
                sample.stop(client, cluster, &progress).await?;
                progress.done("the sample did what it should");
                return Ok(());
            }
            drop(progress);
            let env_file = folder.join(crate::settings::ENV_FILE);
            let lines = sample::lines_to_copy(&env_file, &preflight::own_name(), sample.as_ref());
            out::note(format_args!(
                "\nLongshore runs at {}. Ctrl-C ends it.\n{lines}\n",
                client.settings().ecs.as_str().trim_end_matches('/')
            ));
            std::future::pending().await
        };
        tokio::select! {
            shown = show => shown,
            failure = guard(control_plane) => Err(failure),
            failure = guard(agent) => Err(failure),
            failure = guard_containerd(containerd, folder) => Err(failure),
            () = signals.next() => {
                // The terminal has shown ^C.
                out::note("");
                Ok(())
            }
        }
    }

    /// Ends everything, as far as it runs; goes on after failures and gives the first.
    async fn stop(mut self, options: &Up, signals: &mut Signals) -> Result<(), UpError> {
        let progress = Progress::start();
        let mut failures = Failures::default();
        if let Some(ready_file) = &options.ready_file {
            failures.note(folder::remove(ready_file));
        }
        let namespace = failures.note(self.namespace().await).flatten();
        if self.ready && !options.keep_tasks {
            failures.note(self.stop_tasks(namespace.as_ref(), signals, &progress).await);
        }
        for service in [&mut self.agent, &mut self.control_plane, &mut self.registry]
            .into_iter()
            .flatten()
        {
            progress.say(format!("stopping {}", service.name()));
            service.stop(STOP_GRACE).await;
        }
        drop(progress);
        let cleared = match (self.containerd.take(), namespace) {
            (Some(containerd), Some(namespace)) => match failures.note(namespace.tasks().await) {
                Some(0) => failures.note(self.clear(containerd, namespace).await).is_some(),
                Some(tasks) => {
                    out::note(format_args!(
                        "containers that go on running: {tasks}; the next `longshore up` in {} finds them",
                        self.folder.path().display()
                    ));
                    false
                }
                None => false,
            },
            // Nobody knows what runs there, so nothing may be taken from it.
            (Some(_), None) => false,
            // None was looked for. An earlier `up` may have left tasks.
            (None, _) => !containerd::is_needed(&self.folder),
        };
        if cleared && options.clean {
            failures.note(mounts::remove_below(self.folder.path()).and_then(|()| self.folder.remove()));
        } else if cleared && self.ready {
            out::note(format_args!(
                "Everything has ended. {} stays for the next start.",
                self.folder.path().display()
            ));
        }
        failures.first()
    }

    /// Stops the tasks by their full stop sequence. A containerd that dies meanwhile is started again, since they can't
    /// be stopped without.
    async fn stop_tasks(
        &mut self,
        namespace: Option<&Namespace>,
        signals: &mut Signals,
        progress: &Progress,
    ) -> Result<(), UpError> {
        let Some(client) = &self.client else { return Ok(()) };
        let agent_data_dir = agent_data_dir(self.folder.path());
        let stopped = async {
            let stopped = shutdown::stop_tasks(client, signals, progress).await;
            if let Some(namespace) = namespace {
                progress.say("waiting until nothing is left of the tasks");
                shutdown::wait_for_tear_down(namespace, &agent_data_dir).await;
            }
            stopped
        };
        tokio::select! {
            stopped = stopped => stopped,
            failure = guard_containerd(&mut self.containerd, &self.folder) => Err(failure),
        }
    }

    /// Our namespace, once containerd answers; `None` where there is no containerd yet.
    async fn namespace(&mut self) -> Result<Option<Namespace>, UpError> {
        let Some(containerd) = &mut self.containerd else {
            return Ok(None);
        };
        let (socket, name) = (containerd.socket().to_owned(), &self.names.namespace);
        let answers = async {
            loop {
                if let Ok(namespace) = Namespace::connect(&socket, name).await {
                    return namespace;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let answer = tokio::select! {
            answer = tokio::time::timeout(CONTAINERD_DEADLINE, answers) => answer,
            failure = containerd.guard(&self.folder) => return Err(failure),
        };
        match answer {
            Ok(namespace) => Ok(Some(namespace)),
            // Once more, for its words.
            Err(_) => Namespace::connect(&socket, name).await.map(Some),
        }
    }

    /// No task is left: everything outside of the folder goes.
    async fn clear(&self, containerd: Containerd, namespace: Namespace) -> Result<(), UpError> {
        let mut failures = Failures::default();
        // A private containerd keeps its images in the folder.
        if !containerd.is_private() {
            failures.note(namespace.remove().await);
        }
        let private = containerd.is_private();
        drop(namespace);
        failures.note(containerd.release(&self.folder).await);
        failures.note(leftovers::remove(&self.folder, &self.names, private).await);
        failures.first()
    }
}

/// Puts the image into a local registry and runs the sample from it.
async fn show_sample(
    client: &Client,
    cluster: &str,
    folder: &Folder,
    registry: &mut Option<Service>,
    progress: &Progress,
) -> Result<Sample, UpError> {
    progress.say("making an image of busybox");
    let image = image::build()?;
    let (service, pushed) = registry::start(folder).await?;
    *registry = Some(service);
    let reference = pushed.push(sample::REPOSITORY, sample::TAG, &image).await?;
    progress.done(format_args!(
        "image            {reference} in a registry at {}",
        pushed.address()
    ));
    let socket = agent_data_dir(folder.path()).join(crate::admin::SOCKET);
    Sample::run(client, cluster, &reference, &socket, progress).await
}

async fn guard(service: &mut Option<Service>) -> UpError {
    match service {
        Some(service) => service.guard().await,
        None => std::future::pending().await,
    }
}

async fn guard_containerd(containerd: &mut Option<Containerd>, folder: &Folder) -> UpError {
    match containerd {
        Some(containerd) => containerd.guard(folder).await,
        None => std::future::pending().await,
    }
}

/// What failed while something else had to go on.
#[derive(Default)]
struct Failures(Vec<UpError>);

impl Failures {
    fn note<T>(&mut self, result: Result<T, UpError>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }

    /// The first is what is answered; the others are told.
    fn first(self) -> Result<(), UpError> {
        let mut failures = self.0.into_iter();
        let first = failures.next();
        for failure in failures {
            out::note(format_args!("longshore: {failure}"));
        }
        first.map_or(Ok(()), Err)
    }
}
