// SPDX-License-Identifier: Apache-2.0
//! Managed resources and their lists. All but the repository are nouns: see `noun.rs`.

mod access_key;
mod account;
mod group;
mod group_membership;
mod identity_provider;
mod lifecycle_policy;
mod policy;
mod policy_attachment;
mod pull_through_cache_rule;
mod pull_time_update_exclusion;
mod registry_policy;
mod registry_policy_statement;
mod registry_settings;
mod replication_configuration;
mod replication_destination;
mod replication_rule;
mod repository;
mod repository_creation_template;
mod repository_policy;
mod role;
mod tag_mutability;
mod user;
mod virtual_repository;

pub(crate) use access_key::AccessKey;
pub(crate) use account::Account;
pub(crate) use group::Group;
pub(crate) use group_membership::GroupMembership;
pub(crate) use identity_provider::IdentityProvider;
pub(crate) use lifecycle_policy::LifecyclePolicy;
pub(crate) use policy::Policy;
pub(crate) use policy_attachment::{GroupPolicyAttachment, RolePolicyAttachment, UserPolicyAttachment};
pub(crate) use pull_through_cache_rule::PullThroughCacheRule;
pub(crate) use pull_time_update_exclusion::PullTimeUpdateExclusion;
pub(crate) use registry_policy::RegistryPolicy;
pub(crate) use registry_policy_statement::RegistryPolicyStatement;
pub(crate) use registry_settings::RegistrySettings;
pub(crate) use replication_configuration::ReplicationConfiguration;
pub(crate) use replication_destination::ReplicationDestination;
pub(crate) use replication_rule::ReplicationRule;
pub(crate) use repository::{Repository, RepositoryList};
pub(crate) use repository_creation_template::RepositoryCreationTemplate;
pub(crate) use repository_policy::RepositoryPolicy;
pub(crate) use role::Role;
pub(crate) use user::User;
pub(crate) use virtual_repository::VirtualRepository;
