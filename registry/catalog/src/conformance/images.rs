// SPDX-License-Identifier: Apache-2.0
//! Storing images and pointing tags to them.

use hythe_model::{ExclusionFilter, TagMutabilityMode};

use super::*;
use crate::{CatalogError, MAX_TAGS_PER_IMAGE};

/// Runs every case of this module.
pub async fn all(fixture: &dyn Fixture) {
    an_image_is_read_back_exactly(fixture).await;
    images_need_a_repository(fixture).await;
    images_need_their_blobs(fixture).await;
    layers_that_live_elsewhere_are_not_needed(fixture).await;
    indexes_need_their_children(fixture).await;
    a_subject_need_not_exist(fixture).await;
    images_are_seen_in_their_repository_only(fixture).await;
    pushing_the_same_again_changes_nothing(fixture).await;
    a_moved_tag_leaves_the_old_image_untagged(fixture).await;
    immutable_tags_stay(fixture).await;
    a_refused_push_writes_nothing(fixture).await;
    an_image_has_a_bounded_number_of_tags(fixture).await;
}

/// By digest and by every tag, byte for byte, with its media type.
pub async fn an_image_is_read_back_exactly(fixture: &dyn Fixture) {
    let repository = repository(fixture).await;
    let blob = linked_blob(fixture, &repository).await;
    let pretty = serde_json::to_string_pretty(&manifest(&[blob, blob])).unwrap() + "\n";
    let docker = pretty.replace(MediaType::OCI_MANIFEST, MediaType::DOCKER_MANIFEST);
    let list = index(&[digest_of(pretty.as_bytes())])
        .to_string()
        .replace(MediaType::OCI_INDEX, MediaType::DOCKER_LIST);
    for (text, media_type, name) in [
        (pretty, MediaType::OCI_MANIFEST, "oci"),
        (docker, MediaType::DOCKER_MANIFEST, "docker"),
        (list, MediaType::DOCKER_LIST, "list"),
    ] {
        let bytes = Bytes::from(text);
        let digest = digest_of(&bytes);
        let manifest = Manifest::parse(bytes.clone(), None).unwrap();
        let tags = vec![tag(name), tag(&format!("{name}-2"))];
        let new = NewImage {
            manifest,
            digest,
            tags,
            pushed_at: at(0),
            pushed_by: PUSHER.into(),
        };
        assert!(!is_stored(fixture, &repository, &digest).await);
        assert!(fixture.catalog().put_image(&repository, new).await.unwrap().is_new);
        let record = ImageRecord {
            digest,
            media_type: media_type.parse().unwrap(),
            bytes,
        };
        for reference in [Reference::Digest(digest), by_tag(name), by_tag(&format!("{name}-2"))] {
            assert_eq!(
                image(fixture, &repository, &reference).await.as_ref(),
                Some(&record),
                "{reference}"
            );
        }
    }
    assert_eq!(target(fixture, &repository, "absent").await, None);
    assert_eq!(target(fixture, &repository, "OCI").await, None, "tags differ by case");
}

/// There are no images without a repository.
pub async fn images_need_a_repository(fixture: &dyn Fixture) {
    let nowhere = path("000000000000");
    let stored = put(fixture, &nowhere, &index(&[]), &["v1"]).await;
    let Err(PutImageError::Catalog(CatalogError::RepositoryUnknown(path))) = stored else {
        panic!("{stored:?}")
    };
    assert_eq!(path, nowhere);
    assert_eq!(target(fixture, &nowhere, "v1").await, None);
}

/// Every blob that is not in the repository is named, once.
pub async fn images_need_their_blobs(fixture: &dyn Fixture) {
    let repository = repository(fixture).await;
    let there = linked_blob(fixture, &repository).await;
    let (one, two) = (new_blob(), new_blob());
    let image = manifest(&[one.digest, there, two.digest, two.digest]);
    let stored = put(fixture, &repository, &image, &["v1"]).await;
    let Err(PutImageError::BlobsUnknown(missing)) = stored else {
        panic!("{stored:?}")
    };
    assert_eq!(sorted(missing), sorted([one.digest, two.digest]));
    assert_eq!(target(fixture, &repository, "v1").await, None);
    for blob in [one, two] {
        fixture.catalog().link_blob(&repository, blob, at(0)).await.unwrap();
    }
    assert!(put(fixture, &repository, &image, &["v1"]).await.unwrap().is_new);
}

/// Layers with another place to fetch them from need not be pushed.
pub async fn layers_that_live_elsewhere_are_not_needed(fixture: &dyn Fixture) {
    let repository = repository(fixture).await;
    let mut image = manifest(&[linked_blob(fixture, &repository).await]);
    image["layers"] = json!([{
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "digest": new_blob().digest.to_string(),
        "size": 36,
        "urls": ["https://layers.example.com/base"],
    }]);
    assert!(put(fixture, &repository, &image, &["v1"]).await.unwrap().is_new);
}

/// Every child that is not in the repository is named, once; an index may hold indexes.
pub async fn indexes_need_their_children(fixture: &dyn Fixture) {
    let (repository, other) = (repository(fixture).await, self::repository(fixture).await);
    let (_, there) = stored_image(fixture, &repository, &[]).await;
    let (_, elsewhere) = stored_image(fixture, &other, &["v1"]).await;
    let absent = new_blob().digest;
    let list = index(&[absent, there, elsewhere, absent]);
    let stored = put(fixture, &repository, &list, &["list"]).await;
    let Err(PutImageError::ChildrenUnknown(missing)) = stored else {
        panic!("{stored:?}")
    };
    assert_eq!(sorted(missing), sorted([absent, elsewhere]));
    assert_eq!(target(fixture, &repository, "list").await, None);
    let inner = stored_index(fixture, &repository, &[there], &[]).await;
    let outer = stored_index(fixture, &repository, &[inner, there], &["outer"]).await;
    assert_eq!(target(fixture, &repository, "outer").await, Some(outer));
}

/// A signature may be pushed before what it signs (OCI Distribution Specification 1.1, "Pushing Manifests with Subject").
pub async fn a_subject_need_not_exist(fixture: &dyn Fixture) {
    let repository = repository(fixture).await;
    let mut image = manifest(&[linked_blob(fixture, &repository).await]);
    image["subject"] = descriptor(MediaType::OCI_MANIFEST, &new_blob().digest);
    assert!(put(fixture, &repository, &image, &[]).await.unwrap().is_new);
}

/// Neither by digest nor by tag does another repository show an image.
pub async fn images_are_seen_in_their_repository_only(fixture: &dyn Fixture) {
    let (repository, other) = (repository(fixture).await, self::repository(fixture).await);
    let (_, digest) = stored_image(fixture, &repository, &["v1"]).await;
    assert_eq!(target(fixture, &other, "v1").await, None);
    assert!(!is_stored(fixture, &other, &digest).await);
}

/// On a mutable repository a retried push succeeds, and says that nothing is new.
pub async fn pushing_the_same_again_changes_nothing(fixture: &dyn Fixture) {
    let repository = repository(fixture).await;
    let (manifest, digest) = stored_image(fixture, &repository, &["v1"]).await;
    assert!(!put(fixture, &repository, &manifest, &["v1"]).await.unwrap().is_new);
    assert!(!put(fixture, &repository, &manifest, &[]).await.unwrap().is_new);
    assert_eq!(all_tags(fixture, &repository).await, ["v1"]);
    assert!(
        !put(fixture, &repository, &manifest, &["v2", "v1", "v2"])
            .await
            .unwrap()
            .is_new
    );
    assert_eq!(all_tags(fixture, &repository).await, ["v1", "v2"]);
    assert_eq!(target(fixture, &repository, "v2").await, Some(digest));
}

/// A tag that is pushed again points to the new image; the old one stays, found by digest.
pub async fn a_moved_tag_leaves_the_old_image_untagged(fixture: &dyn Fixture) {
    let repository = repository(fixture).await;
    let (manifest, old) = stored_image(fixture, &repository, &["latest"]).await;
    let (_, new) = stored_image(fixture, &repository, &["latest", "v2"]).await;
    assert_eq!(target(fixture, &repository, "latest").await, Some(new));
    assert!(is_stored(fixture, &repository, &old).await);
    // And back: an image that is there already takes its tag again.
    assert!(!put(fixture, &repository, &manifest, &["latest"]).await.unwrap().is_new);
    assert_eq!(target(fixture, &repository, "latest").await, Some(old));
    assert_eq!(target(fixture, &repository, "v2").await, Some(new));
    assert_eq!(all_tags(fixture, &repository).await, ["latest", "v2"]);
}

/// In each of the four modes: which tags may be pushed again. A tag that may not move is refused even if it
/// points to this image already (ECR); a new tag for an image that is there is always allowed.
pub async fn immutable_tags_stay(fixture: &dyn Fixture) {
    let filters = || ["dev-*".parse::<ExclusionFilter>().unwrap()];
    let cases = [
        (TagMutability::default(), &["v1", "dev-1"][..]),
        (TagMutability::new(TagMutabilityMode::Immutable, []).unwrap(), &[]),
        (
            TagMutability::new(TagMutabilityMode::ImmutableWithExclusion, filters()).unwrap(),
            &["dev-1"],
        ),
        (
            TagMutability::new(TagMutabilityMode::MutableWithExclusion, filters()).unwrap(),
            &["v1"],
        ),
    ];
    for (mutability, movable) in cases {
        let mode = mutability.mode();
        let repository = path("000000000000");
        fixture.create_repository(&repository, mutability).await;
        let (first, digest) = stored_image(fixture, &repository, &["v1", "dev-1"]).await;
        let second = manifest(&[linked_blob(fixture, &repository).await]);
        for name in ["v1", "dev-1"] {
            for again in [&first, &second] {
                let stored = put(fixture, &repository, again, &["fresh", name]).await;
                if movable.contains(&name) {
                    stored.unwrap();
                    fixture
                        .catalog()
                        .delete_image(&repository, &by_tag("fresh"), at(1), PUSHER)
                        .await
                        .unwrap();
                } else {
                    let Err(error @ PutImageError::TagImmutable { .. }) = stored else {
                        panic!("{mode:?}: {stored:?}")
                    };
                    let text = format!(
                        "The image tag '{name}' already exists in the '{}' repository and cannot be overwritten \
                         because the tag is immutable.",
                        repository.name
                    );
                    assert_eq!(error.to_string(), text, "{mode:?}");
                    assert_eq!(target(fixture, &repository, name).await, Some(digest), "{mode:?}");
                    assert_eq!(target(fixture, &repository, "fresh").await, None, "{mode:?}");
                }
            }
        }
        put(fixture, &repository, &first, &["v2", "dev-2"]).await.unwrap();
        assert_eq!(target(fixture, &repository, "v2").await, Some(digest), "{mode:?}");
        // Immutability does not keep a tag from being deleted, and then pushed again.
        fixture
            .catalog()
            .delete_image(&repository, &by_tag("v1"), at(1), PUSHER)
            .await
            .unwrap()
            .unwrap();
        put(fixture, &repository, &second, &["v1"]).await.unwrap();
        assert_eq!(
            target(fixture, &repository, "v1").await,
            Some(digest_of(second.to_string().as_bytes())),
            "{mode:?}"
        );
    }
}

/// A push that fails for one reason leaves neither the image nor any of its tags.
pub async fn a_refused_push_writes_nothing(fixture: &dyn Fixture) {
    let repository = path("000000000000");
    let immutable = TagMutability::new(TagMutabilityMode::Immutable, []).unwrap();
    fixture.create_repository(&repository, immutable).await;
    stored_image(fixture, &repository, &["taken"]).await;
    let refused = manifest(&[linked_blob(fixture, &repository).await]);
    let stored = put(fixture, &repository, &refused, &["a", "taken", "z"]).await;
    assert!(matches!(stored, Err(PutImageError::TagImmutable { .. })), "{stored:?}");
    assert!(!is_stored(fixture, &repository, &digest_of(refused.to_string().as_bytes())).await);
    assert_eq!(all_tags(fixture, &repository).await, ["taken"]);
}

/// The last allowed tag is taken, the next is refused, and tags that are there may be pushed again.
pub async fn an_image_has_a_bounded_number_of_tags(fixture: &dyn Fixture) {
    let repository = repository(fixture).await;
    let image = manifest(&[linked_blob(fixture, &repository).await]);
    let names: Vec<_> = (0..MAX_TAGS_PER_IMAGE).map(|n| format!("t{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    for part in names.chunks(250) {
        put(fixture, &repository, &image, part).await.unwrap();
    }
    let stored = put(fixture, &repository, &image, &["t0", "one-more"]).await;
    assert!(matches!(stored, Err(PutImageError::TooManyTags)), "{stored:?}");
    assert_eq!(target(fixture, &repository, "one-more").await, None);
    put(fixture, &repository, &image, &["t0"]).await.unwrap();
    let (_, other) = stored_image(fixture, &repository, &["t0"]).await;
    put(fixture, &repository, &image, &["one-more"]).await.unwrap();
    assert_eq!(target(fixture, &repository, "t0").await, Some(other));
    assert_eq!(all_tags(fixture, &repository).await.len(), MAX_TAGS_PER_IMAGE + 1);
}
