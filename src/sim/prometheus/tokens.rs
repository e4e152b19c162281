//! The words of an expression.

use super::Refusal;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name, a keyword or a function.
    Word(String),
    Number(f64),
    /// In ms.
    Duration(i64),
    Text(String),
    /// An operator or a bracket.
    Sign(&'static str),
}

/// The longer of two that begin alike come first.
const SIGNS: [&str; 24] = [
    "==", "!=", ">=", "<=", "=~", "!~", "=", ">", "<", "+", "-", "*", "/", "%", "^", "(", ")", "{", "}", "[",
    "]", ",", ":", "@",
];

/// # Errors
/// What is no word of PromQL.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Refusal> {
    let mut found = Vec::new();
    let mut rest = text;
    // Within brackets a `:` parts two durations; elsewhere it belongs to a name.
    let mut in_brackets = false;
    while let Some(next) = rest.chars().next() {
        let taken = match next {
            _ if next.is_whitespace() => next.len_utf8(),
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '"' | '\'' | '`' => {
                let (text, taken) = quoted(rest, next)?;
                found.push(Token::Text(text));
                taken
            }
            _ if next.is_ascii_digit() || next == '.' => {
                let (token, taken) = number(rest)?;
                found.push(token);
                taken
            }
            _ if is_of_name(next) && !(in_brackets && next == ':') => {
                let taken = rest.find(|c| !(is_of_name(c) || char::is_ascii_digit(&c))).unwrap_or(rest.len());
                found.push(Token::Word(rest[..taken].to_owned()));
                taken
            }
            _ => {
                let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
                let sign = sign.ok_or_else(|| Refusal::Wrong(format!("`{next}` is no part of PromQL")))?;
                in_brackets = (in_brackets || *sign == "[") && *sign != "]";
                found.push(Token::Sign(sign));
                sign.len()
            }
        };
        rest = &rest[taken..];
    }
    Ok(found)
}

const fn is_of_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == ':'
}

fn quoted(rest: &str, quote: char) -> Result<(String, usize), Refusal> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            _ if c == quote => return Ok((text, at + 1)),
            '\\' if quote != '`' => match chars.next() {
                Some((_, escaped @ ('\\' | '"' | '\'' | '`'))) => text.push(escaped),
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, other)) => return Err(Refusal::NotModelled(format!("the escape `\\{other}`"))),
                None => break,
            },
            _ => text.push(c),
        }
    }
    Err(Refusal::Wrong("a text in quotes has no end".to_owned()))
}

/// A number, or a duration: what clings to the digits decides.
fn number(rest: &str) -> Result<(Token, usize), Refusal> {
    let mut taken = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(rest.len());
    let hexadecimal = rest[..taken].strip_prefix("0x").or_else(|| rest[..taken].strip_prefix("0X"));
    if let Some(number) = hexadecimal.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
        return Ok((Token::Number(number.into()), taken));
    }
    // The sign of an exponent.
    if rest[..taken].ends_with(['e', 'E']) && rest[taken..].starts_with(['+', '-']) {
        let digits = rest[taken + 1..].find(|c: char| !c.is_ascii_digit());
        taken = digits.map_or(rest.len(), |digits| taken + 1 + digits);
    }
    let word = &rest[..taken];
    if let Ok(number) = word.parse() {
        return Ok((Token::Number(number), taken));
    }
    let millis = duration(word).ok_or_else(|| Refusal::Wrong(format!("`{word}` is no number")))?;
    Ok((Token::Duration(millis), taken))
}

fn duration(text: &str) -> Option<i64> {
    crate::scenario::duration_of_prometheus(text)?.as_millis().try_into().ok()
}
