// SPDX-License-Identifier: Apache-2.0
//! Sessions of roles for CI systems, clusters and people, with an identity provider of our own. What administrators and jobs do
//! is read from `examples/federation`, so that the examples work.
#![allow(clippy::indexing_slicing, reason = "test code")]

mod issuer;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::image::ImageRecipe;
use e2e::process::{Daemon, Finished, run, run_with_input, wait_until};
use e2e::server::clean_environment;
use e2e::{DockerEngine, Server, ServerOptions, binary, client, http};
use serde_json::{Value, json};
use tempfile::TempDir;

use issuer::{Issuer, now};

/// How long something may take that takes no time by itself.
const LIMIT: Duration = Duration::from_mins(1);

/// One worked example, and what the issuer of the test puts in the place of the real one.
struct Example {
    folder: &'static str,
    /// The issuer that the example names.
    url: &'static str,
    role: &'static str,
    /// The file that says what a job does.
    job: &'static str,
    /// Whether the issuer's keys are handed over, and nothing is fetched.
    has_static_keys: bool,
    claims: Value,
    /// Claims of others, who must stay outside.
    strangers: Vec<Value>,
}

fn github() -> Example {
    // The claims of a real workflow ("OpenID Connect reference" of GitHub Actions).
    let claims = json!({
        "sub": "repo:octo-org/octo-repo:ref:refs/heads/main", "aud": "https://hythe.example.com",
        "ref": "refs/heads/main", "sha": "2f1b7a0c", "repository": "octo-org/octo-repo",
        "repository_owner": "octo-org", "actor_id": "12", "repository_visibility": "private",
        "repository_id": "74", "repository_owner_id": "65", "run_id": "6198", "run_number": "10", "run_attempt": "2",
        "runner_environment": "github-hosted", "actor": "octocat", "workflow": "image", "head_ref": "", "base_ref": "",
        "event_name": "push", "ref_type": "branch", "ref_protected": "true",
        "job_workflow_ref": "octo-org/octo-repo/.github/workflows/image.yaml@refs/heads/main",
    });
    Example {
        folder: "github-actions",
        url: "https://token.actions.githubusercontent.com",
        role: "github-actions",
        job: "workflow.yaml",
        has_static_keys: false,
        strangers: vec![
            json!({ "repository": "octo-org/other", "sub": "repo:octo-org/other:ref:refs/heads/main" }),
            json!({ "sub": "repo:octo-org/octo-repo:ref:refs/tags/v1" }),
            json!({ "sub": "repo:octo-org/octo-repo2:ref:refs/heads/main" }),
            json!({ "event_name": "pull_request_target" }),
        ],
        claims,
    }
}

fn gitlab() -> Example {
    // The claims of a real job ("OpenID Connect (OIDC) Authentication Using ID Tokens" of GitLab).
    let claims = json!({
        "sub": "project_path:my-group/my-project:ref_type:branch:ref:main", "aud": "https://hythe.example.com",
        "namespace_id": "72", "namespace_path": "my-group", "project_id": "20", "project_path": "my-group/my-project",
        "user_id": "1", "user_login": "sample-user", "user_email": "sample-user@example.com",
        "user_identities": [{ "provider": "github", "extern_uid": "2435223452345" }], "pipeline_id": "574",
        "pipeline_source": "push", "job_id": "302", "ref": "main", "ref_type": "branch",
        "ref_path": "refs/heads/main", "ref_protected": "true", "environment": "test",
        "groups_direct": ["my-group"], "runner_id": 1, "runner_environment": "gitlab-hosted",
    });
    Example {
        folder: "gitlab-ci",
        url: "https://gitlab.example.com",
        role: "gitlab-ci",
        job: "gitlab-ci.yaml",
        has_static_keys: false,
        strangers: vec![
            json!({ "project_path": "my-group/other" }),
            json!({ "ref_protected": "false" }),
            json!({ "ref_type": "tag" }),
        ],
        claims,
    }
}

fn kubernetes() -> Example {
    // The claims of a projected token ("Managing Service Accounts" of Kubernetes).
    let claims = json!({
        "sub": "system:serviceaccount:ci:builder", "aud": ["hythe"],
        "kubernetes.io": {
            "namespace": "ci", "node": { "name": "worker", "uid": "43e99e2f" },
            "pod": { "name": "builder", "uid": "9e97e1b4" },
            "serviceaccount": { "name": "builder", "uid": "79cb7d10" },
        },
    });
    Example {
        folder: "kubernetes",
        url: "https://kubernetes.default.svc.cluster.local",
        role: "builder",
        job: "pod.yaml",
        has_static_keys: true,
        strangers: vec![
            json!({ "sub": "system:serviceaccount:ci:default" }),
            json!({ "sub": "system:serviceaccount:ci2:builder" }),
            json!({ "kubernetes.io": { "namespace": "other" } }),
        ],
        claims,
    }
}

/// A job: a machine with nothing but the address of the server, a role and a file with a token.
struct Job {
    folder: TempDir,
    program: PathBuf,
    endpoint: String,
    role: &'static str,
}

impl Job {
    fn new(server: &Server, role: &'static str) -> Result<Self> {
        Ok(Self {
            folder: tempfile::Builder::new().prefix("hythe-job-").tempdir()?,
            program: binary::hythe()?,
            endpoint: server.credentials().endpoint.clone(),
            role,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bring(&self, token: &str) -> Result<()> {
        fs::write(self.path("token"), token).context("the token is not written")
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        clean_environment(&mut command);
        command
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("REGISTRY_AUTH_FILE", self.path("auth.json"))
            .env("HYTHE_ENDPOINT", &self.endpoint)
            .env(
                "HYTHE_ROLE_ARN",
                format!("arn:aws:iam::000000000000:role/{}", self.role),
            )
            .env("HYTHE_ROLE_SESSION_NAME", "run-1")
            .env("HYTHE_WEB_IDENTITY_TOKEN_FILE", self.path("token"));
        command
    }

    fn hythe(&self, arguments: &[&str]) -> Result<Finished> {
        run(self.command(&self.program).args(arguments))
    }
}

/// Runs what the example's administrator runs, with the issuer of the test in the place of the example's.
fn set_up(example: &Example, server: &Server, issuer: &Issuer) -> Result<()> {
    let from = binary::workspace_folder()
        .join("examples/federation")
        .join(example.folder);
    let folder = tempfile::Builder::new().prefix("hythe-setup-").tempdir()?;
    for name in ["setup.sh", "trust-policy.json"] {
        let text = fs::read_to_string(from.join(name)).with_context(|| name.to_owned())?;
        let bare = example.url.trim_start_matches("https://");
        ensure!(text.contains(bare), "{name} does not name the issuer");
        let text = text.replace(example.url, issuer.url()).replace(bare, issuer.name());
        fs::write(folder.path().join(name), text)?;
    }
    let programs = folder.path().join("bin");
    fs::create_dir(&programs)?;
    std::os::unix::fs::symlink(binary::hythe()?, programs.join("hythe"))?;
    fs::write(folder.path().join("answer.json"), issuer.jwks())?;
    let kubectl = programs.join("kubectl");
    let answer = folder.path().join("answer.json");
    fs::write(
        &kubectl,
        format!(
            "#!/bin/sh\n[ \"$*\" = \"get --raw /openid/v1/jwks\" ] && cat '{}'\n",
            answer.display()
        ),
    )?;
    fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755))?;
    let path = format!(
        "{}:{}",
        programs.display(),
        client::variable("PATH").unwrap_or_default()
    );
    let mut command = Command::new("sh");
    clean_environment(&mut command);
    command
        .arg("setup.sh")
        .current_dir(folder.path())
        .env("PATH", path)
        .env("HOME", folder.path())
        .envs(server.credentials().environment());
    run(&mut command)?.ok()?;
    Ok(())
}

fn merged(claims: &Value, changes: &Value) -> Value {
    let mut merged = claims.clone();
    for (name, value) in changes.as_object().into_iter().flatten() {
        merged[name] = value.clone();
    }
    merged
}

/// The administrator sets up what the example says; a job logs in, pushes and pulls; others stay outside.
fn works(example: &Example) -> Result<()> {
    let server = Server::start()?;
    let issuer = Issuer::start()?;
    server.create_repository("web")?;
    set_up(example, &server, &issuer)?;
    let job_text = binary::workspace_folder()
        .join("examples/federation")
        .join(example.folder)
        .join(example.job);
    let job_text = fs::read_to_string(job_text)?;
    let role_arn = format!("arn:aws:iam::000000000000:role/{}", example.role);
    for text in [
        "hythe login docker",
        "HYTHE_WEB_IDENTITY_TOKEN_FILE",
        "HYTHE_ENDPOINT",
        &role_arn,
    ] {
        ensure!(job_text.contains(text), "{} does without `{text}`", example.job);
    }

    let job = Job::new(&server, example.role)?;
    for stranger in &example.strangers {
        job.bring(&issuer.token("rsa-1", &merged(&example.claims, stranger))?)?;
        let refused = job.hythe(&["whoami"])?.refused()?;
        ensure!(
            refused
                .stderr
                .contains("Not authorized to perform sts:AssumeRoleWithWebIdentity"),
            "{stranger}: {}",
            refused.both()
        );
    }
    job.bring(&issuer.token("rsa-1", &example.claims)?)?;
    let whoami = job.hythe(&["whoami", "--output", "json"])?.ok()?;
    let whoami: Value = serde_json::from_str(&whoami.stdout)?;
    let arn = format!("arn:aws:sts::000000000000:assumed-role/{}/run-1", example.role);
    ensure!(whoami["arn"] == arn.as_str(), "{whoami}");

    let image = job.folder.path().join("image");
    ImageRecipe::text("federated").write(&image, "v1")?;
    let layout = format!("oci:{}:v1", image.display());
    let reference = format!("{}/web:v1", server.registry());
    if let Some(programs) = client::find(&["skopeo"])? {
        let skopeo = programs.first().context("skopeo")?;
        job.hythe(&["login", "skopeo"])?.ok()?;
        let remote = format!("docker://{reference}");
        let copy = |arguments: &[&str]| {
            run(job
                .command(skopeo)
                .args([
                    "--insecure-policy",
                    "copy",
                    "--src-tls-verify=false",
                    "--dest-tls-verify=false",
                ])
                .args(arguments))
        };
        copy(&[&layout, &remote])?.ok()?;
        let pulled = format!("oci:{}:v1", job.path("pulled").display());
        copy(&[&remote, &pulled])?.ok()?;
    }
    // The credential helper takes the same way.
    let helper = job.path("docker-credential-hythe");
    std::os::unix::fs::symlink(binary::hythe()?, &helper)?;
    let got = run_with_input(job.command(&helper).arg("get"), server.registry().as_bytes())?.ok()?;
    let got: Value = serde_json::from_str(&got.stdout)?;
    let (user, password) = (got["Username"].as_str(), got["Secret"].as_str());
    let basic = http::basic(user.context("a user")?, password.context("a password")?);
    let tags = http::request(
        server.registry(),
        "GET",
        "/v2/web/tags/list",
        &[("Authorization", &basic)],
        &[],
    )?;
    ensure!(tags.status == 200, "{tags:?}");

    // A token of another issuer with the same claims, and one that is over.
    let other = Issuer::start()?;
    let refused = |token: &str, why: &str| -> Result<()> {
        job.bring(token)?;
        let refused = job.hythe(&["whoami"])?.refused()?;
        ensure!(refused.stderr.contains(why), "{}", refused.both());
        Ok(())
    };
    refused(
        &other.token("rsa-1", &example.claims)?,
        "No OpenIDConnect provider found",
    )?;
    let as_if = merged(&example.claims, &json!({ "iss": issuer.url() }));
    refused(&other.token("rsa-1", &as_if)?, "signature")?;
    let over = merged(
        &example.claims,
        &json!({ "iat": now() - 7200, "nbf": now() - 7200, "exp": now() - 3600 }),
    );
    refused(&issuer.token("rsa-1", &over)?, "expired")?;
    refused(
        &issuer.token("rsa-1", &merged(&example.claims, &json!({ "aud": "elsewhere" })))?,
        "audience",
    )?;

    // The issuer gets a new key. Those that were handed over have to be handed over again.
    issuer.add_ec("ec-2")?;
    if example.has_static_keys {
        refused(&issuer.token("ec-2", &example.claims)?, "no key with the id")?;
        let keys = server.scratch().join("keys.json");
        fs::write(&keys, issuer.jwks())?;
        let keys = keys.display().to_string();
        run(&mut server.command(&["identity-provider", "update", issuer.url(), "--jwks-file", &keys])?)?.ok()?;
        job.bring(&issuer.token("ec-2", &example.claims)?)?;
        job.hythe(&["whoami"])?.ok()?;
    } else {
        job.bring(&issuer.token("ec-2", &example.claims)?)?;
        // At most a few seconds, within which the server does not ask again.
        wait_until("the new key counts", LIMIT, || {
            job.hythe(&["whoami"]).is_ok_and(|finished| finished.status.success())
        })?;
    }

    // Whoever deletes the provider shuts the door.
    run(&mut server.command(&["identity-provider", "delete", issuer.url(), "--yes"])?)?.ok()?;
    let gone = job.hythe(&["whoami"])?.refused()?;
    ensure!(
        gone.stderr.contains("No OpenIDConnect provider found"),
        "{}",
        gone.both()
    );
    Ok(())
}

#[test]
fn github_actions_logs_in_as_the_example_says() -> Result<()> {
    works(&github())
}

#[test]
fn gitlab_ci_logs_in_as_the_example_says() -> Result<()> {
    works(&gitlab())
}

#[test]
fn kubernetes_service_accounts_log_in_as_the_example_says() -> Result<()> {
    works(&kubernetes())
}

/// The documents of an issuer are fetched over TLS, with the authority that its certificate is of; and a job names role and token
/// in the command.
#[test]
fn keys_are_fetched_from_an_issuer_with_a_certificate_of_its_own_authority() -> Result<()> {
    let (server, issuer) = (Server::start()?, Issuer::start_tls()?);
    ensure!(issuer.url().starts_with("https://"));
    let arn = "arn:aws:iam::000000000000:role/ci";
    let provider = format!("arn:aws:iam::000000000000:oidc-provider/{}", issuer.name());
    let statement = json!({
        "Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity", "Principal": { "Federated": provider },
        "Condition": { "StringEquals": { format!("{}:sub", issuer.name()): "builder" } },
    });
    let trust = json!({ "Version": "2012-10-17", "Statement": statement }).to_string();
    let role = json!({ "roleName": "ci", "assumeRolePolicyDocument": trust, "policies": ["ReadOnly"] });
    server.api("POST", "/api/v1/roles", Some(&role))?.expect(201)?;
    let hythe = |arguments: &[&str]| run(&mut server.command(arguments)?);
    // Without the authority, nothing is believed.
    hythe(&["identity-provider", "create", issuer.url(), "--client-id", "hythe"])?.ok()?;

    let job = Job::new(&server, "ci")?;
    job.bring(&issuer.token("rsa-1", &json!({ "sub": "builder", "aud": "hythe" }))?)?;
    let token = job.path("token").display().to_string();
    let login = || {
        let named = [
            "--role-arn",
            arn,
            "--web-identity-token-file",
            &token,
            "--role-session-name",
            "run-2",
        ];
        let mut command = job.command(&job.program);
        for name in [
            "HYTHE_ROLE_ARN",
            "HYTHE_ROLE_SESSION_NAME",
            "HYTHE_WEB_IDENTITY_TOKEN_FILE",
        ] {
            command.env_remove(name);
        }
        run(command.args(["login", "--print-password"]).args(named))
    };
    let refused = login()?.refused()?;
    ensure!(
        refused.stderr.contains("Couldn't retrieve verification key"),
        "{}",
        refused.both()
    );

    let file = server.scratch().join("issuer.pem");
    fs::write(&file, issuer.authority().context("an authority")?)?;
    let file = file.display().to_string();
    hythe(&["identity-provider", "update", issuer.url(), "--issuer-ca-file", &file])?.ok()?;
    let mut password = String::new();
    // For a few seconds the server does not ask again where it has failed.
    wait_until("the keys are fetched", LIMIT, || {
        let finished = login().and_then(Finished::ok);
        finished.is_ok_and(|finished| {
            password = finished.stdout.trim().to_owned();
            true
        })
    })?;
    let basic = http::basic("AWS", &password);
    let who = http::request(
        server.credentials().control_address(),
        "GET",
        "/api/v1/caller-identity",
        &[("Authorization", &basic)],
        &[],
    )?;
    let who = who.expect(200)?.json()?;
    ensure!(who["arn"] == "arn:aws:sts::000000000000:assumed-role/ci/run-2", "{who}");

    // An authority that the certificate is not of.
    let other = Issuer::start_tls()?;
    let file = server.scratch().join("other.pem");
    fs::write(&file, other.authority().context("an authority")?)?;
    let file = file.display().to_string();
    hythe(&["identity-provider", "update", issuer.url(), "--issuer-ca-file", &file])?.ok()?;
    issuer.add_rsa("rsa-2")?;
    job.bring(&issuer.token("rsa-2", &json!({ "sub": "builder", "aud": "hythe" }))?)?;
    login()?.refused()?;
    Ok(())
}

/// A server with the role of an example, a repository `web` that the role may push to, and a job with a good token.
fn with_job(example: &Example, options: ServerOptions) -> Result<(Server, Issuer, Job)> {
    let (server, issuer) = (Server::start_with(options)?, Issuer::start()?);
    server.create_repository("web")?;
    set_up(example, &server, &issuer)?;
    let job = Job::new(&server, example.role)?;
    job.bring(&issuer.token("rsa-1", &example.claims)?)?;
    Ok((server, issuer, job))
}

#[test]
fn docker_pushes_and_pulls_in_a_federated_session() -> Result<()> {
    if e2e::image::static_busybox().is_none() {
        return client::skip("not installed: a static busybox (Debian: busybox-static)");
    }
    let Some(engine) = DockerEngine::start()? else {
        return Ok(());
    };
    let (server, _issuer, job) = with_job(&github(), ServerOptions::default())?;
    let image = format!("{}/web:v1", server.registry());
    engine.build(&image, "federated", &[])?;
    engine.docker_refused(&["push", &image])?;
    let in_job = |command: &mut Command| {
        let of_job = job.command(Path::new("hythe"));
        let variables = of_job.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let variables = variables.filter(|(name, _)| name.to_string_lossy().starts_with("HYTHE_"));
        command.envs(variables);
        run(command)
    };
    // With a password that lasts as long as the session, and with the helper, which gets one whenever it is asked.
    engine.install_credential_helper()?;
    for (round, login) in [["login", "docker"], ["login", "--credential-helper"]]
        .iter()
        .enumerate()
    {
        let mut command = job.command(&job.program);
        command.args(*login).envs(engine.environment());
        run(&mut command)?.ok()?;
        let image = format!("{}/web:v{round}", server.registry());
        engine.build(&image, &format!("federated {round}"), &[])?;
        in_job(&mut engine.command(&["push", &image]))?.ok()?;
        engine.docker(&["rmi", "--force", &image])?;
        in_job(&mut engine.command(&["pull", &image]))?.ok()?;
        let ran = engine.docker(&["run", "--rm", "--network=none", &image])?;
        ensure!(ran.stdout.trim() == format!("federated {round}"), "{}", ran.both());
        let mut logout = job.command(&job.program);
        logout.args(["logout", "docker"]).envs(engine.environment());
        run(&mut logout)?.ok()?;
    }
    engine.docker_refused(&["push", &image])?;
    let records = server
        .api("GET", "/api/v1/audit-events?eventName=PutImage", None)?
        .expect(200)?
        .json()?;
    let records = records["auditEvents"].as_array().context("no records")?;
    let arn = format!("arn:aws:sts::000000000000:assumed-role/{}/run-1", github().role);
    let by_job = |record: &Value| record["userIdentity"]["arn"] == arn.as_str();
    ensure!(records.iter().filter(|it| by_job(it)).count() == 2, "{records:?}");
    Ok(())
}

#[test]
fn who_fails_to_log_in_with_tokens_is_told_to_wait_and_who_is_right_is_let_in() -> Result<()> {
    let settings = tempfile::tempdir()?;
    let file = settings.path().join("hythe.toml");
    fs::write(&file, "[rates]\nfailed_logins_per_minute = 5\n")?;
    let options = ServerOptions {
        arguments: vec!["--config".into(), file.display().to_string()],
        ..ServerOptions::default()
    };
    let example = github();
    let (server, issuer, job) = with_job(&example, options)?;
    let stranger = merged(&example.claims, &json!({ "repository": "octo-org/other" }));
    let forged = format!("{}x", issuer.token("rsa-1", &example.claims)?);
    let tokens = ["x.y.z".to_owned(), issuer.token("rsa-1", &stranger)?, forged];
    let log_in = |token: &str| {
        let body = json!({
            "roleArn": format!("arn:aws:iam::000000000000:role/{}", example.role), "roleSessionName": "run-1",
            "webIdentityToken": token,
        });
        let headers = [("Content-Type", "application/json")];
        let address = server.credentials().control_address();
        let place = "/api/v1/web-identity-sessions";
        http::request(address, "POST", place, &headers, body.to_string().as_bytes())
    };
    // One that is over was good once: nobody guesses with it.
    let times = json!({ "iat": now() - 7200, "nbf": now() - 7200, "exp": now() - 3600 });
    let over = issuer.token("rsa-1", &merged(&example.claims, &times))?;
    for _ in 0..20 {
        log_in(&over)?.expect(401)?;
    }
    for (number, token) in tokens.iter().cycle().take(30).enumerate() {
        let answer = log_in(token)?;
        if number == 0 {
            ensure!(answer.status == 400, "{}", answer.text());
        }
        if number == 29 {
            ensure!(answer.status == 429, "{}", answer.text());
            let seconds: u32 = answer.header("retry-after").context("no Retry-After")?.parse()?;
            ensure!((1..=60).contains(&seconds), "{seconds} s");
            ensure!(answer.json()?["code"] == "ThrottlingException", "{}", answer.text());
        }
    }
    // As with wrong tokens of our own; and who holds a good one is not kept waiting by those who do not.
    let token = [("Authorization", "Bearer wrong")];
    let wrong = http::request(server.registry(), "GET", "/v2/", &token, &[])?;
    ensure!(wrong.status == 429, "{}", wrong.text());
    log_in(&issuer.token("rsa-1", &example.claims)?)?.expect(201)?;
    job.hythe(&["whoami"])?.ok()?;
    Ok(())
}

/// A server that people log in to at the issuer, and the home of one of them.
struct People {
    server: Server,
    issuer: Issuer,
    home: TempDir,
}

impl People {
    fn new() -> Result<Self> {
        let (server, issuer) = (Server::start()?, Issuer::start()?);
        let provider = json!({ "url": issuer.url(), "clientIdList": ["hythe-cli"] });
        let created = server.api("POST", "/api/v1/identity-providers", Some(&provider))?;
        ensure!(created.status == 201, "{created:?}");
        let trust = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
                "Principal": { "Federated": format!("arn:aws:iam::000000000000:oidc-provider/{}", issuer.name()) },
                "Condition": { "ForAnyValue:StringEquals": { format!("{}:groups", issuer.name()): "developers" } },
            }],
        });
        let role = json!({
            "roleName": "dev", "assumeRolePolicyDocument": trust.to_string(), "policies": ["PowerUser"],
        });
        let created = server.api("POST", "/api/v1/roles", Some(&role))?;
        ensure!(created.status == 201, "{created:?}");
        let home = tempfile::Builder::new().prefix("hythe-home-").tempdir()?;
        Ok(Self { server, issuer, home })
    }

    fn hythe(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary::hythe()?);
        clean_environment(&mut command);
        command
            .args(arguments)
            .current_dir(self.home.path())
            .env("HOME", self.home.path());
        Ok(command)
    }

    fn login(&self, how: &str) -> Result<Command> {
        let endpoint = &self.server.credentials().endpoint;
        let role = "arn:aws:iam::000000000000:role/dev";
        let issuer = self.issuer.url();
        self.hythe(&[
            "login",
            "--endpoint",
            endpoint,
            "--oidc-issuer",
            issuer,
            "--oidc-client-id",
            "hythe-cli",
            "--role-arn",
            role,
            how,
        ])
    }

    fn is_in(&self) -> Result<()> {
        let whoami = run(&mut self.hythe(&["whoami"])?)?.ok()?;
        ensure!(whoami.stdout.contains("assumed-role/dev/hythe"), "{}", whoami.both());
        Ok(())
    }
}

#[test]
fn people_log_in_with_a_device_code_and_stay_logged_in() -> Result<()> {
    let people = People::new()?;
    let done = run(&mut people.login("--device")?)?.ok()?;
    ensure!(done.stderr.contains("ABCD-EFGH"), "{}", done.both());
    ensure!(done.stdout.contains("assumed-role/dev/hythe"), "{}", done.both());
    people.is_in()?;
    ensure!(people.issuer.refreshes() == 0, "the session is kept");
    let folder = people.home.path().join(".cache/hythe/tokens");
    let mut files = 0;
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        let mode = fs::metadata(&path)?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "{} is {mode:o}", path.display());
        // The session is lost and the token is over: the refresh token gets the next ones.
        let mut kept: Value = serde_json::from_slice(&fs::read(&path)?)?;
        let over = json!({ "sub": "ada@example.com", "aud": "hythe-cli", "groups": ["developers"], "iat": now() - 7200,
            "nbf": now() - 7200, "exp": now() - 3600 });
        kept["idToken"] = people.issuer.token("rsa-1", &over)?.into();
        kept["sessions"] = json!({});
        fs::write(&path, kept.to_string())?;
        files += 1;
    }
    ensure!(files == 1, "{files} files");
    people.is_in()?;
    ensure!(people.issuer.refreshes() == 1, "refreshed once");
    Ok(())
}

#[test]
fn people_log_in_with_a_browser() -> Result<()> {
    let people = People::new()?;
    let log = people.home.path().join("login.log");
    let mut login = Daemon::start("hythe login", &mut people.login("--no-browser")?, &log)?;
    let mut address = None;
    login.wait_until("the address is shown", LIMIT, || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        address = text
            .lines()
            .find(|line| line.contains("/authorize?"))
            .map(|line| line.trim().to_owned());
        address.is_some()
    })?;
    let address = address.context("an address")?;
    ensure!(address.contains("code_challenge_method=S256"), "{address}");
    let target = address.trim_start_matches(people.issuer.url());
    let sent_back = http::request(people.issuer.name(), "GET", target, &[], &[])?;
    let back = sent_back.header("location").context("a redirect")?.to_owned();
    let (host, target) = back
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .context("a loopback address")?;
    // Somebody who does not know the state gets nothing and disturbs nothing.
    let stray = http::request(host, "GET", "/callback?code=evil&state=x", &[], &[])?;
    ensure!(stray.status == 404, "{stray:?}");
    let answered = http::request(host, "GET", &format!("/{target}"), &[], &[])?;
    ensure!(answered.status == 200, "{answered:?}");
    let mut status = None;
    wait_until("the login ends", LIMIT, || {
        status = login.exit_status().ok().flatten();
        status.is_some()
    })?;
    ensure!(status.is_some_and(|status| status.success()), "{}", login.log());
    people.is_in()
}
