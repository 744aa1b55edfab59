// SPDX-License-Identifier: Apache-2.0
//! The values of `code` in a [`crate::Problem`]: ECR's exception names, and a few that HTTP adds.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*

        /// Every code above.
        pub const ALL: &[&str] = &[$($text),*];
    };
}

codes! {
    /// 403: the caller is known and may not do this.
    ACCESS_DENIED = "AccessDeniedException";
    /// 409: the account is closed.
    ACCOUNT_CLOSED = "AccountAlreadyClosedException";
    /// 409: the account cannot be closed: it has repositories, or is the default one.
    ACCOUNT_IN_USE = "AccountInUseException";
    /// 409: something still needs it (a policy that is attached).
    DELETE_CONFLICT = "DeleteConflictException";
    /// 409: the pulls of the principal do not count already.
    EXCLUSION_ALREADY_EXISTS = "ExclusionAlreadyExistsException";
    /// 404: the pulls of the principal count.
    EXCLUSION_NOT_FOUND = "ExclusionNotFoundException";
    /// 401: the token's time is over, or it was revoked.
    EXPIRED_TOKEN = "ExpiredTokenException";
    /// 409: an idempotency key came again with another request.
    IDEMPOTENCY_MISMATCH = "IdempotentParameterMismatchException";
    /// 502: an identity provider does not answer, or not as it should.
    IDP_COMMUNICATION = "IDPCommunicationErrorException";
    /// 404: no such image in the repository.
    IMAGE_NOT_FOUND = "ImageNotFoundException";
    /// 409: an index that is in the repository needs the image.
    IMAGE_REFERENCED = "ImageReferencedByManifestListException";
    /// 409: the storage class of the image cannot change now.
    IMAGE_STORAGE_CLASS = "ImageStorageClassUpdateNotSupportedException";
    /// 409: the tag is there and may not be moved.
    IMAGE_TAG_ALREADY_EXISTS = "ImageTagAlreadyExistsException";
    /// 500: the fault is on this side.
    INTERNAL = "ServerException";
    /// 400: a web identity token is not valid.
    INVALID_IDENTITY_TOKEN = "InvalidIdentityTokenException";
    /// 400: a value of the request is not valid.
    INVALID_PARAMETER = "InvalidParameterException";
    /// 400: a resource tag is not valid.
    INVALID_TAG_PARAMETER = "InvalidTagParameterException";
    /// 404: the repository has no lifecycle policy.
    LIFECYCLE_POLICY_NOT_FOUND = "LifecyclePolicyNotFoundException";
    /// 409: a preview of the repository is being made.
    LIFECYCLE_PREVIEW_IN_PROGRESS = "LifecyclePolicyPreviewInProgressException";
    /// 404: no preview of the repository was started, or it was another one.
    LIFECYCLE_PREVIEW_NOT_FOUND = "LifecyclePolicyPreviewNotFoundException";
    /// 409: one more would be too many.
    LIMIT_EXCEEDED = "LimitExceededException";
    /// 405: the path is there, the method is not.
    METHOD_NOT_ALLOWED = "MethodNotAllowedException";
    /// 401: no credentials.
    MISSING_AUTHENTICATION = "MissingAuthenticationTokenException";
    /// 412: the resource is no longer what `If-Match` says.
    PRECONDITION_FAILED = "PreconditionFailedException";
    /// 409: there is a pull through cache rule for this prefix already.
    CACHE_RULE_ALREADY_EXISTS = "PullThroughCacheRuleAlreadyExistsException";
    /// 404: no pull through cache rule for this prefix.
    CACHE_RULE_NOT_FOUND = "PullThroughCacheRuleNotFoundException";
    /// 409: a run of the mirror is running.
    MIRROR_RUN_IN_PROGRESS = "MirrorRunInProgressException";
    /// 404: no such run.
    MIRROR_RUN_NOT_FOUND = "MirrorRunNotFoundException";
    /// 409: a backfill to the destination is in progress.
    BACKFILL_IN_PROGRESS = "ReplicationBackfillInProgressException";
    /// 409: the backfill has ended.
    BACKFILL_INVALID_STATUS = "ReplicationBackfillInvalidStatusException";
    /// 404: no such backfill.
    BACKFILL_NOT_FOUND = "ReplicationBackfillNotFoundException";
    /// 404: the registry has no policy.
    REGISTRY_POLICY_NOT_FOUND = "RegistryPolicyNotFoundException";
    /// 413: the body is too long.
    REQUEST_TOO_LARGE = "RequestEntityTooLarge";
    /// 408: the body did not arrive in time.
    REQUEST_TIMEOUT = "RequestTimeoutException";
    /// 409: the repository is there already.
    REPOSITORY_ALREADY_EXISTS = "RepositoryAlreadyExistsException";
    /// 409: the repository holds images, and `force` was not given.
    REPOSITORY_NOT_EMPTY = "RepositoryNotEmptyException";
    /// 404: no such repository.
    REPOSITORY_NOT_FOUND = "RepositoryNotFoundException";
    /// 404: the repository has no policy.
    REPOSITORY_POLICY_NOT_FOUND = "RepositoryPolicyNotFoundException";
    /// 404: no such path, user, access key or other thing without a code of its own.
    RESOURCE_NOT_FOUND = "ResourceNotFoundException";
    /// 409: something of this name is there already (users).
    RESOURCE_ALREADY_EXISTS = "ResourceAlreadyExistsException";
    /// 503: not now; try again after `Retry-After`.
    SERVICE_UNAVAILABLE = "ServiceUnavailable";
    /// 409: there is a template for this prefix already.
    TEMPLATE_ALREADY_EXISTS = "TemplateAlreadyExistsException";
    /// 404: no template for this prefix.
    TEMPLATE_NOT_FOUND = "TemplateNotFoundException";
    /// 429: too many requests; try again after `Retry-After`.
    THROTTLING = "ThrottlingException";
    /// 400: more resource tags than a repository may have.
    TOO_MANY_TAGS = "TooManyTagsException";
    /// 401: wrong key, wrong secret, or a token that is none.
    UNRECOGNIZED_CLIENT = "UnrecognizedClientException";
    /// 415: the body is not JSON.
    UNSUPPORTED_MEDIA_TYPE = "UnsupportedMediaTypeException";
    /// 400: the body is not of the shape of the request.
    VALIDATION = "ValidationException";
    /// 409: there is a virtual repository of this name already.
    VIRTUAL_REPOSITORY_ALREADY_EXISTS = "VirtualRepositoryAlreadyExistsException";
    /// 404: no such virtual repository.
    VIRTUAL_REPOSITORY_NOT_FOUND = "VirtualRepositoryNotFoundException";
    /// 409: a repository and a virtual repository, or two virtual repositories, would share names.
    VIRTUAL_REPOSITORY_OVERLAP = "VirtualRepositoryOverlapException";
}
