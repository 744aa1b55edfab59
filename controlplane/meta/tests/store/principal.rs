// SPDX-License-Identifier: Apache-2.0
//! Groups, roles and accounts, and what all principals share.

use hythe_access::{GroupName, Principal, RoleName, RoleSession};
use hythe_meta::{
    AccountChange, AttachmentChange, CreatePrincipalError, DeletePolicyError, DeletePrincipalError, GroupChange,
    GroupRecord, MAX_GROUPS_PER_USER, MembershipError, PolicyRecord, RoleChange, RoleRecord, UpdateAccountError,
    UpdatePrincipalError, UserChange, UserRecord,
};
use hythe_model::{AccountId, ResourceTags};

use crate::contents::{account, after, create, now};
use crate::harness::{Database, on_each_engine};
use crate::user::{name, policies, user};

on_each_engine!(
    trust_policies_of_an_earlier_version_mean_those_who_were_there,
    a_group_gives_its_policies_to_its_members,
    a_group_with_members_stays,
    memberships_are_bounded_and_end_with_the_user,
    a_role_comes_back_as_created_and_changed,
    only_policies_that_exist_are_attached_and_they_stay,
    accounts_are_created_once_and_closed,
    a_principal_is_active_while_all_of_it_is,
);

fn group_name(text: &str) -> GroupName {
    text.parse().unwrap()
}

fn group(text: &str) -> GroupRecord {
    GroupRecord {
        account: account(),
        name: group_name(text),
        description: "d".into(),
        policies: policies("PowerUser"),
        members: Some(Vec::new()),
        created_at: now(),
        version: 1,
    }
}

fn role_name(text: &str) -> RoleName {
    text.parse().unwrap()
}

fn later() -> jiff::Timestamp {
    now() + jiff::SignedDuration::from_secs(5)
}

fn role(text: &str) -> RoleRecord {
    RoleRecord {
        account: account(),
        name: role_name(text),
        description: "d".into(),
        trust_policy: "{}".into(),
        trusts_as_of: Some(now()),
        max_session_seconds: 3600,
        policies: policies("PullOnly"),
        boundary: Some("ReadOnly".parse().unwrap()),
        tags: ResourceTags::new([("team".to_owned(), "a".to_owned())]).unwrap(),
        created_at: now(),
        version: 1,
    }
}

fn policy(text: &str) -> PolicyRecord {
    PolicyRecord {
        account: account(),
        name: text.parse().unwrap(),
        description: None,
        text: "{}".into(),
        tags: ResourceTags::default(),
        created_at: now(),
        updated_at: now(),
        version: 0,
    }
}

fn ann() -> Principal {
    Principal::User(account(), name("ann"))
}

async fn a_group_gives_its_policies_to_its_members(database: &Database) {
    let store = &database.store;
    store.create_account(&account(), "a", now()).await.unwrap();
    store.create_user(&user("ann")).await.unwrap();
    store.create_group(&group("builders")).await.unwrap();
    let twice = store.create_group(&group("Builders")).await;
    assert!(matches!(twice, Err(CreatePrincipalError::AlreadyExists)), "{twice:?}");
    assert_eq!(
        store.group(&account(), &group_name("builders")).await.unwrap(),
        Some(group("builders"))
    );
    assert_eq!(
        store.groups(&account(), None, 9).await.unwrap(),
        [GroupRecord {
            members: None,
            ..group("builders")
        }]
    );

    let joined = store
        .add_group_member(&account(), &group_name("builders"), &name("ann"))
        .await
        .unwrap();
    assert_eq!((joined.members, joined.version), (Some(vec![name("ann")]), 2));
    let again = store
        .add_group_member(&account(), &group_name("builders"), &name("ann"))
        .await
        .unwrap();
    assert_eq!(again.version, 2, "a member already");
    let found = store.user(&account(), &name("ann")).await.unwrap().unwrap();
    assert_eq!((found.groups, found.version), (vec![group_name("builders")], 2));
    let listed = store.users(&account(), None, 9).await.unwrap();
    assert_eq!(listed[0].groups, [group_name("builders")]);
    let all = store.principal_policies(&ann()).await.unwrap().unwrap();
    let mut want = policies("PowerUser PullOnly ReadOnly");
    want.sort();
    assert_eq!((all.attached, all.groups), (want, vec![group_name("builders")]));
    assert_eq!(all.boundary, Some("FullAccess".parse().unwrap()));

    let left = store
        .remove_group_member(&account(), &group_name("builders"), &name("ann"))
        .await
        .unwrap();
    assert_eq!((left.members, left.version), (Some(vec![]), 3));
    let all = store.principal_policies(&ann()).await.unwrap().unwrap();
    assert_eq!(all.attached.len(), 2);
    assert_eq!(
        store
            .principal_policies(&Principal::User(account(), name("bob")))
            .await
            .unwrap(),
        None
    );
}

async fn a_group_with_members_stays(database: &Database) {
    let store = &database.store;
    store.create_user(&user("ann")).await.unwrap();
    store.create_group(&group("g")).await.unwrap();
    store
        .add_group_member(&account(), &group_name("g"), &name("ann"))
        .await
        .unwrap();
    let delete = async |version| store.delete_group(&account(), &group_name("g"), version).await;
    assert!(matches!(delete(None).await, Err(DeletePrincipalError::HasMembers(1))));
    assert!(matches!(
        delete(Some(1)).await,
        Err(DeletePrincipalError::VersionMismatch)
    ));
    store
        .remove_group_member(&account(), &group_name("g"), &name("ann"))
        .await
        .unwrap();
    let change = GroupChange {
        description: None,
        policies: Some(AttachmentChange::Detach("PowerUser".parse().unwrap())),
    };
    let changed = store
        .update_group(&account(), &group_name("g"), change, Some(3))
        .await
        .unwrap();
    assert_eq!((changed.policies.len(), changed.version), (0, 4));
    assert_eq!(delete(Some(4)).await.unwrap().version, 4);
    assert!(matches!(delete(None).await, Err(DeletePrincipalError::Unknown)));
}

async fn memberships_are_bounded_and_end_with_the_user(database: &Database) {
    let store = &database.store;
    store.create_user(&user("ann")).await.unwrap();
    let join = async |group: &str, who: &str| store.add_group_member(&account(), &group_name(group), &name(who)).await;
    for index in 0..=MAX_GROUPS_PER_USER {
        store.create_group(&group(&format!("g{index}"))).await.unwrap();
    }
    for index in 0..MAX_GROUPS_PER_USER {
        join(&format!("g{index}"), "ann").await.unwrap();
    }
    let last = format!("g{MAX_GROUPS_PER_USER}");
    assert!(matches!(
        join(&last, "ann").await,
        Err(MembershipError::TooManyGroups(_))
    ));
    assert!(matches!(join(&last, "bob").await, Err(MembershipError::UserUnknown)));
    assert!(matches!(join("none", "ann").await, Err(MembershipError::GroupUnknown)));
    let leave = store
        .remove_group_member(&account(), &group_name(&last), &name("bob"))
        .await;
    assert!(matches!(leave, Err(MembershipError::UserUnknown)), "{leave:?}");

    store.delete_user(&account(), &name("ann"), None).await.unwrap();
    assert_eq!(database.count("group_member").await, 0);
    let left = store.group(&account(), &group_name("g0")).await.unwrap().unwrap();
    assert_eq!((left.members, left.version), (Some(vec![]), 3));
    // As the version before leaves it behind when it deletes a user.
    let row = "INSERT INTO group_member (account_id, group_name, user_name) VALUES ('000000000000', 'g0', 'ann')";
    database.execute(row).await;
    assert_eq!(
        store
            .group(&account(), &group_name("g0"))
            .await
            .unwrap()
            .unwrap()
            .members,
        Some(vec![])
    );
    store.create_user(&user("ann")).await.unwrap();
    assert_eq!(store.user(&account(), &name("ann")).await.unwrap().unwrap().groups, []);
}

async fn a_role_comes_back_as_created_and_changed(database: &Database) {
    let store = &database.store;
    store.create_role(&role("ci")).await.unwrap();
    let twice = store.create_role(&role("CI")).await;
    assert!(matches!(twice, Err(CreatePrincipalError::AlreadyExists)), "{twice:?}");
    assert_eq!(
        store.role(&account(), &role_name("ci")).await.unwrap(),
        Some(role("ci"))
    );
    assert_eq!(
        store.roles(&account(), Some(&role_name("cd")), 9).await.unwrap(),
        [role("ci")]
    );
    let change = RoleChange {
        description: Some("new".into()),
        trust_policy: Some(("[]".into(), later())),
        max_session_seconds: Some(7200),
        policies: Some(AttachmentChange::Replace(policies("ReadOnly"))),
        boundary: Some(None),
        tags: Some(ResourceTags::default()),
    };
    let changed = store
        .update_role(&account(), &role_name("ci"), change, Some(1))
        .await
        .unwrap();
    let want = RoleRecord {
        description: "new".into(),
        trust_policy: "[]".into(),
        trusts_as_of: Some(later()),
        max_session_seconds: 7200,
        policies: policies("ReadOnly"),
        boundary: None,
        tags: ResourceTags::default(),
        version: 2,
        ..role("ci")
    };
    assert_eq!(changed, want);
    assert_eq!(
        store.role(&account(), &role_name("ci")).await.unwrap(),
        Some(want.clone())
    );
    let stale = store.delete_role(&account(), &role_name("ci"), Some(1)).await;
    assert!(matches!(stale, Err(DeletePrincipalError::VersionMismatch)), "{stale:?}");
    assert_eq!(
        store.delete_role(&account(), &role_name("ci"), Some(2)).await.unwrap(),
        want
    );
    assert_eq!(database.count("policy_use").await, 0);
}

async fn only_policies_that_exist_are_attached_and_they_stay(database: &Database) {
    let store = &database.store;
    let mut wanted = user("ann");
    wanted.policies = policies("team");
    let refused = store.create_user(&wanted).await;
    assert!(
        matches!(refused, Err(CreatePrincipalError::PolicyUnknown(_))),
        "{refused:?}"
    );
    store.create_policy(policy("team")).await.unwrap();
    store.create_user(&wanted).await.unwrap();
    let attach = |text: &str| UserChange {
        policies: Some(AttachmentChange::Attach(text.parse().unwrap())),
        ..UserChange::default()
    };
    let refused = store.update_user(&account(), &name("ann"), attach("none"), None).await;
    assert!(
        matches!(refused, Err(UpdatePrincipalError::PolicyUnknown(_))),
        "{refused:?}"
    );
    let many: Vec<String> = (0..30).map(|index| format!("p{index:02}")).collect();
    let many = many.join(" ");
    let many = RoleRecord {
        policies: policies(&many),
        ..role("ci")
    };
    let refused = store.create_role(&many).await;
    assert!(
        matches!(refused, Err(CreatePrincipalError::TooManyPolicies(20))),
        "{refused:?}"
    );

    let team = "team".parse().unwrap();
    let used = store.delete_policy(&account(), &team, None).await;
    assert!(matches!(used, Err(DeletePolicyError::Attached(1))), "{used:?}");
    let bounded = UserChange {
        policies: Some(AttachmentChange::Replace(Vec::new())),
        boundary: Some(Some("team".parse().unwrap())),
        ..UserChange::default()
    };
    store
        .update_user(&account(), &name("ann"), bounded, None)
        .await
        .unwrap();
    let used = store.delete_policy(&account(), &team, None).await;
    assert!(matches!(used, Err(DeletePolicyError::Attached(1))), "{used:?}");
    store.delete_user(&account(), &name("ann"), None).await.unwrap();
    store.delete_policy(&account(), &team, None).await.unwrap();
}

async fn accounts_are_created_once_and_closed(database: &Database) {
    let store = &database.store;
    let other: AccountId = "111111111111".parse().unwrap();
    let unknown: AccountId = "222222222222".parse().unwrap();
    assert!(store.create_account(&account(), "first", now()).await.unwrap());
    assert!(!store.create_account(&account(), "again", now()).await.unwrap());
    assert!(store.create_account(&other, "second", now()).await.unwrap());
    assert_eq!(store.account_count().await.unwrap(), 2);
    let found = store.account(&account()).await.unwrap().unwrap();
    assert_eq!(
        (found.name.as_str(), found.created_at, found.is_closed),
        ("first", now(), false)
    );
    assert_eq!(store.account(&unknown).await.unwrap(), None);
    let ids = async |after| {
        let accounts = store.accounts(after, 9).await.unwrap().into_iter();
        accounts.map(|account| account.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None).await, [account(), other.clone()]);
    assert_eq!(ids(Some(&account())).await, std::slice::from_ref(&other));

    create(store, "web").await;
    let close = AccountChange {
        name: None,
        is_closed: Some(true),
    };
    let update = async |id: &AccountId, force, version| store.update_account(id, close.clone(), force, version).await;
    assert!(matches!(
        update(&account(), false, None).await,
        Err(UpdateAccountError::HasRepositories)
    ));
    assert!(matches!(
        update(&account(), true, Some(9)).await,
        Err(UpdateAccountError::VersionMismatch)
    ));
    let closed = update(&account(), true, Some(1)).await.unwrap();
    assert!(closed.is_closed && closed.version == 2);
    assert_eq!(update(&account(), false, None).await.unwrap(), closed, "closed already");
    assert!(update(&other, false, None).await.unwrap().is_closed);
    assert!(matches!(
        update(&unknown, true, None).await,
        Err(UpdateAccountError::Unknown)
    ));
    let renamed = AccountChange {
        name: Some("new".into()),
        is_closed: Some(false),
    };
    let opened = store.update_account(&account(), renamed, false, Some(2)).await.unwrap();
    assert_eq!(
        (opened.name.as_str(), opened.is_closed, opened.version),
        ("new", false, 3)
    );
}

async fn a_principal_is_active_while_all_of_it_is(database: &Database) {
    let store = &database.store;
    store.create_user(&user("ann")).await.unwrap();
    store.create_role(&role("ci")).await.unwrap();
    let session = Principal::Role(RoleSession {
        account: account(),
        role: role_name("ci"),
        session: "run".parse().unwrap(),
    });
    let root = Principal::Root(account());
    let is_active = async |who: &Principal, at| {
        store
            .principal_policies(who)
            .await
            .unwrap()
            .is_some_and(|found| found.is_active(at))
    };
    assert!(
        !is_active(&root, now()).await && !is_active(&ann(), now()).await,
        "no such account"
    );
    store.create_account(&account(), "a", now()).await.unwrap();
    assert!(is_active(&root, now()).await && is_active(&session, now()).await);
    assert!(is_active(&ann(), after(59)).await && !is_active(&ann(), after(60)).await);
    let found = store.principal_policies(&session).await.unwrap().unwrap();
    assert_eq!(
        (found.attached, found.boundary),
        (policies("PullOnly"), Some("ReadOnly".parse().unwrap()))
    );
    assert_eq!(found.tags, role("ci").tags);
    let disable = UserChange {
        is_disabled: Some(true),
        ..UserChange::default()
    };
    store
        .update_user(&account(), &name("ann"), disable, None)
        .await
        .unwrap();
    assert!(!is_active(&ann(), now()).await);
    let close = AccountChange {
        name: None,
        is_closed: Some(true),
    };
    store.update_account(&account(), close, false, None).await.unwrap();
    assert!(!is_active(&root, now()).await && !is_active(&session, now()).await);
    assert_eq!(store.principal_policies(&Principal::Anonymous).await.unwrap(), None);
}

async fn trust_policies_of_an_earlier_version_mean_those_who_were_there(database: &Database) {
    database.store.create_role(&role("ci")).await.unwrap();
    let youngest = UserRecord {
        created_at: after(7),
        ..user("ada")
    };
    database.store.create_user(&youngest).await.unwrap();
    // As that version left it.
    database.execute("ALTER TABLE app_role DROP COLUMN trust_ms").await;
    database.execute("DELETE FROM schema_version WHERE version = 21").await;
    let store = database.another().await;
    let migrated = store.role(&account(), &role_name("ci")).await.unwrap().unwrap();
    assert_eq!(migrated.trusts_as_of, Some(after(7)));
    store.close().await;
}
