// SPDX-License-Identifier: Apache-2.0
//! Lists, page after page.

use std::future::Future;

use futures::stream::{self, Stream, TryStreamExt as _};

use crate::{Client, ClientError};

/// The entries of all pages. `fetch` gets the token of a page and gives its entries with the token of the next one.
pub(crate) fn entries<T, F, R>(
    client: &Client,
    fetch: F,
) -> impl Stream<Item = Result<T, ClientError>> + Send + use<T, F, R>
where
    T: Send,
    F: Fn(Client, Option<String>) -> R + Send,
    R: Future<Output = Result<(Vec<T>, Option<String>), ClientError>> + Send,
{
    enum Next {
        Page(Option<String>),
        End,
    }
    let pages = stream::try_unfold(
        (client.clone(), fetch, Next::Page(None)),
        |(client, fetch, next)| async move {
            let Next::Page(token) = next else { return Ok(None) };
            let (page, following) = fetch(client.clone(), token.clone()).await?;
            let next = match following {
                // A server that repeats itself would keep the client for ever.
                Some(following) if token.as_ref() == Some(&following) => {
                    return Err(client.decode_error("a list that does not advance"));
                }
                Some(following) => Next::Page(Some(following)),
                None => Next::End,
            };
            Ok(Some((stream::iter(page.into_iter().map(Ok)), (client, fetch, next))))
        },
    );
    pages.try_flatten()
}
