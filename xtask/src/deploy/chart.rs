//! Renders a Helm chart as `helm template` does, as far as ours goes.
//!
//! The template language is Go's; of Helm's additions there are `toYaml`, `indent` and `nindent`. A
//! template that uses another is an error, so that nothing is rendered that Helm would not.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use gotmpl::{MissingKey, Template, TemplateError, Value as GoValue};
use serde_json::{Value, json};

/// A chart in memory.
pub(super) struct Chart {
    about: Value,
    values: Value,
    /// Definitions that templates share.
    shared: String,
    /// (name, text), in the order of installation.
    templates: Vec<(String, String)>,
}

impl Chart {
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(folder.join("templates"))? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        // The account and its rights before the pods that need them.
        names.sort_by_key(|name| (name != "rbac.yaml", name.clone()));
        let templates = names
            .into_iter()
            .filter(|name| name.ends_with(".yaml"))
            .map(|name| Ok((name.clone(), read(&format!("templates/{name}"))?)))
            .collect::<Result<_>>()?;
        Ok(Self {
            about: serde_yaml::from_str(&read("Chart.yaml")?)
                .context("failed to read Chart.yaml")?,
            values: serde_yaml::from_str(&read("values.yaml")?)
                .context("failed to read values.yaml")?,
            shared: read("templates/_helpers.tpl")?,
            templates,
        })
    }

    /// What each template gives, with `values` over the defaults; empty ones are left out.
    pub(super) fn render(&self, namespace: &str, values: &Value) -> Result<Vec<String>> {
        let mut merged = self.values.clone();
        merge(&mut merged, values);
        let about = &self.about;
        let data = gotmpl::to_value(&json!({
            "Values": merged,
            "Release": {"Name": "portcullis", "Namespace": namespace, "Service": "Helm"},
            "Chart": {
                "Name": about["name"],
                "Version": about["version"],
                "AppVersion": about["appVersion"],
            },
        }))?;
        let mut rendered = Vec::new();
        for (name, text) in &self.templates {
            let text = Template::new(name)
                .missing_key(MissingKey::Error)
                .func("toYaml", to_yaml)
                .func("indent", |arguments| indent(arguments, ""))
                .func("nindent", |arguments| indent(arguments, "\n"))
                .parse(&format!("{}{text}", self.shared))
                .and_then(|template| template.execute_to_string(&data))
                .with_context(|| format!("failed to render templates/{name}"))?;
            if !text.trim().is_empty() {
                rendered.push(text);
            }
        }
        Ok(rendered)
    }
}

/// Maps are merged, everything else is replaced, as Helm does.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn to_yaml(arguments: &[GoValue]) -> gotmpl::Result<GoValue> {
    let [value] = arguments else {
        return Err(TemplateError::Exec("toYaml takes one value".into()));
    };
    let text = serde_yaml::to_string(&marked(plain(value)))
        .map_err(|error| TemplateError::Exec(error.to_string()))?;
    let text = text.replace("\\u0001", "").replace("\\x01", "");
    Ok(GoValue::String(text.trim_end().into()))
}

/// Helm and kubectl read and write YAML 1.1, in which a bare `y` is a boolean. Texts that would be
/// read so are marked by a character that can only be written in quotes.
fn marked(value: Value) -> Value {
    const BOOLEANS: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];
    match value {
        Value::String(text) if BOOLEANS.contains(&text.to_lowercase().as_str()) => {
            Value::String(format!("\u{1}{text}"))
        }
        Value::Array(values) => values.into_iter().map(marked).collect(),
        Value::Object(values) => {
            let marked = values.into_iter().map(|(key, value)| (key, marked(value)));
            Value::Object(marked.collect())
        }
        other => other,
    }
}

fn plain(value: &GoValue) -> Value {
    match value {
        GoValue::Nil | GoValue::Function(_) => Value::Null,
        GoValue::Bool(value) => json!(value),
        GoValue::Int(value) => json!(value),
        GoValue::Uint(value) => json!(value),
        GoValue::Float(value) => json!(value),
        GoValue::String(value) => json!(value.as_ref()),
        GoValue::List(values) => values.iter().map(plain).collect(),
        GoValue::Map(values) => {
            let entries = values.iter();
            entries
                .map(|(key, value)| (key.to_string(), plain(value)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
    }
}

/// Every line moved to the right, after `before`.
fn indent(arguments: &[GoValue], before: &str) -> gotmpl::Result<GoValue> {
    let [width, GoValue::String(text)] = arguments else {
        return Err(TemplateError::Exec(
            "indent takes a number and a text".into(),
        ));
    };
    let width = width.as_int().and_then(|width| usize::try_from(width).ok());
    let blanks = " ".repeat(width.unwrap_or_default());
    let lines: Vec<_> = text.lines().map(|line| format!("{blanks}{line}")).collect();
    Ok(GoValue::String(
        format!("{before}{}", lines.join("\n")).into(),
    ))
}
