//! Crates name only the crates that they may, and ARCHITECTURE.md says the same.

use coo_llm_tests::gateway::workspace;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// (folder, package, the folders it may name).
const ALLOWED: [(&str, &str, &[&str]); 6] = [
    ("core", "coo-llm-core", &[]),
    ("runtime", "coo-llm-runtime", &[]),
    ("config", "coo-llm-config", &["core"]),
    ("exporters", "coo-llm-exporters", &["core"]),
    (
        "http",
        "coo-llm-http",
        &["core", "runtime", "config", "exporters"],
    ),
    (
        ".",
        "coo-llm",
        &["core", "runtime", "config", "exporters", "http"],
    ),
];

/// Members of the workspace that may name any crate.
const FREE: [&str; 3] = ["benches", "tests", "tests/xtask"];

type Edges = BTreeMap<String, BTreeSet<String>>;

/// The name by which ARCHITECTURE.md calls a crate.
fn short(package: &str) -> &str {
    package.strip_prefix("coo-llm-").unwrap_or(package)
}

fn manifest(folder: &str) -> toml::Table {
    let path = workspace().join(folder).join("Cargo.toml");
    let text = fs::read_to_string(&path);
    let text = text.unwrap_or_else(|error| unreachable!("{}: {error}", path.display()));
    text.parse().expect("a manifest is TOML")
}

/// Every dependency table of a manifest: normal, dev, build, and those of a target.
fn dependencies(manifest: &toml::Table) -> BTreeSet<String> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let mut tables = vec![manifest];
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        tables.extend(targets.values().filter_map(toml::Value::as_table));
    }
    let mut names = BTreeSet::new();
    for table in tables {
        for kind in KINDS {
            let Some(kind) = table.get(kind).and_then(toml::Value::as_table) else {
                continue;
            };
            for (name, how) in kind {
                let renamed = how.get("package").and_then(toml::Value::as_str);
                names.insert(renamed.unwrap_or(name).to_owned());
            }
        }
    }
    names
}

fn allowed() -> Edges {
    let edges = ALLOWED.iter().map(|(_, package, to)| {
        let to = to.iter().map(ToString::to_string).collect();
        (short(package).to_owned(), to)
    });
    edges.collect()
}

#[test]
fn manifests_have_no_other_edge() {
    for (folder, package, to) in ALLOWED {
        let manifest = manifest(folder);
        assert_eq!(
            manifest["package"]["name"].as_str(),
            Some(package),
            "{folder}"
        );
        let of_the_house = |name: &String| {
            ALLOWED.iter().any(|(_, p, _)| p == name) || name.starts_with("coo-llm")
        };
        for name in dependencies(&manifest).into_iter().filter(of_the_house) {
            let may = to.contains(&short(&name));
            assert!(may, "{folder}/Cargo.toml names {name}, which it may not");
        }
    }
}

#[test]
fn every_member_is_covered() {
    let root = manifest(".");
    let members = root["workspace"]["members"]
        .as_array()
        .expect("a list of members");
    for member in members {
        let member = member.as_str().expect("members are folders");
        let known =
            ALLOWED.iter().any(|(folder, _, _)| *folder == member) || FREE.contains(&member);
        assert!(known, "no rule for the edges of {member}");
    }
}

/// Lines such as "`http` -> `core`, `runtime`" or "`core` -> (nothing)".
fn written(text: &str) -> Edges {
    let mut edges = Edges::new();
    for line in text.lines() {
        let line = line.trim_start_matches(['-', '*', ' ']);
        let Some((from, to)) = line.split_once(" -> ") else {
            continue;
        };
        let name = |text: &str| Some(text.trim().strip_prefix('`')?.split_once('`')?.0.to_owned());
        let Some(from) = name(from) else { continue };
        let to = to.split(',').filter_map(name);
        let to = to.map(|package| short(&package).to_owned()).collect();
        edges.insert(short(&from).to_owned(), to);
    }
    edges
}

#[test]
fn architecture_md_has_the_same_table() {
    let path = workspace().join("ARCHITECTURE.md");
    let text = fs::read_to_string(Path::new(&path)).expect("ARCHITECTURE.md is there");
    let mut written = written(&text);
    for free in FREE {
        written.remove(free);
    }
    assert_eq!(written, allowed());
}

#[test]
fn the_table_is_read() {
    let text = "Edges:\n- `core` -> (nothing)\n* `http` -> `core`, `runtime`\na -> b\n";
    let edge = |from: &str, to: &[&str]| {
        (
            from.to_owned(),
            to.iter().map(ToString::to_string).collect(),
        )
    };
    let expected = Edges::from([edge("core", &[]), edge("http", &["core", "runtime"])]);
    assert_eq!(written(text), expected);
}
