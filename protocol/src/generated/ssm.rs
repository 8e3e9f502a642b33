//! The shapes of the SSM API (2014-11-06) that Longshore serves.
//!
//! Made by `protocol/generate/generate.py` from the facts of the service model; don't edit.
//! Every member is optional here, as the wire allows; [`Check`] says what the model requires.

use serde::{Deserialize, Serialize};

use crate::check::{self, Check, Path, Violation};

/// The values of `DescribeActivationsFilterKeys` in the SSM API, version 2014-11-06.
pub const DESCRIBE_ACTIVATIONS_FILTER_KEYS: &[&str] = &["ActivationIds", "DefaultInstanceName", "IamRole"];

/// The values of `InstanceInformationFilterKey` in the SSM API, version 2014-11-06.
pub const INSTANCE_INFORMATION_FILTER_KEY: &[&str] = &[
    "InstanceIds",
    "AgentVersion",
    "PingStatus",
    "PlatformTypes",
    "ActivationIds",
    "IamRole",
    "ResourceType",
    "AssociationStatus",
];

/// The values of `PingStatus` in the SSM API, version 2014-11-06.
pub const PING_STATUS: &[&str] = &["Online", "ConnectionLost", "Inactive"];

/// The values of `PlatformType` in the SSM API, version 2014-11-06.
pub const PLATFORM_TYPE: &[&str] = &["Windows", "Linux", "MacOS"];

/// The values of `ResourceType` in the SSM API, version 2014-11-06.
pub const RESOURCE_TYPE: &[&str] = &["ManagedInstance", "EC2Instance"];

/// The values of `ResourceTypeForTagging` in the SSM API, version 2014-11-06.
pub const RESOURCE_TYPE_FOR_TAGGING: &[&str] = &[
    "Document",
    "ManagedInstance",
    "MaintenanceWindow",
    "Parameter",
    "PatchBaseline",
    "OpsItem",
    "OpsMetadata",
    "Automation",
    "Association",
];

/// The values of `SourceType` in the SSM API, version 2014-11-06.
pub const SOURCE_TYPE: &[&str] = &[
    "AWS::EC2::Instance",
    "AWS::IoT::Thing",
    "AWS::SSM::ManagedInstance",
];

/// `Activation` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Activation {
    /// `ActivationId`.
    #[serde(rename = "ActivationId", skip_serializing_if = "Option::is_none")]
    pub activation_id: Option<String>,
    /// `Description`.
    #[serde(rename = "Description", skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `DefaultInstanceName`.
    #[serde(rename = "DefaultInstanceName", skip_serializing_if = "Option::is_none")]
    pub default_instance_name: Option<String>,
    /// `IamRole`.
    #[serde(rename = "IamRole", skip_serializing_if = "Option::is_none")]
    pub iam_role: Option<String>,
    /// `RegistrationLimit`.
    #[serde(rename = "RegistrationLimit", skip_serializing_if = "Option::is_none")]
    pub registration_limit: Option<i32>,
    /// `RegistrationsCount`.
    #[serde(rename = "RegistrationsCount", skip_serializing_if = "Option::is_none")]
    pub registrations_count: Option<i32>,
    /// `ExpirationDate`.
    #[serde(rename = "ExpirationDate", skip_serializing_if = "Option::is_none")]
    pub expiration_date: Option<crate::Timestamp>,
    /// `Expired`.
    #[serde(rename = "Expired", skip_serializing_if = "Option::is_none")]
    pub expired: Option<bool>,
    /// `CreatedDate`.
    #[serde(rename = "CreatedDate", skip_serializing_if = "Option::is_none")]
    pub created_date: Option<crate::Timestamp>,
    /// `Tags`.
    #[serde(rename = "Tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
}
impl Check for Activation {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.description {
            let path = &path.member("Description");
            check::length(value.chars().count(), Some(0), Some(256), path)?;
        }
        if let Some(value) = &self.default_instance_name {
            let path = &path.member("DefaultInstanceName");
            check::length(value.chars().count(), Some(0), Some(256), path)?;
        }
        if let Some(value) = &self.iam_role {
            let path = &path.member("IamRole");
            check::length(value.chars().count(), None, Some(64), path)?;
        }
        if let Some(value) = &self.registration_limit {
            let path = &path.member("RegistrationLimit");
            check::range(i64::from(*value), Some(1), Some(1000), path)?;
        }
        if let Some(value) = &self.registrations_count {
            let path = &path.member("RegistrationsCount");
            check::range(i64::from(*value), Some(1), Some(1000), path)?;
        }
        if let Some(value) = &self.tags {
            let path = &path.member("Tags");
            check::length(value.len(), None, Some(1000), path)?;
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `AddTagsToResourceRequest` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AddTagsToResourceRequest {
    /// `ResourceType`; required.
    #[serde(rename = "ResourceType", skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// `ResourceId`; required.
    #[serde(rename = "ResourceId", skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    /// `Tags`; required.
    #[serde(rename = "Tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
}
impl Check for AddTagsToResourceRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.resource_type, &path.member("ResourceType"))?;
        if let Some(value) = &self.resource_type {
            let path = &path.member("ResourceType");
            check::one_of(value, RESOURCE_TYPE_FOR_TAGGING, path)?;
        }
        check::present(&self.resource_id, &path.member("ResourceId"))?;
        check::present(&self.tags, &path.member("Tags"))?;
        if let Some(value) = &self.tags {
            let path = &path.member("Tags");
            check::length(value.len(), None, Some(1000), path)?;
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `AddTagsToResourceResult` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AddTagsToResourceResult {}
impl Check for AddTagsToResourceResult {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `CreateActivationRequest` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateActivationRequest {
    /// `Description`.
    #[serde(rename = "Description", skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `DefaultInstanceName`.
    #[serde(rename = "DefaultInstanceName", skip_serializing_if = "Option::is_none")]
    pub default_instance_name: Option<String>,
    /// `IamRole`; required.
    #[serde(rename = "IamRole", skip_serializing_if = "Option::is_none")]
    pub iam_role: Option<String>,
    /// `RegistrationLimit`.
    #[serde(rename = "RegistrationLimit", skip_serializing_if = "Option::is_none")]
    pub registration_limit: Option<i32>,
    /// `ExpirationDate`.
    #[serde(rename = "ExpirationDate", skip_serializing_if = "Option::is_none")]
    pub expiration_date: Option<crate::Timestamp>,
    /// `Tags`.
    #[serde(rename = "Tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
    /// `RegistrationMetadata`.
    #[serde(rename = "RegistrationMetadata", skip_serializing_if = "Option::is_none")]
    pub registration_metadata: Option<Vec<RegistrationMetadataItem>>,
}
impl Check for CreateActivationRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.description {
            let path = &path.member("Description");
            check::length(value.chars().count(), Some(0), Some(256), path)?;
        }
        if let Some(value) = &self.default_instance_name {
            let path = &path.member("DefaultInstanceName");
            check::length(value.chars().count(), Some(0), Some(256), path)?;
        }
        check::present(&self.iam_role, &path.member("IamRole"))?;
        if let Some(value) = &self.iam_role {
            let path = &path.member("IamRole");
            check::length(value.chars().count(), None, Some(64), path)?;
        }
        if let Some(value) = &self.registration_limit {
            let path = &path.member("RegistrationLimit");
            check::range(i64::from(*value), Some(1), Some(1000), path)?;
        }
        if let Some(value) = &self.tags {
            let path = &path.member("Tags");
            check::length(value.len(), None, Some(1000), path)?;
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.registration_metadata {
            let path = &path.member("RegistrationMetadata");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `CreateActivationResult` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateActivationResult {
    /// `ActivationId`.
    #[serde(rename = "ActivationId", skip_serializing_if = "Option::is_none")]
    pub activation_id: Option<String>,
    /// `ActivationCode`.
    #[serde(rename = "ActivationCode", skip_serializing_if = "Option::is_none")]
    pub activation_code: Option<String>,
}
impl Check for CreateActivationResult {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.activation_code {
            let path = &path.member("ActivationCode");
            check::length(value.chars().count(), Some(20), Some(250), path)?;
        }
        Ok(())
    }
}

/// `DeleteActivationRequest` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeleteActivationRequest {
    /// `ActivationId`; required.
    #[serde(rename = "ActivationId", skip_serializing_if = "Option::is_none")]
    pub activation_id: Option<String>,
}
impl Check for DeleteActivationRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.activation_id, &path.member("ActivationId"))?;
        Ok(())
    }
}

/// `DeleteActivationResult` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeleteActivationResult {}
impl Check for DeleteActivationResult {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `DeregisterManagedInstanceRequest` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeregisterManagedInstanceRequest {
    /// `InstanceId`; required.
    #[serde(rename = "InstanceId", skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
}
impl Check for DeregisterManagedInstanceRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.instance_id, &path.member("InstanceId"))?;
        if let Some(value) = &self.instance_id {
            let path = &path.member("InstanceId");
            check::length(value.chars().count(), Some(20), Some(124), path)?;
        }
        Ok(())
    }
}

/// `DeregisterManagedInstanceResult` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeregisterManagedInstanceResult {}
impl Check for DeregisterManagedInstanceResult {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `DescribeActivationsFilter` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DescribeActivationsFilter {
    /// `FilterKey`.
    #[serde(rename = "FilterKey", skip_serializing_if = "Option::is_none")]
    pub filter_key: Option<String>,
    /// `FilterValues`.
    #[serde(rename = "FilterValues", skip_serializing_if = "Option::is_none")]
    pub filter_values: Option<Vec<String>>,
}
impl Check for DescribeActivationsFilter {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.filter_key {
            let path = &path.member("FilterKey");
            check::one_of(value, DESCRIBE_ACTIVATIONS_FILTER_KEYS, path)?;
        }
        Ok(())
    }
}

/// `DescribeActivationsRequest` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DescribeActivationsRequest {
    /// `Filters`.
    #[serde(rename = "Filters", skip_serializing_if = "Option::is_none")]
    pub filters: Option<Vec<DescribeActivationsFilter>>,
    /// `MaxResults`.
    #[serde(rename = "MaxResults", skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    /// `NextToken`.
    #[serde(rename = "NextToken", skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
impl Check for DescribeActivationsRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.filters {
            let path = &path.member("Filters");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.max_results {
            let path = &path.member("MaxResults");
            check::range(i64::from(*value), Some(1), Some(50), path)?;
        }
        Ok(())
    }
}

/// `DescribeActivationsResult` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DescribeActivationsResult {
    /// `ActivationList`.
    #[serde(rename = "ActivationList", skip_serializing_if = "Option::is_none")]
    pub activation_list: Option<Vec<Activation>>,
    /// `NextToken`.
    #[serde(rename = "NextToken", skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
impl Check for DescribeActivationsResult {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.activation_list {
            let path = &path.member("ActivationList");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `DescribeInstanceInformationRequest` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DescribeInstanceInformationRequest {
    /// `InstanceInformationFilterList`.
    #[serde(
        rename = "InstanceInformationFilterList",
        skip_serializing_if = "Option::is_none"
    )]
    pub instance_information_filter_list: Option<Vec<InstanceInformationFilter>>,
    /// `Filters`.
    #[serde(rename = "Filters", skip_serializing_if = "Option::is_none")]
    pub filters: Option<Vec<InstanceInformationStringFilter>>,
    /// `MaxResults`.
    #[serde(rename = "MaxResults", skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    /// `NextToken`.
    #[serde(rename = "NextToken", skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
impl Check for DescribeInstanceInformationRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.instance_information_filter_list {
            let path = &path.member("InstanceInformationFilterList");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.filters {
            let path = &path.member("Filters");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        if let Some(value) = &self.max_results {
            let path = &path.member("MaxResults");
            check::range(i64::from(*value), Some(5), Some(50), path)?;
        }
        Ok(())
    }
}

/// `DescribeInstanceInformationResult` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DescribeInstanceInformationResult {
    /// `InstanceInformationList`.
    #[serde(rename = "InstanceInformationList", skip_serializing_if = "Option::is_none")]
    pub instance_information_list: Option<Vec<InstanceInformation>>,
    /// `NextToken`.
    #[serde(rename = "NextToken", skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
impl Check for DescribeInstanceInformationResult {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.instance_information_list {
            let path = &path.member("InstanceInformationList");
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                value.check(path)?;
            }
        }
        Ok(())
    }
}

/// `InstanceAggregatedAssociationOverview` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceAggregatedAssociationOverview {
    /// `DetailedStatus`.
    #[serde(rename = "DetailedStatus", skip_serializing_if = "Option::is_none")]
    pub detailed_status: Option<String>,
    /// `InstanceAssociationStatusAggregatedCount`.
    #[serde(
        rename = "InstanceAssociationStatusAggregatedCount",
        skip_serializing_if = "Option::is_none"
    )]
    pub instance_association_status_aggregated_count: Option<std::collections::BTreeMap<String, i32>>,
}
impl Check for InstanceAggregatedAssociationOverview {
    fn check(&self, _path: &Path<'_>) -> Result<(), Violation> {
        Ok(())
    }
}

/// `InstanceInformation` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceInformation {
    /// `InstanceId`.
    #[serde(rename = "InstanceId", skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// `PingStatus`.
    #[serde(rename = "PingStatus", skip_serializing_if = "Option::is_none")]
    pub ping_status: Option<String>,
    /// `LastPingDateTime`.
    #[serde(rename = "LastPingDateTime", skip_serializing_if = "Option::is_none")]
    pub last_ping_date_time: Option<crate::Timestamp>,
    /// `AgentVersion`.
    #[serde(rename = "AgentVersion", skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// `IsLatestVersion`.
    #[serde(rename = "IsLatestVersion", skip_serializing_if = "Option::is_none")]
    pub is_latest_version: Option<bool>,
    /// `PlatformType`.
    #[serde(rename = "PlatformType", skip_serializing_if = "Option::is_none")]
    pub platform_type: Option<String>,
    /// `PlatformName`.
    #[serde(rename = "PlatformName", skip_serializing_if = "Option::is_none")]
    pub platform_name: Option<String>,
    /// `PlatformVersion`.
    #[serde(rename = "PlatformVersion", skip_serializing_if = "Option::is_none")]
    pub platform_version: Option<String>,
    /// `ActivationId`.
    #[serde(rename = "ActivationId", skip_serializing_if = "Option::is_none")]
    pub activation_id: Option<String>,
    /// `IamRole`.
    #[serde(rename = "IamRole", skip_serializing_if = "Option::is_none")]
    pub iam_role: Option<String>,
    /// `RegistrationDate`.
    #[serde(rename = "RegistrationDate", skip_serializing_if = "Option::is_none")]
    pub registration_date: Option<crate::Timestamp>,
    /// `ResourceType`.
    #[serde(rename = "ResourceType", skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// `Name`.
    #[serde(rename = "Name", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `IPAddress`.
    #[serde(rename = "IPAddress", skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    /// `ComputerName`.
    #[serde(rename = "ComputerName", skip_serializing_if = "Option::is_none")]
    pub computer_name: Option<String>,
    /// `AssociationStatus`.
    #[serde(rename = "AssociationStatus", skip_serializing_if = "Option::is_none")]
    pub association_status: Option<String>,
    /// `LastAssociationExecutionDate`.
    #[serde(
        rename = "LastAssociationExecutionDate",
        skip_serializing_if = "Option::is_none"
    )]
    pub last_association_execution_date: Option<crate::Timestamp>,
    /// `LastSuccessfulAssociationExecutionDate`.
    #[serde(
        rename = "LastSuccessfulAssociationExecutionDate",
        skip_serializing_if = "Option::is_none"
    )]
    pub last_successful_association_execution_date: Option<crate::Timestamp>,
    /// `AssociationOverview`.
    #[serde(rename = "AssociationOverview", skip_serializing_if = "Option::is_none")]
    pub association_overview: Option<InstanceAggregatedAssociationOverview>,
    /// `SourceId`.
    #[serde(rename = "SourceId", skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// `SourceType`.
    #[serde(rename = "SourceType", skip_serializing_if = "Option::is_none")]
    pub source_type: Option<String>,
}
impl Check for InstanceInformation {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.ping_status {
            let path = &path.member("PingStatus");
            check::one_of(value, PING_STATUS, path)?;
        }
        if let Some(value) = &self.platform_type {
            let path = &path.member("PlatformType");
            check::one_of(value, PLATFORM_TYPE, path)?;
        }
        if let Some(value) = &self.iam_role {
            let path = &path.member("IamRole");
            check::length(value.chars().count(), None, Some(64), path)?;
        }
        if let Some(value) = &self.resource_type {
            let path = &path.member("ResourceType");
            check::one_of(value, RESOURCE_TYPE, path)?;
        }
        if let Some(value) = &self.ip_address {
            let path = &path.member("IPAddress");
            check::length(value.chars().count(), Some(1), Some(46), path)?;
        }
        if let Some(value) = &self.computer_name {
            let path = &path.member("ComputerName");
            check::length(value.chars().count(), Some(1), Some(255), path)?;
        }
        if let Some(value) = &self.association_overview {
            let path = &path.member("AssociationOverview");
            value.check(path)?;
        }
        if let Some(value) = &self.source_id {
            let path = &path.member("SourceId");
            check::length(value.chars().count(), Some(0), Some(128), path)?;
        }
        if let Some(value) = &self.source_type {
            let path = &path.member("SourceType");
            check::one_of(value, SOURCE_TYPE, path)?;
        }
        Ok(())
    }
}

/// `InstanceInformationFilter` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceInformationFilter {
    /// `key`; required.
    #[serde(rename = "key", skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `valueSet`; required.
    #[serde(rename = "valueSet", skip_serializing_if = "Option::is_none")]
    pub value_set: Option<Vec<String>>,
}
impl Check for InstanceInformationFilter {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.key, &path.member("key"))?;
        if let Some(value) = &self.key {
            let path = &path.member("key");
            check::one_of(value, INSTANCE_INFORMATION_FILTER_KEY, path)?;
        }
        check::present(&self.value_set, &path.member("valueSet"))?;
        if let Some(value) = &self.value_set {
            let path = &path.member("valueSet");
            check::length(value.len(), Some(1), Some(100), path)?;
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                check::length(value.chars().count(), Some(1), None, path)?;
            }
        }
        Ok(())
    }
}

/// `InstanceInformationStringFilter` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceInformationStringFilter {
    /// `Key`; required.
    #[serde(rename = "Key", skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `Values`; required.
    #[serde(rename = "Values", skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<String>>,
}
impl Check for InstanceInformationStringFilter {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.key, &path.member("Key"))?;
        if let Some(value) = &self.key {
            let path = &path.member("Key");
            check::length(value.chars().count(), Some(1), None, path)?;
        }
        check::present(&self.values, &path.member("Values"))?;
        if let Some(value) = &self.values {
            let path = &path.member("Values");
            check::length(value.len(), Some(1), Some(100), path)?;
            for (index, value) in value.iter().enumerate() {
                let path = &path.index(index);
                check::length(value.chars().count(), Some(1), None, path)?;
            }
        }
        Ok(())
    }
}

/// `RegistrationMetadataItem` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegistrationMetadataItem {
    /// `Key`; required.
    #[serde(rename = "Key", skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `Value`; required.
    #[serde(rename = "Value", skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}
impl Check for RegistrationMetadataItem {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.key, &path.member("Key"))?;
        if let Some(value) = &self.key {
            let path = &path.member("Key");
            check::length(value.chars().count(), Some(1), Some(128), path)?;
        }
        check::present(&self.value, &path.member("Value"))?;
        if let Some(value) = &self.value {
            let path = &path.member("Value");
            check::length(value.chars().count(), Some(1), Some(2048), path)?;
        }
        Ok(())
    }
}

/// `ResumeSessionRequest` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResumeSessionRequest {
    /// `SessionId`; required.
    #[serde(rename = "SessionId", skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
}
impl Check for ResumeSessionRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.session_id, &path.member("SessionId"))?;
        if let Some(value) = &self.session_id {
            let path = &path.member("SessionId");
            check::length(value.chars().count(), Some(1), Some(96), path)?;
        }
        Ok(())
    }
}

/// `ResumeSessionResponse` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResumeSessionResponse {
    /// `SessionId`.
    #[serde(rename = "SessionId", skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// `TokenValue`.
    #[serde(rename = "TokenValue", skip_serializing_if = "Option::is_none")]
    pub token_value: Option<String>,
    /// `StreamUrl`.
    #[serde(rename = "StreamUrl", skip_serializing_if = "Option::is_none")]
    pub stream_url: Option<String>,
}
impl Check for ResumeSessionResponse {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.session_id {
            let path = &path.member("SessionId");
            check::length(value.chars().count(), Some(1), Some(96), path)?;
        }
        if let Some(value) = &self.token_value {
            let path = &path.member("TokenValue");
            check::length(value.chars().count(), Some(0), Some(300), path)?;
        }
        Ok(())
    }
}

/// `Tag` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tag {
    /// `Key`; required.
    #[serde(rename = "Key", skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `Value`; required.
    #[serde(rename = "Value", skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}
impl Check for Tag {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.key, &path.member("Key"))?;
        if let Some(value) = &self.key {
            let path = &path.member("Key");
            check::length(value.chars().count(), Some(1), Some(128), path)?;
        }
        check::present(&self.value, &path.member("Value"))?;
        if let Some(value) = &self.value {
            let path = &path.member("Value");
            check::length(value.chars().count(), Some(0), Some(256), path)?;
        }
        Ok(())
    }
}

/// `TerminateSessionRequest` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TerminateSessionRequest {
    /// `SessionId`; required.
    #[serde(rename = "SessionId", skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
}
impl Check for TerminateSessionRequest {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        check::present(&self.session_id, &path.member("SessionId"))?;
        if let Some(value) = &self.session_id {
            let path = &path.member("SessionId");
            check::length(value.chars().count(), Some(1), Some(96), path)?;
        }
        Ok(())
    }
}

/// `TerminateSessionResponse` of the SSM API, version 2014-11-06.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TerminateSessionResponse {
    /// `SessionId`.
    #[serde(rename = "SessionId", skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
}
impl Check for TerminateSessionResponse {
    fn check(&self, path: &Path<'_>) -> Result<(), Violation> {
        if let Some(value) = &self.session_id {
            let path = &path.member("SessionId");
            check::length(value.chars().count(), Some(1), Some(96), path)?;
        }
        Ok(())
    }
}
