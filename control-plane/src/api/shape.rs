//! A list where a structure belongs. serde takes it for the structure's members in their order; AWS refuses it.

use serde_json::Value;

/// The path of the first list in `given` that was read as a structure, by what became of it.
pub(super) fn list_for_structure(given: &Value, read: &Value) -> Option<String> {
    match (given, read) {
        (Value::Array(_), Value::Object(_)) => Some(String::new()),
        (Value::Object(given), Value::Object(read)) => given.iter().find_map(|(name, value)| {
            let path = list_for_structure(value, read.get(name)?)?;
            Some(format!(".{name}{path}"))
        }),
        (Value::Array(given), Value::Array(read)) => {
            given
                .iter()
                .zip(read)
                .enumerate()
                .find_map(|(index, (given, read))| {
                    Some(format!("[{index}]{}", list_for_structure(given, read)?))
                })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_protocol::ecs::RunTaskRequest;

    fn check(json: &str) -> Option<String> {
        let request: RunTaskRequest = serde_json::from_str(json).unwrap();
        let given = serde_json::from_str(json).unwrap();
        list_for_structure(&given, &serde_json::to_value(request).unwrap())
    }

    #[test]
    fn lists_are_found_where_they_stand() {
        assert_eq!(
            check(r#"{"overrides":{"containerOverrides":[{"name":"a"}]},"x":[],"tags":null}"#),
            None
        );
        assert_eq!(check(r#"{"overrides":[]}"#).unwrap(), ".overrides");
        assert_eq!(check(r#"{"tags":[{"key":"a"},["b"]]}"#).unwrap(), ".tags[1]");
    }
}
