// SPDX-License-Identifier: Apache-2.0
//! `hythe_user_policy_attachment`, `hythe_group_policy_attachment`, `hythe_role_policy_attachment`: one policy of one
//! principal.

use futures::{StreamExt as _, TryStreamExt as _};
use hythe_client::Client;
use hythe_model::AccountId;
use tfplugin::{Attr, Result, Schema};

use crate::iam;
use crate::noun::{Api, Failure, Listing, Noun, Outcome, fill};

/// The three are the same but for who has the policy.
macro_rules! attachment {
    (
        $(#[$about:meta])* $name:ident, $type_name:literal, $a_noun:literal;
        $(#[$about_list:meta])* $list:ident;
        $(#[$about_holder:meta])* $holder:ident, $check:path;
        $get:ident, $attach:ident, $detach:ident
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, Schema)]
        pub struct $name {
            $(#[$about_holder])*
            #[tf(required, replace, validate = $check)]
            pub $holder: Attr<String>,
            /// The ARN of the policy: `arn` of a `hythe_policy`, or `arn:aws:iam::aws:policy/ReadOnly`, `…/PowerUser`,
            /// `…/PullOnly` or `…/FullAccess`, which every account has.
            #[tf(required, replace, validate = iam::policy_arn, equal = iam::same_policy)]
            pub policy_arn: Attr<String>,
            /// The account of both, which is the id of its registry.
            #[tf(computed, stable)]
            pub registry_id: Attr<String>,
        }

        $(#[$about_list])*
        #[derive(Clone, Debug, Default, Schema)]
        pub struct $list {
            $(#[$about_holder])*
            #[tf(required, validate = $check)]
            pub $holder: Attr<String>,
        }

        impl Noun for $name {
            const NAME: &'static str = $type_name;
            const A_NOUN: &'static str = $a_noun;
            const KEY: &'static [&'static str] = &[stringify!($holder), "policy_arn"];
            type Filter = $list;

            async fn fetch(self, api: &Api<'_>) -> Outcome<Self> {
                let holder = self.$holder.required(stringify!($holder))?;
                let arn = self.policy_arn.required("policy_arn")?;
                let found = api.send(|| api.client().$get(holder)).await?;
                if arns(&found.value.arn, &found.value.policies).any(|other| iam::same_policy(&other, arn)) {
                    Ok(self)
                } else {
                    Err(Failure::Absent)
                }
            }

            async fn make(self, _: Self, api: &Api<'_>) -> Outcome<Self> {
                let holder = self.$holder.required(stringify!($holder))?;
                let arn = self.policy_arn.required("policy_arn")?;
                api.send(|| api.client().$attach(holder, arn)).await?;
                Ok(self)
            }

            async fn remove(self, api: &Api<'_>) -> Outcome<()> {
                let holder = self.$holder.required(stringify!($holder))?;
                let arn = self.policy_arn.required("policy_arn")?;
                api.send(|| api.client().$detach(holder, arn)).await?;
                Ok(())
            }

            fn list(filter: $list, client: &Client) -> Result<Listing<Self>> {
                let holder = filter.$holder.required(stringify!($holder))?.clone();
                let client = client.clone();
                let ask = async move {
                    let found = client.$get(&holder).await?.value;
                    let attachment = |arn| {
                        Ok(Self {
                            $holder: holder.clone().into(),
                            policy_arn: Attr::Known(arn),
                            registry_id: Attr::Null,
                        })
                    };
                    let attachments: Vec<_> = arns(&found.arn, &found.policies).map(attachment).collect();
                    Ok(futures::stream::iter(attachments))
                };
                Ok(futures::stream::once(ask).try_flatten().boxed())
            }

            fn predict(&mut self, account: &AccountId) {
                fill(&mut self.registry_id, account);
            }
        }
    };
}

/// The ARNs of policies that the server names, for a holder with this ARN.
fn arns<'a>(holder: &str, policies: &'a [String]) -> impl Iterator<Item = String> + use<'a> {
    let account = iam::account_of(holder).unwrap_or_default();
    policies.iter().map(move |policy| iam::arn_of_policy(policy, &account))
}

attachment! {
    /// Attaches a policy to a user.
    ///
    /// Each attachment is a resource of its own, so that several configurations can give one user policies. One that is
    /// there already is taken over.
    UserPolicyAttachment, "user_policy_attachment", "a user policy attachment";
    /// Lists the policies that are attached to a user itself, not those of its groups.
    UserPolicyAttachments;
    /// The name of the user.
    user, iam::name_of_64;
    user, attach_user_policy, detach_user_policy
}

attachment! {
    /// Attaches a policy to a group: its members may do what it allows.
    ///
    /// Each attachment is a resource of its own, so that several configurations can give one group policies. One that is
    /// there already is taken over.
    GroupPolicyAttachment, "group_policy_attachment", "a group policy attachment";
    /// Lists the policies that are attached to a group.
    GroupPolicyAttachments;
    /// The name of the group.
    group, iam::name_of_128;
    group, attach_group_policy, detach_group_policy
}

attachment! {
    /// Attaches a policy to a role.
    ///
    /// Each attachment is a resource of its own, so that several configurations can give one role policies. One that is
    /// there already is taken over.
    RolePolicyAttachment, "role_policy_attachment", "a role policy attachment";
    /// Lists the policies that are attached to a role.
    RolePolicyAttachments;
    /// The name of the role.
    role, iam::name_of_64;
    role, attach_role_policy, detach_role_policy
}
