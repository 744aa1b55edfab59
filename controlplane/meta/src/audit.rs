// SPDX-License-Identifier: Apache-2.0
//! The audit log: who did what, and who was refused what.
//!
//! The record of a change is written in the transaction of the change: [`crate::Store`] sees in which request a
//! transaction runs ([`hythe_access::Trail`]) and adds the record before it commits, if the transaction has changed
//! anything. All other records come in batches ([`crate::Store::seal_audit_events`]), which also give the records of
//! changes their place in the chain. So one node at a time moves the end of the chain, once in a while, and no push
//! waits for it.
//!
//! INVARIANT: the sequence numbers of sealed records have no gaps, and each record's hash covers all before it.

mod also;
mod answers;
mod append;
mod chain;
mod list;
mod record;
mod retention;
mod run;
mod seal;
mod setting;
mod verify;

pub use append::NewAuditRecords;
pub use chain::{Auditor, ChainPosition, Sign};
pub use list::{AuditEventKey, AuditFilter, AuditPage, AuditRecord, AuditTail};
pub use run::{MAX_RUN_MILLIS, MAX_RUN_RECORDS, Member as AuditMember};
pub use seal::{MAX_UNSEALED_BATCH, Sealing};
pub use setting::{AuditSettings, PutAuditSettingsError};
pub use verify::{AuditFinding, AuditVerification};

pub(crate) use append::{Recording, insert};
pub(crate) use list::STATEMENTS as LIST_STATEMENTS;
pub(crate) use record::Changes;
pub(crate) use run::new_id;
