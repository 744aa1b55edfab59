// SPDX-License-Identifier: Apache-2.0
//! Checks of everything that is stored.

use futures::Stream;
use hythe_wire::{ListQuery, Scrub, ScrubFindingDetail, ScrubPage, ScrubReport, StartScrub, path};
use reqwest::Method;

use super::page::entries;
use crate::{Client, ClientError};

impl Client {
    /// Starts a scrub; it goes on by itself.
    pub async fn start_scrub(&self, request: &StartScrub) -> Result<Scrub, ClientError> {
        self.request(Method::POST, &path::scrubs()).body(request).json().await
    }

    /// One page of scrubs, newest first.
    pub async fn scrubs(&self, query: &ListQuery) -> Result<ScrubPage, ClientError> {
        self.get(&path::scrubs()).query(query).json().await
    }

    /// A scrub, with one page of its findings.
    pub async fn scrub(&self, id: &str, query: &ListQuery) -> Result<ScrubReport, ClientError> {
        self.get(&path::scrub(id)).query(query).json().await
    }

    /// All findings of a scrub that are kept, page after page.
    pub fn all_scrub_findings(
        &self,
        id: &str,
    ) -> impl Stream<Item = Result<ScrubFindingDetail, ClientError>> + Send + use<> {
        let id = id.to_owned();
        entries(self, move |client, next_token| {
            let id = id.clone();
            let query = ListQuery {
                next_token,
                ..ListQuery::default()
            };
            async move {
                let page = client.scrub(&id, &query).await?;
                Ok((page.findings, page.next_token))
            }
        })
    }

    /// Ends a scrub.
    pub async fn cancel_scrub(&self, id: &str) -> Result<Scrub, ClientError> {
        self.request(Method::DELETE, &path::scrub(id)).json().await
    }
}
