//! The contract of runtimes, on containerd with each shim.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use longshore_agent::model::ResolvedTask;
use longshore_agent::runtime::{CreateContainer, Runtime};
use longshore_tests::binaries;

use crate::contract::{Script, Subject, contract};
use crate::daemon::Daemon;
use crate::stage::{Stage, catches_sigterm, container, eventually};

struct OnContainerd<const LONGSHORE: bool>(Stage);

#[async_trait]
impl<const LONGSHORE: bool> Subject for OnContainerd<LONGSHORE> {
    fn new(scripts: &[Script]) -> Self {
        let shim = match LONGSHORE {
            true => binaries::longshore_shim(),
            false => binaries::STOCK_SHIM.to_owned(),
        };
        let mut stage = Stage::with(Daemon::start(), &[], shim, PathBuf::from("/nonexistent"));
        let containers = scripts.iter().enumerate().map(|(index, script)| {
            let shell = |text: String| ["sh", "-c", &text].map(str::to_owned).to_vec();
            let words = match script {
                Script::Stays => ["sleep", "1000"].map(str::to_owned).to_vec(),
                Script::Ends(code) => shell(format!("exit {code}")),
                Script::Obeys(code) => shell(format!(
                    "trap 'exit {code}' TERM; while true; do sleep 0.05; done"
                )),
                Script::Fails => vec!["/no/such/program".to_owned()],
            };
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            container(&format!("number-{index}"), &words)
        });
        stage.task.containers = containers.collect();
        Self(stage)
    }

    fn runtime(&self) -> &dyn Runtime {
        &self.0.runtime
    }

    fn another(&self) -> Arc<dyn Runtime> {
        Arc::new(self.0.another())
    }

    fn task(&self) -> &ResolvedTask {
        &self.0.task
    }

    fn request(&self, index: u16) -> CreateContainer {
        self.0.request(index)
    }

    async fn until_obedient(&self, _index: u16, pid: u32) {
        eventually("the trap is set", || catches_sigterm(pid)).await;
    }

    async fn end(self) {
        self.0.clear().await;
    }
}

contract!(stock, OnContainerd<false>, tokio::test(flavor = "multi_thread"));
contract!(
    longshore,
    OnContainerd<true>,
    tokio::test(flavor = "multi_thread")
);
