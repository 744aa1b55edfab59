// SPDX-License-Identifier: Apache-2.0
//! Repositories and their policies that were managed at Amazon, with a stand-in for the AWS provider.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tfplugin::{Attr, Call, Contents, Create, NoIdentity, Provider, Resource, Result, Schema};

use crate::server::Server;
use crate::terraform::{Terraform, folded};

struct Aws;

/// Configures nothing.
#[derive(Schema)]
struct Config {}

/// As much of the real one as this test needs.
#[derive(Clone, Schema)]
struct EcrRepository {
    /// The name.
    #[tf(required, replace)]
    name: Attr<String>,
    /// The mutability of tags.
    #[tf(optional, default = "MUTABLE")]
    image_tag_mutability: Attr<String>,
    /// Whether a destroy takes images along.
    #[tf(optional)]
    force_delete: Attr<bool>,
    /// Tags.
    #[tf(optional)]
    tags: Attr<BTreeMap<String, String>>,
    /// The ARN.
    #[tf(computed, stable)]
    arn: Attr<String>,
}

/// As much of the real one as this test needs.
#[derive(Clone, Schema)]
struct EcrLifecyclePolicy {
    /// The repository.
    #[tf(required, replace)]
    repository: Attr<String>,
    /// The policy.
    #[tf(required)]
    policy: Attr<String>,
    /// The account.
    #[tf(computed, stable)]
    registry_id: Attr<String>,
}

impl Provider for Aws {
    const NAME: &'static str = "aws";
    type Config = Config;
    type Client = ();

    fn contents(&self) -> Contents<()> {
        Contents::new()
            .resource::<EcrRepository>()
            .resource::<EcrLifecyclePolicy>()
    }

    async fn configure(&self, _: &Call<()>, _: Config) -> Result<Option<()>> {
        Ok(Some(()))
    }
}

impl Resource for EcrRepository {
    const NAME: &'static str = "ecr_repository";
    type Client = ();
    type Identity = NoIdentity;

    async fn create(_: &Call<()>, Create { planned, .. }: Create<Self>) -> Result<Self> {
        let arn = "arn:aws:ecr:eu-west-1:123456789012:repository/web".into();
        Ok(Self { arn, ..planned })
    }

    async fn read(_: &Call<()>, state: Self) -> Result<Option<Self>> {
        Ok(Some(state))
    }

    async fn delete(_: &Call<()>, _: Self) -> Result<()> {
        panic!("the repository at Amazon must stay");
    }
}

impl Resource for EcrLifecyclePolicy {
    const NAME: &'static str = "ecr_lifecycle_policy";
    type Client = ();
    type Identity = NoIdentity;

    async fn create(_: &Call<()>, Create { planned, .. }: Create<Self>) -> Result<Self> {
        let registry_id = "123456789012".into();
        Ok(Self { registry_id, ..planned })
    }

    async fn read(_: &Call<()>, state: Self) -> Result<Option<Self>> {
        Ok(Some(state))
    }

    async fn delete(_: &Call<()>, _: Self) -> Result<()> {
        panic!("the policy at Amazon must stay");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_block_takes_a_lifecycle_policy_over() {
    const POLICY: &str = r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":7},"action":{"type":"expire"}}]}"#;
    for is_here in [true, false] {
        let server = Server::start().await;
        let Some(mut terraform) = Terraform::with(&server).await else {
            return;
        };
        let aws = tfplugin::serve_in_process(Aws, "registry.terraform.io/hashicorp/aws");
        terraform.add(aws.await.unwrap());
        let resource = |kind: &str| {
            format!(
                "resource \"{kind}_lifecycle_policy\" \"r\" {{\n repository = \"web\"\n policy = jsonencode({POLICY})\n}}\n"
            )
        };
        terraform.configure(&resource("aws_ecr")).await;
        terraform.apply().await;
        server.add(&json!({ "repositoryName": "web" }));
        if is_here {
            server.change_object("repositories/web/lifecycle-policy", |place| {
                *place =
                    json!({ "registryId": "000000000000", "repositoryName": "web", "lifecyclePolicyText": POLICY });
            });
        }
        let moved = "moved {\n from = aws_ecr_lifecycle_policy.r\n to = hythe_lifecycle_policy.r\n}
            output \"read\" { value = [hythe_lifecycle_policy.r.registry_id, hythe_lifecycle_policy.r.rules[0].priority] }\n";
        terraform.configure(&format!("{}{moved}", resource("hythe"))).await;
        let plan = folded(&terraform.run(&["plan"]).await.text);
        let expected = if is_here { "0 to add" } else { "1 to add" };
        assert!(
            plan.contains(expected) && plan.contains("0 to change, 0 to destroy"),
            "{plan}"
        );
        terraform.apply().await;
        let read = terraform.command(&["output", "-json", "read"]).output().await.unwrap();
        let read: Value = serde_json::from_slice(&read.stdout).unwrap();
        assert_eq!(read, json!(["000000000000", 1]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_block_takes_a_repository_over_whether_it_is_here_already_or_not() {
    const ARGUMENTS: &str = "
        name                 = \"web\"
        image_tag_mutability = \"IMMUTABLE\"
        force_delete         = true
        tags                 = { team = \"a\" }";
    for is_here in [true, false] {
        let server = Server::start().await;
        let Some(mut terraform) = Terraform::with(&server).await else {
            return;
        };
        let aws = tfplugin::serve_in_process(Aws, "registry.terraform.io/hashicorp/aws");
        terraform.add(aws.await.unwrap());
        terraform
            .configure(&format!("resource \"aws_ecr_repository\" \"r\" {{{ARGUMENTS}\n}}"))
            .await;
        terraform.apply().await;
        if is_here {
            let tags = json!([{ "Key": "team", "Value": "a" }]);
            server.add(&json!({ "repositoryName": "web", "imageTagMutability": "IMMUTABLE", "tags": tags }));
        }

        terraform
            .configure(&format!(
                "resource \"hythe_repository\" \"r\" {{{ARGUMENTS}\n}}
                 moved {{
                   from = aws_ecr_repository.r
                   to   = hythe_repository.r
                 }}"
            ))
            .await;
        let plan = folded(&terraform.run(&["plan"]).await.text);
        if is_here {
            assert!(
                plan.contains("has moved to") && plan.contains("0 to add, 0 to change, 0 to destroy"),
                "{plan}"
            );
        } else {
            assert!(plan.contains("1 to add, 0 to change, 0 to destroy"), "{plan}");
        }
        terraform.apply().await;
        let attributes = terraform.attributes().await;
        assert_eq!(attributes["arn"], "arn:aws:ecr:local:000000000000:repository/web");
        assert_eq!(attributes["force_delete"], true);
        assert!(server.repository("web").is_some());
    }
}
