//! JSON as the executables of Wazuh 4.x read it, for the two sides of the
//! contract to agree on every byte: whatever decides on an alert must see the
//! field that the executable will act on.
//!
//! That reader is cJSON. It compares the names of members without regard to
//! case and takes the first of several, ends a text at a `\u0000`, does not look
//! at UTF-8, takes raw control characters in texts, ignores what follows the
//! value, and refuses nesting beyond 1,000. `serde_json` does none of this
//! (and stops at a nesting of 128), hence a reader of our own. It is stricter
//! than cJSON nowhere a producer goes: a raw NUL, which ends cJSON's input, is
//! an error wherever it stands inside the value.

use std::borrow::Cow;

/// Deeper nesting is refused (cJSON, `CJSON_NESTING_LIMIT`).
const MAX_DEPTH: usize = 1_000;

/// Why bytes are no JSON value.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidJson {
    #[error("is no JSON: byte {0} is not what should stand there")]
    Syntax(usize),
    #[error("is no JSON: it ends early")]
    Truncated,
    #[error("is nested more than {MAX_DEPTH} deep")]
    TooDeep,
}

/// A JSON value over the bytes it was read from.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Number(f64),
    /// Without its escapes, cut at the first NUL, not necessarily UTF-8.
    String(Cow<'a, [u8]>),
    Array(Vec<Value<'a>>),
    /// All members in the order of the bytes, repeated names included.
    Object(Vec<(Cow<'a, [u8]>, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// The first member called `name` in any case; `None` if there is none or
    /// this is no object.
    pub fn member(&self, name: &str) -> Option<&Value<'a>> {
        match self {
            Value::Object(members) => members
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()))
                .map(|(_, value)| value),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => None,
        }
    }

    /// As [`Value::member`], taken out of the value.
    pub fn into_member(self, name: &str) -> Option<Value<'a>> {
        match self {
            Value::Object(members) => members
                .into_iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()))
                .map(|(_, value)| value),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => None,
        }
    }

    /// As [`Value::member`]; of a list the item with this number, counted from 0.
    pub fn step(&self, name: &str) -> Option<&Value<'a>> {
        match self {
            Value::Array(items) => items.get(number(name)?),
            Value::Object(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_) => self.member(name),
        }
    }

    /// The member that `path` leads to, name by name.
    pub fn lookup(&self, path: &[&str]) -> Option<&Value<'a>> {
        path.iter().try_fold(self, |value, name| value.member(name))
    }

    /// The bytes of a text; `None` for everything else.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::String(text) => Some(text),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => None,
        }
    }

    /// A text that is UTF-8; `None` for everything else.
    pub fn as_str(&self) -> Option<&str> {
        self.as_bytes().and_then(|text| str::from_utf8(text).ok())
    }
}

/// A number as it is written in one way only.
fn number(text: &str) -> Option<usize> {
    let number = text.parse::<usize>().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Reads the value at the start of `bytes`. A byte order mark and blanks in
/// front of it are skipped, and whatever follows it is ignored.
pub fn parse(bytes: &[u8]) -> Result<Value<'_>, InvalidJson> {
    let mut reader = Reader { bytes, at: 0 };
    if bytes.starts_with(b"\xef\xbb\xbf") {
        reader.at = 3;
    }
    reader.value(0)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value<'a>, InvalidJson> {
        match self.peek_token()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(Value::String),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word(b"true", Value::Bool(true)),
            b'f' => self.word(b"false", Value::Bool(false)),
            b'n' => self.word(b"null", Value::Null),
            _ => Err(self.unexpected()),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, InvalidJson> {
        let mut members = Vec::new();
        self.items(depth, b'}', |reader, depth| {
            if reader.peek_token()? != b'"' {
                return Err(reader.unexpected());
            }
            let name = reader.string()?;
            if reader.peek_token()? != b':' {
                return Err(reader.unexpected());
            }
            reader.at += 1;
            members.push((name, reader.value(depth)?));
            Ok(())
        })?;
        Ok(Value::Object(members))
    }

    fn array(&mut self, depth: usize) -> Result<Value<'a>, InvalidJson> {
        let mut items = Vec::new();
        self.items(depth, b']', |reader, depth| {
            items.push(reader.value(depth)?);
            Ok(())
        })?;
        Ok(Value::Array(items))
    }

    /// Reads an opening bracket, items between commas, and the bracket `close`.
    fn items(
        &mut self,
        depth: usize,
        close: u8,
        mut item: impl FnMut(&mut Self, usize) -> Result<(), InvalidJson>,
    ) -> Result<(), InvalidJson> {
        if depth >= MAX_DEPTH {
            return Err(InvalidJson::TooDeep);
        }
        self.at += 1;
        if self.peek_token()? == close {
            self.at += 1;
            return Ok(());
        }
        loop {
            item(self, depth + 1)?;
            let separator = self.peek_token()?;
            if separator != close && separator != b',' {
                return Err(self.unexpected());
            }
            self.at += 1;
            if separator == close {
                return Ok(());
            }
        }
    }

    fn string(&mut self) -> Result<Cow<'a, [u8]>, InvalidJson> {
        self.at += 1;
        let mut text = Cow::Borrowed(self.plain()?);
        while self.byte()? == b'\\' {
            self.escape(text.to_mut())?;
            text.to_mut().extend_from_slice(self.plain()?);
        }
        Ok(match memchr::memchr(0, &text) {
            None => text,
            Some(end) => Cow::Owned(text[..end].to_vec()),
        })
    }

    /// The bytes of a text up to a quote or a backslash, which stays.
    fn plain(&mut self) -> Result<&'a [u8], InvalidJson> {
        let rest = &self.bytes[self.at..];
        let length = memchr::memchr3(b'"', b'\\', 0, rest).ok_or(InvalidJson::Truncated)?;
        self.at += length;
        match rest[length] {
            0 => Err(InvalidJson::Syntax(self.at)),
            _ => Ok(&rest[..length]),
        }
    }

    /// Reads what follows a backslash.
    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), InvalidJson> {
        let byte = match self.byte()? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let c = self.unicode_escape()?;
                text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(InvalidJson::Syntax(self.at - 1)),
        };
        text.push(byte);
        Ok(())
    }

    /// Reads the digits behind `\u`, and the second half of a surrogate pair
    /// (RFC 8259, 7). A lone half is an error, as it is to cJSON.
    fn unicode_escape(&mut self) -> Result<char, InvalidJson> {
        let start = self.at;
        let mut code = self.four_digits()?;
        if (0xd800..0xdc00).contains(&code) {
            if self.byte()? != b'\\' || self.byte()? != b'u' {
                return Err(InvalidJson::Syntax(start));
            }
            let low = self.four_digits()?;
            if !(0xdc00..0xe000).contains(&low) {
                return Err(InvalidJson::Syntax(start));
            }
            code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        }
        char::from_u32(code).ok_or(InvalidJson::Syntax(start))
    }

    fn four_digits(&mut self) -> Result<u32, InvalidJson> {
        (0..4).try_fold(0, |code, _| {
            let digit = char::from(self.byte()?).to_digit(16);
            digit
                .map(|digit| code * 16 + digit)
                .ok_or(InvalidJson::Syntax(self.at - 1))
        })
    }

    fn number(&mut self) -> Result<Value<'a>, InvalidJson> {
        let start = self.at;
        while let Some(b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
        }
        str::from_utf8(&self.bytes[start..self.at])
            .ok()
            .and_then(|text| text.parse().ok())
            .map(Value::Number)
            .ok_or(InvalidJson::Syntax(start))
    }

    fn word(&mut self, word: &[u8], value: Value<'a>) -> Result<Value<'a>, InvalidJson> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(self.unexpected());
        }
        self.at += word.len();
        Ok(value)
    }

    /// The next byte that is no blank; it stays. Blank is everything up to
    /// 0x20 but NUL, as for cJSON.
    fn peek_token(&mut self) -> Result<u8, InvalidJson> {
        while let Some(1..=b' ') = self.bytes.get(self.at) {
            self.at += 1;
        }
        let next = self.bytes.get(self.at);
        next.copied().ok_or(InvalidJson::Truncated)
    }

    fn byte(&mut self) -> Result<u8, InvalidJson> {
        let byte = *self.bytes.get(self.at).ok_or(InvalidJson::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    fn unexpected(&self) -> InvalidJson {
        InvalidJson::Syntax(self.at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_oneof, proptest};
    use proptest::strategy::{Just, Strategy};

    use super::{InvalidJson, Value, parse};

    fn text(json: &[u8], path: &[&str]) -> Option<Vec<u8>> {
        let value = parse(json).unwrap();
        Some(value.lookup(path)?.as_bytes()?.to_vec())
    }

    #[test]
    fn names_have_no_case_and_the_first_of_several_counts() {
        let json = br#"{"Data":{"SRCIP":"1","srcip":"2"},"data":{"srcip":"3"}}"#;
        assert_eq!(text(json, &["data", "srcip"]), Some(b"1".to_vec()));
        assert_eq!(text(json, &["data", "dstip"]), None);
        assert_eq!(text(json, &["data", "srcip", "x"]), None);
        // The escape is part of the spelling, not of the name.
        assert_eq!(
            text(br#"{"\u0064ata":"1"}"#, &["data"]),
            Some(b"1".to_vec())
        );
    }

    #[test]
    fn a_text_is_what_a_c_string_would_hold() {
        for (json, wanted) in [
            (br#"{"a":"alice\u0000x"}"#.as_slice(), b"alice".as_slice()),
            (br#"{"a":"\u0000"}"#, b""),
            (br#"{"a\u0000b":"1"}"#, b"1"),
            (br#"{"a":"\"\\\/\b\f\n\r\t"}"#, b"\"\\/\x08\x0c\n\r\t"),
            (
                br#"{"a":"\u00e9\ud83d\ude00"}"#,
                "\u{e9}\u{1f600}".as_bytes(),
            ),
            (b"{\"a\":\"\xff\tx\"}", b"\xff\tx"),
        ] {
            assert_eq!(text(json, &["a"]).as_deref(), Some(wanted));
        }
    }

    #[test]
    fn what_stands_around_the_value_is_ignored() {
        for json in [
            b"\xef\xbb\xbf {\"a\":\"1\"}".as_slice(),
            b"\t\r\n{\"a\" : \"1\" , \"b\":[ ]}\r\n",
            b"{\"a\":\"1\"}\0garbage",
            b"{\"a\":\"1\"}}}",
        ] {
            assert_eq!(text(json, &["a"]), Some(b"1".to_vec()));
        }
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for (json, wanted) in [
            (b"".as_slice(), InvalidJson::Truncated),
            (b"{\"a\":\"1\"", InvalidJson::Truncated),
            (b"{\"a\":\"1\\", InvalidJson::Truncated),
            (b"{\"a\":1,}", InvalidJson::Syntax(7)),
            (b"{a:1}", InvalidJson::Syntax(1)),
            (b"{\"a\" 1}", InvalidJson::Syntax(5)),
            (b"[1 2]", InvalidJson::Syntax(3)),
            (b"\"\\x\"", InvalidJson::Syntax(2)),
            (b"\"a\0b\"", InvalidJson::Syntax(2)),
            (b"\"\\ud800\"", InvalidJson::Syntax(3)),
            (b"\"\\udc00\"", InvalidJson::Syntax(3)),
            (b"--1", InvalidJson::Syntax(0)),
            (b"nul", InvalidJson::Syntax(0)),
            (b"\0{}", InvalidJson::Syntax(0)),
        ] {
            assert_eq!(parse(json), Err(wanted), "{}", json.escape_ascii());
        }
    }

    #[test]
    fn nesting_ends_at_a_thousand() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(nested(1_000).as_bytes()).is_ok());
        assert_eq!(parse(nested(1_001).as_bytes()), Err(InvalidJson::TooDeep));
        assert_eq!(parse(&[b'['; 1_000_000]), Err(InvalidJson::TooDeep));
    }

    /// JSON values as other people write them. Names do not repeat and differ
    /// by more than case.
    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i32>().prop_map(Into::into),
            "[a-z\\\\\"\u{1}\u{7f}\u{e9}\u{1f600}/]{0,6}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::btree_map("[a-z\"\u{e9}]{0,3}", inner, 0..5)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// Whether two readers saw the same value.
    fn same(ours: &Value<'_>, theirs: &serde_json::Value) -> bool {
        match (ours, theirs) {
            (Value::Null, serde_json::Value::Null) => true,
            (Value::Bool(a), serde_json::Value::Bool(b)) => a == b,
            (Value::Number(a), serde_json::Value::Number(b)) => Some(*a) == b.as_f64(),
            (Value::String(_), serde_json::Value::String(b)) => ours.as_str() == Some(b),
            (Value::Array(a), serde_json::Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (Value::Object(a), serde_json::Value::Object(b)) => {
                a.len() == b.len()
                    && b.iter()
                        .all(|(name, b)| ours.member(name).is_some_and(|a| same(a, b)))
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn what_serde_json_writes_is_read_as_it_was_meant(
            value in json(),
            pretty in any::<bool>(),
            ascii in any::<bool>(),
        ) {
            let mut text = if pretty { format!("{value:#}") } else { value.to_string() };
            if ascii {
                text = text.replace('\u{e9}', "\\u00E9").replace('\u{1f600}', "\\ud83d\\uDE00");
            }
            let ours = parse(text.as_bytes());
            prop_assert!(ours.is_ok_and(|ours| same(&ours, &value)), "{}", text);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(
            bytes in any::<Vec<u8>>(),
            json in r#"["\\u0-9a-f{}\[\]:,]{0,40}"#,
            cut in any::<prop::sample::Index>(),
            value in json(),
        ) {
            let _ = parse(&bytes);
            let _ = parse(json.as_bytes());
            let text = format!("[{value}]");
            let cut = &text.as_bytes()[..cut.index(text.len())];
            prop_assert!(parse(cut).is_err());
        }
    }
}
