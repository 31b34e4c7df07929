//! What becomes of lists and watches.

use std::time::Duration;

use enforcer::{
    cluster::PodRef,
    kubernetes::Resource,
    policy::{Peers, PolicyRef},
};
use libtest_mimic::Trial;
use serde_json::json;

use crate::{
    Outcome,
    apiserver::{ApiServer, Settings},
    ensure,
    objects::{deny, namespace, node, pod, running},
    recorder::{Following, NODE, until},
    trial,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("synced_is_said_once_after_all_lists", synced_once),
        trial("without_its_own_node_nothing_is_synced", no_node),
        trial("long_lists_come_in_pages_and_are_one_event", pages),
        trial("changes_arrive_in_their_order", changes),
        trial("a_finished_pod_is_gone", finished),
        trial("a_broken_connection_is_resumed_without_a_list", disconnect),
        trial("an_unreachable_server_changes_nothing", down),
        trial("a_forgotten_version_leads_to_a_list", || gone(false)),
        trial("also_if_http_says_it", || gone(true)),
        trial(
            "a_list_that_expires_between_pages_begins_anew",
            expired_page,
        ),
        trial("a_server_that_ends_every_watch_is_not_hammered", flapping),
        trial("a_slow_server_is_waited_for", slow),
        trial(
            "what_is_forbidden_is_said_with_the_rule_that_allows_it",
            forbidden,
        ),
        trial("who_is_not_known_is_told", unauthorized),
        trial("a_server_restored_from_a_backup_is_listed_again", restored),
        trial("bookmarks_keep_a_quiet_watch_young", bookmarks),
        trial("a_field_of_the_future_closes_its_entry", future_field),
        trial("the_role_of_the_messages_is_enough", own_role),
    ]
}

/// A server with one node, one namespace and one pod.
fn server(settings: Settings) -> ApiServer {
    let server = ApiServer::start(settings);
    server.create(&node(NODE, "10.0.1.0/24"));
    server.create(&namespace("x", &json!({"team": "x"})));
    let pod = pod("x", "a", NODE, &json!({"app": "a"}));
    server.create(&pod);
    server.replace(&running(pod, "10.0.1.1"));
    server
}

fn has_pod(name: &str) -> impl Fn(&crate::recorder::Heard) -> bool {
    let reference = PodRef::new("x", name);
    move |heard| heard.cluster.pod(&reference).is_some()
}

fn add_pod(server: &ApiServer, name: &str) {
    server.create(&pod("x", name, NODE, &json!({})));
}

fn synced_once() -> Outcome {
    let server = server(Settings::default());
    let following = Following::start(&server)?;
    following.until_synced()?;
    following.heard(|heard| {
        let mut resets = heard.resets.clone();
        resets.sort();
        ensure(resets == Resource::ALL, format!("{resets:?}"))?;
        let cluster = &heard.cluster;
        let pod = cluster.pod(&PodRef::new("x", "a")).ok_or("no pod")?;
        ensure(
            pod.addresses == ["10.0.1.1".parse::<std::net::IpAddr>()?],
            "addresses",
        )?;
        ensure(pod.labels.get("app") == Some("a"), "labels")?;
        ensure(
            pod.port_number(enforcer::policy::Protocol::Tcp, "http") == Some(80),
            "ports",
        )?;
        ensure(pod.created > 0 && !pod.uid.is_empty(), "identity")?;
        ensure(
            cluster.namespace_labels("x").get("team") == Some("x"),
            "namespace",
        )?;
        let node = cluster.node(NODE).ok_or("no node")?;
        ensure(node.pod_cidrs == ["10.0.1.0/24".parse()?], "pod range")
    })?;
    server.faults(|faults| faults.is_down = true);
    add_pod(&server, "b");
    server.compact();
    server.faults(|faults| faults.is_down = false);
    following.until("listed again", |heard| heard.resets.len() == 8)?;
    following.heard(|heard| ensure(heard.synced == 1, "synced again"))
}

fn no_node() -> Outcome {
    let server = ApiServer::start(Settings::default());
    server.create(&node("another", "10.0.2.0/24"));
    let following = Following::start(&server)?;
    following.until("four lists", |heard| heard.resets.len() == 4)?;
    following.heard(|heard| ensure(heard.synced == 0, "synced without a node"))?;
    server.create(&node(NODE, "10.0.1.0/24"));
    following.until_synced()?;
    following.heard(|heard| ensure(heard.cluster.nodes().count() == 1, "foreign nodes"))
}

fn pages() -> Outcome {
    let server = server(Settings::default());
    for count in 0..600 {
        add_pod(&server, &format!("p{count}"));
    }
    let following = Following::start(&server)?;
    following.until_synced()?;
    following.heard(|heard| {
        ensure(heard.cluster.pods().count() == 601, "pods are missing")?;
        ensure(heard.resets.len() == 4, "more than one list")
    })?;
    ensure(server.requests("list", "pods") == 2, "not in pages")
}

fn changes() -> Outcome {
    let server = server(Settings::default());
    let following = Following::start(&server)?;
    following.until_synced()?;
    for round in 0..20 {
        let name = format!("p{round}");
        add_pod(&server, &name);
        server.delete("pods", "x", &name);
    }
    server.create(&deny("x", "deny"));
    server.create(&namespace("y", &json!({})));
    add_pod(&server, "last");
    following.until("the last pod", has_pod("last"))?;
    let reference = PolicyRef::network_policy("x", "deny");
    following.until("the policy", |heard| {
        !heard.cluster.policy(&reference).is_empty()
    })?;
    following.until("the namespace", |heard| {
        heard.cluster.namespace("y").is_some()
    })?;
    server.delete("networkpolicies", "x", "deny");
    following.until("the policy goes", |heard| {
        heard.cluster.policies().next().is_none()
    })?;
    following.heard(|heard| ensure(heard.cluster.pods().count() == 2, "pods"))
}

fn finished() -> Outcome {
    let server = server(Settings::default());
    let following = Following::start(&server)?;
    following.until_synced()?;
    let mut done = running(pod("x", "a", NODE, &json!({"app": "a"})), "10.0.1.1");
    done["status"]["phase"] = json!("Succeeded");
    server.replace(&done);
    following.until("the pod goes", |heard| {
        heard.cluster.pods().next().is_none()
    })
}

fn disconnect() -> Outcome {
    let server = server(Settings::default());
    let following = Following::start(&server)?;
    following.until_synced()?;
    for round in 0..3 {
        until("four watches", || {
            Resource::ALL
                .iter()
                .all(|r| server.watches(r.plural()) == 1)
        })?;
        server.disconnect();
        let name = format!("p{round}");
        add_pod(&server, &name);
        following.until("the pod", has_pod(&name))?;
    }
    following.heard(|heard| ensure(heard.resets.len() == 4, "listed again"))
}

fn down() -> Outcome {
    let server = server(Settings::default());
    let following = Following::start(&server)?;
    following.until_synced()?;
    server.faults(|faults| faults.is_down = true);
    server.delete("pods", "x", "a");
    add_pod(&server, "b");
    let health = following.health();
    until("a failure", || health.of(Resource::Pods).errors >= 3)?;
    following.heard(|heard| {
        ensure(
            heard.deletes.is_empty() && has_pod("a")(heard),
            "something changed",
        )
    })?;
    server.faults(|faults| faults.is_down = false);
    following.until("the change", has_pod("b"))?;
    until("no failure", || health.of(Resource::Pods).failure.is_none())?;
    following.heard(|heard| ensure(!has_pod("a")(heard), "the old pod is still there"))
}

fn gone(by_http: bool) -> Outcome {
    let server = server(Settings::default());
    let following = Following::start(&server)?;
    following.until_synced()?;
    server.faults(|faults| {
        faults.is_down = true;
        faults.gone_by_http = by_http;
    });
    server.delete("pods", "x", "a");
    add_pod(&server, "b");
    server.compact();
    server.faults(|faults| faults.is_down = false);
    following.until("the change", has_pod("b"))?;
    following.heard(|heard| {
        ensure(!has_pod("a")(heard), "the old pod is still there")?;
        ensure(heard.deletes.is_empty(), "deleted one by one")
    })
}

fn expired_page() -> Outcome {
    let server = server(Settings::default());
    for count in 0..600 {
        add_pod(&server, &format!("p{count}"));
    }
    server.faults(|faults| faults.delay = Duration::from_millis(20));
    let following = Following::start(&server)?;
    until("the first page", || server.requests("list", "pods") >= 2)?;
    server.compact();
    following.until_synced()?;
    following.heard(|heard| ensure(heard.cluster.pods().count() == 601, "pods are missing"))
}

fn flapping() -> Outcome {
    let server = server(Settings::default());
    server.faults(|faults| faults.watch_length = Some(Duration::ZERO));
    let following = Following::start(&server)?;
    following.until_synced()?;
    for round in 0..3 {
        let name = format!("p{round}");
        add_pod(&server, &name);
        following.until("the pod", has_pod(&name))?;
    }
    let asked = server.requests("watch", "pods");
    ensure(asked < 30, format!("{asked} watches for three changes"))?;
    following.heard(|heard| ensure(heard.resets.len() == 4, "listed again"))
}

fn slow() -> Outcome {
    let server = server(Settings::default());
    server.faults(|faults| faults.delay = Duration::from_millis(300));
    let following = Following::start(&server)?;
    following.until_synced()?;
    add_pod(&server, "b");
    following.until("the pod", has_pod("b"))
}

fn forbidden() -> Outcome {
    let server = server(Settings::default());
    server.faults(|faults| faults.forbidden = vec![("list", "networkpolicies")]);
    let following = Following::start_as(
        &server,
        &server.token("system:serviceaccount:kube-system:agent"),
    )?;
    let health = following.health();
    until("a failure", || {
        health.of(Resource::NetworkPolicies).failure.is_some()
    })?;
    let failure = health
        .of(Resource::NetworkPolicies)
        .failure
        .ok_or("no failure")?;
    insta::assert_snapshot!(failure.message, @r#"
    list networkpolicies: networkpolicies.networking.k8s.io is forbidden: User "system:serviceaccount:kube-system:agent" cannot list resource "networkpolicies" in API group "networking.k8s.io" at the cluster scope; a ClusterRole bound to this user needs the rule
    - apiGroups: ["networking.k8s.io"]
      resources: [networkpolicies]
      verbs: [list, watch]
    "#);
    following.until("the others", |heard| heard.resets.len() == 3)?;
    following.heard(|heard| ensure(heard.synced == 0, "synced without policies"))?;
    server.faults(|faults| faults.forbidden.clear());
    following.until_synced()
}

fn unauthorized() -> Outcome {
    let server = server(Settings::default());
    let following = Following::start(&server)?;
    following.until_synced()?;
    server.faults(|faults| faults.knows_nobody = true);
    server.disconnect();
    let health = following.health();
    until("a failure", || health.of(Resource::Pods).errors > 2)?;
    let failure = health.of(Resource::Pods).failure.ok_or("no failure")?;
    ensure(failure.message.contains("(401)"), failure.message)?;
    server.faults(|faults| faults.knows_nobody = false);
    add_pod(&server, "b");
    following.until("the pod", has_pod("b"))
}

fn bookmarks() -> Outcome {
    let server = server(Settings {
        bookmarks: Duration::from_millis(20),
        ..Settings::default()
    });
    let following = Following::start(&server)?;
    following.until_synced()?;
    for count in 0..20 {
        server.create(&deny("x", &format!("deny{count}")));
    }
    let version = server.version();
    let health = following.health();
    let before = health.of(Resource::Nodes).last_word;
    until("a bookmark", || {
        health.of(Resource::Nodes).last_word > before
    })?;
    until("another one", || {
        let now = health.of(Resource::Nodes).last_word;
        now > before && server.version() == version
    })?;
    // Nothing happened to the node, yet its watch is not older than the policies.
    following.until("the policies", |heard| {
        heard.cluster.policies().count() == 20
    })?;
    let seen = health.of(Resource::Nodes).last_word;
    until("one more", || health.of(Resource::Nodes).last_word > seen)?;
    server.compact();
    server.disconnect();
    server.create(&node("another", "10.0.2.0/24"));
    until("watched again", || server.watches("nodes") == 1)?;
    following.heard(|heard| {
        ensure(
            heard.resets.len() == 4,
            format!("listed again: {:?}", heard.resets),
        )
    })
}

fn restored() -> Outcome {
    let server = server(Settings::default());
    let following = Following::start(&server)?;
    following.until_synced()?;
    for round in 0..50 {
        server.create(&deny("x", &format!("deny{round}")));
    }
    following.until("the policies", |heard| {
        heard.cluster.policies().count() == 50
    })?;
    // What watches begin from is now yet to come: the server says neither events nor errors.
    server.rewind(5);
    server.delete("networkpolicies", "x", "deny0");
    // Long enough to be no failed attempt.
    server.faults(|faults| faults.watch_length = Some(Duration::from_millis(1_010)));
    following.until("the change", |heard| heard.cluster.policies().count() == 49)
}

fn future_field() -> Outcome {
    let server = server(Settings::default());
    let mut policy = deny("x", "future");
    policy["spec"]["ingress"] = json!([{"from": [
        {"podSelector": {}, "onlyOnWeekdays": true},
        {"podSelector": {"matchLabels": {"app": "a"}}},
    ]}]);
    server.store(&policy);
    let following = Following::start(&server)?;
    following.until_synced()?;
    following.heard(|heard| {
        let lowered = heard.cluster.policy(&PolicyRef::network_policy("x", "future"));
        let policy = lowered.first().ok_or("no policy")?;
        let broken = policy.broken.as_deref().unwrap_or_default();
        ensure(
            broken == "spec.ingress[0].from[0].onlyOnWeekdays: unknown field; this peer matches nobody",
            broken,
        )?;
        ensure(
            matches!(&policy.rules[0].peers, Peers::OneOf(peers) if peers.len() == 2),
            format!("{:?}", policy.rules),
        )
    })
}

fn own_role() -> Outcome {
    let server = ApiServer::start(Settings {
        has_rbac: true,
        ..Settings::default()
    });
    server.create(&node(NODE, "10.0.1.0/24"));
    let user = "system:serviceaccount:kube-system:agent";
    let following = Following::start_as(&server, &server.token(user))?;
    let health = following.health();
    until("refused", || {
        Resource::ALL
            .iter()
            .all(|r| health.of(*r).failure.is_some())
    })?;
    let rules: Vec<_> = Resource::ALL
        .iter()
        .map(|resource| {
            json!({
                "apiGroups": [resource.group()],
                "resources": [resource.plural()],
                "verbs": ["list", "watch"],
            })
        })
        .collect();
    server.create(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "agent"}, "rules": rules,
    }));
    server.create(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "agent"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "agent"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "kube-system", "name": "agent"}],
    }));
    following.until_synced()
}
