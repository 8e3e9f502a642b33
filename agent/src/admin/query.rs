//! What a log reader asks for.

use super::Refusal;

/// What of a task's output to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// The task's id or ARN.
    pub task: String,
    /// The container; may be left out where the task has one only.
    pub container: Option<String>,
    /// Whether to go on with what is written from now on, until the container has stopped.
    pub follow: bool,
    /// Only the last so many records; all that are kept where absent.
    pub tail: Option<usize>,
}

impl LogQuery {
    /// From a URL's query.
    ///
    /// # Errors
    /// [`Refusal::BadRequest`] names the parameter.
    pub fn parse(query: &str) -> Result<Self, Refusal> {
        let mut found = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "task" => found.task = value.into_owned(),
                "container" => found.container = Some(value.into_owned()),
                "follow" => found.follow = value.parse().map_err(|_| bad("follow", "true or false"))?,
                "tail" => found.tail = Some(value.parse().map_err(|_| bad("tail", "a number"))?),
                other => return Err(Refusal::BadRequest(format!("there is no parameter {other}"))),
            }
        }
        match found.task.is_empty() {
            true => Err(bad("task", "a task's id or ARN")),
            false => Ok(found),
        }
    }

    /// Path and query of the request.
    #[must_use]
    pub fn path(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("task", &self.task);
        if let Some(container) = &self.container {
            query.append_pair("container", container);
        }
        if self.follow {
            query.append_pair("follow", "true");
        }
        if let Some(tail) = self.tail {
            query.append_pair("tail", &tail.to_string());
        }
        format!("/v1/logs?{}", query.finish())
    }
}

fn bad(name: &str, form: &str) -> Refusal {
    Refusal::BadRequest(format!("{name} must be {form}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn queries_round_trip(task in ".{1,40}", container in proptest::option::of(".{0,20}"), follow: bool, tail: Option<usize>) {
            let query = LogQuery { task, container, follow, tail };
            let path = query.path();
            prop_assert_eq!(LogQuery::parse(path.split_once('?').unwrap().1).unwrap(), query);
        }
    }

    #[test]
    fn a_bad_parameter_is_named() {
        for (query, text) in [
            ("", "task must be a task's id or ARN"),
            ("task=a&tail=x", "tail must be a number"),
            ("task=a&follow=maybe", "follow must be true or false"),
            ("task=a&since=1", "there is no parameter since"),
        ] {
            assert_eq!(LogQuery::parse(query).unwrap_err().to_string(), text);
        }
    }
}
