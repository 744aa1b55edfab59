// SPDX-License-Identifier: Apache-2.0
//! The real server, with an administrator and with somebody who may only read.

use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use conformance::{Login, Mode, RepositoryOptions, Target};
use e2e::{Server, ServerOptions};
use serde_json::{Value, json};

pub struct Served {
    server: Rc<Server>,
}

impl Served {
    pub fn start(arguments: &[&str]) -> Result<Self> {
        let options = ServerOptions {
            arguments: arguments.iter().map(|&it| it.to_owned()).collect(),
            ..ServerOptions::default()
        };
        Ok(Self {
            server: Rc::new(Server::start_with(options)?),
        })
    }

    pub fn target(&self, mode: Mode) -> Result<Target> {
        let credentials = self.server.credentials();
        let (user, password) = (credentials.access_key_id.clone(), credentials.secret_access_key.clone());
        let root = Login::Basic {
            user: user.clone(),
            password: password.clone(),
        };
        let login = match mode {
            Mode::Anonymous => Login::Nobody,
            Mode::Basic => root.clone(),
            Mode::Bearer => Login::Bearer { user, password },
            Mode::ReadOnly => self.reader()?,
        };
        if mode == Mode::Anonymous {
            open(&self.server)?;
        }
        let server = Rc::clone(&self.server);
        Ok(Target {
            address: server.registry().to_owned(),
            mode,
            keeper: if mode == Mode::Bearer { login.clone() } else { root },
            credentials: login,
            create_repository: Box::new(move |name, options| create(&server, name, options)),
        })
    }

    /// A user with the managed policy for reading.
    fn reader(&self) -> Result<Login> {
        let body = json!({ "userName": "reader", "policies": ["ReadOnly"] });
        self.server.api("POST", "/api/v1/users", Some(&body))?.expect(201)?;
        let key = self
            .server
            .api("POST", "/api/v1/users/reader/access-keys", Some(&json!({})))?;
        let key = key.expect(201)?.json()?;
        let member = |name: &str| key.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Login::Basic {
            user: member("accessKeyId").context("no id")?,
            password: member("secretAccessKey").context("no secret")?,
        })
    }
}

fn create(server: &Server, name: &str, options: RepositoryOptions) -> Result<()> {
    let mut body = json!({ "repositoryName": name });
    if let (true, Some(members)) = (options.allows_sparse_indexes, body.as_object_mut()) {
        members.insert("allowSparseIndexes".to_owned(), true.into());
    }
    let made = server.create_repository_with(&body)?;
    ensure!(
        made.get("repositoryName").and_then(Value::as_str) == Some(name),
        "not made: {made}"
    );
    Ok(())
}

/// Lets everybody do everything on the data plane, in every repository that there is and that there is not.
fn open(server: &Server) -> Result<()> {
    let everything = json!({ "Effect": "Allow", "Principal": "*", "Action": "ecr:*", "Resource": "*" });
    let policy = json!({ "Version": "2012-10-17", "Statement": [everything] });
    let body = json!({ "policyText": policy.to_string() });
    server.api("PUT", "/api/v1/registry/policy", Some(&body))?.expect(200)?;
    Ok(())
}
