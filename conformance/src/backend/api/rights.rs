//! What a run must be allowed to do.

use crate::backend::live::Right;

/// What a run needs, in the whole cluster. Whoever grants rights must have them.
pub(super) const RIGHTS: &[Right] = &[
    Right {
        group: "",
        resource: "namespaces",
        verbs: &["create", "delete", "get", "list", "update", "watch"],
    },
    Right {
        group: "",
        resource: "namespaces/finalize",
        verbs: &["update"],
    },
    Right {
        group: "",
        resource: "nodes",
        verbs: &["create", "delete", "get", "list", "patch", "watch"],
    },
    Right {
        group: "",
        resource: "nodes/status",
        verbs: &["update"],
    },
    Right {
        group: "",
        resource: "pods",
        verbs: &[
            "create",
            "delete",
            "deletecollection",
            "get",
            "list",
            "patch",
            "watch",
        ],
    },
    Right {
        group: "",
        resource: "pods/status",
        verbs: &["update"],
    },
    Right {
        group: "",
        resource: "services",
        verbs: &["create", "delete", "deletecollection", "update"],
    },
    Right {
        group: "",
        resource: "configmaps",
        verbs: &["deletecollection"],
    },
    Right {
        group: "events.k8s.io",
        resource: "events",
        verbs: &["deletecollection"],
    },
    Right {
        group: "",
        resource: "serviceaccounts",
        verbs: &["create", "deletecollection"],
    },
    Right {
        group: "",
        resource: "serviceaccounts/token",
        verbs: &["create"],
    },
    Right {
        group: "networking.k8s.io",
        resource: "networkpolicies",
        verbs: &[
            "create",
            "delete",
            "deletecollection",
            "list",
            "update",
            "watch",
        ],
    },
    Right {
        group: "networking.k8s.io",
        resource: "servicecidrs",
        verbs: &["list"],
    },
    Right {
        group: "rbac.authorization.k8s.io",
        resource: "clusterroles",
        verbs: &["bind", "create", "delete", "escalate", "list"],
    },
    Right {
        group: "rbac.authorization.k8s.io",
        resource: "clusterrolebindings",
        verbs: &["create", "delete", "list"],
    },
];
