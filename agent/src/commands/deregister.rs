//! `longshore-agent deregister`.

use longshore_protocol::ecs;

use super::{Failure, block_on, note, print};
use crate::app::{self, DataDirLock};
use crate::config::Config;
use crate::link::{ControlLink as _, IdentityFiles, Link, LinkError};

pub(super) fn run(config: &Config, force: bool) -> Result<(), Failure> {
    let files = IdentityFiles::new(&config.data_dir);
    let identity = files.load()?;
    let _lock = DataDirLock::take(&config.data_dir)?;
    let trust = identity.trust();
    let instance = identity.instance_id.clone();
    let link = app::link(config, identity, &trust)?;
    match block_on(leave(&link, force)) {
        Ok(()) => {}
        Err(Failure::Link(LinkError::Identity { message, .. })) => {
            note(&format!(
                "the control plane does not know {instance} ({message}); it is forgotten here"
            ));
        }
        Err(failure) => return Err(failure),
    }
    // What goes on running is its next registration's.
    files.owner(&instance)?;
    files.forget()?;
    print(&format!(
        "{instance} is deregistered; its settings and data in {} are kept\n",
        config.data_dir.display()
    ))
}

/// First the container instance, which is refused while tasks run, then the node.
async fn leave(link: &Link, force: bool) -> Result<(), Failure> {
    if let Some(arn) = link.identity().container_instance {
        let request = ecs::DeregisterContainerInstanceRequest {
            cluster: Some(arn.cluster.clone()),
            container_instance: Some(arn.to_string()),
            force: Some(force),
        };
        match link.deregister_container_instance(request).await {
            Ok(()) => {}
            // Somebody did it already.
            Err(LinkError::Refused { code, message, .. }) if is_gone(&code) => {
                note(&format!("the container instance is gone already: {message}"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(link.deregister_managed_instance().await?)
}

fn is_gone(code: &str) -> bool {
    matches!(code, "InactiveInstanceException" | "ClusterNotFoundException")
}
