//! Who reaches whom, as a table: sources are rows, destinations are columns.
//!
//! A [`Matrix`] is for one port and one family; [`Matrix::of`] sorts judged cells into as many as
//! they need. Everything here is pure. [`render`] draws one matrix ([`render::table`]), a matrix
//! before and after a change ([`render::change`]), and what was expected against what happened
//! ([`render::difference`]); `collapse` merges equal rows and columns of large ones and `grid` lays
//! text out in columns.

mod collapse;
mod grid;
pub mod render;

use std::collections::{BTreeMap, BTreeSet};

use crate::cell::{Cell, Endpoint, Family, Outcome, Port};

/// What stands in one field of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Symbol {
    /// `.`
    Allowed,
    /// `X`
    Denied,
    /// `R`
    Refused,
    /// `U`
    Unreachable,
    /// `-`
    NotProbed,
    /// `?`: any outcome is right.
    Either,
    /// `#`: source and destination are the same.
    Itself,
}

impl Symbol {
    /// All of them, in the order of a legend.
    pub const ALL: [Self; 7] = [
        Self::Allowed,
        Self::Denied,
        Self::Refused,
        Self::Unreachable,
        Self::Either,
        Self::NotProbed,
        Self::Itself,
    ];

    /// The symbol of a set of right outcomes; nothing right means not probed.
    pub fn of_expected(outcomes: &[Outcome]) -> Self {
        match outcomes {
            [] => Self::NotProbed,
            [one] => (*one).into(),
            _ => Self::Either,
        }
    }

    /// The character that stands for it, here and in scenario files.
    pub fn as_char(self) -> char {
        match self {
            Self::Allowed => '.',
            Self::Denied => 'X',
            Self::Refused => 'R',
            Self::Unreachable => 'U',
            Self::NotProbed => '-',
            Self::Either => '?',
            Self::Itself => '#',
        }
    }

    /// The symbol that a character stands for.
    pub fn from_char(character: char) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|symbol| symbol.as_char() == character)
    }

    /// What it means, for the legend.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::NotProbed => "not probed",
            Self::Either => "either",
            Self::Itself => "itself",
        }
    }
}

impl From<Outcome> for Symbol {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Allowed => Self::Allowed,
            Outcome::Denied => Self::Denied,
            Outcome::Refused => Self::Refused,
            Outcome::Unreachable => Self::Unreachable,
        }
    }
}

/// Sources × destinations on one port over one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    port: Port,
    family: Family,
    cells: BTreeMap<(Endpoint, Endpoint), Symbol>,
}

impl Matrix {
    /// A matrix without fields.
    pub fn new(port: Port, family: Family) -> Self {
        Self {
            port,
            family,
            cells: BTreeMap::new(),
        }
    }

    /// One matrix per port and family of the cells, in their order.
    pub fn of(cells: impl IntoIterator<Item = (Cell, Symbol)>) -> Vec<Self> {
        let mut matrices = BTreeMap::new();
        for (cell, symbol) in cells {
            matrices
                .entry((cell.port, cell.family))
                .or_insert_with(|| Self::new(cell.port, cell.family))
                .set(cell.source, cell.destination, symbol);
        }
        matrices.into_values().collect()
    }

    /// Puts a symbol into a field; the endpoints become a row and a column.
    pub fn set(&mut self, source: Endpoint, destination: Endpoint, symbol: Symbol) {
        self.cells.insert((source, destination), symbol);
    }

    /// What stands in a field; where nothing was put, `#` for an endpoint and itself and `-` else.
    pub fn get(&self, source: &Endpoint, destination: &Endpoint) -> Symbol {
        let absent = if source == destination {
            Symbol::Itself
        } else {
            Symbol::NotProbed
        };
        let key = (source.clone(), destination.clone());
        self.cells.get(&key).copied().unwrap_or(absent)
    }

    /// The port of all fields.
    pub fn port(&self) -> Port {
        self.port
    }

    /// The family of all fields.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The sources: pods by namespace, nodes, machines outside.
    pub fn rows(&self) -> Vec<Endpoint> {
        let all: BTreeSet<_> = self.cells.keys().map(|(source, _)| source).collect();
        all.into_iter().cloned().collect()
    }

    /// The destinations, ordered like the rows, Services last.
    pub fn columns(&self) -> Vec<Endpoint> {
        let all: BTreeSet<_> = self
            .cells
            .keys()
            .map(|(_, destination)| destination)
            .collect();
        all.into_iter().cloned().collect()
    }

    /// How many fields hold this symbol.
    pub fn count(&self, symbol: Symbol) -> usize {
        self.cells.values().filter(|held| **held == symbol).count()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn every_symbol_reads_what_it_prints() {
        for symbol in Symbol::ALL {
            assert_eq!(Symbol::from_char(symbol.as_char()), Some(symbol));
        }
        assert_eq!(Symbol::from_char('x'), None);
    }

    #[rstest]
    #[case::nothing(&[], Symbol::NotProbed)]
    #[case::one(&[Outcome::Refused], Symbol::Refused)]
    #[case::several(&[Outcome::Allowed, Outcome::Denied], Symbol::Either)]
    fn expectations_have_symbols(#[case] outcomes: &[Outcome], #[case] expected: Symbol) {
        assert_eq!(Symbol::of_expected(outcomes), expected);
    }
}
