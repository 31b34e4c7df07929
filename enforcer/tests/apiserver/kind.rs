//! The resources there are.

/// A kind of object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) is_namespaced: bool,
    /// Whether only the subresource changes the status.
    pub(crate) has_status: bool,
}

const fn kind(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    is_namespaced: bool,
    has_status: bool,
) -> Kind {
    Kind {
        group,
        version: "v1",
        kind,
        plural,
        is_namespaced,
        has_status,
    }
}

impl Kind {
    pub(crate) const ALL: &'static [Self] = &[
        kind("", "Namespace", "namespaces", false, true),
        kind("", "Node", "nodes", false, true),
        kind("", "Pod", "pods", true, true),
        kind("", "Service", "services", true, true),
        kind("", "ServiceAccount", "serviceaccounts", true, false),
        kind("", "ConfigMap", "configmaps", true, false),
        kind("events.k8s.io", "Event", "events", true, false),
        kind("apps", "DaemonSet", "daemonsets", true, true),
        kind(
            "discovery.k8s.io",
            "EndpointSlice",
            "endpointslices",
            true,
            false,
        ),
        kind(
            "networking.k8s.io",
            "NetworkPolicy",
            "networkpolicies",
            true,
            false,
        ),
        kind(
            "networking.k8s.io",
            "ServiceCIDR",
            "servicecidrs",
            false,
            true,
        ),
        kind(
            "rbac.authorization.k8s.io",
            "ClusterRole",
            "clusterroles",
            false,
            false,
        ),
        kind(
            "rbac.authorization.k8s.io",
            "ClusterRoleBinding",
            "clusterrolebindings",
            false,
            false,
        ),
        kind("rbac.authorization.k8s.io", "Role", "roles", true, false),
        kind(
            "rbac.authorization.k8s.io",
            "RoleBinding",
            "rolebindings",
            true,
            false,
        ),
    ];

    pub(crate) fn of_plural(plural: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|kind| kind.plural == plural)
    }

    pub(crate) fn of_object(api_version: &str, name: &str) -> Option<&'static Self> {
        Self::ALL
            .iter()
            .find(|kind| kind.api_version() == api_version && kind.kind == name)
    }

    pub(crate) fn of_path(group: &str, version: &str, plural: &str) -> Option<&'static Self> {
        Self::of_plural(plural).filter(|kind| kind.group == group && kind.version == version)
    }

    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// As in errors: `networkpolicies.networking.k8s.io`.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }
}
