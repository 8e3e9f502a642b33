//! Environment files, which are anybody's.

use std::path::Path;

use longshore_tests::corpus;
use longshore_tests::fuzz::{Form, Target};

#[test]
fn environment_file() {
    Target::new(corpus!("environment_file"), Form::Bytes)
        .holds(200)
        .run(|input| match super::parse(Path::new("/e.env"), input) {
            Ok(pairs) => {
                for (number, (name, value)) in pairs.iter().enumerate() {
                    assert!(!name.is_empty() && !name.contains(['=', '\0', '\n']), "{name:?}");
                    assert!(!value.contains(['\0', '\n']), "{value:?}");
                    assert!(
                        pairs[..number]
                            .iter()
                            .rev()
                            .take(20)
                            .all(|(other, _)| other != name),
                        "{name:?} twice"
                    );
                }
                format!("{}", pairs.len().min(3))
            }
            Err(error) => {
                let words = error.to_string();
                assert!(words.contains("/e.env"), "{words}");
                words
            }
        });
}
