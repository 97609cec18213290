//! Hashes: those that an alert has of a file, and those of its bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use md5::Md5;
use sha1::Sha1;
use sha2::Sha256;
use sha2::digest::DynDigest;

use super::refusal::Refusal;
use crate::contract::field;
use crate::contract::json::Value;
use crate::model::bundled::{Options, TargetKind};

const BUFFER_BYTES: usize = 64 << 10;

/// Files over 1 GiB are not read: it would take longer than a run may.
pub(super) const MAX_READ: u64 = 1 << 30;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Algorithm {
    Md5,
    Sha1,
    Sha256,
}

impl Algorithm {
    const ALL: [Self; 3] = [Self::Sha256, Self::Sha1, Self::Md5];

    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
        }
    }

    /// What stands beside the path of a file in an alert: of Wazuh's file
    /// integrity monitoring, of most others, of ECS.
    fn fields(self) -> [&'static [&'static str]; 3] {
        match self {
            Self::Md5 => [&["md5_after"], &["md5"], &["hash", "md5"]],
            Self::Sha1 => [&["sha1_after"], &["sha1"], &["hash", "sha1"]],
            Self::Sha256 => [&["sha256_after"], &["sha256"], &["hash", "sha256"]],
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha1 => 40,
            Self::Sha256 => 64,
        }
    }

    fn digest(self) -> Box<dyn DynDigest> {
        match self {
            Self::Md5 => Box::new(Md5::default()),
            Self::Sha1 => Box::new(Sha1::default()),
            Self::Sha256 => Box::new(Sha256::default()),
        }
    }
}

/// One hash, as lower-case digits.
type Sum = (Algorithm, String);

/// The hashes that an alert has of the file it names: those that stand beside
/// its path, for others may be those of another file.
#[derive(Debug, Default)]
pub(super) struct Wanted(Vec<Sum>);

impl Wanted {
    pub(super) fn of(options: &Options, alert: Option<&Value<'_>>) -> Result<Self, Refusal> {
        let Some(around) = alert.and_then(|alert| around(options, alert)) else {
            return Ok(Self::default());
        };
        let mut wanted = Vec::new();
        for algorithm in Algorithm::ALL {
            for field in algorithm.fields() {
                let text = around.lookup(field).and_then(Value::as_bytes);
                // An empty one is what some tools write for "not computed".
                let Some(text) = text.filter(|text| !text.is_empty()) else {
                    continue;
                };
                let is_hash = text.len() == algorithm.digits()
                    && text.iter().all(|byte| byte.is_ascii_hexdigit());
                if !is_hash {
                    return Err(Refusal::NoHash(algorithm));
                }
                let text = String::from_utf8_lossy(text).to_ascii_lowercase();
                wanted.push((algorithm, text));
            }
        }
        Ok(Self(wanted))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Which of them the bytes do not have.
    pub(super) fn missed_by(&self, sums: &Sums) -> Option<Algorithm> {
        let missed = self.0.iter().find(|sum| !sums.0.contains(sum));
        missed.map(|(algorithm, _)| *algorithm)
    }
}

/// The object in which the path stands.
fn around<'a>(options: &Options, alert: &'a Value<'a>) -> Option<&'a Value<'a>> {
    let places = TargetKind::File.places(options);
    let found = field::find(alert, TargetKind::File.field(options)?, &places)?;
    Some(found.around)
}

/// The hashes of what a file holds.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Sums(Vec<Sum>);

impl Sums {
    /// Reads a file from its beginning: its SHA-256, and what is wanted besides.
    pub(super) fn of(file: &File, wanted: &Wanted) -> io::Result<Self> {
        let is_wanted = |algorithm| wanted.0.iter().any(|(wanted, _)| *wanted == algorithm);
        let mut digests: Vec<_> = Algorithm::ALL
            .into_iter()
            .filter(|algorithm| *algorithm == Algorithm::Sha256 || is_wanted(*algorithm))
            .map(|algorithm| (algorithm, algorithm.digest()))
            .collect();
        pieces(file, |piece| {
            for (_, digest) in &mut digests {
                digest.update(piece);
            }
            Ok(())
        })?;
        let sums = digests
            .into_iter()
            .map(|(algorithm, digest)| (algorithm, hex(&digest.finalize())));
        Ok(Self(sums.collect()))
    }

    pub(super) fn sha256(&self) -> &str {
        let mut sums = self.0.iter();
        let sum = sums.find(|(algorithm, _)| *algorithm == Algorithm::Sha256);
        &sum.expect("it is always taken").1
    }
}

/// Hands over a file from its beginning, piece by piece. One that others go on
/// writing to has an end, too.
pub(super) fn pieces(file: &File, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut at = 0;
    loop {
        match file.read_at(&mut buffer, at) {
            Ok(0) => return Ok(()),
            Ok(_) if at > MAX_READ => return Err(io::ErrorKind::FileTooLarge.into()),
            Ok(read) => {
                take(&buffer[..read])?;
                at += u64::try_from(read).expect("a buffer is small");
            }
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{Algorithm, Sums, Wanted};
    use crate::ar::quarantine::refusal::Refusal;
    use crate::contract::json::parse;
    use crate::model::bundled::{Options, find};

    /// The hashes of `abc` (RFC 1321 A.5, FIPS 180-2 A.1 and B.1).
    const MD5: &str = "900150983cd24fb0d6963f7d28e17f72";
    const SHA1: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";
    const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn wanted(args: &[&str], alert: &str) -> Result<Wanted, Refusal> {
        let args: Vec<_> = args.iter().map(|&arg| arg.to_owned()).collect();
        let row = find("quarantine-file").unwrap();
        let options = Options::parse(row.options, &args).unwrap();
        Wanted::of(&options, Some(&parse(alert.as_bytes()).unwrap()))
    }

    #[test]
    fn each_hash_beside_the_path_must_be_that_of_the_bytes() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        let zeros = "0".repeat(64);
        for (args, alert, missed) in [
            (
                &[][..],
                format!(
                    r#""syscheck":{{"path":"/x","sha256_after":"{SHA256}","md5_after":"{MD5}","sha1_after":"{SHA1}"}}"#
                ),
                None,
            ),
            (
                &[],
                format!(
                    r#""syscheck":{{"path":"/x","sha256_after":"{}"}}"#,
                    SHA256.to_uppercase()
                ),
                None,
            ),
            (
                &[],
                format!(
                    r#""syscheck":{{"path":"/x","sha256_after":"{zeros}","md5_after":"{MD5}"}}"#
                ),
                Some(Algorithm::Sha256),
            ),
            (
                &[],
                format!(r#""data":{{"virustotal":{{"source":{{"file":"/x","md5":"{SHA1}"}}}}}}"#)
                    .replace(SHA1, &zeros[..32]),
                Some(Algorithm::Md5),
            ),
            (
                &[],
                format!(
                    r#""data":{{"file":{{"path":"/x","hash":{{"sha1":"{}"}}}}}}"#,
                    &zeros[..40]
                ),
                Some(Algorithm::Sha1),
            ),
            // Those of another file say nothing.
            (
                &["--field=data.file.path"],
                format!(
                    r#""syscheck":{{"path":"/y","sha256_after":"{zeros}"}},"data":{{"file":{{"path":"/x","sha256":"{SHA256}"}}}}"#
                ),
                None,
            ),
        ] {
            let wanted = wanted(args, &format!("{{{alert}}}")).unwrap();
            assert!(!wanted.is_empty(), "{alert}");
            let sums = Sums::of(&file, &wanted).unwrap();
            assert_eq!(wanted.missed_by(&sums), missed, "{alert}");
            assert_eq!(sums.sha256(), SHA256);
        }
    }

    #[test]
    fn what_is_no_hash_is_not_passed_over_unless_it_is_empty() {
        let of = |text: &str| {
            wanted(
                &[],
                &format!(r#"{{"syscheck":{{"path":"/x","md5_after":"{text}"}}}}"#),
            )
        };
        assert!(of("").unwrap().is_empty());
        for bad in ["x", &MD5[1..], SHA1, &MD5.replace('9', "g")] {
            assert!(
                matches!(of(bad), Err(Refusal::NoHash(Algorithm::Md5))),
                "{bad}"
            );
        }
    }
}
