// SPDX-License-Identifier: Apache-2.0
//! The command line as a whole: that it is well formed, and what it takes and refuses.

use clap::{CommandFactory as _, Parser};

use super::{Command, GlobalOptions, OutputFormat};

#[derive(Debug, Parser)]
#[command(name = "hythe")]
struct Program {
    #[command(flatten)]
    options: GlobalOptions,
    #[command(subcommand)]
    command: Command,
}

#[test]
fn the_command_line_is_well_formed() {
    Program::command().debug_assert();
}

#[test]
fn commands_take_what_their_help_says() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let at_digest = format!("image delete web@{digest} -y");
    let set = format!("tag set web:v1 {digest}");
    let cases = [
        "login",
        "login docker --duration 1h",
        "login --print-password",
        "login --credential-helper",
        "login docker --credential-helper",
        "logout podman",
        "logout --credential-helper --registry 127.0.0.1:5000",
        "configure --profile prod --endpoint https://a:1 --access-key-id K",
        "whoami -o json",
        "--output json registry describe",
        "repository create team-a/web --tag-mutability immutable-with-exclusion --exclusion-filter dev-* --resource-tag a=b",
        "repository create web --encryption-type KMS --kms-key k",
        "repo ls --prefix team-a/",
        "policy explain",
        "policy explain team-a/web --action ecr:PutImage --principal arn:aws:iam::000000000000:user/ada --context a=b --policy x.json",
        "policy who-can team-a/web --action ecr:PutImage",
        "policy validate --kind trust -",
        "repository update web --scan-on-push true",
        "repository delete web --force --yes",
        "repository tag web a=b c=",
        "repository untag web a",
        "image list web --tag-status untagged",
        "image push image.tar team-a/web:v1 --create",
        "image push image.tar 127.0.0.1:5000/team-a/web:v1",
        "image pull web ./out --platform linux/arm64",
        &at_digest,
        &set,
        "tag history web:v1",
        "lifecycle get web",
        "lifecycle set web policy.json",
        "lifecycle rm web -y",
        "lifecycle preview web",
        "lifecycle preview web - --compare",
        "lifecycle preview web policy.json --kept -o json",
        "lifecycle run web --wait",
        "lifecycle runs web",
        "lifecycle runs web 0197",
        "lifecycle validate --strict policy.json",
        "tag show web:v1",
        "tag show web:v1 --as-of 2d",
        "tag rollback web:v1",
        "tag rollback web:v1 --sequence 7",
        "tag rollback web:v1 --as-of 2026-11-01T00:00:00Z",
        "image delete web:v1 web:v2 -y",
        "image list-deleted web",
        "image restore web:v1 --tag v1 --tag v2",
        "image purge web:v1 -y",
        "registry settings --deleted-image-retention-days 0",
        "user create ci --policy power-user --policy ReadOnly",
        "user set-policies ci",
        "user update ada --description x --no-permissions-boundary --resource-tag a=b --disabled false",
        "user attach-policy ada arn:aws:iam::000000000000:policy/team-a",
        "service-account create ci --policy power-user --expires-at 2027-01-01T00:00:00Z",
        "service-account update ci --no-expiry --disabled true",
        "group create builders --policy power-user --description x",
        "group add builders ada bob",
        "group rm builders -y",
        "role create ci --trust-policy trust.json --max-session-duration 7200",
        "role update ci --trust-policy -",
        "role detach-policy ci pull-only",
        "account create --name x --id 222222222222",
        "account close 222222222222 --force --yes",
        "account reopen 222222222222",
        "account create-key 222222222222",
        "access-key rotate ci HYTHEK",
        "access-key deactivate ci HYTHEK",
        "token create --duration 15m --repository team-a/* --action ecr:BatchGetImage",
        "completion zsh",
    ];
    for case in cases {
        let parsed = Program::try_parse_from(["hythe"].into_iter().chain(case.split(' ')));
        assert!(parsed.is_ok(), "{case}: {}", parsed.unwrap_err());
    }
    let json = Program::try_parse_from(["hythe", "repository", "list", "--output", "json"]).unwrap();
    assert_eq!(json.options.output, OutputFormat::Json);
}

#[test]
fn commands_refuse_what_makes_no_sense() {
    let cases = [
        ("", "Usage"),
        ("repository create Web", "repository name"),
        ("repository create web --exclusion-filter dev-*", "--tag-mutability"),
        ("repository update web", "required"),
        ("repository tag web a", "KEY=VALUE"),
        ("login docker --print-password", "cannot be used with"),
        ("login --duration 13h", "43200"),
        ("logout", "required"),
        ("image push image.tar 127.0.0.1:5000/Web:v1", "repository name"),
        ("image pull web out --platform linux", "platform"),
        ("image delete -y", "required"),
        ("tag set web:v1 v2", "digest"),
        ("lifecycle preview web --compare", "<FILE>"),
        ("lifecycle preview web --kept --all", "cannot be used with"),
        ("tag rollback web:v1 --sequence 0", "--sequence"),
        ("tag rollback web:v1 --sequence 1 --as-of 1h", "cannot be used with"),
        ("token create --repository a", "--action"),
        ("user update ci", "required"),
        ("role create ci", "--trust-policy"),
        ("account create --name x --id 22", "12 digits"),
    ];
    for (case, want) in cases {
        let arguments = ["hythe"]
            .into_iter()
            .chain(case.split(' ').filter(|word| !word.is_empty()));
        let error = Program::try_parse_from(arguments).unwrap_err().to_string();
        assert!(error.contains(want), "{case}: {error}");
    }
}

#[test]
fn every_command_has_a_help_text() {
    fn check(command: &clap::Command) {
        assert!(
            command.get_about().is_some(),
            "`{}` says what it does",
            command.get_name()
        );
        for argument in command.get_arguments() {
            assert!(
                argument.get_help().is_some(),
                "`{} {}` says what it is",
                command.get_name(),
                argument.get_id()
            );
        }
        command.get_subcommands().for_each(check);
    }
    Program::command().get_subcommands().for_each(check);
}
