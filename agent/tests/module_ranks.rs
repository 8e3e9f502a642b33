//! A module imports only modules of a lower rank: the table in `src/lib.rs` against the sources.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test: a panic is how it fails"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Rank by module, from the table in the crate's documentation.
fn ranks() -> BTreeMap<String, u32> {
    let text = std::fs::read_to_string(source("lib.rs")).unwrap();
    let mut ranks = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<_> = line.trim_start_matches("//!").split('|').map(str::trim).collect();
        let [_, rank, modules, _] = cells.as_slice() else {
            continue;
        };
        let Ok(rank) = rank.parse() else { continue };
        for module in modules.split(',') {
            ranks.insert(module.trim().trim_matches('`').to_owned(), rank);
        }
    }
    ranks
}

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(path)
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

/// The modules that a source names after `crate::`, braces after it included.
fn imports(text: &str) -> Vec<String> {
    let code: Vec<_> = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let list = match rest.strip_prefix('{') {
            Some(group) => first_names(group),
            None => vec![rest.to_owned()],
        };
        for name in list {
            let end = name.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
            found.push(name[..end.unwrap_or(name.len())].to_owned());
        }
    }
    found
}

/// The first name of each member of a brace group, whose opening brace is gone.
fn first_names(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut name) = (0, Vec::new(), String::new());
    for letter in group.chars() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(std::mem::take(&mut name)),
            _ => name.push(letter),
        }
    }
    names.push(name);
    names
        .into_iter()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

fn module_of(path: &Path) -> String {
    let inside = path.strip_prefix(source("")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn imports_go_down() {
    let ranks = ranks();
    assert!(ranks.len() > 20, "the table was not read: {ranks:?}");
    let mut sources = Vec::new();
    files(&source(""), &mut sources);
    let mut faults = Vec::new();
    for path in sources {
        let module = module_of(&path);
        if module == "lib" || module == "main" {
            continue;
        }
        let Some(rank) = ranks.get(&module) else {
            faults.push(format!("{module} has no rank in src/lib.rs"));
            continue;
        };
        let text = std::fs::read_to_string(&path).unwrap();
        for import in imports(&text) {
            if import == module || !ranks.contains_key(&import) {
                continue;
            }
            if ranks.get(&import).is_some_and(|other| other >= rank) {
                faults.push(format!(
                    "{} ({rank}) imports {import} ({})",
                    path.display(),
                    ranks[&import]
                ));
            }
        }
    }
    faults.sort();
    faults.dedup();
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn imports_are_found_in_every_form() {
    let text = "use crate::model::{A, b::C};\nuse crate::{clock::Clock, plan, store::{X, Y}};\n// crate::no\nlet x = crate::runtime::f();";
    assert_eq!(imports(text), ["model", "clock", "plan", "store", "runtime"]);
}
