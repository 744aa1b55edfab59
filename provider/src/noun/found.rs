// SPDX-License-Identifier: Apache-2.0
//! A noun as a data source: the key is given, everything else is found.

use std::collections::BTreeMap;

use tfplugin::schema::{Kind, Mode, ObjectSchema};
use tfplugin::{Attribute, Call, DataSource, Diagnostic, Fields, Mismatch, Model, Path, Result, Schema, Value};

use super::{Api, Noun, called};
use crate::connection::Connection;

/// The data source of a noun. Its attributes are those of the resource, but for what only the state of one knows.
pub(crate) struct Found<N>(N);

impl<N: Noun> Fields for Found<N> {
    fn attributes() -> Vec<Attribute> {
        let is_read = |attribute: &Attribute| !attribute.is_write_only && !N::UNREAD.contains(&attribute.name.as_str());
        let attribute = |attribute: Attribute| {
            let is_given = N::KEY.contains(&attribute.name.as_str()) && !N::IS_SINGLETON;
            let mode = if is_given { Mode::Required } else { Mode::Computed };
            observed(attribute, mode)
        };
        N::attributes().into_iter().filter(is_read).map(attribute).collect()
    }

    fn from_object(object: BTreeMap<String, Value>) -> Result<Self, Mismatch> {
        N::from_object(object).map(Self)
    }

    fn to_object(&self) -> BTreeMap<String, Value> {
        let mut object = self.0.to_object();
        object.retain(|name, _| !N::UNREAD.contains(&name.as_str()));
        object
    }
}

/// The attribute as it is where nobody configures it, unless it is required.
fn observed(attribute: Attribute, mode: Mode) -> Attribute {
    let kind = match attribute.kind {
        Kind::Nested { nesting, object } => Kind::Nested {
            nesting,
            object: ObjectSchema {
                attributes: object
                    .attributes
                    .into_iter()
                    .map(|inner| observed(inner, Mode::Computed))
                    .collect(),
                blocks: object.blocks,
            },
        },
        kind @ Kind::Value(_) => kind,
    };
    let mut seen = Attribute::new(attribute.name, kind, mode).describe(&attribute.description);
    seen.is_sensitive = attribute.is_sensitive;
    if mode == Mode::Required {
        seen.validators = attribute.validators;
    }
    seen
}

impl<N: Noun> Model for Found<N> {
    const VERSION: i64 = 0;

    fn schema() -> Schema {
        let description = if N::IS_SINGLETON {
            format!("Reads {} that is managed elsewhere. There must be one.", N::A_NOUN)
        } else {
            format!("Reads {} that is managed elsewhere. It must exist.", N::A_NOUN)
        };
        Schema {
            version: 0,
            description,
            deprecation: None,
            object: Self::object_schema(),
        }
    }
}

impl<N: Noun> DataSource for Found<N> {
    const NAME: &'static str = N::NAME;
    type Client = Connection;

    async fn read(cx: &Call<Connection>, Self(config): Self) -> Result<Self> {
        let connection = Connection::of(cx).await?;
        let api = Api { connection, cx };
        let called = called(&config);
        let mut found = match cx.until_stopped(config.fetch(&api)).await? {
            Ok(found) => found,
            Err(failure) if failure.is_absence::<N>() => {
                let endpoint = connection.client.endpoint();
                let detail = format!("There is no {called} in the registry at `{endpoint}`.");
                let path = N::KEY.last().filter(|_| !N::IS_SINGLETON);
                let path = path.map_or_else(Path::root, |name| Path::new(*name));
                return Err(Diagnostic::error(format!("No {called}"), detail).at(path).into());
            }
            Err(failure) => return Err(failure.told(&format!("read {called}"))),
        };
        if let Ok(account) = connection.account(cx).await {
            found.predict(account);
        }
        Ok(Self(found))
    }
}
