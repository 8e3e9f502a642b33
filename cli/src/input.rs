//! What the command line and its files say: task definitions and overrides.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use longshore_protocol::ecs;
use serde_json::Value;

use crate::env_file;

/// Input that can't be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The file can't be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file; `-` is standard input.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no JSON of a task definition.
    #[error("{} is no task definition in JSON: {source}", path.display())]
    NoDefinition {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The file has members that RegisterTaskDefinition doesn't take.
    #[error("{}: RegisterTaskDefinition has no member {members}: misspelt? Take it out.", path.display())]
    UnknownMembers {
        /// The file.
        path: PathBuf,
        /// Their paths.
        members: String,
    },
    /// A command can't be written as one line.
    #[error("the command can't be quoted: {0}")]
    Unquotable(shlex::QuoteError),
    /// An override can't be read.
    #[error("--override {text:?}: {why}. {OVERRIDE_FORMS}")]
    Override {
        /// As given.
        text: String,
        /// What is wrong.
        why: String,
    },
}

/// The forms of an override, for help and error texts.
pub const OVERRIDE_FORMS: &str = "\
Forms: cpu=UNITS, memory=MIB (the task's); NAME:cpu=UNITS, NAME:memory=MIB, NAME:memoryReservation=MIB, NAME:gpu=COUNT, \
NAME:env=KEY=VALUE, NAME:envFile=/PATH, NAME:command=WORDS or a JSON list";

/// Reads a task definition: the input of RegisterTaskDefinition.
///
/// # Errors
/// [`InputError`]; a member that the operation doesn't have is one, since the service would ignore it.
pub fn task_definition(path: &Path) -> Result<ecs::RegisterTaskDefinitionRequest, InputError> {
    let read = || {
        let mut text = String::new();
        match path == Path::new("-") {
            true => std::io::stdin().lock().read_to_string(&mut text)?,
            false => std::fs::File::open(path)?.read_to_string(&mut text)?,
        };
        Ok(text)
    };
    let text = read().map_err(|source| InputError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let no_definition = |source| InputError::NoDefinition {
        path: path.to_owned(),
        source,
    };
    let given: Value = serde_json::from_str(&text).map_err(no_definition)?;
    let request: ecs::RegisterTaskDefinitionRequest =
        serde_json::from_value(given.clone()).map_err(no_definition)?;
    let understood = serde_json::to_value(&request).map_err(no_definition)?;
    let mut unknown = Vec::new();
    find_unknown(&given, &understood, "", &mut unknown);
    if unknown.is_empty() {
        return Ok(request);
    }
    Err(InputError::UnknownMembers {
        path: path.to_owned(),
        members: unknown.join(", "),
    })
}

/// The paths of members that are given and were not understood.
fn find_unknown(given: &Value, understood: &Value, path: &str, unknown: &mut Vec<String>) {
    match (given, understood) {
        (Value::Object(given), Value::Object(understood)) => {
            for (name, value) in given.iter().filter(|(_, value)| !value.is_null()) {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                match understood.get(name) {
                    Some(known) => find_unknown(value, known, &path, unknown),
                    None => unknown.push(path),
                }
            }
        }
        (Value::Array(given), Value::Array(understood)) => {
            for (index, (value, known)) in given.iter().zip(understood).enumerate() {
                find_unknown(value, known, &format!("{path}[{index}]"), unknown);
            }
        }
        _ => {}
    }
}

/// Reads overrides, several for one container merged.
///
/// # Errors
/// [`InputError::Override`], the first one.
pub fn overrides(texts: &[String]) -> Result<Option<ecs::TaskOverride>, InputError> {
    let mut all = ecs::TaskOverride::default();
    for text in texts {
        apply(&mut all, text).map_err(|why| InputError::Override {
            text: text.clone(),
            why,
        })?;
    }
    Ok((!texts.is_empty()).then_some(all))
}

fn apply(all: &mut ecs::TaskOverride, text: &str) -> Result<(), String> {
    let (target, value) = text.split_once('=').ok_or("there is no '='")?;
    let Some((name, member)) = target.split_once(':') else {
        match target {
            "cpu" => all.cpu = Some(value.to_owned()),
            "memory" => all.memory = Some(value.to_owned()),
            _ => return Err(format!("{target:?} is none of the task's members")),
        }
        return Ok(());
    };
    let list = all.container_overrides.get_or_insert_default();
    let index = list
        .iter()
        .position(|each| each.name.as_deref() == Some(name))
        .unwrap_or_else(|| {
            list.push(ecs::ContainerOverride {
                name: Some(name.to_owned()),
                ..Default::default()
            });
            list.len() - 1
        });
    apply_to(&mut list[index], member, value)
}

fn apply_to(container: &mut ecs::ContainerOverride, member: &str, value: &str) -> Result<(), String> {
    let number = || {
        value
            .parse::<i32>()
            .map_err(|_| format!("{value:?} is no whole number"))
    };
    match member {
        "cpu" => container.cpu = Some(number()?),
        "memory" => container.memory = Some(number()?),
        "memoryReservation" => container.memory_reservation = Some(number()?),
        "gpu" => {
            container.resource_requirements = Some(vec![ecs::ResourceRequirement {
                value: Some(value.to_owned()),
                r#type: Some("GPU".to_owned()),
            }]);
        }
        "env" => {
            let (key, value) = value.split_once('=').ok_or("the variable has no '='")?;
            container
                .environment
                .get_or_insert_default()
                .push(ecs::KeyValuePair {
                    name: Some(key.to_owned()),
                    value: Some(value.to_owned()),
                });
        }
        "envFile" => {
            container
                .environment_files
                .get_or_insert_default()
                .push(ecs::EnvironmentFile {
                    value: Some(format!("file://{value}")),
                    r#type: Some("s3".to_owned()),
                });
        }
        "command" => container.command = Some(command(value)?),
        _ => return Err(format!("{member:?} is none of a container's members")),
    }
    Ok(())
}

fn command(value: &str) -> Result<Vec<String>, String> {
    if value.trim_start().starts_with('[') {
        return serde_json::from_str(value).map_err(|error| format!("no JSON list of texts: {error}"));
    }
    env_file::words(value).ok_or_else(|| "a quote isn't closed".to_owned())
}

/// The id of a task, which may be given as its ARN.
#[must_use]
pub fn task_id(text: &str) -> &str {
    text.rsplit('/').next().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(texts: &[&str]) -> Result<Value, InputError> {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        Ok(serde_json::to_value(overrides(&texts)?).unwrap())
    }

    #[test]
    fn overrides_of_one_container_are_merged() {
        let all = read(&[
            "web:cpu=256",
            "web:env=A=b=c",
            "web:env=B=",
            "db:memory=64",
            "web:command=sh -c 'echo \"$A\" x'",
            "web:envFile=/etc/x.env",
            "db:gpu=2",
            "memory=1 GB",
        ])
        .unwrap();
        assert_eq!(
            all,
            json!({"memory": "1 GB", "containerOverrides": [
                {"name": "web", "cpu": 256, "command": ["sh", "-c", "echo \"$A\" x"],
                    "environment": [{"name": "A", "value": "b=c"}, {"name": "B", "value": ""}],
                    "environmentFiles": [{"value": "file:///etc/x.env", "type": "s3"}]},
                {"name": "db", "memory": 64, "resourceRequirements": [{"type": "GPU", "value": "2"}]},
            ]})
        );
        assert_eq!(
            read(&["w:command=[\"a b\", \"\"]"]).unwrap()["containerOverrides"][0]["command"],
            json!(["a b", ""])
        );
        assert_eq!(read(&[]).unwrap(), Value::Null);
    }

    #[test]
    fn an_override_that_is_not_understood_names_the_forms() {
        for text in [
            "cpu",
            "disk=1",
            "web:cpu=much",
            "web:disk=1",
            "web:env=A",
            "web:command=[1]",
            "web:command='x",
        ] {
            let error = read(&[text]).unwrap_err().to_string();
            assert!(
                error.contains(text.split('\'').next().unwrap()) || error.contains("--override"),
                "{error}"
            );
            assert!(error.contains("NAME:env=KEY=VALUE"), "{error}");
        }
    }

    #[test]
    fn a_misspelt_member_of_a_definition_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.json");
        std::fs::write(&path, r#"{"family": "f", "containerDefinitions": [{"name": "a", "comand": ["x"], "cpu": null}], "x": 1}"#)
            .unwrap();
        let error = task_definition(&path).unwrap_err().to_string();
        assert!(error.contains("containerDefinitions[0].comand, x"), "{error}");
        std::fs::write(
            &path,
            r#"{"family": "f", "containerDefinitions": [{"name": "a", "dockerLabels": {"b": "c"}}]}"#,
        )
        .unwrap();
        assert_eq!(task_definition(&path).unwrap().family.as_deref(), Some("f"));
        std::fs::write(&path, r#"{"family": 1}"#).unwrap();
        assert!(
            task_definition(&path)
                .unwrap_err()
                .to_string()
                .contains("is no task definition in JSON")
        );
        assert!(
            task_definition(&folder.path().join("none"))
                .unwrap_err()
                .to_string()
                .contains("none")
        );
    }

    #[test]
    fn tasks_may_be_named_by_arn() {
        assert_eq!(task_id("arn:aws:ecs:r:a:task/default/0a"), "0a");
        assert_eq!(task_id("0a"), "0a");
    }
}
