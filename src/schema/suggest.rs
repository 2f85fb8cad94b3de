//! "Did you mean".

use super::distance;

/// `; did you mean X?` for the candidate nearest to `word`, or nothing where none is near.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let limit = 1 + word.chars().count() / 4;
    let near = candidates.into_iter().map(|candidate| (distance(word, candidate, limit), candidate));
    let nearest = near.filter(|(distance, _)| *distance <= limit).min();
    nearest.map(|(_, candidate)| format!("; did you mean :{candidate}?")).unwrap_or_default()
}
