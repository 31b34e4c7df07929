//! Entries of `policies` that stand for many: `{repeat: 200, manifest: {…}}`.

use std::{collections::BTreeMap, sync::Arc};

use enforcer::{diagnostic::Diagnostic, yaml::FieldPath};
use serde_json::Value;

use super::{
    Reader,
    expand::{NUMBER, put_in},
    policies,
};
use crate::{
    cell::Family,
    scenario::{
        policy::PolicySource,
        written::{MOST_REPEATED, Scalar},
    },
};

/// The policies of an entry; nothing, and a report, if it is not one.
pub(super) fn read(
    reader: &mut Reader,
    path: &FieldPath,
    key: &str,
    family: Option<Family>,
) -> Option<Vec<Arc<PolicySource>>> {
    let entry = reader.document.at(path)?;
    for other in entry.keys(&FieldPath::root()) {
        if !["repeat", "manifest"].contains(&other) {
            let problem = Diagnostic::new(
                "scenario/object",
                format!("`{other}` cannot stand beside `repeat`"),
            )
            .at(reader.at_key(&path.key(other)), "")
            .help("write {repeat: 200, manifest: {…}}");
            reader.report(problem);
            return None;
        }
    }
    let count = entry.value()["repeat"].as_u64();
    let Some(count) = count.filter(|count| (2..=MOST_REPEATED).contains(count)) else {
        let problem = Diagnostic::new("scenario/object", "this is no number of policies").at(
            reader.at(&path.key("repeat")),
            format!("expected 2 to {MOST_REPEATED}"),
        );
        reader.report(problem);
        return None;
    };
    let Some(manifest) = reader.document.at(&path.key("manifest")) else {
        let problem = Diagnostic::new("scenario/object", "there is no manifest to repeat")
            .at(reader.at(path), "")
            .help("write {repeat: 200, manifest: {…}}");
        reader.report(problem);
        return None;
    };
    let mut sources = Vec::new();
    let mut names = BTreeMap::new();
    for number in 0..count {
        let parameter = [(NUMBER.to_owned(), Scalar(Value::from(number)))];
        let document = manifest.with_value(put_in(manifest.value(), &parameter));
        let source = policies::source(reader, &format!("{key}[{number}]"), document, family)?;
        if names.insert(source.name.clone(), number).is_some() {
            let name = path.key("manifest").key("metadata").key("name");
            let problem = Diagnostic::new(
                "scenario/duplicate",
                format!("{count} policies would be called {}", source.name),
            )
            .at(reader.at(&name), "")
            .help("put ${n} into the name, which is 0, 1, 2 and so on");
            reader.report(problem);
            return None;
        }
        sources.push(Arc::new(source));
    }
    Some(sources)
}
