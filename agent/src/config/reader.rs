//! Settings by name, and what is wrong with them: each is taken out once and judged once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use longshore_protocol::settings_file;

use super::duration::{self, DURATION_FORM, TRUTH_FORM};
use super::forms::absolute;
use super::{Fault, Warning, names};

/// How many lines that are no settings are told one by one: a file that is something else has thousands.
pub(super) const LINES_TOLD: usize = 20;
pub(super) const PATH_FORM: &str = "an absolute path";

#[derive(Default)]
pub(super) struct Reader {
    pub(super) values: BTreeMap<String, String>,
    pub(super) warnings: Vec<Warning>,
    pub(super) faults: Vec<Fault>,
}

impl Reader {
    pub(super) fn gather(file: Option<&str>, environment: impl Iterator<Item = (String, String)>) -> Self {
        let mut reader = Self::default();
        let (settings, bad) = file.map(settings_file::parse).unwrap_or_default();
        let fault = |bad: &settings_file::BadLine| Fault::Line {
            line: bad.number,
            why: bad.why,
        };
        reader.faults.extend(bad.iter().take(LINES_TOLD).map(fault));
        if bad.len() > LINES_TOLD {
            let more = bad.len() - LINES_TOLD;
            reader.faults.push(Fault::Lines { more });
        }
        for (name, value) in settings {
            reader.put(&name, &value, true);
        }
        for (name, value) in environment {
            let upper = name.to_ascii_uppercase();
            if names::PROXY.contains(&upper.as_str()) {
                reader.put(&upper, &value, false);
            } else if (name.starts_with("ECS_") || name.starts_with("LONGSHORE_"))
                && !name.starts_with(names::OF_TESTS)
            {
                reader.put(&name, &value, false);
            }
        }
        reader
    }

    fn put(&mut self, name: &str, value: &str, once: bool) {
        let value = value.trim();
        if value.is_empty() {
            return;
        }
        if self.values.insert(name.to_owned(), value.to_owned()).is_some() && once {
            self.warn(
                name,
                "stands in the settings file more than once; the last one counts",
            );
        }
    }

    pub(super) fn warn(&mut self, name: &str, text: impl Into<String>) {
        self.warnings.push(Warning {
            name: name.to_owned(),
            text: text.into(),
        });
    }

    pub(super) fn judge_names(&mut self) {
        let all: Vec<String> = self.values.keys().cloned().collect();
        for name in all {
            let is = |list: &[&str]| list.contains(&name.as_str());
            if is(names::ECS) || is(names::LONGSHORE) || is(names::PROXY) {
                continue;
            }
            if is(names::ECS_NOT_SUPPORTED) {
                self.warn(
                    &name,
                    "is a setting of the ECS agent that this agent does not have; it is ignored",
                );
            } else if is(names::LONGSHORE_OTHERS) {
                self.warn(
                    &name,
                    "is for the longshore command; this agent takes ECS_CLUSTER",
                );
            } else if name.starts_with("LONGSHORE_") {
                let suggestion = names::nearest(&name);
                self.faults.push(Fault::Unknown { name, suggestion });
            } else {
                let hint = names::nearest(&name).map(|known| format!("; did you mean {known}?"));
                let text = format!(
                    "is no setting of this agent{}; it is ignored",
                    hint.unwrap_or_default()
                );
                self.warn(&name, text);
            }
        }
    }

    pub(super) fn parsed<T>(
        &mut self,
        name: &'static str,
        allowed: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.values.remove(name)?;
        let parsed = parse(&value);
        if parsed.is_none() {
            self.faults.push(Fault::Value { name, value, allowed });
        }
        parsed
    }

    /// Of two names for one setting the first, with a warning when both are set.
    pub(super) fn preferred<T>(
        &mut self,
        name: &'static str,
        other: &'static str,
        allowed: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        if self.values.contains_key(name) && self.values.contains_key(other) {
            self.warn(other, format!("{name} is set too and wins"));
        }
        let second = self.parsed(other, allowed, &parse);
        self.parsed(name, allowed, parse).or(second)
    }

    pub(super) fn text(
        &mut self,
        name: &'static str,
        allowed: &'static str,
        default: &str,
        good: impl FnOnce(&str) -> bool,
    ) -> String {
        self.parsed(name, allowed, |text| good(text).then(|| text.to_owned()))
            .unwrap_or_else(|| default.to_owned())
    }

    pub(super) fn path(&mut self, name: &'static str, default: &str) -> PathBuf {
        self.parsed(name, PATH_FORM, absolute)
            .unwrap_or_else(|| PathBuf::from(default))
    }

    pub(super) fn flag(&mut self, name: &'static str) -> bool {
        self.parsed(name, TRUTH_FORM, duration::truth).unwrap_or(false)
    }

    pub(super) fn duration(&mut self, name: &'static str, default: Duration) -> Duration {
        self.parsed(name, DURATION_FORM, duration::duration)
            .unwrap_or(default)
    }

    /// A duration that is raised to `least`; zero is the default, as in the existing agent.
    pub(super) fn at_least(&mut self, name: &'static str, least: Duration, default: Duration) -> Duration {
        let value = self.duration(name, default);
        let (used, why) = match value {
            Duration::ZERO => (default, "is zero".to_owned()),
            _ if value < least => (least, format!("is less than {}", duration::display(least))),
            _ => return value,
        };
        self.warn(name, format!("{why}; {} is used", duration::display(used)));
        used
    }
}
