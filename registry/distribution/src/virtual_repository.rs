// SPDX-License-Identifier: Apache-2.0
//! Reading through virtual repositories: names that hold nothing, in front of repositories that do.
//!
//! What is asked of a virtual name is asked of the repositories behind it, one after another, as if the client had named
//! them; the first that has it answers. A repository that the sender may not read is passed over like one that has it not.
//! One that fails ends the request: what stands behind it could be another image of the same name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::response::Response;
use hythe_access::{Action, ActionKind, Granted, Trail, kinds};
use hythe_catalog::{CatalogError, Referrer};
use hythe_model::{AccountId, Digest, RepositoryName, RepositoryPath, RepositoryPrefix, VirtualRepository};

use crate::account::Named;
use crate::auth::{Presented, Visitor};
use crate::input::Input;
use crate::oci_error::{Absence, OciError};
use crate::paging::{Page, PageRequest};
use crate::referrers::{MAX_PAGE_BYTES, Wish, list_referrers, weight};
use crate::route::{Operation, Shape};
use crate::router::dispatch;
use crate::tags;
use crate::tags::list_tags;

/// Knows the virtual repositories of accounts; the control plane does.
#[async_trait]
pub trait VirtualRepositories: std::fmt::Debug + Send + Sync {
    /// Those of an account, if that is known at once. Nearly every request asks this.
    fn known(&self, account: &AccountId) -> Option<Arc<[VirtualRepository]>>;

    /// Those of an account.
    async fn read(&self, account: &AccountId) -> Result<Arc<[VirtualRepository]>, CatalogError>;
}

/// A virtual name, and what stands behind it.
#[derive(Debug)]
pub(crate) struct Found {
    /// The name, as it was asked for.
    named: Named,
    /// The virtual repository that it belongs to.
    owner: RepositoryPrefix,
    /// The repositories that may answer, in the order in which they are asked.
    sources: Vec<RepositoryName>,
}

/// Why a virtual name was not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VirtualError {
    /// No source has a repository for it that the sender may read.
    #[error("the repository `{0}` does not exist")]
    Unknown(RepositoryPath),
    #[error(
        "`{}` is a virtual repository, which is only read: push to, or delete from, the repository that it is read from",
        .0.name
    )]
    ReadOnly(RepositoryPath),
}

/// What stands behind the name of a request, if that is virtual.
pub(crate) async fn find(visitor: &Visitor, shape: Shape, written: &str) -> Result<Option<Found>, CatalogError> {
    let Some(names) = visitor.registry.virtual_repositories() else {
        return Ok(None);
    };
    if matches!(shape, Shape::Base | Shape::Token | Shape::Catalog) {
        return Ok(None);
    }
    let (account, name) = visitor.site.account_and_name(written);
    let all = match names.known(&account) {
        Some(all) => all,
        None => names.read(&account).await?,
    };
    if all.is_empty() {
        return Ok(None);
    }
    // A name that is none is refused in its turn.
    let Ok(name) = name.parse::<RepositoryName>() else {
        return Ok(None);
    };
    // Their names do not overlap.
    let found = all.iter().find_map(|one| Some((one, one.behind(&name)?)));
    Ok(found.map(|(one, sources)| Found {
        named: Named {
            path: RepositoryPath {
                account: account.into_owned(),
                name,
            },
            written: written.to_owned(),
        },
        owner: one.name.clone(),
        sources,
    }))
}

/// Answers a request for a virtual name.
pub(crate) async fn answer(
    visitor: &Visitor,
    operation: Operation,
    input: Input,
    found: Found,
) -> Result<Response, OciError> {
    Trail::note(|facts| {
        // A prefix has nothing that needs escapes.
        let owner = format!("\"{}\"", found.owner);
        facts.parameters.push(("virtualRepositoryName".into(), owner));
    });
    let answered = match operation {
        Operation::ManifestHead | Operation::ManifestGet => {
            first::<kinds::BatchGetImage>(visitor, operation, input, &found).await
        }
        Operation::BlobHead => first::<kinds::BatchCheckLayerAvailability>(visitor, operation, input, &found).await,
        Operation::BlobGet => first::<kinds::GetDownloadUrlForLayer>(visitor, operation, input, &found).await,
        Operation::TagsList => list_all_tags(visitor, input, &found).await,
        Operation::ReferrersList => list_all_referrers(visitor, input, &found).await,
        Operation::UploadBegin => return refuse::<kinds::InitiateLayerUpload>(visitor, found.named).await,
        Operation::UploadStatus | Operation::UploadAppend | Operation::UploadCancel => {
            return refuse::<kinds::UploadLayerPart>(visitor, found.named).await;
        }
        Operation::UploadFinish => return refuse::<kinds::CompleteLayerUpload>(visitor, found.named).await,
        Operation::ManifestPut => return refuse::<kinds::PutImage>(visitor, found.named).await,
        Operation::ManifestDelete | Operation::BlobDelete => {
            return refuse::<kinds::BatchDeleteImage>(visitor, found.named).await;
        }
        // These name no repository, and so no virtual one.
        Operation::Ping | Operation::TokenGet | Operation::TokenPost | Operation::CatalogList => {
            return dispatch(operation, visitor, input).await;
        }
    };
    let outcome = match &answered {
        Ok(_) => "found",
        Err(error) if error.absence().is_some() => "absent",
        Err(_) => "failed",
    };
    visitor.registry.metrics().read_virtually(outcome);
    answered
}

/// The answer of the first source that has what is asked for.
async fn first<A>(visitor: &Visitor, operation: Operation, input: Input, found: &Found) -> Result<Response, OciError>
where
    A: ActionKind<Resource = RepositoryPath>,
{
    // Who may read a blob may ask for it, too.
    let mut trying = visitor.trying_behind(&found.named.path, &[A::ACTION, Action::GetDownloadUrlForLayer]);
    let mut missing = Missing::default();
    // What a digest names is the same wherever it comes from: nobody elsewhere is asked for what some source has.
    let is_by_digest = input.argument.parse::<Digest>().is_ok();
    trying.asks_upstream = !is_by_digest;
    for source in found.sources() {
        let asked = as_if_named(&input, source);
        match dispatch(operation, &trying, asked).await {
            Ok(response) => return Ok(response),
            Err(error) => missing.pass_over::<A>(visitor, &found.named, error)?,
        }
    }
    if is_by_digest && visitor.registry.pull_through().is_some() {
        trying.asks_upstream = true;
        let mut failure = None;
        for source in found.sources() {
            if visitor.registry.upstream(&source.path).await?.is_none() {
                continue;
            }
            let asked = as_if_named(&input, source);
            match dispatch(operation, &trying, asked).await {
                Ok(response) => return Ok(response),
                // Another one may have the same.
                Err(error) if error.absence().is_none() => failure = failure.or(Some(error)),
                Err(error) => missing.pass_over::<A>(visitor, &found.named, error)?,
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
    }
    Err(missing.error::<A>(visitor, &found.named).await)
}

/// What is asked of a source: as if the client had named it.
fn as_if_named(input: &Input, source: Named) -> Input {
    forget_decisions();
    Input {
        name: source.written,
        argument: input.argument.clone(),
        query: input.query.clone(),
        headers: input.headers.clone(),
        body: Body::empty(),
    }
}

/// The tags of all sources.
async fn list_all_tags(visitor: &Visitor, input: Input, found: &Found) -> Result<Response, OciError> {
    let request = PageRequest::from_input(&input)?;
    let trying = visitor.trying_behind(&found.named.path, &[Action::ListImages]);
    let (mut tags, mut has_more, mut is_there) = (BTreeSet::new(), false, false);
    let mut missing = Missing::default();
    for source in found.sources() {
        let listed = match permitted::<kinds::ListImages>(&trying, &source).await {
            Ok(granted) => list_tags(&visitor.registry, &granted, &request)
                .await
                .map_err(Into::into),
            Err(error) => Err(error),
        };
        match listed {
            Ok(page) => {
                // Each brings its first ones, so that the first of all are among them.
                is_there = true;
                has_more |= page.has_more;
                tags.extend(page.items);
            }
            Err(error) => missing.pass_over::<kinds::ListImages>(visitor, &found.named, error)?,
        }
    }
    if !is_there {
        return Err(missing.error::<kinds::ListImages>(visitor, &found.named).await);
    }
    forget_denials();
    has_more |= tags.len() > request.limit;
    let items = tags.into_iter().take(request.limit).collect();
    Ok(tags::shape(&found.named, &request, &Page { items, has_more }))
}

/// The referrers in all sources.
async fn list_all_referrers(visitor: &Visitor, input: Input, found: &Found) -> Result<Response, OciError> {
    let wish = Wish::from_input(&input)?;
    let trying = visitor.trying_behind(&found.named.path, &[Action::BatchGetImage]);
    let mut merged = Merged::default();
    let mut missing = Missing::default();
    for source in found.sources() {
        match permitted::<kinds::BatchGetImage>(&trying, &source).await {
            Ok(granted) => {
                missing.was_permitted = true;
                let (page, _) = list_referrers(&trying, &granted, &source, &wish).await?;
                merged.add(page, wish.limit);
            }
            Err(error) => missing.pass_over::<kinds::BatchGetImage>(visitor, &found.named, error)?,
        }
    }
    if !missing.was_permitted {
        // An absent repository has no referrers, and that is no error.
        forget_decisions();
        visitor.permit::<kinds::BatchGetImage>(&found.named).await?;
    }
    forget_denials();
    Ok(wish.shape(&found.named, &merged.page(), None))
}

/// Refuses a change to who may change repositories of this name; others learn nothing.
async fn refuse<A>(visitor: &Visitor, named: Named) -> Result<Response, OciError>
where
    A: ActionKind<Resource = RepositoryPath>,
{
    visitor.permit::<A>(&named).await?;
    Err(VirtualError::ReadOnly(named.path).into())
}

async fn permitted<A>(visitor: &Visitor, source: &Named) -> Result<Granted<A>, OciError>
where
    A: ActionKind<Resource = RepositoryPath>,
{
    Ok(visitor.permit::<A>(source).await?)
}

/// The record tells what was decided about the repository that answers, not about those that were passed over.
fn forget_decisions() {
    Trail::note(|facts| {
        facts.allowed = None;
        facts.denied = None;
    });
}

/// The record of a list tells of the first source that is in it.
fn forget_denials() {
    Trail::note(|facts| facts.denied = None);
}

impl Found {
    fn sources(&self) -> impl Iterator<Item = Named> {
        self.sources.iter().map(|name| {
            let path = RepositoryPath {
                account: self.named.path.account.clone(),
                name: name.clone(),
            };
            Named {
                written: self.named.written_like(&path),
                path,
            }
        })
    }
}

/// Why no source has answered so far.
#[derive(Debug, Default)]
struct Missing {
    was_permitted: bool,
    content: Option<OciError>,
}

impl Missing {
    /// Notes that a source does not answer; an error that is not about what is missing ends the search.
    fn pass_over<A>(&mut self, visitor: &Visitor, named: &Named, error: OciError) -> Result<(), OciError>
    where
        A: ActionKind<Resource = RepositoryPath>,
    {
        match error.absence() {
            // Many clients send no credentials before they are asked for some, and would get another image than those who
            // do.
            Some(Absence::Right) if visitor.presented == Presented::Nothing => {
                return Err(visitor.ask_to_log_in(A::ACTION, named).into());
            }
            Some(Absence::Right) => {}
            Some(Absence::Repository) => self.was_permitted = true,
            Some(Absence::Content) => {
                self.was_permitted = true;
                self.content = Some(error);
            }
            None => return Err(error),
        }
        Ok(())
    }

    /// What is answered if no source has: what is answered for a repository that is not there, and to who may not read it.
    async fn error<A>(self, visitor: &Visitor, named: &Named) -> OciError
    where
        A: ActionKind<Resource = RepositoryPath>,
    {
        if let Some(error) = self.content {
            return error;
        }
        if !self.was_permitted {
            forget_decisions();
            if let Err(refusal) = visitor.permit::<A>(named).await {
                return refusal.into();
            }
        }
        VirtualError::Unknown(named.path.clone()).into()
    }
}

/// The first referrers of several lists.
#[derive(Debug, Default)]
struct Merged {
    items: BTreeMap<Digest, Referrer>,
    /// Nothing behind this is known of some list.
    end: Option<Digest>,
    has_more: bool,
}

impl Merged {
    fn add(&mut self, page: Page<Referrer>, limit: usize) {
        if page.has_more {
            let last = page.items.last().map(|referrer| referrer.digest);
            self.has_more = true;
            self.end = match (self.end, last) {
                (Some(end), Some(last)) => Some(end.min(last)),
                (end, last) => end.or(last),
            };
        }
        let added = page.items.into_iter().map(|referrer| (referrer.digest, referrer));
        self.items.extend(added);
        // No more is kept than fits into an answer.
        let (mut count, mut bytes) = (0, 0);
        let fits = |referrer: &Referrer| {
            bytes += weight(referrer);
            count += 1;
            count <= limit && (bytes <= MAX_PAGE_BYTES || count == 1)
        };
        let kept = self.items.values().map(fits).take_while(|fits| *fits).count();
        if let Some(last) = kept.checked_sub(1).and_then(|at| self.items.keys().nth(at)).copied()
            && kept < self.items.len()
        {
            self.has_more = true;
            self.end = Some(self.end.map_or(last, |end| end.min(last)));
        }
        if limit == 0 {
            self.has_more |= !self.items.is_empty();
            self.items.clear();
        }
        if let Some(end) = self.end {
            self.items.retain(|digest, _| *digest <= end);
        }
    }

    fn page(self) -> Page<Referrer> {
        Page {
            items: self.items.into_values().collect(),
            has_more: self.has_more,
        }
    }
}

#[cfg(test)]
mod tests {
    use hythe_model::Algorithm;

    use super::*;

    fn referrer(number: u8, annotation_bytes: usize) -> Referrer {
        Referrer {
            media_type: "application/vnd.oci.image.manifest.v1+json".parse().unwrap(),
            digest: Digest::new(Algorithm::Sha256, &[number; 32]).unwrap(),
            size: 1,
            artifact_type: None,
            annotations: BTreeMap::from([("a".to_owned(), "x".repeat(annotation_bytes))]),
        }
    }

    fn merge(lists: &[(&[u8], bool)], limit: usize, annotation_bytes: usize) -> (Vec<u8>, bool) {
        let mut merged = Merged::default();
        for (numbers, has_more) in lists {
            let items = numbers
                .iter()
                .map(|number| referrer(*number, annotation_bytes))
                .collect();
            merged.add(
                Page {
                    items,
                    has_more: *has_more,
                },
                limit,
            );
        }
        let page = merged.page();
        let numbers = page.items.iter().map(|referrer| referrer.digest.hash()[0]).collect();
        (numbers, page.has_more)
    }

    #[test]
    fn several_lists_become_one_without_gaps_and_doubles() {
        // Lists with whether there is more of each, the limit; what comes out, and whether there is more.
        type Case<'a> = (&'a [(&'a [u8], bool)], usize, &'a [u8], bool);
        let cases: [Case<'_>; 7] = [
            (&[(&[1, 3], false), (&[2, 3], false)], 10, &[1, 2, 3], false),
            (&[(&[1, 3], false), (&[2, 4], false)], 3, &[1, 2, 3], true),
            (&[(&[1, 2], true), (&[3, 4], false)], 10, &[1, 2], true),
            (&[(&[3, 4], false), (&[1, 2], true)], 10, &[1, 2], true),
            (&[(&[1, 9], true), (&[2, 5], true)], 10, &[1, 2, 5], true),
            (&[(&[], false), (&[], false)], 10, &[], false),
            (&[(&[], true), (&[1], false)], 0, &[], true),
        ];
        for (lists, limit, wanted, has_more) in cases {
            assert_eq!(merge(lists, limit, 1), (wanted.to_vec(), has_more), "{lists:?} {limit}");
        }
        // As many as fit into an answer, and at least one.
        let half = MAX_PAGE_BYTES / 2;
        assert_eq!(
            merge(&[(&[1, 3], false), (&[2], false)], 10, half - 1000),
            (vec![1, 2], true)
        );
        assert_eq!(merge(&[(&[1], true), (&[2], true)], 10, 2 * half + 9), (vec![1], true));
    }
}
