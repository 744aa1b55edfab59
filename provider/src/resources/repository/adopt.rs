// SPDX-License-Identifier: Apache-2.0
//! Taking over repositories that were managed as `aws_ecr_repository`.

use tfplugin::{Attr, Json, MoveSource, Set};

use super::{AES256, Encryption, ExclusionFilterModel, Repository};
use crate::noun::AWS_PROVIDER;
use crate::resources::tag_mutability::WILDCARD;
use crate::tags::TagMap;

const AWS_TYPE: &str = "aws_ecr_repository";

impl Repository {
    /// The state of an `aws_ecr_repository` as one of ours; `None` if the source is something else.
    ///
    /// What only the server knows stays absent: the read that follows fills it in, or finds that the repository has yet to
    /// be created here.
    pub(super) fn adopt(source: &MoveSource) -> Option<Self> {
        if source.type_name != AWS_TYPE || !source.provider_address.ends_with(AWS_PROVIDER) {
            return None;
        }
        let state = &source.state;
        let block = |name: &str| state.get(name).and_then(|blocks| blocks.get(0));
        let encryption = block("encryption_configuration");
        let scanning = block("image_scanning_configuration");
        Some(Self {
            name: text(state.get("name")),
            image_tag_mutability: text(state.get("image_tag_mutability"))
                .unwrap_or("MUTABLE".into())
                .into(),
            image_tag_mutability_exclusion_filter: filters(state.get("image_tag_mutability_exclusion_filter")),
            encryption: Attr::Known(Encryption {
                kind: text(encryption.and_then(|it| it.get("encryption_type")))
                    .unwrap_or(AES256.into())
                    .into(),
                key: text(encryption.and_then(|it| it.get("kms_key"))),
            }),
            scan_on_push: truth(scanning.and_then(|it| it.get("scan_on_push"))).into(),
            // Nothing of the kind there: what Amazon ECR does.
            allow_sparse_indexes: false.into(),
            force_delete: truth(state.get("force_delete")).into(),
            tags: tags(state.get("tags")),
            ..Self::default()
        })
    }
}

/// A text; the AWS provider writes absent ones as empty.
fn text(json: Option<&Json>) -> Attr<String> {
    json.and_then(Json::as_str)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .into()
}

fn truth(json: Option<&Json>) -> bool {
    json.and_then(Json::as_bool).unwrap_or_default()
}

fn filters(json: Option<&Json>) -> Attr<Set<ExclusionFilterModel>> {
    let blocks = json.and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    let filter = |block: &Json| ExclusionFilterModel {
        filter: text(block.get("filter")),
        filter_type: WILDCARD.into(),
    };
    if blocks.is_empty() {
        Attr::Null
    } else {
        Attr::Known(blocks.iter().map(filter).collect())
    }
}

fn tags(json: Option<&Json>) -> Attr<TagMap> {
    let tags: TagMap = json
        .and_then(Json::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.into())))
        .collect();
    if tags.is_empty() { Attr::Null } else { Attr::Known(tags) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tfplugin::Fields as _;

    use super::*;

    fn source(provider: &str, type_name: &str) -> MoveSource {
        MoveSource {
            provider_address: provider.into(),
            type_name: type_name.into(),
            schema_version: 0,
            state: json!({
                "arn": "arn:aws:ecr:eu-west-1:123456789012:repository/team/web",
                "encryption_configuration": [{"encryption_type": "KMS", "kms_key": "arn:aws:kms:eu-west-1:123456789012:key/1"}],
                "force_delete": true,
                "id": "team/web",
                "image_scanning_configuration": [{"scan_on_push": true}],
                "image_tag_mutability": "IMMUTABLE_WITH_EXCLUSION",
                "image_tag_mutability_exclusion_filter": [{"filter": "dev-*", "filter_type": "WILDCARD"}],
                "name": "team/web",
                "registry_id": "123456789012",
                "repository_url": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/web",
                "tags": {"team": "web"},
                "tags_all": {"team": "web"},
                "timeouts": null,
            }),
            private: Vec::new(),
        }
    }

    #[test]
    fn the_arguments_of_an_aws_ecr_repository_are_taken_over() {
        for provider in [
            "registry.terraform.io/hashicorp/aws",
            "registry.opentofu.org/hashicorp/aws",
        ] {
            let adopted = Repository::adopt(&source(provider, AWS_TYPE)).unwrap();
            insta::assert_debug_snapshot!("adopted", adopted.to_object());
        }
    }

    #[test]
    fn what_the_aws_provider_left_out_gets_its_default() {
        let state =
            json!({"name": "web", "encryption_configuration": [], "image_scanning_configuration": [], "tags": null});
        let adopted = Repository::adopt(&MoveSource {
            state,
            ..source("x/hashicorp/aws", AWS_TYPE)
        })
        .unwrap();
        assert_eq!(adopted.image_tag_mutability, "MUTABLE".into());
        assert_eq!(
            adopted.encryption,
            Attr::Known(Encryption {
                kind: AES256.into(),
                key: Attr::Null
            })
        );
        assert!(adopted.tags.is_null() && adopted.image_tag_mutability_exclusion_filter.is_null());
    }

    #[test]
    fn other_sources_are_refused() {
        for (provider, type_name) in [
            ("registry.terraform.io/hashicorp/aws", "aws_ecrpublic_repository"),
            ("registry.terraform.io/other/aws", AWS_TYPE),
            ("registry.terraform.io/hashicorp/google", AWS_TYPE),
        ] {
            assert!(
                Repository::adopt(&source(provider, type_name)).is_none(),
                "{provider} {type_name}"
            );
        }
    }
}
