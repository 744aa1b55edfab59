// SPDX-License-Identifier: Apache-2.0
//! What a plan says about a lifecycle policy: which images it would take, as the server's preview tells.

use std::fmt::Write as _;
use std::time::Duration;

use hythe_client::ClientError;
use hythe_model::RepositoryName;
use hythe_wire::{
    GetLifecyclePolicyPreview, LifecyclePolicyPreview, LifecyclePreviewOutcome, LifecyclePreviewStatus,
    StartLifecyclePolicyPreview, code,
};
use tfplugin::{Call, Diagnostic, Path, Result};

use crate::connection::Connection;
use crate::diagnostics;

/// How many images a warning names.
const NAMED_IMAGES: u32 = 10;
/// How long a plan waits for a preview; without one it goes on, and says so.
const PATIENCE: Duration = Duration::from_secs(30);
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(250);

/// Warns of the images that the policy would expire or archive, and refuses a policy that the server would refuse. That
/// there is no server or no repository yet is nothing to tell; that there is no preview for another reason is no failure of
/// a plan.
pub(super) async fn tell(cx: &Call<Connection>, name: &RepositoryName, policy: &str, path: &Path) -> Result<()> {
    let Some(connection) = cx.client_if_configured() else {
        return Ok(());
    };
    let preview = tokio::time::timeout(PATIENCE, preview(cx, connection, name, policy));
    let why = match cx.until_stopped(preview).await? {
        Ok(Ok(preview)) => {
            if let Some((summary, detail)) = words(name, &preview) {
                cx.report(Diagnostic::warning(summary, detail).at(path.clone()));
                return Ok(());
            }
            match preview.failure_reason {
                Some(why) => why,
                None => return Ok(()),
            }
        }
        Ok(Err(error)) => match error.code() {
            Some(code::REPOSITORY_NOT_FOUND) => return Ok(()),
            Some(code::INVALID_PARAMETER) => {
                return Err(diagnostics::failed("use the lifecycle policy", &error).at(path.clone()));
            }
            _ => error.to_string(),
        },
        Err(_) => format!("it was not complete after {} seconds", PATIENCE.as_secs()),
    };
    let detail = format!("There is no preview of the policy for repository `{name}`: {why}.");
    cx.report(
        Diagnostic::warning("It is not known which images the lifecycle policy would take", detail).at(path.clone()),
    );
    Ok(())
}

/// A finished preview with the first images that the policy takes.
async fn preview(
    cx: &Call<Connection>,
    connection: &Connection,
    name: &RepositoryName,
    policy: &str,
) -> Result<LifecyclePolicyPreview, ClientError> {
    let request = StartLifecyclePolicyPreview {
        lifecycle_policy_text: Some(policy.to_owned()),
    };
    let client = &connection.client;
    let mut own: Option<String> = None;
    loop {
        let Some(id) = &own else {
            match connection
                .send(cx, || client.start_lifecycle_policy_preview(name, &request))
                .await
            {
                Ok(started) => own = Some(started.preview_id),
                // Somebody else's, and there is one at a time.
                Err(error) if error.code() == Some(code::LIFECYCLE_PREVIEW_IN_PROGRESS) => {
                    tokio::time::sleep(BETWEEN_QUESTIONS).await;
                }
                Err(error) => return Err(error),
            }
            continue;
        };
        let query = GetLifecyclePolicyPreview {
            preview_id: Some(id.clone()),
            outcome: Some(LifecyclePreviewOutcome::Taken),
            max_results: Some(NAMED_IMAGES),
            ..GetLifecyclePolicyPreview::default()
        };
        match connection
            .send(cx, || client.lifecycle_policy_preview(name, &query))
            .await
        {
            Ok(preview) if preview.status == LifecyclePreviewStatus::InProgress => {
                tokio::time::sleep(BETWEEN_QUESTIONS).await;
            }
            Ok(preview) => return Ok(preview),
            // Somebody has started another one meanwhile.
            Err(error) if error.code() == Some(code::LIFECYCLE_PREVIEW_NOT_FOUND) => own = None,
            Err(error) => return Err(error),
        }
    }
}

fn words(name: &RepositoryName, preview: &LifecyclePolicyPreview) -> Option<(String, String)> {
    let summary = preview.summary.as_ref()?;
    let expiring = summary.expiring_image_total_count;
    let moving: u64 = summary
        .transitioning_image_total_counts
        .iter()
        .map(|of| of.image_total_count)
        .sum();
    if expiring + moving == 0 {
        return None;
    }
    let mut acts = Vec::new();
    if expiring > 0 {
        let bytes = bytes(summary.expiring_image_total_bytes);
        acts.push(format!("expire {} ({bytes})", images(expiring)));
    }
    if moving > 0 {
        let bytes = bytes(summary.transitioning_image_total_bytes);
        acts.push(format!("archive {} ({bytes})", images(moving)));
    }
    let acts = acts.join(" and ");
    let mut detail = format!(
        "Of the {} in repository `{name}`, the next run of the policy would {acts}:\n",
        images(summary.image_total_count)
    );
    for image in &preview.preview_results {
        let tags: Vec<String> = image.image_tags.iter().map(ToString::to_string).collect();
        let tags = if tags.is_empty() {
            "untagged".to_owned()
        } else {
            tags.join(", ")
        };
        let rule = image
            .applied_rule_priority
            .map_or_else(String::new, |rule| format!(", rule {rule}"));
        // A string takes whatever is written.
        write!(
            detail,
            "\n  {} ({tags}; pushed {}{rule})",
            image.image_digest,
            image.image_pushed_at.strftime("%F")
        )
        .ok();
    }
    let named = u64::try_from(preview.preview_results.len()).unwrap_or(u64::MAX);
    let more = (expiring + moving).saturating_sub(named);
    if more > 0 {
        write!(detail, "\n  and {more} more").ok();
    }
    if summary.following_image_total_count > 0 {
        let (count, bytes) = (
            summary.following_image_total_count,
            bytes(summary.following_image_total_bytes),
        );
        let those = images(count);
        write!(
            detail,
            "\n\nSignatures and the like go with what they refer to: {those} ({bytes})."
        )
        .ok();
    }
    let new = summary
        .comparison
        .as_ref()
        .map(|comparison| comparison.newly_taken_image_count);
    match new.map(|new| (expiring + moving).saturating_sub(new)) {
        None | Some(0) => {}
        Some(known) => {
            write!(detail, "\n\nThe present policy would take {known} of them too.").ok();
        }
    }
    Some((format!("The lifecycle policy would {acts}"), detail))
}

fn images(count: u64) -> String {
    match count {
        1 => "1 image".to_owned(),
        count => format!("{count} images"),
    }
}

/// A size as people read it: three digits at most, in units of 1024.
fn bytes(size: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut whole, mut tenths, mut unit) = (size, 0, 0);
    while whole >= 1024 && unit + 1 < units.len() {
        (whole, tenths, unit) = (whole / 1024, (whole % 1024) * 10 / 1024, unit + 1);
    }
    let name = units.get(unit).copied().unwrap_or_default();
    match (unit, whole) {
        (0, _) | (_, 100..) => format!("{whole} {name}"),
        _ => format!("{whole}.{tenths} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (150 * 1024 * 1024, "150 MiB"),
            (u64::MAX, "15.9 EiB"),
        ];
        for (size, want) in cases {
            assert_eq!(bytes(size), want);
        }
    }

    #[test]
    fn a_warning_names_the_first_images_and_counts_all() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let preview = serde_json::json!({
            "registryId": "000000000000", "repositoryName": "web", "previewId": "1", "lifecyclePolicyText": "{}",
            "status": "COMPLETE", "createdAt": "2026-01-01T00:00:00Z",
            "previewResults": [{
                "imageDigest": digest, "imageTags": ["v1"], "imagePushedAt": "2025-12-01T10:00:00Z",
                "imageSizeInBytes": 7, "storageClass": "STANDARD", "action": {"type": "EXPIRE"},
                "appliedRulePriority": 2, "reason": "old"
            }],
            "summary": {
                "imageTotalCount": 9, "expiringImageTotalCount": 3, "expiringImageTotalBytes": 2048, "freedBytes": 0,
                "followingImageTotalCount": 1, "followingImageTotalBytes": 100,
                "transitioningImageTotalBytes": 0, "keptImageTotalCount": 6, "protectedImageTotalCount": 0,
                "comparison": {
                    "newlyTakenImageCount": 1, "newlyTakenImageBytes": 7, "noLongerTakenImageCount": 0,
                    "noLongerTakenImageBytes": 0, "changedImageCount": 0
                }
            }
        });
        let preview: LifecyclePolicyPreview = serde_json::from_value(preview).unwrap();
        let (summary, detail) = words(&"web".parse().unwrap(), &preview).unwrap();
        assert_eq!(summary, "The lifecycle policy would expire 3 images (2.0 KiB)");
        assert_eq!(
            detail,
            format!(
                "Of the 9 images in repository `web`, the next run of the policy would expire 3 images (2.0 KiB):\n\
                 \n  {digest} (v1; pushed 2025-12-01, rule 2)\n  and 2 more\n\n\
                 Signatures and the like go with what they refer to: 1 image (100 B).\n\n\
                 The present policy would take 2 of them too."
            )
        );
    }
}
