//! How a script wants to be spoken to, as far as reading it tells. It is never
//! run, and nothing in it is followed: what it says is looked for in its text.
//! A guess is put before a person, who knows.

mod code;

use self::code::{Code, Language};

/// What the executable of a command is proposed to be spoken to by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    Json,
    Argv,
    V5,
}

impl Form {
    /// As `<contract>` names it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Argv => "argv",
            Self::V5 => "v5",
        }
    }
}

/// What a look at a script has brought.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Guess {
    /// `None`: nothing speaks for one of them.
    pub(super) form: Option<Form>,
    /// Completes "the script …".
    pub(super) why: String,
}

/// So much of a script is looked at.
const MAX_LOOKED_AT: usize = 1 << 20;

/// What stands in an alert or in the handshake, and hardly anywhere else.
const OF_JSON: [&str; 5] = ["check_keys", "parameters", "extra_args", "json", "jq "];

/// Looks at a script.
pub(super) fn guess(bytes: &[u8]) -> Guess {
    let bytes = &bytes[..bytes.len().min(MAX_LOOKED_AT)];
    if is_compiled(bytes) {
        return unclear("is compiled, so nothing can be read in it");
    }
    let text = String::from_utf8_lossy(bytes);
    let language = Language::of(&text);
    let code = Code::read(&text, language);
    let input = code.first(language.reads_input());
    let words = code.first_argument(language);
    match (input, words) {
        (Some(input), None) => of_input(&code, input),
        (None, Some(word)) => Guess {
            form: Some(Form::Argv),
            why: format!("takes arguments (line {word}) and reads no input"),
        },
        (Some(input), Some(word)) if OF_JSON.iter().any(|word| code.says(word)) => {
            let mut guess = of_input(&code, input);
            guess.why += &format!(", though it looks at arguments too (line {word})");
            guess
        }
        (Some(input), Some(word)) => unclear(&format!(
            "reads its input (line {input}) and takes arguments (line {word})"
        )),
        (None, None) => unclear("neither reads its input nor takes arguments"),
    }
}

/// Whether it is a program rather than a script.
pub(super) fn is_compiled(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF") || bytes[..bytes.len().min(4096)].contains(&0)
}

fn of_input(code: &Code, input: usize) -> Guess {
    let is_told = |word: &str| code.compares_with(word);
    let of_v5 = is_told("enable") && is_told("disable");
    match of_v5 && !is_told("add") && !is_told("delete") {
        true => Guess {
            form: Some(Form::V5),
            why: format!("reads its input (line {input}) and knows `enable` and `disable`"),
        },
        false => Guess {
            form: Some(Form::Json),
            why: format!("reads its input (line {input})"),
        },
    }
}

fn unclear(why: &str) -> Guess {
    Guess {
        form: None,
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::{Form, guess};

    /// Written as people write them.
    const CASES: &[(&str, &str, Option<Form>)] = &[
        (
            "Bash that reads a line",
            "#!/bin/bash\nLOCAL=`dirname $0`\nread -r INPUT_JSON\necho $INPUT_JSON | jq .command\n",
            Some(Form::Json),
        ),
        (
            "Bash that reads to the end",
            "#!/bin/bash\ninput=$(cat)\nIP=$(echo \"$input\" | awk '{print $1}')\n",
            Some(Form::Json),
        ),
        (
            "jq on the input itself",
            "#!/usr/bin/env bash\nIP=$(jq -r .parameters.alert.data.srcip)\n",
            Some(Form::Json),
        ),
        (
            "a function has arguments of its own",
            "#!/bin/bash\nlog() {\n  echo \"$1\" >>log\n}\nfunction x {\n  if true; then { echo \"${2}\"; }; fi\n}\nread INPUT\nlog \"$INPUT\"\n",
            Some(Form::Json),
        ),
        (
            "the documented handshake in Python",
            "#!/usr/bin/python3\nimport sys\ndef main(argv):\n  for line in sys.stdin:\n    break\n  write(argv[0], 'add', 'delete')\nmain(sys.argv)\n",
            Some(Form::Json),
        ),
        (
            "words of OSSEC",
            "#!/bin/sh\n# read the input\nACTION=$1\nUSER=$2\nIP=$3\n[ \"x${ACTION}\" = xadd ] && iptables -I INPUT -s ${IP}\n",
            Some(Form::Argv),
        ),
        (
            "a loop over a file is no input",
            "#!/bin/sh\nwhile read -r net; do grepcidr \"$net\" <<E\nread x\nE\ndone < /etc/nets\nipset add bad \"$3\"\n",
            Some(Form::Argv),
        ),
        (
            "arguments in Python",
            "#!/usr/bin/env python\nimport sys\naction, user, ip = sys.argv[1:4]\n",
            Some(Form::Argv),
        ),
        (
            "arguments in Perl",
            "#!/usr/bin/perl\nmy ($a, $u, $ip) = @ARGV;\n",
            Some(Form::Argv),
        ),
        (
            "input in Perl",
            "#!/usr/bin/perl\nmy $line = <STDIN>;\n",
            Some(Form::Json),
        ),
        (
            "a main that is given all",
            "#!/bin/bash\nmain() {\n  ip=\"$3\"\n}\nmain \"$@\"\n",
            Some(Form::Argv),
        ),
        (
            "words of Wazuh 5",
            "#!/bin/bash\nread -r I\nC=$(echo $I | jq -r .command)\nif [ \"$C\" = \"enable\" ]; then x; elif [ \"$C\" = 'disable' ]; then y; fi\n",
            Some(Form::V5),
        ),
        (
            "a tool that has the same words",
            "#!/bin/bash\nread -r I\nsystemctl enable x; systemctl disable y\ncase $C in add) ;; delete) ;; esac\n",
            Some(Form::Json),
        ),
        (
            "both, with JSON",
            "#!/usr/bin/python3\nimport sys, json\nif len(sys.argv) > 1: test()\na = json.load(sys.stdin)\n",
            Some(Form::Json),
        ),
        ("both", "#!/bin/sh\nread -r x\necho $x $1\n", None),
        ("neither", "#!/bin/sh\nlogger it happened\n", None),
        ("compiled", "\x7fELF\x02\0\0$1 read ", None),
        ("nothing", "", None),
    ];

    #[test]
    fn a_script_is_known_by_what_it_reads() {
        for (case, text, form) in CASES {
            let guess = guess(text.as_bytes());
            assert_eq!(guess.form, *form, "{case}: {}", guess.why);
        }
    }

    #[test]
    fn a_guess_says_where_it_has_seen_it() {
        let why = guess(b"#!/bin/sh\n\nx=1\nread -r x\n").why;
        assert_eq!(why, "reads its input (line 4)");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_none_is_quoted(
            bytes in any::<Vec<u8>>(),
            parts in proptest::collection::vec("[#'\"`${}()<>\\\\ \nread1@x]{0,6}", 0..40),
        ) {
            prop_assert!(guess(&bytes).why.len() < 200);
            let script = format!("#!/bin/sh\n{}", parts.concat());
            prop_assert!(guess(script.as_bytes()).why.len() < 200);
        }
    }
}
