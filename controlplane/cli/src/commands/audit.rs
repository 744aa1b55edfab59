// SPDX-License-Identifier: Apache-2.0
//! `hythe audit …`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use futures::TryStreamExt as _;
use hythe_client::wire::{
    AuditEvent, AuditEventPage, AuditPosition, AuditSettings, AuditVerification, ListAuditEvents, VerifyAudit,
};
use hythe_client::{AuditTail, Client};
use hythe_model::{Digest, RepositoryName};
use jiff::Timestamp;
use serde_json::Value;

use crate::audit_file;
use crate::context::Context;
use crate::duration;
use crate::error::CliError;
use crate::human;
use crate::table::Table;
use crate::writer::write_out;

pub(crate) const EXAMPLES: &str = "Examples:
  hythe audit list --repository team-a/web                       # who pulled and pushed
  hythe audit list --digest sha256:… --event BatchGetImage       # who pulled this image
  hythe audit list --principal ci --since 1h --errors
  hythe audit list --follow
  hythe audit export > audit.jsonl && hythe audit verify --file audit.jsonl
  hythe audit verify";
/// How many records are asked for at once.
const PAGE: u32 = 1000;
/// How long `--follow` waits before it asks again.
const FOLLOW_PAUSE: Duration = Duration::from_secs(1);

/// `hythe audit …`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List the records of requests, newest first
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        filter: Filter,
        /// How many records at most
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
        /// Go on with what comes, oldest first, until it is interrupted
        #[arg(long, short)]
        follow: bool,
    },
    /// Write records to standard output, oldest first, one JSON object a line
    Export {
        #[command(flatten)]
        filter: Filter,
        /// Only what comes after the record with this number
        #[arg(long, default_value_t = 0, value_name = "NUMBER")]
        after_sequence: u64,
        /// Go on with what comes, until it is interrupted
        #[arg(long, short)]
        follow: bool,
    },
    /// Check that no record was changed, removed, added or moved
    Verify {
        /// Check a file that `hythe audit export` wrote, without a server
        #[arg(long, value_name = "FILE", conflicts_with = "expect")]
        file: Option<PathBuf>,
        /// The file holds a selection: records may be missing between others
        #[arg(long, requires = "file")]
        allow_gaps: bool,
        /// A record that was noted before, which must be in the log: `NUMBER:HASH`
        #[arg(long, value_name = "NUMBER:HASH", value_parser = position)]
        expect: Option<AuditPosition>,
    },
    /// Show or change how long records are kept
    Settings {
        /// Keep records for so many days; 0 for ever
        #[arg(long, value_name = "DAYS")]
        retention_days: Option<u32>,
    },
}

/// Which records are wanted.
#[derive(Args, Clone, Debug, Default)]
pub struct Filter {
    /// Not before: a time (`2026-11-01T00:00:00Z`), or how long ago (`30m`, `2h`, `7d`)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before: a time, or how long ago
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Who asked: the name of a user, an ARN, `root`, or `*` for nobody known
    #[arg(long, value_name = "WHO")]
    principal: Option<String>,
    /// The name of the event, such as `BatchGetImage`, `PutImage` or `CreateUser`
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// The repository
    #[arg(long, value_name = "NAME")]
    repository: Option<RepositoryName>,
    /// The digest of an image or a layer, also one that a tag has left
    #[arg(long, value_name = "DIGEST")]
    digest: Option<Digest>,
    /// The code of the error, such as `DENIED`
    #[arg(long, value_name = "CODE")]
    error_code: Option<String>,
    /// The id of the request, which every refusal names
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Only what failed or was refused
    #[arg(long)]
    errors: bool,
    /// Of all accounts of the deployment
    #[arg(long)]
    all_accounts: bool,
}

impl Filter {
    fn query(&self, now: Timestamp) -> Result<ListAuditEvents, CliError> {
        let time = |text: &Option<String>| text.as_deref().map(|text| duration::time(text, now)).transpose();
        let wrong = |message| CliError::Usage {
            message,
            hint: "give a time such as `2026-11-01T00:00:00Z`, or how long ago, such as `30m`, `2h` or `7d`",
        };
        Ok(ListAuditEvents {
            all_accounts: self.all_accounts,
            start_time: time(&self.since).map_err(wrong)?,
            end_time: time(&self.until).map_err(wrong)?,
            principal: self.principal.clone(),
            event_name: self.event.clone(),
            repository: self.repository.clone(),
            digest: self.digest,
            error_code: self.error_code.clone(),
            request_id: self.request_id.clone(),
            max_results: Some(PAGE),
            ..ListAuditEvents::default()
        })
    }
}

pub(crate) async fn run(command: AuditCommand, context: &Context) -> Result<(), CliError> {
    match command {
        AuditCommand::List { filter, limit, follow } => {
            let query = filter.query(context.now())?;
            let client = context.client()?;
            if follow {
                let start = end_of_chain(&client).await?;
                return pass_on(context, &client, &query, start, true, |record| {
                    if filter.errors && record.get("errorCode").is_none() {
                        return Ok(None);
                    }
                    let event = serde_json::from_value::<AuditEvent>(record.clone());
                    event.map(|event| Some(line(&event))).map_err(not_a_record)
                })
                .await;
            }
            let mut events = Vec::new();
            let mut all = std::pin::pin!(client.all_audit_events(query));
            while events.len() < limit
                && let Some(event) = all.try_next().await?
            {
                if !filter.errors || event.error_code.is_some() {
                    events.push(event);
                }
            }
            list(context, events)
        }
        AuditCommand::Export {
            filter,
            after_sequence,
            follow,
        } => {
            let query = filter.query(context.now())?;
            let client = context.client()?;
            pass_on(context, &client, &query, after_sequence, follow, |record| {
                Ok((!filter.errors || record.get("errorCode").is_some()).then(|| record.to_string()))
            })
            .await
        }
        AuditCommand::Verify {
            file: Some(file),
            allow_gaps,
            ..
        } => audit_file::verify(context, &file, allow_gaps),
        AuditCommand::Verify { expect, .. } => verify(context, expect).await,
        AuditCommand::Settings { retention_days } => {
            let client = context.client()?;
            let settings = match retention_days {
                Some(retention_days) => {
                    client
                        .put_audit_settings(&AuditSettings { retention_days }, None)
                        .await?
                }
                None => client.audit_settings().await?,
            };
            context.writer.answer(&settings.value, || {
                let days = match settings.value.retention_days {
                    0 => "for ever".to_owned(),
                    days => human::counted(days.into(), "day"),
                };
                Table::fields([("records are kept", days)])
            })
        }
    }
}

/// Where the log ends now.
async fn end_of_chain(client: &Client) -> Result<u64, CliError> {
    let newest = ListAuditEvents {
        max_results: Some(PAGE),
        ..ListAuditEvents::default()
    };
    // The very newest may have no number yet.
    let page = client.audit_events(&newest).await?;
    let numbers = page.audit_events.iter().filter_map(|event| event.integrity.as_ref());
    Ok(numbers.map(|place| place.sequence).max().unwrap_or(0))
}

/// Writes a line for each record, as it comes: memory does not grow with the log.
async fn pass_on(
    context: &Context,
    client: &Client,
    query: &ListAuditEvents,
    mut after: u64,
    follow: bool,
    line: impl Fn(&Value) -> Result<Option<String>, CliError>,
) -> Result<(), CliError> {
    let mut count: u64 = 0;
    loop {
        let AuditTail {
            records,
            last_sequence,
            has_more,
        } = client.audit_events_after(query, after).await?;
        let lines = records.iter().map(&line).collect::<Result<Vec<_>, _>>()?;
        let lines: Vec<_> = lines.into_iter().flatten().collect();
        count += lines.len() as u64;
        if !lines.is_empty() {
            write_out(&lines.join("\n"))?;
        }
        let is_stuck = has_more && last_sequence == after;
        after = last_sequence;
        if has_more && !is_stuck {
            if context.writer.shows_progress() {
                context
                    .writer
                    .note(&format!("{} so far", human::counted(count, "record")));
            }
            continue;
        }
        if !follow {
            context.writer.note(&human::counted(count, "record"));
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(FOLLOW_PAUSE) => {}
            _ = tokio::signal::ctrl_c() => return Err(CliError::Interrupted),
        }
    }
}

fn not_a_record(error: serde_json::Error) -> CliError {
    CliError::Output(error.into())
}

/// A record on one line.
fn line(event: &AuditEvent) -> String {
    cells(event).map(|cell| human::one_line(&cell).into_owned()).join("  ")
}

fn list(context: &Context, audit_events: Vec<AuditEvent>) -> Result<(), CliError> {
    let page = AuditEventPage {
        audit_events,
        ..AuditEventPage::default()
    };
    context.writer.answer(&page, || {
        Table::list(
            ["TIME", "WHO", "EVENT", "WHAT", "FROM", "RESULT"],
            page.audit_events.iter().map(cells),
        )
        .unwrapped()
    })
}

fn cells(event: &AuditEvent) -> [String; 6] {
    let identity = &event.user_identity;
    let who = match (identity.kind.as_str(), &identity.user_name, &identity.arn) {
        ("Anonymous", ..) => "nobody".to_owned(),
        ("Root", ..) => format!("root of {}", identity.account_id.as_deref().unwrap_or_default()),
        (_, Some(name), _) => name.clone(),
        (_, None, Some(arn)) => arn.rsplit_once(':').map_or(arn.clone(), |(_, name)| name.to_owned()),
        (_, None, None) => "?".to_owned(),
    };
    let mut what = object_of(event);
    if let Some(tag) = &event.image_tag {
        what = format!("{what}:{tag}");
    }
    if let Some(digest) = &event.image_digest {
        what = format!("{what}@{}", human::short(digest));
    }
    [
        event.event_time.to_string(),
        who,
        event.event_name.clone(),
        if what.is_empty() { "-".into() } else { what },
        event.source_ip_address.clone().unwrap_or_else(|| "-".into()),
        event.error_code.clone().unwrap_or_else(|| "ok".into()),
    ]
}

/// What a request is about. That of a principal or a policy has the registry as its resource, and is told by its
/// parameters.
fn object_of(event: &AuditEvent) -> String {
    let arn = event.resources.first().map_or("", |resource| resource.arn.as_str());
    if let Some((_, name)) = arn.rsplit_once(":repository/") {
        return name.to_owned();
    }
    let named = |(kind, name): &(&str, &str)| {
        let name = event.request_parameters.get(*name)?.as_str()?;
        Some(format!("{kind}/{name}"))
    };
    let named: Vec<_> = OBJECTS.iter().filter_map(named).collect();
    if named.is_empty() || arn.contains(":role/") {
        return arn.rsplit_once(':').map_or(arn, |(_, name)| name).to_owned();
    }
    named.join(" ")
}

/// Parameters that say what a request is about, and what they name.
const OBJECTS: [(&str, &str); 7] = [
    ("user", "userName"),
    ("group", "groupName"),
    ("role", "roleName"),
    ("policy", "policyName"),
    ("key", "accessKeyId"),
    ("account", "accountId"),
    ("token", "tokenId"),
];

async fn verify(context: &Context, mut expected: Option<AuditPosition>) -> Result<(), CliError> {
    let client = context.client()?;
    let (mut token, mut first, mut records) = (None, None, 0);
    loop {
        let request = VerifyAudit {
            next_token: token.take(),
            expected: expected.take(),
        };
        let part = client.verify_audit(&request).await?;
        records += part.records;
        let from = first.get_or_insert(part.from.clone()).clone();
        if part.next_token.is_some() {
            context
                .writer
                .note(&format!("{records} records are as they were written"));
            token = part.next_token;
            continue;
        }
        let finding = part.finding.clone();
        let whole = AuditVerification { from, records, ..part };
        context.writer.answer(&whole, || {
            Table::fields([
                ("records", whole.records.to_string()),
                ("from", (whole.from.sequence + 1).to_string()),
                ("through", format!("{}:{}", whole.through.sequence, whole.through.hash)),
                (
                    "is intact",
                    if whole.finding.is_none() { "yes" } else { "no" }.to_owned(),
                ),
            ])
        })?;
        return match finding {
            None => Ok(()),
            Some(found) => Err(CliError::Tampered {
                sequence: found.sequence,
                reason: found.reason,
            }),
        };
    }
}

fn position(text: &str) -> Result<AuditPosition, String> {
    let read = || {
        let (sequence, hash) = text.split_once(':')?;
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        Some(AuditPosition {
            sequence: sequence.parse().ok()?,
            hash: is_hash.then(|| hash.to_owned())?,
        })
    };
    read().ok_or_else(|| "it must be `NUMBER:HASH`, as `hythe audit verify` shows it behind `through`".into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_request_is_about_is_shown() {
        let cases = [
            (
                "arn:aws:ecr:local:000000000000:repository/team-a/web",
                json!({"repositoryName": "team-a/web"}),
                "team-a/web",
            ),
            (
                "arn:aws:ecr:local:000000000000:registry",
                json!({"userName": "ci"}),
                "user/ci",
            ),
            (
                "arn:aws:ecr:local:000000000000:registry",
                json!({"userName": "ci", "accessKeyId": "K1"}),
                "user/ci key/K1",
            ),
            ("arn:aws:ecr:local:000000000000:registry", json!(null), "registry"),
            (
                "arn:aws:iam::000000000000:role/ci",
                json!({"roleName": "ci"}),
                "role/ci",
            ),
            ("", json!({}), ""),
        ];
        for (arn, parameters, shown) in cases {
            let resources = if arn.is_empty() {
                json!([])
            } else {
                json!([{"ARN": arn, "accountId": "000000000000"}])
            };
            let event = json!({
                "eventVersion": "1.1", "userIdentity": {"type": "Root"}, "eventSource": "", "eventName": "", "awsRegion": "",
                "sourceIPAddress": null, "userAgent": null, "requestParameters": parameters, "responseElements": null,
                "readOnly": false, "resources": resources, "eventType": "AwsApiCall", "recipientAccountId": null,
                "operation": "", "decision": {"effect": "Allow"}, "eventTime": "2026-11-01T00:00:00Z", "requestID": "",
                "eventID": "",
            });
            let event: AuditEvent = serde_json::from_value(event).unwrap();
            assert_eq!(object_of(&event), shown, "{arn}");
        }
    }
}
