//! Where a value lies on an axis, and which values get a mark.

/// How values become distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From zero on.
    Linear,
    /// Ten times as much is as far everywhere; for positive values.
    Logarithmic,
}

/// An axis from one place of the picture to another.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    scale: Scale,
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// One that holds all values; the least lies at `from`.
    pub(super) fn new(
        scale: Scale,
        values: impl Iterator<Item = f64> + Clone,
        from: f64,
        to: f64,
    ) -> Self {
        let highest = values.clone().fold(f64::MIN_POSITIVE, f64::max);
        let (least, most) = match scale {
            Scale::Linear => {
                let step = step(highest);
                (0.0, (highest / step).ceil() * step)
            }
            Scale::Logarithmic => {
                let lowest = values.fold(highest, f64::min).max(f64::MIN_POSITIVE);
                let (least, most) = (below(lowest), above(highest));
                (least, if most > least { most } else { least * 10.0 })
            }
        };
        Self {
            scale,
            least,
            most,
            from,
            to,
        }
    }

    /// Where a value lies.
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.least) / (self.most - self.least),
            Scale::Logarithmic => {
                let value = value.max(self.least);
                (value / self.least).log10() / (self.most / self.least).log10()
            }
        };
        self.from + share * (self.to - self.from)
    }

    /// The values that get a mark, with their places.
    pub(super) fn marks(&self) -> Vec<(f64, f64)> {
        let mut marks = Vec::new();
        let mut value = self.least;
        // The sum of many steps is a little off.
        while value <= self.most * 1.000_1 {
            marks.push((value, self.place(value)));
            value = match self.scale {
                Scale::Linear => value + step(self.most),
                Scale::Logarithmic => value * 10.0,
            };
        }
        marks
    }
}

/// A round step, of which four to ten reach a value.
fn step(value: f64) -> f64 {
    let magnitude = below(value);
    let leading = value / magnitude;
    if leading <= 2.0 {
        magnitude / 5.0
    } else if leading <= 5.0 {
        magnitude / 2.0
    } else {
        magnitude
    }
}

/// The power of ten at or below a value. What is a power but for its last digits is one.
fn below(value: f64) -> f64 {
    10_f64.powf((value.log10() + 1e-9).floor())
}

/// The power of ten at or above a value.
fn above(value: f64) -> f64 {
    10_f64.powf((value.log10() - 1e-9).ceil())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{Axis, Scale};

    #[rstest]
    #[case::linear(Scale::Linear, &[3.0, 42.0], &[0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0])]
    #[case::logarithmic(Scale::Logarithmic, &[3.0, 420.0], &[1.0, 10.0, 100.0, 1_000.0])]
    #[case::powers_of_ten(Scale::Logarithmic, &[10.0, 1_000.0], &[10.0, 100.0, 1_000.0])]
    #[case::one_value(Scale::Logarithmic, &[10.0], &[10.0, 100.0])]
    fn marks_are_round_and_hold_every_value(
        #[case] scale: Scale,
        #[case] values: &[f64],
        #[case] expected: &[f64],
    ) {
        let axis = Axis::new(scale, values.iter().copied(), 0.0, 100.0);
        let marks: Vec<f64> = axis.marks().iter().map(|mark| mark.0.round()).collect();
        assert_eq!(marks, expected);
    }

    #[test]
    fn the_ends_lie_at_the_ends() {
        let axis = Axis::new(Scale::Logarithmic, [1.0, 100.0].into_iter(), 10.0, 30.0);
        let places = [1.0, 10.0, 100.0].map(|value| axis.place(value).round());
        assert!(places == [10.0, 20.0, 30.0], "{places:?}");
    }
}
