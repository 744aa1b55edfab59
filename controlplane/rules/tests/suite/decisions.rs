// SPDX-License-Identifier: Apache-2.0
//! Requests and their answers, by table.

use hythe_access::{Action, Attributes};
use hythe_rules::{
    ConditionContext, Decision, Effect, ManagedPolicy, Policies, PolicyGrammar, PolicyKind, Request, decide, explain,
};

use crate::support::{
    OWNER, PROVIDER, WEB, account, answer, attributes, named, policy, principal, principal_behind, requester,
};

/// The statements of all policies, as texts.
#[derive(Clone, Copy, Debug, Default)]
struct Texts<'a> {
    identity: &'a str,
    boundary: &'a str,
    session: &'a str,
    repository: &'a str,
    registry: &'a str,
    trust: &'a str,
}

fn ask(
    who: &str,
    action: Action,
    resource: &str,
    texts: Texts<'_>,
    given: &Attributes,
) -> (&'static str, Option<String>) {
    let identity: Vec<_> = policy(texts.identity, PolicyGrammar::Identity)
        .into_iter()
        .map(named)
        .collect();
    let boundary = policy(texts.boundary, PolicyGrammar::Identity).map(named);
    let session = policy(texts.session, PolicyGrammar::Identity);
    let repository = policy(texts.repository, PolicyGrammar::Repository);
    let registry = policy(texts.registry, PolicyGrammar::Registry);
    let trust = policy(texts.trust, PolicyGrammar::Trust);
    let policies = Policies {
        identity: &identity,
        boundary: boundary.as_ref(),
        session: session.as_ref(),
        repository: repository.as_ref(),
        registry: registry.as_ref(),
        trust: trust.as_ref(),
    };
    let (principal, owner) = (principal_behind(who), OWNER.parse().unwrap());
    let context = ConditionContext {
        given: Some(given),
        ..ConditionContext::default()
    };
    let request = Request {
        requester: requester(who, &principal),
        action,
        resource,
        owner: &owner,
        context: &context,
    };
    let decision = decide(&request, &policies);
    (answer(&decision), decision.denial(&request))
}

fn pull(who: &str, texts: Texts<'_>) -> &'static str {
    ask(who, Action::BatchGetImage, WEB, texts, &Attributes::new()).0
}

const PULL: &str = r#"{"Effect":"Allow","Action":"ecr:batchgetimage","Resource":"*"}"#;
const DENY_PULL: &str = r#"{"Effect":"Deny","Action":"ecr:Batch*","Resource":"*"}"#;
const PULL_TEAM_B: &str = r#"{"Effect":"Allow","Action":"ecr:*","Resource":"arn:aws:ecr:*:*:repository/team-b/*"}"#;
const LOGIN: &str = r#"{"Effect":"Allow","Action":"ecr:GetAuthorizationToken","Resource":"*"}"#;
const ANYBODY: &str = r#"{"Effect":"Allow","Principal":"*","Action":["ecr:BatchGetImage"]}"#;
const DENY_ANYBODY: &str = r#"{"Effect":"Deny","Principal":"*","Action":"ecr:BatchGetImage"}"#;

/// A statement about a pull for one principal.
fn of(effect: &str, aws: &str) -> String {
    let aws = match aws.split_once('/') {
        _ if aws.starts_with("arn:") => aws.to_owned(),
        None => aws.repeat(12),
        Some((digit, rest)) => match rest.split_once('/') {
            None if rest == "root" => format!("arn:aws:iam::{}:root", digit.repeat(12)),
            None if rest == "ci" => format!("arn:aws:iam::{}:role/ci", digit.repeat(12)),
            None => format!("arn:aws:iam::{}:user/{rest}", digit.repeat(12)),
            Some(_) => format!("arn:aws:sts::{}:assumed-role/{rest}", digit.repeat(12)),
        },
    };
    format!(r#"{{"Effect":"{effect}","Principal":{{"AWS":"{aws}"}},"Action":"ecr:BatchGetImage"}}"#)
}

#[test]
#[allow(clippy::too_many_lines, reason = "one row per case")]
fn pulls_are_decided_as_ecr_decides_them() {
    // (what it shows, who, identity policy, repository policy, registry policy, answer)
    let allow = |aws: &str| of("Allow", aws);
    let deny = |aws: &str| of("Deny", aws);
    let none = String::new;
    let cases: Vec<(&str, &str, &str, String, String, &str)> = vec![
        ("the administrator may", "1", "", none(), none(), "yes"),
        (
            "a deny on the repository binds the administrator",
            "1",
            "",
            DENY_ANYBODY.into(),
            none(),
            "deny",
        ),
        ("a user needs a policy", "1/ada", "", none(), none(), "no identity"),
        (
            "an identity policy is enough, in any case of its letters",
            "1/ada",
            PULL,
            none(),
            none(),
            "yes",
        ),
        ("so it is for a role", "1/ci/run", PULL, none(), none(), "yes"),
        (
            "an identity policy for others is not",
            "1/ada",
            PULL_TEAM_B,
            none(),
            none(),
            "no identity",
        ),
        (
            "a deny of the repository beats an identity policy",
            "1/ci/run",
            PULL,
            DENY_ANYBODY.into(),
            none(),
            "deny",
        ),
        (
            "a deny for the account binds its users",
            "1/ada",
            PULL,
            deny("1"),
            none(),
            "deny",
        ),
        (
            "a deny for the root binds its roles",
            "1/ci/run",
            PULL,
            deny("1/root"),
            none(),
            "deny",
        ),
        (
            "a deny for a role binds its sessions",
            "1/ci/run",
            PULL,
            deny("1/ci"),
            none(),
            "deny",
        ),
        (
            "a deny for a session does not bind the others",
            "1/ci/run",
            PULL,
            deny("1/ci/other"),
            none(),
            "yes",
        ),
        (
            "a deny of the registry counts",
            "1/ada",
            PULL,
            none(),
            DENY_ANYBODY.into(),
            "deny",
        ),
        (
            "a repository may name the user",
            "1/ada",
            LOGIN,
            allow("1/ada"),
            none(),
            "yes",
        ),
        (
            "and then only that user",
            "1/bob",
            LOGIN,
            allow("1/ada"),
            none(),
            "no identity",
        ),
        (
            "a repository may name the role",
            "1/ci/run",
            LOGIN,
            allow("1/ci"),
            none(),
            "yes",
        ),
        (
            "or one session of it",
            "1/ci/run",
            LOGIN,
            allow("1/ci/run"),
            none(),
            "yes",
        ),
        (
            "and then only that session",
            "1/ci/else",
            LOGIN,
            allow("1/ci/run"),
            none(),
            "no identity",
        ),
        (
            "a repository that names the account leaves it to identity policies",
            "1/ada",
            "",
            allow("1"),
            none(),
            "no identity",
        ),
        (
            "and so does one that names its root",
            "1/ada",
            "",
            allow("1/root"),
            none(),
            "no identity",
        ),
        ("which then decide", "1/ada", PULL, allow("1"), none(), "yes"),
        (
            "another account needs both: neither",
            "2/eve",
            "",
            none(),
            none(),
            "no identity",
        ),
        (
            "another account needs both: identity only",
            "2/ci/run",
            PULL,
            none(),
            none(),
            "no resource",
        ),
        (
            "another account needs both: repository only",
            "2/ci/run",
            "",
            allow("2/root"),
            none(),
            "no identity",
        ),
        (
            "another account needs both: even if it names the user",
            "2/eve",
            "",
            allow("2/eve"),
            none(),
            "no identity",
        ),
        (
            "another account needs both: both",
            "2/ci/run",
            PULL,
            allow("2/root"),
            none(),
            "yes",
        ),
        (
            "another account needs both: both, with the role",
            "2/ci/run",
            PULL,
            allow("2/ci"),
            none(),
            "yes",
        ),
        (
            "another account needs both: everybody is one side",
            "2/eve",
            LOGIN,
            ANYBODY.into(),
            none(),
            "no identity",
        ),
        (
            "another account needs both: registry policy",
            "2/eve",
            PULL,
            none(),
            allow("2"),
            "yes",
        ),
        (
            "another administrator needs the resource's side",
            "2",
            "",
            none(),
            none(),
            "no resource",
        ),
        ("another administrator with it", "2", "", allow("2"), none(), "yes"),
        (
            "a third account does not",
            "3",
            "",
            allow("2"),
            allow("2"),
            "no resource",
        ),
        ("nobody may nothing", "nobody", "", none(), none(), "no resource"),
        (
            "nobody may what everybody may",
            "nobody",
            "",
            ANYBODY.into(),
            none(),
            "yes",
        ),
        (
            "nobody is not in an account",
            "nobody",
            "",
            allow("1"),
            none(),
            "no resource",
        ),
        ("everybody includes users", "1/ada", "", ANYBODY.into(), none(), "yes"),
        (
            "the administrator of the deployment may",
            "admin",
            "",
            none(),
            none(),
            "yes",
        ),
        ("unless it is denied", "admin", "", DENY_ANYBODY.into(), none(), "deny"),
        (
            "also as the root of the account",
            "admin",
            "",
            deny("1/root"),
            none(),
            "deny",
        ),
        ("or as itself", "admin", "", none(), deny("9/root"), "deny"),
        (
            "a service needs no policy of its own",
            "lambda",
            "",
            r#"{"Effect":"Allow","Principal":{"AWS":"222222222222","Service":"lambda.amazonaws.com"},"Action":"*"}"#
                .into(),
            none(),
            "yes",
        ),
        (
            "but one that names it",
            "lambda",
            "",
            ANYBODY.into(),
            none(),
            "no resource",
        ),
    ];
    for (what, who, identity, repository, registry, want) in cases {
        let texts = Texts {
            identity,
            repository: &repository,
            registry: &registry,
            ..Texts::default()
        };
        assert_eq!(pull(who, texts), want, "{what}");
    }
    let both = format!("{PULL},{DENY_PULL}");
    let texts = Texts {
        identity: &both,
        ..Texts::default()
    };
    assert_eq!(pull("1/ada", texts), "deny", "a deny beats an allow beside it");
}

/// The cases of ECR's guide that are not in the table above.
#[test]
fn conditions_and_scopes_of_the_worked_cases() {
    let guard = r#"{"Effect":"Deny","Principal":"*","Action":"*","Condition":{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}}}"#;
    let texts = Texts {
        identity: PULL,
        repository: guard,
        ..Texts::default()
    };
    for (address, want) in [("192.0.2.7", "yes"), ("198.51.100.7", "deny")] {
        let given = attributes(&[("aws:SourceIp", &[address])]);
        assert_eq!(
            ask("1/ada", Action::BatchGetImage, WEB, texts, &given).0,
            want,
            "{address}"
        );
    }
    // A registry policy for a prefix.
    let shared = r#"{"Effect":"Allow","Principal":{"AWS":"222222222222"},"Action":"ecr:*","Resource":"arn:aws:ecr:local:111111111111:repository/shared/*"}"#;
    let texts = Texts {
        identity: PULL,
        registry: shared,
        ..Texts::default()
    };
    let shared = "arn:aws:ecr:local:111111111111:repository/shared/base";
    assert_eq!(
        ask("2/ci/run", Action::BatchGetImage, shared, texts, &Attributes::new()).0,
        "yes"
    );
    assert_eq!(
        ask("2/ci/run", Action::BatchGetImage, WEB, texts, &Attributes::new()).0,
        "no resource"
    );
    // Who may pull may not delete, and is told the action.
    let texts = Texts {
        identity: PULL,
        ..Texts::default()
    };
    let (answer, denial) = ask("1/ada", Action::BatchDeleteImage, WEB, texts, &Attributes::new());
    assert_eq!(answer, "no identity");
    assert!(
        denial
            .unwrap()
            .contains("not authorized to perform: ecr:BatchDeleteImage")
    );
}

#[test]
fn boundaries_and_session_policies_limit() {
    let none = String::new;
    // (what it shows, who, identity, boundary, session, repository, answer)
    let cases: Vec<(&str, &str, &str, &str, &str, String, &str)> = vec![
        ("within both", "1/ci/run", PULL, PULL, PULL, none(), "yes"),
        ("a boundary takes away", "1/ada", PULL, LOGIN, "", none(), "no boundary"),
        (
            "a session policy takes away",
            "1/ci/run",
            PULL,
            "",
            LOGIN,
            none(),
            "no session",
        ),
        ("neither gives", "1/ci/run", LOGIN, PULL, PULL, none(), "no identity"),
        ("a boundary denies", "1/ada", PULL, DENY_PULL, "", none(), "deny"),
        (
            "a session policy denies",
            "1/ci/run",
            PULL,
            "",
            DENY_PULL,
            none(),
            "deny",
        ),
        (
            "no boundary on what is given to the user itself",
            "1/ada",
            "",
            LOGIN,
            "",
            of("Allow", "1/ada"),
            "yes",
        ),
        (
            "a boundary on what is given to the role",
            "1/ci/run",
            "",
            LOGIN,
            "",
            of("Allow", "1/ci"),
            "no boundary",
        ),
        (
            "a session policy on what is given to the role",
            "1/ci/run",
            "",
            "",
            LOGIN,
            of("Allow", "1/ci"),
            "no session",
        ),
        (
            "neither on what is given to the session",
            "1/ci/run",
            "",
            LOGIN,
            LOGIN,
            of("Allow", "1/ci/run"),
            "yes",
        ),
        (
            "nor on what everybody has",
            "1/ci/run",
            "",
            LOGIN,
            LOGIN,
            ANYBODY.into(),
            "yes",
        ),
        (
            "but a denial in them counts",
            "1/ci/run",
            "",
            "",
            DENY_PULL,
            of("Allow", "1/ci/run"),
            "deny",
        ),
        (
            "from another account both limit",
            "2/ci/run",
            PULL,
            LOGIN,
            "",
            of("Allow", "2/ci/run"),
            "no boundary",
        ),
        (
            "from another account both limit",
            "2/ci/run",
            PULL,
            "",
            LOGIN,
            of("Allow", "2/ci/run"),
            "no session",
        ),
        ("an administrator has no boundary", "1", "", LOGIN, "", none(), "yes"),
    ];
    for (what, who, identity, boundary, session, repository, want) in cases {
        let texts = Texts {
            identity,
            boundary,
            session,
            repository: &repository,
            ..Texts::default()
        };
        assert_eq!(pull(who, texts), want, "{what}");
    }
}

#[test]
fn exceptions_by_not_principal_name_all_that_somebody_is() {
    let deny = |aws: &str| format!(r#"{{"Effect":"Deny","NotPrincipal":{{"AWS":[{aws}]}},"Action":"*"}}"#);
    let root = r#""111111111111""#;
    let ada = r#""arn:aws:iam::111111111111:user/ada""#;
    let role = r#""arn:aws:iam::111111111111:role/ci""#;
    let session = r#""arn:aws:sts::111111111111:assumed-role/ci/run""#;
    let cases = [
        ("1/ada", deny(ada), "deny"),
        ("1/ada", deny(root), "deny"),
        ("1/ada", deny(&format!("{ada},{root}")), "yes"),
        ("1/bob", deny(&format!("{ada},{root}")), "deny"),
        ("1", deny(&format!("{ada},{root}")), "yes"),
        ("1/ci/run", deny(&format!("{role},{root}")), "deny"),
        ("1/ci/run", deny(&format!("{session},{role},{root}")), "yes"),
        ("nobody", deny(root), "deny"),
    ];
    for (who, repository, want) in cases {
        let texts = Texts {
            identity: PULL,
            repository: &repository,
            ..Texts::default()
        };
        assert_eq!(pull(who, texts), want, "{who} {repository}");
    }
    let allow = format!(r#"{{"Effect":"Allow","NotPrincipal":{{"AWS":[{ada}]}},"Action":"*"}}"#);
    for (who, want) in [("1/ada", "no identity"), ("1/bob", "yes"), ("nobody", "yes")] {
        let texts = Texts {
            repository: &allow,
            ..Texts::default()
        };
        assert_eq!(pull(who, texts), want, "{who}");
    }
}

#[test]
fn resources_with_variables_are_each_ones_own() {
    let own =
        r#"{"Effect":"Allow","Action":"ecr:*","Resource":"arn:aws:ecr:*:*:repository/${aws:PrincipalTag/team}/*"}"#;
    let all_but_own =
        r#"{"Effect":"Deny","Action":"ecr:*","NotResource":"arn:aws:ecr:*:*:repository/${aws:PrincipalTag/team}/*"}"#;
    let all = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
    let denied = format!("{all},{all_but_own}");
    let not =
        r#"{"Effect":"Allow","Action":"ecr:*","NotResource":"arn:aws:ecr:*:*:repository/${aws:PrincipalTag/team}/*"}"#;
    let condition = r#""Action":"ecr:*","Resource":"*","Condition":{"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/${aws:PrincipalTag/team}"}}}"#;
    let unless = format!(r#"{{"Effect":"Allow",{condition}"#);
    let denied_unless = format!(r#"{all},{{"Effect":"Deny",{condition}"#);
    // (identity policy, team, answer); no team is an absent tag.
    let cases = [
        (own, Some("team-a"), "yes"),
        (own, Some("team-b"), "no identity"),
        (own, Some("*"), "no identity"),
        (own, Some("team-?"), "no identity"),
        (own, Some(""), "no identity"),
        (own, None, "no identity"),
        (denied.as_str(), Some("team-a"), "yes"),
        (denied.as_str(), Some("team-b"), "deny"),
        (denied.as_str(), None, "deny"),
        (not, Some("team-a"), "no identity"),
        (not, Some("team-b"), "yes"),
        (not, None, "no identity"),
        (unless.as_str(), Some("ada"), "no identity"),
        (unless.as_str(), Some("bob"), "yes"),
        (unless.as_str(), None, "no identity"),
        (denied_unless.as_str(), Some("ada"), "yes"),
        (denied_unless.as_str(), Some("bob"), "deny"),
        (denied_unless.as_str(), None, "deny"),
    ];
    for (identity, team, want) in cases {
        let given = team
            .map(|team| attributes(&[("aws:PrincipalTag/team", &[team])]))
            .unwrap_or_default();
        let texts = Texts {
            identity,
            ..Texts::default()
        };
        assert_eq!(
            ask("1/ada", Action::PutImage, WEB, texts, &given).0,
            want,
            "{identity} {team:?}"
        );
    }
}

#[test]
fn roles_are_taken_on_by_whom_they_trust() {
    const ROLE: &str = "arn:aws:iam::111111111111:role/deploy";
    let trust = |principal: &str| format!(r#"{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole"}}"#);
    let (ada, root) = (
        r#"{"AWS":"arn:aws:iam::111111111111:user/ada"}"#,
        r#"{"AWS":"111111111111"}"#,
    );
    let assume = r#"{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam::*:role/deploy"}"#;
    let cases = [
        ("1/ada", "", trust(ada), "yes"),
        ("1/bob", "", trust(ada), "no trust"),
        ("1/bob", assume, trust(ada), "no trust"),
        ("1/ada", "", trust(root), "no identity"),
        ("1/ada", assume, trust(root), "yes"),
        ("1", "", trust(root), "yes"),
        ("1", "", trust(ada), "no trust"),
        ("2/eve", assume, trust(root), "no trust"),
        ("2/eve", assume, trust(r#"{"AWS":"222222222222"}"#), "yes"),
        (
            "2/eve",
            "",
            trust(r#"{"AWS":"arn:aws:iam::222222222222:user/eve"}"#),
            "no identity",
        ),
        ("admin", "", trust(root), "yes"),
        ("nobody", "", trust(r#""*""#), "yes"),
        ("1/ada", assume, String::new(), "no trust"),
    ];
    for (who, identity, trust, want) in cases {
        let texts = Texts {
            identity,
            trust: &trust,
            ..Texts::default()
        };
        let answer = ask(who, Action::AssumeRole, ROLE, texts, &Attributes::new()).0;
        assert_eq!(answer, want, "{who} {identity} {trust}");
    }

    let federated = |provider: &str| {
        format!(
            r#"{{"Effect":"Allow","Principal":{{"Federated":"{provider}"}},"Action":"sts:AssumeRoleWithWebIdentity",
                "Condition":{{"StringLike":{{"token.actions.githubusercontent.com:sub":"repo:acme/*:ref:refs/heads/main"}}}}}}"#
        )
    };
    let prefix = PROVIDER.strip_suffix(".com").unwrap();
    let everybody = r#"{"Effect":"Allow","Principal":"*","Action":"sts:*"}"#.to_owned();
    let all_but_ada =
        r#"{"Effect":"Allow","NotPrincipal":{"AWS":"arn:aws:iam::111111111111:user/ada"},"Action":"sts:*"}"#.to_owned();
    let guarded = format!(
        r#"{},{{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRoleWithWebIdentity",
            "Condition":{{"StringNotLike":{{"token.actions.githubusercontent.com:sub":"*:refs/heads/main"}}}}}}"#,
        federated(PROVIDER).replace(":ref:refs/heads/main", "*"),
    );
    let denied_but_for = |named: &str| {
        let denial = format!(r#"{{"Effect":"Deny","NotPrincipal":{named},"Action":"sts:*"}}"#);
        format!("{},{denial}", federated(PROVIDER))
    };
    for (trust, sub, want) in [
        (federated(PROVIDER), "repo:acme/web:ref:refs/heads/main", "yes"),
        (federated(PROVIDER), "repo:evil/web:ref:refs/heads/main", "no trust"),
        (federated(prefix), "repo:acme/web:ref:refs/heads/main", "no trust"),
        (
            federated(&format!("{PROVIDER}/x")),
            "repo:acme/web:ref:refs/heads/main",
            "no trust",
        ),
        (everybody, "repo:acme/web:ref:refs/heads/main", "no trust"),
        (all_but_ada, "repo:acme/web:ref:refs/heads/main", "no trust"),
        (guarded.clone(), "repo:acme/web:ref:refs/heads/main", "yes"),
        (guarded, "repo:acme/web:ref:refs/heads/other", "deny"),
        (
            denied_but_for(r#"{"AWS":"111111111111"}"#),
            "repo:acme/web:ref:refs/heads/main",
            "deny",
        ),
        (
            denied_but_for(&format!(r#"{{"Federated":"{PROVIDER}"}}"#)),
            "repo:acme/web:ref:refs/heads/main",
            "yes",
        ),
        (denied_but_for(r#""*""#), "repo:acme/web:ref:refs/heads/main", "yes"),
    ] {
        let given = attributes(&[("token.actions.githubusercontent.com:sub", &[sub])]);
        let texts = Texts {
            trust: &trust,
            ..Texts::default()
        };
        let answer = ask("github", Action::AssumeRoleWithWebIdentity, ROLE, texts, &given).0;
        assert_eq!(answer, want, "{trust} {sub}");
    }
}

#[test]
fn resource_policies_have_no_say_in_tokens_users_and_creation() {
    let all = r#"{"Effect":"Allow","Principal":"*","Action":"*"}"#;
    let cases = [
        (Action::GetAuthorizationToken, false, false),
        (Action::CreateUser, false, false),
        (Action::CreateRepository, false, true),
        (Action::PutImage, true, true),
    ];
    for (action, by_repository, by_registry) in cases {
        let by = |texts| ask("1/ada", action, WEB, texts, &Attributes::new()).0 == "yes";
        let repository = Texts {
            repository: all,
            ..Texts::default()
        };
        let registry = Texts {
            registry: all,
            ..Texts::default()
        };
        assert_eq!(by(repository), by_repository, "{action}");
        assert_eq!(by(registry), by_registry, "{action}");
    }
}

#[test]
fn managed_policies_allow_what_their_names_say() {
    let (ada, owner) = (principal("1/ada"), account("1"));
    for action in Action::ALL {
        let is_allowed = |policy: &&ManagedPolicy| {
            let request = Request {
                requester: requester("1/ada", &ada),
                action: *action,
                resource: WEB,
                owner: &owner,
                context: &ConditionContext::default(),
            };
            let policies = Policies {
                identity: std::slice::from_ref(policy.named()),
                ..Policies::default()
            };
            decide(&request, &policies).is_allowed()
        };
        let allowed: Vec<&str> = ManagedPolicy::ALL
            .iter()
            .filter(is_allowed)
            .map(|policy| policy.as_str())
            .collect();
        let want: &[&str] = match action {
            Action::GetAuthorizationToken | Action::BatchGetImage | Action::GetDownloadUrlForLayer => {
                &["FullAccess", "PowerUser", "PullOnly", "ReadOnly"]
            }
            Action::BatchCheckLayerAvailability
            | Action::DescribeRepositories
            | Action::ListImages
            | Action::DescribeImages
            | Action::GetRepositoryPolicy
            | Action::GetLifecyclePolicy
            | Action::GetLifecyclePolicyPreview
            | Action::ListLifecycleRuns
            | Action::ListTagsForResource => &["FullAccess", "PowerUser", "ReadOnly"],
            Action::InitiateLayerUpload | Action::UploadLayerPart | Action::CompleteLayerUpload | Action::PutImage => {
                &["FullAccess", "PowerUser"]
            }
            Action::BatchImportUpstreamImage => &["FullAccess", "PullOnly"],
            Action::LookupEvents => &["FullAccess"],
            other if other.as_str().starts_with("ecr:") => &["FullAccess"],
            _ => &[],
        };
        assert_eq!(allowed, want, "{action}");
    }
}

#[test]
fn denials_read_as_ecr_writes_them() {
    let denial = |who: &str, texts| ask(who, Action::PutImage, WEB, texts, &Attributes::new()).1;
    let none = Texts::default();
    assert_eq!(
        denial("1/ada", none).unwrap(),
        "User: arn:aws:iam::111111111111:user/ada is not authorized to perform: ecr:PutImage on resource: \
         arn:aws:ecr:local:111111111111:repository/team-a/web because no identity-based policy allows the ecr:PutImage action"
    );
    let all = r#"{"Effect":"Deny","Action":"*","Resource":"*"}"#;
    let resource = r#"{"Effect":"Deny","Principal":"*","Action":"*"}"#;
    let put = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
    let cases = [
        (
            Texts { identity: all, ..none },
            "with an explicit deny in an identity-based policy",
        ),
        (
            Texts { boundary: all, ..none },
            "with an explicit deny in a permissions boundary",
        ),
        (
            Texts { session: all, ..none },
            "with an explicit deny in a session policy",
        ),
        (
            Texts {
                repository: resource,
                ..none
            },
            "with an explicit deny in a resource-based policy",
        ),
        (
            Texts {
                registry: resource,
                ..none
            },
            "with an explicit deny in a resource-based policy",
        ),
        (
            Texts {
                identity: put,
                boundary: PULL,
                ..none
            },
            "because no permissions boundary allows the ecr:PutImage action",
        ),
        (
            Texts {
                identity: put,
                session: PULL,
                ..none
            },
            "because no session policy allows the ecr:PutImage action",
        ),
    ];
    for (texts, because) in cases {
        let text = denial("1/ci/run", texts).unwrap();
        assert!(
            text.starts_with("User: arn:aws:sts::111111111111:assumed-role/ci/run is not authorized"),
            "{text}"
        );
        assert!(text.ends_with(because), "{text}");
    }
    let text = denial("nobody", none).unwrap();
    assert!(
        text.starts_with("User: anonymous is not authorized") && text.contains("no resource-based policy"),
        "{text}"
    );
    assert_eq!(denial("1", none), None);
}

#[test]
fn explanations_list_what_matches_and_what_nearly_does() {
    let statements = format!(
        r#"{PULL},{{"Sid":"Office","Effect":"Deny","Action":"*","Resource":"*","Condition":{{"NotIpAddress":{{"aws:SourceIp":"192.0.2.0/24"}}}}}},{PULL_TEAM_B}"#
    );
    let identity = [named(policy(&statements, PolicyGrammar::Identity).unwrap())];
    let repository = policy(ANYBODY, PolicyGrammar::Repository);
    let policies = Policies {
        identity: &identity,
        repository: repository.as_ref(),
        ..Policies::default()
    };
    let (ada, owner) = (principal("1/ada"), account("1"));
    for (address, is_allowed) in [("192.0.2.1", true), ("198.51.100.1", false)] {
        let context = ConditionContext {
            source_ip: Some(address.parse().unwrap()),
            ..ConditionContext::default()
        };
        let request = Request {
            requester: requester("1/ada", &ada),
            action: Action::BatchGetImage,
            resource: WEB,
            owner: &owner,
            context: &context,
        };
        let explanation = explain(&request, &policies);
        let matched: Vec<_> = explanation.matched.iter().map(ToString::to_string).collect();
        let near: Vec<_> = explanation.near.iter().map(|near| near.condition.as_str()).collect();
        let (allow, deny) = (
            "statement 1 of the identity-based policy `own`",
            "statement 2 (`Office`) of the identity-based policy `own`",
        );
        let public = "statement 1 of the repository policy";
        assert_eq!(explanation.decision.is_allowed(), is_allowed);
        if is_allowed {
            assert_eq!(
                (matched, near),
                (
                    vec![allow.to_owned(), public.to_owned()],
                    vec!["NotIpAddress aws:sourceip"]
                )
            );
        } else {
            assert_eq!(
                (matched, near),
                (vec![allow.to_owned(), deny.to_owned(), public.to_owned()], vec![])
            );
            let Decision::ExplicitDeny { statement } = explanation.decision else {
                panic!("{explanation:?}")
            };
            assert_eq!(
                (statement.kind, statement.index, statement.effect),
                (PolicyKind::Identity, 1, Effect::Deny)
            );
        }
    }
}
