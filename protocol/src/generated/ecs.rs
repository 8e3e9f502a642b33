//! The shapes of the ECS API (2014-11-13) that Longshore serves.
//!
//! Made by `protocol/generate/generate.py` from the facts of the service model; don't edit.
//! Every member is optional here, as the wire allows; [`Check`] says what the model requires.

use serde::{Deserialize, Serialize};

use crate::check::{self, Check, Path, Violation};

/// The values of `AgentUpdateStatus` in the ECS API, version 2014-11-13.
pub const AGENT_UPDATE_STATUS: &[&str] = &["PENDING", "STAGING", "STAGED", "UPDATING", "UPDATED", "FAILED"];

/// The values of `ApplicationProtocol` in the ECS API, version 2014-11-13.
pub const APPLICATION_PROTOCOL: &[&str] = &["http", "http2", "grpc"];

/// The values of `AssignPublicIp` in the ECS API, version 2014-11-13.
pub const ASSIGN_PUBLIC_IP: &[&str] = &["ENABLED", "DISABLED"];

/// The values of `CPUArchitecture` in the ECS API, version 2014-11-13.
pub const CPU_ARCHITECTURE: &[&str] = &["X86_64", "ARM64"];

/// The values of `ClusterField` in the ECS API, version 2014-11-13.
pub const CLUSTER_FIELD: &[&str] = &["ATTACHMENTS", "CONFIGURATIONS", "SETTINGS", "STATISTICS", "TAGS"];

/// The values of `ClusterSettingName` in the ECS API, version 2014-11-13.
pub const CLUSTER_SETTING_NAME: &[&str] = &["containerInsights"];

/// The values of `Compatibility` in the ECS API, version 2014-11-13.
pub const COMPATIBILITY: &[&str] = &["EC2", "FARGATE", "EXTERNAL", "MANAGED_INSTANCES"];

/// The values of `Connectivity` in the ECS API, version 2014-11-13.
pub const CONNECTIVITY: &[&str] = &["CONNECTED", "DISCONNECTED"];

/// The values of `ContainerCondition` in the ECS API, version 2014-11-13.
pub const CONTAINER_CONDITION: &[&str] = &["START", "COMPLETE", "SUCCESS", "HEALTHY"];

/// The values of `ContainerInstanceField` in the ECS API, version 2014-11-13.
pub const CONTAINER_INSTANCE_FIELD: &[&str] = &["TAGS", "CONTAINER_INSTANCE_HEALTH"];

/// The values of `ContainerInstanceStatus` in the ECS API, version 2014-11-13.
pub const CONTAINER_INSTANCE_STATUS: &[&str] = &[
    "ACTIVE",
    "DRAINING",
    "REGISTERING",
    "DEREGISTERING",
    "REGISTRATION_FAILED",
];

/// The values of `DesiredStatus` in the ECS API, version 2014-11-13.
pub const DESIRED_STATUS: &[&str] = &["RUNNING", "PENDING", "STOPPED"];

/// The values of `DeviceCgroupPermission` in the ECS API, version 2014-11-13.
pub const DEVICE_CGROUP_PERMISSION: &[&str] = &["read", "write", "mknod"];

/// The values of `EBSResourceType` in the ECS API, version 2014-11-13.
pub const EBS_RESOURCE_TYPE: &[&str] = &["volume"];

/// The values of `EFSAuthorizationConfigIAM` in the ECS API, version 2014-11-13.
pub const EFS_AUTHORIZATION_CONFIG_IAM: &[&str] = &["ENABLED", "DISABLED"];

/// The values of `EFSTransitEncryption` in the ECS API, version 2014-11-13.
pub const EFS_TRANSIT_ENCRYPTION: &[&str] = &["ENABLED", "DISABLED"];

/// The values of `EnvironmentFileType` in the ECS API, version 2014-11-13.
pub const ENVIRONMENT_FILE_TYPE: &[&str] = &["s3"];

/// The values of `ExecuteCommandLogging` in the ECS API, version 2014-11-13.
pub const EXECUTE_COMMAND_LOGGING: &[&str] = &["NONE", "DEFAULT", "OVERRIDE"];

/// The values of `FirelensConfigurationType` in the ECS API, version 2014-11-13.
pub const FIRELENS_CONFIGURATION_TYPE: &[&str] = &["fluentd", "fluentbit"];

/// The values of `HealthStatus` in the ECS API, version 2014-11-13.
pub const HEALTH_STATUS: &[&str] = &["HEALTHY", "UNHEALTHY", "UNKNOWN"];

/// The values of `InstanceHealthCheckState` in the ECS API, version 2014-11-13.
pub const INSTANCE_HEALTH_CHECK_STATE: &[&str] = &["OK", "IMPAIRED", "INSUFFICIENT_DATA", "INITIALIZING"];

/// The values of `InstanceHealthCheckType` in the ECS API, version 2014-11-13.
pub const INSTANCE_HEALTH_CHECK_TYPE: &[&str] = &["CONTAINER_RUNTIME", "ACCELERATED_COMPUTE", "DAEMON"];

/// The values of `IpcMode` in the ECS API, version 2014-11-13.
pub const IPC_MODE: &[&str] = &["host", "task", "none"];

/// The values of `LaunchType` in the ECS API, version 2014-11-13.
pub const LAUNCH_TYPE: &[&str] = &["EC2", "FARGATE", "EXTERNAL", "MANAGED_INSTANCES"];

/// The values of `LogDriver` in the ECS API, version 2014-11-13.
pub const LOG_DRIVER: &[&str] = &[
    "json-file",
    "syslog",
    "journald",
    "gelf",
    "fluentd",
    "awslogs",
    "splunk",
    "awsfirelens",
];

/// The values of `ManagedAgentName` in the ECS API, version 2014-11-13.
pub const MANAGED_AGENT_NAME: &[&str] = &["ExecuteCommandAgent"];

/// The values of `NetworkMode` in the ECS API, version 2014-11-13.
pub const NETWORK_MODE: &[&str] = &["bridge", "host", "awsvpc", "none"];

/// The values of `OSFamily` in the ECS API, version 2014-11-13.
pub const OS_FAMILY: &[&str] = &[
    "WINDOWS_SERVER_2019_FULL",
    "WINDOWS_SERVER_2019_CORE",
    "WINDOWS_SERVER_2016_FULL",
    "WINDOWS_SERVER_2004_CORE",
    "WINDOWS_SERVER_2022_CORE",
    "WINDOWS_SERVER_2022_FULL",
    "WINDOWS_SERVER_2025_CORE",
    "WINDOWS_SERVER_2025_FULL",
    "WINDOWS_SERVER_20H2_CORE",
    "LINUX",
];

/// The values of `PidMode` in the ECS API, version 2014-11-13.
pub const PID_MODE: &[&str] = &["host", "task"];

/// The values of `PlacementConstraintType` in the ECS API, version 2014-11-13.
pub const PLACEMENT_CONSTRAINT_TYPE: &[&str] = &["distinctInstance", "memberOf"];

/// The values of `PlacementStrategyType` in the ECS API, version 2014-11-13.
pub const PLACEMENT_STRATEGY_TYPE: &[&str] = &["random", "spread", "binpack"];

/// The values of `PlatformDeviceType` in the ECS API, version 2014-11-13.
pub const PLATFORM_DEVICE_TYPE: &[&str] = &["GPU"];

/// The values of `PropagateTags` in the ECS API, version 2014-11-13.
pub const PROPAGATE_TAGS: &[&str] = &["TASK_DEFINITION", "SERVICE", "NONE"];

/// The values of `ProxyConfigurationType` in the ECS API, version 2014-11-13.
pub const PROXY_CONFIGURATION_TYPE: &[&str] = &["APPMESH"];

/// The values of `ResourceType` in the ECS API, version 2014-11-13.
pub const RESOURCE_TYPE: &[&str] = &["GPU", "InferenceAccelerator"];

/// The values of `Scope` in the ECS API, version 2014-11-13.
pub const SCOPE: &[&str] = &["task", "shared"];

/// The values of `SortOrder` in the ECS API, version 2014-11-13.
pub const SORT_ORDER: &[&str] = &["ASC", "DESC"];

/// The values of `TargetType` in the ECS API, version 2014-11-13.
pub const TARGET_TYPE: &[&str] = &["container-instance"];

/// The values of `TaskDefinitionFamilyStatus` in the ECS API, version 2014-11-13.
pub const TASK_DEFINITION_FAMILY_STATUS: &[&str] = &["ACTIVE", "INACTIVE", "ALL"];

/// The values of `TaskDefinitionField` in the ECS API, version 2014-11-13.
pub const TASK_DEFINITION_FIELD: &[&str] = &["TAGS"];

/// The values of `TaskDefinitionPlacementConstraintType` in the ECS API, version 2014-11-13.
pub const TASK_DEFINITION_PLACEMENT_CONSTRAINT_TYPE: &[&str] = &["memberOf"];

/// The values of `TaskDefinitionStatus` in the ECS API, version 2014-11-13.
pub const TASK_DEFINITION_STATUS: &[&str] = &["ACTIVE", "INACTIVE", "DELETE_IN_PROGRESS"];

/// The values of `TaskField` in the ECS API, version 2014-11-13.
pub const TASK_FIELD: &[&str] = &["TAGS"];

/// The values of `TaskFilesystemType` in the ECS API, version 2014-11-13.
pub const TASK_FILESYSTEM_TYPE: &[&str] = &["ext3", "ext4", "xfs", "ntfs"];

/// The values of `TaskStopCode` in the ECS API, version 2014-11-13.
pub const TASK_STOP_CODE: &[&str] = &[
    "TaskFailedToStart",
    "EssentialContainerExited",
    "UserInitiated",
    "ServiceSchedulerInitiated",
    "SpotInterruption",
    "TerminationNotice",
];

/// The values of `TransportProtocol` in the ECS API, version 2014-11-13.
pub const TRANSPORT_PROTOCOL: &[&str] = &["tcp", "udp"];

/// The values of `UlimitName` in the ECS API, version 2014-11-13.
pub const ULIMIT_NAME: &[&str] = &[
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// The values of `VersionConsistency` in the ECS API, version 2014-11-13.
pub const VERSION_CONSISTENCY: &[&str] = &["enabled", "disabled"];

/// `Attachment` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// `id`.
    #[serde(rename = "id", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `type`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// `status`.
    #[serde(rename = "status", skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// `details`.
    #[serde(rename = "details", skip_serializing_if = "Option::is_none")]
    pub details: Option<Vec<KeyValuePair>>,
}
impl Check for Attachment {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.details {
            let path = &path.member("details");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `AttachmentStateChange` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttachmentStateChange {
    /// `attachmentArn`; required.
    #[serde(rename = "attachmentArn", skip_serializing_if = "Option::is_none")]
    pub attachment_arn: Option<String>,
    /// `status`; required.
    #[serde(rename = "status", skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}
impl Check for AttachmentStateChange {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.attachment_arn, &path.member("attachmentArn"))?;
        check::present(&self.status, &path.member("status"))?;
        Ok(())
    }
}

/// `Attribute` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attribute {
    /// `name`; required.
    #[serde(rename = "name", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `value`.
    #[serde(rename = "value", skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// `targetType`.
    #[serde(rename = "targetType", skip_serializing_if = "Option::is_none")]
    pub target_type: Option<String>,
    /// `targetId`.
    #[serde(rename = "targetId", skip_serializing_if = "Option::is_none")]
    pub target_id: Option<String>,
}
impl Check for Attribute {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.name, &path.member("name"))?;
        if let Some(value) = &self.target_type {
            let path = &path.member("targetType");
            check::one_of(value, TARGET_TYPE, path)?;
        }
        Ok(())
    }
}

/// `AwsVpcConfiguration` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AwsVpcConfiguration {
    /// `subnets`; required.
    #[serde(rename = "subnets", skip_serializing_if = "Option::is_none")]
    pub subnets: Option<Vec<String>>,
    /// `securityGroups`.
    #[serde(rename = "securityGroups", skip_serializing_if = "Option::is_none")]
    pub security_groups: Option<Vec<String>>,
    /// `assignPublicIp`.
    #[serde(rename = "assignPublicIp", skip_serializing_if = "Option::is_none")]
    pub assign_public_ip: Option<String>,
}
impl Check for AwsVpcConfiguration {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.subnets, &path.member("subnets"))?;
        if let Some(value) = &self.assign_public_ip {
            let path = &path.member("assignPublicIp");
            check::one_of(value, ASSIGN_PUBLIC_IP, path)?;
        }
        Ok(())
    }
}

/// `CapacityProviderStrategyItem` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CapacityProviderStrategyItem {
    /// `capacityProvider`; required.
    #[serde(rename = "capacityProvider", skip_serializing_if = "Option::is_none")]
    pub capacity_provider: Option<String>,
    /// `weight`.
    #[serde(rename = "weight", skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
    /// `base`.
    #[serde(rename = "base", skip_serializing_if = "Option::is_none")]
    pub base: Option<i32>,
}
impl Check for CapacityProviderStrategyItem {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.capacity_provider, &path.member("capacityProvider"))?;
        if let Some(value) = &self.weight {
            let path = &path.member("weight");
            check::range(i64::from(*value), Some(0), Some(1000), path)?;
        }
        if let Some(value) = &self.base {
            let path = &path.member("base");
            check::range(i64::from(*value), Some(0), Some(100000), path)?;
        }
        Ok(())
    }
}

/// `Cluster` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cluster {
    /// `clusterArn`.
    #[serde(rename = "clusterArn", skip_serializing_if = "Option::is_none")]
    pub cluster_arn: Option<String>,
    /// `clusterName`.
    #[serde(rename = "clusterName", skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// `configuration`.
    #[serde(rename = "configuration", skip_serializing_if = "Option::is_none")]
    pub configuration: Option<ClusterConfiguration>,
    /// `status`.
    #[serde(rename = "status", skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// `registeredContainerInstancesCount`.
    #[serde(
        rename = "registeredContainerInstancesCount",
        skip_serializing_if = "Option::is_none"
    )]
    pub registered_container_instances_count: Option<i32>,
    /// `runningTasksCount`.
    #[serde(rename = "runningTasksCount", skip_serializing_if = "Option::is_none")]
    pub running_tasks_count: Option<i32>,
    /// `pendingTasksCount`.
    #[serde(rename = "pendingTasksCount", skip_serializing_if = "Option::is_none")]
    pub pending_tasks_count: Option<i32>,
    /// `activeServicesCount`.
    #[serde(rename = "activeServicesCount", skip_serializing_if = "Option::is_none")]
    pub active_services_count: Option<i32>,
    /// `statistics`.
    #[serde(rename = "statistics", skip_serializing_if = "Option::is_none")]
    pub statistics: Option<Vec<KeyValuePair>>,
    /// `tags`.
    #[serde(rename = "tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
    /// `settings`.
    #[serde(rename = "settings", skip_serializing_if = "Option::is_none")]
    pub settings: Option<Vec<ClusterSetting>>,
    /// `capacityProviders`.
    #[serde(rename = "capacityProviders", skip_serializing_if = "Option::is_none")]
    pub capacity_providers: Option<Vec<String>>,
    /// `defaultCapacityProviderStrategy`.
    #[serde(
        rename = "defaultCapacityProviderStrategy",
        skip_serializing_if = "Option::is_none"
    )]
    pub default_capacity_provider_strategy: Option<Vec<CapacityProviderStrategyItem>>,
    /// `attachments`.
    #[serde(rename = "attachments", skip_serializing_if = "Option::is_none")]
    pub attachments: Option<Vec<Attachment>>,
    /// `attachmentsStatus`.
    #[serde(rename = "attachmentsStatus", skip_serializing_if = "Option::is_none")]
    pub attachments_status: Option<String>,
    /// `serviceConnectDefaults`.
    #[serde(rename = "serviceConnectDefaults", skip_serializing_if = "Option::is_none")]
    pub service_connect_defaults: Option<ClusterServiceConnectDefaults>,
}
impl Check for Cluster {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.configuration {
            let path = &path.member("configuration");
            value.check(path)?;
        }
        if let Some(value) = &self.statistics {
            let path = &path.member("statistics");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.tags {
            let path = &path.member("tags");
            check::length(value.len(), Some(0), Some(50), path)?;
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.settings {
            let path = &path.member("settings");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.default_capacity_provider_strategy {
            let path = &path.member("defaultCapacityProviderStrategy");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.attachments {
            let path = &path.member("attachments");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.service_connect_defaults {
            let path = &path.member("serviceConnectDefaults");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `ClusterConfiguration` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterConfiguration {
    /// `executeCommandConfiguration`.
    #[serde(
        rename = "executeCommandConfiguration",
        skip_serializing_if = "Option::is_none"
    )]
    pub execute_command_configuration: Option<ExecuteCommandConfiguration>,
    /// `managedStorageConfiguration`.
    #[serde(
        rename = "managedStorageConfiguration",
        skip_serializing_if = "Option::is_none"
    )]
    pub managed_storage_configuration: Option<ManagedStorageConfiguration>,
}
impl Check for ClusterConfiguration {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.execute_command_configuration {
            let path = &path.member("executeCommandConfiguration");
            value.check(path)?;
        }
        if let Some(value) = &self.managed_storage_configuration {
            let path = &path.member("managedStorageConfiguration");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `ClusterServiceConnectDefaults` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterServiceConnectDefaults {
    /// `namespace`.
    #[serde(rename = "namespace", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}
impl Check for ClusterServiceConnectDefaults {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `ClusterServiceConnectDefaultsRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterServiceConnectDefaultsRequest {
    /// `namespace`; required.
    #[serde(rename = "namespace", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}
impl Check for ClusterServiceConnectDefaultsRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.namespace, &path.member("namespace"))?;
        Ok(())
    }
}

/// `ClusterSetting` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterSetting {
    /// `name`.
    #[serde(rename = "name", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `value`.
    #[serde(rename = "value", skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}
impl Check for ClusterSetting {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.name {
            let path = &path.member("name");
            check::one_of(value, CLUSTER_SETTING_NAME, path)?;
        }
        Ok(())
    }
}

/// `Container` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// `containerArn`.
    #[serde(rename = "containerArn", skip_serializing_if = "Option::is_none")]
    pub container_arn: Option<String>,
    /// `taskArn`.
    #[serde(rename = "taskArn", skip_serializing_if = "Option::is_none")]
    pub task_arn: Option<String>,
    /// `name`.
    #[serde(rename = "name", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `image`.
    #[serde(rename = "image", skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// `imageDigest`.
    #[serde(rename = "imageDigest", skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<String>,
    /// `runtimeId`.
    #[serde(rename = "runtimeId", skip_serializing_if = "Option::is_none")]
    pub runtime_id: Option<String>,
    /// `lastStatus`.
    #[serde(rename = "lastStatus", skip_serializing_if = "Option::is_none")]
    pub last_status: Option<String>,
    /// `exitCode`.
    #[serde(rename = "exitCode", skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// `reason`.
    #[serde(rename = "reason", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `networkBindings`.
    #[serde(rename = "networkBindings", skip_serializing_if = "Option::is_none")]
    pub network_bindings: Option<Vec<NetworkBinding>>,
    /// `networkInterfaces`.
    #[serde(rename = "networkInterfaces", skip_serializing_if = "Option::is_none")]
    pub network_interfaces: Option<Vec<NetworkInterface>>,
    /// `healthStatus`.
    #[serde(rename = "healthStatus", skip_serializing_if = "Option::is_none")]
    pub health_status: Option<String>,
    /// `managedAgents`.
    #[serde(rename = "managedAgents", skip_serializing_if = "Option::is_none")]
    pub managed_agents: Option<Vec<ManagedAgent>>,
    /// `cpu`.
    #[serde(rename = "cpu", skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// `memory`.
    #[serde(rename = "memory", skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// `memoryReservation`.
    #[serde(rename = "memoryReservation", skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<String>,
    /// `gpuIds`.
    #[serde(rename = "gpuIds", skip_serializing_if = "Option::is_none")]
    pub gpu_ids: Option<Vec<String>>,
}
impl Check for Container {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.network_bindings {
            let path = &path.member("networkBindings");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.network_interfaces {
            let path = &path.member("networkInterfaces");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.health_status {
            let path = &path.member("healthStatus");
            check::one_of(value, HEALTH_STATUS, path)?;
        }
        if let Some(value) = &self.managed_agents {
            let path = &path.member("managedAgents");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `ContainerDefinition` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerDefinition {
    /// `name`.
    #[serde(rename = "name", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `image`.
    #[serde(rename = "image", skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// `repositoryCredentials`.
    #[serde(rename = "repositoryCredentials", skip_serializing_if = "Option::is_none")]
    pub repository_credentials: Option<RepositoryCredentials>,
    /// `cpu`.
    #[serde(rename = "cpu", skip_serializing_if = "Option::is_none")]
    pub cpu: Option<i32>,
    /// `memory`.
    #[serde(rename = "memory", skip_serializing_if = "Option::is_none")]
    pub memory: Option<i32>,
    /// `memoryReservation`.
    #[serde(rename = "memoryReservation", skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<i32>,
    /// `links`.
    #[serde(rename = "links", skip_serializing_if = "Option::is_none")]
    pub links: Option<Vec<String>>,
    /// `portMappings`.
    #[serde(rename = "portMappings", skip_serializing_if = "Option::is_none")]
    pub port_mappings: Option<Vec<PortMapping>>,
    /// `essential`.
    #[serde(rename = "essential", skip_serializing_if = "Option::is_none")]
    pub essential: Option<bool>,
    /// `restartPolicy`.
    #[serde(rename = "restartPolicy", skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<ContainerRestartPolicy>,
    /// `entryPoint`.
    #[serde(rename = "entryPoint", skip_serializing_if = "Option::is_none")]
    pub entry_point: Option<Vec<String>>,
    /// `command`.
    #[serde(rename = "command", skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// `environment`.
    #[serde(rename = "environment", skip_serializing_if = "Option::is_none")]
    pub environment: Option<Vec<KeyValuePair>>,
    /// `environmentFiles`.
    #[serde(rename = "environmentFiles", skip_serializing_if = "Option::is_none")]
    pub environment_files: Option<Vec<EnvironmentFile>>,
    /// `mountPoints`.
    #[serde(rename = "mountPoints", skip_serializing_if = "Option::is_none")]
    pub mount_points: Option<Vec<MountPoint>>,
    /// `volumesFrom`.
    #[serde(rename = "volumesFrom", skip_serializing_if = "Option::is_none")]
    pub volumes_from: Option<Vec<VolumeFrom>>,
    /// `linuxParameters`.
    #[serde(rename = "linuxParameters", skip_serializing_if = "Option::is_none")]
    pub linux_parameters: Option<LinuxParameters>,
    /// `secrets`.
    #[serde(rename = "secrets", skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Vec<Secret>>,
    /// `dependsOn`.
    #[serde(rename = "dependsOn", skip_serializing_if = "Option::is_none")]
    pub depends_on: Option<Vec<ContainerDependency>>,
    /// `startTimeout`.
    #[serde(rename = "startTimeout", skip_serializing_if = "Option::is_none")]
    pub start_timeout: Option<i32>,
    /// `stopTimeout`.
    #[serde(rename = "stopTimeout", skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i32>,
    /// `versionConsistency`.
    #[serde(rename = "versionConsistency", skip_serializing_if = "Option::is_none")]
    pub version_consistency: Option<String>,
    /// `hostname`.
    #[serde(rename = "hostname", skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// `user`.
    #[serde(rename = "user", skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// `workingDirectory`.
    #[serde(rename = "workingDirectory", skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// `disableNetworking`.
    #[serde(rename = "disableNetworking", skip_serializing_if = "Option::is_none")]
    pub disable_networking: Option<bool>,
    /// `privileged`.
    #[serde(rename = "privileged", skip_serializing_if = "Option::is_none")]
    pub privileged: Option<bool>,
    /// `readonlyRootFilesystem`.
    #[serde(rename = "readonlyRootFilesystem", skip_serializing_if = "Option::is_none")]
    pub readonly_root_filesystem: Option<bool>,
    /// `dnsServers`.
    #[serde(rename = "dnsServers", skip_serializing_if = "Option::is_none")]
    pub dns_servers: Option<Vec<String>>,
    /// `dnsSearchDomains`.
    #[serde(rename = "dnsSearchDomains", skip_serializing_if = "Option::is_none")]
    pub dns_search_domains: Option<Vec<String>>,
    /// `extraHosts`.
    #[serde(rename = "extraHosts", skip_serializing_if = "Option::is_none")]
    pub extra_hosts: Option<Vec<HostEntry>>,
    /// `dockerSecurityOptions`.
    #[serde(rename = "dockerSecurityOptions", skip_serializing_if = "Option::is_none")]
    pub docker_security_options: Option<Vec<String>>,
    /// `interactive`.
    #[serde(rename = "interactive", skip_serializing_if = "Option::is_none")]
    pub interactive: Option<bool>,
    /// `pseudoTerminal`.
    #[serde(rename = "pseudoTerminal", skip_serializing_if = "Option::is_none")]
    pub pseudo_terminal: Option<bool>,
    /// `dockerLabels`.
    #[serde(rename = "dockerLabels", skip_serializing_if = "Option::is_none")]
    pub docker_labels: Option<std::collections::BTreeMap<String, String>>,
    /// `ulimits`.
    #[serde(rename = "ulimits", skip_serializing_if = "Option::is_none")]
    pub ulimits: Option<Vec<Ulimit>>,
    /// `logConfiguration`.
    #[serde(rename = "logConfiguration", skip_serializing_if = "Option::is_none")]
    pub log_configuration: Option<LogConfiguration>,
    /// `healthCheck`.
    #[serde(rename = "healthCheck", skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// `systemControls`.
    #[serde(rename = "systemControls", skip_serializing_if = "Option::is_none")]
    pub system_controls: Option<Vec<SystemControl>>,
    /// `resourceRequirements`.
    #[serde(rename = "resourceRequirements", skip_serializing_if = "Option::is_none")]
    pub resource_requirements: Option<Vec<ResourceRequirement>>,
    /// `firelensConfiguration`.
    #[serde(rename = "firelensConfiguration", skip_serializing_if = "Option::is_none")]
    pub firelens_configuration: Option<FirelensConfiguration>,
    /// `credentialSpecs`.
    #[serde(rename = "credentialSpecs", skip_serializing_if = "Option::is_none")]
    pub credential_specs: Option<Vec<String>>,
}
impl Check for ContainerDefinition {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.repository_credentials {
            let path = &path.member("repositoryCredentials");
            value.check(path)?;
        }
        if let Some(value) = &self.port_mappings {
            let path = &path.member("portMappings");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.restart_policy {
            let path = &path.member("restartPolicy");
            value.check(path)?;
        }
        if let Some(value) = &self.environment {
            let path = &path.member("environment");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.environment_files {
            let path = &path.member("environmentFiles");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.mount_points {
            let path = &path.member("mountPoints");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.volumes_from {
            let path = &path.member("volumesFrom");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.linux_parameters {
            let path = &path.member("linuxParameters");
            value.check(path)?;
        }
        if let Some(value) = &self.secrets {
            let path = &path.member("secrets");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.depends_on {
            let path = &path.member("dependsOn");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.version_consistency {
            let path = &path.member("versionConsistency");
            check::one_of(value, VERSION_CONSISTENCY, path)?;
        }
        if let Some(value) = &self.extra_hosts {
            let path = &path.member("extraHosts");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.ulimits {
            let path = &path.member("ulimits");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.log_configuration {
            let path = &path.member("logConfiguration");
            value.check(path)?;
        }
        if let Some(value) = &self.health_check {
            let path = &path.member("healthCheck");
            value.check(path)?;
        }
        if let Some(value) = &self.system_controls {
            let path = &path.member("systemControls");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.resource_requirements {
            let path = &path.member("resourceRequirements");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.firelens_configuration {
            let path = &path.member("firelensConfiguration");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `ContainerDependency` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerDependency {
    /// `containerName`; required.
    #[serde(rename = "containerName", skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// `condition`; required.
    #[serde(rename = "condition", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}
impl Check for ContainerDependency {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.container_name, &path.member("containerName"))?;
        check::present(&self.condition, &path.member("condition"))?;
        if let Some(value) = &self.condition {
            let path = &path.member("condition");
            check::one_of(value, CONTAINER_CONDITION, path)?;
        }
        Ok(())
    }
}

/// `ContainerInstance` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerInstance {
    /// `containerInstanceArn`.
    #[serde(rename = "containerInstanceArn", skip_serializing_if = "Option::is_none")]
    pub container_instance_arn: Option<String>,
    /// `ec2InstanceId`.
    #[serde(rename = "ec2InstanceId", skip_serializing_if = "Option::is_none")]
    pub ec2_instance_id: Option<String>,
    /// `capacityProviderName`.
    #[serde(rename = "capacityProviderName", skip_serializing_if = "Option::is_none")]
    pub capacity_provider_name: Option<String>,
    /// `version`.
    #[serde(rename = "version", skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// `versionInfo`.
    #[serde(rename = "versionInfo", skip_serializing_if = "Option::is_none")]
    pub version_info: Option<VersionInfo>,
    /// `remainingResources`.
    #[serde(rename = "remainingResources", skip_serializing_if = "Option::is_none")]
    pub remaining_resources: Option<Vec<Resource>>,
    /// `registeredResources`.
    #[serde(rename = "registeredResources", skip_serializing_if = "Option::is_none")]
    pub registered_resources: Option<Vec<Resource>>,
    /// `status`.
    #[serde(rename = "status", skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// `statusReason`.
    #[serde(rename = "statusReason", skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// `agentConnected`.
    #[serde(rename = "agentConnected", skip_serializing_if = "Option::is_none")]
    pub agent_connected: Option<bool>,
    /// `runningTasksCount`.
    #[serde(rename = "runningTasksCount", skip_serializing_if = "Option::is_none")]
    pub running_tasks_count: Option<i32>,
    /// `pendingTasksCount`.
    #[serde(rename = "pendingTasksCount", skip_serializing_if = "Option::is_none")]
    pub pending_tasks_count: Option<i32>,
    /// `agentUpdateStatus`.
    #[serde(rename = "agentUpdateStatus", skip_serializing_if = "Option::is_none")]
    pub agent_update_status: Option<String>,
    /// `attributes`.
    #[serde(rename = "attributes", skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Vec<Attribute>>,
    /// `registeredAt`.
    #[serde(rename = "registeredAt", skip_serializing_if = "Option::is_none")]
    pub registered_at: Option<crate::Timestamp>,
    /// `attachments`.
    #[serde(rename = "attachments", skip_serializing_if = "Option::is_none")]
    pub attachments: Option<Vec<Attachment>>,
    /// `tags`.
    #[serde(rename = "tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
    /// `healthStatus`.
    #[serde(rename = "healthStatus", skip_serializing_if = "Option::is_none")]
    pub health_status: Option<ContainerInstanceHealthStatus>,
}
impl Check for ContainerInstance {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.version_info {
            let path = &path.member("versionInfo");
            value.check(path)?;
        }
        if let Some(value) = &self.remaining_resources {
            let path = &path.member("remainingResources");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.registered_resources {
            let path = &path.member("registeredResources");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.agent_update_status {
            let path = &path.member("agentUpdateStatus");
            check::one_of(value, AGENT_UPDATE_STATUS, path)?;
        }
        if let Some(value) = &self.attributes {
            let path = &path.member("attributes");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.attachments {
            let path = &path.member("attachments");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.tags {
            let path = &path.member("tags");
            check::length(value.len(), Some(0), Some(50), path)?;
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.health_status {
            let path = &path.member("healthStatus");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `ContainerInstanceHealthStatus` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerInstanceHealthStatus {
    /// `overallStatus`.
    #[serde(rename = "overallStatus", skip_serializing_if = "Option::is_none")]
    pub overall_status: Option<String>,
    /// `details`.
    #[serde(rename = "details", skip_serializing_if = "Option::is_none")]
    pub details: Option<Vec<InstanceHealthCheckResult>>,
}
impl Check for ContainerInstanceHealthStatus {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.overall_status {
            let path = &path.member("overallStatus");
            check::one_of(value, INSTANCE_HEALTH_CHECK_STATE, path)?;
        }
        if let Some(value) = &self.details {
            let path = &path.member("details");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `ContainerOverride` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerOverride {
    /// `name`.
    #[serde(rename = "name", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `command`.
    #[serde(rename = "command", skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// `environment`.
    #[serde(rename = "environment", skip_serializing_if = "Option::is_none")]
    pub environment: Option<Vec<KeyValuePair>>,
    /// `environmentFiles`.
    #[serde(rename = "environmentFiles", skip_serializing_if = "Option::is_none")]
    pub environment_files: Option<Vec<EnvironmentFile>>,
    /// `cpu`.
    #[serde(rename = "cpu", skip_serializing_if = "Option::is_none")]
    pub cpu: Option<i32>,
    /// `memory`.
    #[serde(rename = "memory", skip_serializing_if = "Option::is_none")]
    pub memory: Option<i32>,
    /// `memoryReservation`.
    #[serde(rename = "memoryReservation", skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<i32>,
    /// `resourceRequirements`.
    #[serde(rename = "resourceRequirements", skip_serializing_if = "Option::is_none")]
    pub resource_requirements: Option<Vec<ResourceRequirement>>,
}
impl Check for ContainerOverride {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.environment {
            let path = &path.member("environment");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.environment_files {
            let path = &path.member("environmentFiles");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.resource_requirements {
            let path = &path.member("resourceRequirements");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `ContainerRestartPolicy` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerRestartPolicy {
    /// `enabled`; required.
    #[serde(rename = "enabled", skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// `ignoredExitCodes`.
    #[serde(rename = "ignoredExitCodes", skip_serializing_if = "Option::is_none")]
    pub ignored_exit_codes: Option<Vec<i32>>,
    /// `restartAttemptPeriod`.
    #[serde(rename = "restartAttemptPeriod", skip_serializing_if = "Option::is_none")]
    pub restart_attempt_period: Option<i32>,
}
impl Check for ContainerRestartPolicy {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.enabled, &path.member("enabled"))?;
        Ok(())
    }
}

/// `ContainerStateChange` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerStateChange {
    /// `containerName`.
    #[serde(rename = "containerName", skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// `imageDigest`.
    #[serde(rename = "imageDigest", skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<String>,
    /// `runtimeId`.
    #[serde(rename = "runtimeId", skip_serializing_if = "Option::is_none")]
    pub runtime_id: Option<String>,
    /// `exitCode`.
    #[serde(rename = "exitCode", skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// `networkBindings`.
    #[serde(rename = "networkBindings", skip_serializing_if = "Option::is_none")]
    pub network_bindings: Option<Vec<NetworkBinding>>,
    /// `reason`.
    #[serde(rename = "reason", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `status`.
    #[serde(rename = "status", skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}
impl Check for ContainerStateChange {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.network_bindings {
            let path = &path.member("networkBindings");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `CreateClusterRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateClusterRequest {
    /// `clusterName`.
    #[serde(rename = "clusterName", skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// `tags`.
    #[serde(rename = "tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
    /// `settings`.
    #[serde(rename = "settings", skip_serializing_if = "Option::is_none")]
    pub settings: Option<Vec<ClusterSetting>>,
    /// `configuration`.
    #[serde(rename = "configuration", skip_serializing_if = "Option::is_none")]
    pub configuration: Option<ClusterConfiguration>,
    /// `capacityProviders`.
    #[serde(rename = "capacityProviders", skip_serializing_if = "Option::is_none")]
    pub capacity_providers: Option<Vec<String>>,
    /// `defaultCapacityProviderStrategy`.
    #[serde(
        rename = "defaultCapacityProviderStrategy",
        skip_serializing_if = "Option::is_none"
    )]
    pub default_capacity_provider_strategy: Option<Vec<CapacityProviderStrategyItem>>,
    /// `serviceConnectDefaults`.
    #[serde(rename = "serviceConnectDefaults", skip_serializing_if = "Option::is_none")]
    pub service_connect_defaults: Option<ClusterServiceConnectDefaultsRequest>,
}
impl Check for CreateClusterRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.tags {
            let path = &path.member("tags");
            check::length(value.len(), Some(0), Some(50), path)?;
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.settings {
            let path = &path.member("settings");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.configuration {
            let path = &path.member("configuration");
            value.check(path)?;
        }
        if let Some(value) = &self.default_capacity_provider_strategy {
            let path = &path.member("defaultCapacityProviderStrategy");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.service_connect_defaults {
            let path = &path.member("serviceConnectDefaults");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `CreateClusterResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateClusterResponse {
    /// `cluster`.
    #[serde(rename = "cluster", skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Cluster>,
}
impl Check for CreateClusterResponse {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.cluster {
            let path = &path.member("cluster");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `DeleteClusterRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeleteClusterRequest {
    /// `cluster`; required.
    #[serde(rename = "cluster", skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
}
impl Check for DeleteClusterRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.cluster, &path.member("cluster"))?;
        Ok(())
    }
}

/// `DeleteClusterResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeleteClusterResponse {
    /// `cluster`.
    #[serde(rename = "cluster", skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Cluster>,
}
impl Check for DeleteClusterResponse {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.cluster {
            let path = &path.member("cluster");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `DeregisterContainerInstanceRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeregisterContainerInstanceRequest {
    /// `cluster`.
    #[serde(rename = "cluster", skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// `containerInstance`; required.
    #[serde(rename = "containerInstance", skip_serializing_if = "Option::is_none")]
    pub container_instance: Option<String>,
    /// `force`.
    #[serde(rename = "force", skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
}
impl Check for DeregisterContainerInstanceRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.container_instance, &path.member("containerInstance"))?;
        Ok(())
    }
}

/// `DeregisterContainerInstanceResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeregisterContainerInstanceResponse {
    /// `containerInstance`.
    #[serde(rename = "containerInstance", skip_serializing_if = "Option::is_none")]
    pub container_instance: Option<ContainerInstance>,
}
impl Check for DeregisterContainerInstanceResponse {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.container_instance {
            let path = &path.member("containerInstance");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `DeregisterTaskDefinitionRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeregisterTaskDefinitionRequest {
    /// `taskDefinition`; required.
    #[serde(rename = "taskDefinition", skip_serializing_if = "Option::is_none")]
    pub task_definition: Option<String>,
}
impl Check for DeregisterTaskDefinitionRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.task_definition, &path.member("taskDefinition"))?;
        Ok(())
    }
}

/// `DeregisterTaskDefinitionResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeregisterTaskDefinitionResponse {
    /// `taskDefinition`.
    #[serde(rename = "taskDefinition", skip_serializing_if = "Option::is_none")]
    pub task_definition: Option<TaskDefinition>,
}
impl Check for DeregisterTaskDefinitionResponse {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.task_definition {
            let path = &path.member("taskDefinition");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `DescribeClustersRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DescribeClustersRequest {
    /// `clusters`.
    #[serde(rename = "clusters", skip_serializing_if = "Option::is_none")]
    pub clusters: Option<Vec<String>>,
    /// `include`.
    #[serde(rename = "include", skip_serializing_if = "Option::is_none")]
    pub include: Option<Vec<String>>,
}
impl Check for DescribeClustersRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.include {
            let path = &path.member("include");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                check::one_of(value, CLUSTER_FIELD, path)?;
            }
        }
        Ok(())
    }
}

/// `DescribeClustersResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DescribeClustersResponse {
    /// `clusters`.
    #[serde(rename = "clusters", skip_serializing_if = "Option::is_none")]
    pub clusters: Option<Vec<Cluster>>,
    /// `failures`.
    #[serde(rename = "failures", skip_serializing_if = "Option::is_none")]
    pub failures: Option<Vec<Failure>>,
}
impl Check for DescribeClustersResponse {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.clusters {
            let path = &path.member("clusters");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.failures {
            let path = &path.member("failures");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `DescribeContainerInstancesRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DescribeContainerInstancesRequest {
    /// `cluster`.
    #[serde(rename = "cluster", skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// `containerInstances`; required.
    #[serde(rename = "containerInstances", skip_serializing_if = "Option::is_none")]
    pub container_instances: Option<Vec<String>>,
    /// `include`.
    #[serde(rename = "include", skip_serializing_if = "Option::is_none")]
    pub include: Option<Vec<String>>,
}
impl Check for DescribeContainerInstancesRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.container_instances, &path.member("containerInstances"))?;
        if let Some(value) = &self.include {
            let path = &path.member("include");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                check::one_of(value, CONTAINER_INSTANCE_FIELD, path)?;
            }
        }
        Ok(())
    }
}

/// `DescribeContainerInstancesResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DescribeContainerInstancesResponse {
    /// `containerInstances`.
    #[serde(rename = "containerInstances", skip_serializing_if = "Option::is_none")]
    pub container_instances: Option<Vec<ContainerInstance>>,
    /// `failures`.
    #[serde(rename = "failures", skip_serializing_if = "Option::is_none")]
    pub failures: Option<Vec<Failure>>,
}
impl Check for DescribeContainerInstancesResponse {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.container_instances {
            let path = &path.member("containerInstances");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.failures {
            let path = &path.member("failures");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `DescribeTaskDefinitionRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DescribeTaskDefinitionRequest {
    /// `taskDefinition`; required.
    #[serde(rename = "taskDefinition", skip_serializing_if = "Option::is_none")]
    pub task_definition: Option<String>,
    /// `include`.
    #[serde(rename = "include", skip_serializing_if = "Option::is_none")]
    pub include: Option<Vec<String>>,
}
impl Check for DescribeTaskDefinitionRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.task_definition, &path.member("taskDefinition"))?;
        if let Some(value) = &self.include {
            let path = &path.member("include");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                check::one_of(value, TASK_DEFINITION_FIELD, path)?;
            }
        }
        Ok(())
    }
}

/// `DescribeTaskDefinitionResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DescribeTaskDefinitionResponse {
    /// `taskDefinition`.
    #[serde(rename = "taskDefinition", skip_serializing_if = "Option::is_none")]
    pub task_definition: Option<TaskDefinition>,
    /// `tags`.
    #[serde(rename = "tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
}
impl Check for DescribeTaskDefinitionResponse {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.task_definition {
            let path = &path.member("taskDefinition");
            value.check(path)?;
        }
        if let Some(value) = &self.tags {
            let path = &path.member("tags");
            check::length(value.len(), Some(0), Some(50), path)?;
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `DescribeTasksRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DescribeTasksRequest {
    /// `cluster`.
    #[serde(rename = "cluster", skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// `tasks`; required.
    #[serde(rename = "tasks", skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<String>>,
    /// `include`.
    #[serde(rename = "include", skip_serializing_if = "Option::is_none")]
    pub include: Option<Vec<String>>,
}
impl Check for DescribeTasksRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.tasks, &path.member("tasks"))?;
        if let Some(value) = &self.include {
            let path = &path.member("include");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                check::one_of(value, TASK_FIELD, path)?;
            }
        }
        Ok(())
    }
}

/// `DescribeTasksResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DescribeTasksResponse {
    /// `tasks`.
    #[serde(rename = "tasks", skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<Task>>,
    /// `failures`.
    #[serde(rename = "failures", skip_serializing_if = "Option::is_none")]
    pub failures: Option<Vec<Failure>>,
}
impl Check for DescribeTasksResponse {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.tasks {
            let path = &path.member("tasks");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.failures {
            let path = &path.member("failures");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `Device` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Device {
    /// `hostPath`; required.
    #[serde(rename = "hostPath", skip_serializing_if = "Option::is_none")]
    pub host_path: Option<String>,
    /// `containerPath`.
    #[serde(rename = "containerPath", skip_serializing_if = "Option::is_none")]
    pub container_path: Option<String>,
    /// `permissions`.
    #[serde(rename = "permissions", skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
}
impl Check for Device {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.host_path, &path.member("hostPath"))?;
        if let Some(value) = &self.permissions {
            let path = &path.member("permissions");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                check::one_of(value, DEVICE_CGROUP_PERMISSION, path)?;
            }
        }
        Ok(())
    }
}

/// `DiscoverPollEndpointRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiscoverPollEndpointRequest {
    /// `containerInstance`.
    #[serde(rename = "containerInstance", skip_serializing_if = "Option::is_none")]
    pub container_instance: Option<String>,
    /// `cluster`.
    #[serde(rename = "cluster", skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// `zoneId`.
    #[serde(rename = "zoneId", skip_serializing_if = "Option::is_none")]
    pub zone_id: Option<String>,
}
impl Check for DiscoverPollEndpointRequest {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `DiscoverPollEndpointResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiscoverPollEndpointResponse {
    /// `endpoint`.
    #[serde(rename = "endpoint", skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// `telemetryEndpoint`.
    #[serde(rename = "telemetryEndpoint", skip_serializing_if = "Option::is_none")]
    pub telemetry_endpoint: Option<String>,
    /// `serviceConnectEndpoint`.
    #[serde(rename = "serviceConnectEndpoint", skip_serializing_if = "Option::is_none")]
    pub service_connect_endpoint: Option<String>,
}
impl Check for DiscoverPollEndpointResponse {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `DockerVolumeConfiguration` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DockerVolumeConfiguration {
    /// `scope`.
    #[serde(rename = "scope", skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// `autoprovision`.
    #[serde(rename = "autoprovision", skip_serializing_if = "Option::is_none")]
    pub autoprovision: Option<bool>,
    /// `driver`.
    #[serde(rename = "driver", skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// `driverOpts`.
    #[serde(rename = "driverOpts", skip_serializing_if = "Option::is_none")]
    pub driver_opts: Option<std::collections::BTreeMap<String, String>>,
    /// `labels`.
    #[serde(rename = "labels", skip_serializing_if = "Option::is_none")]
    pub labels: Option<std::collections::BTreeMap<String, String>>,
}
impl Check for DockerVolumeConfiguration {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.scope {
            let path = &path.member("scope");
            check::one_of(value, SCOPE, path)?;
        }
        Ok(())
    }
}

/// `EBSTagSpecification` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EBSTagSpecification {
    /// `resourceType`; required.
    #[serde(rename = "resourceType", skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// `tags`.
    #[serde(rename = "tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
    /// `propagateTags`.
    #[serde(rename = "propagateTags", skip_serializing_if = "Option::is_none")]
    pub propagate_tags: Option<String>,
}
impl Check for EBSTagSpecification {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.resource_type, &path.member("resourceType"))?;
        if let Some(value) = &self.resource_type {
            let path = &path.member("resourceType");
            check::one_of(value, EBS_RESOURCE_TYPE, path)?;
        }
        if let Some(value) = &self.tags {
            let path = &path.member("tags");
            check::length(value.len(), Some(0), Some(50), path)?;
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.propagate_tags {
            let path = &path.member("propagateTags");
            check::one_of(value, PROPAGATE_TAGS, path)?;
        }
        Ok(())
    }
}

/// `EFSAuthorizationConfig` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EFSAuthorizationConfig {
    /// `accessPointId`.
    #[serde(rename = "accessPointId", skip_serializing_if = "Option::is_none")]
    pub access_point_id: Option<String>,
    /// `iam`.
    #[serde(rename = "iam", skip_serializing_if = "Option::is_none")]
    pub iam: Option<String>,
}
impl Check for EFSAuthorizationConfig {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.iam {
            let path = &path.member("iam");
            check::one_of(value, EFS_AUTHORIZATION_CONFIG_IAM, path)?;
        }
        Ok(())
    }
}

/// `EFSVolumeConfiguration` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EFSVolumeConfiguration {
    /// `fileSystemId`; required.
    #[serde(rename = "fileSystemId", skip_serializing_if = "Option::is_none")]
    pub file_system_id: Option<String>,
    /// `rootDirectory`.
    #[serde(rename = "rootDirectory", skip_serializing_if = "Option::is_none")]
    pub root_directory: Option<String>,
    /// `transitEncryption`.
    #[serde(rename = "transitEncryption", skip_serializing_if = "Option::is_none")]
    pub transit_encryption: Option<String>,
    /// `transitEncryptionPort`.
    #[serde(rename = "transitEncryptionPort", skip_serializing_if = "Option::is_none")]
    pub transit_encryption_port: Option<i32>,
    /// `authorizationConfig`.
    #[serde(rename = "authorizationConfig", skip_serializing_if = "Option::is_none")]
    pub authorization_config: Option<EFSAuthorizationConfig>,
}
impl Check for EFSVolumeConfiguration {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.file_system_id, &path.member("fileSystemId"))?;
        if let Some(value) = &self.transit_encryption {
            let path = &path.member("transitEncryption");
            check::one_of(value, EFS_TRANSIT_ENCRYPTION, path)?;
        }
        if let Some(value) = &self.authorization_config {
            let path = &path.member("authorizationConfig");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `EnvironmentFile` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EnvironmentFile {
    /// `value`; required.
    #[serde(rename = "value", skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// `type`; required.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
}
impl Check for EnvironmentFile {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.value, &path.member("value"))?;
        check::present(&self.r#type, &path.member("type"))?;
        if let Some(value) = &self.r#type {
            let path = &path.member("type");
            check::one_of(value, ENVIRONMENT_FILE_TYPE, path)?;
        }
        Ok(())
    }
}

/// `EphemeralStorage` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EphemeralStorage {
    /// `sizeInGiB`; required.
    #[serde(rename = "sizeInGiB", skip_serializing_if = "Option::is_none")]
    pub size_in_gi_b: Option<i32>,
}
impl Check for EphemeralStorage {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.size_in_gi_b, &path.member("sizeInGiB"))?;
        Ok(())
    }
}

/// `ExecuteCommandConfiguration` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecuteCommandConfiguration {
    /// `kmsKeyId`.
    #[serde(rename = "kmsKeyId", skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    /// `logging`.
    #[serde(rename = "logging", skip_serializing_if = "Option::is_none")]
    pub logging: Option<String>,
    /// `logConfiguration`.
    #[serde(rename = "logConfiguration", skip_serializing_if = "Option::is_none")]
    pub log_configuration: Option<ExecuteCommandLogConfiguration>,
}
impl Check for ExecuteCommandConfiguration {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.logging {
            let path = &path.member("logging");
            check::one_of(value, EXECUTE_COMMAND_LOGGING, path)?;
        }
        if let Some(value) = &self.log_configuration {
            let path = &path.member("logConfiguration");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `ExecuteCommandLogConfiguration` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecuteCommandLogConfiguration {
    /// `cloudWatchLogGroupName`.
    #[serde(rename = "cloudWatchLogGroupName", skip_serializing_if = "Option::is_none")]
    pub cloud_watch_log_group_name: Option<String>,
    /// `cloudWatchEncryptionEnabled`.
    #[serde(
        rename = "cloudWatchEncryptionEnabled",
        skip_serializing_if = "Option::is_none"
    )]
    pub cloud_watch_encryption_enabled: Option<bool>,
    /// `s3BucketName`.
    #[serde(rename = "s3BucketName", skip_serializing_if = "Option::is_none")]
    pub s3_bucket_name: Option<String>,
    /// `s3EncryptionEnabled`.
    #[serde(rename = "s3EncryptionEnabled", skip_serializing_if = "Option::is_none")]
    pub s3_encryption_enabled: Option<bool>,
    /// `s3KeyPrefix`.
    #[serde(rename = "s3KeyPrefix", skip_serializing_if = "Option::is_none")]
    pub s3_key_prefix: Option<String>,
}
impl Check for ExecuteCommandLogConfiguration {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `ExecuteCommandRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecuteCommandRequest {
    /// `cluster`.
    #[serde(rename = "cluster", skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// `container`.
    #[serde(rename = "container", skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// `command`; required.
    #[serde(rename = "command", skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// `interactive`; required.
    #[serde(rename = "interactive", skip_serializing_if = "Option::is_none")]
    pub interactive: Option<bool>,
    /// `task`; required.
    #[serde(rename = "task", skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
}
impl Check for ExecuteCommandRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.command, &path.member("command"))?;
        check::present(&self.interactive, &path.member("interactive"))?;
        check::present(&self.task, &path.member("task"))?;
        Ok(())
    }
}

/// `ExecuteCommandResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecuteCommandResponse {
    /// `clusterArn`.
    #[serde(rename = "clusterArn", skip_serializing_if = "Option::is_none")]
    pub cluster_arn: Option<String>,
    /// `containerArn`.
    #[serde(rename = "containerArn", skip_serializing_if = "Option::is_none")]
    pub container_arn: Option<String>,
    /// `containerName`.
    #[serde(rename = "containerName", skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// `interactive`.
    #[serde(rename = "interactive", skip_serializing_if = "Option::is_none")]
    pub interactive: Option<bool>,
    /// `session`.
    #[serde(rename = "session", skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
    /// `taskArn`.
    #[serde(rename = "taskArn", skip_serializing_if = "Option::is_none")]
    pub task_arn: Option<String>,
}
impl Check for ExecuteCommandResponse {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.session {
            let path = &path.member("session");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `FSxWindowsFileServerAuthorizationConfig` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FSxWindowsFileServerAuthorizationConfig {
    /// `credentialsParameter`; required.
    #[serde(rename = "credentialsParameter", skip_serializing_if = "Option::is_none")]
    pub credentials_parameter: Option<String>,
    /// `domain`; required.
    #[serde(rename = "domain", skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
}
impl Check for FSxWindowsFileServerAuthorizationConfig {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.credentials_parameter, &path.member("credentialsParameter"))?;
        check::present(&self.domain, &path.member("domain"))?;
        Ok(())
    }
}

/// `FSxWindowsFileServerVolumeConfiguration` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FSxWindowsFileServerVolumeConfiguration {
    /// `fileSystemId`; required.
    #[serde(rename = "fileSystemId", skip_serializing_if = "Option::is_none")]
    pub file_system_id: Option<String>,
    /// `rootDirectory`; required.
    #[serde(rename = "rootDirectory", skip_serializing_if = "Option::is_none")]
    pub root_directory: Option<String>,
    /// `authorizationConfig`; required.
    #[serde(rename = "authorizationConfig", skip_serializing_if = "Option::is_none")]
    pub authorization_config: Option<FSxWindowsFileServerAuthorizationConfig>,
}
impl Check for FSxWindowsFileServerVolumeConfiguration {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.file_system_id, &path.member("fileSystemId"))?;
        check::present(&self.root_directory, &path.member("rootDirectory"))?;
        check::present(&self.authorization_config, &path.member("authorizationConfig"))?;
        if let Some(value) = &self.authorization_config {
            let path = &path.member("authorizationConfig");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `Failure` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failure {
    /// `arn`.
    #[serde(rename = "arn", skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    /// `reason`.
    #[serde(rename = "reason", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `detail`.
    #[serde(rename = "detail", skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
impl Check for Failure {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `FirelensConfiguration` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FirelensConfiguration {
    /// `type`; required.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// `options`.
    #[serde(rename = "options", skip_serializing_if = "Option::is_none")]
    pub options: Option<std::collections::BTreeMap<String, String>>,
}
impl Check for FirelensConfiguration {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.r#type, &path.member("type"))?;
        if let Some(value) = &self.r#type {
            let path = &path.member("type");
            check::one_of(value, FIRELENS_CONFIGURATION_TYPE, path)?;
        }
        Ok(())
    }
}

/// `HealthCheck` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    /// `command`; required.
    #[serde(rename = "command", skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// `interval`.
    #[serde(rename = "interval", skip_serializing_if = "Option::is_none")]
    pub interval: Option<i32>,
    /// `timeout`.
    #[serde(rename = "timeout", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i32>,
    /// `retries`.
    #[serde(rename = "retries", skip_serializing_if = "Option::is_none")]
    pub retries: Option<i32>,
    /// `startPeriod`.
    #[serde(rename = "startPeriod", skip_serializing_if = "Option::is_none")]
    pub start_period: Option<i32>,
}
impl Check for HealthCheck {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.command, &path.member("command"))?;
        Ok(())
    }
}

/// `HostEntry` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostEntry {
    /// `hostname`; required.
    #[serde(rename = "hostname", skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// `ipAddress`; required.
    #[serde(rename = "ipAddress", skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
}
impl Check for HostEntry {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.hostname, &path.member("hostname"))?;
        check::present(&self.ip_address, &path.member("ipAddress"))?;
        Ok(())
    }
}

/// `HostVolumeProperties` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostVolumeProperties {
    /// `sourcePath`.
    #[serde(rename = "sourcePath", skip_serializing_if = "Option::is_none")]
    pub source_path: Option<String>,
}
impl Check for HostVolumeProperties {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `InferenceAccelerator` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InferenceAccelerator {
    /// `deviceName`; required.
    #[serde(rename = "deviceName", skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
    /// `deviceType`; required.
    #[serde(rename = "deviceType", skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
}
impl Check for InferenceAccelerator {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.device_name, &path.member("deviceName"))?;
        check::present(&self.device_type, &path.member("deviceType"))?;
        Ok(())
    }
}

/// `InferenceAcceleratorOverride` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InferenceAcceleratorOverride {
    /// `deviceName`.
    #[serde(rename = "deviceName", skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
    /// `deviceType`.
    #[serde(rename = "deviceType", skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
}
impl Check for InferenceAcceleratorOverride {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `InstanceHealthCheckResult` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceHealthCheckResult {
    /// `type`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// `status`.
    #[serde(rename = "status", skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// `statusReason`.
    #[serde(rename = "statusReason", skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// `lastUpdated`.
    #[serde(rename = "lastUpdated", skip_serializing_if = "Option::is_none")]
    pub last_updated: Option<crate::Timestamp>,
    /// `lastStatusChange`.
    #[serde(rename = "lastStatusChange", skip_serializing_if = "Option::is_none")]
    pub last_status_change: Option<crate::Timestamp>,
}
impl Check for InstanceHealthCheckResult {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.r#type {
            let path = &path.member("type");
            check::one_of(value, INSTANCE_HEALTH_CHECK_TYPE, path)?;
        }
        if let Some(value) = &self.status {
            let path = &path.member("status");
            check::one_of(value, INSTANCE_HEALTH_CHECK_STATE, path)?;
        }
        Ok(())
    }
}

/// `KernelCapabilities` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KernelCapabilities {
    /// `add`.
    #[serde(rename = "add", skip_serializing_if = "Option::is_none")]
    pub add: Option<Vec<String>>,
    /// `drop`.
    #[serde(rename = "drop", skip_serializing_if = "Option::is_none")]
    pub drop: Option<Vec<String>>,
}
impl Check for KernelCapabilities {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `KeyValuePair` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyValuePair {
    /// `name`.
    #[serde(rename = "name", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `value`.
    #[serde(rename = "value", skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}
impl Check for KeyValuePair {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `LinuxParameters` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinuxParameters {
    /// `capabilities`.
    #[serde(rename = "capabilities", skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<KernelCapabilities>,
    /// `devices`.
    #[serde(rename = "devices", skip_serializing_if = "Option::is_none")]
    pub devices: Option<Vec<Device>>,
    /// `initProcessEnabled`.
    #[serde(rename = "initProcessEnabled", skip_serializing_if = "Option::is_none")]
    pub init_process_enabled: Option<bool>,
    /// `sharedMemorySize`.
    #[serde(rename = "sharedMemorySize", skip_serializing_if = "Option::is_none")]
    pub shared_memory_size: Option<i32>,
    /// `tmpfs`.
    #[serde(rename = "tmpfs", skip_serializing_if = "Option::is_none")]
    pub tmpfs: Option<Vec<Tmpfs>>,
    /// `maxSwap`.
    #[serde(rename = "maxSwap", skip_serializing_if = "Option::is_none")]
    pub max_swap: Option<i32>,
    /// `swappiness`.
    #[serde(rename = "swappiness", skip_serializing_if = "Option::is_none")]
    pub swappiness: Option<i32>,
}
impl Check for LinuxParameters {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.capabilities {
            let path = &path.member("capabilities");
            value.check(path)?;
        }
        if let Some(value) = &self.devices {
            let path = &path.member("devices");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.tmpfs {
            let path = &path.member("tmpfs");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `ListClustersRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListClustersRequest {
    /// `nextToken`.
    #[serde(rename = "nextToken", skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    /// `maxResults`.
    #[serde(rename = "maxResults", skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
}
impl Check for ListClustersRequest {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `ListClustersResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListClustersResponse {
    /// `clusterArns`.
    #[serde(rename = "clusterArns", skip_serializing_if = "Option::is_none")]
    pub cluster_arns: Option<Vec<String>>,
    /// `nextToken`.
    #[serde(rename = "nextToken", skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
impl Check for ListClustersResponse {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `ListContainerInstancesRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListContainerInstancesRequest {
    /// `cluster`.
    #[serde(rename = "cluster", skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// `filter`.
    #[serde(rename = "filter", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// `nextToken`.
    #[serde(rename = "nextToken", skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    /// `maxResults`.
    #[serde(rename = "maxResults", skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    /// `status`.
    #[serde(rename = "status", skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}
impl Check for ListContainerInstancesRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.status {
            let path = &path.member("status");
            check::one_of(value, CONTAINER_INSTANCE_STATUS, path)?;
        }
        Ok(())
    }
}

/// `ListContainerInstancesResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListContainerInstancesResponse {
    /// `containerInstanceArns`.
    #[serde(rename = "containerInstanceArns", skip_serializing_if = "Option::is_none")]
    pub container_instance_arns: Option<Vec<String>>,
    /// `nextToken`.
    #[serde(rename = "nextToken", skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
impl Check for ListContainerInstancesResponse {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `ListTagsForResourceRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListTagsForResourceRequest {
    /// `resourceArn`; required.
    #[serde(rename = "resourceArn", skip_serializing_if = "Option::is_none")]
    pub resource_arn: Option<String>,
}
impl Check for ListTagsForResourceRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.resource_arn, &path.member("resourceArn"))?;
        Ok(())
    }
}

/// `ListTagsForResourceResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListTagsForResourceResponse {
    /// `tags`.
    #[serde(rename = "tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
}
impl Check for ListTagsForResourceResponse {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.tags {
            let path = &path.member("tags");
            check::length(value.len(), Some(0), Some(50), path)?;
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `ListTaskDefinitionFamiliesRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListTaskDefinitionFamiliesRequest {
    /// `familyPrefix`.
    #[serde(rename = "familyPrefix", skip_serializing_if = "Option::is_none")]
    pub family_prefix: Option<String>,
    /// `status`.
    #[serde(rename = "status", skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// `nextToken`.
    #[serde(rename = "nextToken", skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    /// `maxResults`.
    #[serde(rename = "maxResults", skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
}
impl Check for ListTaskDefinitionFamiliesRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.status {
            let path = &path.member("status");
            check::one_of(value, TASK_DEFINITION_FAMILY_STATUS, path)?;
        }
        Ok(())
    }
}

/// `ListTaskDefinitionFamiliesResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListTaskDefinitionFamiliesResponse {
    /// `families`.
    #[serde(rename = "families", skip_serializing_if = "Option::is_none")]
    pub families: Option<Vec<String>>,
    /// `nextToken`.
    #[serde(rename = "nextToken", skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
impl Check for ListTaskDefinitionFamiliesResponse {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `ListTaskDefinitionsRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListTaskDefinitionsRequest {
    /// `familyPrefix`.
    #[serde(rename = "familyPrefix", skip_serializing_if = "Option::is_none")]
    pub family_prefix: Option<String>,
    /// `status`.
    #[serde(rename = "status", skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// `sort`.
    #[serde(rename = "sort", skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// `nextToken`.
    #[serde(rename = "nextToken", skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    /// `maxResults`.
    #[serde(rename = "maxResults", skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
}
impl Check for ListTaskDefinitionsRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.status {
            let path = &path.member("status");
            check::one_of(value, TASK_DEFINITION_STATUS, path)?;
        }
        if let Some(value) = &self.sort {
            let path = &path.member("sort");
            check::one_of(value, SORT_ORDER, path)?;
        }
        Ok(())
    }
}

/// `ListTaskDefinitionsResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListTaskDefinitionsResponse {
    /// `taskDefinitionArns`.
    #[serde(rename = "taskDefinitionArns", skip_serializing_if = "Option::is_none")]
    pub task_definition_arns: Option<Vec<String>>,
    /// `nextToken`.
    #[serde(rename = "nextToken", skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
impl Check for ListTaskDefinitionsResponse {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `ListTasksRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListTasksRequest {
    /// `cluster`.
    #[serde(rename = "cluster", skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// `containerInstance`.
    #[serde(rename = "containerInstance", skip_serializing_if = "Option::is_none")]
    pub container_instance: Option<String>,
    /// `family`.
    #[serde(rename = "family", skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// `nextToken`.
    #[serde(rename = "nextToken", skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    /// `maxResults`.
    #[serde(rename = "maxResults", skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    /// `startedBy`.
    #[serde(rename = "startedBy", skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// `serviceName`.
    #[serde(rename = "serviceName", skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// `desiredStatus`.
    #[serde(rename = "desiredStatus", skip_serializing_if = "Option::is_none")]
    pub desired_status: Option<String>,
    /// `launchType`.
    #[serde(rename = "launchType", skip_serializing_if = "Option::is_none")]
    pub launch_type: Option<String>,
    /// `daemonName`.
    #[serde(rename = "daemonName", skip_serializing_if = "Option::is_none")]
    pub daemon_name: Option<String>,
}
impl Check for ListTasksRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.desired_status {
            let path = &path.member("desiredStatus");
            check::one_of(value, DESIRED_STATUS, path)?;
        }
        if let Some(value) = &self.launch_type {
            let path = &path.member("launchType");
            check::one_of(value, LAUNCH_TYPE, path)?;
        }
        Ok(())
    }
}

/// `ListTasksResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListTasksResponse {
    /// `taskArns`.
    #[serde(rename = "taskArns", skip_serializing_if = "Option::is_none")]
    pub task_arns: Option<Vec<String>>,
    /// `nextToken`.
    #[serde(rename = "nextToken", skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
impl Check for ListTasksResponse {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `LogConfiguration` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfiguration {
    /// `logDriver`; required.
    #[serde(rename = "logDriver", skip_serializing_if = "Option::is_none")]
    pub log_driver: Option<String>,
    /// `options`.
    #[serde(rename = "options", skip_serializing_if = "Option::is_none")]
    pub options: Option<std::collections::BTreeMap<String, String>>,
    /// `secretOptions`.
    #[serde(rename = "secretOptions", skip_serializing_if = "Option::is_none")]
    pub secret_options: Option<Vec<Secret>>,
}
impl Check for LogConfiguration {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.log_driver, &path.member("logDriver"))?;
        if let Some(value) = &self.log_driver {
            let path = &path.member("logDriver");
            check::one_of(value, LOG_DRIVER, path)?;
        }
        if let Some(value) = &self.secret_options {
            let path = &path.member("secretOptions");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `ManagedAgent` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ManagedAgent {
    /// `lastStartedAt`.
    #[serde(rename = "lastStartedAt", skip_serializing_if = "Option::is_none")]
    pub last_started_at: Option<crate::Timestamp>,
    /// `name`.
    #[serde(rename = "name", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `reason`.
    #[serde(rename = "reason", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `lastStatus`.
    #[serde(rename = "lastStatus", skip_serializing_if = "Option::is_none")]
    pub last_status: Option<String>,
}
impl Check for ManagedAgent {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.name {
            let path = &path.member("name");
            check::one_of(value, MANAGED_AGENT_NAME, path)?;
        }
        Ok(())
    }
}

/// `ManagedAgentStateChange` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ManagedAgentStateChange {
    /// `containerName`; required.
    #[serde(rename = "containerName", skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// `managedAgentName`; required.
    #[serde(rename = "managedAgentName", skip_serializing_if = "Option::is_none")]
    pub managed_agent_name: Option<String>,
    /// `status`; required.
    #[serde(rename = "status", skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// `reason`.
    #[serde(rename = "reason", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
impl Check for ManagedAgentStateChange {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.container_name, &path.member("containerName"))?;
        check::present(&self.managed_agent_name, &path.member("managedAgentName"))?;
        if let Some(value) = &self.managed_agent_name {
            let path = &path.member("managedAgentName");
            check::one_of(value, MANAGED_AGENT_NAME, path)?;
        }
        check::present(&self.status, &path.member("status"))?;
        Ok(())
    }
}

/// `ManagedStorageConfiguration` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ManagedStorageConfiguration {
    /// `kmsKeyId`.
    #[serde(rename = "kmsKeyId", skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    /// `fargateEphemeralStorageKmsKeyId`.
    #[serde(
        rename = "fargateEphemeralStorageKmsKeyId",
        skip_serializing_if = "Option::is_none"
    )]
    pub fargate_ephemeral_storage_kms_key_id: Option<String>,
}
impl Check for ManagedStorageConfiguration {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `MountPoint` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MountPoint {
    /// `sourceVolume`.
    #[serde(rename = "sourceVolume", skip_serializing_if = "Option::is_none")]
    pub source_volume: Option<String>,
    /// `containerPath`.
    #[serde(rename = "containerPath", skip_serializing_if = "Option::is_none")]
    pub container_path: Option<String>,
    /// `readOnly`.
    #[serde(rename = "readOnly", skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
}
impl Check for MountPoint {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `NetworkBinding` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkBinding {
    /// `bindIP`.
    #[serde(rename = "bindIP", skip_serializing_if = "Option::is_none")]
    pub bind_ip: Option<String>,
    /// `containerPort`.
    #[serde(rename = "containerPort", skip_serializing_if = "Option::is_none")]
    pub container_port: Option<i32>,
    /// `hostPort`.
    #[serde(rename = "hostPort", skip_serializing_if = "Option::is_none")]
    pub host_port: Option<i32>,
    /// `protocol`.
    #[serde(rename = "protocol", skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// `containerPortRange`.
    #[serde(rename = "containerPortRange", skip_serializing_if = "Option::is_none")]
    pub container_port_range: Option<String>,
    /// `hostPortRange`.
    #[serde(rename = "hostPortRange", skip_serializing_if = "Option::is_none")]
    pub host_port_range: Option<String>,
}
impl Check for NetworkBinding {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.protocol {
            let path = &path.member("protocol");
            check::one_of(value, TRANSPORT_PROTOCOL, path)?;
        }
        Ok(())
    }
}

/// `NetworkConfiguration` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkConfiguration {
    /// `awsvpcConfiguration`.
    #[serde(rename = "awsvpcConfiguration", skip_serializing_if = "Option::is_none")]
    pub awsvpc_configuration: Option<AwsVpcConfiguration>,
}
impl Check for NetworkConfiguration {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.awsvpc_configuration {
            let path = &path.member("awsvpcConfiguration");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `NetworkInterface` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkInterface {
    /// `attachmentId`.
    #[serde(rename = "attachmentId", skip_serializing_if = "Option::is_none")]
    pub attachment_id: Option<String>,
    /// `privateIpv4Address`.
    #[serde(rename = "privateIpv4Address", skip_serializing_if = "Option::is_none")]
    pub private_ipv4_address: Option<String>,
    /// `ipv6Address`.
    #[serde(rename = "ipv6Address", skip_serializing_if = "Option::is_none")]
    pub ipv6_address: Option<String>,
}
impl Check for NetworkInterface {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `PlacementConstraint` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlacementConstraint {
    /// `type`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// `expression`.
    #[serde(rename = "expression", skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
}
impl Check for PlacementConstraint {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.r#type {
            let path = &path.member("type");
            check::one_of(value, PLACEMENT_CONSTRAINT_TYPE, path)?;
        }
        Ok(())
    }
}

/// `PlacementStrategy` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlacementStrategy {
    /// `type`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// `field`.
    #[serde(rename = "field", skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}
impl Check for PlacementStrategy {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.r#type {
            let path = &path.member("type");
            check::one_of(value, PLACEMENT_STRATEGY_TYPE, path)?;
        }
        Ok(())
    }
}

/// `PlatformDevice` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlatformDevice {
    /// `id`; required.
    #[serde(rename = "id", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `type`; required.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
}
impl Check for PlatformDevice {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.id, &path.member("id"))?;
        check::present(&self.r#type, &path.member("type"))?;
        if let Some(value) = &self.r#type {
            let path = &path.member("type");
            check::one_of(value, PLATFORM_DEVICE_TYPE, path)?;
        }
        Ok(())
    }
}

/// `PortMapping` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortMapping {
    /// `containerPort`.
    #[serde(rename = "containerPort", skip_serializing_if = "Option::is_none")]
    pub container_port: Option<i32>,
    /// `hostPort`.
    #[serde(rename = "hostPort", skip_serializing_if = "Option::is_none")]
    pub host_port: Option<i32>,
    /// `protocol`.
    #[serde(rename = "protocol", skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// `name`.
    #[serde(rename = "name", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `appProtocol`.
    #[serde(rename = "appProtocol", skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
    /// `containerPortRange`.
    #[serde(rename = "containerPortRange", skip_serializing_if = "Option::is_none")]
    pub container_port_range: Option<String>,
}
impl Check for PortMapping {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.protocol {
            let path = &path.member("protocol");
            check::one_of(value, TRANSPORT_PROTOCOL, path)?;
        }
        if let Some(value) = &self.app_protocol {
            let path = &path.member("appProtocol");
            check::one_of(value, APPLICATION_PROTOCOL, path)?;
        }
        Ok(())
    }
}

/// `ProxyConfiguration` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProxyConfiguration {
    /// `type`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// `containerName`; required.
    #[serde(rename = "containerName", skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// `properties`.
    #[serde(rename = "properties", skip_serializing_if = "Option::is_none")]
    pub properties: Option<Vec<KeyValuePair>>,
}
impl Check for ProxyConfiguration {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.r#type {
            let path = &path.member("type");
            check::one_of(value, PROXY_CONFIGURATION_TYPE, path)?;
        }
        check::present(&self.container_name, &path.member("containerName"))?;
        if let Some(value) = &self.properties {
            let path = &path.member("properties");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `RegisterContainerInstanceRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegisterContainerInstanceRequest {
    /// `cluster`.
    #[serde(rename = "cluster", skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// `instanceIdentityDocument`.
    #[serde(rename = "instanceIdentityDocument", skip_serializing_if = "Option::is_none")]
    pub instance_identity_document: Option<String>,
    /// `instanceIdentityDocumentSignature`.
    #[serde(
        rename = "instanceIdentityDocumentSignature",
        skip_serializing_if = "Option::is_none"
    )]
    pub instance_identity_document_signature: Option<String>,
    /// `totalResources`.
    #[serde(rename = "totalResources", skip_serializing_if = "Option::is_none")]
    pub total_resources: Option<Vec<Resource>>,
    /// `versionInfo`.
    #[serde(rename = "versionInfo", skip_serializing_if = "Option::is_none")]
    pub version_info: Option<VersionInfo>,
    /// `containerInstanceArn`.
    #[serde(rename = "containerInstanceArn", skip_serializing_if = "Option::is_none")]
    pub container_instance_arn: Option<String>,
    /// `attributes`.
    #[serde(rename = "attributes", skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Vec<Attribute>>,
    /// `platformDevices`.
    #[serde(rename = "platformDevices", skip_serializing_if = "Option::is_none")]
    pub platform_devices: Option<Vec<PlatformDevice>>,
    /// `tags`.
    #[serde(rename = "tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
    /// `clientToken`.
    #[serde(rename = "clientToken", skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
}
impl Check for RegisterContainerInstanceRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.total_resources {
            let path = &path.member("totalResources");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.version_info {
            let path = &path.member("versionInfo");
            value.check(path)?;
        }
        if let Some(value) = &self.attributes {
            let path = &path.member("attributes");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.platform_devices {
            let path = &path.member("platformDevices");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.tags {
            let path = &path.member("tags");
            check::length(value.len(), Some(0), Some(50), path)?;
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `RegisterContainerInstanceResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegisterContainerInstanceResponse {
    /// `containerInstance`.
    #[serde(rename = "containerInstance", skip_serializing_if = "Option::is_none")]
    pub container_instance: Option<ContainerInstance>,
}
impl Check for RegisterContainerInstanceResponse {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.container_instance {
            let path = &path.member("containerInstance");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `RegisterTaskDefinitionRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegisterTaskDefinitionRequest {
    /// `family`; required.
    #[serde(rename = "family", skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// `taskRoleArn`.
    #[serde(rename = "taskRoleArn", skip_serializing_if = "Option::is_none")]
    pub task_role_arn: Option<String>,
    /// `executionRoleArn`.
    #[serde(rename = "executionRoleArn", skip_serializing_if = "Option::is_none")]
    pub execution_role_arn: Option<String>,
    /// `networkMode`.
    #[serde(rename = "networkMode", skip_serializing_if = "Option::is_none")]
    pub network_mode: Option<String>,
    /// `containerDefinitions`; required.
    #[serde(rename = "containerDefinitions", skip_serializing_if = "Option::is_none")]
    pub container_definitions: Option<Vec<ContainerDefinition>>,
    /// `volumes`.
    #[serde(rename = "volumes", skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Vec<Volume>>,
    /// `placementConstraints`.
    #[serde(rename = "placementConstraints", skip_serializing_if = "Option::is_none")]
    pub placement_constraints: Option<Vec<TaskDefinitionPlacementConstraint>>,
    /// `requiresCompatibilities`.
    #[serde(rename = "requiresCompatibilities", skip_serializing_if = "Option::is_none")]
    pub requires_compatibilities: Option<Vec<String>>,
    /// `cpu`.
    #[serde(rename = "cpu", skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// `memory`.
    #[serde(rename = "memory", skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// `tags`.
    #[serde(rename = "tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
    /// `pidMode`.
    #[serde(rename = "pidMode", skip_serializing_if = "Option::is_none")]
    pub pid_mode: Option<String>,
    /// `ipcMode`.
    #[serde(rename = "ipcMode", skip_serializing_if = "Option::is_none")]
    pub ipc_mode: Option<String>,
    /// `proxyConfiguration`.
    #[serde(rename = "proxyConfiguration", skip_serializing_if = "Option::is_none")]
    pub proxy_configuration: Option<ProxyConfiguration>,
    /// `inferenceAccelerators`.
    #[serde(rename = "inferenceAccelerators", skip_serializing_if = "Option::is_none")]
    pub inference_accelerators: Option<Vec<InferenceAccelerator>>,
    /// `ephemeralStorage`.
    #[serde(rename = "ephemeralStorage", skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<EphemeralStorage>,
    /// `runtimePlatform`.
    #[serde(rename = "runtimePlatform", skip_serializing_if = "Option::is_none")]
    pub runtime_platform: Option<RuntimePlatform>,
    /// `enableFaultInjection`.
    #[serde(rename = "enableFaultInjection", skip_serializing_if = "Option::is_none")]
    pub enable_fault_injection: Option<bool>,
}
impl Check for RegisterTaskDefinitionRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.family, &path.member("family"))?;
        if let Some(value) = &self.network_mode {
            let path = &path.member("networkMode");
            check::one_of(value, NETWORK_MODE, path)?;
        }
        check::present(&self.container_definitions, &path.member("containerDefinitions"))?;
        if let Some(value) = &self.container_definitions {
            let path = &path.member("containerDefinitions");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.volumes {
            let path = &path.member("volumes");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.placement_constraints {
            let path = &path.member("placementConstraints");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.requires_compatibilities {
            let path = &path.member("requiresCompatibilities");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                check::one_of(value, COMPATIBILITY, path)?;
            }
        }
        if let Some(value) = &self.tags {
            let path = &path.member("tags");
            check::length(value.len(), Some(0), Some(50), path)?;
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.pid_mode {
            let path = &path.member("pidMode");
            check::one_of(value, PID_MODE, path)?;
        }
        if let Some(value) = &self.ipc_mode {
            let path = &path.member("ipcMode");
            check::one_of(value, IPC_MODE, path)?;
        }
        if let Some(value) = &self.proxy_configuration {
            let path = &path.member("proxyConfiguration");
            value.check(path)?;
        }
        if let Some(value) = &self.inference_accelerators {
            let path = &path.member("inferenceAccelerators");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.ephemeral_storage {
            let path = &path.member("ephemeralStorage");
            value.check(path)?;
        }
        if let Some(value) = &self.runtime_platform {
            let path = &path.member("runtimePlatform");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `RegisterTaskDefinitionResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegisterTaskDefinitionResponse {
    /// `taskDefinition`.
    #[serde(rename = "taskDefinition", skip_serializing_if = "Option::is_none")]
    pub task_definition: Option<TaskDefinition>,
    /// `tags`.
    #[serde(rename = "tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
}
impl Check for RegisterTaskDefinitionResponse {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.task_definition {
            let path = &path.member("taskDefinition");
            value.check(path)?;
        }
        if let Some(value) = &self.tags {
            let path = &path.member("tags");
            check::length(value.len(), Some(0), Some(50), path)?;
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `RepositoryCredentials` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RepositoryCredentials {
    /// `credentialsParameter`; required.
    #[serde(rename = "credentialsParameter", skip_serializing_if = "Option::is_none")]
    pub credentials_parameter: Option<String>,
}
impl Check for RepositoryCredentials {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.credentials_parameter, &path.member("credentialsParameter"))?;
        Ok(())
    }
}

/// `Resource` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resource {
    /// `name`.
    #[serde(rename = "name", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `type`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// `doubleValue`.
    #[serde(rename = "doubleValue", skip_serializing_if = "Option::is_none")]
    pub double_value: Option<f64>,
    /// `longValue`.
    #[serde(rename = "longValue", skip_serializing_if = "Option::is_none")]
    pub long_value: Option<i64>,
    /// `integerValue`.
    #[serde(rename = "integerValue", skip_serializing_if = "Option::is_none")]
    pub integer_value: Option<i32>,
    /// `stringSetValue`.
    #[serde(rename = "stringSetValue", skip_serializing_if = "Option::is_none")]
    pub string_set_value: Option<Vec<String>>,
}
impl Check for Resource {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `ResourceRequirement` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceRequirement {
    /// `value`; required.
    #[serde(rename = "value", skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// `type`; required.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
}
impl Check for ResourceRequirement {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.value, &path.member("value"))?;
        check::present(&self.r#type, &path.member("type"))?;
        if let Some(value) = &self.r#type {
            let path = &path.member("type");
            check::one_of(value, RESOURCE_TYPE, path)?;
        }
        Ok(())
    }
}

/// `RunTaskRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunTaskRequest {
    /// `capacityProviderStrategy`.
    #[serde(rename = "capacityProviderStrategy", skip_serializing_if = "Option::is_none")]
    pub capacity_provider_strategy: Option<Vec<CapacityProviderStrategyItem>>,
    /// `cluster`.
    #[serde(rename = "cluster", skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// `count`.
    #[serde(rename = "count", skip_serializing_if = "Option::is_none")]
    pub count: Option<i32>,
    /// `enableECSManagedTags`.
    #[serde(rename = "enableECSManagedTags", skip_serializing_if = "Option::is_none")]
    pub enable_ecs_managed_tags: Option<bool>,
    /// `enableExecuteCommand`.
    #[serde(rename = "enableExecuteCommand", skip_serializing_if = "Option::is_none")]
    pub enable_execute_command: Option<bool>,
    /// `group`.
    #[serde(rename = "group", skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// `launchType`.
    #[serde(rename = "launchType", skip_serializing_if = "Option::is_none")]
    pub launch_type: Option<String>,
    /// `networkConfiguration`.
    #[serde(rename = "networkConfiguration", skip_serializing_if = "Option::is_none")]
    pub network_configuration: Option<NetworkConfiguration>,
    /// `overrides`.
    #[serde(rename = "overrides", skip_serializing_if = "Option::is_none")]
    pub overrides: Option<TaskOverride>,
    /// `placementConstraints`.
    #[serde(rename = "placementConstraints", skip_serializing_if = "Option::is_none")]
    pub placement_constraints: Option<Vec<PlacementConstraint>>,
    /// `placementStrategy`.
    #[serde(rename = "placementStrategy", skip_serializing_if = "Option::is_none")]
    pub placement_strategy: Option<Vec<PlacementStrategy>>,
    /// `platformVersion`.
    #[serde(rename = "platformVersion", skip_serializing_if = "Option::is_none")]
    pub platform_version: Option<String>,
    /// `propagateTags`.
    #[serde(rename = "propagateTags", skip_serializing_if = "Option::is_none")]
    pub propagate_tags: Option<String>,
    /// `referenceId`.
    #[serde(rename = "referenceId", skip_serializing_if = "Option::is_none")]
    pub reference_id: Option<String>,
    /// `startedBy`.
    #[serde(rename = "startedBy", skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// `tags`.
    #[serde(rename = "tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
    /// `taskDefinition`; required.
    #[serde(rename = "taskDefinition", skip_serializing_if = "Option::is_none")]
    pub task_definition: Option<String>,
    /// `clientToken`.
    #[serde(rename = "clientToken", skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    /// `volumeConfigurations`.
    #[serde(rename = "volumeConfigurations", skip_serializing_if = "Option::is_none")]
    pub volume_configurations: Option<Vec<TaskVolumeConfiguration>>,
}
impl Check for RunTaskRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.capacity_provider_strategy {
            let path = &path.member("capacityProviderStrategy");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.launch_type {
            let path = &path.member("launchType");
            check::one_of(value, LAUNCH_TYPE, path)?;
        }
        if let Some(value) = &self.network_configuration {
            let path = &path.member("networkConfiguration");
            value.check(path)?;
        }
        if let Some(value) = &self.overrides {
            let path = &path.member("overrides");
            value.check(path)?;
        }
        if let Some(value) = &self.placement_constraints {
            let path = &path.member("placementConstraints");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.placement_strategy {
            let path = &path.member("placementStrategy");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.propagate_tags {
            let path = &path.member("propagateTags");
            check::one_of(value, PROPAGATE_TAGS, path)?;
        }
        if let Some(value) = &self.tags {
            let path = &path.member("tags");
            check::length(value.len(), Some(0), Some(50), path)?;
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        check::present(&self.task_definition, &path.member("taskDefinition"))?;
        if let Some(value) = &self.volume_configurations {
            let path = &path.member("volumeConfigurations");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `RunTaskResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunTaskResponse {
    /// `tasks`.
    #[serde(rename = "tasks", skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<Task>>,
    /// `failures`.
    #[serde(rename = "failures", skip_serializing_if = "Option::is_none")]
    pub failures: Option<Vec<Failure>>,
}
impl Check for RunTaskResponse {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.tasks {
            let path = &path.member("tasks");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.failures {
            let path = &path.member("failures");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `RuntimePlatform` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuntimePlatform {
    /// `cpuArchitecture`.
    #[serde(rename = "cpuArchitecture", skip_serializing_if = "Option::is_none")]
    pub cpu_architecture: Option<String>,
    /// `operatingSystemFamily`.
    #[serde(rename = "operatingSystemFamily", skip_serializing_if = "Option::is_none")]
    pub operating_system_family: Option<String>,
}
impl Check for RuntimePlatform {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.cpu_architecture {
            let path = &path.member("cpuArchitecture");
            check::one_of(value, CPU_ARCHITECTURE, path)?;
        }
        if let Some(value) = &self.operating_system_family {
            let path = &path.member("operatingSystemFamily");
            check::one_of(value, OS_FAMILY, path)?;
        }
        Ok(())
    }
}

/// `S3FilesVolumeConfiguration` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct S3FilesVolumeConfiguration {
    /// `fileSystemArn`; required.
    #[serde(rename = "fileSystemArn", skip_serializing_if = "Option::is_none")]
    pub file_system_arn: Option<String>,
    /// `rootDirectory`.
    #[serde(rename = "rootDirectory", skip_serializing_if = "Option::is_none")]
    pub root_directory: Option<String>,
    /// `transitEncryptionPort`.
    #[serde(rename = "transitEncryptionPort", skip_serializing_if = "Option::is_none")]
    pub transit_encryption_port: Option<i32>,
    /// `accessPointArn`.
    #[serde(rename = "accessPointArn", skip_serializing_if = "Option::is_none")]
    pub access_point_arn: Option<String>,
}
impl Check for S3FilesVolumeConfiguration {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.file_system_arn, &path.member("fileSystemArn"))?;
        Ok(())
    }
}

/// `Secret` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Secret {
    /// `name`; required.
    #[serde(rename = "name", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `valueFrom`; required.
    #[serde(rename = "valueFrom", skip_serializing_if = "Option::is_none")]
    pub value_from: Option<String>,
}
impl Check for Secret {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.name, &path.member("name"))?;
        check::present(&self.value_from, &path.member("valueFrom"))?;
        Ok(())
    }
}

/// `Session` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Session {
    /// `sessionId`.
    #[serde(rename = "sessionId", skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// `streamUrl`.
    #[serde(rename = "streamUrl", skip_serializing_if = "Option::is_none")]
    pub stream_url: Option<String>,
    /// `tokenValue`.
    #[serde(rename = "tokenValue", skip_serializing_if = "Option::is_none")]
    pub token_value: Option<String>,
}
impl Check for Session {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `StartTaskRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StartTaskRequest {
    /// `cluster`.
    #[serde(rename = "cluster", skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// `containerInstances`; required.
    #[serde(rename = "containerInstances", skip_serializing_if = "Option::is_none")]
    pub container_instances: Option<Vec<String>>,
    /// `enableECSManagedTags`.
    #[serde(rename = "enableECSManagedTags", skip_serializing_if = "Option::is_none")]
    pub enable_ecs_managed_tags: Option<bool>,
    /// `enableExecuteCommand`.
    #[serde(rename = "enableExecuteCommand", skip_serializing_if = "Option::is_none")]
    pub enable_execute_command: Option<bool>,
    /// `group`.
    #[serde(rename = "group", skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// `networkConfiguration`.
    #[serde(rename = "networkConfiguration", skip_serializing_if = "Option::is_none")]
    pub network_configuration: Option<NetworkConfiguration>,
    /// `overrides`.
    #[serde(rename = "overrides", skip_serializing_if = "Option::is_none")]
    pub overrides: Option<TaskOverride>,
    /// `propagateTags`.
    #[serde(rename = "propagateTags", skip_serializing_if = "Option::is_none")]
    pub propagate_tags: Option<String>,
    /// `referenceId`.
    #[serde(rename = "referenceId", skip_serializing_if = "Option::is_none")]
    pub reference_id: Option<String>,
    /// `startedBy`.
    #[serde(rename = "startedBy", skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// `tags`.
    #[serde(rename = "tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
    /// `taskDefinition`; required.
    #[serde(rename = "taskDefinition", skip_serializing_if = "Option::is_none")]
    pub task_definition: Option<String>,
    /// `volumeConfigurations`.
    #[serde(rename = "volumeConfigurations", skip_serializing_if = "Option::is_none")]
    pub volume_configurations: Option<Vec<TaskVolumeConfiguration>>,
}
impl Check for StartTaskRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.container_instances, &path.member("containerInstances"))?;
        if let Some(value) = &self.network_configuration {
            let path = &path.member("networkConfiguration");
            value.check(path)?;
        }
        if let Some(value) = &self.overrides {
            let path = &path.member("overrides");
            value.check(path)?;
        }
        if let Some(value) = &self.propagate_tags {
            let path = &path.member("propagateTags");
            check::one_of(value, PROPAGATE_TAGS, path)?;
        }
        if let Some(value) = &self.tags {
            let path = &path.member("tags");
            check::length(value.len(), Some(0), Some(50), path)?;
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        check::present(&self.task_definition, &path.member("taskDefinition"))?;
        if let Some(value) = &self.volume_configurations {
            let path = &path.member("volumeConfigurations");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `StartTaskResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StartTaskResponse {
    /// `tasks`.
    #[serde(rename = "tasks", skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<Task>>,
    /// `failures`.
    #[serde(rename = "failures", skip_serializing_if = "Option::is_none")]
    pub failures: Option<Vec<Failure>>,
}
impl Check for StartTaskResponse {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.tasks {
            let path = &path.member("tasks");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.failures {
            let path = &path.member("failures");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `StopTaskRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StopTaskRequest {
    /// `cluster`.
    #[serde(rename = "cluster", skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// `task`; required.
    #[serde(rename = "task", skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// `reason`.
    #[serde(rename = "reason", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `force`.
    #[serde(rename = "force", skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
}
impl Check for StopTaskRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.task, &path.member("task"))?;
        Ok(())
    }
}

/// `StopTaskResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StopTaskResponse {
    /// `task`.
    #[serde(rename = "task", skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
}
impl Check for StopTaskResponse {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.task {
            let path = &path.member("task");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `SubmitContainerStateChangeRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubmitContainerStateChangeRequest {
    /// `cluster`.
    #[serde(rename = "cluster", skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// `task`.
    #[serde(rename = "task", skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// `containerName`.
    #[serde(rename = "containerName", skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// `runtimeId`.
    #[serde(rename = "runtimeId", skip_serializing_if = "Option::is_none")]
    pub runtime_id: Option<String>,
    /// `status`.
    #[serde(rename = "status", skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// `exitCode`.
    #[serde(rename = "exitCode", skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// `reason`.
    #[serde(rename = "reason", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `networkBindings`.
    #[serde(rename = "networkBindings", skip_serializing_if = "Option::is_none")]
    pub network_bindings: Option<Vec<NetworkBinding>>,
}
impl Check for SubmitContainerStateChangeRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.network_bindings {
            let path = &path.member("networkBindings");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `SubmitContainerStateChangeResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubmitContainerStateChangeResponse {
    /// `acknowledgment`.
    #[serde(rename = "acknowledgment", skip_serializing_if = "Option::is_none")]
    pub acknowledgment: Option<String>,
}
impl Check for SubmitContainerStateChangeResponse {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `SubmitTaskStateChangeRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubmitTaskStateChangeRequest {
    /// `cluster`.
    #[serde(rename = "cluster", skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// `task`.
    #[serde(rename = "task", skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// `status`.
    #[serde(rename = "status", skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// `reason`.
    #[serde(rename = "reason", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `containers`.
    #[serde(rename = "containers", skip_serializing_if = "Option::is_none")]
    pub containers: Option<Vec<ContainerStateChange>>,
    /// `attachments`.
    #[serde(rename = "attachments", skip_serializing_if = "Option::is_none")]
    pub attachments: Option<Vec<AttachmentStateChange>>,
    /// `managedAgents`.
    #[serde(rename = "managedAgents", skip_serializing_if = "Option::is_none")]
    pub managed_agents: Option<Vec<ManagedAgentStateChange>>,
    /// `pullStartedAt`.
    #[serde(rename = "pullStartedAt", skip_serializing_if = "Option::is_none")]
    pub pull_started_at: Option<crate::Timestamp>,
    /// `pullStoppedAt`.
    #[serde(rename = "pullStoppedAt", skip_serializing_if = "Option::is_none")]
    pub pull_stopped_at: Option<crate::Timestamp>,
    /// `executionStoppedAt`.
    #[serde(rename = "executionStoppedAt", skip_serializing_if = "Option::is_none")]
    pub execution_stopped_at: Option<crate::Timestamp>,
}
impl Check for SubmitTaskStateChangeRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.containers {
            let path = &path.member("containers");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.attachments {
            let path = &path.member("attachments");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.managed_agents {
            let path = &path.member("managedAgents");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `SubmitTaskStateChangeResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubmitTaskStateChangeResponse {
    /// `acknowledgment`.
    #[serde(rename = "acknowledgment", skip_serializing_if = "Option::is_none")]
    pub acknowledgment: Option<String>,
}
impl Check for SubmitTaskStateChangeResponse {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `SystemControl` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SystemControl {
    /// `namespace`.
    #[serde(rename = "namespace", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `value`.
    #[serde(rename = "value", skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}
impl Check for SystemControl {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `Tag` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tag {
    /// `key`.
    #[serde(rename = "key", skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `value`.
    #[serde(rename = "value", skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}
impl Check for Tag {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.key {
            let path = &path.member("key");
            check::length(value.chars().count(), Some(1), Some(128), path)?;
        }
        if let Some(value) = &self.value {
            let path = &path.member("value");
            check::length(value.chars().count(), Some(0), Some(256), path)?;
        }
        Ok(())
    }
}

/// `TagResourceRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TagResourceRequest {
    /// `resourceArn`; required.
    #[serde(rename = "resourceArn", skip_serializing_if = "Option::is_none")]
    pub resource_arn: Option<String>,
    /// `tags`; required.
    #[serde(rename = "tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
}
impl Check for TagResourceRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.resource_arn, &path.member("resourceArn"))?;
        check::present(&self.tags, &path.member("tags"))?;
        if let Some(value) = &self.tags {
            let path = &path.member("tags");
            check::length(value.len(), Some(0), Some(50), path)?;
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `TagResourceResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TagResourceResponse {}
impl Check for TagResourceResponse {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `Task` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Task {
    /// `attachments`.
    #[serde(rename = "attachments", skip_serializing_if = "Option::is_none")]
    pub attachments: Option<Vec<Attachment>>,
    /// `attributes`.
    #[serde(rename = "attributes", skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Vec<Attribute>>,
    /// `availabilityZone`.
    #[serde(rename = "availabilityZone", skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    /// `capacityProviderName`.
    #[serde(rename = "capacityProviderName", skip_serializing_if = "Option::is_none")]
    pub capacity_provider_name: Option<String>,
    /// `clusterArn`.
    #[serde(rename = "clusterArn", skip_serializing_if = "Option::is_none")]
    pub cluster_arn: Option<String>,
    /// `connectivity`.
    #[serde(rename = "connectivity", skip_serializing_if = "Option::is_none")]
    pub connectivity: Option<String>,
    /// `connectivityAt`.
    #[serde(rename = "connectivityAt", skip_serializing_if = "Option::is_none")]
    pub connectivity_at: Option<crate::Timestamp>,
    /// `containerInstanceArn`.
    #[serde(rename = "containerInstanceArn", skip_serializing_if = "Option::is_none")]
    pub container_instance_arn: Option<String>,
    /// `containers`.
    #[serde(rename = "containers", skip_serializing_if = "Option::is_none")]
    pub containers: Option<Vec<Container>>,
    /// `cpu`.
    #[serde(rename = "cpu", skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// `createdAt`.
    #[serde(rename = "createdAt", skip_serializing_if = "Option::is_none")]
    pub created_at: Option<crate::Timestamp>,
    /// `desiredStatus`.
    #[serde(rename = "desiredStatus", skip_serializing_if = "Option::is_none")]
    pub desired_status: Option<String>,
    /// `enableExecuteCommand`.
    #[serde(rename = "enableExecuteCommand", skip_serializing_if = "Option::is_none")]
    pub enable_execute_command: Option<bool>,
    /// `executionStoppedAt`.
    #[serde(rename = "executionStoppedAt", skip_serializing_if = "Option::is_none")]
    pub execution_stopped_at: Option<crate::Timestamp>,
    /// `group`.
    #[serde(rename = "group", skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// `healthStatus`.
    #[serde(rename = "healthStatus", skip_serializing_if = "Option::is_none")]
    pub health_status: Option<String>,
    /// `inferenceAccelerators`.
    #[serde(rename = "inferenceAccelerators", skip_serializing_if = "Option::is_none")]
    pub inference_accelerators: Option<Vec<InferenceAccelerator>>,
    /// `lastStatus`.
    #[serde(rename = "lastStatus", skip_serializing_if = "Option::is_none")]
    pub last_status: Option<String>,
    /// `launchType`.
    #[serde(rename = "launchType", skip_serializing_if = "Option::is_none")]
    pub launch_type: Option<String>,
    /// `memory`.
    #[serde(rename = "memory", skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// `overrides`.
    #[serde(rename = "overrides", skip_serializing_if = "Option::is_none")]
    pub overrides: Option<TaskOverride>,
    /// `platformVersion`.
    #[serde(rename = "platformVersion", skip_serializing_if = "Option::is_none")]
    pub platform_version: Option<String>,
    /// `platformFamily`.
    #[serde(rename = "platformFamily", skip_serializing_if = "Option::is_none")]
    pub platform_family: Option<String>,
    /// `pullStartedAt`.
    #[serde(rename = "pullStartedAt", skip_serializing_if = "Option::is_none")]
    pub pull_started_at: Option<crate::Timestamp>,
    /// `pullStoppedAt`.
    #[serde(rename = "pullStoppedAt", skip_serializing_if = "Option::is_none")]
    pub pull_stopped_at: Option<crate::Timestamp>,
    /// `startedAt`.
    #[serde(rename = "startedAt", skip_serializing_if = "Option::is_none")]
    pub started_at: Option<crate::Timestamp>,
    /// `startedBy`.
    #[serde(rename = "startedBy", skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// `stopCode`.
    #[serde(rename = "stopCode", skip_serializing_if = "Option::is_none")]
    pub stop_code: Option<String>,
    /// `stoppedAt`.
    #[serde(rename = "stoppedAt", skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<crate::Timestamp>,
    /// `stoppedReason`.
    #[serde(rename = "stoppedReason", skip_serializing_if = "Option::is_none")]
    pub stopped_reason: Option<String>,
    /// `stoppingAt`.
    #[serde(rename = "stoppingAt", skip_serializing_if = "Option::is_none")]
    pub stopping_at: Option<crate::Timestamp>,
    /// `tags`.
    #[serde(rename = "tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
    /// `taskArn`.
    #[serde(rename = "taskArn", skip_serializing_if = "Option::is_none")]
    pub task_arn: Option<String>,
    /// `taskDefinitionArn`.
    #[serde(rename = "taskDefinitionArn", skip_serializing_if = "Option::is_none")]
    pub task_definition_arn: Option<String>,
    /// `version`.
    #[serde(rename = "version", skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// `ephemeralStorage`.
    #[serde(rename = "ephemeralStorage", skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<EphemeralStorage>,
    /// `fargateEphemeralStorage`.
    #[serde(rename = "fargateEphemeralStorage", skip_serializing_if = "Option::is_none")]
    pub fargate_ephemeral_storage: Option<TaskEphemeralStorage>,
}
impl Check for Task {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.attachments {
            let path = &path.member("attachments");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.attributes {
            let path = &path.member("attributes");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.connectivity {
            let path = &path.member("connectivity");
            check::one_of(value, CONNECTIVITY, path)?;
        }
        if let Some(value) = &self.containers {
            let path = &path.member("containers");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.health_status {
            let path = &path.member("healthStatus");
            check::one_of(value, HEALTH_STATUS, path)?;
        }
        if let Some(value) = &self.inference_accelerators {
            let path = &path.member("inferenceAccelerators");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.launch_type {
            let path = &path.member("launchType");
            check::one_of(value, LAUNCH_TYPE, path)?;
        }
        if let Some(value) = &self.overrides {
            let path = &path.member("overrides");
            value.check(path)?;
        }
        if let Some(value) = &self.stop_code {
            let path = &path.member("stopCode");
            check::one_of(value, TASK_STOP_CODE, path)?;
        }
        if let Some(value) = &self.tags {
            let path = &path.member("tags");
            check::length(value.len(), Some(0), Some(50), path)?;
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.ephemeral_storage {
            let path = &path.member("ephemeralStorage");
            value.check(path)?;
        }
        if let Some(value) = &self.fargate_ephemeral_storage {
            let path = &path.member("fargateEphemeralStorage");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `TaskDefinition` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskDefinition {
    /// `taskDefinitionArn`.
    #[serde(rename = "taskDefinitionArn", skip_serializing_if = "Option::is_none")]
    pub task_definition_arn: Option<String>,
    /// `containerDefinitions`.
    #[serde(rename = "containerDefinitions", skip_serializing_if = "Option::is_none")]
    pub container_definitions: Option<Vec<ContainerDefinition>>,
    /// `family`.
    #[serde(rename = "family", skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// `taskRoleArn`.
    #[serde(rename = "taskRoleArn", skip_serializing_if = "Option::is_none")]
    pub task_role_arn: Option<String>,
    /// `executionRoleArn`.
    #[serde(rename = "executionRoleArn", skip_serializing_if = "Option::is_none")]
    pub execution_role_arn: Option<String>,
    /// `networkMode`.
    #[serde(rename = "networkMode", skip_serializing_if = "Option::is_none")]
    pub network_mode: Option<String>,
    /// `revision`.
    #[serde(rename = "revision", skip_serializing_if = "Option::is_none")]
    pub revision: Option<i32>,
    /// `volumes`.
    #[serde(rename = "volumes", skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Vec<Volume>>,
    /// `status`.
    #[serde(rename = "status", skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// `requiresAttributes`.
    #[serde(rename = "requiresAttributes", skip_serializing_if = "Option::is_none")]
    pub requires_attributes: Option<Vec<Attribute>>,
    /// `placementConstraints`.
    #[serde(rename = "placementConstraints", skip_serializing_if = "Option::is_none")]
    pub placement_constraints: Option<Vec<TaskDefinitionPlacementConstraint>>,
    /// `compatibilities`.
    #[serde(rename = "compatibilities", skip_serializing_if = "Option::is_none")]
    pub compatibilities: Option<Vec<String>>,
    /// `runtimePlatform`.
    #[serde(rename = "runtimePlatform", skip_serializing_if = "Option::is_none")]
    pub runtime_platform: Option<RuntimePlatform>,
    /// `requiresCompatibilities`.
    #[serde(rename = "requiresCompatibilities", skip_serializing_if = "Option::is_none")]
    pub requires_compatibilities: Option<Vec<String>>,
    /// `cpu`.
    #[serde(rename = "cpu", skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// `memory`.
    #[serde(rename = "memory", skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// `inferenceAccelerators`.
    #[serde(rename = "inferenceAccelerators", skip_serializing_if = "Option::is_none")]
    pub inference_accelerators: Option<Vec<InferenceAccelerator>>,
    /// `pidMode`.
    #[serde(rename = "pidMode", skip_serializing_if = "Option::is_none")]
    pub pid_mode: Option<String>,
    /// `ipcMode`.
    #[serde(rename = "ipcMode", skip_serializing_if = "Option::is_none")]
    pub ipc_mode: Option<String>,
    /// `proxyConfiguration`.
    #[serde(rename = "proxyConfiguration", skip_serializing_if = "Option::is_none")]
    pub proxy_configuration: Option<ProxyConfiguration>,
    /// `registeredAt`.
    #[serde(rename = "registeredAt", skip_serializing_if = "Option::is_none")]
    pub registered_at: Option<crate::Timestamp>,
    /// `deregisteredAt`.
    #[serde(rename = "deregisteredAt", skip_serializing_if = "Option::is_none")]
    pub deregistered_at: Option<crate::Timestamp>,
    /// `deleteRequestedAt`.
    #[serde(rename = "deleteRequestedAt", skip_serializing_if = "Option::is_none")]
    pub delete_requested_at: Option<crate::Timestamp>,
    /// `registeredBy`.
    #[serde(rename = "registeredBy", skip_serializing_if = "Option::is_none")]
    pub registered_by: Option<String>,
    /// `ephemeralStorage`.
    #[serde(rename = "ephemeralStorage", skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<EphemeralStorage>,
    /// `enableFaultInjection`.
    #[serde(rename = "enableFaultInjection", skip_serializing_if = "Option::is_none")]
    pub enable_fault_injection: Option<bool>,
}
impl Check for TaskDefinition {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.container_definitions {
            let path = &path.member("containerDefinitions");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.network_mode {
            let path = &path.member("networkMode");
            check::one_of(value, NETWORK_MODE, path)?;
        }
        if let Some(value) = &self.volumes {
            let path = &path.member("volumes");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.status {
            let path = &path.member("status");
            check::one_of(value, TASK_DEFINITION_STATUS, path)?;
        }
        if let Some(value) = &self.requires_attributes {
            let path = &path.member("requiresAttributes");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.placement_constraints {
            let path = &path.member("placementConstraints");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.compatibilities {
            let path = &path.member("compatibilities");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                check::one_of(value, COMPATIBILITY, path)?;
            }
        }
        if let Some(value) = &self.runtime_platform {
            let path = &path.member("runtimePlatform");
            value.check(path)?;
        }
        if let Some(value) = &self.requires_compatibilities {
            let path = &path.member("requiresCompatibilities");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                check::one_of(value, COMPATIBILITY, path)?;
            }
        }
        if let Some(value) = &self.inference_accelerators {
            let path = &path.member("inferenceAccelerators");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.pid_mode {
            let path = &path.member("pidMode");
            check::one_of(value, PID_MODE, path)?;
        }
        if let Some(value) = &self.ipc_mode {
            let path = &path.member("ipcMode");
            check::one_of(value, IPC_MODE, path)?;
        }
        if let Some(value) = &self.proxy_configuration {
            let path = &path.member("proxyConfiguration");
            value.check(path)?;
        }
        if let Some(value) = &self.ephemeral_storage {
            let path = &path.member("ephemeralStorage");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `TaskDefinitionPlacementConstraint` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskDefinitionPlacementConstraint {
    /// `type`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// `expression`.
    #[serde(rename = "expression", skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
}
impl Check for TaskDefinitionPlacementConstraint {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.r#type {
            let path = &path.member("type");
            check::one_of(value, TASK_DEFINITION_PLACEMENT_CONSTRAINT_TYPE, path)?;
        }
        Ok(())
    }
}

/// `TaskEphemeralStorage` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskEphemeralStorage {
    /// `sizeInGiB`.
    #[serde(rename = "sizeInGiB", skip_serializing_if = "Option::is_none")]
    pub size_in_gi_b: Option<i32>,
    /// `kmsKeyId`.
    #[serde(rename = "kmsKeyId", skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
}
impl Check for TaskEphemeralStorage {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `TaskManagedEBSVolumeConfiguration` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskManagedEBSVolumeConfiguration {
    /// `encrypted`.
    #[serde(rename = "encrypted", skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<bool>,
    /// `kmsKeyId`.
    #[serde(rename = "kmsKeyId", skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    /// `volumeType`.
    #[serde(rename = "volumeType", skip_serializing_if = "Option::is_none")]
    pub volume_type: Option<String>,
    /// `sizeInGiB`.
    #[serde(rename = "sizeInGiB", skip_serializing_if = "Option::is_none")]
    pub size_in_gi_b: Option<i32>,
    /// `snapshotId`.
    #[serde(rename = "snapshotId", skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    /// `volumeInitializationRate`.
    #[serde(rename = "volumeInitializationRate", skip_serializing_if = "Option::is_none")]
    pub volume_initialization_rate: Option<i32>,
    /// `iops`.
    #[serde(rename = "iops", skip_serializing_if = "Option::is_none")]
    pub iops: Option<i32>,
    /// `throughput`.
    #[serde(rename = "throughput", skip_serializing_if = "Option::is_none")]
    pub throughput: Option<i32>,
    /// `tagSpecifications`.
    #[serde(rename = "tagSpecifications", skip_serializing_if = "Option::is_none")]
    pub tag_specifications: Option<Vec<EBSTagSpecification>>,
    /// `roleArn`; required.
    #[serde(rename = "roleArn", skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// `terminationPolicy`.
    #[serde(rename = "terminationPolicy", skip_serializing_if = "Option::is_none")]
    pub termination_policy: Option<TaskManagedEBSVolumeTerminationPolicy>,
    /// `filesystemType`.
    #[serde(rename = "filesystemType", skip_serializing_if = "Option::is_none")]
    pub filesystem_type: Option<String>,
}
impl Check for TaskManagedEBSVolumeConfiguration {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.tag_specifications {
            let path = &path.member("tagSpecifications");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        check::present(&self.role_arn, &path.member("roleArn"))?;
        if let Some(value) = &self.termination_policy {
            let path = &path.member("terminationPolicy");
            value.check(path)?;
        }
        if let Some(value) = &self.filesystem_type {
            let path = &path.member("filesystemType");
            check::one_of(value, TASK_FILESYSTEM_TYPE, path)?;
        }
        Ok(())
    }
}

/// `TaskManagedEBSVolumeTerminationPolicy` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskManagedEBSVolumeTerminationPolicy {
    /// `deleteOnTermination`; required.
    #[serde(rename = "deleteOnTermination", skip_serializing_if = "Option::is_none")]
    pub delete_on_termination: Option<bool>,
}
impl Check for TaskManagedEBSVolumeTerminationPolicy {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.delete_on_termination, &path.member("deleteOnTermination"))?;
        Ok(())
    }
}

/// `TaskOverride` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskOverride {
    /// `containerOverrides`.
    #[serde(rename = "containerOverrides", skip_serializing_if = "Option::is_none")]
    pub container_overrides: Option<Vec<ContainerOverride>>,
    /// `cpu`.
    #[serde(rename = "cpu", skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// `inferenceAcceleratorOverrides`.
    #[serde(
        rename = "inferenceAcceleratorOverrides",
        skip_serializing_if = "Option::is_none"
    )]
    pub inference_accelerator_overrides: Option<Vec<InferenceAcceleratorOverride>>,
    /// `executionRoleArn`.
    #[serde(rename = "executionRoleArn", skip_serializing_if = "Option::is_none")]
    pub execution_role_arn: Option<String>,
    /// `memory`.
    #[serde(rename = "memory", skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// `taskRoleArn`.
    #[serde(rename = "taskRoleArn", skip_serializing_if = "Option::is_none")]
    pub task_role_arn: Option<String>,
    /// `ephemeralStorage`.
    #[serde(rename = "ephemeralStorage", skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<EphemeralStorage>,
}
impl Check for TaskOverride {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.container_overrides {
            let path = &path.member("containerOverrides");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.inference_accelerator_overrides {
            let path = &path.member("inferenceAcceleratorOverrides");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.ephemeral_storage {
            let path = &path.member("ephemeralStorage");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `TaskVolumeConfiguration` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskVolumeConfiguration {
    /// `name`; required.
    #[serde(rename = "name", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `managedEBSVolume`.
    #[serde(rename = "managedEBSVolume", skip_serializing_if = "Option::is_none")]
    pub managed_ebs_volume: Option<TaskManagedEBSVolumeConfiguration>,
}
impl Check for TaskVolumeConfiguration {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.name, &path.member("name"))?;
        if let Some(value) = &self.managed_ebs_volume {
            let path = &path.member("managedEBSVolume");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `Tmpfs` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tmpfs {
    /// `containerPath`; required.
    #[serde(rename = "containerPath", skip_serializing_if = "Option::is_none")]
    pub container_path: Option<String>,
    /// `size`; required.
    #[serde(rename = "size", skip_serializing_if = "Option::is_none")]
    pub size: Option<i32>,
    /// `mountOptions`.
    #[serde(rename = "mountOptions", skip_serializing_if = "Option::is_none")]
    pub mount_options: Option<Vec<String>>,
}
impl Check for Tmpfs {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.container_path, &path.member("containerPath"))?;
        check::present(&self.size, &path.member("size"))?;
        Ok(())
    }
}

/// `Ulimit` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ulimit {
    /// `name`; required.
    #[serde(rename = "name", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `softLimit`; required.
    #[serde(rename = "softLimit", skip_serializing_if = "Option::is_none")]
    pub soft_limit: Option<i32>,
    /// `hardLimit`; required.
    #[serde(rename = "hardLimit", skip_serializing_if = "Option::is_none")]
    pub hard_limit: Option<i32>,
}
impl Check for Ulimit {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.name, &path.member("name"))?;
        if let Some(value) = &self.name {
            let path = &path.member("name");
            check::one_of(value, ULIMIT_NAME, path)?;
        }
        check::present(&self.soft_limit, &path.member("softLimit"))?;
        check::present(&self.hard_limit, &path.member("hardLimit"))?;
        Ok(())
    }
}

/// `UntagResourceRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UntagResourceRequest {
    /// `resourceArn`; required.
    #[serde(rename = "resourceArn", skip_serializing_if = "Option::is_none")]
    pub resource_arn: Option<String>,
    /// `tagKeys`; required.
    #[serde(rename = "tagKeys", skip_serializing_if = "Option::is_none")]
    pub tag_keys: Option<Vec<String>>,
}
impl Check for UntagResourceRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.resource_arn, &path.member("resourceArn"))?;
        check::present(&self.tag_keys, &path.member("tagKeys"))?;
        if let Some(value) = &self.tag_keys {
            let path = &path.member("tagKeys");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                check::length(value.chars().count(), Some(1), Some(128), path)?;
            }
        }
        Ok(())
    }
}

/// `UntagResourceResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UntagResourceResponse {}
impl Check for UntagResourceResponse {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `UpdateClusterRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateClusterRequest {
    /// `cluster`; required.
    #[serde(rename = "cluster", skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// `settings`.
    #[serde(rename = "settings", skip_serializing_if = "Option::is_none")]
    pub settings: Option<Vec<ClusterSetting>>,
    /// `configuration`.
    #[serde(rename = "configuration", skip_serializing_if = "Option::is_none")]
    pub configuration: Option<ClusterConfiguration>,
    /// `serviceConnectDefaults`.
    #[serde(rename = "serviceConnectDefaults", skip_serializing_if = "Option::is_none")]
    pub service_connect_defaults: Option<ClusterServiceConnectDefaultsRequest>,
}
impl Check for UpdateClusterRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.cluster, &path.member("cluster"))?;
        if let Some(value) = &self.settings {
            let path = &path.member("settings");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.configuration {
            let path = &path.member("configuration");
            value.check(path)?;
        }
        if let Some(value) = &self.service_connect_defaults {
            let path = &path.member("serviceConnectDefaults");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `UpdateClusterResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateClusterResponse {
    /// `cluster`.
    #[serde(rename = "cluster", skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Cluster>,
}
impl Check for UpdateClusterResponse {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.cluster {
            let path = &path.member("cluster");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `UpdateContainerInstancesStateRequest` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateContainerInstancesStateRequest {
    /// `cluster`.
    #[serde(rename = "cluster", skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// `containerInstances`; required.
    #[serde(rename = "containerInstances", skip_serializing_if = "Option::is_none")]
    pub container_instances: Option<Vec<String>>,
    /// `status`; required.
    #[serde(rename = "status", skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}
impl Check for UpdateContainerInstancesStateRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.container_instances, &path.member("containerInstances"))?;
        check::present(&self.status, &path.member("status"))?;
        if let Some(value) = &self.status {
            let path = &path.member("status");
            check::one_of(value, CONTAINER_INSTANCE_STATUS, path)?;
        }
        Ok(())
    }
}

/// `UpdateContainerInstancesStateResponse` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateContainerInstancesStateResponse {
    /// `containerInstances`.
    #[serde(rename = "containerInstances", skip_serializing_if = "Option::is_none")]
    pub container_instances: Option<Vec<ContainerInstance>>,
    /// `failures`.
    #[serde(rename = "failures", skip_serializing_if = "Option::is_none")]
    pub failures: Option<Vec<Failure>>,
}
impl Check for UpdateContainerInstancesStateResponse {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.container_instances {
            let path = &path.member("containerInstances");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.failures {
            let path = &path.member("failures");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `VersionInfo` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VersionInfo {
    /// `agentVersion`.
    #[serde(rename = "agentVersion", skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// `agentHash`.
    #[serde(rename = "agentHash", skip_serializing_if = "Option::is_none")]
    pub agent_hash: Option<String>,
    /// `dockerVersion`.
    #[serde(rename = "dockerVersion", skip_serializing_if = "Option::is_none")]
    pub docker_version: Option<String>,
}
impl Check for VersionInfo {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `Volume` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// `name`.
    #[serde(rename = "name", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `host`.
    #[serde(rename = "host", skip_serializing_if = "Option::is_none")]
    pub host: Option<HostVolumeProperties>,
    /// `dockerVolumeConfiguration`.
    #[serde(rename = "dockerVolumeConfiguration", skip_serializing_if = "Option::is_none")]
    pub docker_volume_configuration: Option<DockerVolumeConfiguration>,
    /// `efsVolumeConfiguration`.
    #[serde(rename = "efsVolumeConfiguration", skip_serializing_if = "Option::is_none")]
    pub efs_volume_configuration: Option<EFSVolumeConfiguration>,
    /// `s3filesVolumeConfiguration`.
    #[serde(
        rename = "s3filesVolumeConfiguration",
        skip_serializing_if = "Option::is_none"
    )]
    pub s3files_volume_configuration: Option<S3FilesVolumeConfiguration>,
    /// `fsxWindowsFileServerVolumeConfiguration`.
    #[serde(
        rename = "fsxWindowsFileServerVolumeConfiguration",
        skip_serializing_if = "Option::is_none"
    )]
    pub fsx_windows_file_server_volume_configuration: Option<FSxWindowsFileServerVolumeConfiguration>,
    /// `configuredAtLaunch`.
    #[serde(rename = "configuredAtLaunch", skip_serializing_if = "Option::is_none")]
    pub configured_at_launch: Option<bool>,
}
impl Check for Volume {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.host {
            let path = &path.member("host");
            value.check(path)?;
        }
        if let Some(value) = &self.docker_volume_configuration {
            let path = &path.member("dockerVolumeConfiguration");
            value.check(path)?;
        }
        if let Some(value) = &self.efs_volume_configuration {
            let path = &path.member("efsVolumeConfiguration");
            value.check(path)?;
        }
        if let Some(value) = &self.s3files_volume_configuration {
            let path = &path.member("s3filesVolumeConfiguration");
            value.check(path)?;
        }
        if let Some(value) = &self.fsx_windows_file_server_volume_configuration {
            let path = &path.member("fsxWindowsFileServerVolumeConfiguration");
            value.check(path)?;
        }
        Ok(())
    }
}

/// `VolumeFrom` of the ECS API, version 2014-11-13.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeFrom {
    /// `sourceContainer`.
    #[serde(rename = "sourceContainer", skip_serializing_if = "Option::is_none")]
    pub source_container: Option<String>,
    /// `readOnly`.
    #[serde(rename = "readOnly", skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
}
impl Check for VolumeFrom {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}
