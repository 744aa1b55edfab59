// SPDX-License-Identifier: Apache-2.0
//! `shelf_key`: an ephemeral resource.

use std::time::{Duration, UNIX_EPOCH};

use tfplugin::{Attr, Call, EphemeralResource, Opened, Renewed, Result, Schema};

use super::store::Store;

/// A key that opens a book for a while.
#[derive(Debug, Schema)]
pub struct Key {
    /// What it opens.
    #[tf(required)]
    pub isbn: Attr<String>,
    /// The key.
    #[tf(computed, sensitive)]
    pub secret: Attr<String>,
}

impl EphemeralResource for Key {
    const NAME: &'static str = "key";
    type Client = Store;

    async fn open(cx: &Call<Store>, config: Self) -> Result<Opened<Self>> {
        let isbn = config.isbn.required("isbn")?.clone();
        cx.client()?.note(&format!("open {isbn}"))?;
        let result = Self {
            secret: format!("secret of {isbn}").into(),
            ..config
        };
        Ok(Opened {
            result,
            renew_at: Some(UNIX_EPOCH + Duration::from_secs(4_000_000_000)),
            private: isbn.into(),
        })
    }

    async fn renew(cx: &Call<Store>, private: Vec<u8>) -> Result<Renewed> {
        cx.client()?
            .note(&format!("renew {}", String::from_utf8_lossy(&private)))?;
        Ok(Renewed::default())
    }

    async fn close(cx: &Call<Store>, private: Vec<u8>) -> Result<()> {
        cx.client()?
            .note(&format!("close {}", String::from_utf8_lossy(&private)))
    }
}
