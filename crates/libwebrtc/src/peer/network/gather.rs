//! Finding out by which addresses we can be reached: those of the interfaces at once, those that
//! servers know as they answer. No server keeps another waiting, and each has a deadline.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use rustls::pki_types::ServerName;

use super::{
    Found, LocalCandidate, Network, RETIREMENT, Step, Transport, addresses,
    addresses::{can_reach, is_usable},
    limited,
    names::names,
    relay::Standing,
    relay_link::RelayLink,
    server::{self, Host, Login, Server, Service},
    stream::Stream,
    stun::{self, Next, Question},
    tls,
    udp::Udp,
};
use crate::{
    engine_options,
    peer_connection::IceCandidateError,
    peer_connection_factory::{IceServer, IceTransportsType},
};

/// URLs of servers that are used. Configurations have a handful.
const MAX_URLS: usize = 8;

/// Questions to STUN servers at a time: each server is asked from each address.
const MAX_QUESTIONS: usize = 24;

/// How long a name may take to be looked up. The system's own limits are longer.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(5);

/// How long a TURN server may take for everything: name aside, TCP, TLS and two exchanges.
const RELAY_LIMIT: Duration = Duration::from_secs(10);

/// How old news of the interfaces may be when a connection begins.
const FRESH: Duration = Duration::from_secs(1);

/// How often interfaces are looked at while connected, where the configuration wants it: once for
/// all connections together.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// What W3C calls a server that could not be reached.
const UNREACHABLE: i32 = 701;

/// What is to be gathered.
#[derive(Clone)]
pub(in crate::peer) struct Plan {
    pub(in crate::peer) policy: IceTransportsType,
    pub(in crate::peer) servers: Vec<IceServer>,
    /// Whether interfaces are looked at later too.
    pub(in crate::peer) is_continual: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            policy: IceTransportsType::All,
            servers: Vec::new(),
            is_continual: false,
        }
    }
}

#[derive(Default)]
pub(super) struct Gathering {
    plan: Plan,
    has_begun: bool,
    is_under_way: bool,
    hosts: Vec<LocalCandidate>,
    reflexive: Vec<LocalCandidate>,
    questions: Vec<(String, Question)>,
    relays_asked: u64,
    /// When the interfaces are to be looked at again.
    next_look: Option<Instant>,
}

/// A server whose name has been looked up.
pub(super) struct Resolved {
    url: String,
    server: Server,
    login: Login,
    addresses: Vec<SocketAddr>,
}

impl Gathering {
    pub(super) fn is_relay_only(&self) -> bool {
        self.plan.policy == IceTransportsType::Relay
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let questions = self.questions.iter().map(|(_, question)| question.due());
        questions.chain(self.next_look).min()
    }

    /// Takes a datagram that answers a question. Answers whether it did.
    pub(super) fn take_answer(
        &mut self,
        source: SocketAddr,
        bytes: &[u8],
        found: &mut Vec<Found>,
    ) -> bool {
        if self.questions.is_empty() || !stun::may_be_stun(bytes) {
            return false;
        }
        let mut questions = self.questions.iter().enumerate();
        let answered = questions.find_map(|(index, (_, question))| {
            let address = question.answered_by(source, bytes)?;
            Some((index, address, question.base))
        });
        let Some((index, address, base)) = answered else {
            return false;
        };
        self.questions.swap_remove(index);
        let candidate = LocalCandidate::reflexive(address, base);
        // Seen by the address we know of ourselves: there is nothing between.
        let is_new = address != base || self.plan.policy == IceTransportsType::NoHost;
        let is_known = self.reflexive.iter().any(|known| known.address == address);
        if is_new && is_usable(address) && !is_known {
            self.reflexive.push(candidate.clone());
            found.push(Found::Candidate {
                candidate,
                is_told: true,
            });
        }
        true
    }
}

impl Network {
    /// Begins to gather, or begins anew: everything that can be told is told again.
    pub(in crate::peer) fn gather(&mut self, now: Instant, plan: Plan) {
        let is_first = !std::mem::replace(&mut self.gathering.has_begun, true);
        self.gathering.is_under_way = true;
        self.look_ups.clear();
        self.gathering.questions.clear();
        for candidate in self.gathering.reflexive.drain(..) {
            self.found.push(Found::Lost(candidate));
        }
        self.gathering.plan = plan;
        self.open_udp();
        self.look_at_interfaces(now, if is_first { FRESH } else { Duration::ZERO });
        self.tell_hosts();
        self.ask_servers(now);
    }

    /// A connection without a socket can still reach servers by TCP.
    fn open_udp(&mut self) {
        if self.udp.is_none() {
            match Udp::open(engine_options::udp_ports()) {
                Ok(udp) => self.udp = Some(udp),
                Err(error) => log::error!("no UDP socket for media: {error}"),
            }
        }
    }

    /// Compares the machine's addresses with those known. Answers the new ones.
    fn look_at_interfaces(&mut self, now: Instant, max_age: Duration) -> Vec<LocalCandidate> {
        let gathering = &mut self.gathering;
        gathering.next_look = gathering.plan.is_continual.then_some(now + LOOK_INTERVAL);
        let udp = self.udp.as_ref().filter(|_| !gathering.is_relay_only());
        let addresses = match addresses::local(now, max_age) {
            Ok(addresses) => addresses,
            Err(error) => {
                log::error!("the interfaces cannot be listed: {error}");
                return Vec::new();
            }
        };
        let bases = addresses.iter().filter_map(|ip| udp?.at(*ip));
        let hosts = bases.map(|base| LocalCandidate::host(Transport::Udp, base));
        let hosts = hosts.collect();
        self.replace_hosts(hosts)
    }

    /// Lets go of the addresses that are no more. Answers those that are new.
    fn replace_hosts(&mut self, hosts: Vec<LocalCandidate>) -> Vec<LocalCandidate> {
        let before = std::mem::replace(&mut self.gathering.hosts, hosts);
        let hosts = &self.gathering.hosts;
        let (kept, gone) = before.into_iter().partition(|host| hosts.contains(host));
        let (kept, gone): (Vec<_>, Vec<_>) = (kept, gone);
        self.found.extend(gone.into_iter().map(Found::Lost));
        let is_new = |host: &&LocalCandidate| !kept.contains(host);
        hosts.iter().filter(is_new).cloned().collect()
    }

    fn tell_hosts(&mut self) {
        let is_told = self.gathering.plan.policy == IceTransportsType::All;
        for candidate in self.gathering.hosts.clone() {
            // Untold ones are used all the same: they are what reflexive ones are sent from.
            self.found.push(Found::Candidate { candidate, is_told });
        }
    }

    fn ask_servers(&mut self, now: Instant) {
        let servers = self.gathering.plan.servers.clone();
        let urls = servers.iter().flat_map(|server| {
            let login = Login {
                username: server.username.clone(),
                password: server.password.clone(),
            };
            server.urls.iter().map(move |url| (url, login.clone()))
        });
        let urls: Vec<_> = urls.take(MAX_URLS).collect();
        for link in &mut self.relays {
            let is_wanted = urls
                .iter()
                .any(|(url, login)| **url == link.url && *login == link.login);
            if !is_wanted {
                link.retires.get_or_insert(now + RETIREMENT);
            } else if let Some(candidate) =
                link.candidate.clone().filter(|_| link.retires.is_none())
            {
                self.found.push(Found::Candidate {
                    candidate,
                    is_told: true,
                });
            }
        }
        for (url, login) in urls {
            self.ask_server(now, url, login);
        }
    }

    fn ask_server(&mut self, now: Instant, url: &str, login: Login) {
        let server = match server::parse(url) {
            Ok(server) => server,
            Err(why) => return self.server_failed(url, why),
        };
        let is_relay = server.service != Service::Stun;
        if is_relay && !login.is_usable() {
            return self.server_failed(url, "no user name and password that a server could take");
        }
        let is_kept =
            |link: &RelayLink| link.url == url && link.login == login && link.retires.is_none();
        let is_needless = !is_relay && self.gathering.is_relay_only();
        if is_needless || is_relay && self.relays.iter().any(is_kept) {
            return;
        }
        let port = server.port;
        let mut resolved = Resolved {
            url: url.to_owned(),
            server,
            login,
            addresses: Vec::new(),
        };
        match resolved.server.host.clone() {
            Host::Address(ip) => {
                resolved.addresses.push(SocketAddr::new(ip, port));
                self.on_resolved(now, resolved);
            }
            Host::Name(name) => {
                let look_up = async move {
                    let look_up = names().look_up(now, &name);
                    match tokio::time::timeout(LOOK_UP_LIMIT, look_up).await {
                        Ok(Ok(ips)) => {
                            let addresses = ips.iter().map(|ip| SocketAddr::new(*ip, port));
                            resolved.addresses.extend(addresses);
                        }
                        Ok(Err(why)) => log::debug!("{} is unknown: {why}", resolved.url),
                        Err(_) => log::debug!("looking up {} takes too long", resolved.url),
                    }
                    resolved
                };
                self.look_ups.push(look_up.boxed());
            }
        }
    }

    pub(super) fn on_resolved(&mut self, now: Instant, resolved: Resolved) {
        let Resolved {
            url,
            server,
            login,
            mut addresses,
        } = resolved;
        addresses.retain(|address| is_usable(*address));
        let v4 = addresses.iter().copied().find(SocketAddr::is_ipv4);
        let v6 = addresses.iter().copied().find(SocketAddr::is_ipv6);
        let Some(first) = v4.or(v6) else {
            return self.server_failed(&url, "its name leads nowhere");
        };
        match server.service {
            Service::Stun => {
                for address in [v4, v6].into_iter().flatten() {
                    self.ask_stun(now, &url, address);
                }
            }
            Service::TurnUdp | Service::TurnTcp | Service::TurnTls => {
                self.ask_turn(now, &url, &server, &login, first);
            }
        }
    }

    fn ask_stun(&mut self, now: Instant, url: &str, server: SocketAddr) {
        let gathering = &mut self.gathering;
        let bases = gathering.hosts.iter().map(|host| host.base);
        let bases = bases.filter(|base| can_reach(base.ip(), server.ip()));
        let room = MAX_QUESTIONS.saturating_sub(gathering.questions.len());
        let questions: Vec<_> = bases
            .take(room)
            .map(|base| (url.to_owned(), Question::new(now, server, base)))
            .collect();
        gathering.questions.extend(questions);
    }

    fn ask_turn(
        &mut self,
        now: Instant,
        url: &str,
        server: &Server,
        login: &Login,
        address: SocketAddr,
    ) {
        self.gathering.relays_asked += 1;
        let number = self.gathering.relays_asked;
        let deadline = now + RELAY_LIMIT;
        let link = RelayLink::new(number, url, server, login, address, now, deadline);
        self.relays.push(link);
        let tls_name = match (server.service, &server.host) {
            (Service::Stun | Service::TurnUdp, _) => return,
            (Service::TurnTcp, _) => None,
            (Service::TurnTls, host) => Some(host.clone()),
        };
        let connect = async move {
            let result = limited(dial_server(address, tls_name)).await;
            Step::Reached(number, result)
        };
        self.pending.push(connect.boxed());
    }

    pub(super) fn on_reached(&mut self, number: u64, result: io::Result<Stream>) {
        if let Some(link) = self.relays.iter_mut().find(|link| link.number == number) {
            link.reached(result);
        }
    }

    pub(super) fn tick_gathering(&mut self, now: Instant) {
        if self.gathering.next_look.is_some_and(|next| next <= now) {
            let new = self.look_at_interfaces(now, LOOK_INTERVAL);
            let is_told = self.gathering.plan.policy == IceTransportsType::All;
            for candidate in new {
                self.found.push(Found::Candidate { candidate, is_told });
            }
        }
        self.tick_questions(now);
        self.tick_relays(now);
        let gathering = &mut self.gathering;
        let is_asking = |link: &RelayLink| link.standing() == Standing::Asking;
        if gathering.is_under_way
            && self.look_ups.is_empty()
            && gathering.questions.is_empty()
            && !self.relays.iter().any(is_asking)
        {
            gathering.is_under_way = false;
            self.found.push(Found::Complete);
        }
    }

    fn tick_questions(&mut self, now: Instant) {
        let mut unanswered = Vec::new();
        let udp = self.udp.as_ref();
        self.gathering
            .questions
            .retain_mut(|(url, question)| match question.next(now) {
                Next::Wait => true,
                Next::Ask => udp.is_some_and(|udp| {
                    udp.send(
                        Some(question.base.ip()),
                        question.server,
                        question.message(),
                    )
                }),
                Next::GiveUp => {
                    unanswered.push(url.clone());
                    false
                }
            });
        // One server is asked from many addresses; some of them may lead nowhere.
        unanswered.dedup();
        for url in unanswered {
            self.server_failed(&url, "it does not answer");
        }
    }

    fn tick_relays(&mut self, now: Instant) {
        let udp = self.udp.as_ref();
        let mut failed = Vec::new();
        let found = &mut self.found;
        self.relays.retain_mut(|link| {
            link.tick(now, udp);
            match (link.standing(), &link.candidate) {
                (Standing::At(address), None) => {
                    let candidate = LocalCandidate::relayed(address);
                    link.candidate = Some(candidate.clone());
                    found.push(Found::Candidate {
                        candidate,
                        is_told: true,
                    });
                }
                (Standing::Over, Some(candidate)) => found.push(Found::Lost(candidate.clone())),
                (Standing::Over, None) => failed.push(link.url.clone()),
                (Standing::Asking, _) | (Standing::At(_), Some(_)) => {}
            }
            link.standing() != Standing::Over
        });
        for url in failed {
            self.server_failed(&url, "it does not answer, or refuses us");
        }
    }

    fn server_failed(&mut self, url: &str, why: &str) {
        log::debug!("{url}: {why}");
        self.found.push(Found::Failed(IceCandidateError {
            address: String::new(),
            port: 0,
            url: url.to_owned(),
            error_code: UNREACHABLE,
            error_text: why.to_owned(),
        }));
    }
}

/// Connects to a TURN server, with TLS where there is a name for it.
async fn dial_server(address: SocketAddr, tls_name: Option<Host>) -> io::Result<Stream> {
    let mut stream = Stream::connect(address).await?;
    if let Some(host) = tls_name {
        let name = match host {
            Host::Address(ip) => ServerName::from(ip),
            Host::Name(name) => ServerName::try_from(name).map_err(io::Error::other)?,
        };
        // Reads files the first time.
        let config = tokio::task::spawn_blocking(tls::config).await?;
        stream.secure(config.map_err(io::Error::other)?, name)?;
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(last: u8) -> LocalCandidate {
        let base = SocketAddr::from(([10, 0, 0, last], 5_000));
        LocalCandidate::host(Transport::Udp, base)
    }

    #[test]
    fn an_address_that_goes_is_let_go_of_and_one_that_comes_is_new() {
        let mut network = Network::default();
        assert_eq!(network.replace_hosts(vec![host(1), host(2)]).len(), 2);
        assert!(network.take_found().is_empty());
        let new = network.replace_hosts(vec![host(2), host(3)]);
        assert_eq!(new, [host(3)]);
        let found = network.take_found();
        assert!(matches!(&found[..], [Found::Lost(gone)] if *gone == host(1)));
        assert!(network.replace_hosts(vec![host(2), host(3)]).is_empty());
    }

    #[test]
    fn servers_that_make_no_sense_are_told_of_and_hold_nothing_up() {
        let mut network = Network::default();
        let login = || Login {
            username: String::new(),
            password: String::new(),
        };
        for url in ["turn:192.0.2.1", "http://192.0.2.1", "stun:0.0.0.0"] {
            network.ask_server(Instant::now(), url, login());
        }
        assert!(network.look_ups.is_empty());
        let found = network.take_found();
        assert_eq!(found.len(), 3);
        let is_failure = |found: &Found| matches!(found, Found::Failed(error) if error.error_code == UNREACHABLE);
        assert!(found.iter().all(is_failure));
    }

    fn stun(name: &str) -> Plan {
        Plan {
            servers: vec![IceServer {
                urls: vec![format!("stun:{name}")],
                username: String::new(),
                password: String::new(),
            }],
            ..Plan::default()
        }
    }

    #[test]
    fn names_are_looked_up_without_the_applications_threads() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        let busy = runtime.spawn_blocking(move || is_done.recv());
        runtime.block_on(async {
            let mut network = Network::default();
            network.gather(Instant::now(), stun("localhost"));
            assert_eq!(network.look_ups.len(), 1);
            let looked_up = async {
                while !network.look_ups.is_empty() {
                    std::future::poll_fn(|cx| network.poll_ready(cx)).await;
                    network.receive(Instant::now(), &mut |_| {});
                }
            };
            let looked_up = tokio::time::timeout(2 * LOOK_UP_LIMIT, looked_up).await;
            looked_up.expect("the one blocking thread is busy");
            let is_failure = |found: &Found| matches!(found, Found::Failed(_));
            assert!(!network.take_found().iter().any(is_failure));
        });
        done.send(()).unwrap();
        runtime.block_on(busy).unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_new_round_no_longer_waits_for_the_look_ups_of_the_one_before() {
        let mut network = Network::default();
        let mut plan = stun("one.invalid");
        plan.servers.extend(stun("two.invalid").servers);
        network.gather(Instant::now(), plan);
        assert_eq!(network.look_ups.len(), 2);
        network.gather(Instant::now(), stun("three.invalid"));
        assert_eq!(network.look_ups.len(), 1);
    }
}
