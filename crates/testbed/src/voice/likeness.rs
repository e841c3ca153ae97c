//! Recognising a sentence of which the line lost a word.

/// The share of a sentence's words that must have been heard: 3 of 5. A machine
/// that is busy with something else loses a packet now and then, and with it a
/// word; two different sentences share far fewer words in the same order.
const ENOUGH: (usize, usize) = (3, 5);

/// Whether what was heard is this sentence: no word that is not in it, in its
/// order, and most of its words.
#[must_use]
pub fn is_sentence(heard: &str, sentence: &str) -> bool {
    let mut rest = sentence.split(' ');
    let mut count = 0;
    for word in heard.split(' ') {
        if !rest.any(|next| next == word) {
            return false;
        }
        count += 1;
    }
    let (enough, of) = ENOUGH;
    count * of >= sentence.split(' ').count() * enough
}

#[cfg(test)]
mod tests {
    use super::is_sentence;

    const SENTENCE: &str = "harbour office, harbour speaking, welcome to harbour";

    #[test]
    fn a_lost_word_does_not_hide_a_sentence() {
        assert!(is_sentence(SENTENCE, SENTENCE));
        assert!(is_sentence(
            "harbour office, speaking, welcome to",
            SENTENCE
        ));
    }

    #[test]
    fn another_sentence_or_too_little_of_it_is_not_taken_for_it() {
        assert!(!is_sentence(
            "lantern office, lantern speaking, welcome to lantern",
            SENTENCE
        ));
        assert!(!is_sentence("office, speaking, welcome to", SENTENCE));
        assert!(!is_sentence(
            "welcome to harbour harbour office, speaking,",
            SENTENCE
        ));
        assert!(!is_sentence("", SENTENCE));
    }
}
