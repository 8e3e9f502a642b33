//! ARNs of what ECS names, in the long format: parsed strictly, printed as they were.
//!
//! Source: the API's own formats, `arn:PARTITION:ecs:REGION:ACCOUNT:KIND/…`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Whose a resource is: the first half of its ARN.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub partition: String,
    /// Such as `us-east-1`.
    pub region: String,
    /// Twelve digits.
    pub account: String,
}

impl Scope {
    /// The scope of a region and account, in the partition that the region's name tells.
    #[must_use]
    pub fn new(region: &str, account: &str) -> Self {
        let partition = match region {
            _ if region.starts_with("cn-") => "aws-cn",
            _ if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        };
        Self {
            partition: partition.into(),
            region: region.into(),
            account: account.into(),
        }
    }
}

/// A text that is no ARN of the kind that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an ARN of the form arn:PARTITION:ecs:REGION:ACCOUNT:{form}")]
pub struct InvalidArn {
    text: String,
    form: &'static str,
}

/// The id of a task or container instance: 32 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(String);

impl ResourceId {
    /// A new id from 16 random bytes.
    #[must_use]
    pub fn from_random(random: uuid::Uuid) -> Self {
        Self(random.simple().to_string())
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ResourceId {
    type Err = InvalidArn;

    fn from_str(text: &str) -> Result<Self, InvalidArn> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 32 && text.bytes().all(hex) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidArn {
            text: text.to_owned(),
            form: "KIND/CLUSTER/ID (ID: 32 hexadecimal digits)",
        })
    }
}

/// Whether a text can name a cluster, a task definition family, a container or a volume.
#[must_use]
pub fn is_valid_name(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

macro_rules! arn {
    ($(#[$doc:meta])* $name:ident, $form:literal, { $($(#[$fdoc:meta])* $field:ident: $type:ty),+ },
     |$text:ident| $parse:expr, |$this:ident| $print:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            /// Whose it is.
            pub scope: Scope,
            $($(#[$fdoc])* pub $field: $type,)+
        }

        impl FromStr for $name {
            type Err = InvalidArn;

            fn from_str(text: &str) -> Result<Self, InvalidArn> {
                let parse = || {
                    let (scope, $text) = split(text)?;
                    let ($($field,)+) = $parse?;
                    Some(Self { scope, $($field),+ })
                };
                parse().ok_or_else(|| InvalidArn { text: text.to_owned(), form: $form })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let $this = self;
                let Scope { partition, region, account } = &self.scope;
                write!(f, "arn:{partition}:ecs:{region}:{account}:{}", $print)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// `arn:PARTITION:ecs:REGION:ACCOUNT:` and the rest.
fn split(text: &str) -> Option<(Scope, &str)> {
    let mut parts = text.splitn(6, ':');
    if parts.next() != Some("arn") {
        return None;
    }
    let partition = parts.next()?;
    if parts.next() != Some("ecs") {
        return None;
    }
    let (region, account) = (parts.next()?, parts.next()?);
    let digits = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    if !partition.starts_with("aws") || region.is_empty() || !digits {
        return None;
    }
    let scope = Scope {
        partition: partition.into(),
        region: region.into(),
        account: account.into(),
    };
    Some((scope, parts.next()?))
}

fn name(text: &str) -> Option<String> {
    is_valid_name(text).then(|| text.to_owned())
}

arn!(
    /// A cluster's ARN.
    ClusterArn, "cluster/NAME", {
        /// The cluster's name.
        cluster: String
    },
    |rest| Some((name(rest.strip_prefix("cluster/")?)?,)),
    |this| format_args!("cluster/{}", this.cluster)
);

arn!(
    /// A task's ARN.
    TaskArn, "task/CLUSTER/ID", {
        /// The cluster's name.
        cluster: String,
        /// The task's id.
        id: ResourceId
    },
    |rest| {
        let (cluster, id) = rest.strip_prefix("task/")?.split_once('/')?;
        Some((name(cluster)?, id.parse().ok()?))
    },
    |this| format_args!("task/{}/{}", this.cluster, this.id)
);

arn!(
    /// A container instance's ARN.
    ContainerInstanceArn, "container-instance/CLUSTER/ID", {
        /// The cluster's name.
        cluster: String,
        /// The instance's id.
        id: ResourceId
    },
    |rest| {
        let (cluster, id) = rest.strip_prefix("container-instance/")?.split_once('/')?;
        Some((name(cluster)?, id.parse().ok()?))
    },
    |this| format_args!("container-instance/{}/{}", this.cluster, this.id)
);

arn!(
    /// A task definition's ARN, with its revision.
    TaskDefinitionArn, "task-definition/FAMILY:REVISION", {
        /// The family.
        family: String,
        /// The revision: 1 or more.
        revision: i32
    },
    |rest| {
        let (family, revision) = rest.strip_prefix("task-definition/")?.split_once(':')?;
        let number: i32 = revision.parse().ok()?;
        // Only the canonical spelling, so that printing gives back what was read.
        (number >= 1 && number.to_string() == revision).then_some(())?;
        Some((name(family)?, number))
    },
    |this| format_args!("task-definition/{}:{}", this.family, this.revision)
);

arn!(
    /// A container's ARN.
    ContainerArn, "container/CLUSTER/TASK/UUID", {
        /// The cluster's name.
        cluster: String,
        /// The task's id.
        task: ResourceId,
        /// The container's own id.
        id: uuid::Uuid
    },
    |rest| {
        let mut parts = rest.strip_prefix("container/")?.splitn(3, '/');
        let (cluster, task, id) = (parts.next()?, parts.next()?, parts.next()?);
        let uuid: uuid::Uuid = id.parse().ok()?;
        (uuid.hyphenated().to_string() == id).then_some(())?;
        Some((name(cluster)?, task.parse().ok()?, uuid))
    },
    |this| format_args!("container/{}/{}/{}", this.cluster, this.task, this.id.hyphenated())
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip<T: FromStr<Err = InvalidArn> + fmt::Display>(text: &str) {
        match text.parse::<T>() {
            Ok(arn) => assert_eq!(arn.to_string(), text),
            Err(error) => panic!("{error}"),
        }
    }

    proptest! {
        #[test]
        fn arns_round_trip(
            region in "[a-z]{2}-[a-z]{4,9}-[1-9]", account in "[0-9]{12}", cluster in "[A-Za-z0-9_-]{1,255}",
            id in "[0-9a-f]{32}", family in "[A-Za-z0-9_-]{1,255}", revision in 1_i32.., uuid: [u8; 16],
        ) {
            let prefix = format!("arn:aws:ecs:{region}:{account}");
            let uuid = uuid::Uuid::from_bytes(uuid);
            round_trip::<ClusterArn>(&format!("{prefix}:cluster/{cluster}"));
            round_trip::<TaskArn>(&format!("{prefix}:task/{cluster}/{id}"));
            round_trip::<ContainerInstanceArn>(&format!("{prefix}:container-instance/{cluster}/{id}"));
            round_trip::<TaskDefinitionArn>(&format!("{prefix}:task-definition/{family}:{revision}"));
            round_trip::<ContainerArn>(&format!("{prefix}:container/{cluster}/{id}/{uuid}"));
        }

        #[test]
        fn what_parses_prints_the_same(text in "arn:aws:ecs:[a-z0-9-]{0,12}:[0-9]{11,13}:(task|cluster|task-definition)/[a-z0-9/:+ ]{0,70}") {
            if let Ok(arn) = text.parse::<TaskArn>() { prop_assert_eq!(arn.to_string(), &*text); }
            if let Ok(arn) = text.parse::<ClusterArn>() { prop_assert_eq!(arn.to_string(), &*text); }
            if let Ok(arn) = text.parse::<TaskDefinitionArn>() { prop_assert_eq!(arn.to_string(), &*text); }
        }
    }

    #[test]
    fn odd_spellings_are_refused() {
        for text in [
            "",
            "arn:aws:ecs:us-east-1:000000000000:task/default",
            "arn:aws:ecs:us-east-1:1:task/default/0123456789abcdef0123456789abcdef",
            "arn:aws:ecs:us-east-1:000000000000:task/default/0123456789ABCDEF0123456789ABCDEF",
            "arn:aws:ecs:us-east-1:000000000000:task-definition/f:01",
            "arn:aws:ecs:us-east-1:000000000000:task-definition/f:+1",
            "arn:aws:iam::000000000000:role/x",
        ] {
            assert!(text.parse::<TaskArn>().is_err(), "{text}");
            assert!(text.parse::<TaskDefinitionArn>().is_err(), "{text}");
        }
    }
}
