//! Members that the agent does not obey yet, refused by name: nothing is ignored in silence.

use longshore_protocol::ecs;

use super::InvalidTask;

/// Whether a member asks for something. An empty list, a `false` and an absent member ask for nothing.
trait Asks {
    fn asks(&self) -> bool;
}

impl<T> Asks for Option<Vec<T>> {
    fn asks(&self) -> bool {
        self.as_ref().is_some_and(|list| !list.is_empty())
    }
}

impl Asks for Option<bool> {
    fn asks(&self) -> bool {
        *self == Some(true)
    }
}

impl Asks for Option<String> {
    fn asks(&self) -> bool {
        self.as_ref().is_some_and(|text| !text.is_empty())
    }
}

impl Asks for Option<i32> {
    fn asks(&self) -> bool {
        self.is_some()
    }
}

macro_rules! asks_when_present {
    ($($shape:ident),+ $(,)?) => {
        $(impl Asks for Option<ecs::$shape> {
            fn asks(&self) -> bool {
                self.is_some()
            }
        })+
    };
}

asks_when_present!(
    DockerVolumeConfiguration,
    EFSVolumeConfiguration,
    EphemeralStorage,
    FSxWindowsFileServerVolumeConfiguration,
    FirelensConfiguration,
    HealthCheck,
    LinuxParameters,
    RepositoryCredentials,
    S3FilesVolumeConfiguration,
);

macro_rules! refuse {
    ($shape:expr, $path:expr, { $($member:ident => $name:literal),+ $(,)? }) => {
        $(if $shape.$member.asks() {
            return Err(InvalidTask::Unsupported { member: format!("{}{}", $path, $name) });
        })+
    };
}

/// Refuses what this agent can't do for a container.
pub(super) fn container(definition: &ecs::ContainerDefinition, path: &str) -> Result<(), InvalidTask> {
    refuse!(definition, path, {
        repository_credentials => "repositoryCredentials",
        links => "links",
        volumes_from => "volumesFrom",
        linux_parameters => "linuxParameters",
        secrets => "secrets",
        version_consistency => "versionConsistency",
        hostname => "hostname",
        disable_networking => "disableNetworking",
        dns_servers => "dnsServers",
        dns_search_domains => "dnsSearchDomains",
        extra_hosts => "extraHosts",
        docker_security_options => "dockerSecurityOptions",
        interactive => "interactive",
        pseudo_terminal => "pseudoTerminal",
        health_check => "healthCheck",
        system_controls => "systemControls",
        firelens_configuration => "firelensConfiguration",
        credential_specs => "credentialSpecs",
    });
    if let Some(log) = &definition.log_configuration {
        refuse!(log, path, { secret_options => "logConfiguration.secretOptions" });
    }
    Ok(())
}

/// Refuses what this agent can't do for a port.
pub(super) fn port(mapping: &ecs::PortMapping, path: &str) -> Result<(), InvalidTask> {
    refuse!(mapping, path, { container_port_range => "portMappings.containerPortRange" });
    Ok(())
}

/// Refuses what this agent can't do for a volume.
pub(super) fn volume(volume: &ecs::Volume, path: &str) -> Result<(), InvalidTask> {
    refuse!(volume, path, {
        docker_volume_configuration => "dockerVolumeConfiguration",
        efs_volume_configuration => "efsVolumeConfiguration",
        s3files_volume_configuration => "s3filesVolumeConfiguration",
        fsx_windows_file_server_volume_configuration => "fsxWindowsFileServerVolumeConfiguration",
        configured_at_launch => "configuredAtLaunch",
    });
    Ok(())
}

/// Refuses what this agent can't do of a task's overrides.
pub(super) fn overrides(overrides: &ecs::TaskOverride) -> Result<(), InvalidTask> {
    refuse!(overrides, "overrides.", {
        inference_accelerator_overrides => "inferenceAcceleratorOverrides",
        execution_role_arn => "executionRoleArn",
        task_role_arn => "taskRoleArn",
        ephemeral_storage => "ephemeralStorage",
    });
    Ok(())
}
