//! Follows the cluster and keeps the node's rules, until it is told to end. The rules stay.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use enforcer::{
    agent::{Agent, Kernel, Unsettled},
    conntrack::Conntrack,
    kubernetes::{Follower, connect},
    nft::{self, Netlink, NetlinkWatch, NftBinary},
    options::Options,
};
use nix::errno::Errno;
use tokio::{
    net::TcpListener,
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use tracing::{info, warn};

use crate::{
    Exit, Failure, Outcome,
    arguments::{Dataplane, Run},
    events::Teller,
    feed::Feed,
    log::{self, Level},
    metrics::{Exposed, Metered, Metrics, Subjects},
    neighbours,
    place::Netns,
    readiness::Readiness,
    serve::{Served, serve},
};

/// How often bridges and the agent's thread are looked at, and as long as it is not ready.
const ROUND: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_millis(200);

/// Until SIGTERM or SIGINT.
pub(crate) fn run(arguments: Run) -> Outcome {
    let level = log::start(
        &arguments.log_level,
        arguments.log_format,
        &arguments.node_name,
    )
    .map_err(|error| Failure::bad_input(anyhow!(error).context("read --log-level")))?;
    let netns = Netns::new(arguments.place.netns.as_deref());
    meet_neighbours(&netns, arguments.allow_other_enforcers)?;

    let metrics = Metrics::new();
    let agent = Arc::new(start_agent(&arguments, &netns, &metrics)?);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(keep(arguments, agent, netns, metrics, level))
}

/// Refuses to start beside another enforcer, unless told to.
fn meet_neighbours(netns: &Netns, is_allowed: bool) -> Result<(), Failure> {
    let found = netns
        .run(neighbours::enforcers)?
        .context("list the names of nftables tables")?;
    for found in &found {
        let name = found.to_string();
        let fix = found.enforcer.fix;
        if is_allowed {
            warn!(
                enforcer = name,
                "another enforcer of network policies is here: what either denies is denied"
            );
        } else {
            return Err(anyhow!(
                "start beside another enforcer of network policies: {name} is here, and what either \
                 denies would be denied; {fix}; or run with --allow-other-enforcers"
            )
            .into());
        }
    }
    Ok(())
}

fn start_agent(arguments: &Run, netns: &Netns, metrics: &Arc<Metrics>) -> Result<Agent, Failure> {
    let options = Options::from(arguments.choices);
    // The agent's thread is started inside: the nft command works where its parent is.
    let started = netns.run(|| -> anyhow::Result<Agent> {
        let mut dataplane: Box<dyn nft::Dataplane> = match arguments.dataplane {
            Dataplane::Netlink => Box::new(Netlink::open().context("open a netlink socket")?),
            Dataplane::Nft => Box::new(NftBinary::find()?),
        };
        // An empty transaction says nothing to the kernel; this asks whether it may be spoken to.
        dataplane.apply(&std::iter::empty().collect())?;
        let kernel = Kernel {
            dataplane: Box::new(Metered {
                dataplane,
                metrics: Arc::clone(metrics),
            }),
            connections: Box::new(Conntrack::open().context("open a conntrack socket")?),
            watch: Box::new(NetlinkWatch::open().context("watch the nftables of this namespace")?),
        };
        let metrics = Arc::clone(metrics);
        Agent::start_timed(&arguments.node_name, options, kernel, move |attempt| {
            metrics.attempted(attempt);
        })
        .context("start the agent's thread")
    })?;
    Ok(started?)
}

async fn keep(
    arguments: Run,
    agent: Arc<Agent>,
    netns: Netns,
    metrics: Arc<Metrics>,
    level: Level,
) -> Outcome {
    let mut terminate = signal(SignalKind::terminate()).context("wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("wait for signals")?;
    let client = connect(&arguments.server.source())
        .await
        .map_err(Failure::bad_input)?;
    let listener = listen(arguments.bind)
        .await
        .with_context(|| format!("listen on {} (--bind)", arguments.bind))?;
    let bound = listener.local_addr().context("listen")?;
    let options = Options::from(arguments.choices);
    info!(
        node = arguments.node_name,
        version = env!("CARGO_PKG_VERSION"),
        bind = %bound,
        established = %options.established,
        unprogrammed = %options.unprogrammed,
        deny = %options.deny,
        "starting; the rules of an earlier agent stay until everything is known"
    );

    let node = &arguments.node_name;
    let feed =
        Feed::new(Arc::clone(&agent), node, Arc::clone(&metrics)).context("start a thread")?;
    let follower = Follower::start(&client, node, &Arc::new(feed));
    let health = Arc::clone(follower.health());
    let complaints = follower.complaints().clone();
    if !arguments.no_events {
        let teller = Teller {
            client,
            node: node.as_str().into(),
            agent: Arc::clone(&agent),
        };
        let (health, complaints) = (Arc::clone(&health), complaints.clone());
        tokio::spawn(async move { teller.tell(&health, &complaints).await });
    }
    let readiness = Arc::new(Readiness::new(
        Arc::clone(&agent),
        Arc::clone(&health),
        netns.clone(),
    ));
    let subjects = Subjects {
        agent,
        health,
        complaints,
        readiness: Arc::clone(&readiness),
        netns,
    };
    let exposed = Exposed::new(&metrics, subjects.clone());
    tokio::spawn(serve(
        listener,
        Arc::new(Served {
            subjects,
            exposed,
            level,
        }),
    ));

    let ended = tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
        defect = watch_over(readiness) => Err(defect),
    };
    match ended {
        Ok(signal) => {
            info!(signal, "ending; the rules stay in force");
            Ok(Exit::Yes)
        }
        Err(defect) => Err(defect.into()),
    }
}

/// Everywhere is everywhere also on a node without IPv6.
async fn listen(bind: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(bind).await {
        Err(error)
            if error.raw_os_error() == Some(Errno::EAFNOSUPPORT as i32)
                && bind.ip() == Ipv6Addr::UNSPECIFIED =>
        {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, bind.port())).await
        }
        bound => bound,
    }
}

/// Looks now and then at what nobody tells. Ends if the agent's thread has.
async fn watch_over(readiness: Arc<Readiness>) -> Unsettled {
    let mut was_ready = false;
    loop {
        sleep(if was_ready { ROUND } else { SOON }).await;
        let looking = Arc::clone(&readiness);
        let looked = tokio::task::spawn_blocking(move || {
            if let Some(wrong) = looking.look_at_bridges() {
                warn!("{wrong}");
            }
            (looking.liveness(), looking.is_ready())
        });
        let Ok((alive, is_ready)) = looked.await else {
            continue;
        };
        if let Err(ended @ Unsettled::Ended) = alive {
            return ended;
        }
        if is_ready != was_ready {
            info!(ready = is_ready, "readiness");
            was_ready = is_ready;
        }
    }
}
