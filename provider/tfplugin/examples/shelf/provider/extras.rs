// SPDX-License-Identifier: Apache-2.0
//! A data source, a list resource, an action and functions.

use tfplugin::{
    Action, Attr, Call, DataSource, Diagnostic, Function, FunctionError, ListResource, Listing, Parameters, Progress,
    Result, Schema,
};

use super::book::Book;
use super::store::Store;

/// Looks a book up.
#[derive(Debug, Schema)]
pub struct Lookup {
    /// The number of the book.
    #[tf(required)]
    pub isbn: Attr<String>,
    /// The title.
    #[tf(computed)]
    pub title: Attr<String>,
}

impl DataSource for Lookup {
    const NAME: &'static str = "lookup";
    type Client = Store;

    async fn read(cx: &Call<Store>, config: Self) -> Result<Self> {
        let isbn = config.isbn.required("isbn")?;
        match cx.client()?.get(isbn)? {
            Some(record) => Ok(Self {
                title: record.title.into(),
                ..config
            }),
            None => Err(Diagnostic::error("No such book", format!("There is no book `{isbn}`."))
                .at("isbn")
                .into()),
        }
    }
}

/// Lists books.
#[derive(Debug, Schema)]
pub struct Books {
    /// Only books of this genre.
    #[tf(optional)]
    pub genre: Attr<String>,
}

impl ListResource for Books {
    type Item = Book;

    async fn list(cx: &Call<Store>, config: Self, found: &mut Listing<Book>) -> Result<()> {
        for record in cx.client()?.all()? {
            if config.genre.known().is_some_and(|genre| *genre != record.genre) {
                continue;
            }
            let title = record.title.clone();
            let book = Book {
                isbn: record.isbn.into(),
                title: record.title.into(),
                genre: record.genre.into(),
                summary: record.summary.into(),
                revision: record.revision.into(),
                owner: record.owner.into(),
                place: "somewhere".into(),
                ..Book::default()
            };
            if found.push(title, &book).await?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Stamps a book.
#[derive(Debug, Schema)]
pub struct Stamp {
    /// The number of the book.
    #[tf(required)]
    pub isbn: Attr<String>,
    /// How often.
    #[tf(optional)]
    pub times: Attr<u32>,
}

impl Action for Stamp {
    const NAME: &'static str = "stamp";
    type Client = Store;

    async fn invoke(cx: &Call<Store>, config: Self, progress: &Progress) -> Result<()> {
        let isbn = config.isbn.required("isbn")?;
        if cx.client()?.get(isbn)?.is_none() {
            return Err(Diagnostic::error("No such book", format!("There is no book `{isbn}`."))
                .at("isbn")
                .into());
        }
        for time in 1..=config.times.unwrap_or(1) {
            progress.report(format!("stamp {time}")).await;
        }
        Ok(())
    }
}

/// Turns a text into a word for addresses.
///
/// Letters become lower case, and everything else a hyphen.
#[derive(Parameters)]
pub struct Slug {
    /// The text.
    text: String,
    /// The longest result allowed.
    limit: Option<u32>,
}

impl Function for Slug {
    const NAME: &'static str = "slug";
    type Output = String;

    fn call(self) -> Result<String, FunctionError> {
        if self.text.is_empty() {
            return Err(FunctionError::argument("text", "the text is empty"));
        }
        let slug: String = self
            .text
            .chars()
            .map(|letter| {
                if letter.is_alphanumeric() {
                    letter.to_ascii_lowercase()
                } else {
                    '-'
                }
            })
            .collect();
        match self.limit {
            Some(limit) if slug.len() > limit as usize => Err(FunctionError::argument("limit", "the text is too long")),
            _ => Ok(slug),
        }
    }
}

/// Joins words.
#[derive(Parameters)]
pub struct Join {
    /// What goes between them.
    separator: String,
    /// The words.
    #[tf(variadic)]
    words: Vec<String>,
}

impl Function for Join {
    const NAME: &'static str = "join";
    type Output = String;

    fn call(self) -> Result<String, FunctionError> {
        Ok(self.words.join(&self.separator))
    }
}
