//! What a member of an ensemble has beside a server that is alone: a node to be told who the others
//! are, and two ports.
//!
//! The election port is opened before anything else of the ensemble happens, so that a port that is
//! taken is an error of the start; the quorum port is opened by whoever is elected.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use menagerie_engine::wal::LogEnd;
use menagerie_replication::{self as replication, HistoryLimits, RESIGN_AT_COUNTER, Recovered};
use menagerie_wire::quorum::DATA_BYTES_MAX_DEFAULT;

use crate::config::{Config, Ensemble};
use crate::peer::address_book::Port;
use crate::peer::election_link::{self, ElectionConfig, ElectionInput, ElectionOutput};
use crate::peer::learner_link::{self, LearnerInput, LearnerLinkConfig, LearnerOutput};
use crate::runtime::mailbox::{Receiver, Sender, mailbox};
use crate::runtime::{net, spawn};
use crate::sequencer::ports::Ports;
use crate::serve::{ServeError, cannot_start, patiently};
use crate::store::ServerStore;

/// Callers of the election port that the kernel keeps until they are accepted.
const LISTEN_BACKLOG: i32 = 64;

/// What may wait for one learner before it is cut off: a burst of large transactions, and the
/// history that is sent to one that joins.
const WAITING_BYTES_MAX: usize = 128 << 20;

/// A member that is about to start.
pub(crate) struct Member {
    pub(crate) settings: replication::Settings,
    pub(crate) recovered: Recovered,
    election: ElectionConfig,
    quorum: LearnerLinkConfig,
}

/// The tasks of both ports, to be started on a core.
pub(crate) struct PortTasks {
    election: (ElectionConfig, Receiver<ElectionInput>, Sender<ElectionOutput>),
    quorum: (LearnerLinkConfig, Receiver<LearnerInput>, Sender<LearnerOutput>),
}

impl Member {
    /// Opens the election port of the member whose log ends at `end`.
    ///
    /// # Errors
    /// When the port is taken or its name does not resolve, and when the epochs cannot be saved.
    pub(crate) fn prepare(
        config: &Config,
        ensemble: &Ensemble,
        store: &ServerStore,
        end: &LogEnd,
    ) -> Result<Self, ServeError> {
        let addresses = ensemble.listen_addresses(Port::Election);
        let mut listening = Vec::new();
        for address in addresses.map_err(cannot_start("the election port"))? {
            listening.push(listen(address)?);
        }
        let history = HistoryLimits::default();
        let recovered = store.recovered(end, history)?;
        let (id, book, timeouts) = (ensemble.id, ensemble.address_book(), ensemble.timeouts());
        let (init_timeout, sync_timeout) =
            (Duration::from_millis(timeouts.init_ms()), Duration::from_millis(timeouts.sync_ms()));
        let quorum_port = ensemble.listen_addresses(Port::Quorum);
        let packet_bytes_max = DATA_BYTES_MAX_DEFAULT.max(2 * config.client.frame_bytes_max);
        Ok(Self {
            settings: replication::Settings {
                id,
                membership: ensemble.membership().versioned(config.access.reconfig),
                timeouts,
                history,
                resign_at_counter: RESIGN_AT_COUNTER,
            },
            recovered,
            election: ElectionConfig {
                id,
                book: book.clone(),
                listening,
                address: ensemble.election_address(),
                connect_timeout: ensemble.election_connect_timeout,
                handshake_timeout: ensemble.election_handshake_timeout,
            },
            quorum: LearnerLinkConfig {
                id,
                book,
                listen: quorum_port.map_err(cannot_start("the quorum port"))?,
                init_timeout,
                dial_timeout: ensemble.leader_connect_timeout(),
                connect_timeout: sync_timeout,
                stuck_timeout: sync_timeout,
                waiting_bytes_max: WAITING_BYTES_MAX.max(2 * packet_bytes_max),
                packet_bytes_max,
            },
        })
    }

    /// Takes the node's part out and joins the ports to the sequencer's ends of them.
    pub(crate) fn split(self) -> (replication::Settings, Recovered, Ports, PortTasks) {
        let (election, election_inbox) = mailbox();
        let (vote_door, votes) = mailbox();
        let (quorum, quorum_inbox) = mailbox();
        let (packet_door, packets) = mailbox();
        let taken = BTreeMap::new();
        let ports = Ports { election, votes, quorum, packets, vote: None, taken };
        let tasks = PortTasks {
            election: (self.election, election_inbox, vote_door),
            quorum: (self.quorum, quorum_inbox, packet_door),
        };
        (self.settings, self.recovered, ports, tasks)
    }
}

impl PortTasks {
    /// Runs both ports on this core until the sequencer ends them.
    pub(crate) fn start(self) {
        let (config, inbox, outbox) = self.election;
        spawn(election_link::run(config, inbox, outbox));
        let (config, inbox, outbox) = self.quorum;
        spawn(learner_link::run(config, inbox, outbox));
    }
}

fn listen(address: SocketAddr) -> Result<std::os::fd::OwnedFd, ServeError> {
    let bound = patiently(|| net::bind(address, LISTEN_BACKLOG));
    bound.map(|(fd, _)| fd).map_err(|error: io::Error| ServeError::Election { address, error })
}
