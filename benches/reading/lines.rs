//! Lines as Wazuh 4.x writes them, of about 1.3 KB, in the proportions of a
//! busy manager: a hundred rules, and everything else different each time.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// The rule that has a response.
pub const HIT: u32 = 77_777;

/// Rules without one.
const RULES: u32 = 100;

/// How many of a thousand alerts have a response.
#[derive(Clone, Copy)]
pub struct Hits(pub u32);

/// One line with its newline, into a buffer that is emptied before.
pub fn write(line: &mut Vec<u8>, number: u32, hits: Hits) {
    let is_hit = number % 1_000 < hits.0;
    let rule = if is_hit { HIT } else { 80_000 + number % RULES };
    let (second, minute) = (number % 60, number / 60 % 60);
    let (high, low) = (number / 250 % 250, number % 250);
    line.clear();
    write!(
        line,
        r#"{{"timestamp":"2026-03-04T05:{minute:02}:{second:02}.891+0000","rule":{{"level":5,"description":"sshd: authentication failed of user{low}.","id":"{rule}","mitre":{{"id":["T1110.001","T1021.004"],"tactic":["Credential Access","Lateral Movement"],"technique":["Password Guessing","SSH"]}},"firedtimes":{number},"mail":false,"groups":["syslog","sshd","authentication_failed"],"gdpr":["IV_35.7.d","IV_32.2"],"gpg13":["7.1"],"hipaa":["164.312.b"],"nist_800_53":["AU.14","AC.7"],"pci_dss":["10.2.4","10.2.5"],"tsc":["CC6.1","CC6.8","CC7.2","CC7.3"]}},"agent":{{"id":"9{low:03}","name":"web-{low}","ip":"10.0.{high}.{low}"}},"manager":{{"name":"manager"}},"id":"1772600767.{number}","full_log":"Mar  4 05:{minute:02}:{second:02} web-{low} sshd[{number}]: Failed password for invalid user \"user{low}\" from 198.51.{high}.{low} port 51234 ssh2 {}","predecoder":{{"program_name":"sshd","timestamp":"Mar  4 05:{minute:02}:{second:02}","hostname":"web-{low}"}},"decoder":{{"parent":"sshd","name":"sshd"}},"data":{{"srcip":"198.51.{high}.{low}","srcport":"51234","srcuser":"user{low}"}},"location":"/var/log/auth.log"}}"#,
        &FILLER[..usize::try_from(number).unwrap() * 7 % FILLER.len()],
    )
    .unwrap();
    line.push(b'\n');
}

/// What a log says besides: as long as to make lines of 1.3 KB on average.
const FILLER: &str = "preauth disconnecting authenticating user, too many authentication failures; session closed for the user by the remote host; kex exchange identification, connection reset by peer; pam_unix(sshd:auth) check pass, user unknown, logname= uid=0 euid=0 tty=ssh ruser= rhost; maximum authentication attempts exceeded for the invalid user, and nothing more was heard of them until now, as it is ";

/// A file of so many lines; answers its size in bytes.
pub fn write_file(path: &Path, lines: u32, hits: Hits) -> u64 {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    let (mut line, mut bytes) = (Vec::new(), 0);
    for number in 0..lines {
        write(&mut line, number, hits);
        file.write_all(&line).unwrap();
        bytes += line.len() as u64;
    }
    file.flush().unwrap();
    bytes
}
