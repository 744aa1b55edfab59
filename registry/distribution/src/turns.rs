// SPDX-License-Identifier: Apache-2.0
//! Shares of something bounded, handed out fairly: no tenant can take all of it, and whoever has least is next.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hythe_model::{AccountId, host_network};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::oneshot;

/// Whoever counts as one when turns are shared out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Tenant {
    /// Everybody who acts for an account.
    Account(AccountId),
    /// Callers without credentials, by where they come from.
    Address(IpAddr),
    /// Callers without credentials whose address is not known.
    Unknown,
}

impl Tenant {
    /// An anonymous caller.
    pub(crate) fn anonymous(address: Option<IpAddr>) -> Self {
        address.map_or(Self::Unknown, |address| Self::Address(host_network(address)))
    }
}

/// There was no turn in time, or too many wait for one already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoTurn;

/// The size of a pool of turns, and how it is shared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// How many units there are.
    pub(crate) units: u64,
    /// The most that one tenant may hold at once while there are others, in percent; at least one unit.
    pub(crate) share_percent: u64,
    /// The most that wait at once; of one tenant, the same share.
    pub(crate) max_waiting: usize,
}

/// The most that a tenant may hold that is alone, in percent, if its share is less: whoever comes next finds room at once,
/// and until it is down to its share again, nothing more goes to the first.
const LONE_SHARE_PERCENT: u64 = 90;

/// What is counted of a pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Units that are taken.
    pub(crate) taken: Gauge,
    /// Those who got none.
    pub(crate) refused: Counter,
}

/// A pool of units that requests take for as long as they need them. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    units: u64,
    share: u64,
    lone_share: u64,
    max_waiting: usize,
    max_waiting_of_one: usize,
    counts: Counts,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: u64,
    waiting: usize,
    next_ticket: u64,
    // INVARIANT: whoever is in here holds units or waits, so that this does not grow with those who came by.
    tenants: HashMap<Tenant, Holding>,
}

#[derive(Debug, Default)]
struct Holding {
    taken: u64,
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    units: u64,
    call: oneshot::Sender<Turn>,
}

impl Turns {
    pub(crate) fn new(size: Size, counts: Counts) -> Self {
        let units = size.units.max(1);
        let part = |percent: u64| (units.saturating_mul(percent) / 100).clamp(1, units);
        let share = part(size.share_percent);
        let percent = usize::try_from(size.share_percent).unwrap_or(100);
        Self(Arc::new(Pool {
            units,
            share,
            lone_share: part(LONE_SHARE_PERCENT).max(share),
            max_waiting: size.max_waiting,
            max_waiting_of_one: (size.max_waiting.saturating_mul(percent) / 100).clamp(1, size.max_waiting.max(1)),
            counts,
            state: Mutex::default(),
        }))
    }

    /// Takes units at once, or not at all. Nobody is passed who waits and could go on.
    pub(crate) fn try_take(&self, tenant: &Tenant, units: u64) -> Result<Turn, NoTurn> {
        let units = units.min(self.0.share);
        let turn = self.0.lock().take(&self.0, tenant, units);
        turn.inspect_err(|_| {
            self.0.counts.refused.inc();
        })
    }

    /// Takes units, and waits for them for at most `patience`. More than a tenant may hold is cut to that.
    pub(crate) async fn take(&self, tenant: &Tenant, units: u64, patience: Duration) -> Result<Turn, NoTurn> {
        let units = units.min(self.0.share);
        let refuse = || {
            self.0.counts.refused.inc();
            NoTurn
        };
        let (call, called) = oneshot::channel();
        let waiting = {
            let mut state = self.0.lock();
            if let Ok(turn) = state.take(&self.0, tenant, units) {
                return Ok(turn);
            }
            if state.waiting >= self.0.max_waiting || state.is_queue_full(&self.0, tenant) {
                drop(state);
                return Err(refuse());
            }
            let ticket = state.wait(tenant, units, call);
            Waiting {
                pool: &self.0,
                tenant,
                ticket,
            }
        };
        let outcome = tokio::time::timeout(patience, called).await;
        drop(waiting);
        match outcome {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(refuse()),
        }
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls those who wait, as long as there is room: first the tenant that holds least, and of those the one
    /// that has waited longest.
    fn call(self: &Arc<Self>) {
        loop {
            let mut state = self.lock();
            let next = state
                .tenants
                .iter()
                .filter_map(|(tenant, holding)| {
                    let first = holding.waiting.front()?;
                    let has_share = holding.taken + first.units <= state.share_of(self, tenant);
                    has_share.then_some((tenant, (holding.taken, first.ticket)))
                })
                .min_by_key(|(_, rank)| *rank);
            let Some(tenant) = next.map(|(tenant, _)| tenant.clone()) else {
                return;
            };
            let Some(waiter) = state.called(self, &tenant) else {
                return;
            };
            let turn = state.hand_out(self, &tenant, waiter.units);
            drop(state);
            // One that has stopped waiting gives the turn back, with the lock free.
            let _given_back = waiter.call.send(turn);
        }
    }
}

impl State {
    /// The most that a tenant may hold now: its share while others hold something or wait, nearly all while it is alone.
    fn share_of(&self, pool: &Pool, tenant: &Tenant) -> u64 {
        let others = self.tenants.len() - usize::from(self.tenants.contains_key(tenant));
        if others == 0 { pool.lone_share } else { pool.share }
    }

    fn take(&mut self, pool: &Arc<Pool>, tenant: &Tenant, units: u64) -> Result<Turn, NoTurn> {
        let held = self.tenants.get(tenant).map_or(0, |holding| holding.taken);
        // Whoever waits although there is room waits for his own share, so that passing him takes nothing from him.
        let is_somebody_next = self.waiting > 0
            && self.tenants.iter().any(|(tenant, holding)| {
                let first = holding.waiting.front();
                first.is_some_and(|first| holding.taken + first.units <= self.share_of(pool, tenant))
            });
        if is_somebody_next || self.taken + units > pool.units || held + units > self.share_of(pool, tenant) {
            return Err(NoTurn);
        }
        Ok(self.hand_out(pool, tenant, units))
    }

    fn hand_out(&mut self, pool: &Arc<Pool>, tenant: &Tenant, units: u64) -> Turn {
        self.taken += units;
        self.tenants.entry(tenant.clone()).or_default().taken += units;
        pool.counts.taken.inc_by(i64::try_from(units).unwrap_or(i64::MAX));
        Turn {
            pool: Arc::clone(pool),
            tenant: tenant.clone(),
            units,
        }
    }

    fn wait(&mut self, tenant: &Tenant, units: u64, call: oneshot::Sender<Turn>) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting += 1;
        let holding = self.tenants.entry(tenant.clone()).or_default();
        holding.waiting.push_back(Waiter { ticket, units, call });
        ticket
    }

    /// Whether a tenant has its share of those who wait, so that others find a place in the queue too.
    fn is_queue_full(&self, pool: &Pool, tenant: &Tenant) -> bool {
        let waiting = self.tenants.get(tenant).map_or(0, |holding| holding.waiting.len());
        waiting >= pool.max_waiting_of_one
    }

    /// Removes the first of a tenant from those who wait, if there is room for it.
    fn called(&mut self, pool: &Pool, tenant: &Tenant) -> Option<Waiter> {
        let holding = self.tenants.get_mut(tenant)?;
        let first = holding.waiting.front()?;
        if self.taken + first.units > pool.units {
            return None; // nobody smaller goes first, or this one would wait for good
        }
        self.waiting -= 1;
        holding.waiting.pop_front()
    }

    fn forget_if_idle(&mut self, tenant: &Tenant) {
        let is_idle = |holding: &Holding| holding.taken == 0 && holding.waiting.is_empty();
        if self.tenants.get(tenant).is_some_and(is_idle) {
            self.tenants.remove(tenant);
        }
    }
}

/// A place among those who wait, given up when it is dropped.
struct Waiting<'a> {
    pool: &'a Arc<Pool>,
    tenant: &'a Tenant,
    ticket: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        if let Some(holding) = state.tenants.get_mut(self.tenant) {
            let before = holding.waiting.len();
            holding.waiting.retain(|waiter| waiter.ticket != self.ticket);
            let gone = before - holding.waiting.len();
            state.waiting -= gone;
            state.forget_if_idle(self.tenant);
            drop(state);
            if gone > 0 {
                // It may have stood before others that fit.
                self.pool.call();
            }
        }
    }
}

/// Units that are taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    pool: Arc<Pool>,
    tenant: Tenant,
    units: u64,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        state.taken -= self.units;
        if let Some(holding) = state.tenants.get_mut(&self.tenant) {
            holding.taken -= self.units;
        }
        state.forget_if_idle(&self.tenant);
        let is_anybody_waiting = state.waiting > 0;
        drop(state);
        self.pool
            .counts
            .taken
            .dec_by(i64::try_from(self.units).unwrap_or(i64::MAX));
        if is_anybody_waiting {
            self.pool.call();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    fn turns(units: u64, share_percent: u64) -> Turns {
        let size = Size {
            units,
            share_percent,
            max_waiting: 8,
        };
        Turns::new(size, Counts::default())
    }

    fn tenant(number: u8) -> Tenant {
        Tenant::anonymous(Some([127, 0, 0, number].into()))
    }

    #[tokio::test]
    async fn a_share_binds_only_while_there_are_others() {
        let turns = turns(20, 50);
        let (a, b) = (tenant(1), tenant(2));
        // Alone, nearly all; something is left for whoever comes.
        let mut held: Vec<Turn> = (0..18).map(|_| turns.try_take(&a, 1).unwrap()).collect();
        assert!(turns.try_take(&a, 1).is_err());
        let other = turns.try_take(&b, 1).unwrap();
        // No longer alone, it gets nothing before it is below its share.
        held.truncate(10);
        assert!(turns.try_take(&a, 1).is_err());
        held.pop();
        held.push(turns.try_take(&a, 1).unwrap());
        // The other gets its share of what is free now.
        let more: Vec<Turn> = (0..9).map(|_| turns.try_take(&b, 1).unwrap()).collect();
        assert!(turns.try_take(&b, 1).is_err());
        let mut waiting = Box::pin(turns.take(&a, 1, LONG));
        assert!(waiting.as_mut().now_or_never().is_none());
        // Once the other has gone, it is called at once.
        drop((other, more));
        assert!(waiting.as_mut().now_or_never().is_some());
        drop(held);
        assert!(turns.0.lock().tenants.is_empty());
    }

    #[tokio::test]
    async fn one_tenant_leaves_a_part_to_others() {
        let turns = turns(4, 75);
        let (a, b) = (tenant(1), tenant(2));
        let mut held: Vec<Turn> = (0..3).map(|_| turns.try_take(&a, 1).unwrap()).collect();
        assert!(turns.try_take(&a, 1).is_err());
        let other = turns.try_take(&b, 1).unwrap();
        assert!(turns.try_take(&b, 1).is_err());
        assert_eq!(turns.0.counts.taken.get(), 4);
        assert_eq!(turns.0.counts.refused.get(), 2);
        held.pop();
        assert!(turns.try_take(&a, 1).is_ok());
        drop((held, other));
        assert_eq!(turns.0.counts.taken.get(), 0);
        assert!(turns.0.lock().tenants.is_empty());
    }

    #[tokio::test]
    async fn whoever_holds_least_is_next() {
        let turns = turns(2, 100);
        let (a, b) = (tenant(1), tenant(2));
        let first = turns.try_take(&a, 1).unwrap();
        let second = turns.try_take(&a, 1).unwrap();
        let mut again = Box::pin(turns.take(&a, 1, LONG));
        let mut other = Box::pin(turns.take(&b, 1, LONG));
        assert!(again.as_mut().now_or_never().is_none());
        assert!(other.as_mut().now_or_never().is_none());
        drop(first);
        let other = other.as_mut().now_or_never().unwrap().unwrap();
        assert!(again.as_mut().now_or_never().is_none());
        drop(second);
        let again = again.as_mut().now_or_never().unwrap().unwrap();
        drop((again, other));
        assert!(turns.0.lock().tenants.is_empty());
    }

    #[tokio::test]
    async fn a_large_one_is_not_passed_by_small_ones_for_good() {
        let turns = turns(10, 100);
        let (a, b) = (tenant(1), tenant(2));
        let held = turns.try_take(&a, 4).unwrap();
        let mut large = Box::pin(turns.take(&b, 8, LONG));
        assert!(large.as_mut().now_or_never().is_none());
        assert!(turns.try_take(&a, 1).is_err());
        drop(held);
        assert!(large.as_mut().now_or_never().unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_and_leaves_nothing_behind() {
        let turns = turns(1, 100);
        let (a, b) = (tenant(1), tenant(2));
        let held = turns.try_take(&a, 1).unwrap();
        assert_eq!(turns.take(&b, 1, Duration::from_secs(1)).await.unwrap_err(), NoTurn);
        // One that is dropped while it waits does not count either.
        let mut dropped = Box::pin(turns.take(&b, 1, LONG));
        assert!(dropped.as_mut().now_or_never().is_none());
        assert_eq!(turns.0.lock().waiting, 1);
        drop(dropped);
        assert_eq!(turns.0.lock().waiting, 0);
        // One that is dropped after it was called gives its turn back.
        let mut called = Box::pin(turns.take(&b, 1, LONG));
        assert!(called.as_mut().now_or_never().is_none());
        drop(held);
        drop(called);
        assert!(turns.0.lock().tenants.is_empty());
        assert_eq!(turns.0.counts.taken.get(), 0);
        assert!(turns.try_take(&a, 1).is_ok());
    }

    #[tokio::test]
    async fn the_queue_is_bounded() {
        let turns = turns(1, 100);
        let (a, b) = (tenant(1), tenant(2));
        let _held = turns.try_take(&a, 1).unwrap();
        let mut waiting: Vec<_> = (0..8).map(|_| Box::pin(turns.take(&a, 1, LONG))).collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none());
        }
        assert_eq!(turns.take(&b, 1, LONG).await.unwrap_err(), NoTurn);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let of = |text: &str| Tenant::anonymous(Some(text.parse().unwrap()));
        assert_eq!(of("2001:db8::1"), of("2001:db8::2:3"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(Tenant::anonymous(None), Tenant::Unknown);
    }
}
