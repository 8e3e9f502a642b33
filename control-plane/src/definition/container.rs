//! Rules of one container definition, and of the containers among themselves.

use std::collections::BTreeSet;

use longshore_protocol::arn::is_valid_name;
use longshore_protocol::ecs;

use super::{Refusal, amounts, restart_policy, task};

/// The most characters of an image's name.
const MAX_IMAGE: usize = 255;
/// The least `startTimeout`, in seconds.
const MIN_START_TIMEOUT: i32 = 2;
/// The most environment files of a container.
const MAX_ENVIRONMENT_FILES: usize = 10;
/// What an environment file's value begins with; the path follows, from its slash.
const FILE_SCHEME: &str = "file://";

/// Judges one container, ports and memory aside.
pub(super) fn check(container: &ecs::ContainerDefinition, volumes: &[ecs::Volume]) -> Result<(), Refusal> {
    let name = container.name.as_deref().unwrap_or_default();
    check_name_and_image(name, container.image.as_deref().unwrap_or_default())?;
    let invalid = |what: String| Refusal::client(format!("Invalid setting for container '{name}'. {what}"));
    check_words(container).map_err(invalid)?;
    if let Some(cpu) = container.cpu.filter(|cpu| *cpu < 0) {
        return Err(invalid(format!("The 'cpu' must not be negative, but is {cpu}.")));
    }
    if let Some(seconds) = container
        .start_timeout
        .filter(|seconds| *seconds < MIN_START_TIMEOUT)
    {
        return Err(invalid(format!(
            "The 'startTimeout' must be at least {MIN_START_TIMEOUT} seconds, but is {seconds}."
        )));
    }
    if let Some(seconds) = container.stop_timeout.filter(|seconds| *seconds < 0) {
        return Err(invalid(format!(
            "The 'stopTimeout' must not be negative, but is {seconds}."
        )));
    }
    restart_policy::check(container.restart_policy.as_ref()).map_err(invalid)?;
    check_environment(container.environment.as_deref().unwrap_or_default()).map_err(invalid)?;
    check_environment_files(container.environment_files.as_deref().unwrap_or_default()).map_err(invalid)?;
    check_requirements(container.resource_requirements.as_deref().unwrap_or_default()).map_err(invalid)?;
    check_ulimits(container.ulimits.as_deref().unwrap_or_default()).map_err(invalid)?;
    if let Some(directory) = container
        .working_directory
        .as_deref()
        .filter(|text| !text.is_empty())
    {
        task::check_path(directory, &format!("workingDirectory of container '{name}'"))?;
    }
    if let Some(log) = &container.log_configuration {
        check_log(log).map_err(invalid)?;
    }
    check_mounts(
        name,
        container.mount_points.as_deref().unwrap_or_default(),
        volumes,
    )
}

fn check_name_and_image(name: &str, image: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(Refusal::client("Container.name should not be null or empty."));
    }
    if name.len() > 255 {
        return Err(Refusal::client(
            "Container.name must have at most 255 characters.",
        ));
    }
    if !is_valid_name(name) {
        return Err(Refusal::client("Container.name contains invalid characters."));
    }
    if image.is_empty() {
        return Err(Refusal::client("Container.image should not be null or empty."));
    }
    if image.chars().count() > MAX_IMAGE {
        return Err(Refusal::client(format!(
            "Container.image must have at most {MAX_IMAGE} characters."
        )));
    }
    Ok(())
}

/// No word that a process is started with may hold NUL: the kernel would end it there.
fn check_words(container: &ecs::ContainerDefinition) -> Result<(), String> {
    let image = container.image.as_slice();
    let command = container.command.as_deref().unwrap_or_default();
    let entry_point = container.entry_point.as_deref().unwrap_or_default();
    let user = container.user.as_slice();
    for (member, words) in [
        ("image", image),
        ("command", command),
        ("entryPoint", entry_point),
        ("user", user),
    ] {
        check_no_nul(member, words)?;
    }
    Ok(())
}

pub(super) fn check_no_nul(member: &str, words: &[String]) -> Result<(), String> {
    match words.iter().find(|word| word.contains('\0')) {
        Some(word) => Err(format!("The '{member}' must not contain NUL, but has {word:?}.")),
        None => Ok(()),
    }
}

pub(super) fn check_environment(environment: &[ecs::KeyValuePair]) -> Result<(), String> {
    for pair in environment {
        let name = pair.name.as_deref().unwrap_or_default();
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(format!(
                "An 'environment' name must not be empty or contain '=' or NUL, but is {name:?}."
            ));
        }
        if pair.value.as_deref().unwrap_or_default().contains('\0') {
            return Err(format!(
                "The 'environment' value of '{name}' must not contain NUL."
            ));
        }
    }
    Ok(())
}

pub(super) fn check_environment_files(files: &[ecs::EnvironmentFile]) -> Result<(), String> {
    if files.len() > MAX_ENVIRONMENT_FILES {
        return Err(format!(
            "At most {MAX_ENVIRONMENT_FILES} 'environmentFiles' are allowed."
        ));
    }
    for file in files {
        // ECS knows no other type; where the file lies is in the value.
        let kind = file.r#type.as_deref().unwrap_or_default();
        if kind != "s3" {
            return Err(format!(
                "The 'environmentFiles' type should be one of [s3], but is {kind:?}."
            ));
        }
        let value = file.value.as_deref().unwrap_or_default();
        let path = value.strip_prefix(FILE_SCHEME).unwrap_or_default();
        if !path.starts_with('/') || path.contains('\0') {
            return Err(format!(
                "The 'environmentFiles' value {value:?} isn't supported yet. Give a file of the node, as \
                 file:///absolute/path."
            ));
        }
    }
    Ok(())
}

pub(super) fn check_requirements(requirements: &[ecs::ResourceRequirement]) -> Result<(), String> {
    if requirements.len() > 1 {
        return Err("At most one 'resourceRequirements' entry of a type is allowed.".to_owned());
    }
    for requirement in requirements {
        let kind = requirement.r#type.as_deref().unwrap_or_default();
        if kind != "GPU" {
            return Err(format!(
                "The 'resourceRequirements' type {kind:?} isn't supported yet. Use GPU."
            ));
        }
        let value = requirement.value.as_deref().unwrap_or_default();
        if amounts::gpus(value).is_none() {
            return Err(format!(
                "The 'resourceRequirements' value of GPU must be a whole number of at least 1, but is {value:?}."
            ));
        }
    }
    Ok(())
}

fn check_ulimits(ulimits: &[ecs::Ulimit]) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for ulimit in ulimits {
        let name = ulimit.name.as_deref().unwrap_or_default();
        if !ecs::ULIMIT_NAME.contains(&name) {
            return Err(format!(
                "The 'ulimits' name should be one of [{}].",
                ecs::ULIMIT_NAME.join(",")
            ));
        }
        if !names.insert(name) {
            return Err(format!("The 'ulimits' name '{name}' is used more than once."));
        }
        let (Some(soft), Some(hard)) = (ulimit.soft_limit, ulimit.hard_limit) else {
            return Err(format!(
                "The ulimit '{name}' needs both 'softLimit' and 'hardLimit'."
            ));
        };
        // -1 is "unlimited", as everywhere where limits are set.
        let height = |limit: i32| if limit == -1 { i64::MAX } else { i64::from(limit) };
        if soft < -1 || hard < -1 {
            return Err(format!(
                "The limits of ulimit '{name}' must be -1 (unlimited) or more."
            ));
        }
        if height(soft) > height(hard) {
            return Err(format!(
                "The 'softLimit' of ulimit '{name}' must not be greater than its 'hardLimit'."
            ));
        }
    }
    Ok(())
}

fn check_log(log: &ecs::LogConfiguration) -> Result<(), String> {
    let driver = log.log_driver.as_deref().unwrap_or_default();
    if driver != "json-file" {
        return Err(format!(
            "Log driver '{driver}' isn't supported yet. Use json-file."
        ));
    }
    for (option, value) in log.options.iter().flatten() {
        let (fits, form) = match option.as_str() {
            "max-size" => (
                amounts::docker_size(value).is_some(),
                "a size above 0 such as 10m, 1k, 1g or plain bytes",
            ),
            "max-file" => (
                amounts::docker_count(value).is_some(),
                "a whole number of at least 1",
            ),
            _ => {
                return Err(format!(
                    "Option '{option}' of log driver json-file isn't supported yet. Known: max-size, max-file."
                ));
            }
        };
        if !fits {
            return Err(format!(
                "Option '{option}' of log driver json-file must be {form}, but is {value:?}."
            ));
        }
    }
    Ok(())
}

fn check_mounts(name: &str, mounts: &[ecs::MountPoint], volumes: &[ecs::Volume]) -> Result<(), Refusal> {
    let mut paths = BTreeSet::new();
    for mount in mounts {
        let source = mount.source_volume.as_deref().unwrap_or_default();
        if !volumes
            .iter()
            .any(|volume| volume.name.as_deref() == Some(source))
        {
            return Err(Refusal::client(format!("Unknown volume '{source}'.")));
        }
        let path = mount.container_path.as_deref().unwrap_or_default();
        task::check_path(
            path,
            &format!("containerPath of a mount point of container '{name}'"),
        )?;
        if !paths.insert(path) {
            return Err(Refusal::client(format!(
                "Invalid setting for container '{name}'. The 'containerPath' '{path}' is used more than once."
            )));
        }
    }
    Ok(())
}

/// Names are unique, and at least one container is essential.
pub(super) fn check_together(containers: &[ecs::ContainerDefinition]) -> Result<(), Refusal> {
    let mut names = BTreeSet::new();
    for container in containers {
        let name = container.name.as_deref().unwrap_or_default();
        if !names.insert(name) {
            return Err(Refusal::client(format!(
                "Container.name '{name}' is used more than once. Names must be unique in a task definition."
            )));
        }
    }
    if containers
        .iter()
        .all(|container| container.essential == Some(false))
    {
        return Err(Refusal::client(
            "TaskDefinition must include at least one essential container.",
        ));
    }
    Ok(())
}
