//! The text of a script without its comments, as far as its language is known.

/// What a script is written in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Language {
    Shell,
    Python,
    Perl,
    Ruby,
    Node,
    Php,
    Unknown,
}

impl Language {
    /// By the first line.
    pub(super) fn of(text: &str) -> Self {
        let first = text.lines().next().unwrap_or_default();
        let Some(interpreter) = first.strip_prefix("#!") else {
            return Self::Unknown;
        };
        let mut words = interpreter
            .split_whitespace()
            .filter_map(|word| word.rsplit('/').next())
            .filter(|word| *word != "env" && !word.starts_with('-'));
        let name = words.next().unwrap_or_default();
        let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        match name {
            "sh" | "bash" | "dash" | "ash" | "ksh" | "zsh" | "busybox" => Self::Shell,
            "python" | "pypy" => Self::Python,
            "perl" => Self::Perl,
            "ruby" => Self::Ruby,
            "node" | "nodejs" => Self::Node,
            "php" => Self::Php,
            _ => Self::Unknown,
        }
    }

    /// What reads standard input.
    pub(super) fn reads_input(self) -> &'static [&'static str] {
        match self {
            Self::Shell => &[
                "\u{1}read",
                "$(cat)",
                "`cat`",
                "/dev/stdin",
                "/proc/self/fd/0",
                "\u{1}cat |",
                "\u{1}cat -",
                "\u{1}cat >",
                "$(jq ",
                "\u{1}jq ",
                "$(head ",
                "\u{1}mapfile",
                "\u{1}readarray",
            ],
            Self::Python => &["sys.stdin", "input(", "open(0", "/dev/stdin", "fileinput"],
            Self::Perl => &["<STDIN>", "<>", "STDIN", "/dev/stdin"],
            Self::Ruby => &["STDIN", "$stdin", "gets", "ARGF"],
            Self::Node => &["process.stdin", "/dev/stdin", "readFileSync(0"],
            Self::Php => &["php://stdin", "STDIN"],
            Self::Unknown => &["sys.stdin", "STDIN", "/dev/stdin", "process.stdin"],
        }
    }

    /// What takes the words behind the name. That of the shell is looked for
    /// by itself.
    fn takes_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Shell | Self::Unknown => &[],
            Self::Python => &[
                "argv[1",
                "argv[2",
                "argv[3",
                "argv[-",
                "len(sys.argv)",
                "argparse",
                "optparse",
                "getopt",
            ],
            Self::Perl => &["$ARGV[", "@ARGV"],
            Self::Ruby => &["ARGV"],
            Self::Node => &["process.argv"],
            Self::Php => &["$argv", "$argc"],
        }
    }

    /// Whether `#` begins a comment.
    fn has_hashes(self) -> bool {
        !matches!(self, Self::Node)
    }
}

/// The lines of a script.
pub(super) struct Code {
    lines: Vec<Line>,
}

struct Line {
    /// From 1.
    number: usize,
    /// Without its comment.
    text: String,
    /// Without what stands in single quotes, either; of a shell.
    bare: String,
    /// It stands in a function with this name; of a shell.
    within: Option<String>,
}

impl Code {
    pub(super) fn read(text: &str, language: Language) -> Self {
        let mut shell = Shell::default();
        let mut lines = Vec::new();
        for (number, text) in (1..).zip(text.lines()) {
            let line = match language {
                Language::Shell => shell.line(number, text),
                other => plain(number, text, other),
            };
            lines.push(line);
        }
        Self { lines }
    }

    /// The first line with one of these. One that begins with U+0001 is a
    /// command of a shell that reads what nothing else feeds it.
    pub(super) fn first(&self, markers: &[&str]) -> Option<usize> {
        let feeds_a_loop = self.lines.iter().any(|line| line.bare.contains("done <"));
        let has = |line: &&Line| {
            markers
                .iter()
                .any(|marker| match marker.strip_prefix('\u{1}') {
                    Some(command) => runs(&line.bare, command, feeds_a_loop),
                    None => line.bare.contains(marker),
                })
        };
        self.lines.iter().find(has).map(|line| line.number)
    }

    /// The first line that takes a word from behind the name.
    pub(super) fn first_argument(&self, language: Language) -> Option<usize> {
        if language != Language::Shell {
            return self.first(language.takes_arguments());
        }
        let passes = |line: &Line| line.within.is_none() && line.bare.contains("$@");
        let passes_all = self.lines.iter().any(passes);
        let counts = |line: &&Line| match line.within.as_deref() {
            None => true,
            Some(function) => passes_all && function == "main",
        };
        let takes = |line: &&Line| has_argument(&line.bare) || runs(&line.bare, "getopts", false);
        let found = self.lines.iter().filter(counts).find(takes);
        found.map(|line| line.number)
    }

    /// Whether this stands anywhere.
    pub(super) fn says(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.text.contains(text))
    }

    /// Whether it is compared with this word: in quotes, or a case of its own.
    pub(super) fn compares_with(&self, word: &str) -> bool {
        let forms = [
            format!("'{word}'"),
            format!("\"{word}\""),
            format!("{word})"),
            format!("= {word} "),
            format!("= x{word} "),
        ];
        let has = |line: &Line, form: &String| line.text.contains(form.as_str());
        forms
            .iter()
            .any(|form| self.lines.iter().any(|line| has(line, form)))
    }
}

fn plain(number: usize, text: &str, language: Language) -> Line {
    let is_comment = language.has_hashes() && text.trim_start().starts_with('#')
        || matches!(language, Language::Node | Language::Php)
            && text.trim_start().starts_with("//");
    let text = if is_comment { "" } else { text };
    Line {
        number,
        text: text.to_owned(),
        bare: text.to_owned(),
        within: None,
    }
}

/// Whether a line of a shell runs `command` with the input of the script.
fn runs(line: &str, command: &str, feeds_a_loop: bool) -> bool {
    let is_fed = line.contains("<<") || line.contains('<') && !line.contains("<&0");
    line.match_indices(command).any(|(at, _)| {
        let (before, after) = (line[..at].trim_end(), &line[at + command.len()..]);
        let ends = command.ends_with(' ')
            || command.contains(' ')
            || after.is_empty()
            || after.starts_with([' ', '\t', ';']);
        let word = before.rsplit([' ', '\t']).next().unwrap_or_default();
        let in_loop = ["while", "until"].contains(&word);
        let begins = before.is_empty()
            || before.ends_with([';', '{', '(', '&', '!', '`'])
            || ["if", "then", "do", "else", "IFS="].contains(&word)
            || word.starts_with("IFS=")
            || in_loop && !feeds_a_loop;
        begins && ends && !is_fed && !before.ends_with('|')
    })
}

/// Whether a line of a shell has `$1`, `${2}`, … .
fn has_argument(line: &str) -> bool {
    line.match_indices('$').any(|(at, _)| {
        let rest = &line[at + 1..];
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        rest.starts_with(|c: char| ('1'..='9').contains(&c))
    })
}

/// What a shell is in the middle of when a line begins.
#[derive(Default)]
struct Shell {
    quote: Option<char>,
    /// The word that ends a document in the script.
    document: Option<String>,
    function: Option<Function>,
}

struct Function {
    name: String,
    /// How many braces are open.
    depth: usize,
}

impl Shell {
    fn line(&mut self, number: usize, line: &str) -> Line {
        if let Some(end) = &self.document {
            if line.trim() == end {
                self.document = None;
            }
            return plain(number, "", Language::Shell);
        }
        let (text, bare) = self.split(line);
        if self.quote.is_none() {
            self.document = document(&text);
        }
        if self.function.is_none() {
            self.function = function(&bare).map(|name| Function { name, depth: 0 });
        }
        let within = self.function.as_ref().map(|function| function.name.clone());
        self.count(&bare);
        Line {
            number,
            text,
            bare,
            within,
        }
    }

    /// Without the comment, and without what stands in single quotes too.
    fn split(&mut self, line: &str) -> (String, String) {
        let (mut text, mut bare) = (String::new(), String::new());
        let mut last = ' ';
        for c in line.chars() {
            let escaped = last == '\\' && self.quote != Some('\'');
            match (self.quote, c) {
                (None, '#') if last.is_whitespace() => break,
                (None, '\'' | '"') if !escaped => self.quote = Some(c),
                (Some(open), c) if open == c && !escaped => self.quote = None,
                (Some('\''), _) => {
                    text.push(c);
                    last = c;
                    continue;
                }
                (None | Some(_), _) => bare.push(c),
            }
            text.push(c);
            // Two of them are one that means itself.
            last = if escaped { ' ' } else { c };
        }
        (text, bare)
    }

    fn count(&mut self, bare: &str) {
        let Some(function) = &mut self.function else {
            return;
        };
        let opened = bare.matches('{').count();
        let closed = bare.matches('}').count();
        let had = function.depth > 0 || opened > 0;
        function.depth = (function.depth + opened).saturating_sub(closed);
        if had && function.depth == 0 {
            self.function = None;
        }
    }
}

/// The name of the function that begins in this line.
fn function(line: &str) -> Option<String> {
    let line = line.trim_start();
    let (line, is_told) = match line.strip_prefix("function ") {
        Some(rest) => (rest.trim_start(), true),
        None => (line, false),
    };
    let is_of_name = |c: char| c.is_alphanumeric() || "_-:.".contains(c);
    let name: String = line.chars().take_while(|c| is_of_name(*c)).collect();
    let rest = line[name.len()..].trim_start();
    let has_parentheses = rest
        .strip_prefix('(')
        .is_some_and(|rest| rest.trim_start().starts_with(')'));
    (!name.is_empty() && (is_told || has_parentheses)).then_some(name)
}

/// The word that ends the document that begins behind this line, without its
/// quotes.
fn document(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("<<")?;
    let rest = rest.strip_prefix('-').unwrap_or(rest).trim_start();
    let word = rest.split([' ', ';', '|', '>', ')']).next()?;
    let word = word.trim_matches(['\'', '"', '\\']);
    let is_word = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    is_word.then(|| word.to_owned())
}
