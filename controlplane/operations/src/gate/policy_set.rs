// SPDX-License-Identifier: Apache-2.0
//! Everything that has a say about what a principal may do to a resource, in one place: the gate decides by it, and
//! whoever explains a decision looks at the same.
//!
//! Policies are compiled once per text and remembered with what they are attached to, also that something has none, for at
//! most a second (`fresh.rs`), so that most requests find all of it in memory.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use hythe_access::{Principal, Resource, RolePath, UserName};
use hythe_meta::{PolicyDocument, PolicyRef, Store, StoreError};
use hythe_model::{AccountId, Region, RepositoryArn, RepositoryPath, ResourceTags};
use hythe_rules::{NamedPolicy, Policies, Policy, PolicyGrammar, Requester};
use jiff::Timestamp;

use super::fresh::Fresh;

/// The most compiled policies to keep. All of them together take a few tens of megabytes at most.
const MAX_COMPILED: usize = 2048;
/// What policies with these keys ask about is loaded only for them.
const RESOURCE_TAG_KEYS: [&str; 2] = ["aws:ResourceTag/", "ecr:ResourceTag/"];

/// Whose policies count: for a session of a role, those of the role.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Holder {
    Root(AccountId),
    User(AccountId, UserName),
    Role(RolePath),
}

/// A policy, and whether it asks about the tags of the resource.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub(crate) policy: Arc<Policy>,
    needs_resource_tags: bool,
}

/// The policy of a resource, and when it was stored: as a whole, and single statements of it after that.
#[derive(Clone, Debug)]
struct Stored {
    compiled: Compiled,
    /// `None`: it is not known, and whoever has the name is meant.
    as_of: Option<Timestamp>,
    statements: Option<Arc<BTreeMap<String, Timestamp>>>,
}

impl Stored {
    /// What it means for `principal`: one who was created later is not whom it names, even if the names are the same.
    fn for_principal(&self, principal: &Principal, facts: Option<&PrincipalFacts>) -> Compiled {
        let created_at = facts.map(|facts| facts.created_at);
        let is_older =
            |stored_at: Option<Timestamp>| created_at.zip(stored_at).is_some_and(|(at, stored_at)| stored_at < at);
        let statements = self.statements.as_deref();
        let is_any_older =
            is_older(self.as_of) || statements.is_some_and(|at| at.values().copied().map(Some).any(is_older));
        if is_any_older && self.compiled.policy.names(principal) {
            let is_older = |sid: Option<&str>| {
                let own = statements.zip(sid).and_then(|(statements, sid)| statements.get(sid));
                is_older(own.copied().or(self.as_of))
            };
            Compiled {
                policy: Arc::new(self.compiled.policy.without(principal, is_older)),
                needs_resource_tags: self.compiled.needs_resource_tags,
            }
        } else {
            self.compiled.clone()
        }
    }
}

/// What is known of a principal.
#[derive(Debug)]
pub(crate) struct PrincipalFacts {
    identity: Vec<NamedPolicy>,
    boundary: Option<NamedPolicy>,
    tags: ResourceTags,
    is_enabled: bool,
    expires_at: Option<Timestamp>,
    created_at: Timestamp,
    needs_resource_tags: bool,
}

impl PrincipalFacts {
    /// When it was created.
    pub(crate) fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// Whether its credentials are good at `now`.
    pub(crate) fn is_active(&self, now: Timestamp) -> bool {
        self.is_enabled && self.expires_at.is_none_or(|end| now < end)
    }
}

/// What is known of a repository, or would be of one of this name.
#[derive(Debug)]
struct RepositoryFacts {
    arn: String,
    policy: Option<Stored>,
}

/// What is known of a role that may be taken on.
#[derive(Debug)]
struct RoleFacts {
    arn: String,
    trust: Option<Stored>,
}

/// The policies of the store, compiled.
#[derive(Debug)]
pub(super) struct PolicyCache {
    store: Store,
    region: Region,
    principals: Fresh<Holder, Arc<PrincipalFacts>>,
    repositories: Fresh<RepositoryPath, Arc<RepositoryFacts>>,
    registries: Fresh<AccountId, Option<Stored>>,
    roles: Fresh<RolePath, Arc<RoleFacts>>,
    resource_tags: Fresh<RepositoryPath, Arc<ResourceTags>>,
    compiled: CompiledPolicies,
}

impl PolicyCache {
    pub(super) fn new(store: Store, region: Region) -> Self {
        Self {
            store,
            region,
            principals: Fresh::new(),
            repositories: Fresh::new(),
            registries: Fresh::new(),
            roles: Fresh::new(),
            resource_tags: Fresh::new(),
            compiled: CompiledPolicies::default(),
        }
    }

    /// To be called after a write of an account, a user, a group or a role.
    pub(super) fn forget_principals(&self) {
        self.principals.clear();
        self.roles.clear();
    }

    /// To be called after a write of a policy, and after a repository came, went, or got other tags.
    pub(super) fn forget_policies(&self) {
        self.principals.clear();
        self.repositories.clear();
        self.registries.clear();
        self.resource_tags.clear();
    }

    /// What is known of a principal; `None` if there is none, and for anonymous.
    pub(super) async fn principal(
        &self,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<Option<Arc<PrincipalFacts>>, StoreError> {
        let holder = match principal {
            Principal::Anonymous => return Ok(None),
            Principal::Root(account) => Holder::Root(account.clone()),
            Principal::User(account, name) => Holder::User(account.clone(), name.clone()),
            Principal::Role(session) => Holder::Role(session.role_path()),
        };
        let generation = match self.principals.get(&holder, now) {
            Ok(facts) => return Ok(Some(facts)),
            Err(generation) => generation,
        };
        let (Some(account), Some(found)) = (principal.account(), self.store.principal_policies(principal).await?)
        else {
            return Ok(None);
        };
        let mut needs_resource_tags = false;
        let mut identity = Vec::with_capacity(found.attached.len());
        for policy in &found.attached {
            let (named, needs) = self.named(policy, account).await?;
            needs_resource_tags |= needs;
            identity.push(named);
        }
        let boundary = match &found.boundary {
            Some(policy) => {
                let (named, needs) = self.named(policy, account).await?;
                needs_resource_tags |= needs;
                Some(named)
            }
            None => None,
        };
        let facts = Arc::new(PrincipalFacts {
            identity,
            boundary,
            tags: found.tags,
            is_enabled: found.is_enabled,
            expires_at: found.expires_at,
            created_at: found.created_at,
            needs_resource_tags,
        });
        self.principals.put(generation, holder, Arc::clone(&facts), now);
        Ok(Some(facts))
    }

    /// Everything that has a say about what `principal` may do to `resource`. `session`: the text of the policy of its
    /// session.
    pub(super) async fn assemble(
        &self,
        principal: &Principal,
        session: Option<&Arc<str>>,
        resource: &Resource,
        now: Timestamp,
    ) -> Result<PolicySet, StoreError> {
        let mut set = PolicySet {
            facts: self.principal(principal, now).await?,
            session: match session {
                Some(text) => Some(self.compiled.get(text, PolicyGrammar::Identity)?),
                None => None,
            },
            resource: About::Registry,
            is_open: false,
            repository: None,
            registry: None,
            trust: None,
            resource_tags: None,
        };
        // What belongs to a closed account is for nobody: as if there had never been such an account.
        let owner = self
            .principal(&Principal::Root(resource.account().clone()), now)
            .await?;
        set.is_open = owner.is_some_and(|owner| owner.is_enabled);
        if set.is_open && !matches!(resource, Resource::Role(_)) {
            let stored = self.registry(resource.account(), now).await?;
            set.registry = stored.map(|stored| stored.for_principal(principal, set.facts.as_deref()));
        }
        match resource {
            Resource::Registry(_) => {}
            Resource::Repository(path) => {
                let facts = self.repository(path, now).await?;
                let stored = facts.policy.as_ref().filter(|_| set.is_open);
                set.repository = stored.map(|stored| stored.for_principal(principal, set.facts.as_deref()));
                set.resource = About::Repository(facts);
                if set.needs_resource_tags() {
                    set.resource_tags = Some(self.resource_tags(path, now).await?);
                }
            }
            Resource::Role(path) => {
                let facts = self.role(path, now).await?;
                let stored = facts.trust.as_ref().filter(|_| set.is_open);
                set.trust = stored.map(|stored| stored.for_principal(principal, set.facts.as_deref()));
                set.resource = About::Role(facts);
            }
        }
        Ok(set)
    }

    async fn named(&self, policy: &PolicyRef, account: &AccountId) -> Result<(NamedPolicy, bool), StoreError> {
        let name = match policy {
            PolicyRef::Managed(managed) => return Ok((managed.named().clone(), false)),
            PolicyRef::Customer(name) => name,
        };
        let compiled = match self.store.policy(account, name).await? {
            Some(record) => self.compiled.get(&record.text, PolicyGrammar::Identity)?,
            // A boundary that is gone allows nothing.
            None => Compiled {
                policy: Arc::new(Policy::nothing()),
                needs_resource_tags: false,
            },
        };
        let named = NamedPolicy {
            name: policy.arn(account).into(),
            policy: compiled.policy,
        };
        Ok((named, compiled.needs_resource_tags))
    }

    async fn repository(&self, path: &RepositoryPath, now: Timestamp) -> Result<Arc<RepositoryFacts>, StoreError> {
        let generation = match self.repositories.get(path, now) {
            Ok(facts) => return Ok(facts),
            Err(generation) => generation,
        };
        let document = self.store.repository_policy(path).await?;
        let facts = self.facts(path, document.as_ref())?;
        self.repositories.put(generation, path.clone(), Arc::clone(&facts), now);
        Ok(facts)
    }

    fn facts(
        &self,
        path: &RepositoryPath,
        policy: Option<&PolicyDocument>,
    ) -> Result<Arc<RepositoryFacts>, StoreError> {
        let policy = policy.map(|document| self.stored(document, PolicyGrammar::Repository));
        let arn = RepositoryArn {
            region: self.region.clone(),
            repository: path.clone(),
        };
        Ok(Arc::new(RepositoryFacts {
            arn: arn.to_string(),
            policy: policy.transpose()?,
        }))
    }

    /// Reads with one query what [`Self::assemble`] will want to know of neighbouring repositories, if not of all of them it
    /// is known. One whose policy cannot be understood is left to be found there.
    pub(super) async fn expect(&self, repositories: &[RepositoryPath], now: Timestamp) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (repositories.first(), repositories.last()) else {
            return Ok(());
        };
        let generations = (self.repositories.generation(), self.resource_tags.generation());
        let is_known = |path: &RepositoryPath| {
            self.repositories.get(path, now).is_ok() && self.resource_tags.get(path, now).is_ok()
        };
        if repositories.iter().all(is_known) {
            return Ok(());
        }
        let (limit, account) = (repositories.len(), &first.account);
        let found = self
            .store
            .repository_grounds(account, &first.name, &last.name, limit)
            .await?;
        let (mut facts, mut tags) = (Vec::with_capacity(found.len()), Vec::with_capacity(found.len()));
        for (path, policy, resource_tags) in found {
            if let Ok(known) = self.facts(&path, policy.as_ref()) {
                facts.push((path.clone(), known));
            }
            tags.push((path, Arc::new(resource_tags)));
        }
        self.repositories.put_all(generations.0, facts, now);
        self.resource_tags.put_all(generations.1, tags, now);
        Ok(())
    }

    fn stored(&self, document: &PolicyDocument, grammar: PolicyGrammar) -> Result<Stored, StoreError> {
        Ok(Stored {
            compiled: self.compiled.get(&document.text, grammar)?,
            as_of: Some(document.updated_at),
            statements: (!document.statements_updated_at.is_empty())
                .then(|| Arc::new(document.statements_updated_at.clone())),
        })
    }

    async fn registry(&self, account: &AccountId, now: Timestamp) -> Result<Option<Stored>, StoreError> {
        let generation = match self.registries.get(account, now) {
            Ok(policy) => return Ok(policy),
            Err(generation) => generation,
        };
        let document = self.store.registry_policy(account).await?;
        let policy = document.map(|document| self.stored(&document, PolicyGrammar::Registry));
        let policy = policy.transpose()?;
        self.registries.put(generation, account.clone(), policy.clone(), now);
        Ok(policy)
    }

    async fn role(&self, path: &RolePath, now: Timestamp) -> Result<Arc<RoleFacts>, StoreError> {
        let generation = match self.roles.get(path, now) {
            Ok(facts) => return Ok(facts),
            Err(generation) => generation,
        };
        let role = self.store.role(&path.account, &path.name).await?;
        let trust = role.map(|role| {
            Ok::<_, StoreError>(Stored {
                compiled: self.compiled.get(&role.trust_policy, PolicyGrammar::Trust)?,
                as_of: role.trusts_as_of,
                statements: None,
            })
        });
        let facts = Arc::new(RoleFacts {
            arn: path.to_string(),
            trust: trust.transpose()?,
        });
        self.roles.put(generation, path.clone(), Arc::clone(&facts), now);
        Ok(facts)
    }

    async fn resource_tags(&self, path: &RepositoryPath, now: Timestamp) -> Result<Arc<ResourceTags>, StoreError> {
        let generation = match self.resource_tags.get(path, now) {
            Ok(tags) => return Ok(tags),
            Err(generation) => generation,
        };
        let found = self.store.repository(path).await?.map(|repository| repository.tags);
        let tags = Arc::new(found.unwrap_or_default());
        self.resource_tags.put(generation, path.clone(), Arc::clone(&tags), now);
        Ok(tags)
    }
}

#[derive(Debug)]
enum About {
    Registry,
    Repository(Arc<RepositoryFacts>),
    Role(Arc<RoleFacts>),
}

/// Everything that has a say about what a principal may do to a resource.
#[derive(Debug)]
pub(crate) struct PolicySet {
    facts: Option<Arc<PrincipalFacts>>,
    session: Option<Compiled>,
    resource: About,
    is_open: bool,
    repository: Option<Compiled>,
    registry: Option<Compiled>,
    trust: Option<Compiled>,
    resource_tags: Option<Arc<ResourceTags>>,
}

impl PolicySet {
    /// The policies, for the evaluator.
    pub(crate) fn policies(&self) -> Policies<'_> {
        let facts = self.facts.as_deref();
        Policies {
            identity: facts.map_or(&[], |facts| &facts.identity),
            boundary: facts.and_then(|facts| facts.boundary.as_ref()),
            session: self.session.as_ref().map(|session| &*session.policy),
            repository: self.repository.as_ref().map(|repository| &*repository.policy),
            registry: self.registry.as_ref().map(|registry| &*registry.policy),
            trust: self.trust.as_ref().map(|trust| &*trust.policy),
        }
    }

    /// The trust policy of the role.
    pub(crate) fn trust(&self) -> Option<Arc<Policy>> {
        self.trust.as_ref().map(|trust| Arc::clone(&trust.policy))
    }

    /// The name of one of the principal's policies, to be kept without a copy.
    pub(crate) fn name_of(&self, name: &str) -> Option<Arc<str>> {
        let named = self.facts.as_deref()?.identity.iter();
        let is_it = |named: &&NamedPolicy| std::ptr::eq(named.name.as_ptr(), name.as_ptr());
        named.into_iter().find(is_it).map(|named| Arc::clone(&named.name))
    }

    /// What is known of the principal; `None` if there is none, and for anonymous.
    pub(crate) fn principal(&self) -> Option<&PrincipalFacts> {
        self.facts.as_deref()
    }

    /// The resource as policies name it.
    pub(crate) fn resource(&self) -> &str {
        match &self.resource {
            About::Registry => "*",
            About::Repository(facts) => &facts.arn,
            About::Role(facts) => &facts.arn,
        }
    }

    /// The resource as policies name it, where a request says what within the account it is `about`.
    pub(crate) fn named<'a>(&'a self, about: Option<&'a str>) -> &'a str {
        match &self.resource {
            About::Registry => about.unwrap_or("*"),
            About::Repository(_) | About::Role(_) => self.resource(),
        }
    }

    /// Who asks, to the evaluator. The administrator of `deployment`, its default account, is that of every account there is.
    pub(crate) fn requester<'a>(&self, principal: &'a Principal, deployment: &AccountId) -> Requester<'a> {
        match principal {
            Principal::Root(account) if self.is_open && account == deployment => Requester::Administrator(principal),
            principal => Requester::Principal(principal),
        }
    }

    /// The tags of the resource, if a policy asks about them.
    pub(crate) fn resource_tags(&self) -> Option<&BTreeMap<String, String>> {
        self.resource_tags.as_deref().map(ResourceTags::as_map)
    }

    /// The tags of the principal.
    pub(crate) fn principal_tags(&self) -> Option<&BTreeMap<String, String>> {
        self.facts.as_deref().map(|facts| facts.tags.as_map())
    }

    fn needs_resource_tags(&self) -> bool {
        let attached = [self.session.as_ref(), self.repository.as_ref(), self.registry.as_ref()];
        self.facts.as_deref().is_some_and(|facts| facts.needs_resource_tags)
            || attached.into_iter().flatten().any(|policy| policy.needs_resource_tags)
    }
}

/// Policies by their texts. A text always means the same, so that nothing here grows old.
#[derive(Default)]
struct CompiledPolicies {
    hasher: RandomState,
    known: Mutex<HashMap<u64, Vec<Known>>>,
}

type Known = (PolicyGrammar, Arc<str>, Compiled);

impl fmt::Debug for CompiledPolicies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CompiledPolicies")
    }
}

impl CompiledPolicies {
    fn get(&self, text: &str, grammar: PolicyGrammar) -> Result<Compiled, StoreError> {
        let hash = self.hasher.hash_one(text);
        let is_it = |known: &&Known| known.0 == grammar && *known.1 == *text;
        {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((.., compiled)) = known.get(&hash).and_then(|found| found.iter().find(is_it)) {
                return Ok(compiled.clone());
            }
        }
        // One that cannot be read may deny something: whatever it is attached to is out of reach until it is mended.
        let policy = Policy::parse(text, grammar)
            .map_err(|error| StoreError::Corrupt(format!("a policy cannot be understood: {error}")))?;
        let compiled = Compiled {
            needs_resource_tags: RESOURCE_TAG_KEYS.iter().any(|key| policy.needs(key)),
            policy: Arc::new(policy),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_COMPILED {
            known.clear();
        }
        let entry = known.entry(hash).or_default();
        entry.push((grammar, text.into(), compiled.clone()));
        Ok(compiled)
    }
}
