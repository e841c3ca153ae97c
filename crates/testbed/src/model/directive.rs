//! The one instruction that the simulated model understands: to say something exactly.

/// The words that `instructions` order to be said exactly, if they do: what follows "say exactly"
/// (in any case) in double quotes, escaped as JSON escapes them, or after a colon to the end of the
/// line.
#[must_use]
pub fn exact_words(instructions: &str) -> Option<String> {
    let marker = "say exactly";
    let start = instructions.char_indices().map(|(at, _)| at).find(|&at| {
        instructions
            .get(at..at + marker.len())
            .is_some_and(|text| text.eq_ignore_ascii_case(marker))
    })?;
    let order = &instructions[start + marker.len()..];
    quoted(order).or_else(|| after_colon(order))
}

fn quoted(order: &str) -> Option<String> {
    let text = &order[order.find('"')?..];
    let json = serde_json::Deserializer::from_str(text)
        .into_iter::<String>()
        .next()?;
    // Quotes that are no JSON, for what they are: the text up to the next.
    json.ok()
        .or_else(|| Some(text[1..].split('"').next()?.to_owned()))
}

fn after_colon(order: &str) -> Option<String> {
    let line = order.lines().next()?;
    let (_, words) = line.split_once(':')?;
    Some(words.trim().to_owned()).filter(|words| !words.is_empty())
}

#[cfg(test)]
mod tests {
    use super::exact_words;

    #[test]
    fn quoted_words_are_found() {
        for (instructions, words) in [
            (
                r#"Say exactly the following, and nothing else: "Hello!""#,
                "Hello!",
            ),
            (
                r#"Be kind. SAY EXACTLY "A \"b\" \\ ü" now. "Not this.""#,
                r#"A "b" \ ü"#,
            ),
            ("Say exactly: Hello there.\nBe kind.", "Hello there."),
            ("Say exactly \"two\nlines\".", "two\nlines"),
        ] {
            assert_eq!(
                exact_words(instructions).as_deref(),
                Some(words),
                "{instructions}"
            );
        }
    }

    #[test]
    fn other_instructions_order_no_words() {
        for instructions in [
            "",
            "You are \"Bob\".",
            "Say exactly what you mean.",
            "Grüße. say exactl",
        ] {
            assert_eq!(exact_words(instructions), None, "{instructions}");
        }
    }
}
