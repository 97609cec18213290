/// The candidate that `word` was probably meant to be: equal but for case and
/// for `-` written as `_`, or at most a third of its letters away.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = fold(word);
    // Nothing we look for is longer, and the distance costs the product.
    if word.is_empty() || word.len() > 64 {
        return None;
    }
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= slack(candidate))
        .map(|candidate| (distance(&word, &fold(candidate)), candidate))
        .filter(|(far, candidate)| *far <= slack(candidate))
        .min_by_key(|(far, _)| *far)
        .map(|(_, candidate)| candidate)
}

/// How far a word may be from the one that was meant. Bytes stand in for
/// letters: the words we look for are ASCII.
fn slack(candidate: &str) -> usize {
    candidate.len().max(3) / 3
}

fn fold(text: &str) -> Vec<char> {
    let unify = |c| if c == '_' { '-' } else { c };
    text.chars()
        .flat_map(char::to_lowercase)
        .map(unify)
        .collect()
}

/// Letters to insert, drop, replace or swap with the next one (optimal string
/// alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::suggest;

    const WORDS: [&str; 5] = ["command", "active-response", "timeout", "level", "name"];

    #[test]
    fn a_slip_finds_the_word_that_was_meant() {
        for (written, meant) in [
            ("comand", "command"),
            ("active_response", "active-response"),
            ("active-respones", "active-response"),
            ("Timeout", "timeout"),
            ("tiemout", "timeout"),
            ("levl", "level"),
        ] {
            assert_eq!(suggest(written, WORDS), Some(meant), "{written}");
        }
    }

    #[test]
    fn a_word_unlike_all_others_finds_nothing() {
        for written in ["syscheck", "x", "", "localfile"] {
            assert_eq!(suggest(written, WORDS), None, "{written}");
        }
        assert_eq!(suggest(&"a".repeat(100_000), WORDS), None);
    }
}
