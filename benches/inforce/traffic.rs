//! Somebody who does not stop sending, and a counter of what arrives.

use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::support::net::{GATEWAY_V4, SERVER_V4};

const PORT: u16 = 9;

/// Between two packets.
const PAUSE: Duration = Duration::from_micros(100);

pub struct Traffic {
    thread: JoinHandle<(u64, u64)>,
    is_over: Arc<AtomicBool>,
}

impl Traffic {
    /// Datagrams from this address to the server, one after the other.
    pub fn start(from: IpAddr) -> Self {
        let receiver = thread::spawn(on_server).join().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        assert_counts(&receiver);
        let thread = thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || run(from, &receiver, &is_over)
        });
        Self { thread, is_over }
    }

    /// How many were sent and how many have arrived.
    pub fn stop(self) -> (u64, u64) {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn run(from: IpAddr, receiver: &UdpSocket, is_over: &AtomicBool) -> (u64, u64) {
    let sender = UdpSocket::bind((from, 0)).unwrap();
    let (mut sent, mut arrived) = (0, 0);
    while !is_over.load(Ordering::Relaxed) {
        sender.send_to(b"x", (SERVER_V4, PORT)).unwrap();
        sent += 1;
        arrived += taken(receiver);
        sleep(PAUSE);
    }
    (sent, arrived + taken(receiver))
}

/// A packet that nobody blocks is counted: otherwise none that arrives would
/// be a good sign of anything.
fn assert_counts(receiver: &UdpSocket) {
    let sender = UdpSocket::bind((GATEWAY_V4, 0)).unwrap();
    sender.send_to(b"x", (SERVER_V4, PORT)).unwrap();
    let end = Instant::now() + Duration::from_secs(1);
    while taken(receiver) == 0 {
        assert!(Instant::now() < end, "the receiver does not receive");
    }
}

/// Takes what has arrived.
fn taken(receiver: &UdpSocket) -> u64 {
    let mut count = 0;
    while receiver.recv(&mut [0; 16]).is_ok() {
        count += 1;
    }
    count
}

/// A socket on the server; it stays there when this thread, which is moved
/// there, ends.
fn on_server() -> UdpSocket {
    let namespace = std::fs::File::open("/run/netns/server").unwrap();
    let kind = Some(LinkNameSpaceType::Network);
    move_into_link_name_space(namespace.as_fd(), kind).unwrap();
    let socket = UdpSocket::bind((SERVER_V4, PORT)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}
