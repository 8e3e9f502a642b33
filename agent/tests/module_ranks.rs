//! A module imports only modules of a lower rank: the table in `src/lib.rs` against the `crate::` paths in the sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Module → rank, from the table.
fn ranks(lib: &str) -> BTreeMap<String, u32> {
    let mut ranks = BTreeMap::new();
    for line in lib.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let mut cells = line.split('|').map(str::trim);
        let (Some(Ok(rank)), Some(modules)) = (cells.next().map(str::parse), cells.next()) else {
            continue;
        };
        for module in modules.split(',') {
            ranks.insert(module.trim().trim_matches('`').to_owned(), rank);
        }
    }
    ranks
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The modules that a text names after `crate::`, those in braces too.
fn named(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in text.split("crate::").skip(1) {
        let word = |text: &str| -> String {
            text.chars()
                .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                .collect()
        };
        match part.strip_prefix('{') {
            Some(list) => {
                let list = list.split('}').next().unwrap_or_default();
                found.extend(list.split(',').map(|each| word(each.trim())));
            }
            None => found.push(word(part)),
        }
    }
    found
}

/// Tests may use what stands above them: a real clock, a fake of a lower part.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod ").next().unwrap_or_default()
}

#[test]
fn modules_import_downwards_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let lib = std::fs::read_to_string(src.join("lib.rs")).unwrap();
    let ranks = ranks(&lib);
    let declared = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let unranked: Vec<_> = declared.filter(|module| !ranks.contains_key(*module)).collect();
    assert!(
        unranked.is_empty(),
        "modules without a rank in lib.rs: {unranked:?}"
    );

    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut wrong = Vec::new();
    let mut seen = 0;
    for path in files {
        let inside = path.strip_prefix(&src).unwrap();
        let top = inside.components().next().unwrap().as_os_str().to_string_lossy();
        let module = top.trim_end_matches(".rs").to_owned();
        let is_test = inside.to_string_lossy().contains("test");
        let Some(rank) = ranks.get(&module).filter(|_| !is_test) else {
            continue;
        };
        let text = std::fs::read_to_string(&path).unwrap();
        for name in named(without_tests(&text)) {
            let Some(other) = ranks.get(&name).filter(|_| name != module) else {
                continue;
            };
            seen += 1;
            if other >= rank {
                wrong.push(format!(
                    "{}: {module} ({rank}) uses {name} ({other})",
                    inside.display()
                ));
            }
        }
    }
    assert!(
        seen > 100,
        "only {seen} imports were seen: is this test still reading the sources?"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
