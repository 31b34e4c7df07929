//! `refuse` and `accept`: objects that the API server must refuse or admit.

use std::{collections::BTreeSet, sync::Arc};

use enforcer::{diagnostic::Diagnostic, yaml::FieldPath};

use super::{
    Frame, Reader,
    change::State,
    policies::{self, Catalog},
};
use crate::scenario::{
    is_yaml_path,
    model::{Admission, Refusal},
    policy::{self, PolicySource},
    written::{self, short::ShortOrLong, step::Subject},
};

/// Reads what a step says that the API server must refuse or admit.
pub(super) fn read(
    reader: &mut Reader,
    step: &written::step::Step,
    path: &FieldPath,
    catalog: &Catalog,
    state: &State,
    frame: &Frame,
    used: &mut BTreeSet<String>,
) -> Vec<Admission> {
    let mut admissions = Vec::new();
    let scope = state.scope(frame);
    for (index, refuse) in step.refuse.iter().enumerate() {
        let path = path.key("refuse").index(index);
        let found = match (&refuse.policy, &refuse.manifest) {
            (Some(name), None) => named(reader, &path.key("policy"), name, catalog, used),
            (None, Some(_)) => inline(reader, &path.key("manifest"), frame),
            _ => {
                let problem = Diagnostic::new(
                    "scenario/object",
                    "either `policy` or `manifest` says what is refused",
                )
                .at(reader.at(&path), "");
                reader.report(problem);
                None
            }
        };
        if let Some(manifest) = found
            && reader.check_templates(&manifest, &scope)
        {
            admissions.push(Admission {
                manifest,
                refused: Some(Refusal {
                    field: FieldPath::from(refuse.field.as_str()),
                    message: refuse.message.clone(),
                }),
                location: reader.at(&path),
            });
        }
    }
    for (index, ShortOrLong(subject)) in step.accept.iter().enumerate() {
        let path = path.key("accept").index(index);
        let found = match subject {
            Subject::Manifest => inline(reader, &path, frame),
            Subject::Name(file) if is_yaml_path(file) => reader
                .one_document(&path, file)
                .and_then(|document| policies::source(reader, file, document, frame.family))
                .map(Arc::new),
            Subject::Name(name) => named(reader, &path, name, catalog, used),
        };
        if let Some(manifest) = found
            && reader.check_templates(&manifest, &scope)
        {
            admissions.push(Admission {
                manifest,
                refused: None,
                location: reader.at(&path),
            });
        }
    }
    admissions
}

fn named(
    reader: &mut Reader,
    path: &FieldPath,
    name: &str,
    catalog: &Catalog,
    used: &mut BTreeSet<String>,
) -> Option<Arc<PolicySource>> {
    used.insert(name.to_owned());
    catalog.find(reader, path, name)
}

fn inline(reader: &mut Reader, path: &FieldPath, frame: &Frame) -> Option<Arc<PolicySource>> {
    let document = reader.document.at(path)?;
    let key = policy::object_name(&document).to_string();
    policies::source(reader, &key, document, frame.family).map(Arc::new)
}
