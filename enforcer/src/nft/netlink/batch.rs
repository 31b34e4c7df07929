//! Operations as one sequence of netlink messages.

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
    nftables::NfTablesMessage, none::ControlMessage,
};

use super::{element, object, rule};
use crate::nft::transaction::{Operation, Rule, Statement, Transaction};

/// `NFNL_SUBSYS_NFTABLES`: whose transaction the batch is.
const SUBSYSTEM: u16 = 10;

/// A whole transaction as the kernel reads it.
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// The operation behind each message, by sequence number; none for the first and the last.
    operations: Vec<Option<usize>>,
}

impl Batch {
    pub(super) fn new(transaction: &Transaction) -> Self {
        let mut batch = Self {
            bytes: Vec::new(),
            operations: Vec::new(),
        };
        batch.control(ControlMessage::BatchBegin);
        let mut set_id = 0;
        let last = transaction.len().saturating_sub(1);
        for (index, operation) in transaction.operations().iter().enumerate() {
            let (flags, messages) = encode(operation, &mut set_id);
            let count = messages.len();
            for (part, message) in messages.into_iter().enumerate() {
                // Refusals come unasked; asking after the last tells that the kernel is through.
                let is_last = index == last && part + 1 == count;
                let acknowledge = if is_last { NLM_F_ACK } else { 0 };
                let header = NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0);
                batch.push(flags | acknowledge, Some(index), header, message);
            }
        }
        batch.control(ControlMessage::BatchEnd);
        batch
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The operation that a sequence number stands for.
    pub(super) fn operation(&self, sequence: u32) -> Option<usize> {
        let index = usize::try_from(sequence).ok()?;
        self.operations.get(index).copied().flatten()
    }

    /// The sequence number of the message that is always answered.
    pub(super) fn acknowledged(&self) -> usize {
        self.operations.len() - 2
    }

    fn control(&mut self, message: ControlMessage) {
        let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, SUBSYSTEM);
        self.push(0, None, header, message);
    }

    fn push(
        &mut self,
        flags: u16,
        operation: Option<usize>,
        header: NetfilterHeader,
        message: impl Into<NetfilterMessageInner>,
    ) {
        let mut netlink = NetlinkHeader::default();
        netlink.flags = NLM_F_REQUEST | flags;
        netlink.sequence_number = u32::try_from(self.operations.len())
            .expect("a batch of four thousand million messages has no room in memory");
        let payload = NetfilterMessage::new(header, message).into();
        let mut message = NetlinkMessage::new(netlink, payload);
        message.finalize();
        let start = self.bytes.len();
        self.bytes.resize(start + message.buffer_len(), 0);
        message.serialize(&mut self.bytes[start..]);
        self.operations.push(operation);
    }
}

/// The set that a rule has for itself, and its elements; nothing if it has none.
fn members_of_own_set(rule: &Rule, set_id: u32) -> Vec<NfTablesMessage> {
    match &rule.statement {
        Statement::GoIfOneOf { connections, .. } if connections.len() > 1 => {
            let set = NfTablesMessage::NewSet(object::add_connection_set(set_id));
            let elements = element::connection_lists(set_id, connections);
            let elements = elements.map(NfTablesMessage::NewSetElement);
            std::iter::once(set).chain(elements).collect()
        }
        _ => Vec::new(),
    }
}

fn encode(operation: &Operation, set_id: &mut u32) -> (u16, Vec<NfTablesMessage>) {
    match operation {
        Operation::AddTable => (NLM_F_CREATE, vec![object::add_table()]),
        Operation::DeleteTable => (0, vec![object::delete_table()]),
        Operation::AddMap(map) => {
            *set_id += 1;
            (NLM_F_CREATE, vec![object::add_map(map, *set_id)])
        }
        Operation::DeleteMap(map) => (0, vec![object::delete_map(map)]),
        Operation::AddChain(chain) => (NLM_F_CREATE, vec![object::add_chain(chain)]),
        Operation::DeleteChain(chain) => (0, vec![object::delete_chain(chain)]),
        Operation::FlushChain(chain) => (0, vec![rule::flush(chain)]),
        Operation::AddRule { chain, rule: new } => {
            *set_id += 1;
            let mut messages = members_of_own_set(new, *set_id);
            messages.push(rule::add(chain, new, *set_id));
            (NLM_F_CREATE | NLM_F_APPEND, messages)
        }
        Operation::AddElements { map, elements } => {
            let messages = element::lists(map, elements)
                .map(NfTablesMessage::NewSetElement)
                .collect();
            (NLM_F_CREATE, messages)
        }
        Operation::DeleteElements { map, elements } => {
            let messages = element::lists(map, elements)
                .map(NfTablesMessage::DeleteSetElement)
                .collect();
            (0, messages)
        }
    }
}
