// SPDX-License-Identifier: Apache-2.0
//! Every example is one that Terraform accepts.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::server::Server;
use crate::terraform::Terraform;

const REQUIRED: &str = "terraform {\n  required_providers {\n    hythe = { source = \"hythe/hythe\" }\n  }\n}\n";

#[tokio::test(flavor = "multi_thread")]
async fn terraform_validates_every_example() {
    let server = Server::start().await;
    let Some(first) = Terraform::with(&server).await else {
        return;
    };
    let minor = minor_version(&first).await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut checked = 0;
    for path in files(&root) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let needs = match name {
            "import-by-identity.tf" => 12,
            "list-resource.tfquery.hcl" => 14,
            _ => 0,
        };
        if minor < needs {
            continue;
        }
        let terraform = Terraform::with(&server).await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        terraform.write(name, &text);
        if name.starts_with("import-") {
            terraform.write(
                "resource.tf",
                &std::fs::read_to_string(path.with_file_name("resource.tf")).unwrap(),
            );
        }
        if !text.contains("required_providers") {
            terraform.write("versions.tf", REQUIRED);
        }
        for command in ["init", "validate"] {
            let ended = terraform.run(&[command]).await;
            assert_eq!(ended.code, Some(0), "{}: {}", path.display(), ended.text);
        }
        checked += 1;
    }
    assert!(checked >= 11, "only {checked} examples were found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_functions_give_what_they_say() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    terraform
        .configure(
            "locals { image = provider::hythe::parse_image_uri(\"127.0.0.1:5000/000000000000/team/web:1\") }
             output \"image\" { value = join(\" \", [local.image.registry, local.image.registry_id, local.image.repository, local.image.tag]) }
             output \"digest\" { value = local.image.digest == null }
             output \"built\" { value = provider::hythe::build_image_uri(\"127.0.0.1:5000/web\", \"1\") }
             output \"normal\" { value = provider::hythe::normalize_policy(jsonencode({ Statement = { Action = \"ECR:listimages\", Effect = \"Allow\", Resource = \"*\" }, Version = \"2012-10-17\" })) }
             output \"arn\" { value = provider::hythe::parse_arn(\"arn:aws:ecr:local:000000000000:repository/team/web\").repository }",
        )
        .await;
    terraform.apply().await;
    let output = terraform.command(&["output", "-json"]).output().await.unwrap();
    let outputs: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(outputs["image"]["value"], "127.0.0.1:5000 000000000000 team/web 1");
    assert_eq!(outputs["digest"]["value"], true);
    assert_eq!(outputs["built"]["value"], "127.0.0.1:5000/web:1");
    assert_eq!(outputs["arn"]["value"], "team/web");
    assert_eq!(
        outputs["normal"]["value"],
        r#"{"Statement":[{"Action":["ecr:ListImages"],"Effect":"Allow","Resource":["*"]}],"Version":"2012-10-17"}"#
    );
    assert!(server.seen("").is_empty(), "a function talked to the server");
}

async fn minor_version(terraform: &Terraform) -> u32 {
    let output = terraform.command(&["version", "-json"]).output().await.unwrap();
    let version: Value = serde_json::from_slice(&output.stdout).unwrap();
    version["terraform_version"]
        .as_str()
        .unwrap()
        .split('.')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

/// The examples of this provider: not those for people, such as the quickstart.
fn files(root: &Path) -> Vec<PathBuf> {
    let folders = [
        "provider",
        "resources",
        "data-sources",
        "ephemeral-resources",
        "functions",
        "list-resources",
    ];
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|end| end == "tf" || end == "hcl") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
