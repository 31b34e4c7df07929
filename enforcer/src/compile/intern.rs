//! Content in, a name out.

use std::hash::Hash;

use crate::plan::Id;

/// A name for `content`: the one it has, or else one that nothing has. `known` tells what has a
/// name. Equal content gets the same name, different content never does, also where hashes collide.
pub(super) fn name<'a, T: Hash + PartialEq + 'a>(
    content: &T,
    known: impl Fn(&Id) -> Option<&'a T>,
) -> Id {
    (0..)
        .map(|attempt| Id::of(content, attempt))
        .find(|id| known(id).is_none_or(|known| known == content))
        .expect("there are more names than there is memory for content")
}
