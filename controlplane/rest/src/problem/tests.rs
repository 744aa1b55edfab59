// SPDX-License-Identifier: Apache-2.0
//! Every variant of every error, with what becomes of it, for review as a table.

use std::io;

use hythe_access::Principal;
use hythe_model::{Digest, EncryptionType, Reference, RepositoryPath, Tag};

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

fn unknown_tag() -> UnknownTag {
    UnknownTag {
        repository: path(),
        tag: tag(),
    }
}

fn corrupt() -> StoreError {
    StoreError::Corrupt("SECRET".into())
}

fn failed() -> Box<dyn Error + Send + Sync> {
    io::Error::other("SECRET").into()
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
        "Store::Sql" => StoreError::Sql(sqlx::Error::RowNotFound),
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
        "ResourceTags::Unknown" => ResourceTagsError::Unknown(unknown()),
        "ResourceTags::Mixed" => ResourceTagsError::Mixed,
        "ResourceTags::Tags" => ResourceTagsError::Tags(ResourceTagError::TooMany(51)),
        "ResourceTags::VersionMismatch" => ResourceTagsError::VersionMismatch,
        "ResourceTags::Store" => ResourceTagsError::Store(corrupt()),
        "Image::UnknownRepository" => ImageError::UnknownRepository(unknown()),
        "Image::UnknownImage" => ImageError::UnknownImage(image()),
        "Image::Store" => ImageError::Store(corrupt()),
        "Image::Catalog" => ImageError::Catalog(CatalogError::Busy),
        "DeleteImage::UnknownRepository" => DeleteImageError::UnknownRepository(unknown()),
        "DeleteImage::UnknownImage" => DeleteImageError::UnknownImage(image()),
        "DeleteImage::ReferencedByIndex" => DeleteImageError::Refused(DeleteImageRefusal::ReferencedByIndex(vec![digest()])),
        "DeleteImage::Catalog" => DeleteImageError::Refused(DeleteImageRefusal::Catalog(CatalogError::Busy)),
        "DeleteImage::Store" => DeleteImageError::Store(corrupt()),
        "Tag::UnknownRepository" => TagError::UnknownRepository(unknown()),
        "Tag::UnknownTag" => TagError::UnknownTag(unknown_tag()),
        "Tag::Store" => TagError::Store(corrupt()),
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
        "CreateToken::Crypto" => CreateTokenError::Crypto(CryptoError),
        "CreateToken::Store" => CreateTokenError::Store(corrupt()),
        "RenewToken::Duration" => RenewTokenError::Duration,
        "RenewToken::Ended" => RenewTokenError::Ended("t".into()),
        "RenewToken::NotRenewable" => RenewTokenError::NotRenewable("t".into()),
        "RenewToken::Foreign" => RenewTokenError::Foreign(root.clone()),
        "RenewToken::Store" => RenewTokenError::Store(corrupt()),
        "RevokeToken::Anonymous" => RevokeTokenError::Anonymous,
        "RevokeToken::Foreign" => RevokeTokenError::Foreign(root),
        "RevokeToken::Store" => RevokeTokenError::Store(corrupt()),
        "CreateUser::AlreadyExists" => CreateUserError::AlreadyExists(user.clone(), account.clone()),
        "CreateUser::Mixed" => CreateUserError::Mixed,
        "CreateUser::Store" => CreateUserError::Store(corrupt()),
        "User::Unknown" => UserError::Unknown(user.clone(), account.clone()),
        "User::Store" => UserError::Store(corrupt()),
        "UpdateUser::Unknown" => UpdateUserError::Unknown(user.clone(), account.clone()),
        "UpdateUser::VersionMismatch" => UpdateUserError::VersionMismatch,
        "UpdateUser::Store" => UpdateUserError::Store(corrupt()),
        "CreateAccessKey::UserUnknown" => CreateAccessKeyError::UserUnknown(user.clone(), account.clone()),
        "CreateAccessKey::LimitExceeded" => CreateAccessKeyError::LimitExceeded(user.clone()),
        "CreateAccessKey::Crypto" => CreateAccessKeyError::Crypto(CryptoError),
        "CreateAccessKey::Store" => CreateAccessKeyError::Store(corrupt()),
        "AccessKey::UserUnknown" => AccessKeyError::UserUnknown(user.clone(), account),
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
        let is_server = matches!(*code, code::INTERNAL | code::SERVICE_UNAVAILABLE);
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
            code::INVALID_PARAMETER,
            code::INVALID_TAG_PARAMETER,
            code::TOO_MANY_TAGS,
            code::VALIDATION
        ],
        "a code that was added has to be given its status"
    );
}
