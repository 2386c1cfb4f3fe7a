//! Rust source as words and signs, without comments and literals.

/// A word or a sign, with its line counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub struct Token {
    pub line: usize,
    pub text: String,
}

/// Splits a source text into identifiers, numbers and single signs; comments, strings and
/// characters are left out.
pub fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied();
    let mut found = Vec::new();
    let (mut i, mut line) = (0, 1);
    while let Some(c) = at(i) {
        let start = i;
        match c {
            '/' if at(i + 1) == Some('/') => {
                while at(i).is_some_and(|c| c != '\n') {
                    i += 1;
                }
            }
            '/' if at(i + 1) == Some('*') => i = end_of_comment(&chars, i),
            '"' => i = end_of_string(&chars, i),
            '\'' => i = end_of_quote(&chars, i),
            c if c.is_alphanumeric() || c == '_' => {
                while at(i).is_some_and(|c| c.is_alphanumeric() || c == '_') {
                    i += 1;
                }
                let word: String = chars[start..i].iter().collect();
                let raw = matches!(word.as_str(), "r" | "br" | "cr");
                match (at(i), end_of_raw(&chars, i)) {
                    (Some('"' | '#'), Some(end)) if raw => i = end,
                    (Some('"'), _) if matches!(word.as_str(), "b" | "c") => {
                        i = end_of_string(&chars, i)
                    }
                    (Some('\''), _) if word == "b" => i = end_of_quote(&chars, i),
                    _ => found.push(Token { line, text: word }),
                }
            }
            c if c.is_whitespace() => i += 1,
            c => {
                found.push(Token {
                    line,
                    text: c.to_string(),
                });
                i += 1;
            }
        }
        line += chars[start..i.min(chars.len())]
            .iter()
            .filter(|&&c| c == '\n')
            .count();
    }
    found
}

/// Comments nest.
fn end_of_comment(chars: &[char], start: usize) -> usize {
    let (mut i, mut depth) = (start, 0_usize);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                i += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    i
}

fn end_of_string(chars: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while let Some(c) = chars.get(i) {
        i += match c {
            '\\' => 2,
            '"' => return i + 1,
            _ => 1,
        };
    }
    i
}

/// The end of `#"…"#` from its first sign on; nothing if it is not one (as in `r#type`).
fn end_of_raw(chars: &[char], start: usize) -> Option<usize> {
    let hashes = chars[start..].iter().take_while(|&&c| c == '#').count();
    let open = start + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let mut i = open + 1;
    while i < chars.len() {
        if chars[i] == '"'
            && chars[i + 1..]
                .iter()
                .take(hashes)
                .filter(|&&c| c == '#')
                .count()
                == hashes
        {
            return Some(i + 1 + hashes);
        }
        i += 1;
    }
    Some(i)
}

/// A character's end, or the sign alone where it begins a lifetime.
fn end_of_quote(chars: &[char], start: usize) -> usize {
    match (chars.get(start + 1), chars.get(start + 2)) {
        (Some('\\'), _) => {
            let mut i = start + 3;
            while chars.get(i).is_some_and(|&c| c != '\'') {
                i += 1;
            }
            i + 1
        }
        (Some(_), Some('\'')) => start + 3,
        _ => start + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        tokens(text).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_literals_are_left_out() {
        assert_eq!(
            words("a // unsafe\nb /* unsafe /* x */ unsafe */ c"),
            ["a", "b", "c"]
        );
        assert_eq!(
            words(r##"f("unsafe \" unsafe", r#"unsafe " unsafe"#, b"unsafe", '"') g"##),
            ["f", "(", ",", ",", ",", ")", "g"]
        );
        assert_eq!(words(r"'\'' a '\u{1F600}' b b'\'' c"), ["a", "b", "c"]);
    }

    #[test]
    fn lifetimes_and_raw_names_are_code() {
        assert_eq!(words("&'a str"), ["&", "a", "str"]);
        assert_eq!(words("r#type x"), ["r", "#", "type", "x"]);
        assert_eq!(words("r + b"), ["r", "+", "b"]);
    }

    #[test]
    fn lines_are_counted_through_literals() {
        let found = tokens("a\n\"x\ny\"\n/* \n */ b");
        assert_eq!(
            found.last().map(|token| (token.line, token.text.as_str())),
            Some((5, "b"))
        );
    }

    #[test]
    fn unfinished_literals_end_with_the_text() {
        for text in ["\"abc", "r#\"abc", "/* abc", "'\\", "'", "b'", "\"\\"] {
            assert!(tokens(text).len() <= 1, "{text}");
        }
    }
}
