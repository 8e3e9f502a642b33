//! What is remembered of an attachment, so that it can be taken back after a restart: the chain as it was run, and the
//! result of its plugins. It is written before the first effect, and again with the result before the plugins that
//! need the result to undo themselves.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::files::{read, write};
use super::{NetworkError, PortBinding};

const NAME: &str = "attachment.json";
/// Raised when an older agent could not read it.
const VERSION: u32 = 1;

/// An attachment to the bridge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    version: u32,
    /// The boot that it was made in.
    pub boot_id: String,
    /// The configurations of the plugins after loopback, in their order, without `prevResult`.
    pub plugins: Vec<Value>,
    /// The ports that were held.
    pub bindings: Vec<PortBinding>,
    /// What the chain made so far; `Null` before its first plugin.
    pub result: Value,
}

/// What a folder says.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// Nothing: no attachment to the bridge.
    Nothing,
    /// An attachment.
    Record(Record),
    /// A record that can't be read: another version's, or damaged.
    Unreadable(String),
}

impl Record {
    pub(super) fn new(boot_id: &str, plugins: Vec<Value>, bindings: Vec<PortBinding>) -> Self {
        Self {
            version: VERSION,
            boot_id: boot_id.to_owned(),
            plugins,
            bindings,
            result: Value::Null,
        }
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), NetworkError> {
        let path = folder.join(NAME);
        let text = serde_json::to_vec(self)
            .map_err(|error| super::files::failed("cannot write", &path)(error.into()))?;
        write(&path, &text, 0o600)
    }

    pub(super) fn read(folder: &Path) -> Result<Found, NetworkError> {
        let Some(bytes) = read(&folder.join(NAME))? else {
            return Ok(Found::Nothing);
        };
        Ok(Self::parse(&bytes))
    }

    pub(super) fn parse(bytes: &[u8]) -> Found {
        match serde_json::from_slice::<Self>(bytes) {
            Ok(record) if record.version == VERSION => {
                match record.plugins.iter().all(|one| one["type"].is_string()) {
                    true => Found::Record(record),
                    false => Found::Unreadable("plugins holds one that has no type".to_owned()),
                }
            }
            Ok(record) => Found::Unreadable(format!("version {} is not {VERSION}", record.version)),
            Err(error) => Found::Unreadable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use serde_json::json;

    use super::*;
    use crate::model::{PortMapping, Protocol};

    const GOLDEN: &str = r#"{"version":1,"bootId":"b","plugins":[{"type":"bridge"}],"bindings":[{"mapping":{"container_port":80,"host_port":8080,"protocol":"tcp"},"bind_ip":"0.0.0.0"}],"result":null}"#;

    #[test]
    fn the_written_form_stays_readable() {
        let binding = PortBinding {
            mapping: PortMapping {
                container_port: 80,
                host_port: Some(8080),
                protocol: Protocol::Tcp,
            },
            bind_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        let record = Record::new("b", vec![json!({"type": "bridge"})], vec![binding]);
        assert_eq!(serde_json::to_string(&record).unwrap(), GOLDEN);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Record::read(folder.path()).unwrap(), Found::Nothing);
        record.write(folder.path()).unwrap();
        assert_eq!(Record::read(folder.path()).unwrap(), Found::Record(record));
    }

    #[test]
    fn damaged_is_not_absent() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "{", &GOLDEN.replace(":1,", ":2,")] {
            std::fs::write(folder.path().join(NAME), text).unwrap();
            let found = Record::read(folder.path()).unwrap();
            assert!(matches!(found, Found::Unreadable(_)), "{text:?}: {found:?}");
        }
    }
}
