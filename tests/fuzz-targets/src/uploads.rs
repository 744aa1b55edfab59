// SPDX-License-Identifier: Apache-2.0
//! The state of uploads: the hash as it stands in a row, the row itself, and the header of a blob's file.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use hythe_blobs::fuzzing::{HEADER_BYTES, read_header, write_header};
use hythe_blobs::{BlobStore as _, Hasher};
use hythe_catalog::{UploadCatalog as _, UploadState};
use hythe_model::{Algorithm, UploadId};
use sha2::{Digest as _, Sha256};

use crate::plane::{REPOSITORY, on_plane, path};

/// The first byte says what the rest is: a state, a content with its cuts, a header, or a row.
pub fn uploads(input: &[u8]) {
    let Some((kind, rest)) = input.split_first() else {
        return;
    };
    match kind % 4 {
        0 => state(rest),
        1 => cuts(rest),
        2 => blob_header(rest),
        _ => row(rest),
    }
}

/// A state that is taken up can be written down, and goes on as the same hash.
fn state(bytes: &[u8]) {
    let Ok(hasher) = Hasher::from_state(bytes) else { return };
    let written = hasher.to_state();
    assert!(written.len() <= 256);
    let mut again = Hasher::from_state(&written).expect("what was written can be read");
    let mut hasher = hasher;
    assert_eq!(again.bytes(), hasher.bytes());
    for content in [&b"more"[..], &[0; 200]] {
        hasher.update(content);
        again.update(content);
        assert_eq!(again.finish(), hasher.finish());
    }
}

/// A hash that is written down and taken up at every cut is the hash of the whole.
fn cuts(bytes: &[u8]) {
    let Some((choice, content)) = bytes.split_first() else {
        return;
    };
    let algorithm = if choice % 2 == 0 {
        Algorithm::Sha256
    } else {
        Algorithm::Sha512
    };
    let mut whole = Hasher::new(algorithm);
    whole.update(content);
    let mut hasher = Hasher::new(algorithm);
    let mut rest = content;
    while let Some((length, _)) = rest.split_first() {
        let (part, tail) = rest.split_at(rest.len().min(usize::from(*length) + 1));
        hasher.update(part);
        hasher = Hasher::from_state(&hasher.to_state()).expect("what was written can be read");
        rest = tail;
    }
    assert_eq!(hasher.finish(), whole.finish());
    assert_eq!(hasher.bytes(), content.len() as u64);
    assert_eq!(hasher.to_state(), whole.to_state());
}

/// A header as it came, and with a checksum that agrees, which no fuzzer guesses.
fn blob_header(bytes: &[u8]) {
    let mut header = [0; HEADER_BYTES];
    header.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    let mut summed = header;
    let (content, sum) = summed.split_at_mut(HEADER_BYTES - 32);
    sum.copy_from_slice(&Sha256::digest(&*content));
    for header in [header, summed] {
        let Some((digest, size)) = read_header(&header) else {
            continue;
        };
        let again = write_header(digest, size);
        let again = again.first_chunk().expect("a header has a page");
        assert_eq!(read_header(again), Some((digest, size)));
    }
}

/// Whatever a row says: the session goes on, or is refused; nothing is taken for a blob that it is not.
fn row(bytes: &[u8]) {
    let (counted, hash_state) = bytes.split_at(bytes.len().min(8));
    let mut number = [0; 8];
    number.iter_mut().zip(counted).for_each(|(to, from)| *to = *from);
    let state = UploadState::Stored {
        bytes: u64::from_le_bytes(number),
        hash_state: Bytes::copy_from_slice(hash_state),
    };
    on_plane(async |plane| {
        let (repository, id) = (path(REPOSITORY), UploadId::generate());
        let expiry = plane.now + jiff::SignedDuration::from_hours(1);
        let catalog = &plane.catalog;
        catalog
            .begin_upload(&repository, id, Algorithm::Sha256, expiry)
            .await
            .unwrap();
        catalog.advance_upload(&repository, id, 0, state, expiry).await.unwrap();
        let session = format!("/v2/{REPOSITORY}/blobs/uploads/{id}");
        let digest = crate::requests::digest(MORE);
        plane.send(ask(Method::GET, &session, b"")).await;
        plane.send(ask(Method::PATCH, &session, MORE)).await;
        let finished = plane
            .send(ask(Method::PUT, &format!("{session}?digest={digest}"), b""))
            .await;
        if finished.status == 201 {
            let blob = plane
                .send(ask(Method::GET, &format!("/v2/{REPOSITORY}/blobs/{digest}"), b""))
                .await;
            assert_eq!(blob.body, MORE, "these bytes do not hash to their name");
        }
        plane.send(ask(Method::DELETE, &session, b"")).await;
        // No state reaches the next input.
        plane.blobs.abandon(id).await.unwrap();
        let lock = plane.blobs.lock_deletion(&digest).await.unwrap();
        plane.blobs.delete(lock).await.unwrap();
    });
}

const MORE: &[u8] = b"more";

fn ask(method: Method, target: &str, body: &'static [u8]) -> Request<Body> {
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = method;
    *request.uri_mut() = target.parse().unwrap();
    let _ = request
        .headers_mut()
        .insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer admin"));
    request
}
