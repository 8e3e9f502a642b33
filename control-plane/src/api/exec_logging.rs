//! A cluster's `executeCommandConfiguration`: where what is shown in sessions is kept.
//!
//! `NONE`: nowhere. `DEFAULT`: a file on the task's node. `OVERRIDE` with the log group `journald`: the node's journal. All
//! other destinations are AWS's own services, and are refused by name.

use longshore_protocol::ecs;
use longshore_protocol::session::Transcript;

use super::run_task::refuse;
use crate::error::ApiError;

/// The one log group that there is.
const JOURNAL: &str = "journald";

/// That all that a configuration asks for can be had.
pub(super) fn check(configuration: &ecs::ClusterConfiguration) -> Result<(), ApiError> {
    refuse(&[(
        "configuration.managedStorageConfiguration",
        configuration.managed_storage_configuration.is_some(),
    )])?;
    let Some(exec) = &configuration.execute_command_configuration else {
        return Ok(());
    };
    let prefix = "configuration.executeCommandConfiguration";
    refuse_in(prefix, &[("kmsKeyId", exec.kms_key_id.is_some())])?;
    let overrides = exec.logging.as_deref() == Some("OVERRIDE");
    let destination = match &exec.log_configuration {
        None => None,
        Some(logs) => {
            let text = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
            let members = [
                ("s3BucketName", text(&logs.s3_bucket_name)),
                ("s3KeyPrefix", text(&logs.s3_key_prefix)),
                ("s3EncryptionEnabled", logs.s3_encryption_enabled == Some(true)),
                (
                    "cloudWatchEncryptionEnabled",
                    logs.cloud_watch_encryption_enabled == Some(true),
                ),
            ];
            refuse_in(&format!("{prefix}.logConfiguration"), &members)?;
            logs.cloud_watch_log_group_name
                .as_deref()
                .filter(|name| !name.is_empty())
        }
    };
    match (overrides, destination) {
        (true, Some(JOURNAL)) | (false, None) => Ok(()),
        (true, _) => Err(ApiError::invalid(format!(
            "{prefix}.logging OVERRIDE needs logConfiguration.cloudWatchLogGroupName {JOURNAL:?}, the node's journal: no \
             other destination is supported by this control plane."
        ))),
        (false, Some(_)) => Err(ApiError::invalid(format!(
            "{prefix}.logConfiguration is only for logging OVERRIDE."
        ))),
    }
}

fn refuse_in(prefix: &str, members: &[(&str, bool)]) -> Result<(), ApiError> {
    for (name, given) in members {
        refuse(&[(format!("{prefix}.{name}").as_str(), *given)])?;
    }
    Ok(())
}

/// Where sessions in a cluster of this configuration, which was checked, are kept.
pub(super) fn transcript(configuration: Option<&ecs::ClusterConfiguration>) -> Option<Transcript> {
    let exec = configuration?.execute_command_configuration.as_ref()?;
    match exec.logging.as_deref() {
        Some("NONE") => None,
        Some("OVERRIDE") => Some(Transcript::Journald),
        // As ECS has it, where nothing is said.
        _ => Some(Transcript::File),
    }
}
