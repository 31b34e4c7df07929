//! A world and what happens to it: what a case is made of, and what a failure is boiled down to.

use serde::{Deserialize, Serialize};

use super::{edit::Edit, plan::honest, world::World};

/// A world with its policies, and edits one after the other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Story {
    /// What there is in the beginning.
    pub world: World,
    /// What happens then.
    #[serde(default)]
    pub edits: Vec<Edit>,
}

impl Story {
    /// A world to which nothing happens.
    pub fn still(world: World) -> Self {
        Self {
            world,
            edits: Vec::new(),
        }
    }

    /// The worlds from the first to the last, one more than there are edits; nothing if an edit
    /// cannot be made.
    pub fn worlds(&self) -> Option<Vec<World>> {
        let mut worlds = vec![self.world.clone()];
        let mut world = self.world.clone();
        for edit in &self.edits {
            world.edit(edit, honest)?;
            worlds.push(world.clone());
        }
        self.world.is_sound().then_some(worlds)
    }
}
