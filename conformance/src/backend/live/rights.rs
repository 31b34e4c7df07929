//! What a run must be allowed to do, asked before anything is made.

use std::collections::BTreeMap;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::{Api, api::PostParams};

use super::{Live, LiveError};

/// One resource and what is done with it, in the whole cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// Its API group; empty for the core group.
    pub group: &'static str,
    /// Its plural, with the subresource: `pods/status`.
    pub resource: &'static str,
    /// `get`, `create` and so on.
    pub verbs: &'static [&'static str],
}

impl Live {
    /// Asks the server whether all of this is allowed.
    ///
    /// # Errors
    /// [`LiveError::Forbidden`] names what is not, and prints a ClusterRole that allows everything.
    pub fn check_rights(&self, rights: &[Right]) -> Result<(), LiveError> {
        let mut missing = Vec::new();
        for right in rights {
            for verb in right.verbs {
                if !self.wait(self.may(right, verb))? {
                    missing.push(format!("{verb} {}", right.resource));
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(LiveError::Forbidden {
            what: missing.join(", "),
            role: cluster_role(rights),
        })
    }

    async fn may(&self, right: &Right, verb: &str) -> Result<bool, LiveError> {
        let (resource, subresource) = match right.resource.split_once('/') {
            Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
            None => (right.resource, None),
        };
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    group: Some(right.group.to_owned()),
                    resource: Some(resource.to_owned()),
                    subresource,
                    verb: Some(verb.to_owned()),
                    ..ResourceAttributes::default()
                }),
                non_resource_attributes: None,
            },
            ..SelfSubjectAccessReview::default()
        };
        let api = Api::<SelfSubjectAccessReview>::all(self.client.clone());
        let answer = api.create(&PostParams::default(), &review).await;
        let answer =
            answer.map_err(|source| LiveError::request("ask about", "our rights", source))?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}

/// A manifest that allows all of this.
pub fn cluster_role(rights: &[Right]) -> String {
    let mut rules = BTreeMap::<(&str, Vec<&str>), Vec<&str>>::new();
    for right in rights {
        let of_verbs = rules
            .entry((right.group, right.verbs.to_vec()))
            .or_default();
        of_verbs.push(right.resource);
    }
    let mut text = "apiVersion: rbac.authorization.k8s.io/v1\n\
                    kind: ClusterRole\n\
                    metadata:\n  name: portcullis-test\n\
                    rules:\n"
        .to_owned();
    for ((group, verbs), resources) in rules {
        text += &format!(
            "- apiGroups: [\"{group}\"]\n  resources: [{}]\n  verbs: [{}]\n",
            resources.join(", "),
            verbs.join(", ")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_grants_every_right_and_nothing_else() {
        let rights = [
            Right {
                group: "",
                resource: "pods",
                verbs: &["create", "delete"],
            },
            Right {
                group: "",
                resource: "services",
                verbs: &["create", "delete"],
            },
            Right {
                group: "",
                resource: "pods/exec",
                verbs: &["create"],
            },
            Right {
                group: "networking.k8s.io",
                resource: "networkpolicies",
                verbs: &["create"],
            },
        ];
        insta::assert_snapshot!(cluster_role(&rights), @r#"
        apiVersion: rbac.authorization.k8s.io/v1
        kind: ClusterRole
        metadata:
          name: portcullis-test
        rules:
        - apiGroups: [""]
          resources: [pods/exec]
          verbs: [create]
        - apiGroups: [""]
          resources: [pods, services]
          verbs: [create, delete]
        - apiGroups: ["networking.k8s.io"]
          resources: [networkpolicies]
          verbs: [create]
        "#);
    }
}
