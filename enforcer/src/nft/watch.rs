//! Noticing what others do to our table.

use std::{collections::BTreeSet, fmt, io, os::fd::AsFd};

/// Notices changes of our table. Its descriptor becomes readable when there is something to look at.
pub trait Watch: AsFd + Send {
    /// Everything that has happened since the last look; never waits. Changes that were sent from
    /// netlink ports which `is_own` are left out.
    ///
    /// # Errors
    /// If nothing can be noticed any more. The watch is not to be asked again.
    fn look(&mut self, is_own: &dyn Fn(u32) -> bool) -> io::Result<Look>;

    /// The generation of the whole network namespace's ruleset: every transaction that anybody
    /// commits makes it [`following`] the one before.
    ///
    /// # Errors
    /// Whatever the kernel says.
    fn generation(&mut self) -> io::Result<u32>;
}

/// The generation after another; none is 0.
pub fn following(generation: u32) -> u32 {
    generation.checked_add(1).unwrap_or(1)
}

/// What was noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// What others did to our table, each kind of change once.
    pub changes: BTreeSet<TableChange>,
    /// What of it they did before the first transaction of our own in between; it is not among the
    /// others.
    pub earlier: BTreeSet<TableChange>,
    /// The commands that did it, as far as the kernel says. It says so at the end of a transaction,
    /// which may be only the next look.
    pub culprits: BTreeSet<String>,
    /// There was more to notice than there was room for: anything may have changed.
    pub is_incomplete: bool,
}

impl Look {
    /// Whether nobody else can have touched our table.
    pub fn is_harmless(&self) -> bool {
        self.changes.is_empty() && self.earlier.is_empty() && !self.is_incomplete
    }
}

/// One kind of change of our table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableChange {
    /// What was changed.
    pub part: Part,
    /// In which chain or set, or which one; empty for the table.
    pub name: String,
    /// Whether it is gone. If not, it is new or different.
    pub is_gone: bool,
}

impl TableChange {
    /// Whether everything is gone.
    pub fn is_deleted_table(&self) -> bool {
        self.part == Part::Table && self.is_gone
    }
}

/// The parts of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The table itself.
    Table,
    /// A chain.
    Chain,
    /// Rules of a chain.
    Rule,
    /// A set or map.
    Set,
    /// Elements of a set or map.
    Element,
    /// Something that our table never has.
    Other,
}

impl fmt::Display for TableChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match self.part {
            Part::Table => f.write_str("the table"),
            Part::Chain => write!(f, "chain {name}"),
            Part::Rule => write!(f, "rules of chain {name}"),
            Part::Set => write!(f, "set {name}"),
            Part::Element => write!(f, "elements of set {name}"),
            Part::Other => f.write_str("an object or flow table"),
        }?;
        f.write_str(if self.is_gone {
            " deleted"
        } else {
            " added or changed"
        })
    }
}
