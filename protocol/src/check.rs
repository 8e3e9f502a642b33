//! What the service model says of a request beyond its types: required members, limits, enum values.
//!
//! The generated shapes implement [`Check`]; the first violation found wins, in the order of the model's members.
//! Rules that hold between members are not here: they belong to the operation.

/// Where in a request a value stands, for error texts: `containerDefinitions[0].name`.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Member(&'a str),
    Index(usize),
}

impl<'a> Path<'a> {
    /// The request itself.
    pub const ROOT: Path<'static> = Path {
        parent: None,
        step: Step::Root,
    };

    /// A member of the structure or map at this path.
    #[must_use]
    pub fn member(&'a self, name: &'a str) -> Path<'a> {
        Path {
            parent: Some(self),
            step: Step::Member(name),
        }
    }

    /// An element of the list at this path.
    #[must_use]
    pub fn index(&'a self, index: usize) -> Path<'a> {
        Path {
            parent: Some(self),
            step: Step::Index(index),
        }
    }
}

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
            if let (Step::Member(_), Step::Member(_) | Step::Index(_)) = (self.step, parent.step) {
                f.write_str(".")?;
            }
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Member(name) => f.write_str(name),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// A request that the service model does not allow. The text names the member and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A required member is absent.
    #[error("{path} should not be null or empty.")]
    Missing {
        /// The member.
        path: String,
    },
    /// A string is none of the enum's values.
    #[error("{path} should be one of [{}]", allowed.join(","))]
    NotOneOf {
        /// The member.
        path: String,
        /// The values that the model lists.
        allowed: &'static [&'static str],
    },
    /// A string or list is too short or too long, or a number too small or too large.
    #[error("{path} must be {}, but is {actual}", bounds(*low, *high))]
    OutOfBounds {
        /// The member.
        path: String,
        /// Characters, elements, or the number itself.
        actual: i64,
        /// The smallest that is allowed.
        low: Option<i64>,
        /// The largest that is allowed.
        high: Option<i64>,
    },
}

fn bounds(low: Option<i64>, high: Option<i64>) -> String {
    match (low, high) {
        (Some(low), Some(high)) => format!("between {low} and {high}"),
        (Some(low), None) => format!("at least {low}"),
        (None, Some(high)) => format!("at most {high}"),
        (None, None) => "anything".to_owned(),
    }
}

/// A shape that knows what the service model requires of it.
pub trait Check {
    /// Says the first thing that is wrong, with its path.
    ///
    /// # Errors
    /// The [`Violation`].
    fn check(&self, path: &Path<'_>) -> Result<(), Violation>;
}

pub(crate) fn present<T>(member: &Option<T>, path: &Path<'_>) -> Result<(), Violation> {
    match member {
        Some(_) => Ok(()),
        None => Err(Violation::Missing {
            path: path.to_string(),
        }),
    }
}

pub(crate) fn one_of(
    value: &str,
    allowed: &'static [&'static str],
    path: &Path<'_>,
) -> Result<(), Violation> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(Violation::NotOneOf {
        path: path.to_string(),
        allowed,
    })
}

pub(crate) fn length(
    actual: usize,
    low: Option<i64>,
    high: Option<i64>,
    path: &Path<'_>,
) -> Result<(), Violation> {
    range(i64::try_from(actual).unwrap_or(i64::MAX), low, high, path)
}

pub(crate) fn range(
    actual: i64,
    low: Option<i64>,
    high: Option<i64>,
    path: &Path<'_>,
) -> Result<(), Violation> {
    if low.is_some_and(|low| actual < low) || high.is_some_and(|high| actual > high) {
        return Err(Violation::OutOfBounds {
            path: path.to_string(),
            actual,
            low,
            high,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecs;

    #[test]
    fn a_missing_member_is_named_by_its_path() {
        let request: ecs::RegisterTaskDefinitionRequest = serde_json::from_str(
            r#"{"family":"f","containerDefinitions":[{"name":"a","ulimits":[{"name":"nofile","softLimit":1}]}]}"#,
        )
        .unwrap();
        let violation = request.check(&Path::ROOT).unwrap_err();
        assert_eq!(
            violation.to_string(),
            "containerDefinitions[0].ulimits[0].hardLimit should not be null or empty."
        );
    }

    #[test]
    fn an_unknown_enum_value_is_answered_with_the_known_ones() {
        let request = ecs::RunTaskRequest {
            task_definition: Some("f".into()),
            launch_type: Some("MOON".into()),
            ..Default::default()
        };
        assert_eq!(
            request.check(&Path::ROOT).unwrap_err().to_string(),
            "launchType should be one of [EC2,FARGATE,EXTERNAL,MANAGED_INSTANCES]"
        );
    }

    #[test]
    fn limits_are_checked() {
        let request = ecs::RunTaskRequest {
            task_definition: Some("f".into()),
            tags: Some(vec![ecs::Tag {
                key: Some(String::new()),
                value: None,
            }]),
            ..Default::default()
        };
        assert_eq!(
            request.check(&Path::ROOT).unwrap_err().to_string(),
            "tags[0].key must be between 1 and 128, but is 0"
        );
    }
}
