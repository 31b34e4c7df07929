//! Manifests, and what people get to read about bad ones.

use enforcer::{
    api::manifest::{Manifest, Object, decode},
    yaml::{FieldPath, Source, parse},
};
use rstest::rstest;

fn manifests(text: &str) -> Vec<Manifest> {
    parse(&Source::new("shop.yaml", text))
        .expect("good YAML")
        .iter()
        .flat_map(|document| {
            decode(document).unwrap_or_else(|errors| panic!("good manifests: {errors}"))
        })
        .collect()
}

fn error(text: &str) -> String {
    let documents = parse(&Source::new("shop.yaml", text)).expect("good YAML");
    decode(&documents[0])
        .expect_err("a bad manifest")
        .to_string()
}

const POLICY: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-db
  namespace: shop
spec:
";

#[rstest]
#[case("v1", "Namespace", "{}")]
#[case(
    "v1",
    "Pod",
    "{containers: [{name: c, image: i, ports: [{containerPort: 80}]}]}"
)]
#[case(
    "v1",
    "Service",
    "{ports: [{port: 80, targetPort: web}], selector: {app: web}}"
)]
#[case("v1", "Node", "{podCIDR: 10.0.0.0/24}")]
#[case("networking.k8s.io/v1", "NetworkPolicy", "{podSelector: {}}")]
#[case(
    "apps/v1",
    "Deployment",
    "{selector: {}, template: {spec: {containers: []}}}"
)]
#[case("apps/v1", "StatefulSet", "{selector: {}, template: {}}")]
#[case("apps/v1", "DaemonSet", "{selector: {}, template: {}}")]
#[case("apps/v1", "ReplicaSet", "{selector: {}, replicas: 2}")]
#[case("batch/v1", "Job", "{template: {}}")]
#[case("batch/v1", "CronJob", "{schedule: '* * * * *', jobTemplate: {}}")]
fn every_kind(#[case] api_version: &str, #[case] kind: &str, #[case] spec: &str) {
    let manifests = manifests(&format!(
        "{{apiVersion: {api_version}, kind: {kind}, metadata: {{name: a}}, spec: {spec}}}"
    ));

    let kinds: Vec<_> = manifests.iter().map(|m| m.object.kind()).collect();
    assert_eq!(kinds, [kind]);
}

#[test]
fn objects_without_a_namespace_lie_in_the_default_one() {
    let text = "{apiVersion: v1, kind: Pod, metadata: {name: a}}\n---\n\
                {apiVersion: v1, kind: Namespace, metadata: {name: x}}\n";

    let namespaces: Vec<_> = manifests(text)
        .iter()
        .map(|m| m.object.metadata().namespace.clone())
        .collect();

    assert_eq!(namespaces, [Some("default".to_owned()), None]);
}

#[test]
fn lists_are_taken_apart() {
    let text = "
apiVersion: v1
kind: List
metadata: {resourceVersion: ''}
items:
- {apiVersion: v1, kind: Pod, metadata: {name: a}}
- apiVersion: networking.k8s.io/v1
  kind: NetworkPolicyList
  items:
  - metadata: {name: p, namespace: x}
  - {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: q, namespace: x}}
";

    let found: Vec<_> = manifests(text)
        .iter()
        .map(|m| {
            let place = m.document.location(&FieldPath::from("metadata.name"));
            format!("{} {}", m.object.kind(), place)
        })
        .collect();

    assert_eq!(
        found,
        [
            "Pod shop.yaml:6:48",
            "NetworkPolicy shop.yaml:10:22",
            "NetworkPolicy shop.yaml:11:78",
        ]
    );
}

#[test]
fn kinds_without_a_part_in_verdicts_are_passed_over() {
    let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v}}";

    assert_eq!(manifests(text), []);
}

#[test]
fn objects_are_as_written() {
    let manifests = manifests(&format!("{POLICY}  egress: [{{}}]\n"));

    let Object::NetworkPolicy(policy) = &manifests[0].object else {
        panic!("a NetworkPolicy");
    };
    assert_eq!(policy.spec.as_ref().expect("a spec").policy_types, None);
}

#[test]
fn a_misspelt_field() {
    insta::assert_snapshot!(error(&format!("{POLICY}  podselector: {{}}\n")), @r#"
    error[yaml/unknown-field]: unknown field `podselector` in `spec`
     --> shop.yaml:7:3
      |
    7 |   podselector: {}
      |   ^^^^^^^^^^^ did you mean `podSelector`?
      |
      = note: known fields: egress, ingress, podSelector, policyTypes
    "#);
}

#[test]
fn a_misspelt_field_deep_inside() {
    insta::assert_snapshot!(error(&format!("{POLICY}  ingress:\n  - from:\n    - podSelector:\n        matchlabels: {{app: web}}\n")), @r#"
    error[yaml/unknown-field]: unknown field `matchlabels` in `spec.ingress[0].from[0].podSelector`
      --> shop.yaml:10:9
       |
    10 |         matchlabels: {app: web}
       |         ^^^^^^^^^^^ did you mean `matchLabels`?
       |
       = note: known fields: matchExpressions, matchLabels
    "#);
}

#[test]
fn a_misspelt_field_without_a_value() {
    insta::assert_snapshot!(error(&format!("{POLICY}  ingres:\n")), @r#"
    error[yaml/unknown-field]: unknown field `ingres` in `spec`
     --> shop.yaml:7:3
      |
    7 |   ingres:
      |   ^^^^^^ did you mean `ingress`?
      |
      = note: known fields: egress, ingress, podSelector, policyTypes
    "#);
}

#[test]
fn a_wrong_type() {
    insta::assert_snapshot!(error(&format!("{POLICY}  ingress:\n    from: []\n")), @r#"
    error[yaml/type]: wrong value for `spec.ingress`
     --> shop.yaml:8:5
      |
    8 |     from: []
      |     ^^^^^^^^ expected a list, found a mapping
    "#);
}

#[test]
fn a_port_that_is_no_integer() {
    insta::assert_snapshot!(error(&format!("{POLICY}  ingress: [{{ports: [{{port: 80.5}}]}}]\n")), @r#"
    error[yaml/type]: wrong value for `spec.ingress[0].ports[0].port`
     --> shop.yaml:7:29
      |
    7 |   ingress: [{ports: [{port: 80.5}]}]
      |                             ^^^^ expected an integer or a string, found the number 80.5
    "#);
}

#[test]
fn a_bare_word_that_kubectl_takes_for_a_boolean() {
    insta::assert_snapshot!(
        error("apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  namespace: y\n"),
        @r#"
        error[yaml/type]: wrong value for `metadata.namespace`
         --> shop.yaml:5:14
          |
        5 |   namespace: y
          |              ^ expected a string, found the boolean true
          |
          = note: kubectl takes a bare `y` for `true`
          = help: quote it: "y"
        "#
    );
}

#[test]
fn a_label_that_is_a_number() {
    insta::assert_snapshot!(
        error("apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels: {version: 2}\n"),
        @r#"
        error[yaml/type]: wrong value for `metadata.labels.version`
         --> shop.yaml:5:21
          |
        5 |   labels: {version: 2}
          |                     ^ expected a string, found the number 2
          |
          = help: quote it: "2"
        "#
    );
}

#[test]
fn an_unknown_kind() {
    insta::assert_snapshot!(error("apiVersion: networking.k8s.io/v1\nkind: NetworkPolcy\n"), @r#"
    error[manifest/kind]: unknown kind `NetworkPolcy`
     --> shop.yaml:2:7
      |
    2 | kind: NetworkPolcy
      |       ^^^^^^^^^^^^ did you mean `NetworkPolicy`?
      |
      = note: known kinds: Namespace, Pod, NetworkPolicy, Service, Node, Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob, List
    "#);
}

#[test]
fn an_old_version() {
    insta::assert_snapshot!(error("apiVersion: extensions/v1beta1\nkind: NetworkPolicy\n"), @r#"
    error[manifest/api-version]: there is no NetworkPolicy in `extensions/v1beta1`
     --> shop.yaml:1:13
      |
    1 | apiVersion: extensions/v1beta1
      |             ^^^^^^^^^^^^^^^^^^ it is `networking.k8s.io/v1`
    "#);
}

#[test]
fn no_kind() {
    insta::assert_snapshot!(error("apiVersion: v1\nmetadata: {name: a}\n"), @r#"
    error[manifest/object]: a Kubernetes object needs the field `kind`
     --> shop.yaml:1:1
      |
    1 | apiVersion: v1
      | ^^^^^^^^^^^^^^
    "#);
}

#[test]
fn no_object() {
    insta::assert_snapshot!(error("- one\n- two\n"), @r#"
    error[manifest/object]: this is no Kubernetes object
     --> shop.yaml:1:1
      |
    1 | - one
      | ^^^^^ expected a mapping with `apiVersion` and `kind`
    "#);
}

#[test]
fn a_policy_that_the_server_refuses() {
    let text = format!(
        "{POLICY}  podSelector:
    matchLabels: {{app: web, tier: \"front end\"}}
  ingress:
  - ports:
    - port: 0
      protocol: tcp
    from:
    - {{}}
    - ipBlock:
        cidr: 10.0.0.0/8
        except:
        - 11.0.0.0/16
    - ipBlock: {{}}
"
    );

    insta::assert_snapshot!(error(&text), @r#"
    error[manifest/refused]: spec.podSelector.matchLabels: Invalid value: "front end": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
     --> shop.yaml:8:35
      |
    8 |     matchLabels: {app: web, tier: "front end"}
      |                                   ^^^^^^^^^^^ the API server refuses this NetworkPolicy

    error[manifest/refused]: spec.ingress[0].ports[0].protocol: Unsupported value: "tcp": supported values: "TCP", "UDP", "SCTP"
      --> shop.yaml:12:17
       |
    12 |       protocol: tcp
       |                 ^^^ the API server refuses this NetworkPolicy

    error[manifest/refused]: spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive
      --> shop.yaml:11:13
       |
    11 |     - port: 0
       |             ^ the API server refuses this NetworkPolicy

    error[manifest/refused]: spec.ingress[0].from[0]: Required value: must specify a peer
      --> shop.yaml:14:7
       |
    14 |     - {}
       |       ^^ the API server refuses this NetworkPolicy

    error[manifest/refused]: spec.ingress[0].from[1].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`
      --> shop.yaml:18:11
       |
    18 |         - 11.0.0.0/16
       |           ^^^^^^^^^^^ the API server refuses this NetworkPolicy

    error[manifest/refused]: spec.ingress[0].from[2].ipBlock.cidr: Required value
      --> shop.yaml:19:7
       |
    19 |     - ipBlock: {}
       |       ^^^^^^^ the API server refuses this NetworkPolicy
    "#);
}

#[test]
fn a_name_that_the_server_refuses() {
    insta::assert_snapshot!(
        error("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: my.shop\n  labels: {Bad/key: v}\n"),
        @r#"
        error[manifest/refused]: metadata.name: Invalid value: "my.shop": must not contain dots
         --> shop.yaml:4:9
          |
        4 |   name: my.shop
          |         ^^^^^^^ the API server refuses this Namespace

        error[manifest/refused]: metadata.labels: Invalid value: "Bad/key": prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
         --> shop.yaml:5:12
          |
        5 |   labels: {Bad/key: v}
          |            ^^^^^^^ the API server refuses this Namespace
        "#
    );
}

#[test]
fn no_name() {
    insta::assert_snapshot!(error("apiVersion: v1\nkind: Pod\nmetadata: {}\n"), @r#"
    error[manifest/refused]: metadata.name: Required value: name or generateName is required
     --> shop.yaml:3:1
      |
    3 | metadata: {}
      | ^^^^^^^^ the API server refuses this Pod
    "#);
}

#[test]
fn all_bad_items_of_a_list() {
    let text = "
apiVersion: v1
kind: List
item: []
items:
- {apiVersion: v1, kind: Pod, metadata: {name: A}}
- {apiVersion: v1, kind: Pd, metadata: {name: a}}
";

    insta::assert_snapshot!(error(text), @r#"
    error[yaml/unknown-field]: unknown field `item`
     --> shop.yaml:4:1
      |
    4 | item: []
      | ^^^^ did you mean `items`?

    error[manifest/refused]: metadata.name: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
     --> shop.yaml:6:48
      |
    6 | - {apiVersion: v1, kind: Pod, metadata: {name: A}}
      |                                                ^ the API server refuses this Pod

    error[manifest/kind]: unknown kind `Pd`
     --> shop.yaml:7:26
      |
    7 | - {apiVersion: v1, kind: Pd, metadata: {name: a}}
      |                          ^^ did you mean `Pod`?
      |
      = note: known kinds: Namespace, Pod, NetworkPolicy, Service, Node, Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob, List
    "#);
}
