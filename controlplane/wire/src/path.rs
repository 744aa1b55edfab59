// SPDX-License-Identifier: Apache-2.0
//! The paths of the API. A name goes percent-encoded into one segment, slashes and colons included.

use hythe_model::{AccountId, Digest, Region, RepositoryName, RepositoryPrefix, Tag};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What every path of the API starts with.
pub const PREFIX: &str = "/api/v1";

/// Everything but the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `text` as one segment of a path.
#[must_use]
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// `GET` lists, `POST` creates.
#[must_use]
pub fn repositories() -> String {
    format!("{PREFIX}/repositories")
}

/// One repository.
#[must_use]
pub fn repository(name: &RepositoryName) -> String {
    format!("{PREFIX}/repositories/{}", segment(name.as_str()))
}

/// How much one repository holds.
#[must_use]
pub fn usage(name: &RepositoryName) -> String {
    format!("{}/usage", repository(name))
}

/// The resource tags of one repository.
#[must_use]
pub fn resource_tags(name: &RepositoryName) -> String {
    format!("{}/resource-tags", repository(name))
}

/// Who may do something in one repository.
#[must_use]
pub fn repository_access(name: &RepositoryName) -> String {
    format!("{}/access", repository(name))
}

/// The templates of repositories: `GET` lists, `POST` creates.
#[must_use]
pub fn repository_creation_templates() -> String {
    format!("{PREFIX}/repository-creation-templates")
}

/// One template of repositories.
#[must_use]
pub fn repository_creation_template(prefix: &RepositoryPrefix) -> String {
    format!("{}/{}", repository_creation_templates(), segment(prefix.as_str()))
}

/// Where images can be replicated to: `GET` lists, `POST` creates.
#[must_use]
pub fn replication_destinations() -> String {
    format!("{PREFIX}/replication-destinations")
}

/// One destination of replication.
#[must_use]
pub fn replication_destination(name: &Region) -> String {
    format!("{}/{}", replication_destinations(), segment(name.as_str()))
}

/// The replication document of the registry.
#[must_use]
pub fn replication() -> String {
    format!("{PREFIX}/registry/replication")
}

/// The replication rules beside the document.
#[must_use]
pub fn replication_rules() -> String {
    format!("{}/rules", replication())
}

/// One replication rule beside the document.
#[must_use]
pub fn replication_rule(name: &str) -> String {
    format!("{}/{}", replication_rules(), segment(name))
}

/// What waits for each destination.
#[must_use]
pub fn replication_progress() -> String {
    format!("{}/progress", replication())
}

/// Backfills of replication.
#[must_use]
pub fn replication_backfills() -> String {
    format!("{}/backfills", replication())
}

/// One backfill of replication, and what became of its images.
#[must_use]
pub fn replication_backfill(id: &str) -> String {
    format!("{}/{}", replication_backfills(), segment(id))
}

/// What waits to be replicated, or was given up.
#[must_use]
pub fn replication_tasks() -> String {
    format!("{}/tasks", replication())
}

/// `POST` tries again what was given up.
#[must_use]
pub fn replication_retries() -> String {
    format!("{}/retries", replication_tasks())
}

/// What became of an image at each destination.
#[must_use]
pub fn image_replication_status(name: &RepositoryName, digest: &Digest) -> String {
    format!("{}/replication-status", image(name, digest))
}

/// What became of the settings of a repository at each destination.
#[must_use]
pub fn repository_replication_status(name: &RepositoryName) -> String {
    format!("{}/replication-status", repository(name))
}

/// The virtual repositories: `GET` lists, `POST` creates.
#[must_use]
pub fn virtual_repositories() -> String {
    format!("{PREFIX}/virtual-repositories")
}

/// One virtual repository.
#[must_use]
pub fn virtual_repository(name: &RepositoryPrefix) -> String {
    format!("{}/{}", virtual_repositories(), segment(name.as_str()))
}

/// The rules of pull-through caches: `GET` lists, `POST` creates.
#[must_use]
pub fn pull_through_cache_rules() -> String {
    format!("{PREFIX}/pull-through-cache-rules")
}

/// One rule of a pull-through cache.
#[must_use]
pub fn pull_through_cache_rule(prefix: &RepositoryPrefix) -> String {
    format!("{}/{}", pull_through_cache_rules(), segment(prefix.as_str()))
}

/// `POST` asks the upstream of a rule whether it can be used.
#[must_use]
pub fn pull_through_cache_rule_validation(prefix: &RepositoryPrefix) -> String {
    format!("{}/validation", pull_through_cache_rule(prefix))
}

/// `POST` starts a run of the mirror of a rule, `GET` lists them.
#[must_use]
pub fn mirror_runs(prefix: &RepositoryPrefix) -> String {
    format!("{}/mirror-runs", pull_through_cache_rule(prefix))
}

/// One such run.
#[must_use]
pub fn mirror_run(prefix: &RepositoryPrefix, id: &str) -> String {
    format!("{}/{}", mirror_runs(prefix), segment(id))
}

/// `POST` lets the upstream of a repository be asked at the next pull.
#[must_use]
pub fn upstream_refreshes(name: &RepositoryName) -> String {
    format!("{}/upstream-refreshes", repository(name))
}

/// `POST` asks what somebody may do.
#[must_use]
pub fn policy_simulations() -> String {
    format!("{PREFIX}/policy-simulations")
}

/// The policy of one repository.
#[must_use]
pub fn repository_policy(name: &RepositoryName) -> String {
    format!("{}/policy", repository(name))
}

/// The lifecycle policy of one repository.
#[must_use]
pub fn lifecycle_policy(name: &RepositoryName) -> String {
    format!("{}/lifecycle-policy", repository(name))
}

/// The preview of a lifecycle policy: `POST` starts one, `GET` reads it.
#[must_use]
pub fn lifecycle_policy_preview(name: &RepositoryName) -> String {
    format!("{}/preview", lifecycle_policy(name))
}

/// The runs of a lifecycle policy: `POST` starts one, `GET` lists them.
#[must_use]
pub fn lifecycle_runs(name: &RepositoryName) -> String {
    format!("{}/runs", lifecycle_policy(name))
}

/// One run of a lifecycle policy.
#[must_use]
pub fn lifecycle_run(name: &RepositoryName, run_id: &str) -> String {
    format!("{}/{}", lifecycle_runs(name), segment(run_id))
}

/// The images of one repository.
#[must_use]
pub fn images(name: &RepositoryName) -> String {
    format!("{}/images", repository(name))
}

/// One image.
#[must_use]
pub fn image(name: &RepositoryName, digest: &Digest) -> String {
    format!("{}/images/{}", repository(name), segment(&digest.to_string()))
}

/// `POST` deletes several images of one repository.
#[must_use]
pub fn image_deletions(name: &RepositoryName) -> String {
    format!("{}/image-deletions", repository(name))
}

/// The deleted images of one repository that can be restored.
#[must_use]
pub fn deleted_images(name: &RepositoryName) -> String {
    format!("{}/deleted-images", repository(name))
}

/// One deleted image; `DELETE` purges it.
#[must_use]
pub fn deleted_image(name: &RepositoryName, digest: &Digest) -> String {
    format!("{}/{}", deleted_images(name), segment(&digest.to_string()))
}

/// `POST` restores one deleted image.
#[must_use]
pub fn restoration(name: &RepositoryName, digest: &Digest) -> String {
    format!("{}/restoration", deleted_image(name, digest))
}

/// The settings of the registry.
#[must_use]
pub fn registry_settings() -> String {
    format!("{}/settings", registry())
}

/// The manifest of one image, as it was pushed.
#[must_use]
pub fn manifest(name: &RepositoryName, digest: &Digest) -> String {
    format!("{}/manifest", image(name, digest))
}

/// `PUT` archives one image, or brings it back.
#[must_use]
pub fn storage_class(name: &RepositoryName, digest: &Digest) -> String {
    format!("{}/storage-class", image(name, digest))
}

/// The tags of the images of one repository.
#[must_use]
pub fn tags(name: &RepositoryName) -> String {
    format!("{}/tags", repository(name))
}

/// One tag.
#[must_use]
pub fn tag(name: &RepositoryName, tag: &Tag) -> String {
    format!("{}/tags/{}", repository(name), segment(tag.as_str()))
}

/// `POST` points one tag to an image that it pointed to before.
#[must_use]
pub fn tag_rollback(name: &RepositoryName, of: &Tag) -> String {
    format!("{}/rollback", tag(name, of))
}

/// Where one tag pointed, and when.
#[must_use]
pub fn tag_history(name: &RepositoryName, of: &Tag) -> String {
    format!("{}/history", tag(name, of))
}

/// The images that refer to one image.
#[must_use]
pub fn referrers(name: &RepositoryName, subject: &Digest) -> String {
    format!("{}/referrers/{}", repository(name), segment(&subject.to_string()))
}

/// The registry of the caller's account.
#[must_use]
pub fn registry() -> String {
    format!("{PREFIX}/registry")
}

/// Whose pulls do not count: `GET` lists, `POST` registers.
#[must_use]
pub fn pull_time_exclusions() -> String {
    format!("{}/pull-time-exclusions", registry())
}

/// A user or a role whose pulls do not count, by ARN.
#[must_use]
pub fn pull_time_exclusion(principal_arn: &str) -> String {
    format!("{}/{}", pull_time_exclusions(), segment(principal_arn))
}

/// The policy of the registry.
#[must_use]
pub fn registry_policy() -> String {
    format!("{}/policy", registry())
}

/// The statements of the policy of the registry.
#[must_use]
pub fn registry_policy_statements() -> String {
    format!("{}/statements", registry_policy())
}

/// One statement of the policy of the registry.
#[must_use]
pub fn registry_policy_statement(sid: &str) -> String {
    format!("{}/{}", registry_policy_statements(), segment(sid))
}

/// The policies that can be attached: `GET` lists, `POST` creates.
#[must_use]
pub fn policies() -> String {
    format!("{PREFIX}/policies")
}

/// One policy, by its name.
#[must_use]
pub fn policy(name: &str) -> String {
    format!("{PREFIX}/policies/{}", segment(name))
}

/// `POST` makes an authorization token.
#[must_use]
pub fn authorization_tokens() -> String {
    format!("{PREFIX}/authorization-tokens")
}

/// One authorization token, by its id.
#[must_use]
pub fn authorization_token(id: &str) -> String {
    format!("{PREFIX}/authorization-tokens/{}", segment(id))
}

/// `POST` renews a renewable authorization token.
#[must_use]
pub fn renewals(id: &str) -> String {
    format!("{}/renewals", authorization_token(id))
}

/// `POST` makes an authorization token for a user.
#[must_use]
pub fn user_authorization_tokens(user: &str) -> String {
    format!("{}/authorization-tokens", self::user(user))
}

/// One authorization token of a user, by its id.
#[must_use]
pub fn user_authorization_token(user: &str, id: &str) -> String {
    format!("{}/{}", user_authorization_tokens(user), segment(id))
}

/// `POST` renews a renewable authorization token of a user.
#[must_use]
pub fn user_renewals(user: &str, id: &str) -> String {
    format!("{}/renewals", user_authorization_token(user, id))
}

/// The keys that sign tokens: `GET` lists, `POST` makes a new one.
#[must_use]
pub fn signing_keys() -> String {
    format!("{PREFIX}/token-signing-keys")
}

/// `GET` says how the collection of blobs goes that nobody needs.
#[must_use]
pub fn garbage_collection() -> String {
    format!("{PREFIX}/garbage-collection")
}

/// `POST` lets blobs be collected now.
#[must_use]
pub fn garbage_collection_runs() -> String {
    format!("{}/runs", garbage_collection())
}

/// One collection that somebody asked for, by its id.
#[must_use]
pub fn garbage_collection_run(id: &str) -> String {
    format!("{}/{}", garbage_collection_runs(), segment(id))
}

/// `POST` takes on a role.
#[must_use]
pub fn role_sessions(role_name: &str) -> String {
    format!("{PREFIX}/roles/{}/sessions", segment(role_name))
}

/// Who the caller is.
#[must_use]
pub fn caller_identity() -> String {
    format!("{PREFIX}/caller-identity")
}

/// `GET` lists, `POST` creates.
#[must_use]
pub fn users() -> String {
    format!("{PREFIX}/users")
}

/// One user.
#[must_use]
pub fn user(name: &str) -> String {
    format!("{PREFIX}/users/{}", segment(name))
}

/// The access keys of one user.
#[must_use]
pub fn access_keys(user_name: &str) -> String {
    format!("{}/access-keys", user(user_name))
}

/// One access key.
#[must_use]
pub fn access_key(user_name: &str, id: &str) -> String {
    format!("{}/access-keys/{}", user(user_name), segment(id))
}

/// `GET` lists, `POST` creates.
#[must_use]
pub fn identity_providers() -> String {
    format!("{PREFIX}/identity-providers")
}

/// One identity provider, by its host and path.
#[must_use]
pub fn identity_provider(name: &str) -> String {
    format!("{PREFIX}/identity-providers/{}", segment(name))
}

/// `POST` opens a session of a role with a token of an identity provider.
#[must_use]
pub fn web_identity_sessions() -> String {
    format!("{PREFIX}/web-identity-sessions")
}

/// `POST` makes a new access key in place of this one.
#[must_use]
pub fn access_key_rotation(user_name: &str, id: &str) -> String {
    format!("{}/rotation", access_key(user_name, id))
}

/// One policy of a user.
#[must_use]
pub fn user_policy(user_name: &str, policy: &str) -> String {
    format!("{}/policies/{}", user(user_name), segment(policy))
}

/// `GET` lists, `POST` creates.
#[must_use]
pub fn accounts() -> String {
    format!("{PREFIX}/accounts")
}

/// One account.
#[must_use]
pub fn account(id: &AccountId) -> String {
    format!("{PREFIX}/accounts/{id}")
}

/// The access keys of the administrator of one account.
#[must_use]
pub fn administrator_keys(id: &AccountId) -> String {
    format!("{}/administrator-keys", account(id))
}

/// One access key of the administrator of one account.
#[must_use]
pub fn administrator_key(id: &AccountId, key: &str) -> String {
    format!("{}/{}", administrator_keys(id), segment(key))
}

/// `GET` lists, `POST` creates.
#[must_use]
pub fn groups() -> String {
    format!("{PREFIX}/groups")
}

/// One group.
#[must_use]
pub fn group(name: &str) -> String {
    format!("{PREFIX}/groups/{}", segment(name))
}

/// One policy of a group.
#[must_use]
pub fn group_policy(group_name: &str, policy: &str) -> String {
    format!("{}/policies/{}", group(group_name), segment(policy))
}

/// One member of a group.
#[must_use]
pub fn group_member(group_name: &str, user_name: &str) -> String {
    format!("{}/members/{}", group(group_name), segment(user_name))
}

/// `GET` lists, `POST` creates.
#[must_use]
pub fn roles() -> String {
    format!("{PREFIX}/roles")
}

/// One role.
#[must_use]
pub fn role(name: &str) -> String {
    format!("{PREFIX}/roles/{}", segment(name))
}

/// One policy of a role.
#[must_use]
pub fn role_policy(role_name: &str, policy: &str) -> String {
    format!("{}/policies/{}", role(role_name), segment(policy))
}

/// The records of requests.
#[must_use]
pub fn audit_events() -> String {
    format!("{PREFIX}/audit-events")
}

/// `POST` checks the chain of records.
#[must_use]
pub fn audit_verifications() -> String {
    format!("{PREFIX}/audit-verifications")
}

/// How long records are kept.
#[must_use]
pub fn audit_settings() -> String {
    format!("{PREFIX}/audit-settings")
}

/// `POST` starts a check of everything that is stored, `GET` lists them.
#[must_use]
pub fn scrubs() -> String {
    format!("{PREFIX}/scrubs")
}

/// One such check.
#[must_use]
pub fn scrub(id: &str) -> String {
    format!("{PREFIX}/scrubs/{}", segment(id))
}

/// The OpenAPI document.
#[must_use]
pub fn openapi() -> String {
    format!("{PREFIX}/openapi.json")
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_digests_are_one_segment() {
        let name = "team-a/web".parse().unwrap();
        let digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
        assert_eq!(repository(&name), "/api/v1/repositories/team-a%2Fweb");
        assert_eq!(
            manifest(&name, &digest),
            format!(
                "/api/v1/repositories/team-a%2Fweb/images/sha256%3A{}/manifest",
                "0".repeat(64)
            )
        );
        assert_eq!(access_key("a/b@c", "K"), "/api/v1/users/a%2Fb%40c/access-keys/K");
    }

    proptest! {
        #[test]
        fn a_segment_decodes_to_its_text(text in ".*") {
            let encoded = segment(&text);
            prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)));
            prop_assert_eq!(percent_decode_str(&encoded).decode_utf8().unwrap(), text);
        }
    }
}
