//! `portcullis-probe`: the program that pods of a real cluster run, here in namespaces of our own.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::IpAddr,
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use libtest_mimic::Completion;
use netsim::{
    Cluster, Fabric, Families, Netns, PodSpec, Protocol, Topology,
    probe::{Answer, Outcome},
    remote::words::{Able, Ask, Call, Reply, Request, Said},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    Test,
    world::{PATIENCE, pod},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_portcullis-probe");

pub(crate) fn tests() -> Vec<Test> {
    [
        ("every_protocol_is_probed_from_outside", protocols as fn()),
        ("a_session_answers_many_questions_at_once", at_once),
        ("traffic_is_counted_as_it_is_begun", traffic),
        ("a_connection_stays_open_between_questions", flow),
        ("nonsense_is_answered", nonsense),
        ("a_server_ends_at_once_when_told", ends),
        ("a_server_stays_that_shall", stays),
        ("two_servers_of_one_name_are_one_too_many", twice),
    ]
    .map(|(name, test)| (format!("program::{name}"), test))
    .into()
}

/// Two pods that nobody listens in yet.
fn bare() -> Cluster {
    let mut cluster = Cluster::build(&Topology {
        families: Families::Dual,
        fabric: Fabric::Bridge,
        nodes: vec!["n1".into()],
        externals: Vec::new(),
    })
    .unwrap();
    let spec = |name: &str| PodSpec {
        name: name.into(),
        node: "n1".into(),
        ..PodSpec::default()
    };
    cluster.add_pods(vec![spec("x/a"), spec("x/b")]).unwrap();
    cluster
}

fn start(netns: &Netns, arguments: &[&str]) -> Child {
    start_as(netns, arguments, None)
}

/// As another user, who has no privileges.
#[expect(clippy::disallowed_methods, reason = "the program under test")]
fn start_as(netns: &Netns, arguments: &[&str], user: Option<u32>) -> Child {
    let mut command = Command::new(PROGRAM);
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    netns.run(|| command.spawn()).unwrap().unwrap()
}

fn run(netns: &Netns, arguments: &[&str]) -> Output {
    start(netns, arguments).wait_with_output().unwrap()
}

/// `serve` in a pod, which ends with this value.
struct Server(Child);

impl Server {
    fn start(cluster: &Cluster, name: &str, arguments: &[&str]) -> Self {
        Self::start_as(cluster, name, arguments, None)
    }

    fn start_as(cluster: &Cluster, name: &str, arguments: &[&str], user: Option<u32>) -> Self {
        let netns = cluster.netns(&pod(name)).unwrap();
        let serve = ["serve", "--as", name];
        let server = Self(start_as(netns, &[&serve, arguments].concat(), user));
        let begun = Instant::now();
        while !run(netns, &["ready", "--as", name]).status.success() {
            assert!(begun.elapsed() < PATIENCE, "{name} never listens");
        }
        server
    }

    /// Waits until it has ended by itself.
    fn code(&mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// `probe` in a pod.
struct Session {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    asked: u64,
}

impl Session {
    fn start(cluster: &Cluster, name: &str) -> Self {
        Self::start_as(cluster, name, None)
    }

    fn start_as(cluster: &Cluster, name: &str, user: Option<u32>) -> Self {
        let mut child = start_as(cluster.netns(&pod(name)).unwrap(), &["probe"], user);
        Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            asked: 0,
        }
    }

    fn say(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
    }

    fn hear(&mut self) -> Reply {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn ask(&mut self, ask: Ask) -> Said {
        self.asked += 1;
        let request = Request {
            id: self.asked,
            ask,
        };
        self.say(&serde_json::to_string(&request).unwrap());
        let reply = self.hear();
        assert_eq!(reply.id, self.asked);
        reply.said
    }

    fn probe(&mut self, calls: Vec<Call>, deadline: Duration) -> Vec<Answer> {
        let deadline_us = deadline.as_micros() as u64;
        match self.ask(Ask::Probe { calls, deadline_us }) {
            Said::Answers(heard) => heard.into_iter().map(Into::into).collect(),
            said => panic!("{said:?}"),
        }
    }

    fn able(&mut self) -> Able {
        match self.ask(Ask::Able) {
            Said::Able(able) => able,
            said => panic!("{said:?}"),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.input.take());
        let ended = self.child.wait().unwrap();
        assert!(thread::panicking() || ended.success(), "{ended}");
    }
}

fn call(to: IpAddr, port: u16, protocol: Protocol) -> Call {
    Call {
        to,
        port,
        protocol,
        source_port: None,
        payload: 0,
    }
}

fn protocols() {
    let cluster = bare();
    let _server = Server::start(
        &cluster,
        "x/b",
        &["--listen", "80/tcp,53/udp,132/sctp", "--sctp"],
    );
    let _asker = Server::start(&cluster, "x/a", &["--sctp"]);
    let mut session = Session::start(&cluster, "x/a");
    let able = session.able();
    assert_eq!((able.no_icmp, able.no_sctp), (None, None));
    for to in cluster.pod_addresses("x/b") {
        let all = [
            (80, Protocol::Tcp, Outcome::Allowed),
            (81, Protocol::Tcp, Outcome::Refused),
            (53, Protocol::Udp, Outcome::Allowed),
            (54, Protocol::Udp, Outcome::Refused),
            (132, Protocol::Sctp, Outcome::Allowed),
            (133, Protocol::Sctp, Outcome::Refused),
            (0, Protocol::Icmp, Outcome::Allowed),
        ];
        let calls = all.map(|(port, protocol, _)| call(to, port, protocol));
        let answers = session.probe(calls.into(), PATIENCE);
        for ((port, protocol, expected), answer) in all.into_iter().zip(answers) {
            assert_eq!(answer.outcome, expected, "{to} {port}/{protocol}");
            if expected == Outcome::Allowed && protocol != Protocol::Icmp {
                assert_eq!(answer.served_by.as_deref(), Some("x/b"));
                let source = answer.source_seen.unwrap().ip();
                assert!(cluster.pod_addresses("x/a").contains(&source), "{source}");
            }
        }
    }
}

fn at_once() {
    let cluster = bare();
    let _server = Server::start(&cluster, "x/b", &["--listen", "80/tcp"]);
    let to = cluster.pod_addresses("x/b")[0];
    let nobody: IpAddr = "10.0.0.0".parse().unwrap();
    let mut session = Session::start(&cluster, "x/a");
    // The second is answered while the first waits for nobody.
    for (id, to, deadline_us) in [(1, nobody, 60_000_000), (2, to, 3_000_000)] {
        let calls = vec![call(to, 80, Protocol::Tcp)];
        let ask = Ask::Probe { calls, deadline_us };
        session.say(&serde_json::to_string(&Request { id, ask }).unwrap());
    }
    let reply = session.hear();
    // Where there is no route to nobody, that is an answer, too.
    let reply = if reply.id == 1 { session.hear() } else { reply };
    assert_eq!(reply.id, 2);
    session.child.kill().unwrap();
    std::mem::forget(session);
}

fn traffic() {
    let cluster = bare();
    let _server = Server::start(&cluster, "x/b", &["--listen", "80/tcp"]);
    let to = cluster.pod_addresses("x/b")[0];
    let mut session = Session::start(&cluster, "x/a");
    let started = session.ask(Ask::StartTraffic {
        traffic: 1,
        calls: vec![call(to, 80, Protocol::Tcp), call(to, 81, Protocol::Tcp)],
        every_us: 5_000,
        patience_us: 250_000,
    });
    assert_eq!(started, Said::Done);
    let begun = Instant::now();
    let mut seen = [0, 0];
    while seen.contains(&0) {
        assert!(begun.elapsed() < PATIENCE, "{seen:?}");
        let Said::Tallies(tallies) = session.ask(Ask::TakeTraffic { traffic: 1 }) else {
            panic!("no tallies");
        };
        for (seen, (tally, expected)) in seen.iter_mut().zip(
            tallies
                .into_iter()
                .zip([Outcome::Allowed, Outcome::Refused]),
        ) {
            let tally = tally.at(Instant::now());
            assert!(tally.counts.keys().all(|outcome| *outcome == expected));
            *seen += tally.attempts(expected);
        }
    }
    assert_eq!(session.ask(Ask::StopTraffic { traffic: 1 }), Said::Done);
    let gone = session.ask(Ask::TakeTraffic { traffic: 1 });
    assert_eq!(gone, Said::Failed("find traffic 1".into()));
}

fn flow() {
    let cluster = bare();
    let mut server = Server::start(&cluster, "x/b", &["--listen", "80/tcp"]);
    let to = cluster.pod_addresses("x/b")[0];
    let mut session = Session::start(&cluster, "x/a");
    let deadline_us = 3_000_000;
    let open = |port| Ask::OpenFlow {
        flow: u64::from(port),
        call: call(to, port, Protocol::Tcp),
        deadline_us,
    };
    for (port, expected) in [(80, Outcome::Allowed), (81, Outcome::Refused)] {
        let Said::Answers(answers) = session.ask(open(port)) else {
            panic!("no answer");
        };
        assert_eq!(answers[0].outcome, expected);
    }
    let exchange = Ask::Exchange {
        flow: 80,
        deadline_us,
    };
    for _ in 0..3 {
        let exchanged = session.ask(exchange.clone());
        assert_eq!(exchanged, Said::Exchanged(Outcome::Allowed));
    }
    server.0.kill().unwrap();
    server.code();
    let cut = session.ask(exchange);
    assert_eq!(cut, Said::Exchanged(Outcome::Refused));
    assert_eq!(session.ask(Ask::CloseFlow { flow: 80 }), Said::Done);
}

fn nonsense() {
    let cluster = bare();
    let mut session = Session::start(&cluster, "x/a");
    session.say("");
    session.say("{\"id\": 1}");
    let reply = session.hear();
    assert_eq!(reply.id, 0);
    let Said::Failed(why) = reply.said else {
        panic!("{reply:?}");
    };
    assert!(
        why.starts_with("understand {\"id\": 1}: missing field"),
        "{why}"
    );
}

fn ends() {
    let cluster = bare();
    let netns = cluster.netns(&pod("x/b")).unwrap();
    let mut told = Server::start(&cluster, "x/b", &["--listen", "80/tcp"]);
    let end = run(netns, &["end", "--as", "x/b", "--code", "3"]);
    assert!(end.status.success(), "{end:?}");
    assert_eq!(told.code(), Some(3));
    assert!(!run(netns, &["ready", "--as", "x/b"]).status.success());
    // Everything is free again.
    let mut terminated = Server::start(&cluster, "x/b", &["--listen", "80/tcp"]);
    terminate(&terminated);
    assert_eq!(terminated.code(), Some(0));
}

fn terminate(server: &Server) {
    let pid = i32::try_from(server.0.id()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
}

fn stays() {
    let cluster = bare();
    let netns = cluster.netns(&pod("x/b")).unwrap();
    let mut server = Server::start(&cluster, "x/b", &["--stay"]);
    terminate(&server);
    assert!(run(netns, &["ready", "--as", "x/b"]).status.success());
    assert!(run(netns, &["end", "--as", "x/b"]).status.success());
    assert_eq!(server.code(), Some(0));
}

fn twice() {
    let cluster = bare();
    let netns = cluster.netns(&pod("x/b")).unwrap();
    let _server = Server::start(&cluster, "x/b", &["--listen", "80/tcp"]);
    for listen in ["80/tcp", "81/tcp"] {
        let second = run(netns, &["serve", "--as", "x/b", "--listen", listen]);
        assert_eq!(second.status.code(), Some(1));
        let complaint = String::from_utf8(second.stderr).unwrap();
        assert!(
            complaint.contains("make x/b listen on 80/tcp: Address already in use")
                || complaint.contains("does another server have this name?"),
            "{complaint}"
        );
    }
}

/// As a pod with every capability dropped, on a node that opens low ports and ping sockets to all.
pub(crate) fn unprivileged() -> Completion {
    const NOBODY: u32 = 65_534;
    if fs::read_to_string("/proc/self/uid_map")
        .unwrap()
        .contains(" 1\n")
    {
        return Completion::ignored_with("nobody but root exists in this sandbox: run it as root");
    }
    let cluster = bare();
    for name in ["x/a", "x/b"] {
        let set = || {
            let set =
                |name: &str, value: &str| fs::write(format!("/proc/sys/net/ipv4/{name}"), value);
            set("ip_unprivileged_port_start", "0")?;
            set("ping_group_range", "0 2147483647")
        };
        let netns = cluster.netns(&pod(name)).unwrap();
        netns.run(set).unwrap().unwrap();
    }
    let listen = ["--listen", "80/tcp,53/udp"];
    let _server = Server::start_as(&cluster, "x/b", &listen, Some(NOBODY));
    let mut session = Session::start_as(&cluster, "x/a", Some(NOBODY));
    let able = session.able();
    assert_eq!(able.no_icmp, None);
    assert!(able.no_sctp.unwrap().contains("not permitted"));
    let all = [
        (80, Protocol::Tcp),
        (53, Protocol::Udp),
        (0, Protocol::Icmp),
        (0, Protocol::Icmp),
    ];
    for to in cluster.pod_addresses("x/b") {
        let calls = all.map(|(port, protocol)| call(to, port, protocol));
        for answer in session.probe(calls.into(), PATIENCE) {
            assert_eq!(answer.outcome, Outcome::Allowed, "{answer:?}");
        }
    }
    Completion::Completed
}
