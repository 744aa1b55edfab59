// SPDX-License-Identifier: Apache-2.0
//! What changes while it is brought to a destination.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::RegistryClient;
use e2e::process::wait_until;
use serde_json::json;

use crate::settings::{pair, put, shown};
use crate::world::{noise, tag, tasks, wait_for};

/// Each round is a chance that a task is wanted again in the moment in which it ends.
const ROUNDS: usize = 400;
/// Half the time for which a task is left to a process that says that it works on it.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn what_changes_all_the_time_is_there_soon_after_it_has_come_to_rest() -> Result<()> {
    let (here, there) = pair(&["RESOURCE_TAGS"], json!({}))?;
    here.create_repository("web")?;
    let (client, remote) = (RegistryClient::new(&here), RegistryClient::new(&there));
    let mut images = Vec::new();
    for number in 0..2 {
        let image = client.push_image("web", "latest", &noise(&format!("image {number}"), 1000))?;
        let manifest = client.manifest("web", &image)?.expect(200)?.body;
        images.push((image, manifest));
    }
    wait_for(&here, "web", &images[1].0)?;
    std::thread::scope(|scope| -> Result<()> {
        let tagging = scope.spawn(|| -> Result<()> {
            for round in 0..ROUNDS {
                let tags = json!({ "tags": [{ "Key": "round", "Value": round.to_string() }] });
                put(&here, "web", "resource-tags", &tags)?;
            }
            Ok(())
        });
        for round in 0..ROUNDS {
            let (_, manifest) = &images[round % 2];
            let media_type = "application/vnd.oci.image.manifest.v1+json";
            client
                .put_manifest("web", "latest", media_type, manifest)?
                .expect(201)?;
        }
        tagging.join().unwrap()
    })?;
    wait_until("nothing waits any more", SOON, || {
        tasks(&here, "").is_ok_and(|tasks| tasks == json!([]))
    })
    .with_context(|| format!("{:?}\n{}", tasks(&here, ""), here.log()))?;
    let (last, _) = &images[(ROUNDS - 1) % 2];
    ensure!(
        tag(&remote, "web", "latest")?.as_deref() == Some(&**last),
        "the tag is elsewhere"
    );
    ensure!(
        shown(&here, "web")?["tags"] == shown(&there, "web")?["tags"],
        "the tags are others"
    );
    Ok(())
}
