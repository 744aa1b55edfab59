// SPDX-License-Identifier: Apache-2.0
//! The one mapping from errors to what a client gets (RFC 9457).
//!
//! No `match` here has a catch-all arm: a new variant of an error does not compile until somebody has chosen its code.

use std::error::Error;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use hythe_access::{AccessError, AuthenticationError, GateError, Throttled};
use hythe_model::ResourceTagError;
use hythe_operations::{
    AccessKeyError, AccountError, AdministratorKeyError, AssumeRoleError, AuditEventsError, BackfillError, Bounded,
    CacheRuleError, CacheRuleSettingsError, CallerIdentityError, CatalogError, CreateAccessKeyError,
    CreateAccountError, CreateIdentityProviderError, CreatePolicyError, CreatePrincipalError, CreateRepositoryError,
    CreateTokenError, CreateUserTokenError, CreationTemplateError, CryptoError, DeleteImageError, DeleteImageRefusal,
    DeleteImagesError, DeletePolicyError, DeletePrincipalError, DeleteRepositoryError, DeletedImageError,
    DeregisterExclusionError, DestinationError, DestinationSettingsError, DocumentError, EncryptionError,
    GarbageCollectionError, IdentityProviderError, ImageError, LifecyclePolicyError, LifecycleRunError,
    ListRepositoriesError, MembershipError, MirrorRunError, NoImageThen, NoLifecyclePolicy, NoRegistryPolicy,
    NoRepositoryPolicy, OpenSessionError, PolicyError, PreviewError, PrincipalError, ProviderSettingsError,
    PutAuditSettingsError, PutCacheRuleError, PutCreationTemplateError, PutImageRefusal, PutLifecyclePolicyError,
    PutRegistryPolicyError, PutRegistrySettingsError, PutVirtualRepositoryError, RegisterExclusionError,
    RegistryPolicyError, RenewTokenError, ReplicationRulesError, ReplicationStatusError, ReplicationTaskError,
    RepositoryAccessError, RepositoryError, RepositoryPolicyError, ResourceTagsError, RestoreImageError,
    RestoreImageRefusal, RevokeTokenError, RollbackTagError, RotateSigningKeyError, ScrubError,
    SetRepositoryPolicyError, SetTagError, SigningKeyError, SimulationError, StartLifecyclePreviewError,
    StartLifecycleRunError, StorageClassError, StoreError, TagError, TemplateSettingsError, TokenError, UnknownAccount,
    UnknownCacheRule, UnknownImage, UnknownPolicy, UnknownPrincipal, UnknownRepository, UnknownStatement, UnknownTag,
    UnknownTemplate, UnknownVirtualRepository, UpdateAccountError, UpdateIdentityProviderError, UpdatePolicyError,
    UpdatePrincipalError, UpdateRepositoryError, VirtualRepositoryError, WebIdentityError,
};
use hythe_wire::{PROBLEM_MEDIA_TYPE, code};

/// Seconds after which to try again when the store has too much to do.
const RETRY_AFTER_BUSY: u32 = 1;
/// Seconds after which to try again when the store does not answer.
const RETRY_AFTER_UNAVAILABLE: u32 = 5;

/// Seconds after which to try again when the store is full: somebody has to make room first.
const RETRY_AFTER_FULL: u32 = 60;

/// Why a request failed, as the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    pointer: Option<String>,
    retry_after_seconds: Option<u32>,
}

impl Problem {
    /// A problem with a code of [`hythe_wire::code`], which decides the status, and a text.
    #[must_use]
    pub fn new(code: &'static str, detail: impl std::fmt::Display) -> Self {
        Self {
            status: status_of(code),
            code,
            detail: detail.to_string(),
            pointer: None,
            retry_after_seconds: None,
        }
    }

    /// A value of the request that is not valid. The text is ECR's.
    #[must_use]
    pub fn invalid(parameter: &str, reason: impl std::fmt::Display) -> Self {
        let detail = format!("Invalid parameter at '{parameter}' failed to satisfy constraint: '{reason}'");
        Self::new(code::INVALID_PARAMETER, detail)
    }

    /// A value of the body that is not valid, by its JSON pointer.
    #[must_use]
    pub fn invalid_member(pointer: &str, reason: impl std::fmt::Display) -> Self {
        Self::invalid(pointer.trim_start_matches('/'), reason).at(pointer)
    }

    /// The same problem, with the place in the body.
    #[must_use]
    pub fn at(self, pointer: impl Into<String>) -> Self {
        Self {
            pointer: Some(pointer.into()),
            ..self
        }
    }

    /// A fault of this side. The cause goes to the log, not to the client.
    #[must_use]
    pub fn internal(cause: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = %chain(cause), "the request failed on this side");
        Self::new(
            code::INTERNAL,
            "the request failed on the side of the server: its log has the cause under the id of this request",
        )
    }

    fn unavailable(cause: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = %chain(cause), "the store does not answer");
        let detail = "the server cannot reach its store: try again in a moment";
        Self::new(code::SERVICE_UNAVAILABLE, detail).retry_after(RETRY_AFTER_UNAVAILABLE)
    }

    fn full(cause: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = %chain(cause), "the store has no room left");
        let detail = "the server has no room left to store anything: its operator has to make some";
        Self::new(code::SERVICE_UNAVAILABLE, detail).retry_after(RETRY_AFTER_FULL)
    }

    pub(crate) fn busy() -> Self {
        let detail = "the server has too much to do: try again in a moment";
        Self::new(code::SERVICE_UNAVAILABLE, detail).retry_after(RETRY_AFTER_BUSY)
    }

    fn retry_after(self, seconds: u32) -> Self {
        Self {
            retry_after_seconds: Some(seconds),
            ..self
        }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong, for people.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The code, which is ECR's name of the exception.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The document, as it travels.
    pub(crate) fn document(&self, request_id: Option<&str>) -> hythe_wire::Problem {
        hythe_wire::Problem {
            kind: "about:blank".into(),
            title: self.status.canonical_reason().unwrap_or("Error").into(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code.into(),
            pointer: self.pointer.clone(),
            request_id: request_id.map(str::to_owned),
        }
    }

    /// The answer, with the id of the request in it.
    pub(crate) fn render(&self, request_id: Option<&str>) -> Response {
        // A document of texts and a number always serialises.
        let body = serde_json::to_vec(&self.document(request_id)).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_MEDIA_TYPE));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"hythe\", charset=\"UTF-8\""),
            );
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The problem travels to the outermost layer in the response's extensions, which knows the id of the request.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.render(None);
        response.extensions_mut().insert(self);
        response
    }
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Busy => Self::busy(),
            StoreError::Full => Self::full(&error),
            StoreError::Unreachable(_) | StoreError::Disk(_) => Self::unavailable(&error),
            StoreError::Sql(_) | StoreError::Corrupt(_) => Self::internal(&error),
        }
    }
}

impl From<AuditEventsError> for Problem {
    fn from(error: AuditEventsError) -> Self {
        match error {
            AuditEventsError::OtherAccount => Self::new(code::INVALID_PARAMETER, &error),
            AuditEventsError::NotAdministrator => Self::new(code::ACCESS_DENIED, &error),
            AuditEventsError::RepositoryOfAllAccounts => Self::invalid("repository", &error),
            AuditEventsError::Store(error) => error.into(),
        }
    }
}

impl From<PutAuditSettingsError> for Problem {
    fn from(error: PutAuditSettingsError) -> Self {
        match error {
            PutAuditSettingsError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            PutAuditSettingsError::Store(error) => error.into(),
        }
    }
}

impl From<CatalogError> for Problem {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::RepositoryUnknown(path) => UnknownRepository(path).into(),
            // Two changes at once; the client named no state that would have to be the old one.
            CatalogError::Conflict | CatalogError::Busy => Self::busy(),
            CatalogError::Full => Self::full(&error),
            CatalogError::Store(_) => Self::internal(&error),
        }
    }
}

impl From<GateError> for Problem {
    fn from(error: GateError) -> Self {
        Self::unavailable(&error)
    }
}

impl From<CryptoError> for Problem {
    fn from(error: CryptoError) -> Self {
        Self::internal(&error)
    }
}

impl From<AuthenticationError> for Problem {
    fn from(error: AuthenticationError) -> Self {
        match &error {
            AuthenticationError::Rejected | AuthenticationError::Inactive | AuthenticationError::Disabled => {
                Self::new(code::UNRECOGNIZED_CLIENT, &error)
            }
            AuthenticationError::Expired | AuthenticationError::Revoked => Self::new(code::EXPIRED_TOKEN, &error),
            AuthenticationError::Throttled(throttled) => (*throttled).into(),
            AuthenticationError::Unavailable(_) => Self::unavailable(&error),
        }
    }
}

impl From<Throttled> for Problem {
    fn from(throttled: Throttled) -> Self {
        Self::new(code::THROTTLING, throttled).retry_after(throttled.retry_after_seconds())
    }
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Unauthenticated(_) => Self::new(code::MISSING_AUTHENTICATION, &error),
            AccessError::Denied(_) => Self::new(code::ACCESS_DENIED, &error),
            AccessError::Unavailable(error) => error.into(),
        }
    }
}

impl From<CallerIdentityError> for Problem {
    fn from(error: CallerIdentityError) -> Self {
        match &error {
            CallerIdentityError::Anonymous => Self::new(code::MISSING_AUTHENTICATION, &error),
        }
    }
}

impl From<UnknownRepository> for Problem {
    fn from(error: UnknownRepository) -> Self {
        Self::new(code::REPOSITORY_NOT_FOUND, &error)
    }
}

impl From<UnknownImage> for Problem {
    fn from(error: UnknownImage) -> Self {
        Self::new(code::IMAGE_NOT_FOUND, &error)
    }
}

impl From<UnknownTag> for Problem {
    fn from(error: UnknownTag) -> Self {
        Self::new(code::IMAGE_NOT_FOUND, &error)
    }
}

impl From<NoImageThen> for Problem {
    fn from(error: NoImageThen) -> Self {
        Self::new(code::IMAGE_NOT_FOUND, &error)
    }
}

impl From<EncryptionError> for Problem {
    fn from(error: EncryptionError) -> Self {
        match &error {
            EncryptionError::KeyNotTaken | EncryptionError::KeyLength => {
                Self::invalid_member("/encryptionConfiguration/kmsKey", error)
            }
            EncryptionError::NoKeyManagement(_) => {
                Self::invalid_member("/encryptionConfiguration/encryptionType", error)
            }
        }
    }
}

impl From<ResourceTagError> for Problem {
    fn from(error: ResourceTagError) -> Self {
        let code = match &error {
            ResourceTagError::TooMany(_) => code::TOO_MANY_TAGS,
            ResourceTagError::Key(_) | ResourceTagError::Value(_) | ResourceTagError::Duplicate(_) => {
                code::INVALID_TAG_PARAMETER
            }
        };
        Self::new(code, error).at("/tags")
    }
}

impl From<CreateRepositoryError> for Problem {
    fn from(error: CreateRepositoryError) -> Self {
        match error {
            CreateRepositoryError::AlreadyExists(_) => Self::new(code::REPOSITORY_ALREADY_EXISTS, &error),
            CreateRepositoryError::Encryption(error) => error.into(),
            CreateRepositoryError::IdempotencyMismatch => Self::new(code::IDEMPOTENCY_MISMATCH, &error),
            CreateRepositoryError::LimitExceeded(..) => Self::new(code::LIMIT_EXCEEDED, &error),
            CreateRepositoryError::Virtual(..) => Self::new(code::VIRTUAL_REPOSITORY_OVERLAP, &error),
            CreateRepositoryError::Store(error) => error.into(),
        }
    }
}

impl From<ListRepositoriesError> for Problem {
    fn from(error: ListRepositoriesError) -> Self {
        match error {
            ListRepositoriesError::Anonymous => Self::new(code::MISSING_AUTHENTICATION, &error),
            ListRepositoriesError::Access(error) => error.into(),
            ListRepositoriesError::Store(error) => error.into(),
        }
    }
}

impl From<RepositoryError> for Problem {
    fn from(error: RepositoryError) -> Self {
        match error {
            RepositoryError::Unknown(error) => error.into(),
            RepositoryError::Store(error) => error.into(),
        }
    }
}

impl From<UpdateRepositoryError> for Problem {
    fn from(error: UpdateRepositoryError) -> Self {
        match error {
            UpdateRepositoryError::Nothing => Self::new(code::INVALID_PARAMETER, error),
            UpdateRepositoryError::Mixed => Self::internal(&error),
            UpdateRepositoryError::Unknown(error) => error.into(),
            UpdateRepositoryError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            UpdateRepositoryError::Store(error) => error.into(),
        }
    }
}

impl From<DeleteRepositoryError> for Problem {
    fn from(error: DeleteRepositoryError) -> Self {
        match error {
            DeleteRepositoryError::Unknown(error) => error.into(),
            DeleteRepositoryError::NotEmpty(_) => Self::new(code::REPOSITORY_NOT_EMPTY, &error),
            DeleteRepositoryError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            DeleteRepositoryError::Store(error) => error.into(),
        }
    }
}

impl From<ResourceTagsError> for Problem {
    fn from(error: ResourceTagsError) -> Self {
        match error {
            ResourceTagsError::Unknown(error) => error.into(),
            ResourceTagsError::Mixed => Self::internal(&error),
            ResourceTagsError::Tags(error) => error.into(),
            ResourceTagsError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            ResourceTagsError::Store(error) => error.into(),
        }
    }
}

impl From<ImageError> for Problem {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::UnknownRepository(error) => error.into(),
            ImageError::UnknownImage(error) => error.into(),
            ImageError::Store(error) => error.into(),
            ImageError::Catalog(error) => error.into(),
        }
    }
}

impl From<StorageClassError> for Problem {
    fn from(error: StorageClassError) -> Self {
        match error {
            StorageClassError::UnknownRepository(error) => error.into(),
            StorageClassError::UnknownImage(error) => error.into(),
            StorageClassError::ReferencedByIndex(_) | StorageClassError::Activating => {
                Self::new(code::IMAGE_STORAGE_CLASS, &error)
            }
            StorageClassError::Store(error) => error.into(),
        }
    }
}

impl From<RegisterExclusionError> for Problem {
    fn from(error: RegisterExclusionError) -> Self {
        match error {
            RegisterExclusionError::AlreadyExists(..) => {
                Self::new(code::EXCLUSION_ALREADY_EXISTS, &error).at("/principalArn")
            }
            RegisterExclusionError::LimitExceeded => Self::new(code::LIMIT_EXCEEDED, &error),
            RegisterExclusionError::Store(error) => error.into(),
        }
    }
}

impl From<DeregisterExclusionError> for Problem {
    fn from(error: DeregisterExclusionError) -> Self {
        match error {
            DeregisterExclusionError::Absent(..) => Self::new(code::EXCLUSION_NOT_FOUND, &error),
            DeregisterExclusionError::Store(error) => error.into(),
        }
    }
}

impl From<DeleteImageError> for Problem {
    fn from(error: DeleteImageError) -> Self {
        match error {
            DeleteImageError::UnknownRepository(error) => error.into(),
            DeleteImageError::UnknownImage(error) => error.into(),
            DeleteImageError::Refused(error @ DeleteImageRefusal::ReferencedByIndex(_)) => {
                Self::new(code::IMAGE_REFERENCED, &error)
            }
            DeleteImageError::Refused(DeleteImageRefusal::Catalog(error)) => error.into(),
            DeleteImageError::Store(error) => error.into(),
        }
    }
}

impl From<DeleteImagesError> for Problem {
    fn from(error: DeleteImagesError) -> Self {
        match error {
            DeleteImagesError::UnknownRepository(error) => error.into(),
            DeleteImagesError::Catalog(error) => error.into(),
        }
    }
}

impl From<DeletedImageError> for Problem {
    fn from(error: DeletedImageError) -> Self {
        match error {
            DeletedImageError::UnknownRepository(error) => error.into(),
            DeletedImageError::UnknownImage(error) => error.into(),
            DeletedImageError::Store(error) => error.into(),
        }
    }
}

impl From<RestoreImageError> for Problem {
    fn from(error: RestoreImageError) -> Self {
        match error {
            RestoreImageError::UnknownRepository(error) => error.into(),
            RestoreImageError::UnknownImage(error) => error.into(),
            RestoreImageError::Refused(
                error @ (RestoreImageRefusal::Unknown | RestoreImageRefusal::ChildrenGone(_)),
            ) => Self::new(code::IMAGE_NOT_FOUND, &error),
            RestoreImageError::Refused(error @ RestoreImageRefusal::TooMany) => Self::new(code::LIMIT_EXCEEDED, &error),
            RestoreImageError::Refused(RestoreImageRefusal::Store(error)) | RestoreImageError::Store(error) => {
                error.into()
            }
            RestoreImageError::Refused(RestoreImageRefusal::Catalog(error)) => error.into(),
        }
    }
}

impl From<PutRegistrySettingsError> for Problem {
    fn from(error: PutRegistrySettingsError) -> Self {
        match error {
            PutRegistrySettingsError::TooManyDays => Self::invalid_member("/deletedImageRetentionDays", error),
            PutRegistrySettingsError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            PutRegistrySettingsError::Store(error) => error.into(),
        }
    }
}

impl From<TagError> for Problem {
    fn from(error: TagError) -> Self {
        match error {
            TagError::UnknownRepository(error) => error.into(),
            TagError::UnknownTag(error) => error.into(),
            TagError::NoImageThen(error) => error.into(),
            TagError::Store(error) => error.into(),
        }
    }
}

impl From<RollbackTagError> for Problem {
    fn from(error: RollbackTagError) -> Self {
        match error {
            RollbackTagError::UnknownRepository(error) => error.into(),
            RollbackTagError::UnknownTag(error) => error.into(),
            RollbackTagError::NoImage { .. } | RollbackTagError::NeedsRestoration(_) => {
                Self::new(code::IMAGE_NOT_FOUND, &error)
            }
            RollbackTagError::NotRestored(error) => RestoreImageError::Refused(error).into(),
            RollbackTagError::Refused(error) => SetTagError::Refused(error).into(),
            RollbackTagError::Store(error) => error.into(),
        }
    }
}

impl From<SetTagError> for Problem {
    fn from(error: SetTagError) -> Self {
        match error {
            SetTagError::UnknownRepository(error) => error.into(),
            SetTagError::UnknownImage(error) => error.into(),
            SetTagError::Refused(error @ PutImageRefusal::TagImmutable { .. }) => {
                Self::new(code::IMAGE_TAG_ALREADY_EXISTS, &error)
            }
            SetTagError::Refused(error @ PutImageRefusal::TooManyTags) => Self::new(code::LIMIT_EXCEEDED, &error),
            // The image was there with all of its parts; somebody has just deleted some.
            SetTagError::Refused(error @ (PutImageRefusal::BlobsUnknown(_) | PutImageRefusal::ChildrenUnknown(_))) => {
                Self::new(code::IMAGE_NOT_FOUND, &error)
            }
            SetTagError::Refused(PutImageRefusal::Catalog(error)) => error.into(),
            SetTagError::Store(error) => error.into(),
        }
    }
}

impl From<CreateTokenError> for Problem {
    fn from(error: CreateTokenError) -> Self {
        match error {
            CreateTokenError::Duration => Self::invalid_member("/durationSeconds", error),
            CreateTokenError::TooLong => Self::invalid_member("/scope", error),
            CreateTokenError::TooDeep | CreateTokenError::TooMany => Self::new(code::LIMIT_EXCEEDED, &error),
            CreateTokenError::Crypto(error) => error.into(),
            CreateTokenError::Store(error) => error.into(),
        }
    }
}

impl From<CreateUserTokenError> for Problem {
    fn from(error: CreateUserTokenError) -> Self {
        match error {
            CreateUserTokenError::UserUnknown(error) => error.into(),
            CreateUserTokenError::Bounded(error) => error.into(),
            CreateUserTokenError::Token(error) => error.into(),
        }
    }
}

impl From<RenewTokenError> for Problem {
    fn from(error: RenewTokenError) -> Self {
        match error {
            RenewTokenError::Duration => Self::invalid_member("/durationSeconds", error),
            RenewTokenError::Invalid(_) => Self::invalid("tokenId", error),
            RenewTokenError::Ended(_) => Self::new(code::RESOURCE_NOT_FOUND, &error),
            RenewTokenError::NotRenewable(_) => Self::new(code::INVALID_PARAMETER, error),
            RenewTokenError::Foreign(_) => Self::new(code::ACCESS_DENIED, &error),
            RenewTokenError::Store(error) => error.into(),
        }
    }
}

impl From<RevokeTokenError> for Problem {
    fn from(error: RevokeTokenError) -> Self {
        match error {
            RevokeTokenError::Anonymous => Self::new(code::MISSING_AUTHENTICATION, &error),
            RevokeTokenError::Invalid(_) => Self::invalid("tokenId", error),
            RevokeTokenError::TooMany => Self::new(code::LIMIT_EXCEEDED, &error),
            RevokeTokenError::Foreign(_) => Self::new(code::ACCESS_DENIED, &error),
            RevokeTokenError::Store(error) => error.into(),
        }
    }
}

impl From<AssumeRoleError> for Problem {
    fn from(error: AssumeRoleError) -> Self {
        match error {
            AssumeRoleError::Duration(_) => Self::invalid_member("/durationSeconds", error),
            AssumeRoleError::Unknown(_) => Self::new(code::RESOURCE_NOT_FOUND, &error),
            AssumeRoleError::Open(error) => match error {
                OpenSessionError::PolicyTooLong | OpenSessionError::Policy(_) | OpenSessionError::TooLong => {
                    Self::invalid_member("/policy", error)
                }
                OpenSessionError::TooDeep => Self::new(code::LIMIT_EXCEEDED, &error),
                OpenSessionError::Crypto(error) => error.into(),
            },
            AssumeRoleError::Store(error) => error.into(),
        }
    }
}

impl From<SigningKeyError> for Problem {
    fn from(error: SigningKeyError) -> Self {
        match error {
            SigningKeyError::NotDefaultAccount => Self::invalid("registryId", error),
            SigningKeyError::Rotate(error) => match error {
                RotateSigningKeyError::LimitExceeded | RotateSigningKeyError::Pending => {
                    Self::new(code::LIMIT_EXCEEDED, &error)
                }
                RotateSigningKeyError::Crypto(error) => error.into(),
                RotateSigningKeyError::Store(error) => error.into(),
            },
        }
    }
}

impl From<GarbageCollectionError> for Problem {
    fn from(error: GarbageCollectionError) -> Self {
        match error {
            GarbageCollectionError::NotDefaultAccount => Self::invalid("registryId", error),
            GarbageCollectionError::RunUnknown(_) => Self::new(code::RESOURCE_NOT_FOUND, &error),
            GarbageCollectionError::Store(error) => error.into(),
        }
    }
}

impl From<ScrubError> for Problem {
    fn from(error: ScrubError) -> Self {
        match error {
            ScrubError::NotDefaultAccount => Self::invalid("registryId", error),
            ScrubError::Sample => Self::invalid_member("/sample", error),
            ScrubError::Unknown(_) => Self::new(code::RESOURCE_NOT_FOUND, &error),
            ScrubError::Running(_) => Self::new(code::LIMIT_EXCEEDED, &error),
            ScrubError::Store(error) => error.into(),
        }
    }
}

impl From<SimulationError> for Problem {
    fn from(error: SimulationError) -> Self {
        match error {
            SimulationError::Principal(error) => error.into(),
            SimulationError::Provider(error) => error.into(),
            SimulationError::OtherAccount(_) => Self::invalid_member("/principalArn", error),
            SimulationError::OtherResource(_) => Self::invalid_member("/resourceArns", error),
            SimulationError::Store(error) => error.into(),
        }
    }
}

impl From<RepositoryAccessError> for Problem {
    fn from(error: RepositoryAccessError) -> Self {
        match error {
            RepositoryAccessError::Unknown(error) => error.into(),
            RepositoryAccessError::Store(error) => error.into(),
        }
    }
}

impl From<UnknownPrincipal> for Problem {
    fn from(error: UnknownPrincipal) -> Self {
        Self::new(code::RESOURCE_NOT_FOUND, &error)
    }
}

impl From<Bounded> for Problem {
    fn from(error: Bounded) -> Self {
        Self::new(code::ACCESS_DENIED, &error)
    }
}

impl From<PrincipalError> for Problem {
    fn from(error: PrincipalError) -> Self {
        match error {
            PrincipalError::Unknown(error) => error.into(),
            PrincipalError::Store(error) => error.into(),
        }
    }
}

impl From<CreatePrincipalError> for Problem {
    fn from(error: CreatePrincipalError) -> Self {
        match error {
            CreatePrincipalError::AlreadyExists(..) => Self::new(code::RESOURCE_ALREADY_EXISTS, &error),
            CreatePrincipalError::LimitExceeded(..) | CreatePrincipalError::TooManyPolicies(..) => {
                Self::new(code::LIMIT_EXCEEDED, &error)
            }
            CreatePrincipalError::PolicyUnknown(_) => Self::new(code::INVALID_PARAMETER, &error),
            CreatePrincipalError::TrustPolicy(error) => TRUST_POLICY.of(&error),
            CreatePrincipalError::Bounded(error) => error.into(),
            CreatePrincipalError::Mixed => Self::internal(&error),
            CreatePrincipalError::Store(error) => error.into(),
        }
    }
}

impl From<UpdatePrincipalError> for Problem {
    fn from(error: UpdatePrincipalError) -> Self {
        match error {
            UpdatePrincipalError::Nothing | UpdatePrincipalError::PolicyUnknown(_) => {
                Self::new(code::INVALID_PARAMETER, &error)
            }
            UpdatePrincipalError::Unknown(error) => error.into(),
            UpdatePrincipalError::VersionMismatch(_) => Self::new(code::PRECONDITION_FAILED, &error),
            UpdatePrincipalError::TooManyPolicies(..) => Self::new(code::LIMIT_EXCEEDED, &error),
            UpdatePrincipalError::TrustPolicy(error) => TRUST_POLICY.of(&error),
            UpdatePrincipalError::Bounded(error) => error.into(),
            UpdatePrincipalError::Mixed => Self::internal(&error),
            UpdatePrincipalError::Store(error) => error.into(),
        }
    }
}

impl From<DeletePrincipalError> for Problem {
    fn from(error: DeletePrincipalError) -> Self {
        match error {
            DeletePrincipalError::Unknown(error) => error.into(),
            DeletePrincipalError::VersionMismatch(_) => Self::new(code::PRECONDITION_FAILED, &error),
            DeletePrincipalError::HasMembers(..) => Self::new(code::DELETE_CONFLICT, &error),
            DeletePrincipalError::Store(error) => error.into(),
        }
    }
}

impl From<MembershipError> for Problem {
    fn from(error: MembershipError) -> Self {
        match error {
            MembershipError::Unknown(error) => error.into(),
            MembershipError::Bounded(error) => error.into(),
            MembershipError::TooManyGroups(..) | MembershipError::TooManyMembers(..) => {
                Self::new(code::LIMIT_EXCEEDED, &error)
            }
            MembershipError::Store(error) => error.into(),
        }
    }
}

impl From<UnknownAccount> for Problem {
    fn from(error: UnknownAccount) -> Self {
        Self::new(code::RESOURCE_NOT_FOUND, &error)
    }
}

impl From<CreateAccountError> for Problem {
    fn from(error: CreateAccountError) -> Self {
        match error {
            CreateAccountError::NotAdministrative => Self::new(code::ACCESS_DENIED, &error),
            CreateAccountError::AlreadyExists(_) => Self::new(code::RESOURCE_ALREADY_EXISTS, &error),
            CreateAccountError::LimitExceeded => Self::new(code::LIMIT_EXCEEDED, &error),
            CreateAccountError::Name => Self::invalid_member("/accountName", error),
            CreateAccountError::Crypto(error) => error.into(),
            CreateAccountError::Store(error) => error.into(),
        }
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::NotAdministrative => Self::new(code::ACCESS_DENIED, &error),
            AccountError::Unknown(error) => error.into(),
            AccountError::Store(error) => error.into(),
        }
    }
}

impl From<UpdateAccountError> for Problem {
    fn from(error: UpdateAccountError) -> Self {
        match error {
            UpdateAccountError::NotAdministrative => Self::new(code::ACCESS_DENIED, &error),
            UpdateAccountError::Nothing => Self::new(code::INVALID_PARAMETER, &error),
            UpdateAccountError::Name => Self::invalid_member("/accountName", error),
            UpdateAccountError::Unknown(error) => error.into(),
            UpdateAccountError::Default | UpdateAccountError::HasRepositories(_) => {
                Self::new(code::ACCOUNT_IN_USE, &error)
            }
            UpdateAccountError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            UpdateAccountError::Store(error) => error.into(),
        }
    }
}

impl From<AdministratorKeyError> for Problem {
    fn from(error: AdministratorKeyError) -> Self {
        match error {
            AdministratorKeyError::NotAdministrator => Self::new(code::ACCESS_DENIED, &error),
            AdministratorKeyError::UnknownAccount(error) => error.into(),
            AdministratorKeyError::Closed(_) => Self::new(code::ACCOUNT_CLOSED, &error),
            AdministratorKeyError::Unknown(..) => Self::new(code::RESOURCE_NOT_FOUND, &error),
            AdministratorKeyError::LimitExceeded(_) => Self::new(code::LIMIT_EXCEEDED, &error),
            AdministratorKeyError::InUse(_) => Self::new(code::DELETE_CONFLICT, &error),
            AdministratorKeyError::Crypto(error) => error.into(),
            AdministratorKeyError::Store(error) => error.into(),
        }
    }
}

impl From<CreateAccessKeyError> for Problem {
    fn from(error: CreateAccessKeyError) -> Self {
        match error {
            CreateAccessKeyError::UserUnknown(error) => error.into(),
            CreateAccessKeyError::Bounded(error) => error.into(),
            CreateAccessKeyError::Unknown(..) => Self::new(code::RESOURCE_NOT_FOUND, &error),
            CreateAccessKeyError::BadSecret => Self::invalid_member("/secretAccessKey", error),
            CreateAccessKeyError::LimitExceeded(_) => Self::new(code::LIMIT_EXCEEDED, &error),
            CreateAccessKeyError::Crypto(error) => error.into(),
            CreateAccessKeyError::Store(error) => error.into(),
        }
    }
}

impl From<AccessKeyError> for Problem {
    fn from(error: AccessKeyError) -> Self {
        match error {
            AccessKeyError::UserUnknown(error) => error.into(),
            AccessKeyError::Unknown(..) => Self::new(code::RESOURCE_NOT_FOUND, &error),
            AccessKeyError::Store(error) => error.into(),
        }
    }
}

/// Where a document stands in a request, and what ECR calls it when it is none.
#[derive(Clone, Copy)]
struct DocumentPlace {
    /// The parameter in the text, as ECR spells it.
    parameter: &'static str,
    /// The member of the body, as a JSON pointer. What follows it points into the document.
    member: &'static str,
    /// What to say if the document is not valid.
    invalid: &'static str,
}

const REPOSITORY_POLICY: DocumentPlace = DocumentPlace {
    parameter: "PolicyText",
    member: "/policyText",
    invalid: "Invalid repository policy provided",
};
const TEMPLATE_POLICY: DocumentPlace = DocumentPlace {
    parameter: "RepositoryPolicy",
    member: "/repositoryPolicy",
    invalid: "Invalid repository policy provided",
};
const REGISTRY_POLICY: DocumentPlace = DocumentPlace {
    parameter: "PolicyText",
    member: "/policyText",
    invalid: "Invalid registry policy provided",
};
const STATEMENT: DocumentPlace = DocumentPlace {
    parameter: "Statement",
    member: "/statement",
    invalid: "Invalid registry policy provided",
};
const TRUST_POLICY: DocumentPlace = DocumentPlace {
    parameter: "AssumeRolePolicyDocument",
    member: "/assumeRolePolicyDocument",
    invalid: "Invalid trust policy provided",
};
const POLICY_DOCUMENT: DocumentPlace = DocumentPlace {
    parameter: "PolicyDocument",
    member: "/policyDocument",
    invalid: "Invalid policy document provided",
};

impl DocumentPlace {
    /// ECR's text, then what is wrong, and where in the document.
    fn problem(self, pointer: &str, constraint: &str, reason: &dyn std::fmt::Display) -> Problem {
        let Self { parameter, member, .. } = self;
        let detail =
            format!("Invalid parameter at '{parameter}' failed to satisfy constraint: '{constraint}': {reason}");
        Problem::new(code::INVALID_PARAMETER, detail).at(format!("{member}{pointer}"))
    }

    fn of(self, error: &DocumentError) -> Problem {
        let constraint = match error {
            DocumentError::Invalid(_) | DocumentError::TooLong { .. } => self.invalid,
            DocumentError::PrincipalNotFound { .. } => "Principal not found",
        };
        self.problem(error.pointer(), constraint, error)
    }

    fn locks_out(self, error: &dyn std::fmt::Display) -> Problem {
        let detail = format!(
            "Invalid parameter at '{}' failed to satisfy constraint: '{error}'",
            self.parameter
        );
        Problem::new(code::INVALID_PARAMETER, detail).at(self.member)
    }
}

impl From<NoRepositoryPolicy> for Problem {
    fn from(error: NoRepositoryPolicy) -> Self {
        Self::new(code::REPOSITORY_POLICY_NOT_FOUND, &error)
    }
}

impl From<NoRegistryPolicy> for Problem {
    fn from(error: NoRegistryPolicy) -> Self {
        Self::new(code::REGISTRY_POLICY_NOT_FOUND, &error)
    }
}

impl From<UnknownStatement> for Problem {
    fn from(error: UnknownStatement) -> Self {
        Self::new(code::RESOURCE_NOT_FOUND, &error)
    }
}

impl From<UnknownPolicy> for Problem {
    fn from(error: UnknownPolicy) -> Self {
        Self::new(code::RESOURCE_NOT_FOUND, &error)
    }
}

impl From<NoLifecyclePolicy> for Problem {
    fn from(error: NoLifecyclePolicy) -> Self {
        Self::new(code::LIFECYCLE_POLICY_NOT_FOUND, &error)
    }
}

/// A text that is no lifecycle policy. The words are ECR's.
fn invalid_lifecycle_policy(error: &hythe_operations::InvalidLifecyclePolicy) -> Problem {
    let pointer = format!("/lifecyclePolicyText{}", error.pointer());
    Problem::invalid("LifecyclePolicyText", error).at(pointer)
}

impl From<LifecyclePolicyError> for Problem {
    fn from(error: LifecyclePolicyError) -> Self {
        match error {
            LifecyclePolicyError::UnknownRepository(error) => error.into(),
            LifecyclePolicyError::Absent(error) => error.into(),
            LifecyclePolicyError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            LifecyclePolicyError::Store(error) => error.into(),
        }
    }
}

impl From<PutLifecyclePolicyError> for Problem {
    fn from(error: PutLifecyclePolicyError) -> Self {
        match error {
            PutLifecyclePolicyError::UnknownRepository(error) => error.into(),
            PutLifecyclePolicyError::Invalid(error) => invalid_lifecycle_policy(&error),
            PutLifecyclePolicyError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            PutLifecyclePolicyError::Store(error) => error.into(),
        }
    }
}

impl From<StartLifecyclePreviewError> for Problem {
    fn from(error: StartLifecyclePreviewError) -> Self {
        match error {
            StartLifecyclePreviewError::UnknownRepository(error) => error.into(),
            StartLifecyclePreviewError::NoPolicy(error) => error.into(),
            StartLifecyclePreviewError::Invalid(error) => invalid_lifecycle_policy(&error),
            StartLifecyclePreviewError::InProgress => Self::new(code::LIFECYCLE_PREVIEW_IN_PROGRESS, &error),
            StartLifecyclePreviewError::Store(error) => error.into(),
        }
    }
}

impl From<PreviewError> for Problem {
    fn from(error: PreviewError) -> Self {
        match error {
            PreviewError::UnknownRepository(error) => error.into(),
            PreviewError::Unknown(_) => Self::new(code::LIFECYCLE_PREVIEW_NOT_FOUND, &error),
            PreviewError::Store(error) => error.into(),
        }
    }
}

impl From<StartLifecycleRunError> for Problem {
    fn from(error: StartLifecycleRunError) -> Self {
        match error {
            StartLifecycleRunError::UnknownRepository(error) => error.into(),
            StartLifecycleRunError::NoPolicy(error) => error.into(),
            StartLifecycleRunError::Store(error) => error.into(),
        }
    }
}

impl From<LifecycleRunError> for Problem {
    fn from(error: LifecycleRunError) -> Self {
        match error {
            LifecycleRunError::UnknownRepository(error) => error.into(),
            LifecycleRunError::Unknown(_) => Self::new(code::RESOURCE_NOT_FOUND, &error),
            LifecycleRunError::Store(error) => error.into(),
        }
    }
}

impl From<DestinationError> for Problem {
    fn from(error: DestinationError) -> Self {
        match error {
            DestinationError::Unknown(_) => Self::new(code::RESOURCE_NOT_FOUND, &error),
            DestinationError::AlreadyExists(..) => Self::new(code::RESOURCE_ALREADY_EXISTS, &error),
            DestinationError::LimitExceeded(_) => Self::new(code::LIMIT_EXCEEDED, &error),
            DestinationError::InUse(..) => Self::new(code::DELETE_CONFLICT, &error),
            DestinationError::NeedsControlPlane(_) => Self::invalid_member("/controlEndpoint", error),
            DestinationError::Nothing => Self::new(code::INVALID_PARAMETER, &error),
            DestinationError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            DestinationError::Settings(error) => {
                let place =
                    match &error {
                        DestinationSettingsError::Endpoint(_) => "/endpoint",
                        DestinationSettingsError::ControlEndpoint(_)
                        | DestinationSettingsError::ControlEndpointOfOther => "/controlEndpoint",
                        DestinationSettingsError::Description => "/description",
                        DestinationSettingsError::Credential
                        | DestinationSettingsError::CredentialOfOtherAddress(_) => "/credential",
                        DestinationSettingsError::Prefix(_) | DestinationSettingsError::PrefixOfHythe => {
                            "/repositoryPrefix"
                        }
                        DestinationSettingsError::Bandwidth => "/bandwidthBytesPerSecond",
                    };
                Self::invalid_member(place, error)
            }
            DestinationError::Crypto(error) => error.into(),
            DestinationError::Store(error) => error.into(),
        }
    }
}

impl From<ReplicationRulesError> for Problem {
    fn from(error: ReplicationRulesError) -> Self {
        match &error {
            ReplicationRulesError::Unknown(..) => Self::new(code::RESOURCE_NOT_FOUND, &error),
            ReplicationRulesError::UnknownDestination(_) | ReplicationRulesError::NoControlPlane(_) => {
                Self::new(code::INVALID_PARAMETER, &error)
            }
            ReplicationRulesError::Rule(_, number) | ReplicationRulesError::AccountOfOther(_, _, number) => {
                let problem = Self::new(code::INVALID_PARAMETER, &error);
                match number {
                    Some(number) => problem.at(format!("/replicationConfiguration/rules/{number}")),
                    None => problem,
                }
            }
            ReplicationRulesError::LimitExceeded(_) => Self::new(code::LIMIT_EXCEEDED, &error),
            ReplicationRulesError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            ReplicationRulesError::Store(_) => match error {
                ReplicationRulesError::Store(error) => error.into(),
                error => Self::internal(&error),
            },
        }
    }
}

impl From<BackfillError> for Problem {
    fn from(error: BackfillError) -> Self {
        match &error {
            BackfillError::Unknown(..) => Self::new(code::BACKFILL_NOT_FOUND, &error),
            BackfillError::NotConfigured(_) => Self::invalid_member("/destination", error),
            BackfillError::InProgress(_) => Self::new(code::BACKFILL_IN_PROGRESS, &error),
            BackfillError::LimitExceeded(_) => Self::new(code::LIMIT_EXCEEDED, &error),
            BackfillError::InvalidStatus(..) => Self::new(code::BACKFILL_INVALID_STATUS, &error),
            BackfillError::Store(_) => match error {
                BackfillError::Store(error) => error.into(),
                error => Self::internal(&error),
            },
        }
    }
}

impl From<ReplicationTaskError> for Problem {
    fn from(error: ReplicationTaskError) -> Self {
        match error {
            ReplicationTaskError::UnknownDestination(_) | ReplicationTaskError::Unknown(..) => {
                Self::new(code::RESOURCE_NOT_FOUND, &error)
            }
            ReplicationTaskError::Store(error) => error.into(),
        }
    }
}

impl From<ReplicationStatusError> for Problem {
    fn from(error: ReplicationStatusError) -> Self {
        match error {
            ReplicationStatusError::UnknownRepository(error) => error.into(),
            ReplicationStatusError::UnknownImage(error) => error.into(),
            ReplicationStatusError::Store(error) => error.into(),
        }
    }
}

impl From<UnknownCacheRule> for Problem {
    fn from(error: UnknownCacheRule) -> Self {
        Self::new(code::CACHE_RULE_NOT_FOUND, &error)
    }
}

impl From<CacheRuleError> for Problem {
    fn from(error: CacheRuleError) -> Self {
        match error {
            CacheRuleError::Unknown(error) => error.into(),
            CacheRuleError::NotCovered(..) => Self::new(code::CACHE_RULE_NOT_FOUND, &error),
            CacheRuleError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            CacheRuleError::Store(error) => error.into(),
        }
    }
}

impl From<PutCacheRuleError> for Problem {
    fn from(error: PutCacheRuleError) -> Self {
        match error {
            PutCacheRuleError::AlreadyExists(..) => Self::new(code::CACHE_RULE_ALREADY_EXISTS, &error),
            PutCacheRuleError::LimitExceeded(_) => Self::new(code::LIMIT_EXCEEDED, &error),
            PutCacheRuleError::Unknown(error) => error.into(),
            PutCacheRuleError::Nothing => Self::new(code::INVALID_PARAMETER, &error),
            PutCacheRuleError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            PutCacheRuleError::Settings(error) => error.into(),
            PutCacheRuleError::Crypto(error) => Self::internal(&error),
            PutCacheRuleError::Store(error) => error.into(),
        }
    }
}

impl From<CacheRuleSettingsError> for Problem {
    fn from(error: CacheRuleSettingsError) -> Self {
        use hythe_model::MirrorSettingsError as Mirror;
        let pointer = match error {
            CacheRuleSettingsError::UpstreamRegistry => "/upstreamRegistry",
            CacheRuleSettingsError::UpstreamPrefix => "/upstreamRepositoryPrefix",
            CacheRuleSettingsError::Credential => "/credential",
            CacheRuleSettingsError::TagFreshness => "/tagFreshnessSeconds",
            CacheRuleSettingsError::Mirror(Mirror::Interval) => "/mirror/intervalMinutes",
            CacheRuleSettingsError::Mirror(Mirror::Repositories) | CacheRuleSettingsError::MirrorRepository => {
                "/mirror/repositories"
            }
            CacheRuleSettingsError::Mirror(Mirror::Tags) => "/mirror/tags",
            CacheRuleSettingsError::Mirror(Mirror::ExcludeTags) => "/mirror/excludeTags",
            CacheRuleSettingsError::Mirror(Mirror::NewestTags) => "/mirror/newestTags",
        };
        Self::invalid_member(pointer, error)
    }
}

impl From<MirrorRunError> for Problem {
    fn from(error: MirrorRunError) -> Self {
        match error {
            MirrorRunError::UnknownRule(error) => error.into(),
            MirrorRunError::NotConfigured(_) => Self::new(code::INVALID_PARAMETER, &error),
            MirrorRunError::Running(_) => Self::new(code::MIRROR_RUN_IN_PROGRESS, &error),
            MirrorRunError::Unknown(..) => Self::new(code::MIRROR_RUN_NOT_FOUND, &error),
            MirrorRunError::Store(error) => error.into(),
        }
    }
}

impl From<UnknownTemplate> for Problem {
    fn from(error: UnknownTemplate) -> Self {
        Self::new(code::TEMPLATE_NOT_FOUND, &error)
    }
}

impl From<CreationTemplateError> for Problem {
    fn from(error: CreationTemplateError) -> Self {
        match error {
            CreationTemplateError::Unknown(error) => error.into(),
            CreationTemplateError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            CreationTemplateError::Store(error) => error.into(),
        }
    }
}

impl From<PutCreationTemplateError> for Problem {
    fn from(error: PutCreationTemplateError) -> Self {
        match error {
            PutCreationTemplateError::AlreadyExists(..) => Self::new(code::TEMPLATE_ALREADY_EXISTS, &error),
            PutCreationTemplateError::LimitExceeded(_) => Self::new(code::LIMIT_EXCEEDED, &error),
            PutCreationTemplateError::Unknown(error) => error.into(),
            PutCreationTemplateError::Nothing => Self::new(code::INVALID_PARAMETER, &error),
            PutCreationTemplateError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            PutCreationTemplateError::Access(error) => error.into(),
            PutCreationTemplateError::Settings(error) => error.into(),
            PutCreationTemplateError::Store(error) => error.into(),
        }
    }
}

impl From<TemplateSettingsError> for Problem {
    fn from(error: TemplateSettingsError) -> Self {
        match error {
            TemplateSettingsError::AppliedFor => Self::invalid_member("/appliedFor", error),
            TemplateSettingsError::Description => Self::invalid_member("/description", error),
            TemplateSettingsError::Encryption(error) => error.into(),
            TemplateSettingsError::RepositoryPolicy(error) => TEMPLATE_POLICY.of(&error),
            TemplateSettingsError::LifecyclePolicy(error) => {
                let pointer = format!("/lifecyclePolicy{}", error.pointer());
                Self::invalid("LifecyclePolicy", &error).at(pointer)
            }
        }
    }
}

impl From<UnknownVirtualRepository> for Problem {
    fn from(error: UnknownVirtualRepository) -> Self {
        Self::new(code::VIRTUAL_REPOSITORY_NOT_FOUND, &error)
    }
}

impl From<VirtualRepositoryError> for Problem {
    fn from(error: VirtualRepositoryError) -> Self {
        match error {
            VirtualRepositoryError::Unknown(error) => error.into(),
            VirtualRepositoryError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            VirtualRepositoryError::Store(error) => error.into(),
        }
    }
}

impl From<PutVirtualRepositoryError> for Problem {
    fn from(error: PutVirtualRepositoryError) -> Self {
        match error {
            PutVirtualRepositoryError::AlreadyExists(..) => Self::new(code::VIRTUAL_REPOSITORY_ALREADY_EXISTS, &error),
            PutVirtualRepositoryError::LimitExceeded(_) => Self::new(code::LIMIT_EXCEEDED, &error),
            PutVirtualRepositoryError::Root => Self::invalid_member("/virtualRepositoryName", error),
            PutVirtualRepositoryError::Description => Self::invalid_member("/description", error),
            PutVirtualRepositoryError::Overlap(..) => Self::new(code::VIRTUAL_REPOSITORY_OVERLAP, &error),
            PutVirtualRepositoryError::Unknown(error) => error.into(),
            PutVirtualRepositoryError::Nothing => Self::new(code::INVALID_PARAMETER, &error),
            PutVirtualRepositoryError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            PutVirtualRepositoryError::Store(error) => error.into(),
        }
    }
}

impl From<RepositoryPolicyError> for Problem {
    fn from(error: RepositoryPolicyError) -> Self {
        match error {
            RepositoryPolicyError::UnknownRepository(error) => error.into(),
            RepositoryPolicyError::Absent(error) => error.into(),
            RepositoryPolicyError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            RepositoryPolicyError::Store(error) => error.into(),
        }
    }
}

impl From<SetRepositoryPolicyError> for Problem {
    fn from(error: SetRepositoryPolicyError) -> Self {
        match error {
            SetRepositoryPolicyError::UnknownRepository(error) => error.into(),
            SetRepositoryPolicyError::Document(error) => REPOSITORY_POLICY.of(&error),
            SetRepositoryPolicyError::LocksOut => REPOSITORY_POLICY.locks_out(&error),
            SetRepositoryPolicyError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            SetRepositoryPolicyError::Access(error) => error.into(),
            SetRepositoryPolicyError::Store(error) => error.into(),
        }
    }
}

impl From<RegistryPolicyError> for Problem {
    fn from(error: RegistryPolicyError) -> Self {
        match error {
            RegistryPolicyError::Absent(error) => error.into(),
            RegistryPolicyError::UnknownStatement(error) => error.into(),
            RegistryPolicyError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            RegistryPolicyError::Store(error) => error.into(),
        }
    }
}

impl From<PutRegistryPolicyError> for Problem {
    fn from(error: PutRegistryPolicyError) -> Self {
        match error {
            PutRegistryPolicyError::Document(error) => REGISTRY_POLICY.of(&error),
            PutRegistryPolicyError::Statement { pointer, reason } => {
                STATEMENT.problem(&pointer, STATEMENT.invalid, &reason)
            }
            PutRegistryPolicyError::StatementPrincipal(error) => STATEMENT.of(&error),
            PutRegistryPolicyError::LocksOut => REGISTRY_POLICY.locks_out(&error),
            PutRegistryPolicyError::StatementLocksOut => STATEMENT.locks_out(&error),
            PutRegistryPolicyError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            PutRegistryPolicyError::Access(error) => error.into(),
            PutRegistryPolicyError::Store(error) => error.into(),
        }
    }
}

impl From<PolicyError> for Problem {
    fn from(error: PolicyError) -> Self {
        match error {
            PolicyError::Unknown(error) => error.into(),
            PolicyError::Store(error) => error.into(),
        }
    }
}

impl From<CreatePolicyError> for Problem {
    fn from(error: CreatePolicyError) -> Self {
        match error {
            CreatePolicyError::AlreadyExists(..) | CreatePolicyError::Reserved(_) => {
                Self::new(code::RESOURCE_ALREADY_EXISTS, &error)
            }
            CreatePolicyError::Document(error) => POLICY_DOCUMENT.of(&error),
            CreatePolicyError::Description => Self::invalid_member("/description", error),
            CreatePolicyError::LimitExceeded(..) => Self::new(code::LIMIT_EXCEEDED, &error),
            CreatePolicyError::Store(error) => error.into(),
        }
    }
}

impl From<UpdatePolicyError> for Problem {
    fn from(error: UpdatePolicyError) -> Self {
        match error {
            UpdatePolicyError::Unknown(error) => error.into(),
            UpdatePolicyError::Managed(_) => Self::invalid("policyName", error),
            UpdatePolicyError::Document(error) => POLICY_DOCUMENT.of(&error),
            UpdatePolicyError::Description => Self::invalid_member("/description", error),
            UpdatePolicyError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            UpdatePolicyError::Store(error) => error.into(),
        }
    }
}

impl From<DeletePolicyError> for Problem {
    fn from(error: DeletePolicyError) -> Self {
        match error {
            DeletePolicyError::Unknown(error) => error.into(),
            DeletePolicyError::Managed(_) => Self::invalid("policyName", error),
            DeletePolicyError::Attached(..) => Self::new(code::DELETE_CONFLICT, &error),
            DeletePolicyError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            DeletePolicyError::Store(error) => error.into(),
        }
    }
}

impl From<ProviderSettingsError> for Problem {
    fn from(error: ProviderSettingsError) -> Self {
        Self::invalid_member(error.pointer(), &error)
    }
}

impl From<CreateIdentityProviderError> for Problem {
    fn from(error: CreateIdentityProviderError) -> Self {
        match error {
            CreateIdentityProviderError::AlreadyExists(..) => Self::new(code::RESOURCE_ALREADY_EXISTS, &error),
            CreateIdentityProviderError::LimitExceeded(_) => Self::new(code::LIMIT_EXCEEDED, &error),
            CreateIdentityProviderError::Bounded(error) => error.into(),
            CreateIdentityProviderError::Settings(error) => error.into(),
            CreateIdentityProviderError::Store(error) => error.into(),
        }
    }
}

impl From<IdentityProviderError> for Problem {
    fn from(error: IdentityProviderError) -> Self {
        match error {
            IdentityProviderError::Unknown(..) => Self::new(code::RESOURCE_NOT_FOUND, &error),
            IdentityProviderError::Store(error) => error.into(),
        }
    }
}

impl From<UpdateIdentityProviderError> for Problem {
    fn from(error: UpdateIdentityProviderError) -> Self {
        match error {
            UpdateIdentityProviderError::Unknown(..) => Self::new(code::RESOURCE_NOT_FOUND, &error),
            UpdateIdentityProviderError::Nothing => Self::new(code::INVALID_PARAMETER, &error),
            UpdateIdentityProviderError::VersionMismatch => Self::new(code::PRECONDITION_FAILED, &error),
            UpdateIdentityProviderError::Bounded(error) => error.into(),
            UpdateIdentityProviderError::Settings(error) => error.into(),
            UpdateIdentityProviderError::Store(error) => error.into(),
        }
    }
}

impl From<WebIdentityError> for Problem {
    fn from(error: WebIdentityError) -> Self {
        match error {
            WebIdentityError::Token(TokenError::Expired) => Self::new(code::EXPIRED_TOKEN, &error),
            WebIdentityError::Token(
                TokenError::Malformed(_)
                | TokenError::Algorithm
                | TokenError::Claim(_)
                | TokenError::Audience
                | TokenError::AuthorizedParty
                | TokenError::NotYet,
            )
            | WebIdentityError::NoProvider(_)
            | WebIdentityError::Algorithm(_)
            | WebIdentityError::Signature(_) => Self::new(code::INVALID_IDENTITY_TOKEN, &error).at("/webIdentityToken"),
            WebIdentityError::Unreachable => Self::new(code::IDP_COMMUNICATION, &error),
            WebIdentityError::Busy => Self::busy(),
            WebIdentityError::Throttled(throttled) => throttled.into(),
            WebIdentityError::Denied => Self::new(code::ACCESS_DENIED, &error),
            WebIdentityError::Duration | WebIdentityError::RoleDuration(_) => {
                Self::invalid_member("/durationSeconds", error)
            }
            WebIdentityError::SessionName => Self::invalid_member("/roleSessionName", error),
            WebIdentityError::Open(error) => match error {
                OpenSessionError::PolicyTooLong | OpenSessionError::Policy(_) | OpenSessionError::TooLong => {
                    Self::invalid_member("/policy", error)
                }
                OpenSessionError::TooDeep => Self::new(code::LIMIT_EXCEEDED, &error),
                OpenSessionError::Crypto(error) => error.into(),
            },
            WebIdentityError::Store(error) => error.into(),
        }
    }
}

/// The status that goes with a code: each code has one.
pub(crate) fn status_of(code: &str) -> StatusCode {
    match code {
        code::MISSING_AUTHENTICATION | code::UNRECOGNIZED_CLIENT | code::EXPIRED_TOKEN => StatusCode::UNAUTHORIZED,
        code::ACCESS_DENIED => StatusCode::FORBIDDEN,
        code::EXCLUSION_NOT_FOUND
        | code::IMAGE_NOT_FOUND
        | code::LIFECYCLE_POLICY_NOT_FOUND
        | code::LIFECYCLE_PREVIEW_NOT_FOUND
        | code::REGISTRY_POLICY_NOT_FOUND
        | code::REPOSITORY_NOT_FOUND
        | code::REPOSITORY_POLICY_NOT_FOUND
        | code::RESOURCE_NOT_FOUND
        | code::BACKFILL_NOT_FOUND
        | code::MIRROR_RUN_NOT_FOUND
        | code::CACHE_RULE_NOT_FOUND
        | code::TEMPLATE_NOT_FOUND
        | code::VIRTUAL_REPOSITORY_NOT_FOUND => StatusCode::NOT_FOUND,
        code::METHOD_NOT_ALLOWED => StatusCode::METHOD_NOT_ALLOWED,
        code::REQUEST_TIMEOUT => StatusCode::REQUEST_TIMEOUT,
        code::ACCOUNT_CLOSED
        | code::ACCOUNT_IN_USE
        | code::DELETE_CONFLICT
        | code::EXCLUSION_ALREADY_EXISTS
        | code::IDEMPOTENCY_MISMATCH
        | code::IMAGE_REFERENCED
        | code::IMAGE_STORAGE_CLASS
        | code::IMAGE_TAG_ALREADY_EXISTS
        | code::LIFECYCLE_PREVIEW_IN_PROGRESS
        | code::LIMIT_EXCEEDED
        | code::REPOSITORY_ALREADY_EXISTS
        | code::REPOSITORY_NOT_EMPTY
        | code::RESOURCE_ALREADY_EXISTS
        | code::BACKFILL_IN_PROGRESS
        | code::MIRROR_RUN_IN_PROGRESS
        | code::BACKFILL_INVALID_STATUS
        | code::CACHE_RULE_ALREADY_EXISTS
        | code::TEMPLATE_ALREADY_EXISTS
        | code::VIRTUAL_REPOSITORY_ALREADY_EXISTS
        | code::VIRTUAL_REPOSITORY_OVERLAP => StatusCode::CONFLICT,
        code::PRECONDITION_FAILED => StatusCode::PRECONDITION_FAILED,
        code::REQUEST_TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
        code::UNSUPPORTED_MEDIA_TYPE => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        code::THROTTLING => StatusCode::TOO_MANY_REQUESTS,
        code::IDP_COMMUNICATION => StatusCode::BAD_GATEWAY,
        code::SERVICE_UNAVAILABLE => StatusCode::SERVICE_UNAVAILABLE,
        code::INTERNAL => StatusCode::INTERNAL_SERVER_ERROR,
        // INVALID_IDENTITY_TOKEN, INVALID_PARAMETER, INVALID_TAG_PARAMETER, TOO_MANY_TAGS, VALIDATION.
        _ => StatusCode::BAD_REQUEST,
    }
}

#[cfg(test)]
mod tests;
