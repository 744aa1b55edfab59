// SPDX-License-Identifier: Apache-2.0
//! Manifests and indexes of every format.

use bytes::Bytes;
use hythe_model::{MAX_MANIFEST_BYTES, Manifest, ManifestKind, MediaType};
use serde_json::Value;

use crate::first_line;

/// A configuration with one layer, and an entry without.
const CONFIG: &[u8] = br#"{"history":[{"created_by":"a"},{"empty_layer":true}],"rootfs":{"diff_ids":["sha256:0000000000000000000000000000000000000000000000000000000000000000"]}}"#;

/// The first line is the `Content-Type` (empty: none), the rest the body.
pub fn manifests(input: &[u8]) {
    let at = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (head, body) = input.split_at(at);
    let Some(content_type) = crate::text(head).map(|head| first_line(head).0) else {
        return;
    };
    let content_type = Some(content_type).filter(|text| !text.is_empty());
    let body = Bytes::copy_from_slice(body.get(1..).unwrap_or_default());
    let Ok(manifest) = Manifest::parse(body.clone(), content_type) else {
        return;
    };

    assert_eq!(manifest.bytes(), &body, "the bytes stay as they came");
    assert!(body.len() <= MAX_MANIFEST_BYTES);
    let media_type = manifest.media_type().as_str();
    match manifest.kind() {
        ManifestKind::Image => assert!(manifest.children().is_empty()),
        ManifestKind::Index => assert_eq!(manifest.required_blobs().count(), 0),
    }
    // That it is bytes, or for schema 1 that it is JSON, says nothing.
    let says_something =
        |text: &&str| *text != MediaType::OCTET_STREAM && !(manifest.is_schema1() && *text == MediaType::JSON);
    if let Some(content_type) = content_type.filter(says_something) {
        assert_eq!(media_type, content_type);
    }
    // As it was sent, as its own type, and in another form: the same manifest.
    let again = Manifest::parse(body.clone(), Some(media_type)).expect("it names its own type");
    assert_same(&manifest, &again);
    translate(&manifest);
    assert!(std::str::from_utf8(&body).is_ok(), "JSON is UTF-8");
    // What a member that means nothing holds may be too deep or too large for a value, and is JSON all the same.
    let Ok(value) = serde_json::from_slice::<Value>(&body) else {
        return;
    };
    assert!(value.is_object(), "a manifest is an object");
    let pretty = serde_json::to_vec_pretty(&value).unwrap();
    if pretty.len() <= MAX_MANIFEST_BYTES {
        assert_same(
            &manifest,
            &Manifest::parse(pretty.into(), Some(media_type)).expect("the form makes no difference"),
        );
    }
}

/// What is done with a manifest that was taken: its signatures are checked, and it is given out in other forms.
fn translate(manifest: &Manifest) {
    let bytes = manifest.bytes();
    if manifest.is_schema1() {
        let _ = hythe_formats::verify(bytes, true);
        return;
    }
    let _ = hythe_formats::Downgrade::new(manifest, CONFIG, "team/web", "v1");
    let oci = hythe_formats::to_oci(bytes);
    let there = oci.as_ref().map(|oci| hythe_formats::to_docker(oci));
    if let Ok(Ok(back)) = there {
        // The type is named and comes second, whether or not it was there.
        let mut stored: Value = serde_json::from_slice(bytes).expect("a manifest is JSON");
        let members = stored.as_object_mut().expect("a manifest is an object");
        members.insert("mediaType".into(), MediaType::DOCKER_MANIFEST.into());
        let back: Value = serde_json::from_slice(&back).expect("a translation is JSON");
        assert_eq!(back, stored, "there and back is the same document");
    }
    if let Ok(oci) = oci {
        let parsed = Manifest::parse(oci.into(), None).expect("a translation is a manifest");
        assert!(
            parsed
                .required_blobs()
                .map(|it| it.digest)
                .eq(manifest.required_blobs().map(|it| it.digest))
        );
    }
}

fn assert_same(one: &Manifest, other: &Manifest) {
    assert_eq!(one.media_type(), other.media_type());
    assert_eq!(one.kind(), other.kind());
    assert_eq!(one.children(), other.children());
    assert!(one.required_blobs().eq(other.required_blobs()));
    assert_eq!(one.subject(), other.subject());
    assert_eq!(one.artifact_type(), other.artifact_type());
    assert_eq!(one.annotations(), other.annotations());
}
