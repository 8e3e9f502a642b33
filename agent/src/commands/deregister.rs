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
    // What goes on running is its next registration's. It is written first: once the control plane has let the node go, only
    // what removes files is left to be done, for which a full disk has room.
    files.owner(&instance)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Trust;
    use crate::link::{Identity, NodeKey};

    #[test]
    fn whose_the_containers_are_is_written_down_before_the_node_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let files = IdentityFiles::new(dir.path());
        files.store_first_key(&NodeKey::generate().unwrap()).unwrap();
        files.promote_next_key().unwrap();
        let nobody = Identity::sample("http://127.0.0.1:1", &Trust::System);
        files.store(&nobody).unwrap();
        let data_dir = dir.path().to_str().unwrap().to_owned();
        let config = Config::parse(None, [("LONGSHORE_DATA_DIR".to_owned(), data_dir)].into_iter())
            .unwrap()
            .0;
        // What is written beside its place before it is moved there can't be.
        let in_the_way = dir.path().join("owner.new");
        std::fs::create_dir(&in_the_way).unwrap();
        let failure = run(&config, false).unwrap_err();
        assert!(matches!(failure, Failure::Identity(_)), "{failure}");
        std::fs::remove_dir(&in_the_way).unwrap();
        let failure = run(&config, false).unwrap_err();
        assert!(matches!(failure, Failure::Link(_)), "{failure}");
        assert!(dir.path().join("owner").exists() && files.find().unwrap().is_some());
    }
}
