// SPDX-License-Identifier: Apache-2.0

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use hythe_catalog::{BlobCatalog, Catalog, CatalogError, ImageCatalog, UploadCatalog, UploadState};
use hythe_meta::{ImageFilter, OpenError, Store, StoreConfig, StoreError};
use hythe_model::{Algorithm, Reference, UploadId};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use crate::contents::{account, after, create, digest, image, link, now, path, push, tag};
use crate::harness::{Database, Engine, on_each_engine};

on_each_engine!(
    everything_is_there_after_a_restart,
    a_schema_of_a_later_version_is_no_obstacle,
    rows_that_cannot_be_read_are_errors_not_panics,
);

async fn everything_is_there_after_a_restart(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &["v1"])).await;
    let upload = UploadId::generate();
    store
        .begin_upload(&path("web"), upload, Algorithm::Sha512, after(60))
        .await
        .unwrap();
    let state = UploadState::Stored {
        bytes: 5_000_000_000,
        hash_state: vec![1, 2, 3].into(),
    };
    store
        .advance_upload(&path("web"), upload, 0, state.clone(), after(90))
        .await
        .unwrap();
    let manifest = store
        .image(&path("web"), &Reference::Tag(tag("v1")))
        .await
        .unwrap()
        .unwrap();
    store.close().await;

    let store = database.another().await;
    assert_eq!(
        store.image(&path("web"), &Reference::Digest(digest(10))).await.unwrap(),
        Some(manifest)
    );
    assert_eq!(
        store
            .blob(&path("web"), &digest(1))
            .await
            .unwrap()
            .unwrap()
            .inline
            .unwrap(),
        "blob"
    );
    let session = store.upload(&path("web"), upload, now()).await.unwrap().unwrap();
    assert_eq!(
        (session.algorithm, session.state, session.version),
        (Algorithm::Sha512, state, 1)
    );
    assert_eq!(session.expires_at, after(90));
    assert_eq!(
        store.upload(&path("web"), upload, after(90)).await.unwrap(),
        None,
        "expired"
    );
    store.close().await;
}

async fn a_schema_of_a_later_version_is_no_obstacle(database: &Database) {
    database
        .execute("INSERT INTO schema_version (version) VALUES (999)")
        .await;
    database
        .execute("ALTER TABLE repository ADD COLUMN invented_later TEXT")
        .await;
    let store = database.another().await;
    create(&store, "web").await;
    assert!(store.repository(&path("web")).await.unwrap().is_some());
    store.close().await;
}

async fn rows_that_cannot_be_read_are_errors_not_panics(database: &Database) {
    let store = &database.store;
    let repository = path("web");
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &["v1"])).await;
    let spoilt = [
        "tags = 'no JSON'",
        "tags = '[]'",
        "tags = '{\"aws:x\": \"\"}'",
        "tag_mutability = 'SOMETIMES'",
        "tag_mutability_filters = '[\"a\"]'",
        "encryption_type = ''",
        "name = 'NO NAME'",
    ];
    for change in spoilt {
        database
            .execute("UPDATE repository SET name = 'web', tags = '{}', tag_mutability = 'MUTABLE'")
            .await;
        database
            .execute("UPDATE repository SET tag_mutability_filters = '[]', encryption_type = 'AES256'")
            .await;
        database.execute(format!("UPDATE repository SET {change}")).await;
        let listed = store.repositories(&account(), None, None, 9).await;
        assert!(matches!(listed, Err(StoreError::Corrupt(_))), "{change}: {listed:?}");
    }
    let names = store.repository_names(&account(), None, 9).await;
    assert!(matches!(names, Err(CatalogError::Store(_))), "{names:?}");

    database
        .execute("UPDATE repository SET name = 'web', encryption_type = 'AES256'")
        .await;
    database
        .execute("UPDATE image SET media_type = 'none', annotations = 'none'")
        .await;
    let details = store.image_details(&repository, ImageFilter::default(), None, 9).await;
    assert!(matches!(details, Err(StoreError::Corrupt(_))), "{details:?}");
    assert!(store.image(&repository, &Reference::Tag(tag("v1"))).await.is_err());
    database
        .execute("UPDATE image SET media_type = 'a/b', image_bytes = -1")
        .await;
    assert!(
        store
            .image_details(&repository, ImageFilter::default(), None, 9)
            .await
            .is_err()
    );
    assert!(
        store.image(&repository, &Reference::Tag(tag("v1"))).await.is_ok(),
        "the others are not affected"
    );
}

const CHILD_FOLDER: &str = "HYTHE_TEST_CHILD_FOLDER";

/// Run by the next test in a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a part of the next test"]
#[allow(clippy::disallowed_methods, reason = "how the parent says where to write")]
async fn child_that_writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else {
        return;
    };
    let store = Store::open(&StoreConfig::Sqlite {
        path: PathBuf::from(folder).join("meta.db"),
    })
    .await
    .unwrap();
    create(&store, "web").await;
    link(&store, "web", 1).await;
    for number in 0.. {
        push(
            &store,
            "web",
            image(1000 + number, &[1], &[&format!("v{number}"), "latest"]),
        )
        .await;
        let mut output = std::io::stdout().lock();
        writeln!(output, "\nacknowledged {number}").unwrap();
        output.flush().unwrap();
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "--nocapture",
            "durability::child_that_writes_until_it_is_killed",
        ])
        .env(CHILD_FOLDER, folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut last = None;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap_or_default();
        if let Some(number) = line.strip_prefix("acknowledged ") {
            last = Some(number.parse::<u64>().unwrap());
        }
        if last == Some(40) {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    let last = last.unwrap();
    assert!(last >= 40);

    let store = Store::open(&StoreConfig::Sqlite {
        path: folder.path().join("meta.db"),
    })
    .await
    .unwrap();
    for number in 0..=last {
        let found = store
            .image(&path("web"), &Reference::Tag(tag(&format!("v{number}"))))
            .await
            .unwrap();
        assert_eq!(found.map(|image| image.digest), Some(digest(1000 + number)), "{number}");
    }
    let latest = store.tag_detail(&path("web"), &tag("latest")).await.unwrap().unwrap();
    let history = store
        .tag_history(&path("web"), &tag("latest"), None, 10_000)
        .await
        .unwrap();
    assert_eq!(i64::try_from(history.len()), Ok(latest.version));
    assert_eq!(history.first().and_then(|entry| entry.to), Some(latest.digest));
    store.close().await;
}

#[tokio::test]
async fn a_file_that_another_process_holds_is_busy_for_writers_only() {
    let database = Database::open(Engine::Sqlite).await.unwrap();
    let StoreConfig::Sqlite { path: file } = &database.config else {
        panic!("that is SQLite")
    };
    create(&database.store, "web").await;
    let mut other = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let write = database.store.put_setting_if_absent("name", "value");
    let read = async {
        for _ in 0..100 {
            assert!(database.store.repository(&path("web")).await.unwrap().is_some());
        }
        Instant::now()
    };
    let started = Instant::now();
    let (written, read_at) = tokio::join!(write, read);
    assert!(matches!(written, Err(StoreError::Busy)), "{written:?}");
    assert!(
        read_at - started < started.elapsed() / 2,
        "reads do not wait for the writer"
    );
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    database.store.put_setting_if_absent("name", "value").await.unwrap();
    database.finish().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("postgres://user:secret@127.0.0.1:{port}/none");
    let config = StoreConfig::Postgres {
        url,
        max_connections: 2,
    };
    assert!(!format!("{config:?}").contains("secret"));
    let refused = Store::open(&config).await.unwrap_err();
    assert!(matches!(refused, OpenError::Connect(_)), "{refused:?}");
    let refused = Store::open(&StoreConfig::Postgres {
        url: "nonsense".into(),
        max_connections: 2,
    })
    .await
    .unwrap_err();
    assert!(matches!(refused, OpenError::Address(_)), "{refused:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn the_database_file_is_private() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&StoreConfig::Sqlite {
        path: folder.path().join("meta.db"),
    })
    .await
    .unwrap();
    create(&store, "web").await;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
    store.close().await;
    let files: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(files, ["meta.db"], "a closed database is one file");
}

#[tokio::test]
async fn a_file_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent/meta.db");
    let refused = Store::open(&StoreConfig::Sqlite { path: path.clone() })
        .await
        .unwrap_err();
    assert!(refused.to_string().contains(&path.display().to_string()), "{refused}");
    std::fs::write(
        folder.path().join("text.db"),
        "this is no database at all, but long enough to be looked at".repeat(99),
    )
    .unwrap();
    Store::open(&StoreConfig::Sqlite {
        path: folder.path().join("text.db"),
    })
    .await
    .unwrap_err();
}
