//! Log files, of which a container writes every byte between the quotes.

use longshore_protocol::json_file;
use longshore_tests::corpus;
use longshore_tests::fuzz::{Form, Target};

#[test]
fn log_line() {
    Target::new(corpus!("log_line"), Form::Json).run(|input| match json_file::parse(input) {
        Ok(record) => {
            assert!(record.log.len() <= input.len(), "it grew");
            format!("{:?}", record.stream)
        }
        Err(error) => error.to_string(),
    });
}
