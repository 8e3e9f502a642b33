//! Tags: the rules that hold for everything that can be tagged.

use std::collections::BTreeSet;

use longshore_protocol::ecs;

use super::Refusal;

/// The most tags of a resource.
pub const MAX_TAGS: usize = 50;
const MAX_KEY_CHARS: usize = 128;
const MAX_VALUE_CHARS: usize = 256;

/// Judges the tags of a new resource: how many, how long, which characters, no key twice, none of AWS's own.
///
/// # Errors
/// An `InvalidParameterException` that names the tag.
pub fn check_tags(tags: &[ecs::Tag]) -> Result<(), Refusal> {
    if tags.len() > MAX_TAGS {
        return Err(Refusal::parameter(format!(
            "A resource can have at most {MAX_TAGS} tags, but {} were given.",
            tags.len()
        )));
    }
    let mut keys = BTreeSet::new();
    for tag in tags {
        let key = tag.key.as_deref().unwrap_or_default();
        let value = tag.value.as_deref().unwrap_or_default();
        if !(1..=MAX_KEY_CHARS).contains(&key.chars().count()) {
            return Err(Refusal::parameter(format!(
                "A tag key must have between 1 and {MAX_KEY_CHARS} characters: {key:?}."
            )));
        }
        if value.chars().count() > MAX_VALUE_CHARS {
            return Err(Refusal::parameter(format!(
                "The value of tag {key:?} must have at most {MAX_VALUE_CHARS} characters."
            )));
        }
        if !key.chars().chain(value.chars()).all(is_tag_char) {
            return Err(Refusal::parameter(format!(
                "Tag {key:?} contains invalid characters. Letters, digits, spaces and _ . : / = + - @ are allowed."
            )));
        }
        if key
            .get(..4)
            .is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:"))
        {
            return Err(Refusal::parameter(format!(
                "Tag key {key:?} is reserved: keys must not begin with 'aws:'."
            )));
        }
        if !keys.insert(key) {
            return Err(Refusal::parameter(format!(
                "Tag key {key:?} is given more than once."
            )));
        }
    }
    Ok(())
}

fn is_tag_char(c: char) -> bool {
    c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> ecs::Tag {
        ecs::Tag {
            key: Some(key.into()),
            value: Some(value.into()),
        }
    }

    #[test]
    fn tags_keep_to_the_rules() {
        check_tags(&[tag("a", ""), tag("A", "ü/1 +-@="), tag("zone:x", "1")]).unwrap();
        for (bad, says) in [
            (vec![tag("", "x")], "between 1 and 128"),
            (vec![tag(&"k".repeat(129), "x")], "between 1 and 128"),
            (vec![tag("k", &"v".repeat(257))], "at most 256"),
            (vec![tag("a", "1"), tag("a", "2")], "more than once"),
            (vec![tag("AWS:x", "1")], "reserved"),
            (vec![tag("a#", "1")], "invalid characters"),
            (vec![tag("a", "1"); 51], "at most 50"),
        ] {
            let refusal = check_tags(&bad).unwrap_err();
            assert_eq!(refusal.code, "InvalidParameterException");
            assert!(refusal.message.contains(says), "{refusal}");
        }
    }
}
