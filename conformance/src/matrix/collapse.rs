//! Large matrices: rows that say the same become one row, and so do columns.

use crate::cell::Endpoint;

/// More endpoints than this on a side, and equal ones are merged.
const PLENTY: usize = 12;

/// One line of a matrix, a row or a column, standing for one or more endpoints of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Band {
    /// Whom it stands for, in order; never empty.
    pub(super) members: Vec<Endpoint>,
    /// Whether these are all endpoints of their namespace on this side.
    is_whole: bool,
}

impl Band {
    /// What is written in front of it: `x/a`, `x/*` for a whole namespace, `x/a +2` otherwise.
    pub(super) fn label(&self) -> String {
        let first = &self.members[0];
        match self.members.len() {
            1 => first.to_string(),
            _ if self.is_whole => format!("{}/*", group(first)),
            many => format!("{first} +{}", many - 1),
        }
    }

    /// What bands that stand together have in common: `x`, `node`, `ext`, `svc/x`.
    pub(super) fn group(&self) -> String {
        group(&self.members[0])
    }

    /// `x/a +2 = x/a x/b x/c`, where the label does not say it.
    pub(super) fn key(&self) -> Option<String> {
        let is_clear = self.members.len() == 1 || self.is_whole;
        let names: Vec<_> = self.members.iter().map(ToString::to_string).collect();
        (!is_clear).then(|| format!("{} = {}", self.label(), names.join(" ")))
    }
}

fn group(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Pod { namespace, .. } => namespace.clone(),
        Endpoint::Node(_) => "node".to_owned(),
        Endpoint::External(_) => "ext".to_owned(),
        Endpoint::Service { namespace, .. } => format!("svc/{namespace}"),
        Endpoint::Localhost => "localhost".to_owned(),
    }
}

/// Groups `lines` into bands. With up to [`PLENTY`] lines each is a band of its own; with more,
/// lines of one namespace that are the same in every field are merged. `fields` gives the fields
/// of a line; nothing is a field that fits any other, such as a pod's field with itself.
pub(super) fn bands<T: PartialEq>(
    lines: &[Endpoint],
    fields: impl Fn(&Endpoint) -> Vec<Option<T>>,
) -> Vec<Band> {
    let mut bands: Vec<(Band, Vec<Option<T>>)> = Vec::new();
    for line in lines {
        let fields = fields(line);
        let fitting = bands.iter_mut().find(|(band, merged)| {
            lines.len() > PLENTY && band.group() == group(line) && fits(merged, &fields)
        });
        match fitting {
            Some((band, merged)) => {
                band.members.push(line.clone());
                for (merged, field) in merged.iter_mut().zip(fields) {
                    *merged = merged.take().or(field);
                }
            }
            None => {
                let members = vec![line.clone()];
                bands.push((
                    Band {
                        members,
                        is_whole: false,
                    },
                    fields,
                ));
            }
        }
    }
    let size = |name: &str| lines.iter().filter(|line| group(line) == name).count();
    let close = |(mut band, _): (Band, _)| {
        band.is_whole = band.members.len() == size(&band.group());
        band
    };
    bands.into_iter().map(close).collect()
}

fn fits<T: PartialEq>(one: &[Option<T>], other: &[Option<T>]) -> bool {
    let mut pairs = one.iter().zip(other);
    pairs.all(|(one, other)| one.is_none() || other.is_none() || one == other)
}
