// SPDX-License-Identifier: Apache-2.0
//! Which tasks a process takes on: those that are due for longest, of all accounts and destinations that have room.

use std::collections::{BTreeMap, HashMap};

use hythe_model::{AccountId, Region};
use hythe_rules::replication::{ReplicationRule, Wanted, targets};
use jiff::Timestamp;

use super::destination::{self, DestinationRecord, select_destinations};
use super::rule;
use super::task::{ClaimedReplication, ReplicationSubject, ReplicationTask, forget_status, select_tasks};
use crate::session::{Session, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// How often a destination must have failed in a row to be tried with one task at a time.
const TROUBLED: u64 = 3;
/// How often a claim looks again after it has dropped what no rule wants any more.
const MAX_LOOKS: usize = 10;

/// How much one process takes on, shared out so that nobody's backlog holds up what others send.
///
/// An account leaves as many slots free as it has for images, and what it may still have is shared in the same way by its
/// destinations: of 24 slots one destination gets eight when no other has any, and an account twelve. Settings have a part
/// of the slots: a control plane that does not answer holds up neither images nor other control planes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicationSlots {
    /// How many tasks it may claim.
    pub tasks: usize,
    /// How many of these may be about settings.
    pub settings: usize,
    /// How many about the settings of one destination it works on at once, at least one.
    pub settings_each: usize,
    /// What it works on now, by account and destination.
    pub now: BTreeMap<(AccountId, Region), DestinationLoad>,
}

/// How many tasks of one destination a process works on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DestinationLoad {
    /// For images.
    pub images: usize,
    /// For settings.
    pub settings: usize,
}

impl ReplicationSlots {
    fn load(&self, account: &AccountId, name: &Region) -> DestinationLoad {
        let key = (account.clone(), name.clone());
        self.now.get(&key).copied().unwrap_or_default()
    }

    fn images_of(&self, account: &AccountId) -> usize {
        let loads = self.now.iter().filter(|((of, _), _)| of == account);
        loads.map(|(_, load)| load.images).sum()
    }

    /// How many more images may go to a destination: none or, at the least, one.
    fn room_for_images(&self, destination: &DestinationRecord) -> usize {
        let load = self.load(&destination.account, &destination.name);
        let share = self.tasks.saturating_sub(self.images_of(&destination.account));
        let most = if destination.failures >= TROUBLED { 1 } else { share };
        most.min(share).saturating_sub(load.images)
    }

    fn room_for_settings(&self, destination: &DestinationRecord) -> usize {
        let load = self.load(&destination.account, &destination.name);
        let most = self.settings_each.max(1).saturating_sub(load.settings);
        most.min(self.settings).min(self.tasks)
    }

    fn has_room(&self, destination: &DestinationRecord, subject: &ReplicationSubject) -> bool {
        let room = match subject {
            ReplicationSubject::Image { .. } => self.room_for_images(destination),
            ReplicationSubject::Settings => self.room_for_settings(destination),
        };
        room > 0
    }

    fn take(&mut self, destination: &DestinationRecord, subject: &ReplicationSubject) {
        let key = (destination.account.clone(), destination.name.clone());
        let load = self.now.entry(key).or_default();
        self.tasks = self.tasks.saturating_sub(1);
        match subject {
            ReplicationSubject::Image { .. } => load.images += 1,
            ReplicationSubject::Settings => {
                load.settings += 1;
                self.settings = self.settings.saturating_sub(1);
            }
        }
    }
}

/// Something may be due. Nearly always nothing is.
const IS_DUE: &str = "
    SELECT t.id FROM replication_task t
     WHERE NOT t.is_dead AND t.due_ms <= $1
       AND NOT EXISTS (SELECT 1 FROM account a WHERE a.id = t.account_id AND a.is_closed)
     LIMIT 1";
/// What waits for destinations that are not open now waits with them, what accounts that are closed want until they are opened
/// again. Bounded by the number of destinations that accounts may have.
const PLACES: &str = concat!(
    select_destinations!(),
    " d
     WHERE d.open_ms <= $1
       AND NOT EXISTS (SELECT 1 FROM account a WHERE a.id = d.account_id AND a.is_closed)
       AND (EXISTS (SELECT 1 FROM replication_task t
                     WHERE t.account_id = d.account_id AND t.destination = d.name AND NOT t.is_dead AND t.reference <> ''
                       AND t.due_ms <= $1)
         OR EXISTS (SELECT 1 FROM replication_task t
                     WHERE t.account_id = d.account_id AND t.destination = d.name AND NOT t.is_dead AND t.reference = ''
                       AND t.due_ms <= $1))"
);
pub(crate) const DUE_IMAGES: &str = concat!(
    select_tasks!(),
    "
     WHERE account_id = $1 AND destination = $2 AND NOT is_dead AND reference <> '' AND due_ms <= $3
     ORDER BY due_ms LIMIT $4"
);
pub(crate) const DUE_SETTINGS: &str = concat!(
    select_tasks!(),
    "
     WHERE account_id = $1 AND destination = $2 AND NOT is_dead AND reference = '' AND due_ms <= $3
     ORDER BY due_ms LIMIT $4"
);
const TAKE: &str = "
    UPDATE replication_task SET owner = $2, due_ms = $3
     WHERE id = $1 AND NOT is_dead AND due_ms = $4 AND generation = $5 RETURNING id";
/// It may be wanted again meanwhile.
const DROP: &str = "DELETE FROM replication_task WHERE id = $1 AND due_ms = $2 AND generation = $3 RETURNING id";
/// A push may have read a rule that was deleted, with its destination, before the push ended.
const LOST: &str = "
    SELECT id FROM replication_task t
     WHERE NOT EXISTS (SELECT 1 FROM replication_destination d WHERE d.account_id = t.account_id AND d.name = t.destination)
     LIMIT 1";
const DROP_LOST: &str = "
    DELETE FROM replication_task
     WHERE NOT EXISTS (SELECT 1 FROM replication_destination d
                        WHERE d.account_id = replication_task.account_id AND d.name = replication_task.destination)";

impl Store {
    /// Claims tasks that are due, as many as there are slots, until `until`. Those that no rule wants any more are dropped.
    pub async fn claim_replications(
        &self,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
        mut slots: ReplicationSlots,
    ) -> Result<Vec<ClaimedReplication>, StoreError> {
        let mut claimed = Vec::new();
        for _ in 0..MAX_LOOKS {
            // What cannot be taken is not looked at by the writer, for which everybody waits.
            let due = self.due_replications(now, &slots).await?;
            if due.is_empty() {
                break;
            }
            let claim = Claim {
                owner: owner.to_owned(),
                now,
                until,
                due,
                slots,
            };
            let look = self
                .write_committed(Durability::Relaxed, claim, |session, claim| {
                    Box::pin(take(session, claim))
                })
                .await?;
            claimed.extend(look.claimed);
            slots = look.slots;
            if !look.has_dropped {
                break;
            }
        }
        Ok(claimed)
    }

    /// The tasks that are due and that there is room for, those that have been for longest first.
    async fn due_replications(
        &self,
        now: Timestamp,
        slots: &ReplicationSlots,
    ) -> Result<Vec<ReplicationTask>, StoreError> {
        let mut session = self.reader().await?;
        if session.fetch_optional(IS_DUE, values![now]).await?.is_none() {
            return Ok(Vec::new());
        }
        let mut due = Vec::new();
        for row in session.fetch_all(PLACES, values![now]).await? {
            let destination = DestinationRecord::read(&row)?;
            let (account, name) = (&destination.account, destination.name.as_str());
            for (statement, room) in [
                (DUE_IMAGES, slots.room_for_images(&destination)),
                (DUE_SETTINGS, slots.room_for_settings(&destination)),
            ] {
                if room > 0 {
                    let rows = session.fetch_all(statement, values![account, name, now, room]).await?;
                    for row in &rows {
                        due.push(ReplicationTask::read(row)?);
                    }
                }
            }
        }
        due.sort_by_key(|task| task.due_at);
        Ok(due)
    }

    /// Drops tasks for destinations that are gone.
    pub async fn drop_lost_replications(&self) -> Result<(), StoreError> {
        let lost = self.reader().await?.fetch_optional(LOST, values![]).await?;
        if lost.is_some() {
            self.write_one(Durability::Relaxed, DROP_LOST, values![]).await?;
        }
        Ok(())
    }
}

/// What is to be claimed.
#[derive(Clone, Debug)]
struct Claim {
    owner: String,
    now: Timestamp,
    until: Timestamp,
    due: Vec<ReplicationTask>,
    slots: ReplicationSlots,
}

/// What was.
struct Look {
    claimed: Vec<ClaimedReplication>,
    slots: ReplicationSlots,
    has_dropped: bool,
}

async fn take(session: &mut Session, claim: &Claim) -> Result<Look, StoreError> {
    let mut look = Look {
        claimed: Vec::new(),
        slots: claim.slots.clone(),
        has_dropped: false,
    };
    let mut rules: HashMap<AccountId, Vec<ReplicationRule>> = HashMap::new();
    let mut destinations: HashMap<(AccountId, Region), Option<DestinationRecord>> = HashMap::new();
    for task in &claim.due {
        let (account, name) = (&task.repository.account, &task.place.region);
        if !rules.contains_key(account) {
            rules.insert(account.clone(), rule::all(session, account).await?);
        }
        let key = (account.clone(), name.clone());
        if !destinations.contains_key(&key) {
            let found = destination::find(session, account, name).await?;
            destinations.insert(key.clone(), found);
        }
        let rules = rules.get(account).map(Vec::as_slice).unwrap_or_default();
        let destination = destinations.get(&key).and_then(Option::as_ref);
        let (Some(destination), Some(wanted)) = (destination, wanted(rules, task)) else {
            // Its rule was deleted.
            let values = values![&task.id, task.due_at, task.generation];
            if session.fetch_optional(DROP, values).await?.is_some() {
                forget_status(session, task).await?;
                look.has_dropped = true;
            }
            continue;
        };
        if destination.open_at > claim.now || !look.slots.has_room(destination, &task.subject) {
            continue;
        }
        let values = values![&task.id, &claim.owner, claim.until, task.due_at, task.generation];
        if session.fetch_optional(TAKE, values).await?.is_some() {
            look.slots.take(destination, &task.subject);
            look.claimed.push(ClaimedReplication {
                task: ReplicationTask {
                    owner: Some(claim.owner.clone()),
                    ..task.clone()
                },
                destination: destination.clone(),
                wanted,
            });
        }
    }
    Ok(look)
}

/// What rules want done by a task; `None` if nothing.
fn wanted(rules: &[ReplicationRule], task: &ReplicationTask) -> Option<Wanted> {
    let wanted = targets(rules, &task.repository.name, task.path.as_ref()).remove(&task.place)?;
    let is_about_settings = task.subject == ReplicationSubject::Settings;
    (!is_about_settings || !wanted.settings.is_empty()).then_some(wanted)
}
