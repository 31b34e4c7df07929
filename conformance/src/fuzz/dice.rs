//! Chance that comes out the same on every machine.

/// Random choices that follow from a seed alone.
#[derive(Clone, Debug)]
pub struct Dice(fastrand::Rng);

impl Dice {
    /// The dice of one case of a run. Cases do not depend on each other, so that any of them can
    /// be had by itself.
    pub fn of_case(seed: u64, case: u64) -> Self {
        // Neighbouring seeds must not give neighbouring states: the first throw mixes them.
        let mut mixer = fastrand::Rng::with_seed(seed);
        Self(fastrand::Rng::with_seed(
            mixer.u64(..) ^ case.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        ))
    }

    /// A number below `sides`, which is at least 1 and fits 32 bits.
    pub fn below(&mut self, sides: usize) -> usize {
        // The width of `usize` must not change what comes out.
        let sides = u32::try_from(sides).expect("lists here are short");
        self.0.u32(..sides) as usize
    }

    /// A number from `first` to `last`, both included.
    pub fn between(&mut self, first: usize, last: usize) -> usize {
        first + self.below(last - first + 1)
    }

    /// Whether something happens that does in so many of 100 cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of a list, which is not empty.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// One of a list; nothing of an empty one.
    pub fn pick_some<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| self.pick(of).clone())
    }

    /// One of a list by its weight.
    pub fn weighted<T: Copy>(&mut self, of: &[(usize, T)]) -> T {
        let total = of.iter().map(|(weight, _)| weight).sum();
        let mut left = self.below(total);
        for (weight, value) in of {
            if left < *weight {
                return *value;
            }
            left -= weight;
        }
        unreachable!("the throw is below the sum of the weights")
    }

    /// Puts a list into any order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            let other = self.below(last + 1);
            list.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_everywhere() {
        let mut dice = Dice::of_case(7, 3);
        let throws: Vec<usize> = (0..8).map(|_| dice.below(1000)).collect();
        assert_eq!(throws, [342, 642, 607, 357, 544, 463, 205, 338]);
    }

    #[test]
    fn cases_differ() {
        let throws = |case| {
            let mut dice = Dice::of_case(7, case);
            (0..8).map(|_| dice.below(1000)).collect::<Vec<_>>()
        };
        assert_ne!(throws(1), throws(2));
    }

    #[test]
    fn weights_are_kept() {
        let mut dice = Dice::of_case(1, 1);
        let often = (0..1000).filter(|_| dice.weighted(&[(9, true), (1, false)]));
        assert!((850..950).contains(&often.count()));
    }
}
