//! Where clients want output to go.

use longshore_tests::corpus;
use longshore_tests::fuzz::{Form, Target as Fuzz};

use super::target::Target;

#[test]
fn output_target() {
    Fuzz::new(corpus!("output_target"), Form::Text).run(|input| {
        let uri = std::str::from_utf8(input).unwrap();
        let target = match Target::parse(uri) {
            Ok(target) => target,
            Err(error) => return error.to_string(),
        };
        match target {
            Target::Null => assert!(uri.is_empty()),
            Target::Path(path) | Target::File(path) | Target::Log(path) => {
                assert!(path.is_absolute(), "{path:?}")
            }
            Target::Binary { program, args } => {
                assert!(program.is_absolute(), "{program:?}");
                assert_eq!(args.len() % 2, 0, "{args:?}");
                return format!("binary {}", args.len().min(6));
            }
        }
        uri.split(':').next().unwrap_or_default().to_owned()
    });
}
