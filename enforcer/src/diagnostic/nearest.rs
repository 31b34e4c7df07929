//! The nearest name.

/// The candidate that `word` most likely meant: the one with the fewest typing errors, if they are
/// few for the word's length. Case does not count as an error.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let most_errors = word.chars().count().max(3) / 3;
    candidates
        .into_iter()
        .map(|candidate| {
            let errors = strsim::damerau_levenshtein(&word, &candidate.to_lowercase());
            (errors, candidate)
        })
        .filter(|(errors, _)| *errors <= most_errors)
        .min_by_key(|(errors, _)| *errors)
        .map(|(_, candidate)| candidate)
}
