// SPDX-License-Identifier: Apache-2.0
//! What is wrong with what is stored: pure decisions about facts.

use std::collections::BTreeSet;
use std::fmt;

use hythe_meta::{
    BlobFacts, DigestFacts, ImageFacts, LinkFacts, ReferenceFacts, ReferenceKind, ReplicaFacts, ScrubPhase, TagFacts,
    TierFacts, UpstreamTagFacts,
};
use hythe_model::{Digest, Manifest, StorageClass};

/// The most digests that one finding names.
const MAX_NAMED: usize = 5;

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingKind {
    /// A blob has a row and no bytes.
    BlobMissing,
    /// The bytes of a blob are not those of its digest, or not as many as its row says.
    BlobDamaged,
    /// The bytes of a blob cannot be read now; nothing is known about them.
    BlobUnreadable,
    /// There are bytes of a blob of which no row knows.
    BlobOrphaned,
    /// No repository links a blob, and no review of it waits: nobody would ever collect it.
    BlobUnlinked,
    /// The bytes of a blob are in the archive and belong elsewhere, or the other way round, and nobody will move them.
    BlobMisplaced,
    /// A link leads nowhere.
    LinkBroken,
    /// No image needs a link, and no review of it waits: nobody would ever collect it.
    LinkUnused,
    /// A manifest is not the one of its digest.
    ManifestDamaged,
    /// What is written down that an image needs is not what its manifest says.
    ReferencesDiffer,
    /// Something is referred to that is not there, or sleeps in the archive.
    ReferenceBroken,
    /// A tag points to no image, or elsewhere than its history says.
    TagBroken,
    /// A row does not hold what it should, so that nothing else can be said about it.
    RowUnreadable,
}

impl FindingKind {
    /// Every kind.
    pub const ALL: &[Self] = &[
        Self::BlobMissing,
        Self::BlobDamaged,
        Self::BlobUnreadable,
        Self::BlobOrphaned,
        Self::BlobUnlinked,
        Self::BlobMisplaced,
        Self::LinkBroken,
        Self::LinkUnused,
        Self::ManifestDamaged,
        Self::ReferencesDiffer,
        Self::ReferenceBroken,
        Self::TagBroken,
        Self::RowUnreadable,
    ];

    /// As it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BlobMissing => "BLOB_MISSING",
            Self::BlobDamaged => "BLOB_DAMAGED",
            Self::BlobUnreadable => "BLOB_UNREADABLE",
            Self::BlobOrphaned => "BLOB_ORPHANED",
            Self::BlobUnlinked => "BLOB_UNLINKED",
            Self::BlobMisplaced => "BLOB_MISPLACED",
            Self::LinkBroken => "LINK_BROKEN",
            Self::LinkUnused => "LINK_UNUSED",
            Self::ManifestDamaged => "MANIFEST_DAMAGED",
            Self::ReferencesDiffer => "REFERENCES_DIFFER",
            Self::ReferenceBroken => "REFERENCE_BROKEN",
            Self::TagBroken => "TAG_BROKEN",
            Self::RowUnreadable => "ROW_UNREADABLE",
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Defect {
    pub(super) kind: FindingKind,
    pub(super) digest: Option<Digest>,
    /// The key of the repository.
    pub(super) repository_id: Option<String>,
    pub(super) detail: String,
}

impl Defect {
    pub(super) fn of_blob(kind: FindingKind, digest: Digest, detail: impl Into<String>) -> Self {
        Self {
            kind,
            digest: Some(digest),
            repository_id: None,
            detail: detail.into(),
        }
    }

    fn of_repository(kind: FindingKind, digest: Digest, repository_id: &str, detail: impl Into<String>) -> Self {
        Self {
            repository_id: Some(repository_id.to_owned()),
            ..Self::of_blob(kind, digest, detail)
        }
    }
}

/// Whether anybody holds a blob.
pub(super) fn blob_row(facts: &BlobFacts, known: DigestFacts) -> Option<Defect> {
    let is_garbage = known.has_row && !facts.is_held && !known.is_sealed && !known.is_in_review;
    let detail = "no repository links it, and it does not wait for the collector";
    is_garbage.then(|| Defect::of_blob(FindingKind::BlobUnlinked, facts.digest, detail))
}

/// Whether anybody knows of bytes in the blob store.
pub(super) fn file(digest: Digest, known: DigestFacts) -> Option<Defect> {
    let is_orphan = !known.has_row && !known.is_sealed && !known.is_in_review;
    let detail = "no row knows of it; a database that is older than the blob store leaves such files";
    is_orphan.then(|| Defect::of_blob(FindingKind::BlobOrphaned, digest, detail))
}

/// Whether the bytes of a blob are where they belong, or will be.
pub(super) fn tier(digest: Digest, classes: &[StorageClass], facts: TierFacts) -> Option<Defect> {
    let has = |class| classes.contains(&class);
    let detail = match facts {
        TierFacts { is_waiting: true, .. } => return None,
        _ if classes.is_empty() => return None, // that is another finding
        TierFacts { is_archived: false, .. } if has(StorageClass::Archive) => {
            "its bytes are in the archive, and no row says so"
        }
        TierFacts {
            is_archived: true,
            belongs: Some(StorageClass::Standard),
            ..
        } => "it is written down as archived, an image needs it that is not, and nobody will bring it back",
        TierFacts {
            belongs: Some(StorageClass::Archive),
            ..
        } if !has(StorageClass::Archive) => {
            "only archived images need it, its bytes are not in the archive, and nobody will move them"
        }
        _ => return None,
    };
    Some(Defect::of_blob(FindingKind::BlobMisplaced, digest, detail))
}

pub(super) fn link(facts: &LinkFacts) -> Option<Defect> {
    let (kind, detail) = match facts {
        LinkFacts { has_blob: false, .. } => (FindingKind::LinkBroken, "the repository links it, and it is not there"),
        LinkFacts {
            has_repository: false, ..
        } => (FindingKind::LinkBroken, "a repository that is not there links it"),
        LinkFacts {
            is_needed: false,
            is_in_review: false,
            ..
        } => (
            FindingKind::LinkUnused,
            "the repository links it, no image needs it, and the link does not wait for the collector",
        ),
        _ => return None,
    };
    Some(Defect::of_repository(kind, facts.digest, &facts.repository_id, detail))
}

pub(super) fn reference(kind: ReferenceKind, facts: &ReferenceFacts) -> Option<Defect> {
    let from = &facts.from;
    let detail = match (kind, facts.has_source, facts.has_target) {
        (_, true, true) if facts.is_left_asleep => {
            format!("index {from} lists it and is not in the archive, it is, and nobody will bring it back")
        }
        (_, true, true) => return None,
        (ReferenceKind::ImageBlob, false, _) => format!("image {from} needs it, and is not there"),
        (ReferenceKind::ImageBlob, true, false) => {
            format!("image {from} needs it, and the repository does not link it")
        }
        (ReferenceKind::ImageChild, false, _) => format!("index {from} lists it, and is not there"),
        (ReferenceKind::ImageChild, true, false) => format!("index {from} lists it, and it is not there"),
        (ReferenceKind::DeletedImageBlob, false, _) => format!("deleted image {from} needs it, and is not there"),
        (ReferenceKind::DeletedImageBlob, true, false) => {
            format!("deleted image {from} needs it to be restored, and it is not there")
        }
    };
    let kind = FindingKind::ReferenceBroken;
    Some(Defect::of_repository(kind, facts.to, &facts.repository_id, detail))
}

pub(super) fn tag(facts: &TagFacts) -> Option<Defect> {
    let name = &facts.name;
    let detail = match &facts.last_move {
        _ if !facts.has_image => format!("tag `{name}` points to it, and it is not there"),
        Some(last) if *last == facts.digest => return None,
        Some(last) => format!("tag `{name}` points to it, and its history to {last}"),
        None => format!("tag `{name}` points to it, and its history does not say so"),
    };
    let kind = FindingKind::TagBroken;
    Some(Defect::of_repository(kind, facts.digest, &facts.repository_id, detail))
}

/// The manifest, if it is the one of its digest. `actual` is the digest of its bytes.
pub(super) fn manifest(
    repository_id: &str,
    digest: Digest,
    actual: Digest,
    facts: &ImageFacts,
) -> Result<Manifest, Defect> {
    let damaged = |detail| Defect::of_repository(FindingKind::ManifestDamaged, digest, repository_id, detail);
    if actual != digest {
        return Err(damaged(format!("its manifest hashes to {actual}")));
    }
    Manifest::parse(facts.manifest.clone(), Some(&facts.media_type))
        .map_err(|error| damaged(format!("its manifest cannot be read: {error}")))
}

/// Compares what is written down with what the manifest says. `actual` is the digest of the manifest's bytes.
pub(super) fn image(repository_id: &str, digest: Digest, actual: Digest, facts: &ImageFacts) -> Vec<Defect> {
    let defect = |kind, detail: String| vec![Defect::of_repository(kind, digest, repository_id, detail)];
    let manifest = match manifest(repository_id, digest, actual, facts) {
        Ok(manifest) => manifest,
        Err(damaged) => return vec![damaged],
    };
    let blobs: BTreeSet<Digest> = manifest.required_blobs().map(|blob| blob.digest).collect();
    let children: BTreeSet<Digest> = manifest.children().iter().map(|child| child.digest).collect();
    let pairs = [
        ("blobs", "needs", &blobs, &facts.blobs),
        ("images", "lists", &children, &facts.children),
    ];
    let mut found = Vec::new();
    for (what, does, said, written) in pairs {
        let unwritten: Vec<_> = said.difference(written).collect();
        if !unwritten.is_empty() {
            let detail = format!("it is not written down that it {does} the {what} {}", named(&unwritten));
            found.extend(defect(FindingKind::ReferencesDiffer, detail));
        }
        let unsaid: Vec<_> = written.difference(said).collect();
        if !unsaid.is_empty() {
            let detail = format!(
                "it is written down that it {does} the {what} {}, which is wrong",
                named(&unsaid)
            );
            found.extend(defect(FindingKind::ReferencesDiffer, detail));
        }
    }
    found
}

/// An image whose repository is not there.
pub(super) fn stray_image(repository_id: &str, digest: Digest) -> Defect {
    let detail = "its repository is not there";
    Defect::of_repository(FindingKind::ReferenceBroken, digest, repository_id, detail)
}

/// What a tag pointed to upstream need not be here, and is asked for again then.
pub(super) fn upstream_tag(facts: &UpstreamTagFacts) -> Option<Defect> {
    let detail = || {
        format!(
            "tag `{}` of an upstream is about a repository that is not there",
            facts.name
        )
    };
    let kind = FindingKind::TagBroken;
    (!facts.has_repository).then(|| Defect::of_repository(kind, facts.digest, &facts.repository_id, detail()))
}

pub(super) fn replica(facts: &ReplicaFacts) -> Option<Defect> {
    let detail = || format!("it came by {} to a repository that is not there", facts.path);
    let kind = FindingKind::ReferenceBroken;
    (!facts.has_repository).then(|| Defect::of_repository(kind, facts.digest, &facts.repository_id, detail()))
}

/// A row that does not hold what it should. `cause` says what is wrong.
pub(super) fn unreadable_row(phase: ScrubPhase, key: &str, cause: &str) -> Defect {
    let (table, has_repository) = match phase {
        ScrubPhase::Blobs | ScrubPhase::Files => ("blob", false),
        ScrubPhase::Links => ("repository_blob", true),
        ScrubPhase::Images => ("image", true),
        ScrubPhase::DeletedImages => ("deleted_image", true),
        ScrubPhase::ImageBlobs => ("image_blob", true),
        ScrubPhase::ImageChildren => ("image_child", true),
        ScrubPhase::DeletedImageBlobs => ("deleted_image_blob", false),
        ScrubPhase::Tags => ("tag", true),
        ScrubPhase::UpstreamManifests => ("upstream_manifest", true),
        ScrubPhase::UpstreamTags => ("upstream_tag", true),
        ScrubPhase::Replicas => ("replica", true),
    };
    let parts: Vec<&str> = key.split('\n').collect();
    Defect {
        kind: FindingKind::RowUnreadable,
        digest: parts.last().and_then(|part| part.parse().ok()),
        repository_id: parts.first().filter(|_| has_repository).map(|part| (*part).to_owned()),
        detail: format!("the row `{}` of `{table}` cannot be read: {cause}", parts.join(" ")),
    }
}

fn named(digests: &[&Digest]) -> String {
    let shown: Vec<String> = digests.iter().take(MAX_NAMED).map(ToString::to_string).collect();
    let more = digests.len().saturating_sub(MAX_NAMED);
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    shown.join(", ") + &rest
}

#[cfg(test)]
mod tests {
    use hythe_model::Algorithm;

    use super::*;

    fn digest(number: u8) -> Digest {
        Digest::new(Algorithm::Sha256, &[number; 32]).unwrap()
    }

    fn kind(defect: Option<Defect>) -> &'static str {
        defect.map_or("-", |defect| defect.kind.as_str())
    }

    #[test]
    fn links_lead_somewhere_and_are_needed_or_wait() {
        // (repository, blob, needed, in review, what is wrong)
        for (has_repository, has_blob, is_needed, is_in_review, want) in [
            (true, true, true, false, "-"),
            (true, true, false, true, "-"),
            (true, true, true, true, "-"),
            (true, true, false, false, "LINK_UNUSED"),
            (true, false, true, false, "LINK_BROKEN"),
            (false, true, true, false, "LINK_BROKEN"),
        ] {
            let facts = LinkFacts {
                repository_id: "r".into(),
                digest: digest(1),
                has_repository,
                has_blob,
                is_needed,
                is_in_review,
            };
            assert_eq!(kind(link(&facts)), want, "{facts:?}");
        }
    }

    #[test]
    fn bytes_are_where_they_belong_or_will_be() {
        use StorageClass::{Archive, Standard};
        // (where they are, written down as archived, somebody will look, where they belong, what is wrong)
        for (classes, is_archived, is_waiting, belongs, want) in [
            (&[Standard][..], false, false, Some(Standard), "-"),
            (&[Standard], false, false, None, "-"),
            (&[Standard], true, false, None, "-"),
            (&[Archive], true, false, Some(Archive), "-"),
            (&[Archive], true, false, None, "-"),
            (&[Standard, Archive], true, false, Some(Archive), "-"),
            (&[], true, false, Some(Archive), "-"),
            (&[Standard], false, true, Some(Archive), "-"),
            (&[Archive], true, true, Some(Standard), "-"),
            (&[Standard, Archive], false, true, Some(Standard), "-"),
            (&[Standard], false, false, Some(Archive), "BLOB_MISPLACED"),
            (&[Standard], true, false, Some(Archive), "BLOB_MISPLACED"),
            (&[Standard], true, false, Some(Standard), "BLOB_MISPLACED"),
            (&[Archive], true, false, Some(Standard), "BLOB_MISPLACED"),
            (&[Archive], false, false, Some(Standard), "BLOB_MISPLACED"),
            (&[Archive], false, false, Some(Archive), "BLOB_MISPLACED"),
            (&[Archive], false, false, None, "BLOB_MISPLACED"),
            (&[Standard, Archive], false, false, Some(Standard), "BLOB_MISPLACED"),
        ] {
            let facts = TierFacts {
                is_archived,
                is_waiting,
                belongs,
            };
            assert_eq!(kind(tier(digest(1), classes, facts)), want, "{classes:?} {facts:?}");
        }
    }

    #[test]
    fn bytes_are_known_to_a_row_a_session_or_a_review() {
        for (has_row, is_sealed, is_in_review, want) in [
            (true, false, false, "-"),
            (false, true, false, "-"),
            (false, false, true, "-"),
            (false, false, false, "BLOB_ORPHANED"),
        ] {
            let known = DigestFacts {
                has_row,
                is_sealed,
                is_in_review,
            };
            assert_eq!(kind(file(digest(1), known)), want, "{known:?}");
        }
    }

    #[test]
    fn tags_point_where_their_history_says() {
        for (has_image, last_move, want) in [
            (true, Some(1), "-"),
            (false, Some(1), "TAG_BROKEN"),
            (true, Some(2), "TAG_BROKEN"),
            (true, None, "TAG_BROKEN"),
        ] {
            let facts = TagFacts {
                repository_id: "r".into(),
                name: "v1".into(),
                digest: digest(1),
                has_image,
                last_move: last_move.map(digest),
            };
            assert_eq!(kind(tag(&facts)), want, "{facts:?}");
        }
    }

    #[test]
    fn what_is_written_down_is_what_the_manifest_says() {
        let text = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"a/b","digest":"{}","size":1}},"layers":[]}}"#,
            digest(7)
        );
        let facts = |blobs: &[u8], children: &[u8]| ImageFacts {
            media_type: hythe_model::MediaType::OCI_MANIFEST.to_owned(),
            manifest: text.clone().into(),
            blobs: blobs.iter().copied().map(digest).collect(),
            children: children.iter().copied().map(digest).collect(),
        };
        // (blobs, children, what is wrong)
        for (blobs, children, want) in [
            (&[7][..], &[][..], 0),
            (&[], &[], 1),
            (&[7, 8], &[], 1),
            (&[8], &[9], 3),
        ] {
            let found = image("r", digest(1), digest(1), &facts(blobs, children));
            assert_eq!(found.len(), want, "{found:?}");
            assert!(found.iter().all(|defect| defect.kind == FindingKind::ReferencesDiffer));
        }
        let damaged = image("r", digest(1), digest(2), &facts(&[7], &[]));
        assert_eq!(damaged.len(), 1);
        assert_eq!(damaged[0].kind, FindingKind::ManifestDamaged);
        let mut unreadable = facts(&[7], &[]);
        unreadable.manifest = "no JSON".into();
        assert_eq!(
            image("r", digest(1), digest(1), &unreadable)[0].kind,
            FindingKind::ManifestDamaged
        );
    }
}
