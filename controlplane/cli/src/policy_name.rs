// SPDX-License-Identifier: Apache-2.0
//! Names of policies and resource tags on the command line.

use hythe_client::wire::{ManagedPolicy, ResourceTag};

/// What to say of a policy in help texts.
pub(crate) const POLICY_HELP: &str = "Policies are named by name or ARN: those of the account (`hythe policy list`), and these, which every deployment has:
  ReadOnly    may look at everything and pull     PowerUser   may push as well
  PullOnly    may pull and nothing else           FullAccess  may do everything in the registry";

/// Reads the name of a policy; the managed ones also as options are spelt, such as `power-user`.
#[allow(clippy::unnecessary_wraps, reason = "the form of a parser of an argument")]
pub(crate) fn policy_name(text: &str) -> Result<String, String> {
    let is_it = |policy: &ManagedPolicy| {
        let name = policy.as_str();
        let mut spelt = String::new();
        for (index, letter) in name.char_indices() {
            if letter.is_ascii_uppercase() && index > 0 {
                spelt.push('-');
            }
            spelt.push(letter.to_ascii_lowercase());
        }
        spelt == text
    };
    let managed = ManagedPolicy::ALL.into_iter().find(is_it);
    Ok(managed.map_or_else(|| text.to_owned(), |policy| policy.as_str().to_owned()))
}

/// The names of policies, for a table.
pub(crate) fn policies(names: &[String]) -> String {
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}

/// Resource tags, for a table.
pub(crate) fn tags(tags: &[ResourceTag]) -> String {
    let tags: Vec<_> = tags.iter().map(|tag| format!("{}={}", tag.key, tag.value)).collect();
    tags.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn managed_policies_have_two_spellings() {
        for (text, want) in [
            ("power-user", "PowerUser"),
            ("ReadOnly", "ReadOnly"),
            ("full-access", "FullAccess"),
            ("team-a", "team-a"),
        ] {
            assert_eq!(policy_name(text).as_deref(), Ok(want));
        }
    }
}
