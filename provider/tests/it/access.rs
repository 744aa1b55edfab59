// SPDX-License-Identifier: Apache-2.0
//! Users, groups, roles and policies, through the Terraform program.

use serde_json::{Value, json};

use crate::server::{ACCOUNT, Mischief, Server};
use crate::terraform::{Terraform, folded};

/// The attributes of a resource in the state; null if it is not there.
async fn attributes(terraform: &Terraform, address: &str) -> Value {
    let output = terraform.command(&["show", "-json"]).output().await.unwrap();
    let state: Value = serde_json::from_slice(&output.stdout).unwrap();
    let resources = state.pointer("/values/root_module/resources").and_then(Value::as_array);
    let found = resources.into_iter().flatten().find(|it| it["address"] == address);
    found.map(|it| it["values"].clone()).unwrap_or_default()
}

fn statement(effect: &str, principal: &str, action: &str) -> String {
    format!("{{ Effect = \"{effect}\", Principal = {principal}, Action = {action} }}")
}

fn repository_policy(statements: &str) -> String {
    format!(
        "resource \"hythe_repository\" \"r\" {{ name = \"web\" }}
         resource \"hythe_repository_policy\" \"p\" {{
           repository = hythe_repository.r.name
           policy     = jsonencode({{ Version = \"2012-10-17\", Statement = {statements} }})
         }}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_warns_of_policies_that_open_or_close_too_much() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    let root = format!("{{ AWS = \"arn:aws:iam::{ACCOUNT}:root\" }}");
    let cases = [
        ("\"*\"", "Allow", "\"ecr:BatchGetImage\"", vec!["becomes public"]),
        (
            "\"*\"",
            "Allow",
            "\"ecr:*\"",
            vec!["becomes public", "Everybody may delete"],
        ),
        (&root, "Deny", "\"ecr:SetRepositoryPolicy\"", vec!["locks you out"]),
        ("{ AWS = \"111111111111\" }", "Allow", "\"ecr:*\"", vec![]),
        (
            "{ AWS = \"111111111111\" }",
            "Allow",
            "\"ecr:GetDownloadUrlForLayers\"",
            vec!["is `ecr:GetDownloadUrlForLayer` meant?"],
        ),
        (
            &root,
            "Deny",
            "\"ecr:*\", Condition = { Bool = { \"aws:SecureTransport\" = \"false\" } }",
            vec!["may lock you out"],
        ),
    ];
    for (principal, effect, action, warnings) in cases {
        terraform
            .configure(&repository_policy(&statement(effect, principal, action)))
            .await;
        let plan = terraform.run(&["plan"]).await;
        let text = folded(&plan.text);
        assert_eq!(plan.code, Some(0), "{text}");
        for words in [
            "becomes public",
            "Everybody may delete",
            "locks you out",
            "may lock you out",
            "is `ecr:GetDownloadUrlForLayer` meant?",
        ] {
            assert_eq!(
                text.contains(words),
                warnings.contains(&words),
                "{principal} {action}: {text}"
            );
        }
    }
    let issuer = "issuer.example.com";
    for (claim, is_warned) in [("aud", true), ("sub", false)] {
        terraform
            .configure(&format!(
                "resource \"hythe_role\" \"r\" {{
                   name               = \"ci\"
                   assume_role_policy = jsonencode({{ Version = \"2012-10-17\", Statement = {{
                     Effect    = \"Allow\"
                     Action    = \"sts:AssumeRoleWithWebIdentity\"
                     Principal = {{ Federated = \"arn:aws:iam::{ACCOUNT}:oidc-provider/{issuer}\" }}
                     Condition = {{ StringEquals = {{ \"{issuer}:{claim}\" = \"x\" }} }}
                   }} }})
                 }}"
            ))
            .await;
        let plan = folded(&terraform.run(&["plan"]).await.text);
        let words = "Everybody of an identity provider may take on the role";
        assert_eq!(plan.contains(words), is_warned, "{claim}: {plan}");
    }
    // What was applied has been warned of: later plans do not repeat it.
    terraform
        .configure(&repository_policy(&statement(
            "Allow",
            "\"*\"",
            "\"ecr:BatchGetImage\"",
        )))
        .await;
    terraform.apply().await;
    let plan = terraform.run(&["plan"]).await;
    assert!(!plan.text.contains("becomes public"), "{}", plan.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_in_other_words_plan_nothing() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    let config = |resource: &str, trust: &str| {
        format!(
            "resource \"hythe_repository\" \"r\" {{ name = \"web\" }}
             resource \"hythe_repository_policy\" \"p\" {{
               repository = \"web\"
               policy     = <<-JSON
                 {resource}
               JSON
               depends_on = [hythe_repository.r]
             }}
             resource \"hythe_role\" \"r\" {{
               name               = \"ci\"
               assume_role_policy = <<-JSON
                 {trust}
               JSON
             }}"
        )
    };
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["111111111111"]},"Action":["sts:AssumeRole"]}]}"#;
    let other_trust = r#"{ "Statement": { "Action": "sts:AssumeRole", "Principal": { "AWS": "111111111111" }, "Effect": "Allow" }, "Version": "2012-10-17" }"#;
    let resource = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["111111111111","222222222222"]},"Action":["ecr:BatchGetImage","ecr:PutImage"]}]}"#;
    let other_resource = r#"{ "Statement": { "Action": ["ecr:PutImage", "ecr:BatchGetImage"], "Principal": { "AWS": ["222222222222", "111111111111"] }, "Effect": "Allow" }, "Version": "2012-10-17" }"#;
    terraform.configure(&config(resource, trust)).await;
    terraform.apply().await;
    terraform.configure(&config(other_resource, other_trust)).await;
    terraform.expect_empty_plan().await;
    terraform
        .configure(&config(&other_resource.replace("PutImage", "ListImages"), other_trust))
        .await;
    let plan = folded(&terraform.run(&["plan"]).await.text);
    assert!(plan.contains("0 to add, 1 to change, 0 to destroy"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_documents_are_found_offline_with_their_place() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    let document = |statement: &str| format!("jsonencode({{ Version = \"2012-10-17\", Statement = [{statement}] }})");
    let cases = [
        (
            format!(
                "resource \"hythe_repository_policy\" \"p\" {{\nrepository = \"web\"\npolicy = {}\n}}",
                document(&statement("Allow", "\"*\"", "\"ecr:\""))
            ),
            "/Statement/0/Action",
        ),
        (
            format!(
                "resource \"hythe_policy\" \"p\" {{\nname = \"p\"\npolicy = {}\n}}",
                document("{ Effect = \"Perhaps\", Action = \"*\", Resource = \"*\" }")
            ),
            "/Statement/0/Effect",
        ),
        (
            format!(
                "resource \"hythe_role\" \"r\" {{\nname = \"r\"\nassume_role_policy = {}\n}}",
                document("{ Effect = \"Allow\", Action = \"sts:AssumeRole\" }")
            ),
            "/Statement/0/Principal",
        ),
        (
            "resource \"hythe_registry_policy_statement\" \"s\" {\nsid = \"A\"\nstatement = jsonencode({ Sid = \"B\", Effect = \"Allow\", Principal = \"*\", Action = \"ecr:BatchGetImage\", Resource = \"*\" })\n}".to_owned(),
            "Its `Sid` is `B`",
        ),
        (
            "data \"hythe_policy_document\" \"d\" {\nstatement {\nactions = [\"ecr:\"]\nresources = [\"*\"]\n}\n}".to_owned(),
            "/Statement/0/Action",
        ),
        (
            "resource \"hythe_user\" \"u\" {\nname = \"a b\"\n}".to_owned(),
            "Invalid `name`",
        ),
        (
            "resource \"hythe_user\" \"u\" {\nname = \"a\"\nexpires_at = \"soon\"\n}".to_owned(),
            "Invalid `expires_at`",
        ),
        (
            "resource \"hythe_user\" \"u\" {\nname = \"a\"\ntags = { \"aws:x\" = \"1\" }\n}".to_owned(),
            "Invalid `tags",
        ),
        (
            "resource \"hythe_user_policy_attachment\" \"a\" {\nuser = \"a\"\npolicy_arn = \"ReadOnly\"\n}".to_owned(),
            "Invalid `policy_arn`",
        ),
        (
            "resource \"hythe_access_key\" \"k\" {\nuser = \"a\"\nsecret_access_key_wo = \"short\"\nsecret_access_key_wo_version = 1\n}".to_owned(),
            "Invalid `secret_access_key_wo`",
        ),
        (
            "resource \"hythe_identity_provider\" \"i\" {\nurl = \"ftp://x\"\nclient_ids = [\"a\"]\n}".to_owned(),
            "Invalid `url`",
        ),
        (
            "resource \"hythe_identity_provider\" \"i\" {\nurl = \"https://x.example\"\nclient_ids = []\n}".to_owned(),
            "Invalid `client_ids`",
        ),
        (
            "resource \"hythe_account\" \"a\" {\nname = \"\"\n}".to_owned(),
            "Invalid `name`",
        ),
    ];
    refuses(&server, &terraform, &cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_images_go_and_come_from_is_checked_without_a_server() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    let destination = |more: &str| {
        format!("resource \"hythe_replication_destination\" \"d\" {{\nendpoint = \"r.example.com\"\n{more}\n}}")
    };
    let rule = |more: &str| format!("resource \"hythe_replication_rule\" \"r\" {{\n{more}\n}}");
    let to = "destination = [{ region = \"eu\", registry_id = \"000000000000\" }]";
    let document =
        |rule: &str| format!("resource \"hythe_replication_configuration\" \"c\" {{\nrule = [{{ {rule} }}]\n}}");
    let source = |prefix: &str| {
        format!(
            "resource \"hythe_virtual_repository\" \"v\" {{\nname = \"all\"\nsources = [{{ repository_prefix = \"team\" }}, {{ repository_prefix = \"{prefix}\" }}]\n}}"
        )
    };
    let cases = [
        (
            destination("name = \"eu\"\nbandwidth_bytes_per_second = 10"),
            "Invalid `bandwidth_bytes_per_second`",
        ),
        (
            destination("name = \"eu\"\nkind = \"OCI\"\nrepository_prefix = \"Copies/\""),
            "Invalid `repository_prefix`",
        ),
        (
            destination("name = \"eu\"\ndescription = \"\""),
            "Invalid `description`",
        ),
        (destination("name = \"E U\""), "Invalid `name`"),
        (rule(&format!("name = \"a b\"\n{to}")), "Invalid `name`"),
        (rule("name = \"a\"\ndestination = []"), "Invalid `destination`"),
        (
            rule(&format!(
                "name = \"a\"\n{to}\nrepository_filter = [{{ filter = \"Team\" }}]"
            )),
            "the repository filter `Team` is none",
        ),
        (document("destination = []"), "Invalid `rule[0].destination`"),
        (
            document(&format!("{to}, repository_filter = [{{ filter = \"x\" }}]")),
            "the repository filter `x` is none",
        ),
        (source("all"), "Invalid `sources[1].repository_prefix`"),
        (source("all/web"), "Invalid `sources[1].repository_prefix`"),
    ];
    refuses(&server, &terraform, &cases).await;
    terraform.configure(&source("allx")).await;
    let ended = terraform.run(&["validate"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.text);
}

/// That each configuration is refused with these words, by the provider alone.
async fn refuses(server: &Server, terraform: &Terraform, cases: &[(String, &str)]) {
    for (config, words) in cases {
        terraform.configure(config).await;
        let ended = terraform.run(&["validate"]).await;
        let text = folded(&ended.text);
        assert!(ended.code == Some(1) && text.contains(words), "{config}: {text}");
    }
    assert!(server.seen("").is_empty(), "a check asked the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_there_is_not_replaced_by_a_create() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    let theirs = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"ecr:BatchGetImage","Resource":"*"}}"#;
    server.add(&json!({ "repositoryName": "web" }));
    let policy = format!("policy = {theirs:?}");
    let cases = [
        (
            "registry/policy",
            json!({ "registryId": ACCOUNT, "policyText": theirs }),
            format!("resource \"hythe_registry_policy\" \"p\" {{\n{policy}\n}}"),
            format!("terraform import <address of this resource> {ACCOUNT}"),
        ),
        (
            "repositories/web/policy",
            json!({ "registryId": ACCOUNT, "repositoryName": "web", "policyText": theirs }),
            format!("resource \"hythe_repository_policy\" \"p\" {{\nrepository = \"web\"\n{policy}\n}}"),
            "terraform import <address of this resource> web".to_owned(),
        ),
        (
            "users/alice",
            json!({ "userName": "alice" }),
            "resource \"hythe_user\" \"u\" {\nname = \"alice\"\n}".to_owned(),
            "terraform import <address of this resource> alice".to_owned(),
        ),
    ];
    for (path, object, config, words) in cases {
        server.change_object(path, |place| *place = object.clone());
        terraform.configure(&config).await;
        let text = terraform.apply_refused().await;
        assert!(text.contains("already exists") && text.contains(&words), "{text}");
        assert_eq!(server.object(path), Some(object), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_somebody_has_changed_since_the_plan_is_left_alone() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    let config = |action: &str| {
        let statement = format!("Effect = \"Allow\", Action = \"ecr:{action}\"");
        let from = "Principal = { AWS = \"111111111111\" }";
        format!(
            "resource \"hythe_repository\" \"r\" {{ name = \"web\" }}
             resource \"hythe_repository_policy\" \"p\" {{
               repository = hythe_repository.r.name
               policy     = jsonencode({{ Version = \"2012-10-17\", Statement = {{ {statement}, {from} }} }})
             }}
             resource \"hythe_registry_policy_statement\" \"p\" {{
               sid       = \"A\"
               statement = jsonencode({{ {statement}, {from}, Resource = \"*\" }})
             }}
             resource \"hythe_policy\" \"p\" {{
               name   = \"p\"
               policy = jsonencode({{ Version = \"2012-10-17\", Statement = {{ {statement}, Resource = \"*\" }} }})
             }}
             resource \"hythe_role\" \"p\" {{
               name               = \"ci\"
               assume_role_policy = jsonencode({{ Version = \"2012-10-17\", Statement = {{ Effect = \"Allow\", Action = \"sts:AssumeRole\", {from}, Condition = {{ StringEquals = {{ \"aws:username\" = \"{action}\" }} }} }} }})
             }}"
        )
    };
    let places = [
        ("repositories/web/policy", "policyText", "Policy of repository `web`"),
        (
            "registry/policy/statements/A",
            "statement",
            "Statement `A` of the registry's policy",
        ),
        ("policies/p", "policyDocument", "Policy `p`"),
        ("roles/ci", "assumeRolePolicyDocument", "Trust policy of role `ci`"),
    ];
    terraform.configure(&config("BatchGetImage")).await;
    terraform.apply().await;
    for (path, member, called) in places {
        terraform.configure(&config("ListImages")).await;
        let plan = terraform.run(&["plan", "-out=tfplan"]).await;
        assert_eq!(plan.code, Some(0), "{}", plan.text);
        server.change_object(path, |object| {
            let text = object[member]
                .as_str()
                .unwrap()
                .replace("BatchGetImage", "DescribeImages");
            object[member] = text.into();
        });
        let theirs = server.object(path);
        let applied = terraform.run(&["apply", "tfplan"]).await;
        let text = folded(&applied.text);
        assert_eq!(applied.code, Some(1), "{text}");
        assert!(text.contains(&format!("{called} has changed meanwhile")), "{text}");
        assert_eq!(server.object(path), theirs, "{path}");
        // The next plan sees it, and says what it does about it.
        terraform.apply().await;
        terraform.configure(&config("BatchGetImage")).await;
        terraform.apply().await;
    }
    let puts = server.seen("PUT /api/v1/repositories/web/policy");
    assert!(
        puts.len() > 1 && puts[1..].iter().all(|put| put.if_match.is_some()),
        "{puts:?}"
    );

    // An answer that is lost is no somebody else; nor is a change of something else.
    terraform.configure(&config("ListImages")).await;
    server.misbehave("PUT /api/v1/repositories/web/policy", [Mischief::BreakOff]);
    server.misbehave("PATCH /api/v1/roles/ci", [Mischief::BreakOff]);
    terraform.apply().await;
    terraform.configure(&config("BatchGetImage")).await;
    let plan = terraform.run(&["plan", "-out=tfplan"]).await;
    assert_eq!(plan.code, Some(0), "{}", plan.text);
    server.change_object("roles/ci", |role| role["policies"] = json!(["ReadOnly"]));
    let applied = terraform.run(&["apply", "tfplan"]).await;
    assert_eq!(applied.code, Some(0), "{}", applied.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_policy_warns_before_it_removes_what_others_wrote() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    let config = |action: &str| {
        format!(
            "resource \"hythe_registry_policy\" \"p\" {{
               policy = jsonencode({{
                 Version   = \"2012-10-17\"
                 Statement = [{{ Sid = \"Own\", Effect = \"Allow\", Principal = {{ AWS = \"111111111111\" }}, Action = \"{action}\", Resource = \"*\" }}]
               }})
             }}"
        )
    };
    terraform.configure(&config("ecr:BatchGetImage")).await;
    terraform.apply().await;
    // A change of what it wrote itself is no reason to warn.
    terraform.configure(&config("ecr:ListImages")).await;
    let plan = terraform.run(&["plan"]).await;
    assert!(!plan.text.contains("Statements of others"), "{}", plan.text);
    server.change_object("registry/policy", |policy| {
        let text = policy["policyText"].as_str().unwrap();
        let mut document: Value = serde_json::from_str(text).unwrap();
        document["Statement"].as_array_mut().unwrap().push(json!({
            "Sid": "Theirs", "Effect": "Allow", "Principal": { "AWS": "222222222222" }, "Action": "ecr:PutImage", "Resource": "*",
        }));
        policy["policyText"] = document.to_string().into();
    });
    let plan = folded(&terraform.run(&["plan"]).await.text);
    assert!(
        plan.contains("Statements of others will be removed") && plan.contains("Theirs"),
        "{plan}"
    );
    assert!(
        !plan.contains("\"Sid\":\"Own\"") || plan.contains("1 to change"),
        "{plan}"
    );
    let destroy = folded(&terraform.run(&["plan", "-destroy"]).await.text);
    assert!(destroy.contains("Statements of others will be removed"), "{destroy}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_of_an_access_key_is_in_neither_plan_nor_state() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    let config = |secret: &str, version: u32, status: &str| {
        format!(
            "resource \"hythe_user\" \"u\" {{ name = \"mirror\" }}
             resource \"hythe_access_key\" \"k\" {{
               user                         = hythe_user.u.name
               secret_access_key_wo         = \"{secret}\"
               secret_access_key_wo_version = {version}
               status                       = \"{status}\"
               lifecycle {{ create_before_destroy = true }}
             }}"
        )
    };
    let (first, second) = ("first0".repeat(7), "second".repeat(7));
    terraform.configure(&config(&first, 1, "Active")).await;
    let plan = terraform.run(&["plan", "-out=tfplan"]).await;
    assert_eq!(plan.code, Some(0), "{}", plan.text);
    let shown = terraform.command(&["show", "-json", "tfplan"]).output().await.unwrap();
    let mut shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    // The configuration is in a plan as well, and with it the text that this test has written there.
    shown.as_object_mut().unwrap().remove("configuration").unwrap();
    assert!(!shown.to_string().contains(&first));
    terraform.apply().await;
    let key = attributes(&terraform, "hythe_access_key.k").await;
    let id = key["access_key_id"].as_str().unwrap().to_owned();
    let path = format!("users/mirror/access-keys/{id}");
    assert_eq!(server.object(&path).unwrap()["secretAccessKey"], first);
    assert!(
        key["secret_access_key_wo"].is_null() && key["registry_id"] == ACCOUNT,
        "{key:#}"
    );

    // Another secret alone is no change; with another version it is another key.
    terraform.configure(&config(&second, 1, "Active")).await;
    terraform.expect_empty_plan().await;
    terraform.configure(&config(&second, 1, "Inactive")).await;
    terraform.apply().await;
    assert_eq!(server.object(&path).unwrap()["status"], "Inactive");
    terraform.configure(&config(&second, 2, "Active")).await;
    let plan = folded(&terraform.run(&["plan"]).await.text);
    assert!(plan.contains("forces replacement"), "{plan}");
    terraform.apply().await;
    assert!(server.object(&path).is_none(), "the old key is there still");
    let id = attributes(&terraform, "hythe_access_key.k").await["access_key_id"].clone();
    let path = format!("users/mirror/access-keys/{}", id.as_str().unwrap());
    assert_eq!(server.object(&path).unwrap()["secretAccessKey"], second);
    let state = terraform.command(&["state", "pull"]).output().await.unwrap();
    let state = String::from_utf8_lossy(&state.stdout).into_owned();
    assert!(state.contains("hythe_access_key") && !state.contains(&first) && !state.contains(&second));

    // An imported key has a version only from here on, and is not replaced for it.
    let forget = terraform.run(&["state", "rm", "hythe_access_key.k"]).await;
    assert_eq!(forget.code, Some(0), "{}", forget.text);
    let id = format!("mirror/{}", id.as_str().unwrap());
    let import = terraform.run(&["import", "hythe_access_key.k", &id]).await;
    assert_eq!(import.code, Some(0), "{}", import.text);
    let plan = folded(&terraform.run(&["plan"]).await.text);
    assert!(plan.contains("0 to add, 1 to change, 0 to destroy"), "{plan}");
    terraform.apply().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_whose_answer_is_lost_is_not_repeated() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    let config = "resource \"hythe_user\" \"u\" { name = \"alice\" }";
    terraform.configure(config).await;
    server.misbehave("POST /api/v1/users", [Mischief::BreakOff]);
    let text = terraform.apply_refused().await;
    assert!(text.contains("may have taken effect"), "{text}");
    assert_eq!(server.seen("POST /api/v1/users").len(), 1);
    let import = terraform.run(&["import", "hythe_user.u", "alice"]).await;
    assert_eq!(import.code, Some(0), "{}", import.text);
    terraform.expect_empty_plan().await;

    // One that was refused for now is sent again.
    server.forget();
    terraform
        .configure(&format!("{config}\nresource \"hythe_group\" \"g\" {{ name = \"g\" }}"))
        .await;
    server.misbehave("POST /api/v1/groups", [Mischief::Refuse(503, Some(0))]);
    terraform.apply().await;
    assert_eq!(server.seen("POST /api/v1/groups").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_create_is_recorded() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    terraform
        .configure("resource \"hythe_user\" \"u\" { name = \"alice\" }")
        .await;
    server.misbehave("POST /api/v1/users", [Mischief::Hold]);
    let running = terraform.start(&["apply", "-auto-approve"]);
    server.held().await;
    running.interrupt();
    running.prints("Interrupt received").await;
    server.release();
    let ended = running.end().await;
    assert!(!ended.text.contains("Plugin did not respond"), "{}", ended.text);
    assert_eq!(attributes(&terraform, "hythe_user.u").await["name"], "alice");
    terraform.expect_empty_plan().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_404_is_no_absence() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    terraform
        .configure("resource \"hythe_group\" \"g\" { name = \"g\" }")
        .await;
    terraform.apply().await;
    server.misbehave("GET /api/v1/groups/g", [Mischief::Foreign404]);
    let plan = terraform.run(&["plan"]).await;
    assert!(
        plan.code == Some(1) && plan.text.contains("Cannot read group `g`"),
        "{}",
        plan.text
    );
}
