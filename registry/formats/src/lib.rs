// SPDX-License-Identifier: Apache-2.0
//! The forms of a manifest: which one a client wants, and how one becomes another.
//!
//! [`Form::wanted`] decides from `Accept`; [`to_oci`] and [`to_docker`] rewrite media types; [`Downgrade`] makes Docker
//! schema 1 for engines that know nothing newer, which a [`Signer`] signs; [`verify`] checks the signatures of a
//! schema 1 manifest that is pushed.
//!
//! Invariants:
//! - Everything here is a pure function of its arguments: the same input gives the same bytes, in every process. A
//!   [`Signer`] is an argument; its own key is all that is random.
//! - What cannot be translated without loss is an error, never a guess.
//! - No input panics; work and memory are bounded by [`hythe_model::MAX_MANIFEST_BYTES`] and the constants here.
//!
//! Absent on purpose: whether a translation may be given out, and finding it again (`hythe-distribution`); what a
//! registry has to know of a manifest (`hythe-model`).

mod downgrade;
mod form;
mod jws;
mod key;
mod rewrite;
mod signer;

pub use downgrade::{Downgrade, EMPTY_LAYER, EMPTY_LAYER_DIGEST, MAX_CONFIG_BYTES};
pub use form::{Accept, Form};
pub use jws::{MAX_SIGNATURES, SignatureError, verify};
pub use rewrite::{to_docker, to_oci};
pub use signer::{Signer, SignerError};

/// Why a manifest cannot take another form; it is served as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not translatable: {0}")]
pub struct Untranslatable(pub &'static str);
