// SPDX-License-Identifier: Apache-2.0
//! From what is known of a request to its record: `CloudTrail`'s fields (ECR, "Logging Amazon ECR actions with AWS
//! `CloudTrail`"), and a few of our own.

use std::borrow::Cow;

use hythe_access::{Answered, Asked, Facts, MovedTag, Principal, Resource, Who};
use hythe_model::{AccountId, Digest, Region, ReplicationPath, RepositoryArn, RepositoryPath, Tag};
use serde_json::{Map, Value, json};

/// The form of the records, as told in `eventVersion`.
pub(crate) const EVENT_VERSION: &str = "1.3";
/// The longest text that is taken over from a request, in characters.
const MAX_TEXT_CHARS: usize = 512;
/// The most moves of tags that one record lists; an image has no more tags than this.
const MAX_TAG_MOVES: usize = 1000;

/// What a transaction has changed, as far as a record tells it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    pub(crate) digest: Option<Digest>,
    pub(crate) tags: Vec<MovedTag>,
    /// Of something that no request asked for: what the transaction has to tell.
    pub(crate) details: Option<Value>,
}

/// What a record is found by. Made from the record itself, so that the two can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) account: String,
    pub(crate) principal: String,
    pub(crate) event: String,
    pub(crate) repository: Option<String>,
    pub(crate) digest: Option<String>,
    pub(crate) error: Option<String>,
}

impl Columns {
    pub(crate) fn of(record: &Value) -> Self {
        let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
        let owned = |pointer: &str| text(pointer).map(str::to_owned);
        let issuer = text("/userIdentity/sessionContext/sessionIssuer/arn");
        Self {
            account: owned("/recipientAccountId").unwrap_or_default(),
            principal: issuer.or(text("/userIdentity/arn")).unwrap_or_default().to_owned(),
            event: owned("/eventName").unwrap_or_default(),
            repository: text("/resources/0/ARN").and_then(repository_of),
            digest: owned("/imageDigest"),
            error: owned("/errorCode"),
        }
    }
}

/// `<account>/<name>`, if the ARN is that of a repository.
fn repository_of(arn: &str) -> Option<String> {
    let arn: RepositoryArn = arn.parse().ok()?;
    Some(arn.repository.to_string())
}

/// The record of a request, without what differs from one such request to the next.
pub(crate) fn shared(facts: &Facts, region: &Region, changes: Option<&Changes>) -> Value {
    // What is committed has succeeded, whatever comes of the answer.
    let is_done = changes.is_some() || (200..400).contains(&facts.status);
    let denied = facts.denied.as_ref().filter(|_| !is_done || facts.allowed.is_none());
    let asked = denied.map(|(asked, _)| asked).or(facts.allowed.as_ref());
    let named = repository(facts, asked);
    let (source, action) = asked
        .and_then(|asked| asked.action.as_str().split_once(':'))
        .unwrap_or((if named.is_some() { "ecr" } else { "hythe" }, facts.default_event));
    let account = asked
        .map(|asked| asked.resource.account())
        .or(facts.account.as_ref())
        .or(facts.who.as_ref().and_then(|who| who.principal.account()));
    let details = service_details(facts, changes);
    let mut record = Map::new();
    let mut set = |name: &str, value: Value| drop(record.insert(name.to_owned(), value));
    set("eventVersion", EVENT_VERSION.into());
    set(
        "userIdentity",
        match &facts.who {
            Some(who) => identity(who),
            None if details.is_some() => json!({"type": "AWSService", "invokedBy": format!("{source}.amazonaws.com")}),
            None => json!({"type": "Unknown"}),
        },
    );
    set("eventSource", format!("{source}.amazonaws.com").into());
    set("eventName", facts.event.unwrap_or(action).into());
    set("awsRegion", region.as_str().into());
    set("sourceIPAddress", facts.source_ip().map(|ip| ip.to_string()).into());
    set("userAgent", facts.user_agent().map(cut).into());
    if let Some((code, message)) = facts.error.as_ref().filter(|_| !is_done) {
        set("errorCode", code.as_ref().into());
        set("errorMessage", cut(denied.map_or(message, |(_, reason)| reason)).into());
    }
    set("requestParameters", parameters(facts, named.as_ref()));
    set("responseElements", response(facts, changes, named.as_ref(), is_done));
    // ECR calls its own doings read-only, whatever they delete.
    set("readOnly", (!facts.is_change || details.is_some()).into());
    set("resources", resources(asked, named.as_ref(), region));
    match details {
        Some(details) => {
            set("eventType", "AwsServiceEvent".into());
            set("serviceEventDetails", details);
        }
        None => set("eventType", "AwsApiCall".into()),
    }
    // All of them are about managing, also pulls (ECR, "Logging Amazon ECR actions with AWS CloudTrail").
    set("managementEvent", true.into());
    set("eventCategory", "Management".into());
    set("recipientAccountId", account.map(AccountId::as_str).into());
    set("operation", facts.operation.into());
    if facts.status != 0 && changes.is_none() {
        set("httpStatus", facts.status.into());
    }
    set("decision", decision(denied, asked));
    if let Some(path) = &facts.replica {
        set("replication", replication(path));
    }
    // What the server does by itself may be about many images.
    let of_one = changes.filter(|changes| changes.details.is_none());
    let digest = of_one.and_then(|changes| changes.digest).or(facts.digest);
    if let Some(digest) = digest {
        set("imageDigest", digest.to_string().into());
    }
    if let Some(tag) = &facts.tag {
        set("imageTag", tag.as_str().into());
    }
    if let Some(changes) = changes.filter(|changes| !changes.tags.is_empty()) {
        set("tagMoves", changes.tags.iter().take(MAX_TAG_MOVES).map(moved).collect());
    }
    Value::Object(record)
}

/// What is told of something that no request asked for.
fn service_details(facts: &Facts, changes: Option<&Changes>) -> Option<Value> {
    let told = changes.and_then(|changes| changes.details.clone());
    told.or_else(|| serde_json::from_str(facts.service_details.as_deref()?).ok())
}

fn identity(who: &Who) -> Value {
    let principal = &who.principal;
    let mut identity = Map::new();
    let mut set = |name: &str, value: Value| drop(identity.insert(name.to_owned(), value));
    let kind = match principal {
        Principal::Anonymous => "Anonymous",
        Principal::Root(_) => "Root",
        Principal::User(..) => "IAMUser",
        Principal::Role(_) => "AssumedRole",
    };
    set("type", kind.into());
    if let Some(id) = principal.user_id() {
        set("principalId", id.into());
    }
    set("arn", principal.to_string().into());
    if let Some(account) = principal.account() {
        set("accountId", account.as_str().into());
    }
    if let Some(key) = &who.lineage.access_key_id {
        set("accessKeyId", key.as_str().into());
    }
    match principal {
        Principal::Anonymous | Principal::Root(_) => {}
        Principal::User(_, name) => set("userName", name.as_str().into()),
        Principal::Role(session) => {
            let mut context = json!({
                "sessionIssuer": {
                    "type": "Role",
                    "arn": session.role_path().to_string(),
                    "accountId": session.account.as_str(),
                    "userName": session.role.as_str(),
                },
            });
            if let Some(context) = context.as_object_mut().filter(|_| !who.attributes.is_empty()) {
                let attributes = who.attributes.iter().map(|(key, values)| {
                    let values = values.iter().map(|value| cut(value).into()).collect();
                    (key.clone(), Value::Array(values))
                });
                context.insert("attributes".into(), Value::Object(attributes.collect()));
            }
            set("sessionContext", context);
        }
    }
    Value::Object(identity)
}

/// The repository that a request is about, also if it never came to a decision.
fn repository(facts: &Facts, asked: Option<&Asked>) -> Option<RepositoryPath> {
    match asked {
        Some(Asked {
            resource: Resource::Repository(path),
            ..
        }) => Some(path.clone()),
        Some(_) => None,
        None => Some(RepositoryPath {
            account: facts.account.clone()?,
            name: facts.repository.as_deref()?.parse().ok()?,
        }),
    }
}

fn parameters(facts: &Facts, named: Option<&RepositoryPath>) -> Value {
    let mut parameters = Map::new();
    if let Some(path) = named {
        parameters.insert("registryId".into(), path.account.as_str().into());
        parameters.insert("repositoryName".into(), path.name.as_str().into());
    } else if let Some(written) = &facts.repository {
        parameters.insert("repositoryName".into(), cut(written).into());
    }
    if let Some(tag) = &facts.tag {
        parameters.insert("imageTag".into(), tag.as_str().into());
    }
    parameters.extend(facts.parameters.iter().map(read_pair));
    if parameters.is_empty() {
        Value::Null
    } else {
        Value::Object(parameters)
    }
}

/// What a change has made. That of the control plane is added when the answer is there ([`answered`]).
fn response(facts: &Facts, changes: Option<&Changes>, named: Option<&RepositoryPath>, is_done: bool) -> Value {
    if is_done && !facts.response.is_empty() {
        return Value::Object(facts.response.iter().map(read_pair).collect());
    }
    let Some((changes, path)) = changes.zip(named) else {
        return Value::Null;
    };
    let digest = changes.digest.or(facts.digest).map(|digest| digest.to_string());
    let tag = facts.tag.as_ref().map(Tag::as_str);
    let (registry, repository) = (path.account.as_str(), path.name.as_str());
    match facts.operation {
        "manifest.put" => json!({"image": {
            "registryId": registry,
            "repositoryName": repository,
            "imageId": {"imageDigest": digest, "imageTag": tag},
        }}),
        "manifest.delete" => json!({"imageIds": [{"imageDigest": digest, "imageTag": tag}], "failures": []}),
        "upload.finish" | "upload.begin" => {
            json!({"registryId": registry, "repositoryName": repository, "layerDigest": digest})
        }
        _ => Value::Null,
    }
}

/// The record of a change with what its client was told; `None` if it is none that this can be added to.
pub(crate) fn answered(shared: &str, answer: &Answered) -> Option<String> {
    let record: Map<String, Value> = serde_json::from_str(shared).ok()?;
    if record.contains_key("httpStatus") {
        return None;
    }
    let mut with = Map::new();
    for (name, mut value) in record {
        // In the place that it has in records of reads.
        let is_before_status = name == "operation";
        if name == "responseElements" && value.is_null() && answer.status < 400 && !answer.response.is_empty() {
            value = Value::Object(answer.response.iter().map(read_pair).collect());
        }
        with.insert(name, value);
        if is_before_status {
            with.insert("httpStatus".into(), answer.status.into());
        }
    }
    Some(Value::Object(with).to_string())
}

fn read_pair((name, value): &(Cow<'static, str>, String)) -> (String, Value) {
    // Whoever noted it made the JSON; a text that is none is shown as a text.
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(cut(value)));
    (name.to_string(), value)
}

fn resources(asked: Option<&Asked>, named: Option<&RepositoryPath>, region: &Region) -> Value {
    let of = |path: &RepositoryPath| {
        let arn = RepositoryArn {
            region: region.clone(),
            repository: path.clone(),
        };
        json!([{"ARN": arn.to_string(), "accountId": path.account.as_str(), "type": "AWS::ECR::Repository"}])
    };
    match (asked.map(|asked| &asked.resource), named) {
        (Some(Resource::Repository(path)), _) | (None, Some(path)) => of(path),
        (Some(Resource::Role(role)), _) => {
            json!([{"ARN": role.to_string(), "accountId": role.account.as_str(), "type": "AWS::IAM::Role"}])
        }
        (Some(Resource::Registry(account)), _) => {
            json!([{"ARN": format!("arn:aws:ecr:{region}:{account}:registry"), "accountId": account.as_str()}])
        }
        (None, None) => json!([]),
    }
}

fn decision(denied: Option<&(Asked, String)>, asked: Option<&Asked>) -> Value {
    match (denied, asked) {
        (Some((asked, reason)), _) => {
            json!({"effect": "Deny", "action": asked.action.as_str(), "reason": cut(reason)})
        }
        (None, Some(asked)) => {
            let mut allowed = json!({"effect": "Allow", "action": asked.action.as_str()});
            if let (Some(by), Some(members)) = (&asked.by, allowed.as_object_mut()) {
                members.insert("statement".into(), cut(&by.to_string()).into());
            }
            allowed
        }
        (None, None) => json!({"effect": "NotAsked"}),
    }
}

/// Whence something was replicated here: the registry where it was pushed, and those that it came by. The sender says so.
fn replication(path: &ReplicationPath) -> Value {
    let mut places = path
        .places()
        .map(|place| json!({"region": place.region.as_str(), "registryId": place.account.as_str()}));
    let source = places.next();
    json!({"source": source, "via": places.collect::<Vec<_>>()})
}

fn moved(tag: &MovedTag) -> Value {
    let text = |digest: Option<Digest>| digest.map(|digest| digest.to_string());
    json!({"imageTag": tag.tag.as_str(), "fromDigest": text(tag.from), "toDigest": text(tag.to)})
}

/// A text of bounded length.
fn cut(text: &str) -> &str {
    text.char_indices()
        .nth(MAX_TEXT_CHARS)
        .and_then(|(end, _)| text.get(..end))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hythe_access::{Action, Caller, Decision, Grounds, RoleSession};

    use super::*;

    fn facts() -> Facts {
        Facts {
            operation: "GET /v2/<name>/manifests/<reference>",
            default_event: "BatchGetImage",
            account: Some(AccountId::default()),
            repository: Some("team-a/web".into()),
            ..Facts::default()
        }
    }

    fn asked() -> Resource {
        let name = "team-a/web".parse().unwrap();
        Resource::Repository(RepositoryPath {
            account: AccountId::default(),
            name,
        })
    }

    fn grounds() -> Grounds {
        Grounds {
            kind: "repository policy",
            policy: None,
            number: 2,
            sid: Some("pull".into()),
        }
    }

    #[test]
    fn a_pull_says_who_pulled_what() {
        let mut facts = facts();
        let mut caller = Caller::of(Principal::User(AccountId::default(), "eve".parse().unwrap()));
        caller.source_ip = Some([192, 0, 2, 7].into());
        caller.user_agent = Some("docker/29".into());
        facts.set_caller(&Arc::new(caller));
        facts.set_decision(Action::BatchGetImage, asked(), &Decision::Allowed(Some(grounds())));
        facts.tag = Some("1.0".parse().unwrap());
        facts.digest = Some(format!("sha256:{}", "a".repeat(64)).parse().unwrap());
        facts.status = 200;
        let record = shared(&facts, &Region::default(), None);
        assert_eq!(record["eventName"], "BatchGetImage");
        assert_eq!(record["userIdentity"]["userName"], "eve");
        assert_eq!(
            (record["sourceIPAddress"].as_str(), record["userAgent"].as_str()),
            (Some("192.0.2.7"), Some("docker/29"))
        );
        assert_eq!(record["readOnly"], true);
        assert_eq!(
            record["decision"],
            json!({
                "effect": "Allow",
                "action": "ecr:BatchGetImage",
                "statement": "statement 2 (`pull`) of the repository policy",
            })
        );
        assert_eq!(record["requestParameters"]["imageTag"], "1.0");
        assert!(record.get("errorCode").is_none());
        let columns = Columns::of(&record);
        assert_eq!(columns.repository.as_deref(), Some("000000000000/team-a/web"));
        assert_eq!(columns.principal, "arn:aws:iam::000000000000:user/eve");
        assert_eq!(columns.digest, facts.digest.map(|digest| digest.to_string()));
    }

    #[test]
    fn a_refusal_says_why() {
        let mut facts = facts();
        facts.set_caller(&Arc::new(Caller::anonymous()));
        facts.set_decision(Action::BatchGetImage, asked(), &Decision::Denied("because".into()));
        facts.status = 401;
        facts.error = Some(("UNAUTHORIZED".into(), "log in".into()));
        let record = shared(&facts, &Region::default(), None);
        assert_eq!(
            (record["errorCode"].as_str(), record["errorMessage"].as_str()),
            (Some("UNAUTHORIZED"), Some("because"))
        );
        assert_eq!(record["decision"]["effect"], "Deny");
        assert_eq!(record["userIdentity"], json!({"type": "Anonymous", "arn": "*"}));
    }

    #[test]
    fn who_was_turned_away_at_the_door_is_not_known() {
        let mut facts = facts();
        facts.error = Some(("UNAUTHORIZED".into(), "Not Authorized".into()));
        facts.status = 401;
        let record = shared(&facts, &Region::default(), None);
        assert_eq!(record["userIdentity"], json!({"type": "Unknown"}));
        assert_eq!(record["decision"]["effect"], "NotAsked");
        assert_eq!(
            Columns::of(&record).repository.as_deref(),
            Some("000000000000/team-a/web")
        );
    }

    #[test]
    fn a_change_tells_both_digests_of_a_tag() {
        let mut facts = facts();
        facts.is_change = true;
        facts.set_decision(Action::PutImage, asked(), &Decision::Allowed(None));
        // The source of a mount, for one: that it could not be read did not keep the change from happening.
        facts.set_decision(Action::GetDownloadUrlForLayer, asked(), &Decision::Denied("no".into()));
        let digest = |digit: &str| format!("sha256:{}", digit.repeat(64)).parse().ok();
        let changes = Changes {
            digest: digest("b"),
            tags: vec![MovedTag {
                tag: "1.0".parse().unwrap(),
                from: digest("a"),
                to: digest("b"),
            }],
            details: None,
        };
        let record = shared(&facts, &Region::default(), Some(&changes));
        assert_eq!(record["decision"]["effect"], "Allow");
        assert_eq!(
            record["tagMoves"][0]["fromDigest"],
            format!("sha256:{}", "a".repeat(64))
        );
        assert_eq!(record["tagMoves"][0]["toDigest"], record["imageDigest"]);
    }

    #[test]
    fn the_record_of_a_change_gets_its_answer() {
        let mut facts = facts();
        (facts.is_change, facts.operation) = (true, "CreateRepository");
        facts.set_decision(Action::CreateRepository, asked(), &Decision::Allowed(None));
        let record = shared(&facts, &Region::default(), Some(&Changes::default()));
        assert!(record["responseElements"].is_null() && record.get("httpStatus").is_none());
        let answer = Answered {
            status: 201,
            response: vec![("repositoryName".into(), "\"team-a/web\"".into())],
        };
        let text = answered(&record.to_string(), &answer).unwrap();
        let told: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&told["httpStatus"], &told["responseElements"]["repositoryName"]),
            (&201.into(), &"team-a/web".into())
        );
        assert!(answered(&text, &answer).is_none(), "once");
        assert_eq!(Columns::of(&told), Columns::of(&record));

        facts.operation = "manifest.put";
        facts.tag = Some("1.0".parse().unwrap());
        let record = shared(&facts, &Region::default(), Some(&Changes::default()));
        assert_eq!(record["responseElements"]["image"]["imageId"]["imageTag"], "1.0");
    }

    #[test]
    fn a_session_leads_back_to_its_role_and_its_claims() {
        let mut caller = Caller::of(Principal::Role(RoleSession {
            account: AccountId::default(),
            role: "ci".parse().unwrap(),
            session: "run-7".parse().unwrap(),
        }));
        caller.attributes = Arc::new([("issuer:sub".to_owned(), vec!["repo:a".to_owned()])].into());
        let mut facts = facts();
        facts.set_caller(&Arc::new(caller));
        let record = shared(&facts, &Region::default(), None);
        assert_eq!(
            record["userIdentity"]["sessionContext"]["attributes"]["issuer:sub"][0],
            "repo:a"
        );
        assert_eq!(Columns::of(&record).principal, "arn:aws:iam::000000000000:role/ci");
    }

    #[test]
    fn what_no_request_asked_for_is_told_as_the_doing_of_the_service() {
        let mut facts = Facts {
            is_change: true,
            default_event: "PolicyExecutionEvent",
            service_details: Some(r#"{"repositoryName":"team-a/web"}"#.into()),
            ..facts()
        };
        facts.operation = "lifecycle.run";
        let record = shared(&facts, &Region::default(), None);
        assert_eq!(
            (&record["eventName"], &record["eventType"], &record["readOnly"]),
            (&"PolicyExecutionEvent".into(), &"AwsServiceEvent".into(), &true.into())
        );
        assert_eq!(record["userIdentity"]["type"], "AWSService");
        assert_eq!(record["serviceEventDetails"]["repositoryName"], "team-a/web");
        assert_eq!(
            Columns::of(&record).repository.as_deref(),
            Some("000000000000/team-a/web")
        );
        let changes = Changes {
            details: Some(json!({ "images": 1 })),
            ..Changes::default()
        };
        let record = shared(&facts, &Region::default(), Some(&changes));
        assert_eq!(record["serviceEventDetails"], json!({ "images": 1 }));
    }

    #[test]
    fn texts_are_bounded() {
        assert_eq!(cut(&"ä".repeat(600)).chars().count(), MAX_TEXT_CHARS);
        assert_eq!(cut("short"), "short");
    }
}
