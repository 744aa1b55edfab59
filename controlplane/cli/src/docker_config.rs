// SPDX-License-Identifier: Apache-2.0
//! Docker's configuration file: which credential helper is for which registry.

use std::path::{Path, PathBuf};

use hythe_client::{Environment, write_private};
use serde::Serialize as _;
use serde_json::ser::PrettyFormatter;
use serde_json::{Map, Value};

use crate::error::{CliError, file};

/// The name of the helper in the configuration: what follows `docker-credential-`.
const HELPER: &str = "hythe";

/// Where Docker (and podman, skopeo and buildah after their own) look: `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`.
pub(crate) fn path(environment: &Environment) -> Result<PathBuf, CliError> {
    let folder = environment
        .get("DOCKER_CONFIG")
        .map(|folder| environment.folder().join(folder));
    let folder = folder
        .or_else(|| Some(environment.home()?.join(".docker")))
        .ok_or(CliError::NoHome)?;
    Ok(folder.join("config.json"))
}

/// Makes Hythe the credential helper for `host`, or stops that. Everything else in the file stays, and so do its
/// permissions. Returns whether the file changed.
pub(crate) fn set_helper(path: &Path, host: &str, is_helper: bool) -> Result<bool, CliError> {
    // A link to a file elsewhere (a folder of dot files) stays a link.
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let before = match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(file("read", path)(error)),
    };
    let bad = |problem: String| CliError::DockerConfig {
        path: path.clone(),
        problem,
    };
    let Some(after) = with_helper(before.as_deref().unwrap_or_default(), host, is_helper).map_err(bad)? else {
        return Ok(false);
    };
    let permissions = std::fs::metadata(path).map(|facts| facts.permissions()).ok();
    write_private(path, after.as_bytes()).map_err(file("write", path))?;
    if let Some(permissions) = permissions {
        std::fs::set_permissions(path, permissions).map_err(file("write", path))?;
    }
    Ok(true)
}

/// The text of the configuration afterwards; `None` if it need not change.
fn with_helper(text: &str, host: &str, is_helper: bool) -> Result<Option<String>, String> {
    let mut config: Map<String, Value> = if text.trim().is_empty() {
        Map::new()
    } else {
        serde_json::from_str(text).map_err(|error| error.to_string())?
    };
    if !is_helper && !config.contains_key("credHelpers") {
        return Ok(None);
    }
    let helpers = config.entry("credHelpers").or_insert_with(|| Value::Object(Map::new()));
    let helpers = helpers.as_object_mut().ok_or("`credHelpers` is not an object")?;
    let is_set = helpers.get(host).and_then(Value::as_str) == Some(HELPER);
    if is_set == is_helper {
        return Ok(None);
    }
    if is_helper {
        helpers.insert(host.into(), HELPER.into());
    } else {
        helpers.shift_remove(host);
        if helpers.is_empty() {
            config.shift_remove("credHelpers");
        }
    }
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"\t"));
    config.serialize(&mut serializer).map_err(|error| error.to_string())?;
    bytes.push(b'\n');
    String::from_utf8(bytes).map(Some).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_helper_is_added_and_removed_and_the_rest_stays() {
        let text = "{\n\t\"auths\": {\"example.com\": {\"auth\": \"eDp5\"}},\n\t\"zzz\": 1,\n\t\"credHelpers\": {\"gcr.io\": \"gcloud\"}\n}";
        let added = with_helper(text, "127.0.0.1:5000", true).unwrap().unwrap();
        insta::assert_snapshot!(added.replace('\t', "  "), @r#"
        {
          "auths": {
            "example.com": {
              "auth": "eDp5"
            }
          },
          "zzz": 1,
          "credHelpers": {
            "gcr.io": "gcloud",
            "127.0.0.1:5000": "hythe"
          }
        }
        "#);
        assert_eq!(
            with_helper(&added, "127.0.0.1:5000", true),
            Ok(None),
            "nothing to change"
        );
        let removed = with_helper(&added, "127.0.0.1:5000", false).unwrap().unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&removed).unwrap(),
            serde_json::from_str::<Value>(text).unwrap()
        );
        let only = with_helper("", "a:1", true).unwrap().unwrap();
        assert_eq!(with_helper(&only, "a:1", false).unwrap().unwrap(), "{}\n");
    }

    #[test]
    fn another_helper_is_not_taken_away() {
        assert_eq!(
            with_helper(r#"{"credHelpers":{"a:1":"other"}}"#, "a:1", false),
            Ok(None)
        );
        assert_eq!(with_helper("{}", "a:1", false), Ok(None));
    }

    #[test]
    fn what_is_not_a_configuration_is_left_alone() {
        for text in ["[]", "{", r#"{"credHelpers":[]}"#] {
            assert!(with_helper(text, "a:1", true).is_err(), "{text}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, "{").unwrap();
        assert!(set_helper(&path, "a:1", true).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{");
    }

    #[test]
    fn a_linked_file_stays_linked_with_its_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let (link, real) = (folder.path().join("config.json"), folder.path().join("dotfiles.json"));
        std::fs::write(&real, "{}").unwrap();
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(set_helper(&link, "a:1", true).unwrap());
        assert!(!set_helper(&link, "a:1", true).unwrap());
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(std::fs::read_to_string(&real).unwrap().contains("hythe"));
        assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    }
}
