// SPDX-License-Identifier: Apache-2.0
//! The workspace's shape: which crate may use which of ours. The table is the one in `docs/ARCHITECTURE.md`; the test
//! compares it with what the manifests say.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::command::cargo;

/// Each crate with what it may use: crates of ours, by their folder. Development dependencies may use anything but
/// what `NEVER` names, since tests wire things together.
const MAY_USE: &[(&str, &[&str])] = &[
    ("registry/model", &[]),
    ("registry/blobs", &["registry/model"]),
    ("registry/catalog", &["registry/model"]),
    ("registry/access", &["registry/model"]),
    ("registry/formats", &["registry/model"]),
    ("registry/upstream", &["registry/model"]),
    (
        "registry/distribution",
        &[
            "registry/model",
            "registry/blobs",
            "registry/catalog",
            "registry/access",
            "registry/formats",
            "registry/upstream",
        ],
    ),
    ("controlplane/rules", &["registry/model", "registry/access"]),
    (
        "controlplane/meta",
        &[
            "registry/model",
            "registry/catalog",
            "registry/access",
            "controlplane/rules",
        ],
    ),
    ("controlplane/wire", &["registry/model"]),
    (
        "controlplane/operations",
        &[
            "registry/model",
            "registry/blobs",
            "registry/access",
            "registry/catalog",
            "controlplane/rules",
            "controlplane/meta",
        ],
    ),
    (
        "controlplane/jobs",
        &[
            "registry/model",
            "registry/blobs",
            "registry/access",
            "registry/catalog",
            "registry/upstream",
            "controlplane/rules",
            "controlplane/meta",
            "controlplane/wire",
        ],
    ),
    (
        "controlplane/rest",
        &[
            "registry/model",
            "registry/access",
            "registry/catalog",
            "controlplane/operations",
            "controlplane/wire",
        ],
    ),
    (
        "controlplane/server",
        &[
            "registry/model",
            "registry/blobs",
            "registry/catalog",
            "registry/access",
            "registry/distribution",
            "registry/upstream",
            "controlplane/rules",
            "controlplane/meta",
            "controlplane/wire",
            "controlplane/operations",
            "controlplane/jobs",
            "controlplane/rest",
        ],
    ),
    ("controlplane/client", &["registry/model", "controlplane/wire"]),
    (
        "controlplane/cli",
        &[
            "registry/model",
            "controlplane/rules",
            "controlplane/wire",
            "controlplane/client",
        ],
    ),
    ("controlplane/hythe", &["controlplane/server", "controlplane/cli"]),
    ("provider/tfplugin/derive", &[]),
    ("provider/tfplugin", &["provider/tfplugin/derive"]),
    (
        "provider",
        &[
            "provider/tfplugin",
            "registry/model",
            "controlplane/rules",
            "controlplane/wire",
            "controlplane/client",
        ],
    ),
    ("tests/e2e", &[]),
    ("tests/bench", &["tests/e2e"]),
    (
        "tests/fuzz-targets",
        &[
            "registry/model",
            "registry/blobs",
            "registry/catalog",
            "registry/access",
            "registry/formats",
            "registry/distribution",
            "controlplane/rules",
            "controlplane/rest",
        ],
    ),
    ("tests/conformance", &["tests/e2e"]),
    ("tests/xtask", &["tests/e2e", "tests/conformance"]),
];

/// Who never reaches whom, over any number of steps and in tests as well: the two rules that carry the weight.
const NEVER: &[(&str, &[&str])] = &[
    ("registry/", &["controlplane/", "provider"]),
    ("provider", SERVER),
    ("controlplane/client", SERVER),
    ("controlplane/cli", SERVER),
    ("provider/tfplugin", &["registry/", "controlplane/"]),
];

const SERVER: &[&str] = &[
    "controlplane/meta",
    "controlplane/operations",
    "controlplane/rest",
    "controlplane/server",
    "registry/distribution",
    "registry/blobs",
    "registry/catalog",
];

/// A crate's dependencies among ours, by folder, with whether they are for tests only.
type Graph = BTreeMap<String, Vec<(String, bool)>>;

fn graph() -> Graph {
    let output = cargo(&["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let root = format!("{}/", metadata["workspace_root"].as_str().unwrap());
    let relative = |path: &str| {
        path.trim_start_matches(&root)
            .trim_end_matches("/Cargo.toml")
            .to_owned()
    };
    let mut graph = Graph::new();
    for package in metadata["packages"].as_array().unwrap() {
        let ours = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|dependency| Some((relative(dependency["path"].as_str()?), dependency["kind"] == "dev")));
        graph.insert(relative(package["manifest_path"].as_str().unwrap()), ours.collect());
    }
    graph
}

#[test]
fn every_crate_uses_only_what_the_table_allows() {
    let mut wrong = Vec::new();
    let graph = graph();
    for (name, dependencies) in &graph {
        let Some((_, allowed)) = MAY_USE.iter().find(|(known, _)| known == name) else {
            wrong.push(format!(
                "{name} is not in the table: add it here and in docs/ARCHITECTURE.md"
            ));
            continue;
        };
        for (used, is_dev) in dependencies {
            if !is_dev && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{name} may not use {used}"));
            }
        }
    }
    wrong.extend(
        MAY_USE
            .iter()
            .filter(|(known, _)| !graph.contains_key(*known))
            .map(|(it, _)| format!("{it} is gone")),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_data_plane_never_reaches_the_control_plane_and_clients_never_reach_the_server() {
    let graph = graph();
    let mut wrong = Vec::new();
    for (name, dependencies) in &graph {
        // Tests count for the crate itself, not for those that use it.
        let mut reached: Vec<String> = dependencies.iter().map(|(used, _)| used.clone()).collect();
        let mut next = 0;
        while let Some(current) = reached.get(next).cloned() {
            let further = graph.get(&current).into_iter().flatten().filter(|(_, is_dev)| !is_dev);
            for (used, _) in further {
                if !reached.contains(used) {
                    reached.push(used.clone());
                }
            }
            next += 1;
        }
        for (from, forbidden) in NEVER {
            let applies = name == from || from.ends_with('/') && name.starts_with(from);
            for to in forbidden.iter().filter(|_| applies) {
                let is_to = |it: &&String| *it == to || to.ends_with('/') && it.starts_with(to);
                wrong.extend(reached.iter().find(is_to).map(|it| format!("{name} reaches {it}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_crate_takes_lints_edition_and_licence_from_the_workspace() {
    for name in graph().keys() {
        let path = e2e::binary::workspace_folder().join(name).join("Cargo.toml");
        let manifest = std::fs::read_to_string(&path).unwrap();
        for line in [
            "edition.workspace = true",
            "rust-version.workspace = true",
            "license.workspace = true",
        ] {
            assert!(manifest.contains(line), "{name}: no `{line}`");
        }
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{name}: no `[lints] workspace = true`"
        );
    }
}

#[test]
fn every_source_file_names_its_licence() {
    let root = e2e::binary::workspace_folder();
    let mut folders: Vec<_> = ["registry", "controlplane", "provider", "tests"]
        .map(|it| root.join(it))
        .into();
    let mut missing = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs" || it == "toml") {
                let text = std::fs::read_to_string(&path).unwrap();
                let first = text.lines().next().unwrap_or_default();
                if !first.ends_with("SPDX-License-Identifier: Apache-2.0") {
                    missing.push(path.display().to_string());
                }
            }
        }
    }
    assert!(missing.is_empty(), "no SPDX line in {}", missing.join(", "));
}
