// SPDX-License-Identifier: Apache-2.0
//! Every variant of every error, with what becomes of it, for review as a table.

use std::io;
use std::time::Duration;

use hythe_access::Principal;
use hythe_model::{Digest, EncryptionType, MirrorSettingsError, Reference, RepositoryPath, Tag};
use hythe_operations::{BackfillStatus, Noun, ReplicationRuleError, RollbackTagRefusal};

use super::*;

fn path() -> RepositoryPath {
    RepositoryPath {
        account: "000000000000".parse().unwrap(),
        name: "web".parse().unwrap(),
    }
}

fn digest() -> Digest {
    format!("sha256:{}", "0".repeat(64)).parse().unwrap()
}

fn tag() -> Tag {
    "v1".parse().unwrap()
}

fn image() -> UnknownImage {
    UnknownImage {
        repository: path(),
        reference: Reference::Digest(digest()),
    }
}

fn unknown_user() -> UnknownPrincipal {
    UnknownPrincipal {
        noun: Noun::User,
        name: "ada".into(),
        account: "000000000000".parse().unwrap(),
    }
}

fn unknown_tag() -> UnknownTag {
    UnknownTag {
        repository: path(),
        tag: tag(),
    }
}

fn no_image_then() -> NoImageThen {
    NoImageThen {
        repository: path(),
        tag: tag(),
        at: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn no_rollback(reason: RollbackTagRefusal) -> RollbackTagError {
    RollbackTagError::NoImage { tag: tag(), reason }
}

fn prefix() -> hythe_model::RepositoryPrefix {
    "prod".parse().unwrap()
}

fn region() -> hythe_model::Region {
    "eu-west-1".parse().unwrap()
}

fn unknown_destination() -> hythe_operations::UnknownDestination {
    hythe_operations::UnknownDestination(region(), "000000000000".parse().unwrap())
}

fn bad_name() -> hythe_model::ParseError {
    hythe_model::ParseError::new("registry", "x y", "it must be a host")
}

fn corrupt() -> StoreError {
    StoreError::Corrupt("SECRET".into())
}

fn failed() -> Box<dyn Error + Send + Sync> {
    io::Error::other("SECRET").into()
}

/// A lifecycle policy without rules.
fn no_lifecycle_policy() -> hythe_operations::InvalidLifecyclePolicy {
    hythe_operations::LifecyclePolicy::parse("{}").unwrap_err()
}

/// A document that has no valid effect in its first statement.
fn malformed() -> DocumentError {
    let text = r#"{"Version":"2012-10-17","Statement":[{"Effect":"allow"}]}"#;
    hythe_operations::Policy::parse_resource(text).unwrap_err().into()
}

fn nobody() -> DocumentError {
    DocumentError::PrincipalNotFound {
        pointer: "/Statement/0/Principal/AWS".into(),
        arn: "arn:aws:iam::000000000000:user/gone".into(),
    }
}

fn immutable() -> PutImageRefusal {
    PutImageRefusal::TagImmutable {
        tag: tag(),
        repository: "web".into(),
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "one row per variant")]
fn every_error_has_its_status_and_code() {
    let user: hythe_access::UserName = "ada".parse().unwrap();
    let account: hythe_model::AccountId = "000000000000".parse().unwrap();
    let policy: hythe_access::PolicyName = "deploy".parse().unwrap();
    let root = Principal::Root(account.clone());
    let unknown = || UnknownRepository(path());
    let mut rows: Vec<(&str, Problem)> = Vec::new();
    macro_rules! rows {
        ($($what:literal => $error:expr,)*) => { $( rows.push(($what, Problem::from($error))); )* };
    }
    rows! {
        "Store::Busy" => StoreError::Busy,
        "Store::Full" => StoreError::Full,
        "Store::Unreachable" => StoreError::Unreachable(sqlx::Error::PoolClosed),
        "Store::Disk" => StoreError::Disk(sqlx::Error::RowNotFound.into()),
        "Store::Sql" => StoreError::Sql(sqlx::Error::RowNotFound.into()),
        "Store::Corrupt" => corrupt(),
        "Catalog::RepositoryUnknown" => CatalogError::RepositoryUnknown(path()),
        "Catalog::Conflict" => CatalogError::Conflict,
        "Catalog::Busy" => CatalogError::Busy,
        "Catalog::Full" => CatalogError::Full,
        "Catalog::Store" => CatalogError::Store(failed()),
        "Gate" => GateError(failed()),
        "Crypto" => CryptoError,
        "Authentication::Rejected" => AuthenticationError::Rejected,
        "Authentication::Expired" => AuthenticationError::Expired,
        "Authentication::Revoked" => AuthenticationError::Revoked,
        "Authentication::Inactive" => AuthenticationError::Inactive,
        "Authentication::Disabled" => AuthenticationError::Disabled,
        "Authentication::Throttled" => AuthenticationError::Throttled(Throttled { retry_after: Duration::from_secs(7) }),
        "Authentication::Unavailable" => AuthenticationError::Unavailable(failed()),
        "Access::Unauthenticated" => AccessError::Unauthenticated("no".into()),
        "Access::Denied" => AccessError::Denied("no".into()),
        "Access::Unavailable" => AccessError::Unavailable(GateError(failed())),
        "CallerIdentity::Anonymous" => CallerIdentityError::Anonymous,
        "UnknownRepository" => unknown(),
        "UnknownImage" => image(),
        "UnknownTag" => unknown_tag(),
        "Encryption::KeyNotTaken" => EncryptionError::KeyNotTaken,
        "Encryption::KeyLength" => EncryptionError::KeyLength,
        "Encryption::NoKeyManagement" => EncryptionError::NoKeyManagement(EncryptionType::Kms),
        "ResourceTag::TooMany" => ResourceTagError::TooMany(51),
        "ResourceTag::Key" => ResourceTagError::Key("aws:".into()),
        "ResourceTag::Value" => ResourceTagError::Value("k".into()),
        "ResourceTag::Duplicate" => ResourceTagError::Duplicate("k".into()),
        "CreateRepository::AlreadyExists" => CreateRepositoryError::AlreadyExists(path()),
        "CreateRepository::Encryption" => CreateRepositoryError::Encryption(EncryptionError::KeyNotTaken),
        "CreateRepository::IdempotencyMismatch" => CreateRepositoryError::IdempotencyMismatch,
        "CreateRepository::LimitExceeded" => CreateRepositoryError::LimitExceeded(account.clone(), 100_000),
        "CreateRepository::Virtual" => CreateRepositoryError::Virtual(path(), prefix()),
        "CreateRepository::Store" => CreateRepositoryError::Store(corrupt()),
        "ListRepositories::Anonymous" => ListRepositoriesError::Anonymous,
        "ListRepositories::Access" => ListRepositoriesError::Access(GateError(failed())),
        "ListRepositories::Store" => ListRepositoriesError::Store(corrupt()),
        "Repository::Unknown" => RepositoryError::Unknown(unknown()),
        "Repository::Store" => RepositoryError::Store(corrupt()),
        "UpdateRepository::Nothing" => UpdateRepositoryError::Nothing,
        "UpdateRepository::Mixed" => UpdateRepositoryError::Mixed,
        "UpdateRepository::Unknown" => UpdateRepositoryError::Unknown(unknown()),
        "UpdateRepository::VersionMismatch" => UpdateRepositoryError::VersionMismatch,
        "UpdateRepository::Store" => UpdateRepositoryError::Store(corrupt()),
        "DeleteRepository::Unknown" => DeleteRepositoryError::Unknown(unknown()),
        "DeleteRepository::NotEmpty" => DeleteRepositoryError::NotEmpty(path()),
        "DeleteRepository::VersionMismatch" => DeleteRepositoryError::VersionMismatch,
        "DeleteRepository::Store" => DeleteRepositoryError::Store(corrupt()),
        "RepositoryPolicy::UnknownRepository" => RepositoryPolicyError::UnknownRepository(unknown()),
        "RepositoryPolicy::Absent" => RepositoryPolicyError::Absent(NoRepositoryPolicy(path())),
        "RepositoryPolicy::VersionMismatch" => RepositoryPolicyError::VersionMismatch,
        "RepositoryPolicy::Store" => RepositoryPolicyError::Store(corrupt()),
        "SetRepositoryPolicy::UnknownRepository" => SetRepositoryPolicyError::UnknownRepository(unknown()),
        "SetRepositoryPolicy::Document(Invalid)" => SetRepositoryPolicyError::Document(malformed()),
        "SetRepositoryPolicy::Document(PrincipalNotFound)" => SetRepositoryPolicyError::Document(nobody()),
        "SetRepositoryPolicy::LocksOut" => SetRepositoryPolicyError::LocksOut,
        "SetRepositoryPolicy::VersionMismatch" => SetRepositoryPolicyError::VersionMismatch,
        "SetRepositoryPolicy::Access" => SetRepositoryPolicyError::Access(GateError(failed())),
        "SetRepositoryPolicy::Store" => SetRepositoryPolicyError::Store(corrupt()),
        "LifecyclePolicy::UnknownRepository" => LifecyclePolicyError::UnknownRepository(unknown()),
        "LifecyclePolicy::Absent" => LifecyclePolicyError::Absent(NoLifecyclePolicy(path())),
        "LifecyclePolicy::VersionMismatch" => LifecyclePolicyError::VersionMismatch,
        "LifecyclePolicy::Store" => LifecyclePolicyError::Store(corrupt()),
        "PutLifecyclePolicy::UnknownRepository" => PutLifecyclePolicyError::UnknownRepository(unknown()),
        "PutLifecyclePolicy::Invalid" => PutLifecyclePolicyError::Invalid(no_lifecycle_policy()),
        "PutLifecyclePolicy::VersionMismatch" => PutLifecyclePolicyError::VersionMismatch,
        "PutLifecyclePolicy::Store" => PutLifecyclePolicyError::Store(corrupt()),
        "StartLifecyclePreview::UnknownRepository" => StartLifecyclePreviewError::UnknownRepository(unknown()),
        "StartLifecyclePreview::NoPolicy" => StartLifecyclePreviewError::NoPolicy(NoLifecyclePolicy(path())),
        "StartLifecyclePreview::Invalid" => StartLifecyclePreviewError::Invalid(no_lifecycle_policy()),
        "StartLifecyclePreview::InProgress" => StartLifecyclePreviewError::InProgress,
        "StartLifecyclePreview::Store" => StartLifecyclePreviewError::Store(corrupt()),
        "Preview::UnknownRepository" => PreviewError::UnknownRepository(unknown()),
        "Preview::Unknown" => PreviewError::Unknown(path()),
        "Preview::Store" => PreviewError::Store(corrupt()),
        "StartLifecycleRun::UnknownRepository" => StartLifecycleRunError::UnknownRepository(unknown()),
        "StartLifecycleRun::NoPolicy" => StartLifecycleRunError::NoPolicy(NoLifecyclePolicy(path())),
        "StartLifecycleRun::Store" => StartLifecycleRunError::Store(corrupt()),
        "LifecycleRun::UnknownRepository" => LifecycleRunError::UnknownRepository(unknown()),
        "LifecycleRun::Unknown" => LifecycleRunError::Unknown("0197".into()),
        "LifecycleRun::Store" => LifecycleRunError::Store(corrupt()),
        "RegistryPolicy::Absent" => RegistryPolicyError::Absent(NoRegistryPolicy(account.clone())),
        "RegistryPolicy::UnknownStatement" =>
            RegistryPolicyError::UnknownStatement(UnknownStatement("Share".into(), account.clone())),
        "RegistryPolicy::VersionMismatch" => RegistryPolicyError::VersionMismatch,
        "RegistryPolicy::Store" => RegistryPolicyError::Store(corrupt()),
        "PutRegistryPolicy::Document(Invalid)" => PutRegistryPolicyError::Document(malformed()),
        "PutRegistryPolicy::Document(PrincipalNotFound)" => PutRegistryPolicyError::Document(nobody()),
        "PutRegistryPolicy::Statement" =>
            PutRegistryPolicyError::Statement { pointer: "/Sid".into(), reason: "it must be `a`".into() },
        "PutRegistryPolicy::StatementPrincipal" => PutRegistryPolicyError::StatementPrincipal(nobody()),
        "PutRegistryPolicy::LocksOut" => PutRegistryPolicyError::LocksOut,
        "PutRegistryPolicy::StatementLocksOut" => PutRegistryPolicyError::StatementLocksOut,
        "PutRegistryPolicy::VersionMismatch" => PutRegistryPolicyError::VersionMismatch,
        "PutRegistryPolicy::Access" => PutRegistryPolicyError::Access(GateError(failed())),
        "PutRegistryPolicy::Store" => PutRegistryPolicyError::Store(corrupt()),
        "Policy::Unknown" => PolicyError::Unknown(UnknownPolicy(policy.clone(), account.clone())),
        "Policy::Store" => PolicyError::Store(corrupt()),
        "CreatePolicy::AlreadyExists" => CreatePolicyError::AlreadyExists(policy.clone(), account.clone()),
        "CreatePolicy::Reserved" => CreatePolicyError::Reserved("ReadOnly".parse().unwrap()),
        "CreatePolicy::Document(Invalid)" => CreatePolicyError::Document(malformed()),
        "CreatePolicy::Document(TooLong)" =>
            CreatePolicyError::Document(DocumentError::TooLong { characters: 6145, most: 6144 }),
        "CreatePolicy::Description" => CreatePolicyError::Description,
        "CreatePolicy::LimitExceeded" => CreatePolicyError::LimitExceeded(account.clone(), 1500),
        "CreatePolicy::Store" => CreatePolicyError::Store(corrupt()),
        "UpdatePolicy::Unknown" => UpdatePolicyError::Unknown(UnknownPolicy(policy.clone(), account.clone())),
        "UpdatePolicy::Managed" => UpdatePolicyError::Managed("ReadOnly".parse().unwrap()),
        "UpdatePolicy::Document" => UpdatePolicyError::Document(malformed()),
        "UpdatePolicy::Description" => UpdatePolicyError::Description,
        "UpdatePolicy::VersionMismatch" => UpdatePolicyError::VersionMismatch,
        "UpdatePolicy::Store" => UpdatePolicyError::Store(corrupt()),
        "DeletePolicy::Unknown" => DeletePolicyError::Unknown(UnknownPolicy(policy.clone(), account.clone())),
        "DeletePolicy::Managed" => DeletePolicyError::Managed("ReadOnly".parse().unwrap()),
        "DeletePolicy::Attached" => DeletePolicyError::Attached(policy.clone(), 2),
        "DeletePolicy::VersionMismatch" => DeletePolicyError::VersionMismatch,
        "DeletePolicy::Store" => DeletePolicyError::Store(corrupt()),
        "ResourceTags::Unknown" => ResourceTagsError::Unknown(unknown()),
        "ResourceTags::Mixed" => ResourceTagsError::Mixed,
        "ResourceTags::Tags" => ResourceTagsError::Tags(ResourceTagError::TooMany(51)),
        "ResourceTags::VersionMismatch" => ResourceTagsError::VersionMismatch,
        "ResourceTags::Store" => ResourceTagsError::Store(corrupt()),
        "Image::UnknownRepository" => ImageError::UnknownRepository(unknown()),
        "Image::UnknownImage" => ImageError::UnknownImage(image()),
        "Image::Store" => ImageError::Store(corrupt()),
        "Image::Catalog" => ImageError::Catalog(CatalogError::Busy),
        "StorageClass::UnknownRepository" => StorageClassError::UnknownRepository(unknown()),
        "StorageClass::UnknownImage" => StorageClassError::UnknownImage(image()),
        "StorageClass::ReferencedByIndex" => StorageClassError::ReferencedByIndex(vec![digest()]),
        "StorageClass::Activating" => StorageClassError::Activating,
        "StorageClass::Store" => StorageClassError::Store(corrupt()),
        "RegisterExclusion::AlreadyExists" =>
            RegisterExclusionError::AlreadyExists("arn:aws:iam::000000000000:role/ci".parse().unwrap(), account.clone()),
        "RegisterExclusion::LimitExceeded" => RegisterExclusionError::LimitExceeded,
        "RegisterExclusion::Store" => RegisterExclusionError::Store(corrupt()),
        "DeregisterExclusion::Absent" =>
            DeregisterExclusionError::Absent("arn:aws:iam::000000000000:role/ci".parse().unwrap(), account.clone()),
        "DeregisterExclusion::Store" => DeregisterExclusionError::Store(corrupt()),
        "DeleteImage::UnknownRepository" => DeleteImageError::UnknownRepository(unknown()),
        "DeleteImage::UnknownImage" => DeleteImageError::UnknownImage(image()),
        "DeleteImage::ReferencedByIndex" => DeleteImageError::Refused(DeleteImageRefusal::ReferencedByIndex(vec![digest()])),
        "DeleteImage::Catalog" => DeleteImageError::Refused(DeleteImageRefusal::Catalog(CatalogError::Busy)),
        "DeleteImage::Store" => DeleteImageError::Store(corrupt()),
        "DeleteImages::UnknownRepository" => DeleteImagesError::UnknownRepository(unknown()),
        "DeleteImages::Catalog" => DeleteImagesError::Catalog(CatalogError::Busy),
        "DeletedImage::UnknownRepository" => DeletedImageError::UnknownRepository(unknown()),
        "DeletedImage::UnknownImage" => DeletedImageError::UnknownImage(image()),
        "DeletedImage::Store" => DeletedImageError::Store(corrupt()),
        "RestoreImage::UnknownRepository" => RestoreImageError::UnknownRepository(unknown()),
        "RestoreImage::UnknownImage" => RestoreImageError::UnknownImage(image()),
        "RestoreImage::Unknown" => RestoreImageError::Refused(RestoreImageRefusal::Unknown),
        "RestoreImage::ChildrenGone" => RestoreImageError::Refused(RestoreImageRefusal::ChildrenGone(vec![digest()])),
        "RestoreImage::TooMany" => RestoreImageError::Refused(RestoreImageRefusal::TooMany),
        "RestoreImage::Catalog" => RestoreImageError::Refused(RestoreImageRefusal::Catalog(CatalogError::Busy)),
        "RestoreImage::Store" => RestoreImageError::Store(corrupt()),
        "PutRegistrySettings::TooManyDays" => PutRegistrySettingsError::TooManyDays,
        "PutRegistrySettings::VersionMismatch" => PutRegistrySettingsError::VersionMismatch,
        "PutRegistrySettings::Store" => PutRegistrySettingsError::Store(corrupt()),
        "Tag::UnknownRepository" => TagError::UnknownRepository(unknown()),
        "Tag::UnknownTag" => TagError::UnknownTag(unknown_tag()),
        "Tag::NoImageThen" => TagError::NoImageThen(no_image_then()),
        "Tag::Store" => TagError::Store(corrupt()),
        "RollbackTag::UnknownRepository" => RollbackTagError::UnknownRepository(unknown()),
        "RollbackTag::UnknownTag" => RollbackTagError::UnknownTag(unknown_tag()),
        "RollbackTag::NoPrevious" => no_rollback(RollbackTagRefusal::NoPrevious),
        "RollbackTag::UnknownMove" => no_rollback(RollbackTagRefusal::UnknownMove(7)),
        "RollbackTag::NoImageThen" => no_rollback(RollbackTagRefusal::NoImageThen),
        "RollbackTag::ImageGone" => no_rollback(RollbackTagRefusal::ImageGone(digest())),
        "RollbackTag::NeedsRestoration" => RollbackTagError::NeedsRestoration(digest()),
        "RollbackTag::NotRestored" => RollbackTagError::NotRestored(RestoreImageRefusal::ChildrenGone(vec![digest()])),
        "RollbackTag::Refused" => RollbackTagError::Refused(immutable()),
        "RollbackTag::Store" => RollbackTagError::Store(corrupt()),
        "SetTag::UnknownRepository" => SetTagError::UnknownRepository(unknown()),
        "SetTag::UnknownImage" => SetTagError::UnknownImage(image()),
        "SetTag::BlobsUnknown" => SetTagError::Refused(PutImageRefusal::BlobsUnknown(vec![digest()])),
        "SetTag::ChildrenUnknown" => SetTagError::Refused(PutImageRefusal::ChildrenUnknown(vec![digest()])),
        "SetTag::TagImmutable" => SetTagError::Refused(immutable()),
        "SetTag::TooManyTags" => SetTagError::Refused(PutImageRefusal::TooManyTags),
        "SetTag::Catalog" => SetTagError::Refused(PutImageRefusal::Catalog(CatalogError::Busy)),
        "SetTag::Store" => SetTagError::Store(corrupt()),
        "CreateToken::Duration" => CreateTokenError::Duration,
        "CreateToken::TooLong" => CreateTokenError::TooLong,
        "CreateToken::TooDeep" => CreateTokenError::TooDeep,
        "CreateToken::TooMany" => CreateTokenError::TooMany,
        "CreateToken::Crypto" => CreateTokenError::Crypto(CryptoError),
        "CreateToken::Store" => CreateTokenError::Store(corrupt()),
        "CreateUserToken::UserUnknown" => CreateUserTokenError::UserUnknown(unknown_user()),
        "CreateUserToken::Bounded" => CreateUserTokenError::Bounded(Bounded("team".parse().unwrap())),
        "CreateUserToken::Token" => CreateUserTokenError::Token(CreateTokenError::TooMany),
        "RenewToken::Duration" => RenewTokenError::Duration,
        "RenewToken::Invalid" => RenewTokenError::Invalid("t".into()),
        "RenewToken::Ended" => RenewTokenError::Ended("t".into()),
        "RenewToken::NotRenewable" => RenewTokenError::NotRenewable("t".into()),
        "RenewToken::Foreign" => RenewTokenError::Foreign(root.clone()),
        "RenewToken::Store" => RenewTokenError::Store(corrupt()),
        "RevokeToken::Anonymous" => RevokeTokenError::Anonymous,
        "RevokeToken::Invalid" => RevokeTokenError::Invalid("t".into()),
        "RevokeToken::TooMany" => RevokeTokenError::TooMany,
        "RevokeToken::Foreign" => RevokeTokenError::Foreign(root),
        "AssumeRole::Duration" => AssumeRoleError::Duration(3600),
        "AssumeRole::Unknown" => AssumeRoleError::Unknown("arn:aws:iam::000000000000:role/ci".parse().unwrap()),
        "AssumeRole::PolicyTooLong" => AssumeRoleError::Open(OpenSessionError::PolicyTooLong),
        "AssumeRole::Policy" => AssumeRoleError::Open(OpenSessionError::Policy(
            hythe_operations::TrustPolicy::parse("{}".into()).unwrap_err()
        )),
        "AssumeRole::TooLong" => AssumeRoleError::Open(OpenSessionError::TooLong),
        "AssumeRole::TooDeep" => AssumeRoleError::Open(OpenSessionError::TooDeep),
        "AssumeRole::Crypto" => AssumeRoleError::Open(OpenSessionError::Crypto(CryptoError)),
        "AssumeRole::Store" => AssumeRoleError::Store(corrupt()),
        "Destination::Unknown" => DestinationError::Unknown(unknown_destination()),
        "Destination::AlreadyExists" => DestinationError::AlreadyExists(region(), account.clone()),
        "Destination::LimitExceeded" => DestinationError::LimitExceeded(account.clone()),
        "Destination::InUse" => DestinationError::InUse(region(), "the document, `nightly`".into()),
        "Destination::NeedsControlPlane" => DestinationError::NeedsControlPlane(region()),
        "Destination::ControlEndpoint" => DestinationError::Settings(DestinationSettingsError::ControlEndpoint(bad_name())),
        "Destination::ControlEndpointOfOther" => DestinationError::Settings(DestinationSettingsError::ControlEndpointOfOther),
        "Destination::Nothing" => DestinationError::Nothing,
        "Destination::VersionMismatch" => DestinationError::VersionMismatch,
        "Destination::Endpoint" => DestinationError::Settings(DestinationSettingsError::Endpoint(bad_name())),
        "Destination::Description" => DestinationError::Settings(DestinationSettingsError::Description),
        "Destination::Credential" => DestinationError::Settings(DestinationSettingsError::Credential),
        "Destination::CredentialOfOtherAddress" => DestinationError::Settings(
            DestinationSettingsError::CredentialOfOtherAddress("https://registry.example.com:443".into())
        ),
        "Destination::Prefix" => DestinationError::Settings(DestinationSettingsError::Prefix(bad_name())),
        "Destination::PrefixOfHythe" => DestinationError::Settings(DestinationSettingsError::PrefixOfHythe),
        "Destination::Bandwidth" => DestinationError::Settings(DestinationSettingsError::Bandwidth),
        "Destination::Crypto" => DestinationError::Crypto(CryptoError),
        "Destination::Store" => DestinationError::Store(corrupt()),
        "ReplicationRules::Unknown" => ReplicationRulesError::Unknown("nightly".parse().unwrap(), account.clone()),
        "ReplicationRules::UnknownDestination" => ReplicationRulesError::UnknownDestination(region()),
        "ReplicationRules::NoControlPlane" => ReplicationRulesError::NoControlPlane(region()),
        "ReplicationRules::Rule" => ReplicationRulesError::Rule(ReplicationRuleError::SameRegistry, Some(1)),
        "ReplicationRules::Rules" => ReplicationRulesError::Rule(ReplicationRuleError::TooManyRules(25), None),
        "ReplicationRules::AccountOfOther" => ReplicationRulesError::AccountOfOther(region(), account.clone(), Some(1)),
        "ReplicationTask::UnknownDestination" => ReplicationTaskError::UnknownDestination(unknown_destination()),
        "ReplicationTask::Unknown" => ReplicationTaskError::Unknown("0199".into(), account.clone()),
        "ReplicationTask::Store" => ReplicationTaskError::Store(corrupt()),
        "ReplicationRules::LimitExceeded" => ReplicationRulesError::LimitExceeded(account.clone()),
        "ReplicationRules::VersionMismatch" => ReplicationRulesError::VersionMismatch,
        "ReplicationRules::Store" => ReplicationRulesError::Store(corrupt()),
        "ReplicationStatus::Store" => ReplicationStatusError::Store(corrupt()),
        "UnknownTemplate" => UnknownTemplate(prefix(), account.clone()),
        "CreationTemplate::Unknown" => CreationTemplateError::Unknown(UnknownTemplate(prefix(), account.clone())),
        "CreationTemplate::VersionMismatch" => CreationTemplateError::VersionMismatch,
        "CreationTemplate::Store" => CreationTemplateError::Store(corrupt()),
        "PutCreationTemplate::AlreadyExists" => PutCreationTemplateError::AlreadyExists(prefix(), account.clone()),
        "PutCreationTemplate::LimitExceeded" => PutCreationTemplateError::LimitExceeded(account.clone()),
        "PutCreationTemplate::Unknown" => PutCreationTemplateError::Unknown(UnknownTemplate(prefix(), account.clone())),
        "PutCreationTemplate::Nothing" => PutCreationTemplateError::Nothing,
        "PutCreationTemplate::VersionMismatch" => PutCreationTemplateError::VersionMismatch,
        "PutCreationTemplate::Access" => PutCreationTemplateError::Access(AccessError::Denied("no".into())),
        "PutCreationTemplate::Settings" => PutCreationTemplateError::Settings(TemplateSettingsError::AppliedFor),
        "PutCreationTemplate::Store" => PutCreationTemplateError::Store(corrupt()),
        "VirtualRepository::Unknown" => VirtualRepositoryError::Unknown(UnknownVirtualRepository(prefix(), account.clone())),
        "VirtualRepository::VersionMismatch" => VirtualRepositoryError::VersionMismatch,
        "VirtualRepository::Store" => VirtualRepositoryError::Store(corrupt()),
        "PutVirtualRepository::AlreadyExists" => PutVirtualRepositoryError::AlreadyExists(prefix(), account.clone()),
        "PutVirtualRepository::LimitExceeded" => PutVirtualRepositoryError::LimitExceeded(account.clone()),
        "PutVirtualRepository::Root" => PutVirtualRepositoryError::Root,
        "PutVirtualRepository::Description" => PutVirtualRepositoryError::Description,
        "PutVirtualRepository::Overlap" => PutVirtualRepositoryError::Overlap(
            prefix(), hythe_operations::NameOverlap::Repository(path().name)),
        "PutVirtualRepository::Unknown" => PutVirtualRepositoryError::Unknown(
            UnknownVirtualRepository(prefix(), account.clone())),
        "PutVirtualRepository::Nothing" => PutVirtualRepositoryError::Nothing,
        "PutVirtualRepository::VersionMismatch" => PutVirtualRepositoryError::VersionMismatch,
        "PutVirtualRepository::Store" => PutVirtualRepositoryError::Store(corrupt()),
        "UnknownCacheRule" => UnknownCacheRule(prefix(), account.clone()),
        "CacheRule::Unknown" => CacheRuleError::Unknown(UnknownCacheRule(prefix(), account.clone())),
        "CacheRule::NotCovered" => CacheRuleError::NotCovered("web".parse().unwrap(), account.clone()),
        "CacheRule::VersionMismatch" => CacheRuleError::VersionMismatch,
        "CacheRule::Store" => CacheRuleError::Store(corrupt()),
        "PutCacheRule::AlreadyExists" => PutCacheRuleError::AlreadyExists(prefix(), account.clone()),
        "PutCacheRule::LimitExceeded" => PutCacheRuleError::LimitExceeded(account.clone()),
        "PutCacheRule::Unknown" => PutCacheRuleError::Unknown(UnknownCacheRule(prefix(), account.clone())),
        "PutCacheRule::Nothing" => PutCacheRuleError::Nothing,
        "PutCacheRule::VersionMismatch" => PutCacheRuleError::VersionMismatch,
        "PutCacheRule::Crypto" => PutCacheRuleError::Crypto(CryptoError),
        "PutCacheRule::Store" => PutCacheRuleError::Store(corrupt()),
        "CacheRuleSettings::UpstreamRegistry" => CacheRuleSettingsError::UpstreamRegistry,
        "CacheRuleSettings::UpstreamPrefix" => CacheRuleSettingsError::UpstreamPrefix,
        "CacheRuleSettings::Credential" => CacheRuleSettingsError::Credential,
        "CacheRuleSettings::TagFreshness" => CacheRuleSettingsError::TagFreshness,
        "CacheRuleSettings::MirrorInterval" => CacheRuleSettingsError::Mirror(MirrorSettingsError::Interval),
        "CacheRuleSettings::MirrorRepositories" => CacheRuleSettingsError::Mirror(MirrorSettingsError::Repositories),
        "CacheRuleSettings::MirrorTags" => CacheRuleSettingsError::Mirror(MirrorSettingsError::Tags),
        "CacheRuleSettings::MirrorExcludeTags" => CacheRuleSettingsError::Mirror(MirrorSettingsError::ExcludeTags),
        "CacheRuleSettings::MirrorNewestTags" => CacheRuleSettingsError::Mirror(MirrorSettingsError::NewestTags),
        "CacheRuleSettings::MirrorRepository" => CacheRuleSettingsError::MirrorRepository,
        "MirrorRun::UnknownRule" => MirrorRunError::UnknownRule(UnknownCacheRule(prefix(), account.clone())),
        "MirrorRun::NotConfigured" => MirrorRunError::NotConfigured(prefix()),
        "MirrorRun::Running" => MirrorRunError::Running("0199".into()),
        "MirrorRun::Unknown" => MirrorRunError::Unknown("0199".into(), prefix()),
        "MirrorRun::Store" => MirrorRunError::Store(corrupt()),
        "TemplateSettings::Description" => TemplateSettingsError::Description,
        "TemplateSettings::Encryption" => TemplateSettingsError::Encryption(EncryptionError::KeyNotTaken),
        "TemplateSettings::RepositoryPolicy" => TemplateSettingsError::RepositoryPolicy(malformed()),
        "TemplateSettings::LifecyclePolicy" => TemplateSettingsError::LifecyclePolicy(no_lifecycle_policy()),
        "GarbageCollection::NotDefaultAccount" => GarbageCollectionError::NotDefaultAccount,
        "GarbageCollection::RunUnknown" => GarbageCollectionError::RunUnknown("x".into()),
        "GarbageCollection::Store" => GarbageCollectionError::Store(corrupt()),
        "SigningKey::NotDefaultAccount" => SigningKeyError::NotDefaultAccount,
        "SigningKey::LimitExceeded" => SigningKeyError::Rotate(RotateSigningKeyError::LimitExceeded),
        "SigningKey::Pending" => SigningKeyError::Rotate(RotateSigningKeyError::Pending),
        "SigningKey::Crypto" => SigningKeyError::Rotate(CryptoError.into()),
        "SigningKey::Store" => SigningKeyError::Rotate(corrupt().into()),
        "Backfill::Unknown" => BackfillError::Unknown("0199".into(), path().account),
        "Backfill::NotConfigured" => BackfillError::NotConfigured("eu/000000000000".parse().unwrap()),
        "Backfill::InProgress" => BackfillError::InProgress("0199".into()),
        "Backfill::LimitExceeded" => BackfillError::LimitExceeded(path().account),
        "Backfill::InvalidStatus" => BackfillError::InvalidStatus("0199".into(), BackfillStatus::Complete),
        "Backfill::Store" => BackfillError::Store(corrupt()),
        "Scrub::NotDefaultAccount" => ScrubError::NotDefaultAccount,
        "Scrub::Sample" => ScrubError::Sample,
        "Scrub::Unknown" => ScrubError::Unknown("0199".into()),
        "Scrub::Running" => ScrubError::Running("0199".into()),
        "Scrub::Store" => ScrubError::Store(corrupt()),
        "RevokeToken::Store" => RevokeTokenError::Store(corrupt()),
        "UnknownPrincipal" => unknown_user(),
        "Bounded" => Bounded("team".parse().unwrap()),
        "Principal::Unknown" => PrincipalError::Unknown(unknown_user()),
        "Principal::Store" => PrincipalError::Store(corrupt()),
        "CreatePrincipal::AlreadyExists" => CreatePrincipalError::AlreadyExists(Noun::User, "ada".into(), account.clone()),
        "CreatePrincipal::LimitExceeded" => CreatePrincipalError::LimitExceeded(Noun::Group, 300),
        "CreatePrincipal::PolicyUnknown" => CreatePrincipalError::PolicyUnknown("team".parse().unwrap()),
        "CreatePrincipal::TooManyPolicies" => CreatePrincipalError::TooManyPolicies(Noun::Role, 20),
        "CreatePrincipal::TrustPolicy" => CreatePrincipalError::TrustPolicy(nobody()),
        "CreatePrincipal::Bounded" => CreatePrincipalError::Bounded(Bounded("team".parse().unwrap())),
        "CreatePrincipal::Mixed" => CreatePrincipalError::Mixed,
        "CreatePrincipal::Store" => CreatePrincipalError::Store(corrupt()),
        "UpdatePrincipal::Nothing" => UpdatePrincipalError::Nothing,
        "UpdatePrincipal::Unknown" => UpdatePrincipalError::Unknown(unknown_user()),
        "UpdatePrincipal::VersionMismatch" => UpdatePrincipalError::VersionMismatch(Noun::User),
        "UpdatePrincipal::PolicyUnknown" => UpdatePrincipalError::PolicyUnknown("team".parse().unwrap()),
        "UpdatePrincipal::TooManyPolicies" => UpdatePrincipalError::TooManyPolicies(Noun::Group, 10),
        "UpdatePrincipal::TrustPolicy" => UpdatePrincipalError::TrustPolicy(nobody()),
        "UpdatePrincipal::Bounded" => UpdatePrincipalError::Bounded(Bounded("team".parse().unwrap())),
        "UpdatePrincipal::Mixed" => UpdatePrincipalError::Mixed,
        "UpdatePrincipal::Store" => UpdatePrincipalError::Store(corrupt()),
        "DeletePrincipal::Unknown" => DeletePrincipalError::Unknown(unknown_user()),
        "DeletePrincipal::VersionMismatch" => DeletePrincipalError::VersionMismatch(Noun::Role),
        "DeletePrincipal::HasMembers" => DeletePrincipalError::HasMembers("builders".into(), 2),
        "DeletePrincipal::Store" => DeletePrincipalError::Store(corrupt()),
        "Membership::Unknown" => MembershipError::Unknown(unknown_user()),
        "Membership::Bounded" => MembershipError::Bounded(Bounded("team".parse().unwrap())),
        "Membership::TooManyGroups" => MembershipError::TooManyGroups("ada".into(), 10),
        "Membership::TooManyMembers" => MembershipError::TooManyMembers("builders".into(), 1000),
        "Membership::Store" => MembershipError::Store(corrupt()),
        "UnknownAccount" => UnknownAccount(account.clone()),
        "CreateAccount::NotAdministrative" => CreateAccountError::NotAdministrative,
        "CreateAccount::AlreadyExists" => CreateAccountError::AlreadyExists(account.clone()),
        "CreateAccount::LimitExceeded" => CreateAccountError::LimitExceeded,
        "CreateAccount::Name" => CreateAccountError::Name,
        "CreateAccount::Crypto" => CreateAccountError::Crypto(CryptoError),
        "CreateAccount::Store" => CreateAccountError::Store(corrupt()),
        "Account::NotAdministrative" => AccountError::NotAdministrative,
        "Account::Unknown" => AccountError::Unknown(UnknownAccount(account.clone())),
        "Account::Store" => AccountError::Store(corrupt()),
        "UpdateAccount::NotAdministrative" => UpdateAccountError::NotAdministrative,
        "UpdateAccount::Nothing" => UpdateAccountError::Nothing,
        "UpdateAccount::Name" => UpdateAccountError::Name,
        "UpdateAccount::Unknown" => UpdateAccountError::Unknown(UnknownAccount(account.clone())),
        "UpdateAccount::Default" => UpdateAccountError::Default,
        "UpdateAccount::HasRepositories" => UpdateAccountError::HasRepositories(account.clone()),
        "UpdateAccount::VersionMismatch" => UpdateAccountError::VersionMismatch,
        "UpdateAccount::Store" => UpdateAccountError::Store(corrupt()),
        "AdministratorKey::NotAdministrator" => AdministratorKeyError::NotAdministrator,
        "AdministratorKey::UnknownAccount" => AdministratorKeyError::UnknownAccount(UnknownAccount(account.clone())),
        "AdministratorKey::Closed" => AdministratorKeyError::Closed(account.clone()),
        "AdministratorKey::Unknown" => AdministratorKeyError::Unknown("HYTHEA".into(), account.clone()),
        "AdministratorKey::LimitExceeded" => AdministratorKeyError::LimitExceeded(account.clone()),
        "AdministratorKey::InUse" => AdministratorKeyError::InUse("HYTHEA".into()),
        "AdministratorKey::Crypto" => AdministratorKeyError::Crypto(CryptoError),
        "AdministratorKey::Store" => AdministratorKeyError::Store(corrupt()),
        "CreateAccessKey::UserUnknown" => CreateAccessKeyError::UserUnknown(unknown_user()),
        "CreateAccessKey::LimitExceeded" => CreateAccessKeyError::LimitExceeded(user.clone()),
        "CreateAccessKey::Bounded" => CreateAccessKeyError::Bounded(Bounded("team".parse().unwrap())),
        "CreateAccessKey::Unknown" => CreateAccessKeyError::Unknown("HYTHEA".into(), user.clone()),
        "CreateAccessKey::BadSecret" => CreateAccessKeyError::BadSecret,
        "CreateAccessKey::Crypto" => CreateAccessKeyError::Crypto(CryptoError),
        "CreateAccessKey::Store" => CreateAccessKeyError::Store(corrupt()),
        "AccessKey::UserUnknown" => AccessKeyError::UserUnknown(unknown_user()),
        "AccessKey::Unknown" => AccessKeyError::Unknown("HYTHEA".into(), user),
        "AccessKey::Store" => AccessKeyError::Store(corrupt()),
    }
    let mut table = String::new();
    for (what, problem) in &rows {
        let document = problem.document(None);
        assert!(
            !document.detail.contains("SECRET"),
            "{what} tells the client what only the log may know"
        );
        let pointer = document
            .pointer
            .map(|pointer| format!(" at {pointer}"))
            .unwrap_or_default();
        let line = format!(
            "{what:<38}{} {:<40}{}{pointer}\n",
            document.status, document.code, document.detail
        );
        table.push_str(&line);
    }
    insta::assert_snapshot!(table);
}

#[test]
fn every_code_has_a_status_of_its_kind() {
    for code in code::ALL {
        let status = status_of(code).as_u16();
        let is_server = matches!(
            *code,
            code::INTERNAL | code::SERVICE_UNAVAILABLE | code::IDP_COMMUNICATION
        );
        assert_eq!(status >= 500, is_server, "{code}: {status}");
    }
    let rest: Vec<_> = code::ALL
        .iter()
        .filter(|code| status_of(code) == StatusCode::BAD_REQUEST)
        .copied()
        .collect();
    assert_eq!(
        rest,
        [
            code::INVALID_IDENTITY_TOKEN,
            code::INVALID_PARAMETER,
            code::INVALID_TAG_PARAMETER,
            code::TOO_MANY_TAGS,
            code::VALIDATION
        ],
        "a code that was added has to be given its status"
    );
}
