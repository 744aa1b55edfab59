// SPDX-License-Identifier: Apache-2.0
//! What can be asked for: ECR's actions, and the few of our own beside them.

use std::fmt;
use std::str::FromStr;

use hythe_model::{AccountId, ParseError, RepositoryPath};

use crate::RolePath;
use crate::gate::Resource;

/// An action as a type, so that a [`crate::Granted`] says in its type what it permits.
pub trait ActionKind: fmt::Debug + Send + Sync + 'static {
    /// The action.
    const ACTION: Action;
    /// What the action works on: a [`RepositoryPath`], a [`RolePath`], or an [`AccountId`] for the whole registry.
    type Resource: Clone + fmt::Debug + Send + Sync + Into<Resource>;
}

macro_rules! actions {
    ($( $(#[$doc:meta])* $name:ident($prefix:literal, $resource:ty), )*) => {
        /// An action, by its name in policies.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Action { $( $(#[$doc])* $name, )* }

        impl Action {
            /// All actions.
            pub const ALL: &[Self] = &[ $( Self::$name, )* ];

            /// The name in policies, such as `ecr:PutImage`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$name => concat!($prefix, ":", stringify!($name)), )* }
            }
        }

        /// Each action as a type.
        pub mod kinds {
            use super::{AccountId, Action, ActionKind, RepositoryPath, RolePath};
            $(
                $(#[$doc])*
                #[derive(Clone, Copy, Debug)]
                pub struct $name;

                impl ActionKind for $name {
                    const ACTION: Action = Action::$name;
                    type Resource = $resource;
                }
            )*
        }
    };
}

actions! {
    /// Ask whether a repository has a blob.
    BatchCheckLayerAvailability("ecr", RepositoryPath),
    /// Read a blob.
    GetDownloadUrlForLayer("ecr", RepositoryPath),
    /// Start an upload.
    InitiateLayerUpload("ecr", RepositoryPath),
    /// Send bytes of an upload, ask for its state, or cancel it.
    UploadLayerPart("ecr", RepositoryPath),
    /// Finish an upload.
    CompleteLayerUpload("ecr", RepositoryPath),
    /// Read a manifest, or list the referrers of one.
    BatchGetImage("ecr", RepositoryPath),
    /// Store a manifest, or tag one.
    PutImage("ecr", RepositoryPath),
    /// Delete a manifest or a tag.
    BatchDeleteImage("ecr", RepositoryPath),
    /// List the deleted images that can be restored.
    ListDeletedImages("ecr", RepositoryPath),
    /// Restore a deleted image.
    RestoreImage("ecr", RepositoryPath),
    /// Take away the possibility to restore a deleted image.
    PurgeImage("ecr", RepositoryPath),
    /// Archive an image, or bring it back.
    UpdateImageStorageClass("ecr", RepositoryPath),
    /// Bring an image here from another deployment, or another account: all steps of that.
    ReplicateImage("ecr", RepositoryPath),
    /// See what became of an image at the destinations of replication.
    DescribeImageReplicationStatus("ecr", RepositoryPath),
    /// Let an image come from another registry, and ask there anew what a tag points to.
    BatchImportUpstreamImage("ecr", RepositoryPath),
    /// List tags and digests.
    ListImages("ecr", RepositoryPath),
    /// Describe images.
    DescribeImages("ecr", RepositoryPath),
    /// Create a repository.
    CreateRepository("ecr", RepositoryPath),
    /// Describe one repository; in a list, whether it may be seen.
    DescribeRepositories("ecr", RepositoryPath),
    /// Delete a repository.
    DeleteRepository("ecr", RepositoryPath),
    /// Change whether tags may move, or whether an index may list images that are not there.
    PutImageTagMutability("ecr", RepositoryPath),
    /// Change whether images are scanned when they are pushed.
    PutImageScanningConfiguration("ecr", RepositoryPath),
    /// Set resource tags.
    TagResource("ecr", RepositoryPath),
    /// Remove resource tags.
    UntagResource("ecr", RepositoryPath),
    /// List resource tags.
    ListTagsForResource("ecr", RepositoryPath),
    /// Read the policy of a repository.
    GetRepositoryPolicy("ecr", RepositoryPath),
    /// Set the policy of a repository.
    SetRepositoryPolicy("ecr", RepositoryPath),
    /// Delete the policy of a repository.
    DeleteRepositoryPolicy("ecr", RepositoryPath),
    /// Set the lifecycle policy of a repository.
    PutLifecyclePolicy("ecr", RepositoryPath),
    /// Read the lifecycle policy of a repository.
    GetLifecyclePolicy("ecr", RepositoryPath),
    /// Delete the lifecycle policy of a repository.
    DeleteLifecyclePolicy("ecr", RepositoryPath),
    /// Ask what a lifecycle policy would do.
    StartLifecyclePolicyPreview("ecr", RepositoryPath),
    /// Read what a lifecycle policy would do.
    GetLifecyclePolicyPreview("ecr", RepositoryPath),
    /// Evaluate a lifecycle policy now.
    StartLifecycleRun("ecr", RepositoryPath),
    /// List and describe what a lifecycle policy has done.
    ListLifecycleRuns("ecr", RepositoryPath),
    /// Read the policy of the registry.
    GetRegistryPolicy("ecr", AccountId),
    /// Set the policy of the registry.
    PutRegistryPolicy("ecr", AccountId),
    /// Delete the policy of the registry.
    DeleteRegistryPolicy("ecr", AccountId),
    /// Obtain an authorization token.
    GetAuthorizationToken("ecr", AccountId),
    /// Describe the registry.
    DescribeRegistry("ecr", AccountId),
    /// Change where images are replicated to.
    PutReplicationConfiguration("ecr", AccountId),
    /// Have what was there before a rule replicated, too.
    StartReplicationBackfill("ecr", AccountId),
    /// Stop that.
    StopReplicationBackfill("ecr", AccountId),
    /// List backfills.
    ListReplicationBackfills("ecr", AccountId),
    /// See what became of the images of a backfill.
    DescribeReplicationBackfillResults("ecr", AccountId),
    /// Read the settings of the registry.
    GetAccountSetting("ecr", AccountId),
    /// Change the settings of the registry.
    PutAccountSetting("ecr", AccountId),
    /// List whose pulls do not count.
    ListPullTimeUpdateExclusions("ecr", AccountId),
    /// Let pulls of a user or a role not count.
    RegisterPullTimeUpdateExclusion("ecr", AccountId),
    /// Let them count again.
    DeregisterPullTimeUpdateExclusion("ecr", AccountId),
    /// Create a template of repositories that the server creates.
    CreateRepositoryCreationTemplate("ecr", AccountId),
    /// List and describe templates of repositories.
    DescribeRepositoryCreationTemplates("ecr", AccountId),
    /// Change a template of repositories.
    UpdateRepositoryCreationTemplate("ecr", AccountId),
    /// Delete a template of repositories.
    DeleteRepositoryCreationTemplate("ecr", AccountId),
    /// Create a virtual repository.
    CreateVirtualRepository("ecr", AccountId),
    /// List and describe virtual repositories.
    DescribeVirtualRepositories("ecr", AccountId),
    /// Change a virtual repository.
    UpdateVirtualRepository("ecr", AccountId),
    /// Delete a virtual repository.
    DeleteVirtualRepository("ecr", AccountId),
    /// Let images come from another registry.
    CreatePullThroughCacheRule("ecr", AccountId),
    /// List and describe where images come from.
    DescribePullThroughCacheRules("ecr", AccountId),
    /// Change how another registry is asked.
    UpdatePullThroughCacheRule("ecr", AccountId),
    /// Ask whether another registry can be used.
    ValidatePullThroughCacheRule("ecr", AccountId),
    /// Let images come from another registry no more.
    DeletePullThroughCacheRule("ecr", AccountId),
    /// Let a mirror fetch from another registry now.
    StartMirrorRun("ecr", AccountId),
    /// List and describe what mirrors have fetched.
    DescribeMirrorRuns("ecr", AccountId),
    /// Create a user.
    CreateUser("iam", AccountId),
    /// List and describe users.
    ListUsers("iam", AccountId),
    /// Change which managed policies a user has.
    AttachUserPolicy("iam", AccountId),
    /// Delete a user.
    DeleteUser("iam", AccountId),
    /// Create an access key.
    CreateAccessKey("iam", AccountId),
    /// List access keys.
    ListAccessKeys("iam", AccountId),
    /// Activate or deactivate an access key.
    UpdateAccessKey("iam", AccountId),
    /// Delete an access key.
    DeleteAccessKey("iam", AccountId),
    /// Describe one user.
    GetUser("iam", AccountId),
    /// Change a user.
    UpdateUser("iam", AccountId),
    /// Set the resource tags of a user.
    TagUser("iam", AccountId),
    /// Remove resource tags of a user.
    UntagUser("iam", AccountId),
    /// Create a group.
    CreateGroup("iam", AccountId),
    /// List and describe groups.
    ListGroups("iam", AccountId),
    /// Change a group.
    UpdateGroup("iam", AccountId),
    /// Delete a group.
    DeleteGroup("iam", AccountId),
    /// Put a user into a group.
    AddUserToGroup("iam", AccountId),
    /// Take a user out of a group.
    RemoveUserFromGroup("iam", AccountId),
    /// Change which policies a group has.
    AttachGroupPolicy("iam", AccountId),
    /// Create a role.
    CreateRole("iam", AccountId),
    /// List and describe roles.
    ListRoles("iam", AccountId),
    /// Change a role.
    UpdateRole("iam", AccountId),
    /// Set the resource tags of a role.
    TagRole("iam", AccountId),
    /// Remove resource tags of a role.
    UntagRole("iam", AccountId),
    /// Change who may take on a role.
    UpdateAssumeRolePolicy("iam", AccountId),
    /// Delete a role.
    DeleteRole("iam", AccountId),
    /// Change which policies a role has.
    AttachRolePolicy("iam", AccountId),
    /// Change the boundary of a user or a role.
    PutPermissionsBoundary("iam", AccountId),
    /// Create a policy.
    CreatePolicy("iam", AccountId),
    /// List and describe policies.
    ListPolicies("iam", AccountId),
    /// Change what a policy says.
    CreatePolicyVersion("iam", AccountId),
    /// Delete a policy.
    DeletePolicy("iam", AccountId),
    /// Trust an identity provider.
    CreateOpenIDConnectProvider("iam", AccountId),
    /// List and describe identity providers.
    ListOpenIDConnectProviders("iam", AccountId),
    /// Change an identity provider.
    UpdateOpenIDConnectProvider("iam", AccountId),
    /// Trust an identity provider no more.
    DeleteOpenIDConnectProvider("iam", AccountId),
    /// Ask what somebody may do.
    SimulatePrincipalPolicy("iam", AccountId),
    /// Take on a role.
    AssumeRole("sts", RolePath),
    /// Take on a role with a token of an identity provider.
    AssumeRoleWithWebIdentity("sts", RolePath),
    /// Create an account.
    CreateAccount("organizations", AccountId),
    /// List and describe accounts.
    ListAccounts("organizations", AccountId),
    /// Change an account.
    UpdateAccount("organizations", AccountId),
    /// Close an account.
    CloseAccount("organizations", AccountId),
    /// Read and verify the audit log.
    LookupEvents("cloudtrail", AccountId),
    /// Read the settings of the audit log.
    GetEventSettings("cloudtrail", AccountId),
    /// Change the settings of the audit log.
    PutEventSettings("cloudtrail", AccountId),
    /// List the keys that sign tokens.
    ListSigningKeys("hythe", AccountId),
    /// Make a new key that signs tokens.
    RotateSigningKey("hythe", AccountId),
    /// Make, extend and revoke authorization tokens of a user.
    CreateUserToken("hythe", AccountId),
    /// See how the collection of blobs that nobody needs goes.
    GetGarbageCollection("hythe", AccountId),
    /// Let blobs that nobody needs be collected now.
    RunGarbageCollection("hythe", AccountId),
    /// Start or cancel a check of everything that is stored.
    StartScrub("hythe", AccountId),
    /// List and describe such checks, and what they have found.
    GetScrub("hythe", AccountId),
}

/// A step of storing an image, for which [`Action::ReplicateImage`] is enough where the image is a replica.
pub trait ReplicaStep: ActionKind {}

impl ReplicaStep for kinds::BatchCheckLayerAvailability {}
impl ReplicaStep for kinds::BatchGetImage {}
impl ReplicaStep for kinds::InitiateLayerUpload {}
impl ReplicaStep for kinds::UploadLayerPart {}
impl ReplicaStep for kinds::CompleteLayerUpload {}
impl ReplicaStep for kinds::PutImage {}

impl Action {
    /// The actions that `docker pull` needs (ECR, "IAM identity-based policy examples").
    pub const PULL: &[Self] = &[
        Self::BatchGetImage,
        Self::GetDownloadUrlForLayer,
        Self::BatchCheckLayerAvailability,
    ];

    /// The actions that `docker push` needs besides those of a pull.
    pub const PUSH: &[Self] = &[
        Self::BatchCheckLayerAvailability,
        Self::BatchGetImage,
        Self::InitiateLayerUpload,
        Self::UploadLayerPart,
        Self::CompleteLayerUpload,
        Self::PutImage,
    ];

    /// The actions that a pull may need besides, where images come from another registry.
    pub const PULL_THROUGH: &[Self] = &[
        Self::BatchImportUpstreamImage,
        Self::CreateRepository,
        Self::TagResource,
    ];

    /// The actions that a first push may need besides, where the server creates the repository.
    pub const CREATE_ON_PUSH: &[Self] = &[Self::CreateRepository, Self::TagResource];
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Action {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|action| action.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| ParseError::new("action", text, "it must be an action such as `ecr:BatchGetImage`"))
    }
}
