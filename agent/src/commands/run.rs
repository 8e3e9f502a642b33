//! `longshore-agent run`.

use super::{Failure, logging, memory};
use crate::app;
use crate::blocking;
use crate::config::{Config, Warning};

/// Two workers: one may be held up by TLS while the other goes on; more only cost memory. What waits for files or for the
/// kernel has threads of its own ([`blocking`]).
const WORKERS: usize = 2;
/// An idle thread's stack is memory that an edge box can use better.
const THREAD_KEEP_ALIVE: std::time::Duration = std::time::Duration::from_secs(5);

pub(super) fn run(config: Config, warnings: Vec<Warning>) -> Result<(), Failure> {
    memory::economize();
    logging::begin(&config.log_filter);
    for warning in &warnings {
        tracing::warn!(setting = warning.name, text = warning.text, "look at a setting");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(blocking::THREADS)
        .thread_keep_alive(THREAD_KEEP_ALIVE)
        .enable_all()
        .build()
        .map_err(Failure::Output)?;
    let ended = runtime.block_on(app::run(config, warnings));
    // A blocking call that hangs in the kernel must not hold up the end, good or bad: dropping a runtime waits for it.
    runtime.shutdown_background();
    Ok(ended?)
}
