//! Sessions over a pipe, with a clock that the tests move.

use tokio::io::{DuplexStream, ReadHalf, WriteHalf, duplex, split};

use super::{Admission, Duration, Origin, Reception, Report, clock, hello, journal, mpsc};
use crate::model::action::sample;
use crate::transport::session::{Connection, SILENCE, attend};
use crate::wire::{Frame, FrameError, ToAgent, ToManager};

type Piped = Connection<ReadHalf<DuplexStream>, WriteHalf<DuplexStream>>;

fn pipe(bytes: usize) -> (Piped, Piped) {
    let (near, far) = duplex(bytes);
    let connection = |stream| {
        let (reader, writer) = split(stream);
        Connection::new(reader, writer)
    };
    (connection(near), connection(far))
}

/// Longer than any of these takes, on a clock that leaps where nobody works.
async fn within_an_hour<T>(future: impl Future<Output = T>) -> T {
    let hour = Duration::from_secs(3_600);
    let waited = tokio::time::timeout(hour, future);
    waited.await.expect("it never ends")
}

/// Serves a connection of agent 007 that is let in at once.
async fn serve(
    connection: Piped,
    outgoing: mpsc::Receiver<Frame>,
) -> (Result<(), FrameError>, Vec<Report>) {
    let (arrivals, mut arriving) = mpsc::channel(1);
    let (reports, mut reported) = mpsc::channel(64);
    let reception = Reception { arrivals, reports };
    let admit = async {
        let arrival = arriving.recv().await.unwrap();
        let welcome = Admission::Welcome {
            session: 3,
            began: clock::boot(),
            journal: journal(),
            outgoing,
        };
        arrival.admit.send(welcome).unwrap();
    };
    let (ended, ()) = tokio::join!(reception.serve(connection, Origin::Local, hello()), admit);
    let mut all = Vec::new();
    while let Ok(report) = reported.try_recv() {
        all.push(report);
    }
    (ended, all)
}

#[tokio::test(start_paused = true)]
async fn a_silent_agent_is_gone_after_its_time_and_not_before() {
    let (near, mut far) = pipe(1024);
    let (_outgoing, receiver) = mpsc::channel(1);
    let start = tokio::time::Instant::now();
    let agent = async {
        far.reader.next().await.unwrap().unwrap();
        // A word shortly before the end gives it another span.
        tokio::time::sleep(SILENCE - Duration::from_secs(1)).await;
        far.send(&ToManager::Ping).await.unwrap();
        far.reader.next().await.unwrap().unwrap();
        assert_eq!(far.reader.next().await.unwrap(), None);
    };
    let both = async { tokio::join!(serve(near, receiver), agent) };
    let ((ended, reports), ()) = within_an_hour(both).await;
    assert!(matches!(ended, Err(FrameError::Silent)), "{ended:?}");
    assert_eq!(start.elapsed().as_secs(), 2 * SILENCE.as_secs() - 1);
    assert!(matches!(reports[..], [Report::Gone(3)]), "{reports:?}");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_takes_nothing_is_gone_though_it_speaks() {
    let (near, far) = pipe(256);
    let (outgoing, receiver) = mpsc::channel(1);
    let frame = Frame::with_body(&"long", vec![0; 4096].into()).unwrap();
    outgoing.send(frame).await.unwrap();
    let agent = async {
        let Connection { mut writer, .. } = far;
        let ping = ToManager::Pong.to_frame().unwrap();
        loop {
            tokio::time::sleep(Duration::from_secs(10)).await;
            if crate::wire::stream::write(&mut writer, &ping)
                .await
                .is_err()
            {
                std::future::pending::<()>().await;
            }
        }
    };
    let ended = tokio::select! {
        (ended, _) = serve(near, receiver) => ended,
        () = agent => panic!("the agent ended"),
        () = tokio::time::sleep(Duration::from_secs(600)) => panic!("the session goes on"),
    };
    assert!(matches!(ended, Err(FrameError::Silent)), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_does_not_answer_pings_is_gone() {
    let (near, mut far) = pipe(4096);
    let (_outgoing, receiver) = mpsc::channel(1);
    let (incoming, _told) = mpsc::channel::<ToAgent>(1);
    let start = tokio::time::Instant::now();
    let manager = async {
        let mut pings = 0;
        while let Some(frame) = far.reader.next().await.unwrap() {
            assert_eq!(ToManager::from_frame(&frame).unwrap(), ToManager::Ping);
            pings += 1;
        }
        pings
    };
    let attended = attend(near, receiver, &incoming, |told| told);
    let both = async { tokio::join!(attended, manager) };
    let (ended, pings) = within_an_hour(both).await;
    assert!(matches!(ended, Err(FrameError::Silent)), "{ended:?}");
    assert_eq!(start.elapsed().as_secs(), 75);
    assert!((2..=3).contains(&pings), "{pings}");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_busy_sending_still_asks_whether_anybody_is_there() {
    let (near, mut far) = pipe(4096);
    let (outgoing, receiver) = mpsc::channel(1);
    let (incoming, _told) = mpsc::channel::<ToAgent>(1);
    let busy = async {
        let frame = ToManager::Pong.to_frame().unwrap();
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_secs(5)).await;
            outgoing.send(frame.clone()).await.unwrap();
        }
        drop(outgoing);
    };
    let manager = async {
        let mut pings = 0;
        while let Some(frame) = far.reader.next().await.unwrap() {
            if ToManager::from_frame(&frame).unwrap() == ToManager::Ping {
                pings += 1;
                let pong = ToAgent::Pong { session_ms: 0 }.into_frame().unwrap();
                crate::wire::stream::write(&mut far.writer, &pong)
                    .await
                    .unwrap();
            }
        }
        pings
    };
    let attended = attend(near, receiver, &incoming, |told| told);
    let all = async { tokio::join!(attended, busy, manager) };
    let (ended, (), pings) = within_an_hour(all).await;
    assert!(ended.is_ok(), "{ended:?}");
    // Five minutes of one ping in 20 to 30 s.
    assert!((10..=15).contains(&pings), "{pings}");
}

#[tokio::test(start_paused = true)]
async fn what_a_pong_tells_of_the_managers_clock_tells_how_long_an_action_took() {
    let (near, mut far) = pipe(4096);
    let (_outgoing, receiver) = mpsc::channel(1);
    let (incoming, mut told) = mpsc::channel::<ToAgent>(1);
    let manager = async {
        far.reader.next().await.unwrap().unwrap();
        // Its session began a minute before the agent heard of it.
        let pong = ToAgent::Pong { session_ms: 60_000 };
        let act = ToAgent::Act {
            action: Box::new(sample::action(1, "firewall-drop", Some(600))),
            alert: Default::default(),
            remaining_ms: Some(600_000),
            age_ms: 0,
            session_ms: Some(50_000),
        };
        for message in [pong, act] {
            let frame = message.into_frame().unwrap();
            let written = crate::wire::stream::write(&mut far.writer, &frame);
            written.await.unwrap();
        }
        told.recv().await.unwrap()
    };
    let attended = attend(near, receiver, &incoming, |told| told);
    let told = tokio::select! {
        told = within_an_hour(manager) => told,
        ended = attended => panic!("{ended:?}"),
    };
    let ToAgent::Act { remaining_ms, .. } = told else {
        panic!("it is another message");
    };
    // The test itself takes no 10 s.
    assert!(
        (580_000..=590_000).contains(&remaining_ms.unwrap()),
        "{remaining_ms:?}"
    );
}
