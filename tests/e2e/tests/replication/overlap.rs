// SPDX-License-Identifier: Apache-2.0
//! Several rules for one destination.

use anyhow::{Result, ensure};
use e2e::RegistryClient;
use serde_json::{Value, json};

use crate::settings::{control, lifecycle, policy, put, shown};
use crate::world::{ACCOUNT, arrivals_of, deployment, destination, rule, statuses, tag, wait_for, wait_until_idle};

#[test]
fn rules_that_overlap_add_up_and_an_image_goes_once() -> Result<()> {
    let (here, there) = (deployment("here")?, deployment("there")?);
    destination(&here, "there", &there)?;
    control(&here, "there", &there)?;
    let team = json!([{ "filter": "team/" }]);
    let tags = json!({ "repositoryFilters": team, "replicatedSettings": ["RESOURCE_TAGS"] });
    rule(&here, "tags", "there", tags)?;
    rule(
        &here,
        "lifecycle",
        "there",
        json!({ "replicatedSettings": ["LIFECYCLE_POLICY"] }),
    )?;
    let deletes = json!({ "repositoryFilters": [{ "filter": "team/w" }], "deleteReplication": { "enabled": true } });
    rule(&here, "deletes", "there", deletes)?;
    // So does the document beside them.
    let document = json!({ "rules": [{ "destinations": [{ "region": "there", "registryId": ACCOUNT }] }] });
    let document = json!({ "replicationConfiguration": document });
    here.api("PUT", "/api/v1/registry/replication", Some(&document))?
        .expect(200)?;

    let (client, remote) = (RegistryClient::new(&here), RegistryClient::new(&there));
    let own = json!([{ "Key": "team", "Value": "a" }]);
    // The repository, what of it goes beside its image, and whether deletions go.
    for (name, has_tags, has_deletions) in [
        ("team/web", true, true),
        ("team/app", true, false),
        ("other", false, false),
    ] {
        here.create_repository_with(&json!({ "repositoryName": name, "tags": own.clone() }))?;
        put(
            &here,
            name,
            "lifecycle-policy",
            &json!({ "lifecyclePolicyText": lifecycle(6) }),
        )?;
        put(
            &here,
            name,
            "policy",
            &json!({ "policyText": policy("ecr:BatchGetImage") }),
        )?;
        let image = client.push_image(name, "1", name.as_bytes())?;
        wait_for(&here, name, &image)?;
        wait_until_idle(&here)?;
        let arrived = arrivals_of(&there, name)?;
        ensure!(arrived == ["1"], "{name}: {arrived:?}");
        let statuses = statuses(&here, name, &image)?;
        ensure!(statuses.len() == 1, "{name}: {statuses:?}");
        let found = shown(&there, name)?;
        ensure!(
            found["lifecycle"] == lifecycle(6) && found["policy"] == Value::Null,
            "{name}: {found}"
        );
        let expected = if has_tags { own.clone() } else { json!([]) };
        ensure!(found["tags"] == expected, "{name}: {found}");
        client
            .call("DELETE", &format!("/v2/{name}/manifests/{image}"), &[], &[])?
            .expect(202)?;
        wait_until_idle(&here)?;
        ensure!(
            tag(&remote, name, "1")?.is_none() == has_deletions,
            "{name}: the deletion"
        );
    }
    Ok(())
}
