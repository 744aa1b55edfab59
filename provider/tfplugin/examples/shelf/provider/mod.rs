// SPDX-License-Identifier: Apache-2.0
//! The provider: its configuration, its client and its contents.

mod book;
mod extras;
mod key;
mod store;

pub use store::Store;

use tfplugin::{Attr, Call, Contents, Provider, Result, Schema};

/// The provider.
#[derive(Debug)]
pub struct Shelf;

/// Keeps books in a folder.
#[derive(Schema)]
pub struct Config {
    /// The folder. It must exist.
    #[tf(required)]
    pub directory: Attr<String>,
    /// Whose name is written into every book.
    #[tf(optional, default = "nobody")]
    pub owner: Attr<String>,
}

impl Provider for Shelf {
    const NAME: &'static str = "shelf";
    type Config = Config;
    type Client = Store;

    fn contents(&self) -> Contents<Store> {
        Contents::new()
            .resource::<book::Book>()
            .resource::<book::Pamphlet>()
            .list::<extras::Books>()
            .data_source::<extras::Lookup>()
            .ephemeral::<key::Key>()
            .function::<extras::Slug>()
            .function::<extras::Join>()
            .action::<extras::Stamp>()
    }

    async fn configure(&self, _cx: &Call<()>, config: Config) -> Result<Option<Store>> {
        match (config.directory, config.owner) {
            (Attr::Known(directory), Attr::Known(owner)) => Ok(Some(Store::new(directory, owner))),
            _ => Ok(None),
        }
    }
}
