//! The kinds of objects that a manifest can hold.

use k8s_openapi::{
    Metadata, Resource,
    api::{
        apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
        batch::v1::{CronJob, Job},
        core::v1::{Namespace, Node, Pod, Service},
        networking::v1::NetworkPolicy,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use crate::{
    api::name::{NameRule, dns_1035_label, dns_1123_label, dns_1123_subdomain},
    diagnostic::Diagnostics,
    yaml::Document,
};

/// What is known of a kind.
pub(super) struct Kind {
    /// Its name, as in `kind:`.
    pub(super) name: &'static str,
    /// Its group and version, as in `apiVersion:`.
    pub(super) api_version: &'static str,
    /// Whether its objects lie in a namespace.
    pub(super) is_namespaced: bool,
    /// What the names of its objects may look like.
    pub(super) name_rule: NameRule,
    /// Reads an object of it.
    pub(super) decode: fn(&Document) -> Result<Object, Diagnostics>,
}

impl Kind {
    /// The kind of this name.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|kind| kind.name == name)
    }
}

/// Built-in kinds that no verdict depends on.
pub(super) const PASSED_OVER: &[&str] = &[
    "ClusterRole",
    "ClusterRoleBinding",
    "ConfigMap",
    "CustomResourceDefinition",
    "HorizontalPodAutoscaler",
    "Ingress",
    "IngressClass",
    "LimitRange",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "PodDisruptionBudget",
    "PriorityClass",
    "ResourceQuota",
    "Role",
    "RoleBinding",
    "Secret",
    "ServiceAccount",
    "StorageClass",
];

/// One line per kind: its type, whether its objects lie in a namespace, the rule for their names.
macro_rules! kinds {
    ($($kind:ident $scope:ident $name_rule:ident,)*) => {
        /// An object of one of the kinds that verdicts can depend on.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Object {
            $(
                #[doc = concat!("A ", stringify!($kind), ".")]
                $kind(Box<$kind>),
            )*
        }

        impl Object {
            /// The name of its kind.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => stringify!($kind),)*
                }
            }

            /// Its metadata.
            pub fn metadata(&self) -> &ObjectMeta {
                match self {
                    $(Self::$kind(object) => object.metadata(),)*
                }
            }

            /// Its metadata, to change.
            pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
                match self {
                    $(Self::$kind(object) => object.metadata_mut(),)*
                }
            }
        }

        impl Kind {
            /// All kinds.
            pub(super) const ALL: &'static [Self] = &[
                $(Self {
                    name: <$kind as Resource>::KIND,
                    api_version: <$kind as Resource>::API_VERSION,
                    is_namespaced: kinds!(@ $scope),
                    name_rule: $name_rule,
                    decode: |document| {
                        document.decode().map(|object| Object::$kind(Box::new(object)))
                    },
                },)*
            ];
        }
    };
    (@ namespaced) => { true };
    (@ cluster) => { false };
}

kinds! {
    Namespace cluster dns_1123_label,
    Pod namespaced dns_1123_subdomain,
    NetworkPolicy namespaced dns_1123_subdomain,
    Service namespaced dns_1035_label,
    Node cluster dns_1123_subdomain,
    Deployment namespaced dns_1123_subdomain,
    StatefulSet namespaced dns_1123_subdomain,
    DaemonSet namespaced dns_1123_subdomain,
    ReplicaSet namespaced dns_1123_subdomain,
    Job namespaced dns_1123_subdomain,
    CronJob namespaced dns_1123_subdomain,
}
