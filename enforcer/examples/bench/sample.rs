//! What many measurements of one thing say together.

use std::time::Duration;

/// Measurements of one thing, in the order of their size.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    sorted: Vec<f64>,
}

impl Sample {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// The smallest that at least `percent` of a hundred do not exceed (nearest rank); nothing of
    /// nothing.
    pub(crate) fn percentile(&self, percent: usize) -> Option<f64> {
        let rank = (self.sorted.len() * percent).div_ceil(100);
        self.sorted.get(rank.max(1) - 1).copied()
    }

    /// The middle one.
    pub(crate) fn median(&self) -> Option<f64> {
        self.percentile(50)
    }

    /// Between which two the middle half lies.
    pub(crate) fn quartiles(&self) -> Option<(f64, f64)> {
        Some((self.percentile(25)?, self.percentile(75)?))
    }
}

impl FromIterator<f64> for Sample {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Self { sorted }
    }
}

/// In milliseconds.
impl<'a> FromIterator<&'a Duration> for Sample {
    fn from_iter<I: IntoIterator<Item = &'a Duration>>(times: I) -> Self {
        times.into_iter().map(|time| milliseconds(*time)).collect()
    }
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// A count as a figure; exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "nothing here is counted that far"
)]
pub(crate) fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::Sample;

    #[rstest]
    #[case::nothing(&[], 50, None)]
    #[case::one(&[7.0], 99, Some(7.0))]
    #[case::the_middle(&[3.0, 1.0, 2.0], 50, Some(2.0))]
    #[case::the_lower_of_two_in_the_middle(&[4.0, 1.0, 2.0, 3.0], 50, Some(2.0))]
    #[case::few_have_their_worst_as_p99(&[1.0, 2.0, 3.0], 99, Some(3.0))]
    #[case::none(&[1.0, 2.0], 0, Some(1.0))]
    fn percentiles_are_values_that_were_measured(
        #[case] values: &[f64],
        #[case] percent: usize,
        #[case] expected: Option<f64>,
    ) {
        let sample: Sample = values.iter().copied().collect();
        assert_eq!(sample.percentile(percent), expected);
    }
}
