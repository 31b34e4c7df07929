//! The manifests that people install from, all from one source: the Helm chart.
//!
//! `enforcer/deploy/install.yaml` is the chart with its default values, as `helm template` prints
//! it. `cargo xtask deploy` writes it, the tests compare it. [`chart`] renders.

mod chart;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use self::chart::Chart;
use crate::process::{root, say};

/// Where the agent is installed unless told otherwise; its policies are part of the system.
const NAMESPACE: &str = "kube-system";

const HEADER: &str = "\
# The chart beside this file with its default values. Written by `cargo xtask deploy`; edit the chart.
#
#   kubectl apply -f install.yaml
#   kubectl -n kube-system rollout status daemonset/portcullis
";

fn folder() -> PathBuf {
    root().join("enforcer/deploy")
}

/// Writes install.yaml anew.
pub(crate) fn run() -> Result<()> {
    let path = folder().join("install.yaml");
    fs::write(&path, install()?).with_context(|| format!("failed to write {}", path.display()))?;
    say("enforcer/deploy/install.yaml is written");
    Ok(())
}

/// Prints the manifests that a file of values leads to.
#[expect(clippy::print_stdout, reason = "for `kubectl apply -f -`")]
pub(crate) fn print(values: &Path) -> Result<()> {
    let wrong = || format!("failed to read {}", values.display());
    let text = fs::read_to_string(values).with_context(wrong)?;
    let values = serde_yaml::from_str(&text).with_context(wrong)?;
    print!("{}", manifests(&values)?);
    Ok(())
}

fn install() -> Result<String> {
    Ok(HEADER.to_owned() + &manifests(&json!({}))?)
}

fn manifests(values: &Value) -> Result<String> {
    let chart = Chart::read(&folder().join("chart"))?;
    let rendered = chart.render(NAMESPACE, values)?;
    let mut text = String::new();
    for document in rendered {
        text.push_str("---\n");
        text.push_str(document.trim());
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> String {
        fs::read_to_string(folder().join(path)).expect("the file is in the repository")
    }

    /// Every object the chart gives with these values.
    fn objects(values: &Value) -> Vec<Value> {
        let chart = Chart::read(&folder().join("chart")).expect("the chart can be read");
        let documents = chart.render(NAMESPACE, values).expect("and rendered");
        let documents = documents.iter();
        let parsed = documents.flat_map(|text| {
            serde_yaml::Deserializer::from_str(text)
                .map(|one| serde::Deserialize::deserialize(one).expect("and is YAML"))
                .collect::<Vec<Value>>()
        });
        parsed.filter(|object| !object.is_null()).collect()
    }

    fn daemon_set(values: &Value) -> Value {
        let all = objects(values);
        let found = all.into_iter().find(|object| object["kind"] == "DaemonSet");
        found.expect("there is always one")
    }

    #[test]
    fn install_yaml_is_the_chart_of_today() {
        let expected = install().expect("the chart renders");
        assert!(
            read("install.yaml") == expected,
            "run `cargo xtask deploy` and commit enforcer/deploy/install.yaml"
        );
    }

    #[test]
    fn the_agent_has_net_admin_and_nothing_else() {
        let pod = &daemon_set(&json!({}))["spec"]["template"]["spec"];
        let context = &pod["containers"][0]["securityContext"];
        assert_eq!(
            context["capabilities"],
            json!({"add": ["NET_ADMIN"], "drop": ["ALL"]})
        );
        assert_eq!(context["privileged"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(pod["hostNetwork"], true);
        assert_eq!(pod["tolerations"], json!([{"operator": "Exists"}]));
        assert!(pod.get("volumes").is_none());
    }

    #[test]
    fn the_role_reads_and_writes_nothing_but_events() {
        let rules = |values: &Value| -> Vec<Value> {
            let objects = objects(values).into_iter();
            let rules = objects.filter_map(|object| object["rules"].as_array().cloned());
            rules.flatten().collect()
        };
        let quiet = rules(&json!({"events": {"enabled": false}}));
        for rule in &quiet {
            assert_eq!(rule["verbs"], json!(["list", "watch"]), "{rule}");
        }
        let more: Vec<_> = rules(&json!({}))
            .into_iter()
            .filter(|rule| !quiet.contains(rule))
            .collect();
        let events = json!({
            "apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"],
        });
        assert_eq!(more, [events]);
    }

    #[test]
    fn values_reach_the_arguments() {
        let values = json!({
            "policy": {"established": "revoke", "deny": "reject"},
            "allowOtherEnforcers": true,
            "events": {"enabled": false},
            "metrics": {"enabled": true, "podMonitor": {"enabled": true}},
            "image": {"digest": format!("sha256:{}", "0".repeat(64))},
            "extraArgs": ["--dataplane=nft"],
            "podLabels": {"team": "network"},
            "serviceAccount": {"annotations": {"a": "b"}},
        });
        let agent = daemon_set(&values);
        let container = &agent["spec"]["template"]["spec"]["containers"][0];
        let arguments = container["args"].to_string();
        for wanted in [
            "--established=revoke",
            "--unprogrammed=hold",
            "--deny=reject",
            "--allow-other-enforcers",
            "--no-events",
            "--dataplane=nft",
        ] {
            assert!(arguments.contains(wanted), "{wanted} is not in {arguments}");
        }
        let environment = container["env"].to_string();
        assert!(environment.contains("[::]:9471"), "{environment}");
        let image = container["image"].as_str().expect("a string");
        assert!(image.contains("@sha256:000"), "{image}");
        assert_eq!(
            agent["spec"]["template"]["metadata"]["labels"]["team"],
            "network"
        );
        let kinds: Vec<_> = objects(&values)
            .iter()
            .map(|object| object["kind"].as_str().unwrap_or_default().to_owned())
            .collect();
        assert!(kinds.contains(&"PodMonitor".to_owned()), "{kinds:?}");
    }

    #[test]
    fn a_text_stays_a_text_for_readers_of_yaml_1_1() {
        let chart = Chart::read(&folder().join("chart")).expect("the chart can be read");
        let values = json!({"podAnnotations": {"a": "y", "b": "Off", "c": "true", "d": "1"}});
        let text = chart
            .render(NAMESPACE, &values)
            .expect("and rendered")
            .join("");
        for line in ["a: \"y\"", "b: \"Off\"", "c: 'true'", "d: '1'"] {
            assert!(text.contains(line), "no {line} in {text}");
        }
    }

    #[test]
    fn what_is_switched_off_is_not_there() {
        let values = json!({"rbac": {"create": false}, "serviceAccount": {"create": false}});
        let kinds: Vec<_> = objects(&values)
            .iter()
            .map(|object| object["kind"].clone())
            .collect();
        assert_eq!(kinds, ["DaemonSet"]);
    }

    #[test]
    fn every_value_is_in_the_schema_and_in_a_template() {
        let values: Value = serde_yaml::from_str(&read("chart/values.yaml")).expect("YAML");
        let schema: Value = serde_json::from_str(&read("chart/values.schema.json")).expect("JSON");
        let mut templates = String::new();
        for entry in fs::read_dir(folder().join("chart/templates")).expect("a folder") {
            templates += &fs::read_to_string(entry.expect("an entry").path()).expect("text");
        }
        for path in leaves(&values, &schema) {
            let used = format!(".Values.{path}");
            let is_used = templates.contains(&used);
            assert!(is_used, "{path} is in values.yaml and in no template");
        }
    }

    /// Paths of values; below what the schema leaves open, a value is one thing.
    fn leaves(values: &Value, schema: &Value) -> Vec<String> {
        let mut found = Vec::new();
        for (key, value) in values.as_object().into_iter().flatten() {
            let below = &schema["properties"][key];
            assert!(below.is_object(), "{key} is not in values.schema.json");
            if below["properties"].is_object() {
                let deeper = leaves(value, below);
                found.extend(deeper.into_iter().map(|path| format!("{key}.{path}")));
            } else {
                found.push(key.clone());
            }
        }
        found
    }

    #[test]
    fn versions_agree() {
        let chart: Value = serde_yaml::from_str(&read("chart/Chart.yaml")).expect("YAML");
        assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
        let image = format!("portcullis-agent:{}", env!("CARGO_PKG_VERSION"));
        assert!(read("cleanup.yaml").contains(&image));
        assert!(read("kustomization.yaml").contains("- install.yaml"));
    }
}
