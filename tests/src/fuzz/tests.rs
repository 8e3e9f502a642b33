use super::*;

/// A target with a corpus of its own, below a folder that stands for a workspace.
fn target(form: Form, inputs: &[&str]) -> (tempfile::TempDir, Target) {
    let workspace = tempfile::tempdir().unwrap();
    let corpus = workspace.path().join("crate/fuzz/planted");
    std::fs::create_dir_all(&corpus).unwrap();
    for (number, input) in inputs.iter().enumerate() {
        std::fs::write(corpus.join(number.to_string()), input).unwrap();
    }
    let mut target = Target::new(corpus.to_str().unwrap(), form);
    target.runs = 5_000;
    (workspace, target)
}

/// What a run fails with.
fn failure(target: &Target, take: impl Fn(&[u8]) -> String) -> String {
    let failed = catch_unwind(AssertUnwindSafe(|| target.run(take)));
    words_of(&*failed.expect_err("the bug is found"))
}

#[test]
fn a_text_that_is_cut_between_two_words_is_found_and_made_small() {
    let (workspace, target) = target(Form::Text, &["name=value; other=\"a b\"; last=1", "x=y"]);
    let why = failure(&target, |input| {
        let text = std::str::from_utf8(input).unwrap();
        // As someone would write it who trusts the other end.
        let quoted = text
            .split_once('"')
            .map(|(_, rest)| &rest[..rest.find('"').unwrap()]);
        quoted.unwrap_or_default().to_owned()
    });
    assert!(why.contains("for \"\\\"\""), "{why}");
    let found = std::fs::read_dir(workspace.path().join("target/fuzz/crate/planted")).unwrap();
    let found: Vec<_> = found
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert_eq!(found, [b"\"".to_vec()]);
}

#[test]
fn a_text_is_made_small_without_cutting_its_letters() {
    let (_workspace, target) = target(Form::Text, &["größe=1; größe=2", "x=y"]);
    let why = failure(&target, |input| {
        let text = std::str::from_utf8(input).unwrap();
        assert!(text.matches('ö').count() < 3, "too wide");
        text.len().to_string()
    });
    assert!(why.starts_with("too wide") && !why.contains('='), "{why}");
}

#[test]
fn what_only_a_member_of_the_wrong_kind_does_is_found() {
    let (_workspace, target) = target(Form::Json, &[r#"{"list":[{"size":1,"name":"a"}],"other":"b"}"#]);
    let why = failure(&target, |input| {
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(input) else {
            return "no JSON".to_owned();
        };
        let list = value["list"].as_array().cloned().unwrap_or_default();
        assert!(
            list.iter().all(|each| each["size"].as_u64() != Some(u64::MAX)),
            "too large"
        );
        format!("{} {}", list.len(), value["other"].is_string())
    });
    assert!(why.starts_with("too large"), "{why}");
}

#[test]
fn memory_beyond_what_the_input_is_worth_is_found() {
    let (_workspace, target) = target(Form::Json, &[r#"{"list":[{}]}"#]);
    let why = failure(&target, |input| {
        let value: serde_json::Value = serde_json::from_slice(input).unwrap_or_default();
        let large: Vec<[u64; 100]> = value["list"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|_| [0; 100])
            .collect();
        large.len().to_string()
    });
    assert!(why.starts_with("it held"), "{why}");
}

#[test]
fn work_beyond_what_the_input_is_worth_is_found() {
    let (_workspace, target) = target(Form::Text, &["a,b,c"]);
    let why = failure(&target, |input| {
        // Each word copies all that came before.
        let words = input.split(|byte| *byte == b',').count();
        (0..words)
            .map(|_| input.to_vec().len())
            .max()
            .unwrap_or_default()
            .to_string()
    });
    assert!(why.starts_with("it allocated"), "{why}");
}

#[test]
fn a_corpus_entry_that_fails_is_named() {
    let (_workspace, target) = target(Form::Bytes, &["fine", "bad"]);
    let why = failure(&target, |input| {
        assert_ne!(input, b"bad", "as planted");
        String::new()
    });
    assert!(
        why.contains("/crate/fuzz/planted/1: ") && why.contains("as planted"),
        "{why}"
    );
}

#[test]
fn a_decoder_that_is_right_passes() {
    let (_workspace, target) = target(Form::Json, &[r#"{"a":[1,2,{"b":"c"}]}"#]);
    target.run(|input| match serde_json::from_slice::<serde_json::Value>(input) {
        Ok(value) => {
            assert!(
                value.to_string().len() <= 8 * input.len(),
                "control characters are the worst"
            );
            "read".to_owned()
        }
        Err(error) => error.to_string(),
    });
}
