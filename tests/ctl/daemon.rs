//! A daemon of one connection, spoken to over a real socket.

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use ripost::wire::control::{Answer, Request};
use ripost::wire::parts::split;
use ripost::wire::{Daemon, Frame, Greeting, Hello, MAX_FRAME, MAX_HELLO, frame};

/// Answers the next connection to `home` and ends.
pub struct FakeDaemon {
    thread: JoinHandle<Option<Request>>,
    go_on: SyncSender<()>,
}

impl FakeDaemon {
    /// Greets, and gives `answer` to whatever is asked.
    pub fn answering(home: &Path, daemon: Daemon, answer: Answer) -> Self {
        let reply = split(answer)
            .iter()
            .flat_map(|part| bytes(&Frame::new(part).expect("an answer serialises")))
            .collect();
        Self::replying(home, daemon, reply)
    }

    /// Greets, and replies with these bytes.
    pub fn replying(home: &Path, daemon: Daemon, reply: Vec<u8>) -> Self {
        let fake = Self::start(home, daemon, &Greeting::welcome(daemon, None), reply);
        fake.go_on();
        fake
    }

    /// Waits for [`FakeDaemon::go_on`] before it replies.
    pub fn start(home: &Path, daemon: Daemon, greeting: &Greeting, reply: Vec<u8>) -> Self {
        let socket = match daemon {
            Daemon::Manager => "queue/manager.sock",
            Daemon::Agentd => "queue/agentd.sock",
        };
        let listener = UnixListener::bind(home.join(socket)).expect("the socket is free");
        let greeting = bytes(&Frame::new(greeting).expect("a greeting serialises"));
        let (go_on, may_go_on) = sync_channel(1);
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("ripostctl connects");
            converse(stream, &greeting, &reply, &may_go_on)
        });
        Self { thread, go_on }
    }

    pub fn go_on(&self) {
        self.go_on.send(()).expect("the daemon waits for it");
    }

    /// What was asked.
    pub fn request(self) -> Option<Request> {
        self.thread.join().expect("the daemon does not panic")
    }
}

fn converse(
    mut stream: UnixStream,
    greeting: &[u8],
    reply: &[u8],
    may_go_on: &Receiver<()>,
) -> Option<Request> {
    let hello = frame::read(&mut stream, MAX_HELLO).expect("a hello arrives");
    let hello: Hello = hello.expect("a hello").message().expect("its JSON");
    assert_eq!(hello, Hello::ctl());
    stream.write_all(greeting).expect("ripostctl listens");
    let request = frame::read(&mut stream, MAX_FRAME).ok()??;
    may_go_on.recv().expect("the test goes on");
    // Whoever gets garbage may hang up before it has all of it.
    let _ = stream.write_all(reply);
    Some(request.message().expect("a request"))
}

pub fn bytes(frame: &Frame) -> Vec<u8> {
    frame.encode()
}
