// SPDX-License-Identifier: Apache-2.0
//! What becomes known of a request while it is handled, for the audit log.
//!
//! A door makes a [`Trail`] for each request and runs the request within it ([`Trail::follow`]). Whoever learns
//! something adds it with [`Trail::note`], wherever in the request it runs: who asks is noted by the door, what was
//! decided by [`crate::authorize_with`], what changed by the metadata store, which also writes the record of a change
//! in the change's own transaction. What is left is handed to the [`AuditLog`] when the request has its answer.
//!
//! Nothing here waits, and nothing is made into text: that is done in the background.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hythe_model::{AccountId, Digest, ReplicationPath, Tag};
use jiff::Timestamp;

use crate::{Action, Caller, Decision, Grounds, Resource};

/// The status of a request whose client went away before it was answered; never sent.
pub const CLIENT_GONE: u16 = 499;

tokio::task_local! {
    static CURRENT: Option<Trail>;
}

/// Takes the trails of requests that were answered.
pub trait AuditLog: fmt::Debug + Send + Sync {
    /// An id for a request that began then, brings none, and whose client is told one.
    fn next_request(&self, at: Timestamp) -> RequestId;

    /// Takes a request that has its answer. Never waits; a request that the store has recorded is passed over.
    fn finished(&self, trail: &Trail);

    /// Whether a request must be turned away, since it could not be recorded.
    fn is_full(&self) -> bool {
        false
    }
}

/// The id of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RequestId {
    /// Made here, as a rule; shown as 32 hexadecimal digits. The first 48 bits of those that were made here are the time in
    /// milliseconds when the request began, by which its record is found.
    Number(u128),
    /// The client's own.
    Text(Arc<str>),
}

/// How many bits of an id that is made here come after the time.
const BITS_AFTER_TIME: u32 = 80;

impl RequestId {
    /// An id for a request that began at `at`; the last 80 bits of `number` tell it from others.
    #[must_use]
    pub fn at(at: Timestamp, number: u128) -> Self {
        let mask = (1 << BITS_AFTER_TIME) - 1;
        Self::Number(time_bits(at) | number & mask)
    }

    /// Whether the id says that its request began at `at`.
    #[must_use]
    pub fn is_of(&self, at: Timestamp) -> bool {
        matches!(self, Self::Number(number) if number >> BITS_AFTER_TIME == time_bits(at) >> BITS_AFTER_TIME)
    }

    /// When the request began, if the id was made here.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        match self {
            Self::Number(number) => {
                let millis = i64::try_from(number >> BITS_AFTER_TIME).ok()?;
                Timestamp::from_millisecond(millis).ok()
            }
            Self::Text(_) => None,
        }
    }

    /// Reads an id.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let is_number = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match u128::from_str_radix(text, 16) {
            Ok(number) if is_number => Self::Number(number),
            _ => Self::Text(text.into()),
        }
    }
}

/// The time in milliseconds as the first 48 bits of a number; 0 before 1970.
fn time_bits(at: Timestamp) -> u128 {
    u128::try_from(at.as_millisecond()).unwrap_or(0) << BITS_AFTER_TIME
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(formatter, "{number:032x}"),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}

/// One request on its way. Clones are the same request.
#[derive(Clone, Debug)]
pub struct Trail(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    began_at: Timestamp,
    request: OnceLock<RequestId>,
    facts: Mutex<Facts>,
    is_recorded: AtomicBool,
    answer: OnceLock<Arc<Answer>>,
}

/// The answer to a request that has changed something. The record of the change is written before there is one.
#[derive(Debug, Default)]
pub struct Answer(OnceLock<Answered>);

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// Parts of the answer: names, and values as JSON.
    pub response: Vec<(Cow<'static, str>, String)>,
}

impl Answer {
    /// What the client was told; `None` while it was told nothing.
    #[must_use]
    pub fn get(&self) -> Option<&Answered> {
        self.0.get()
    }
}

impl Trail {
    /// A request that began at `began_at`.
    #[must_use]
    pub fn new(began_at: Timestamp, request: RequestId, facts: Facts) -> Self {
        let trail = Self::without_id(began_at, facts);
        trail.request_or(|| request);
        trail
    }

    /// The same, of which nobody is told the id: it gets one when it needs one.
    #[must_use]
    pub fn without_id(began_at: Timestamp, facts: Facts) -> Self {
        Self(Arc::new(Inner {
            began_at,
            request: OnceLock::new(),
            facts: Mutex::new(facts),
            is_recorded: AtomicBool::new(false),
            answer: OnceLock::new(),
        }))
    }

    /// Runs `work` as a part of this request.
    pub async fn follow<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(Some(self), work).await
    }

    /// Runs `work`, which a request brings about and which is not what it asked for: tidying up, or state that only
    /// lasts as long as an upload does. What it writes gets no record of its own.
    pub async fn aside<F: Future>(work: F) -> F::Output {
        CURRENT.scope(None, work).await
    }

    /// The request that this is a part of.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok().flatten()
    }

    /// By which registries what this request brings was replicated here, if it is one that says so.
    #[must_use]
    pub fn replica() -> Option<ReplicationPath> {
        Self::current()?.add(|facts| facts.replica.clone())
    }

    /// Adds to what is known of the request that this is a part of, if it is one.
    pub fn note(add: impl FnOnce(&mut Facts)) {
        let _ = CURRENT.try_with(|trail| {
            if let Some(trail) = trail {
                trail.add(add);
            }
        });
    }

    /// Adds to what is known.
    pub fn add<T>(&self, add: impl FnOnce(&mut Facts) -> T) -> T {
        add(&mut self.0.facts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// When the request began.
    #[must_use]
    pub fn began_at(&self) -> Timestamp {
        self.0.began_at
    }

    /// The id of the request, if it has one yet.
    #[must_use]
    pub fn request(&self) -> Option<&RequestId> {
        self.0.request.get()
    }

    /// The id of the request, made now if it has none yet.
    pub fn request_or(&self, make: impl FnOnce() -> RequestId) -> &RequestId {
        self.0.request.get_or_init(make)
    }

    /// Where the answer will be, for the record of a change that is made before it. It never comes if nobody else holds
    /// this any more.
    #[must_use]
    pub fn answer(&self) -> Arc<Answer> {
        Arc::clone(self.0.answer.get_or_init(Arc::default))
    }

    /// Notes what the client is told.
    pub fn set_answer(&self, status: u16, error: Option<(Cow<'static, str>, String)>) {
        self.add(|facts| {
            facts.status = status;
            facts.error = error;
            if let Some(answer) = self.0.answer.get() {
                let response = std::mem::take(&mut facts.response);
                let _ = answer.0.set(Answered { status, response });
            }
        });
    }

    /// A change of this request was committed together with its record.
    pub fn set_recorded(&self) {
        self.0.is_recorded.store(true, Ordering::Release);
    }

    /// Whether a change of this request was committed together with its record.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.0.is_recorded.load(Ordering::Acquire)
    }
}

/// Who sends a request, and from where. Two are equal if a record could not tell them apart.
#[derive(Clone, Debug)]
pub struct Who(pub Arc<Caller>);

impl Deref for Who {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0
    }
}

impl PartialEq for Who {
    fn eq(&self, other: &Self) -> bool {
        // Callers with the same credentials share most of this.
        let is_same_key =
            Arc::ptr_eq(&self.lineage, &other.lineage) || self.lineage.access_key_id == other.lineage.access_key_id;
        let is_same_session = Arc::ptr_eq(&self.attributes, &other.attributes) || self.attributes == other.attributes;
        is_same_key
            && is_same_session
            && self.principal == other.principal
            && self.source_ip == other.source_ip
            && self.user_agent == other.user_agent
    }
}

impl Eq for Who {}

impl Hash for Who {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.principal.hash(state);
        self.lineage.access_key_id.hash(state);
        self.source_ip.hash(state);
        self.user_agent.hash(state);
    }
}

/// What a decision was about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    /// The action.
    pub action: Action,
    /// What it is done to.
    pub resource: Resource,
    /// What allows it; `None` for a no, and for administrators, who need nothing.
    pub by: Option<Grounds>,
}

/// A tag that was moved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MovedTag {
    /// The tag.
    pub tag: Tag,
    /// What it pointed to.
    pub from: Option<Digest>,
    /// What it points to.
    pub to: Option<Digest>,
}

/// What is known of a request, but for its time and its id: requests of which the same is known are stored together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The operation as its door calls it, such as `GET /v2/<name>/blobs/<digest>` or `CreateRepository`.
    pub operation: &'static str,
    /// The name of the event, if it is not that of the action that the gate was asked about.
    pub event: Option<&'static str>,
    /// The name of the event if the gate was not asked.
    pub default_event: &'static str,
    /// Whether the operation is there to change something.
    pub is_change: bool,
    /// Who asks; `None` while that is not known.
    pub who: Option<Who>,
    /// The address of the client, if it is not known who asks.
    pub source_ip: Option<IpAddr>,
    /// What the client calls itself, if it is not known who asks.
    pub user_agent: Option<Arc<str>>,
    /// What the gate said yes to first.
    pub allowed: Option<Asked>,
    /// What the gate said no to last, and why.
    pub denied: Option<(Asked, String)>,
    /// The account whose registry the request is for.
    pub account: Option<AccountId>,
    /// The repository as the client wrote it.
    pub repository: Option<Arc<str>>,
    /// By which registries what the request brings was replicated here, if it says so.
    pub replica: Option<ReplicationPath>,
    /// The tag that was named.
    pub tag: Option<Tag>,
    /// The digest that was named or found.
    pub digest: Option<Digest>,
    /// Further parameters of the request: names, and values as JSON. Without secrets and of bounded size.
    pub parameters: Vec<(Cow<'static, str>, String)>,
    /// Parts of the answer to a change: names, and values as JSON. Without secrets and of bounded size.
    pub response: Vec<(Cow<'static, str>, String)>,
    /// Of something that no request asked for: a JSON object with what there is to tell. A change may tell more itself.
    pub service_details: Option<Arc<str>>,
    /// The HTTP status of the answer; 0 while there is none.
    pub status: u16,
    /// The code and the text of an error.
    pub error: Option<(Cow<'static, str>, String)>,
}

impl Facts {
    /// Notes who asks, and from where.
    pub fn set_caller(&mut self, caller: &Arc<Caller>) {
        self.who = Some(Who(Arc::clone(caller)));
    }

    /// The address of the client.
    #[must_use]
    pub fn source_ip(&self) -> Option<IpAddr> {
        self.who.as_ref().and_then(|who| who.source_ip).or(self.source_ip)
    }

    /// What the client calls itself.
    #[must_use]
    pub fn user_agent(&self) -> Option<&str> {
        let own = self.who.as_ref().and_then(|who| who.user_agent.as_deref());
        own.or(self.user_agent.as_deref())
    }

    /// Notes what was decided.
    pub fn set_decision(&mut self, action: Action, resource: Resource, decision: &Decision) {
        match decision {
            Decision::Allowed(by) if self.allowed.is_none() => {
                let by = by.clone();
                self.allowed = Some(Asked { action, resource, by });
            }
            Decision::Allowed(_) => {}
            Decision::Denied(denial) => {
                let asked = Asked {
                    action,
                    resource,
                    by: None,
                };
                self.denied = Some((asked, denial.to_string()));
            }
        }
    }

    /// Adds a part of the answer: an identifier, which needs no escapes and is no secret.
    pub fn add_response(&mut self, name: &'static str, identifier: &str) {
        if identifier
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
        {
            self.response.push((name.into(), format!("\"{identifier}\"")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail() -> Trail {
        Trail::new(Timestamp::UNIX_EPOCH, RequestId::Number(7), Facts::default())
    }

    #[tokio::test]
    async fn notes_go_to_the_request_that_they_are_made_in() {
        Trail::note(|_| panic!("this is no part of a request"));
        let (first, second) = (trail(), trail());
        let work = |status| async move {
            tokio::task::yield_now().await;
            Trail::note(|facts| facts.status = status);
        };
        tokio::join!(first.clone().follow(work(200)), second.clone().follow(work(404)));
        assert_eq!(
            (first.add(|facts| facts.status), second.add(|facts| facts.status)),
            (200, 404)
        );
        assert!(Trail::current().is_none());
        let inner = first.follow(Trail::aside(async { Trail::current().is_some() })).await;
        assert!(!inner, "what is done aside is no part of the request");
    }

    #[test]
    fn the_first_yes_and_the_last_no_are_kept() {
        let mut facts = Facts::default();
        let resource = Resource::Registry(hythe_model::AccountId::default());
        facts.set_decision(Action::PutImage, resource.clone(), &Decision::Allowed(None));
        facts.set_decision(Action::ListImages, resource.clone(), &Decision::Allowed(None));
        facts.set_decision(Action::ListUsers, resource, &Decision::Denied("no".into()));
        assert_eq!(facts.allowed.map(|asked| asked.action), Some(Action::PutImage));
        assert_eq!(
            facts.denied.map(|(asked, why)| (asked.action, why)),
            Some((Action::ListUsers, "no".into()))
        );
    }

    #[test]
    fn an_id_is_made_once_and_the_answer_finds_the_record_of_the_change() {
        let silent = Trail::without_id(Timestamp::UNIX_EPOCH, Facts::default());
        silent.set_answer(200, None);
        assert!(silent.request().is_none());
        assert_eq!(silent.request_or(|| RequestId::Number(1)), &RequestId::Number(1));
        assert_eq!(silent.request_or(|| RequestId::Number(2)), &RequestId::Number(1));

        let trail = trail();
        let answer = trail.answer();
        assert!(answer.get().is_none() && Arc::strong_count(&answer) == 2);
        trail.add(|facts| facts.add_response("uploadId", "u1"));
        trail.set_answer(201, None);
        let told = Answered {
            status: 201,
            response: vec![("uploadId".into(), "\"u1\"".into())],
        };
        assert_eq!(answer.get(), Some(&told));
        drop(trail);
        assert_eq!(Arc::strong_count(&answer), 1, "nobody is left to answer");
    }

    #[test]
    fn callers_are_told_apart_as_far_as_a_record_does() {
        let caller = |user_agent: &str| {
            let mut caller = Caller::anonymous();
            caller.user_agent = Some(user_agent.into());
            Who(Arc::new(caller))
        };
        assert_eq!(caller("docker"), caller("docker"));
        assert_ne!(caller("docker"), caller("podman"));
    }

    #[test]
    fn ids_that_are_made_here_tell_their_time() {
        let at = Timestamp::from_millisecond(1_700_000_000_123).unwrap();
        let id = RequestId::at(at, u128::MAX);
        assert_eq!(id.to_string().get(12..), Some("f".repeat(20).as_str()));
        assert!(id.is_of(at) && !id.is_of(Timestamp::from_millisecond(1_700_000_000_124).unwrap()));
        assert_eq!(id.time(), Some(at));
        assert_eq!(RequestId::new(&id.to_string()), id);
        assert!(!RequestId::Text("mine".into()).is_of(at) && RequestId::Text("mine".into()).time().is_none());
        // What is no time of the calendar.
        assert_eq!(RequestId::Number(u128::MAX).time(), None);
    }

    #[test]
    fn ids_are_shown_as_they_came() {
        for text in [
            "0123456789abcdef0123456789abcdef",
            "0123456789ABCDEF0123456789ABCDEF",
            "r1",
            "",
        ] {
            assert_eq!(RequestId::new(text).to_string(), text);
        }
    }
}
