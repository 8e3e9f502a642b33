//! The contract of runtimes, on the simulated one: what the engine is tested with is what it meets.

use std::sync::Arc;

use async_trait::async_trait;
use longshore_agent::model::{PulledImage, ResolvedTask};
use longshore_agent::runtime::{CreateContainer, Runtime};

use crate::contract::{Script, Subject, container, contract, task};
use crate::runtime::FakeRuntime;
use crate::world::World;

struct Simulated {
    runtime: Arc<FakeRuntime>,
    task: ResolvedTask,
}

#[async_trait]
impl Subject for Simulated {
    fn new(scripts: &[Script]) -> Self {
        let containers = scripts.iter().enumerate().map(|(index, script)| {
            let command = match script {
                Script::Stays => "stubborn".to_owned(),
                Script::Ends(code) => format!("run 0 {code}"),
                Script::Obeys(code) => format!("graceful {code}"),
                Script::Fails => "unstartable".to_owned(),
            };
            let words: Vec<_> = command.split(' ').collect();
            container(&format!("number-{index}"), &words)
        });
        Self {
            runtime: FakeRuntime::new(&Arc::new(World::new(1))),
            task: task(containers.collect()),
        }
    }

    fn runtime(&self) -> &dyn Runtime {
        self.runtime.as_ref()
    }

    fn another(&self) -> Arc<dyn Runtime> {
        Arc::clone(&self.runtime) as _
    }

    fn task(&self) -> &ResolvedTask {
        &self.task
    }

    fn request(&self, index: u16) -> CreateContainer {
        CreateContainer {
            id: self.task.container_id(index),
            task: self.task.clone(),
            image: PulledImage {
                reference: String::new(),
                name: String::new(),
                digest: String::new(),
                chain_id: String::new(),
                config: longshore_agent::model::ImageConfig::default(),
                fallback: None,
            },
            user: String::new(),
            spec: oci_spec::runtime::Spec::default(),
            log_options: None,
        }
    }

    /// It does what it does from its start on.
    async fn until_obedient(&self, _index: u16, _pid: u32) {}

    async fn end(self) {
        assert_eq!(self.runtime.leftovers(), Vec::<String>::new());
    }
}

contract!(fake, Simulated, tokio::test(start_paused = true));
