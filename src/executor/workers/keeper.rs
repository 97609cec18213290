//! The task that keeps the worker of one executable.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::live::{Event, Live};
use super::orders::{Ears, Orders};
use super::{Decided, Manner, predecessor};
use crate::clock;
use crate::contract::worker::WORD;
use crate::executor::{Run, RunId, changed, log_killed, patiently};
use crate::model::ExeName;
use crate::sys::exe::Home;
use crate::sys::process::start_worker;

/// How much may wait to be read by the worker before no more is taken from
/// runs.
const MAX_OUTPUT: usize = 1024 * 1024;

/// Words that are taken from runs at a time.
const AT_ONCE: usize = 256;

/// A worker that ends before it is so old has died young.
const YOUNG: Duration = Duration::from_secs(10);

/// So many that die young, one after the other, are enough.
const MAX_DEATHS: u32 = 3;

/// The pause before a worker is started after another has died young. Reverts
/// are promised to the second.
const PAUSE: Duration = Duration::from_millis(100);

/// What a run says to its keeper.
#[derive(Debug)]
pub(super) enum Word {
    Order { run: Arc<Run>, to: Ears },
    Decided { id: RunId, decided: Decided },
}

pub(super) struct Keeper {
    home: Home,
    exe: ExeName,
    manner: Manner,
    words: mpsc::Receiver<Word>,
    orders: Orders,
    live: Option<Live>,
    /// Workers that have died young since the last that did not.
    deaths: u32,
    /// Until then, in boot nanoseconds, none is started.
    rests_until: u64,
}

/// What happened next.
enum Next {
    Said(Vec<Word>),
    /// Nobody can say anything any more.
    Deserted,
    Worker(Event),
    Overdue,
    Idle,
    Rested,
}

impl Keeper {
    pub(super) fn new(
        home: Home,
        exe: ExeName,
        manner: Manner,
        words: mpsc::Receiver<Word>,
    ) -> Self {
        Self {
            home,
            exe,
            manner,
            words,
            orders: Orders::default(),
            live: None,
            deaths: 0,
            rests_until: 0,
        }
    }

    pub(super) async fn keep(mut self) {
        loop {
            self.provide().await;
            match self.next().await {
                Next::Said(words) => self.take(words),
                Next::Deserted => return,
                Next::Worker(Event::Heard) => self.hear().await,
                Next::Worker(Event::Exchanged) | Next::Rested => {}
                Next::Worker(Event::Over) => self.replace("it is gone").await,
                Next::Overdue => self.replace("it did not answer in time").await,
                Next::Idle => self.dismiss().await,
            }
        }
    }

    /// Sees to it that what waits for a worker gets one, or is run without.
    async fn provide(&mut self) {
        let is_done = |live: &Live, orders: &Orders| live.is_retiring && !orders.has_sent();
        if self.orders.has_unsent()
            && let Some(live) = &mut self.live
        {
            live.check(&self.home);
        }
        if self
            .live
            .as_ref()
            .is_some_and(|live| is_done(live, &self.orders))
        {
            log::info!(executable:% = self.exe; "the file of a worker was replaced; starting it anew");
            self.dismiss().await;
        }
        if self.live.is_none() && self.orders.has_unsent() {
            self.start().await;
        }
        if let Some(live) = &mut self.live
            && !live.is_retiring
        {
            self.orders.send(&mut live.output, MAX_OUTPUT);
        }
    }

    async fn start(&mut self) {
        if self.deaths >= MAX_DEATHS {
            if self.rests() {
                self.orders.release();
                return;
            }
            self.deaths = 0;
        }
        if self.rests() {
            return;
        }
        let (home, exe) = (self.home.clone(), self.exe.clone());
        let started = tokio::task::spawn_blocking(move || begin(&home, &exe))
            .await
            .expect("the task neither panics nor is it aborted");
        match started {
            Ok(live) => {
                log::debug!(executable:% = self.exe, pid = live.pid(); "a worker has been started");
                self.live = Some(live);
            }
            Err(why) => self.orders.refuse(&why),
        }
    }

    fn rests(&self) -> bool {
        clock::boot_nanos() < self.rests_until
    }

    /// Waits for the next event. Every arm is cancel-safe: `recv_many` and
    /// sleeps are by contract, `Live::next` as said there.
    async fn next(&mut self) -> Next {
        let is_idle = self.orders.is_empty();
        let rests_until = (self.live.is_none() && !is_idle).then_some(self.rests_until);
        let has_room = self
            .live
            .as_ref()
            .is_none_or(|live| live.output.len() < MAX_OUTPUT);
        let due = self.orders.next_due();
        let mut words = Vec::new();
        let live = &mut self.live;
        let kept_idle = (is_idle && live.is_some()).then_some(self.manner.idle);
        tokio::select! {
            event = event(live) => Next::Worker(event),
            taken = self.words.recv_many(&mut words, AT_ONCE), if has_room => match taken {
                0 => Next::Deserted,
                _ => Next::Said(words),
            },
            () = reached(due) => Next::Overdue,
            () = reached(rests_until) => Next::Rested,
            () = passed(kept_idle) => Next::Idle,
        }
    }

    fn take(&mut self, words: Vec<Word>) {
        for word in words {
            match word {
                Word::Order { run, to } => self.orders.take(run, to),
                Word::Decided { id, decided } => {
                    // Without a worker it is said to the next one.
                    let mut unheard = Vec::new();
                    let live = self.live.as_mut();
                    let output = live.map_or(&mut unheard, |live| &mut live.output);
                    self.orders.decided(id, decided, output);
                }
            }
        }
    }

    async fn hear(&mut self) {
        let Some(live) = &mut self.live else {
            return;
        };
        let orders = &mut self.orders;
        if let Err(nonsense) = live.lines(|line, output| orders.heard(line, output)) {
            self.replace(&nonsense.to_string()).await;
        }
    }

    /// Ends a worker that has nothing in hand.
    async fn dismiss(&mut self) {
        if let Some(live) = self.live.take() {
            live.dismiss(&self.home).await;
        }
    }

    /// Ends a worker that cannot be relied on; what it had is redone.
    async fn replace(&mut self, why: &str) {
        let Some(mut live) = self.live.take() else {
            return;
        };
        let (pid, age) = (live.pid(), live.age());
        let how = live.kill(&self.home).await;
        // What it has said before it went counts.
        let orders = &mut self.orders;
        if let Err(nonsense) = live.lines(|line, output| orders.heard(line, output)) {
            log::debug!(executable:% = self.exe, why:% = nonsense; "what a worker said last is not believed");
        }
        let losses = self.orders.lose();
        log::warn!(executable:% = self.exe, pid = pid, why = why, end = how.as_str(), again = losses.again, alone = losses.alone; "a worker is replaced; what it had not ended is done again");
        if losses.again + losses.alone > 0 {
            self.note(&format!("killed: its worker was lost, {why}"));
        }
        self.mourn(age);
    }

    fn note(&self, why: &str) {
        let noted = log_killed(self.home.path(), &self.exe, clock::wall(), why);
        if let Err(error) = noted {
            log::warn!(error:% = error; "logs/active-responses.log cannot be written");
        }
    }

    /// Counts those that die young.
    fn mourn(&mut self, age: Duration) {
        self.deaths = if age < YOUNG { self.deaths + 1 } else { 0 };
        let rest = match self.deaths {
            0 | 1 => Duration::ZERO,
            2 => PAUSE,
            _ => self.manner.without,
        };
        let rest_nanos = u64::try_from(rest.as_nanos()).unwrap_or(u64::MAX);
        self.rests_until = clock::boot_nanos().saturating_add(rest_nanos);
        if self.deaths >= MAX_DEATHS {
            log::error!(executable:% = self.exe, deaths = self.deaths, seconds = rest.as_secs(); "workers die one after the other; each order is a process of its own for a while");
        }
    }
}

/// Verifies and starts. Blocks.
fn begin(home: &Home, name: &ExeName) -> Result<Live, String> {
    predecessor::end(home, name);
    let exe = home.executable(name).map_err(|error| error.to_string())?;
    if !exe.kind().is_bundled() {
        return Err(changed(&exe));
    }
    let started = patiently(|| start_worker(&exe, WORD));
    let (child, pipes) = started.map_err(|error| error.to_string())?;
    Ok(Live::new(exe, child, pipes))
}

async fn event(live: &mut Option<Live>) -> Event {
    match live {
        Some(live) => live.next().await,
        None => pending().await,
    }
}

/// Waits for a moment in boot nanoseconds.
async fn reached(at: Option<u64>) {
    let span = at.map(|at| at.saturating_sub(clock::boot_nanos()));
    passed(span.map(Duration::from_nanos)).await;
}

async fn passed(span: Option<Duration>) {
    match span {
        Some(span) => tokio::time::sleep(span).await,
        None => pending().await,
    }
}
