// SPDX-License-Identifier: Apache-2.0
//! The table of who gets what from which operation, for review as a table.
//!
//! Everything that is asked about is in an ordinary account, so that its administrator and the one of the deployment are
//! told apart; but for operations with a `*`, which are about the whole deployment. A status of 401 or 403 has its usual
//! code. A new operation comes into the table by itself; it needs a request in `example` that is good for whoever may send
//! it. `INSTA_UPDATE=always cargo test -p hythe-rest --test access` writes the table anew, to be read.

#![allow(clippy::large_futures, reason = "test code")]

use std::fmt::Write as _;

use hythe_rest::{Access, OperationInfo, operations};
use serde_json::{Value, json};

use super::support::{Auth, Reply, World};
use super::{example, furnish, of_absent, prepare, send, without_names};

/// The account through which the deployment is administered; what is asked about is in the account 000000000000.
const DEPLOYMENT: &str = "999999999999";

/// Who asks, in the order of the columns:
/// - somebody without credentials,
/// - a user of the account without policies,
/// - a user of the account who may do everything of ECR in other repositories,
/// - a user of the account who may read (ECR's `ReadOnly`),
/// - the administrator of another account,
/// - the administrator of the account,
/// - the administrator of the deployment.
const COLUMNS: [&str; 7] = [
    "nobody",
    "stranger",
    "neighbour",
    "reader",
    "other",
    "owner",
    "deployment",
];
/// Those who may know nothing of what is asked about.
const OUTSIDERS: [&str; 4] = ["nobody", "stranger", "neighbour", "other"];

/// A deployment with everything that an operation may be about, who asks, and a good request.
struct Stage {
    world: World,
    callers: Vec<(&'static str, Auth)>,
    request: (String, Option<Value>),
}

impl Stage {
    /// `registry`: the account to ask about, where a request can say that.
    async fn set(info: &OperationInfo, registry: Option<&str>) -> Self {
        let mut world = World::administered_by(&DEPLOYMENT.parse().unwrap()).await;
        let owner = world.account("000000000000").await;
        let other = world.account("444444444444").await;
        let deployment = std::mem::replace(&mut world.root, owner.clone());
        let path = world.repository("team-a/web").await;
        furnish(&world).await;
        let digest = world.image(&path, "one", &["v1"]).await.to_string();
        let Auth::Basic(key, _) = world.user("ada", &["FullAccess"]).await else {
            panic!("an access key")
        };
        let next_door = json!({ "Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": "ecr:*", "Resource": "arn:aws:ecr:*:*:repository/team-b/*" } });
        let policy = json!({ "policyName": "next-door", "policyDocument": next_door.to_string() });
        world.post("/api/v1/policies", policy).await.expect(201);
        let stranger = world.user("eve", &[]).await;
        let neighbour = world.user("ned", &["next-door"]).await;
        let reader = world.user("rob", &["ReadOnly"]).await;
        let token = world
            .post("/api/v1/authorization-tokens", json!({ "renewable": true }))
            .await
            .text("/tokenId");
        world.identity_provider("https://ci.example").await;
        // Accounts, collections and scrubs are the deployment's.
        let of_deployment = ["{accountId}", "/api/v1/garbage-collection", "/api/v1/scrubs"];
        if of_deployment.iter().any(|part| info.path.contains(part)) {
            world.root = deployment.clone();
        }
        let other_key = prepare(&world, info, &digest).await;
        world.root = owner.clone();
        let (path, body) = example(info, &digest, other_key.as_deref().unwrap_or(&key), &token);
        // Without it, those of another account would ask about their own.
        let join = if path.contains('?') { '&' } else { '?' };
        let path = match registry {
            Some(registry) => format!("{path}{join}registryId={registry}"),
            None => path,
        };
        let callers = [Auth::Nobody, stranger, neighbour, reader, other, owner, deployment];
        Self {
            world,
            callers: COLUMNS.into_iter().zip(callers).collect(),
            request: (path, body),
        }
    }

    async fn ask(&self, column: &str, info: &OperationInfo) -> Reply {
        let (_, auth) = self.callers.iter().find(|(name, _)| *name == column).unwrap();
        let reply = send(&self.world, auth, info, &self.request).await;
        if OUTSIDERS.contains(&column) {
            let absent = (of_absent(&self.request.0), self.request.1.clone());
            let there = send(&self.world, auth, info, &absent).await;
            assert_eq!(
                without_names(&reply),
                without_names(&there),
                "{} tells {column} what there is",
                info.name
            );
        }
        reply
    }
}

/// The status, and the code if it is not the usual one of that status.
fn cell(reply: &Reply) -> String {
    let status = reply.status;
    if status < 400 {
        return status.to_string();
    }
    match (status, reply.text("/code").as_str()) {
        (401, "MissingAuthenticationTokenException") | (403, "AccessDeniedException") => status.to_string(),
        (_, code) => format!("{status} {code}"),
    }
}

fn row(name: &str, cells: &[String]) -> String {
    let mut row = format!("{name:32}");
    for cell in cells {
        write!(row, " {cell:>10}").unwrap();
    }
    row
}

/// What everybody gets, and whether anybody got what was asked for.
async fn answers(info: &OperationInfo, registry: Option<&str>) -> (Vec<String>, bool) {
    let mut stage = Stage::set(info, registry).await;
    let (mut cells, mut is_good) = (Vec::new(), false);
    for column in COLUMNS {
        let reply = stage.ask(column, info).await;
        is_good |= reply.status == info.answer.status.as_u16();
        // What one of them has changed, the next one finds as it was.
        if info.is_change && reply.status < 300 {
            stage = Stage::set(info, registry).await;
        }
        cells.push(cell(&reply));
    }
    (cells, is_good)
}

#[tokio::test]
async fn the_matrix_of_operations_and_callers_is_as_reviewed() {
    let document = World::new().await.get("/api/v1/openapi.json").await.json();
    let mut table = row("", &COLUMNS.map(str::to_owned));
    let mut missed = Vec::new();
    for info in operations() {
        let method = info.method.as_str().to_lowercase();
        let parameters = &document["paths"][info.path][method]["parameters"];
        let takes_registry = parameters.to_string().contains("\"registryId\"");
        let (mut cells, mut is_good) = answers(info, takes_registry.then_some("000000000000")).await;
        let mut name = info.name.to_owned();
        if takes_registry && !is_good {
            // There is one for the whole deployment.
            (cells, is_good) = answers(info, Some(DEPLOYMENT)).await;
            name.push_str(" *");
        }
        table.push('\n');
        table.push_str(&row(&name, &cells));
        // End-to-end tests of federation have proofs.
        if !is_good && info.access != Access::Proof {
            missed.push(info.name);
        }
    }
    assert!(missed.is_empty(), "`example` has no good request for {missed:?}");
    insta::assert_snapshot!("operations", table);
}

#[test]
fn no_operation_is_missing_from_the_matrix() {
    let reviewed = include_str!("snapshots/access__matrix__operations.snap");
    let rows: Vec<&str> = reviewed
        .lines()
        .skip_while(|line| !line.contains(COLUMNS[0]))
        .skip(1)
        .filter_map(|line| line.split(' ').next())
        .collect();
    let names: Vec<&str> = operations().iter().map(|info| info.name).collect();
    assert_eq!(rows, names, "the reviewed matrix has other operations than the table");
}
