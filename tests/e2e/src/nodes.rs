// SPDX-License-Identifier: Apache-2.0
//! Two nodes of one deployment on PostgreSQL.

use anyhow::Result;

use crate::{PostgresCluster, Server, ServerOptions};

/// Two nodes with one database, one folder of blobs and one master key.
#[derive(Debug)]
pub struct TwoNodes {
    /// The one that was started first.
    pub first: Server,
    /// The other; it has the credentials of the first.
    pub second: Server,
    /// The address of their database.
    pub database: String,
    // Last, so that they outlive the servers.
    _shared: tempfile::TempDir,
    /// What the database is in.
    pub cluster: PostgresCluster,
}

impl TwoNodes {
    /// Starts both; `None` if there is no PostgreSQL. `environment` is that of both servers.
    ///
    /// # Errors
    /// If one of them does not start.
    pub fn start(environment: &[(&str, &str)]) -> Result<Option<Self>> {
        match PostgresCluster::find_or_start()? {
            Some(cluster) => Self::start_on(cluster, environment).map(Some),
            None => Ok(None),
        }
    }

    /// Starts both with a new database of a cluster.
    ///
    /// # Errors
    /// If one of them does not start.
    pub fn start_on(cluster: PostgresCluster, environment: &[(&str, &str)]) -> Result<Self> {
        let database = cluster.create_database()?;
        let shared = tempfile::tempdir()?;
        let path = |name: &str| shared.path().join(name).display().to_string();
        let (blobs, key) = (path("blobs"), path("master.key"));
        let arguments = [
            "--database",
            &database,
            "--blobs-path",
            &blobs,
            "--master-key-file",
            &key,
        ];
        let options = ServerOptions {
            arguments: arguments.map(str::to_owned).to_vec(),
            environment: environment
                .iter()
                .map(|&(name, value)| (name.into(), value.into()))
                .collect(),
            ..ServerOptions::default()
        };
        let first = Server::start_with(options.clone())?;
        let second = Server::start_with(ServerOptions {
            credentials: Some(first.credentials().clone()),
            ..options
        })?;
        Ok(Self {
            first,
            second,
            database,
            _shared: shared,
            cluster,
        })
    }
}
