// SPDX-License-Identifier: Apache-2.0
//! `shelf_book`: uses everything that a resource can have.

use std::collections::BTreeMap;
use std::time::Duration;

use tfplugin::{
    Attr, Call, Create, Diagnostic, Diagnostics, Identity, Import, Json, MoveSource, NoIdentity, Object, Path, Plan,
    Resource, Result, Schema, Set, Update, Value,
};

use super::store::{Record, Store};

/// A book.
///
/// Books are known by their ISBN.
#[derive(Clone, Debug, Default, Schema)]
#[tf(version = 1)]
pub struct Book {
    /// The number of the book.
    #[tf(required, replace, validate = isbn)]
    pub isbn: Attr<String>,
    /// The title.
    #[tf(required)]
    pub title: Attr<String>,
    /// The genre.
    #[tf(optional, default = "novel", one_of = ["novel", "poetry", "science"])]
    pub genre: Attr<String>,
    /// A summary as JSON. Formatting does not matter.
    #[tf(optional, equal = same_json)]
    pub summary: Attr<String>,
    /// How many pages it has.
    #[tf(optional)]
    pub pages: Attr<u64>,
    /// Who wrote it.
    #[tf(optional, validate_each = not_empty)]
    pub authors: Attr<Vec<String>>,
    /// Labels by name.
    #[tf(optional)]
    pub tags: Attr<BTreeMap<String, String>>,
    /// Words to find it by.
    #[tf(optional)]
    pub keywords: Attr<Set<String>>,
    /// The chapters in order.
    #[tf(optional)]
    pub chapters: Attr<Vec<Chapter>>,
    /// Notes in the margin.
    #[tf(optional)]
    pub notes: Attr<Set<Note>>,
    /// The cover.
    #[tf(optional)]
    pub cover: Attr<Cover>,
    /// Anything else.
    #[tf(optional)]
    pub extra: Attr<Value>,
    /// Unlocks the book.
    #[tf(optional, sensitive, write_only)]
    pub password_wo: Attr<String>,
    /// Change it to set the password again.
    #[tf(optional)]
    pub password_wo_version: Attr<u64>,
    /// How the server should misbehave: `slow`, `partial`, `panic`, `panic_late`, `refuse_delete`, `broken`.
    #[tf(optional)]
    pub mischief: Attr<String>,
    /// Where the book stands.
    #[tf(computed, stable)]
    pub place: Attr<String>,
    /// Whose book it is: what the provider block says.
    #[tf(computed)]
    pub owner: Attr<String>,
    /// How often it was changed.
    #[tf(computed)]
    pub revision: Attr<u64>,
    /// Earlier editions.
    #[tf(block(max = 3))]
    pub edition: Attr<Vec<Edition>>,
}

/// A chapter.
#[derive(Clone, Debug, Default, PartialEq, Object)]
pub struct Chapter {
    /// The heading.
    #[tf(required)]
    pub heading: Attr<String>,
    /// The number of pages.
    #[tf(optional, default = 1)]
    pub length: Attr<u64>,
    /// The first page.
    #[tf(computed)]
    pub first_page: Attr<u64>,
}

/// A note.
#[derive(Clone, Debug, PartialEq, Object)]
pub struct Note {
    /// The text.
    #[tf(required)]
    pub text: String,
    /// The page.
    #[tf(optional)]
    pub page: Option<u64>,
}

/// A cover.
#[derive(Clone, Debug, PartialEq, Object)]
pub struct Cover {
    /// The colour.
    #[tf(required)]
    pub colour: String,
    /// Whether it is hard.
    #[tf(optional, default = false)]
    pub hard: Attr<bool>,
}

/// An edition.
#[derive(Clone, Debug, PartialEq, Object)]
pub struct Edition {
    /// The year.
    #[tf(required)]
    pub year: Attr<u64>,
}

/// Names a book for good.
#[derive(Clone, Debug, Identity)]
pub struct BookIdentity {
    /// The number of the book.
    pub isbn: String,
}

fn isbn(text: &str) -> Result<(), String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        Ok(())
    } else {
        Err(format!("`{text}` has other characters than digits and hyphens"))
    }
}

#[expect(clippy::panic, reason = "shows what the library makes of a bug")]
fn fall_over() {
    panic!("the shelf fell over");
}

fn not_empty(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        Err("must not be empty")
    } else {
        Ok(())
    }
}

fn same_json(a: &str, b: &str) -> bool {
    let parse = |text| serde_json::from_str::<Json>(text).ok();
    parse(a).is_some_and(|json| Some(json) == parse(b))
}

impl Book {
    fn record(&self, store: &Store, revision: u64, password: Option<String>) -> Result<Record> {
        Ok(Record {
            isbn: self.isbn.required("isbn")?.clone(),
            title: self.title.required("title")?.clone(),
            genre: self.genre.clone().unwrap_or_default(),
            // The server keeps the meaning, not the text.
            summary: self
                .summary
                .as_str()
                .map(|text| match serde_json::from_str::<Json>(text) {
                    Ok(json) => json.to_string(),
                    Err(_) => text.to_owned(),
                }),
            revision,
            owner: store.owner.clone(),
            password,
        })
    }

    /// This book as the server has it.
    fn observed(mut self, record: Record) -> Self {
        self.place = format!("row {}", record.isbn.len()).into();
        self.isbn = record.isbn.into();
        self.title = record.title.into();
        self.genre = record.genre.into();
        self.summary = record.summary.into();
        self.revision = record.revision.into();
        self.owner = record.owner.into();
        self.number_chapters();
        self
    }

    fn number_chapters(&mut self) {
        let Attr::Known(chapters) = &mut self.chapters else {
            return;
        };
        let mut page = Attr::Known(1);
        for chapter in chapters {
            chapter.first_page = page;
            page = match (page.known(), chapter.length.known()) {
                (Some(page), Some(length)) => Attr::Known(page + length),
                _ => Attr::Unknown,
            };
        }
    }

    fn mischief(&self, kind: &str) -> bool {
        self.mischief.as_str() == Some(kind)
    }
}

impl Resource for Book {
    const NAME: &'static str = "book";
    type Client = Store;
    type Identity = BookIdentity;

    async fn create(cx: &Call<Store>, Create { planned, config }: Create<Self>) -> Result<Self> {
        let store = cx.client()?;
        if planned.mischief("panic") {
            fall_over();
        }
        let record = planned.record(store, 1, config.password_wo.into_known())?;
        if store.get(&record.isbn)?.is_some() {
            return Err(Diagnostic::error("Book exists", "There is such a book already.")
                .at("isbn")
                .into());
        }
        store.put(&record)?;
        let created = planned.observed(record);
        cx.record(&created);
        cx.set_private(*b"made here");
        if created.mischief("slow") {
            store.note("creating slowly")?;
            cx.until_stopped(tokio::time::sleep(Duration::from_mins(1))).await?;
        }
        if created.mischief("partial") {
            return Err(Diagnostics::error("Half done", "The book has no cover yet."));
        }
        if created.mischief("panic_late") {
            fall_over();
        }
        if created.mischief("broken") {
            return Ok(Self {
                revision: Attr::Unknown,
                title: "something else".into(),
                ..created
            });
        }
        Ok(created)
    }

    async fn read(cx: &Call<Store>, state: Self) -> Result<Option<Self>> {
        let record = cx.client()?.get(state.isbn.required("isbn")?)?;
        Ok(record.map(|record| state.observed(record)))
    }

    async fn update(cx: &Call<Store>, Update { prior, planned, config }: Update<Self>) -> Result<Self> {
        let store = cx.client()?;
        let before = store.get(planned.isbn.required("isbn")?)?.unwrap_or_default();
        let is_rotated = prior.password_wo_version != planned.password_wo_version;
        let password = if is_rotated {
            config.password_wo.into_known()
        } else {
            before.password
        };
        let record = planned.record(store, before.revision + 1, password)?;
        store.put(&record)?;
        Ok(planned.observed(record))
    }

    async fn delete(cx: &Call<Store>, state: Self) -> Result<()> {
        if state.mischief("refuse_delete") {
            return Err(Diagnostics::error("Book is chained", "This book cannot be removed."));
        }
        cx.client()?.delete(state.isbn.required("isbn")?)
    }

    fn validate(config: &Self) -> Diagnostics {
        let mut diagnostics = Diagnostics::new();
        if !config.password_wo.is_null() && config.password_wo_version.is_null() {
            let detail = "`password_wo` needs `password_wo_version`, which says when to set it again.";
            diagnostics.push(Diagnostic::error("Missing version", detail).at("password_wo_version"));
        }
        diagnostics
    }

    async fn plan(cx: &Call<Store>, plan: &mut Plan<Self>) -> Result<()> {
        plan.planned.number_chapters();
        if let Attr::Known(isbn) = &plan.planned.isbn {
            plan.planned.place = format!("row {}", isbn.len()).into();
        }
        if let Some(store) = cx.client_if_configured() {
            plan.planned.owner = store.owner.clone().into();
        }
        let was_science = plan
            .prior
            .as_ref()
            .is_some_and(|prior| prior.genre.as_str() == Some("science"));
        if was_science && plan.planned.genre.as_str() == Some("poetry") {
            plan.require_replacement("genre");
        }
        if plan.planned.mischief("panic") {
            cx.warn("Mischief", "This will not end well.");
        }
        Ok(())
    }

    async fn plan_destroy(cx: &Call<Store>, state: &Self) -> Result<()> {
        if state.mischief("refuse_delete") {
            cx.report(Diagnostic::warning("Book is chained", "Its removal will fail.").at(Path::new("mischief")));
        }
        Ok(())
    }

    async fn import(cx: &Call<Store>, request: Import<BookIdentity>) -> Result<Self> {
        let isbn = match request {
            Import::Id(id) => id,
            Import::Identity(identity) => identity.isbn,
        };
        if cx.client()?.get(&isbn)?.is_none() {
            return Err(Diagnostics::error(
                "No such book",
                format!("There is no book `{isbn}`."),
            ));
        }
        Ok(Self {
            isbn: isbn.into(),
            ..Self::default()
        })
    }

    fn identity(&self) -> Option<BookIdentity> {
        Some(BookIdentity {
            isbn: self.isbn.known()?.clone(),
        })
    }

    async fn move_from(_: &Call<Store>, source: MoveSource) -> Result<Option<Self>> {
        if source.type_name != "shelf_pamphlet" || !source.provider_address.ends_with("example/shelf") {
            return Ok(None);
        }
        let text = |name: &str| Attr::from(source.state.get(name).and_then(Json::as_str).map(str::to_owned));
        Ok(Some(Self {
            isbn: text("isbn"),
            title: text("name"),
            genre: "novel".into(),
            ..Self::default()
        }))
    }

    fn upgrade(version: i64, mut state: Json) -> Result<Json> {
        if version != 0 {
            return Err(Diagnostics::error(
                "Cannot upgrade the state",
                format!("Version {version} is not known."),
            ));
        }
        if let Some(object) = state.as_object_mut() {
            let title = object.remove("name").unwrap_or_default();
            object.insert("title".to_owned(), title);
        }
        Ok(state)
    }
}

/// A thin book, as an older release had them.
#[derive(Clone, Debug, Default, Schema)]
#[tf(deprecated = "Use `shelf_book`.")]
pub struct Pamphlet {
    /// The number.
    #[tf(required, replace)]
    pub isbn: Attr<String>,
    /// The title.
    #[tf(required, replace)]
    pub name: Attr<String>,
}

impl Resource for Pamphlet {
    const NAME: &'static str = "pamphlet";
    type Client = Store;
    type Identity = NoIdentity;

    async fn create(cx: &Call<Store>, Create { planned, .. }: Create<Self>) -> Result<Self> {
        let (isbn, title) = (
            planned.isbn.required("isbn")?.clone(),
            planned.name.required("name")?.clone(),
        );
        let store = cx.client()?;
        let owner = store.owner.clone();
        store.put(&Record {
            owner,
            isbn,
            title,
            genre: "novel".to_owned(),
            revision: 1,
            ..Record::default()
        })?;
        Ok(planned)
    }

    async fn read(cx: &Call<Store>, state: Self) -> Result<Option<Self>> {
        let record = cx.client()?.get(state.isbn.required("isbn")?)?;
        Ok(record.map(|record| Self {
            name: record.title.into(),
            ..state
        }))
    }

    async fn delete(cx: &Call<Store>, state: Self) -> Result<()> {
        cx.client()?.delete(state.isbn.required("isbn")?)
    }
}
