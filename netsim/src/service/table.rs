//! The messages that make a table, in the order the kernel wants them.

use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, DataAttribute, Hook, InetHookNumber, ListAttribute,
    NfTablesMessage, RuleAttribute, RuleMessage, SetAttribute, SetElementAttribute, SetElementList,
    SetElementMessage, SetFlags, SetMessage, TableAttribute, TableMessage,
};

use super::expression::{Expression, Family};

/// `NFT_DATA_VERDICT`: the values of a map are verdicts.
const VERDICTS: u32 = 0xffff_ff00;

/// Elements of one message: an attribute is at most 64 KiB long.
const ELEMENTS: usize = 200;

/// A table that replaces the one of the same name.
#[derive(Debug)]
pub(super) struct Table {
    name: &'static str,
    chains: Vec<NfTablesMessage>,
    sets: Vec<NfTablesMessage>,
    elements: Vec<NfTablesMessage>,
    rules: Vec<NfTablesMessage>,
}

/// Where packets enter a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// `filter` or `nat`.
    pub(super) kind: &'static str,
    pub(super) hook: InetHookNumber,
    pub(super) priority: i32,
}

/// What the keys of a set are made of. The kernel sees bytes; the type is for people who list it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Address(Family),
    TwoAddresses(Family),
    /// Address, protocol and port.
    Destination(Family),
}

impl Key {
    /// nft's number of a type, and the length in bytes; six bits a part, each part in whole words.
    fn datatype(self) -> (u32, u32) {
        const PROTOCOL: u32 = 12;
        const PORT: u32 = 13;
        let address = |family| match family {
            Family::V4 => 7,
            Family::V6 => 8,
        };
        match self {
            Self::Address(family) => (address(family), family.width()),
            Self::TwoAddresses(family) => {
                (address(family) << 6 | address(family), family.width() * 2)
            }
            Self::Destination(family) => (
                (address(family) << 6 | PROTOCOL) << 6 | PORT,
                family.width() + 8,
            ),
        }
    }
}

impl Table {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            chains: Vec::new(),
            sets: Vec::new(),
            elements: Vec::new(),
            rules: Vec::new(),
        }
    }

    /// Everything, to be applied in one transaction.
    pub(super) fn into_messages(self) -> Vec<NfTablesMessage> {
        let table = || TableMessage {
            attributes: vec![TableAttribute::Name(self.name.to_owned())],
        };
        // The first makes sure that there is one to delete.
        let replace = [
            NfTablesMessage::NewTable(table()),
            NfTablesMessage::DeleteTable(table()),
            NfTablesMessage::NewTable(table()),
        ];
        let parts = [self.chains, self.sets, self.elements, self.rules];
        replace
            .into_iter()
            .chain(parts.into_iter().flatten())
            .collect()
    }

    /// A chain; without an entry, one that others lead to.
    pub(super) fn chain(&mut self, name: &str, entry: Option<Entry>) {
        let mut attributes = vec![
            ChainAttribute::Table(self.name.to_owned()),
            ChainAttribute::Name(name.to_owned()),
        ];
        if let Some(entry) = entry {
            attributes.push(ChainAttribute::Type(entry.kind.to_owned()));
            attributes.push(ChainAttribute::Hook(vec![
                Hook::Number(entry.hook.into()),
                Hook::Priority(entry.priority.cast_unsigned()),
            ]));
        }
        self.chains
            .push(NfTablesMessage::NewChain(ChainMessage { attributes }));
    }

    /// A rule at the end of a chain.
    pub(super) fn rule(&mut self, chain: &str, expressions: impl IntoIterator<Item = Expression>) {
        let attributes = vec![
            RuleAttribute::Table(self.name.to_owned()),
            RuleAttribute::Chain(chain.to_owned()),
            RuleAttribute::Expressions(expressions.into_iter().collect()),
        ];
        self.rules
            .push(NfTablesMessage::NewRule(RuleMessage { attributes }));
    }

    /// A set with all its elements.
    pub(super) fn set(
        &mut self,
        name: &str,
        key: Key,
        elements: impl IntoIterator<Item = Vec<u8>>,
    ) {
        let elements = elements.into_iter().map(|key| (key, None));
        self.declare(name, key, SetFlags::empty(), elements);
    }

    /// A verdict map with all its elements.
    pub(super) fn verdict_map(
        &mut self,
        name: &str,
        key: Key,
        elements: impl IntoIterator<Item = (Vec<u8>, DataAttribute)>,
    ) {
        let elements = elements.into_iter().map(|(key, value)| (key, Some(value)));
        self.declare(name, key, SetFlags::Map, elements);
    }

    fn declare(
        &mut self,
        name: &str,
        key: Key,
        flags: SetFlags,
        elements: impl IntoIterator<Item = (Vec<u8>, Option<DataAttribute>)>,
    ) {
        let (datatype, length) = key.datatype();
        let number = u32::try_from(self.sets.len() + 1).expect("there are few sets");
        let mut attributes = vec![
            SetAttribute::Table(self.name.to_owned()),
            SetAttribute::Name(name.to_owned()),
            SetAttribute::KeyType(datatype),
            SetAttribute::KeyLen(length),
            SetAttribute::Id(number),
            SetAttribute::Flags(flags),
        ];
        if flags.contains(SetFlags::Map) {
            attributes.push(SetAttribute::DataType(VERDICTS));
        }
        self.sets
            .push(NfTablesMessage::NewSet(SetMessage { attributes }));

        let mut elements = elements.into_iter().peekable();
        while elements.peek().is_some() {
            let share = elements.by_ref().take(ELEMENTS).map(|(key, value)| {
                let key = SetElementAttribute::Key(DataAttribute::Value(key));
                let value = value.map(SetElementAttribute::Data);
                ListAttribute::Element([key].into_iter().chain(value).collect())
            });
            let attributes = vec![
                SetElementList::Table(self.name.to_owned()),
                SetElementList::Set(name.to_owned()),
                SetElementList::Elements(share.collect()),
            ];
            self.elements
                .push(NfTablesMessage::NewSetElement(SetElementMessage {
                    attributes,
                }));
        }
    }
}
