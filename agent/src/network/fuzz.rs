//! What plugins answer, what is remembered of that, and the host's own files.

use longshore_tests::corpus;
use longshore_tests::fuzz::{Form, Target};

use super::record::{Found, Record};
use super::{chain, plugin, resolv};

#[test]
fn cni_answer() {
    // An object of one member takes eight bytes as text, and six hundred in memory, twice.
    Target::new(corpus!("cni_answer"), Form::Json)
        .holds(200)
        .run(|input| {
            let failed = plugin::answer(false, input).unwrap_err();
            match plugin::answer(true, input) {
                Ok(result) => {
                    let next = chain::with_previous(&serde_json::json!({"type": "firewall"}), &result);
                    assert_eq!(next["type"], "firewall");
                    format!("{} {failed}", chain::addresses(&result).len().min(3))
                }
                Err(why) => format!("{why} {failed}"),
            }
        });
}

#[test]
fn attachment_record() {
    Target::new(corpus!("attachment_record"), Form::Json).run(|input| match Record::parse(input) {
        Found::Record(record) => {
            for config in &record.plugins {
                let config = chain::with_previous(config, &record.result);
                assert!(config["type"].is_string(), "a plugin without a name");
            }
            let written = serde_json::to_vec(&record).unwrap();
            assert!(matches!(Record::parse(&written), Found::Record(_)));
            format!("{} {}", record.plugins.len().min(3), record.bindings.is_empty())
        }
        Found::Unreadable(why) => why,
        Found::Nothing => "nothing".to_owned(),
    });
}

#[test]
fn resolv_conf() {
    Target::new(corpus!("resolv_conf"), Form::Text).run(|input| {
        let text = std::str::from_utf8(input).unwrap();
        let made = resolv::resolv_conf(text, None, resolv::View::Bridge);
        assert!(made.lines().any(resolv::is_servers), "{made:?}");
        if text.contains('\r') {
            return "ends of lines of another system".to_owned();
        }
        let again = resolv::resolv_conf(&made, None, resolv::View::Bridge);
        assert_eq!(again, made, "what is made can be made of again");
        format!("{}", made.contains("8.8.8.8"))
    });
}
