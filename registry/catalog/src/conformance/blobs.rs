// SPDX-License-Identifier: Apache-2.0
//! Blobs and their links.

use super::*;
use crate::{BlobRecord, CatalogError, Unlinked};

/// Runs every case of this module.
pub async fn all(fixture: &dyn Fixture) {
    a_linked_blob_is_read_back(fixture).await;
    linking_needs_a_repository(fixture).await;
    linking_ends_the_session(fixture).await;
    linking_again_changes_nothing(fixture).await;
    linking_again_replaces_bytes_that_have_changed(fixture).await;
    a_blob_is_visible_only_where_it_is_linked(fixture).await;
    mounting_links_what_the_source_links(fixture).await;
    sources_are_the_repositories_of_the_account(fixture).await;
    a_blob_is_unlinked_unless_an_image_needs_it(fixture).await;
}

/// A blob is found with its bytes, or with none if the blob store has them.
pub async fn a_linked_blob_is_read_back(fixture: &dyn Fixture) {
    let (catalog, repository) = (fixture.catalog(), repository(fixture).await);
    let small = new_blob();
    let empty = NewBlob {
        digest: digest_of(b""),
        size: 0,
        inline: Some(Bytes::new()),
        upload: None,
    };
    let binary = Bytes::from([&[0, 0xff, 0x80][..], UploadId::generate().to_string().as_bytes()].concat());
    let binary = NewBlob {
        digest: digest_of(&binary),
        size: binary.len() as u64,
        inline: Some(binary),
        upload: None,
    };
    let sha512 = Digest::new(
        Algorithm::Sha512,
        &[new_blob().digest.hash(), small.digest.hash()].concat(),
    )
    .unwrap();
    let large = NewBlob {
        digest: sha512,
        size: 5_000_000_000,
        inline: None,
        upload: None,
    };
    for blob in [small, empty, binary, large] {
        let (digest, record) = (
            blob.digest,
            BlobRecord {
                size: blob.size,
                inline: blob.inline.clone(),
            },
        );
        catalog.link_blob(&repository, blob, at(0)).await.unwrap();
        assert_eq!(catalog.blob(&repository, &digest).await.unwrap(), Some(record));
    }
    assert_eq!(catalog.blob(&repository, &new_blob().digest).await.unwrap(), None);
}

/// There are no blobs without a repository.
pub async fn linking_needs_a_repository(fixture: &dyn Fixture) {
    let (catalog, nowhere, blob) = (fixture.catalog(), path("000000000000"), new_blob());
    let digest = blob.digest;
    let linked = catalog.link_blob(&nowhere, blob, at(0)).await;
    assert!(
        matches!(&linked, Err(CatalogError::RepositoryUnknown(path)) if *path == nowhere),
        "{linked:?}"
    );
    assert_eq!(catalog.blob(&nowhere, &digest).await.unwrap(), None);
    assert!(catalog.blob_sources(&nowhere, &digest, 10).await.unwrap().is_empty());
}

/// Bytes that a disk has changed are other bytes than the next push brings, and all repositories read these then.
pub async fn linking_again_replaces_bytes_that_have_changed(fixture: &dyn Fixture) {
    let catalog = fixture.catalog();
    let (repository, other) = (repository(fixture).await, self::repository(fixture).await);
    let good = new_blob();
    let bytes = good.inline.clone().unwrap();
    let damaged = NewBlob {
        size: good.size - 1,
        inline: Some(bytes.slice(1..)),
        ..good.clone()
    };
    catalog.link_blob(&repository, damaged, at(0)).await.unwrap();
    let read = catalog.blob(&repository, &good.digest).await.unwrap().unwrap();
    assert_eq!(read.inline, Some(bytes.slice(1..)));
    let record = BlobRecord {
        size: good.size,
        inline: Some(bytes),
    };
    catalog.link_blob(&other, good.clone(), at(1)).await.unwrap();
    for repository in [&repository, &other] {
        let read = catalog.blob(repository, &good.digest).await.unwrap();
        assert_eq!(read.as_ref(), Some(&record));
    }
}

/// The session that brought a blob ends with the link; without it nothing is linked.
pub async fn linking_ends_the_session(fixture: &dyn Fixture) {
    let (catalog, repository, id) = (fixture.catalog(), repository(fixture).await, UploadId::generate());
    catalog
        .begin_upload(&repository, id, Algorithm::Sha256, at(60))
        .await
        .unwrap();
    let blob = NewBlob {
        upload: Some(id),
        ..new_blob()
    };
    catalog.link_blob(&repository, blob.clone(), at(0)).await.unwrap();
    assert_eq!(catalog.upload(&repository, id, at(0)).await.unwrap(), None);
    assert!(catalog.blob(&repository, &blob.digest).await.unwrap().is_some());

    // Also of a blob that is there: the session is what was asked for.
    let again = catalog.link_blob(&repository, blob, at(0)).await;
    assert!(matches!(again, Err(CatalogError::Conflict)), "{again:?}");
    let other = NewBlob {
        upload: Some(UploadId::generate()),
        ..new_blob()
    };
    let digest = other.digest;
    let linked = catalog.link_blob(&repository, other, at(0)).await;
    assert!(matches!(linked, Err(CatalogError::Conflict)), "{linked:?}");
    assert_eq!(catalog.blob(&repository, &digest).await.unwrap(), None);
}

/// A blob that is known keeps its bytes where they are, whoever brings it again.
pub async fn linking_again_changes_nothing(fixture: &dyn Fixture) {
    let catalog = fixture.catalog();
    let (repository, other) = (repository(fixture).await, self::repository(fixture).await);
    let blob = new_blob();
    let record = BlobRecord {
        size: blob.size,
        inline: blob.inline.clone(),
    };
    catalog.link_blob(&repository, blob.clone(), at(0)).await.unwrap();
    catalog.link_blob(&repository, blob.clone(), at(1)).await.unwrap();
    let elsewhere = NewBlob {
        inline: None,
        ..blob.clone()
    };
    catalog.link_blob(&repository, elsewhere.clone(), at(2)).await.unwrap();
    catalog.link_blob(&other, elsewhere, at(3)).await.unwrap();
    for repository in [&repository, &other] {
        assert_eq!(
            catalog.blob(repository, &blob.digest).await.unwrap().as_ref(),
            Some(&record)
        );
    }
}

/// Another repository does not tell that a blob exists, nor may an image of it use the blob.
pub async fn a_blob_is_visible_only_where_it_is_linked(fixture: &dyn Fixture) {
    let catalog = fixture.catalog();
    let (repository, other) = (repository(fixture).await, self::repository(fixture).await);
    let namesake = RepositoryPath {
        account: "111111111111".parse().unwrap(),
        name: repository.name.clone(),
    };
    fixture.create_repository(&namesake, TagMutability::default()).await;
    let digest = linked_blob(fixture, &repository).await;
    for other in [other, namesake] {
        assert_eq!(catalog.blob(&other, &digest).await.unwrap(), None);
        let stored = put(fixture, &other, &manifest(&[digest]), &[]).await;
        assert!(
            matches!(&stored, Err(PutImageError::BlobsUnknown(blobs)) if *blobs == [digest]),
            "{stored:?}"
        );
    }
    assert!(catalog.blob(&repository, &digest).await.unwrap().is_some());
}

/// Mounting links what the source links, and says so; it is idempotent.
pub async fn mounting_links_what_the_source_links(fixture: &dyn Fixture) {
    let catalog = fixture.catalog();
    let (from, to, nowhere) = (
        repository(fixture).await,
        repository(fixture).await,
        path("000000000000"),
    );
    let digest = linked_blob(fixture, &from).await;
    assert!(
        !catalog.mount_blob(&to, &from, &digest, at(0)).await.unwrap(),
        "the wrong way round"
    );
    assert!(!catalog.mount_blob(&nowhere, &to, &digest, at(0)).await.unwrap());
    assert!(!catalog.mount_blob(&from, &to, &new_blob().digest, at(0)).await.unwrap());
    let mounted = catalog.mount_blob(&from, &nowhere, &digest, at(0)).await;
    assert!(
        matches!(&mounted, Err(CatalogError::RepositoryUnknown(path)) if *path == nowhere),
        "{mounted:?}"
    );
    assert_eq!(catalog.blob(&to, &digest).await.unwrap(), None);

    assert!(catalog.mount_blob(&from, &to, &digest, at(0)).await.unwrap());
    assert!(catalog.mount_blob(&from, &to, &digest, at(1)).await.unwrap());
    let record = catalog.blob(&to, &digest).await.unwrap();
    assert!(record.is_some());
    assert_eq!(record, catalog.blob(&from, &digest).await.unwrap());
    put(fixture, &to, &manifest(&[digest]), &["mounted"]).await.unwrap();
}

/// The sources of a blob are the repositories of the same account that link it, or some of them.
pub async fn sources_are_the_repositories_of_the_account(fixture: &dyn Fixture) {
    let (catalog, asker) = (fixture.catalog(), repository(fixture).await);
    let blob = new_blob();
    assert!(catalog.blob_sources(&asker, &blob.digest, 10).await.unwrap().is_empty());
    let mut sources = Vec::new();
    for _ in 0..3 {
        let source = repository(fixture).await;
        catalog.link_blob(&source, blob.clone(), at(0)).await.unwrap();
        sources.push(source);
    }
    let stranger = path("111111111111");
    fixture.create_repository(&stranger, TagMutability::default()).await;
    catalog.link_blob(&stranger, blob.clone(), at(0)).await.unwrap();
    sources.sort();
    let found = catalog.blob_sources(&asker, &blob.digest, 10).await.unwrap();
    assert_eq!(sorted(found), sources);
    let some = sorted(catalog.blob_sources(&asker, &blob.digest, 2).await.unwrap());
    assert!(
        some.len() == 2 && some[0] != some[1] && some.iter().all(|found| sources.contains(found)),
        "{some:?}"
    );
}

/// Unlinking concerns one repository only, and nothing that an image of it needs.
pub async fn a_blob_is_unlinked_unless_an_image_needs_it(fixture: &dyn Fixture) {
    let catalog = fixture.catalog();
    let (repository, other) = (repository(fixture).await, self::repository(fixture).await);
    let (free, needed) = (
        linked_blob(fixture, &repository).await,
        linked_blob(fixture, &repository).await,
    );
    for digest in [free, needed] {
        assert!(catalog.mount_blob(&repository, &other, &digest, at(0)).await.unwrap());
    }
    let image = manifest(&[needed]);
    put(fixture, &repository, &image, &["v1"]).await.unwrap();
    let unlink = async |from: &RepositoryPath, digest| catalog.unlink_blob(from, &digest, at(1)).await.unwrap();

    assert_eq!(unlink(&repository, needed).await, Unlinked::Needed);
    assert!(catalog.blob(&repository, &needed).await.unwrap().is_some());
    assert_eq!(unlink(&repository, free).await, Unlinked::Done);
    assert_eq!(catalog.blob(&repository, &free).await.unwrap(), None);
    assert_eq!(unlink(&repository, free).await, Unlinked::Unknown);
    assert_eq!(unlink(&repository, new_blob().digest).await, Unlinked::Unknown);
    // Elsewhere nothing has changed, and no image needs it.
    for digest in [free, needed] {
        assert!(catalog.blob(&other, &digest).await.unwrap().is_some());
    }
    assert_eq!(unlink(&other, needed).await, Unlinked::Done);
    assert!(
        catalog.mount_blob(&other, &repository, &free, at(2)).await.unwrap(),
        "linked there"
    );
    assert!(catalog.blob(&repository, &free).await.unwrap().is_some());

    let deleted = catalog.delete_image(&repository, &by_tag("v1"), at(3), PUSHER).await;
    assert!(deleted.unwrap().unwrap().is_image_gone);
    assert_eq!(unlink(&repository, needed).await, Unlinked::Done);
    let nowhere = catalog.unlink_blob(&path("000000000000"), &free, at(4)).await;
    assert!(
        matches!(nowhere, Err(CatalogError::RepositoryUnknown(_))),
        "{nowhere:?}"
    );
}
