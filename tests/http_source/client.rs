//! A sender that says exactly what a test wants it to say.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// For an answer on a machine that runs many tests at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The number of alerts that were taken.
    #[track_caller]
    pub fn accepted(&self) -> u64 {
        self.json()["accepted"].as_u64().unwrap()
    }
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    /// What has come and belongs to the next answer.
    rest: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let rest = Vec::new();
        Self { stream, rest }
    }

    /// Sends bytes as they are. That the other side has closed is no matter here.
    pub fn say(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Sends the head of a request and an empty line.
    pub fn head(&mut self, first: &str, headers: &[(&str, &str)]) {
        let headers: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        self.say(format!("{first} HTTP/1.1\r\nHost: x\r\n{headers}\r\n").as_bytes());
    }

    /// A request with a body, and its answer.
    #[track_caller]
    pub fn ask(&mut self, first: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let length = body.len().to_string();
        let headers = [headers, &[("Content-Length", &length)]].concat();
        self.head(first, &headers);
        self.say(body);
        self.answer()
    }

    #[track_caller]
    pub fn post(&mut self, token: &str, body: impl AsRef<[u8]>) -> Answer {
        self.post_with(token, &[], body)
    }

    #[track_caller]
    pub fn post_with(
        &mut self,
        token: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [&[("Authorization", bearer.as_str())], headers].concat();
        self.ask("POST /alerts", &headers, body.as_ref())
    }

    /// Nothing more is sent on this connection.
    pub fn finish(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// The next answer.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        self.try_answer()
            .expect("an answer, and not the end of the connection")
    }

    /// The next answer; `None` if the connection ends without one.
    #[track_caller]
    pub fn try_answer(&mut self) -> Option<Answer> {
        let head = loop {
            if let Some(at) = self.rest.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.rest.split_off(at + 4);
                break std::mem::replace(&mut self.rest, rest);
            }
            if !self.more() {
                assert!(self.rest.is_empty(), "torn: {:?}", self.rest);
                return None;
            }
        };
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut answer = Answer {
            status: status.parse().unwrap(),
            headers,
            body: String::new(),
        };
        let length = answer.header("content-length").map_or("0", |length| length);
        let length: usize = length.parse().unwrap();
        while self.rest.len() < length {
            assert!(self.more(), "the body is torn: {answer:?}");
        }
        let rest = self.rest.split_off(length);
        let body = std::mem::replace(&mut self.rest, rest);
        answer.body = String::from_utf8(body).unwrap();
        Some(answer)
    }

    /// Reads more; `false` at the end.
    fn more(&mut self) -> bool {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(length) => {
                self.rest.extend_from_slice(&bytes[..length]);
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("nothing came: {error}"),
        }
    }

    /// Whether the other side has closed by now.
    pub fn is_closed(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let read = self.stream.read(&mut [0; 16]);
        self.stream.set_nonblocking(false).unwrap();
        match read {
            Ok(length) => length == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }

    /// Waits until the other side closes; nothing may come before.
    #[track_caller]
    pub fn wait_closed(&mut self) {
        let answer = self.try_answer();
        assert!(answer.is_none(), "{answer:?}");
    }
}
