// SPDX-License-Identifier: Apache-2.0
//! A noun as a list resource.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use tfplugin::{Attribute, Call, Fields, ListResource, Listing, Mismatch, Model, Result, Schema, Value};

use super::{Managed, Noun, key, noun};
use crate::connection::Connection;
use crate::diagnostics;

/// The list of a noun.
pub(crate) struct Listed<N: Noun>(N::Filter);

impl<N: Noun> Fields for Listed<N> {
    fn attributes() -> Vec<Attribute> {
        N::Filter::attributes()
    }

    fn from_object(object: BTreeMap<String, Value>) -> Result<Self, Mismatch> {
        N::Filter::from_object(object).map(Self)
    }

    fn to_object(&self) -> BTreeMap<String, Value> {
        self.0.to_object()
    }
}

impl<N: Noun> Model for Listed<N> {
    const VERSION: i64 = 0;

    fn schema() -> Schema {
        N::Filter::schema()
    }
}

impl<N: Noun> ListResource for Listed<N> {
    type Item = Managed<N>;

    async fn list(cx: &Call<Connection>, Self(filter): Self, found: &mut Listing<Managed<N>>) -> Result<()> {
        let connection = Connection::of(cx).await?;
        let account = connection.account(cx).await;
        let mut objects = N::list(filter, &connection.client)?;
        loop {
            let next = cx.until_stopped(objects.try_next()).await?;
            let next = next.map_err(|error| diagnostics::failed(&format!("list {}", plural(noun::<N>())), &error))?;
            let Some(mut object) = next else { return Ok(()) };
            if let Ok(account) = account {
                object.predict(account);
            }
            let name = key(&object).unwrap_or_default().join("/");
            if found.push(name, &Managed(object)).await?.is_break() {
                return Ok(());
            }
        }
    }
}

fn plural(noun: &str) -> String {
    match noun.strip_suffix('y').filter(|stem| !stem.ends_with('e')) {
        Some(stem) => format!("{stem}ies"),
        None => format!("{noun}s"),
    }
}
