//! Looking up the names of servers, for all connections of the process.
//!
//! The system looks up names blocking, and where DNS does not answer for as long as it likes.
//! So it is done on a few threads of our own, which no runtime has to wait for; all who ask for a
//! name share its look-up; and what came of it is known for a while.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::{IpAddr, ToSocketAddrs as _},
    sync::{Arc, LazyLock},
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Look-ups at a time. Connections of one program ask for the same few names; where those hang,
/// more threads would hang too.
const MAX_THREADS: usize = 4;

/// How long a name's addresses are taken for good: long enough for a wave of joins, and short
/// beside the minutes for which DNS may give them out. The system does not say for how long.
const KNOWN_FOR: Duration = Duration::from_secs(30);

/// How long a name is taken for unknown. A wave of joins waits for one look-up that hangs, and
/// the try after it finds a server that has come back.
const UNKNOWN_FOR: Duration = Duration::from_secs(5);

/// Names that are known at a time: far above what configurations name, and some 20 kB.
const MAX_NAMES: usize = 128;

/// Names that wait for a thread. Where this many do, those who ask would have given up before
/// their turn.
const MAX_WAITING: usize = 128;

/// What a name leads to; the reason where it leads nowhere.
pub(super) type Answer = Result<Arc<[IpAddr]>, Arc<str>>;

type Ask = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Clones share what they know.
#[derive(Clone)]
pub(super) struct Names {
    state: Arc<Mutex<State>>,
    ask: Arc<Ask>,
}

#[derive(Default)]
struct State {
    asked: HashMap<String, Vec<oneshot::Sender<Answer>>>,
    /// Those of `asked` that no thread has taken yet.
    waiting: VecDeque<String>,
    known: HashMap<String, Known>,
    threads: usize,
}

struct Known {
    answer: Answer,
    until: Instant,
}

/// What the system knows, for the whole process.
pub(super) fn names() -> &'static Names {
    static NAMES: LazyLock<Names> = LazyLock::new(|| {
        Names::new(|name| {
            let addresses = (name, 0).to_socket_addrs()?;
            Ok(addresses.map(|address| address.ip()).collect())
        })
    });
    &NAMES
}

impl Names {
    fn new(ask: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        Self {
            state: Arc::default(),
            ask: Arc::new(ask),
        }
    }

    /// What a name leads to. Takes as long as the system does: who waits sets the limit, and a
    /// look-up that nobody waits for any more does not begin.
    pub(super) async fn look_up(&self, now: Instant, name: &str) -> Answer {
        let asked = self.state.lock().ask(now, name);
        let answer = match asked {
            Asked::Known(answer) => return answer,
            Asked::Waits(answer, needs_thread) => {
                if needs_thread {
                    self.begin_thread();
                }
                answer.await
            }
        };
        answer.unwrap_or_else(|_| Err("no look-up is possible now".into()))
    }

    fn begin_thread(&self) {
        let names = self.clone();
        let thread = thread::Builder::new()
            .name("libwebrtc-names".to_owned())
            .spawn(move || while names.look_up_next() {});
        if let Err(error) = thread {
            log::error!("no thread to look up names: {error}");
            self.state.lock().has_no_thread();
        }
    }

    /// Looks up the next name. Answers whether there may be more; else the thread has ended.
    fn look_up_next(&self) -> bool {
        let Some(name) = self.state.lock().next() else {
            return false;
        };
        let answer = match (self.ask)(&name) {
            Ok(addresses) => Ok(addresses.into()),
            Err(error) => Err(error.to_string().into()),
        };
        self.state.lock().found(Instant::now(), name, answer);
        true
    }
}

/// What became of a question.
enum Asked {
    Known(Answer),
    /// Answered later; `true` where another thread is to begin.
    Waits(oneshot::Receiver<Answer>, bool),
}

impl State {
    fn ask(&mut self, now: Instant, name: &str) -> Asked {
        if let Some(known) = self.known.get(name).filter(|known| known.until > now) {
            return Asked::Known(known.answer.clone());
        }
        let (sender, receiver) = oneshot::channel();
        if let Some(others) = self.asked.get_mut(name) {
            // Connections come and go while one look-up hangs.
            others.retain(|other| !other.is_closed());
            others.push(sender);
            return Asked::Waits(receiver, false);
        }
        self.forget_unwanted();
        if self.waiting.len() >= MAX_WAITING {
            return Asked::Known(Err("too many names are being looked up".into()));
        }
        self.asked.insert(name.to_owned(), vec![sender]);
        self.waiting.push_back(name.to_owned());
        let needs_thread = self.threads < MAX_THREADS;
        self.threads += usize::from(needs_thread);
        Asked::Waits(receiver, needs_thread)
    }

    /// Names that nobody waits for any more are not looked up.
    fn forget_unwanted(&mut self) {
        let asked = &mut self.asked;
        self.waiting.retain(|name| {
            let is_wanted = |all: &Vec<oneshot::Sender<_>>| all.iter().any(|one| !one.is_closed());
            let is_wanted = asked.get(name).is_some_and(is_wanted);
            if !is_wanted {
                asked.remove(name);
            }
            is_wanted
        });
    }

    /// The name that a thread is to look up; where there is none, the thread is done.
    fn next(&mut self) -> Option<String> {
        self.forget_unwanted();
        let next = self.waiting.pop_front();
        if next.is_none() {
            self.threads -= 1;
        }
        next
    }

    fn found(&mut self, now: Instant, name: String, answer: Answer) {
        for asker in self.asked.remove(&name).unwrap_or_default() {
            // Who has given up needs no answer.
            let _ = asker.send(answer.clone());
        }
        self.known.retain(|_, known| known.until > now);
        if self.known.len() >= MAX_NAMES {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.until);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.known.remove(&oldest);
            }
        }
        let lasts = if answer.is_ok() {
            KNOWN_FOR
        } else {
            UNKNOWN_FOR
        };
        let until = now + lasts;
        self.known.insert(name, Known { answer, until });
    }

    /// The system gave no thread. Without any, nobody would ever answer.
    fn has_no_thread(&mut self) {
        self.threads -= 1;
        if self.threads == 0 {
            for name in self.waiting.drain(..) {
                self.asked.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    use futures_util::{FutureExt as _, future::join_all};

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    /// A system that answers each question when it is let, and what it was asked.
    struct Slow {
        names: Names,
        asked: mpsc::Receiver<String>,
        go: mpsc::Sender<()>,
    }

    fn slow() -> Slow {
        let (asked, is_asked) = mpsc::channel();
        let (go, may_go) = mpsc::channel::<()>();
        let may_go = Mutex::new(may_go);
        let names = Names::new(move |name: &str| {
            // Where the test is over, so is this.
            let is_over = asked.send(name.to_owned()).is_err() || may_go.lock().recv().is_err();
            if is_over || name.starts_with("no") {
                return Err(io::Error::other("no such name"));
            }
            Ok(vec![ADDRESS])
        });
        Slow {
            names,
            asked: is_asked,
            go,
        }
    }

    #[tokio::test]
    async fn all_who_ask_for_a_name_share_one_look_up() {
        let slow = slow();
        let now = Instant::now();
        let asks = join_all((0..200).map(|_| slow.names.look_up(now, "turn.example")));
        slow.go.send(()).unwrap();
        for answer in asks.await {
            assert_eq!(answer.unwrap()[..], [ADDRESS]);
        }
        assert_eq!(slow.asked.try_iter().count(), 1);
        // And those who come later know it, for a while.
        slow.names.look_up(now, "turn.example").await.unwrap();
        assert_eq!(slow.asked.try_iter().count(), 0);
        let later = Instant::now() + KNOWN_FOR;
        slow.go.send(()).unwrap();
        slow.names.look_up(later, "turn.example").await.unwrap();
        assert_eq!(slow.asked.try_iter().count(), 1);
    }

    #[tokio::test]
    async fn a_failure_is_known_for_a_shorter_while() {
        let slow = slow();
        let now = Instant::now();
        for _ in 0..2 {
            slow.go.send(()).unwrap();
        }
        for _ in 0..3 {
            slow.names
                .look_up(now, "nowhere.example")
                .await
                .unwrap_err();
        }
        assert_eq!(slow.asked.try_iter().count(), 1);
        let later = Instant::now() + UNKNOWN_FOR;
        slow.names
            .look_up(later, "nowhere.example")
            .await
            .unwrap_err();
        assert_eq!(slow.asked.try_iter().count(), 1);
    }

    #[tokio::test]
    async fn names_that_hang_hold_four_threads_and_those_given_up_are_not_looked_up() {
        let slow = slow();
        let now = Instant::now();
        let names: Vec<_> = (0..20).map(|number| format!("{number}.example")).collect();
        let mut asks: Vec<_> = names
            .iter()
            .map(|name| Box::pin(slow.names.look_up(now, name)))
            .collect();
        for ask in &mut asks {
            assert!(ask.now_or_never().is_none());
        }
        let first: Vec<_> = (0..MAX_THREADS)
            .map(|_| slow.asked.recv().unwrap())
            .collect();
        assert_eq!(slow.names.state.lock().threads, MAX_THREADS);
        assert_eq!(slow.names.state.lock().waiting.len(), 20 - MAX_THREADS);
        // All but the last give up.
        let last = asks.pop().unwrap();
        drop(asks);
        for _ in 0..=MAX_THREADS {
            slow.go.send(()).unwrap();
        }
        last.await.unwrap();
        assert_eq!(slow.asked.try_iter().collect::<Vec<_>>(), ["19.example"]);
        assert!(!first.contains(&"19.example".to_owned()));
    }

    #[tokio::test]
    async fn names_without_end_are_not_kept() {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let names = Names::new(move |_: &str| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(vec![ADDRESS])
        });
        let now = Instant::now();
        for number in 0..MAX_NAMES + 50 {
            let name = format!("{number}.example");
            names.look_up(now, &name).await.unwrap();
        }
        assert_eq!(count.load(Ordering::Relaxed), MAX_NAMES + 50);
        assert_eq!(names.state.lock().known.len(), MAX_NAMES);
    }

    #[tokio::test]
    async fn more_names_than_threads_can_look_up_soon_are_refused() {
        let slow = slow();
        let now = Instant::now();
        let names: Vec<_> = (0..MAX_THREADS).map(|n| format!("{n}.example")).collect();
        let mut busy: Vec<_> = names
            .iter()
            .map(|name| Box::pin(slow.names.look_up(now, name)))
            .collect();
        for ask in &mut busy {
            assert!(ask.now_or_never().is_none());
            slow.asked.recv().unwrap();
        }
        let names: Vec<_> = (0..=MAX_WAITING)
            .map(|n| format!("more-{n}.example"))
            .collect();
        let mut more: Vec<_> = names
            .iter()
            .map(|name| Box::pin(slow.names.look_up(now, name)))
            .collect();
        let (last, others) = more.split_last_mut().unwrap();
        assert!(others.iter_mut().all(|ask| ask.now_or_never().is_none()));
        last.await.unwrap_err();
        for _ in 0..MAX_THREADS {
            slow.go.send(()).unwrap();
        }
    }
}
