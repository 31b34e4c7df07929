//! The messages that make a table, in the order the kernel wants them.
//!
//! A table takes the place of the one before it, except for sets that remember something.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

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
    entrances: Vec<NfTablesMessage>,
    chains: BTreeMap<String, NfTablesMessage>,
    sets: BTreeMap<String, NfTablesMessage>,
    memories: BTreeMap<String, NfTablesMessage>,
    elements: Vec<NfTablesMessage>,
    rules: Vec<NfTablesMessage>,
}

/// What a table consists of that is in the kernel, besides the chains that packets enter by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    chains: BTreeSet<String>,
    sets: BTreeSet<String>,
    memories: BTreeSet<String>,
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
            entrances: Vec::new(),
            chains: BTreeMap::new(),
            sets: BTreeMap::new(),
            memories: BTreeMap::new(),
            elements: Vec::new(),
            rules: Vec::new(),
        }
    }

    /// What it consists of.
    pub(super) fn names(&self) -> Names {
        let names = |parts: &BTreeMap<String, _>| parts.keys().cloned().collect();
        Names {
            chains: names(&self.chains),
            sets: names(&self.sets),
            memories: names(&self.memories),
        }
    }

    /// Everything, to be applied in one transaction, instead of what is there; `None`: whatever that
    /// may be.
    pub(super) fn into_messages(mut self, there: Option<&Names>) -> Vec<NfTablesMessage> {
        let mut messages = vec![NfTablesMessage::NewTable(table(self.name))];
        match there {
            // There is one to delete now.
            None => messages.extend([
                NfTablesMessage::DeleteTable(table(self.name)),
                NfTablesMessage::NewTable(table(self.name)),
            ]),
            Some(there) => {
                self.entrances.clear();
                messages.extend(self.take_away(there));
                self.memories
                    .retain(|name, _| !there.memories.contains(name));
            }
        }
        messages.extend(self.entrances);
        messages.extend(self.chains.into_values());
        messages.extend(self.sets.into_values());
        messages.extend(self.memories.into_values());
        messages.extend(self.elements);
        messages.extend(self.rules);
        messages
    }

    /// Rules first, then what they use; elements of maps use chains.
    fn take_away(&self, there: &Names) -> Vec<NfTablesMessage> {
        let all_rules = RuleMessage {
            attributes: vec![RuleAttribute::Table(self.name.to_owned())],
        };
        let forgotten = there.memories.iter();
        let forgotten = forgotten.filter(|name| !self.memories.contains_key(*name));
        let sets = there.sets.iter().chain(forgotten).map(|name| {
            let attributes = vec![
                SetAttribute::Table(self.name.to_owned()),
                SetAttribute::Name(name.clone()),
            ];
            NfTablesMessage::DeleteSet(SetMessage { attributes })
        });
        let chains = there.chains.iter().map(|name| {
            let attributes = self.chain_named(name);
            NfTablesMessage::DeleteChain(ChainMessage { attributes })
        });
        let rules = [NfTablesMessage::DeleteRule(all_rules)];
        rules.into_iter().chain(sets).chain(chains).collect()
    }

    fn chain_named(&self, name: &str) -> Vec<ChainAttribute> {
        vec![
            ChainAttribute::Table(self.name.to_owned()),
            ChainAttribute::Name(name.to_owned()),
        ]
    }

    /// A chain that packets enter by. It stays for ever.
    pub(super) fn entrance(&mut self, name: &str, entry: Entry) {
        let mut attributes = self.chain_named(name);
        attributes.push(ChainAttribute::Type(entry.kind.to_owned()));
        attributes.push(ChainAttribute::Hook(vec![
            Hook::Number(entry.hook.into()),
            Hook::Priority(entry.priority.cast_unsigned()),
        ]));
        self.entrances
            .push(NfTablesMessage::NewChain(ChainMessage { attributes }));
    }

    /// A chain that others lead to.
    pub(super) fn chain(&mut self, name: &str) {
        let attributes = self.chain_named(name);
        let chain = NfTablesMessage::NewChain(ChainMessage { attributes });
        self.chains.insert(name.to_owned(), chain);
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
        let set = self.declare(name, key, SetFlags::empty());
        self.sets
            .insert(name.to_owned(), NfTablesMessage::NewSet(set));
        self.fill(name, elements.into_iter().map(|key| (key, None)));
    }

    /// A verdict map with all its elements.
    pub(super) fn verdict_map(
        &mut self,
        name: &str,
        key: Key,
        elements: impl IntoIterator<Item = (Vec<u8>, DataAttribute)>,
    ) {
        let mut set = self.declare(name, key, SetFlags::Map);
        set.attributes.push(SetAttribute::DataType(VERDICTS));
        self.sets
            .insert(name.to_owned(), NfTablesMessage::NewSet(set));
        let elements = elements.into_iter();
        self.fill(name, elements.map(|(key, value)| (key, Some(value))));
    }

    /// A set to which rules add, and which forgets what was not added again for so long. It stays as
    /// it is from table to table.
    pub(super) fn memory(&mut self, name: &str, key: Key, timeout: Duration) {
        let mut set = self.declare(name, key, SetFlags::Eval | SetFlags::Timeout);
        let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        set.attributes.push(SetAttribute::Timeout(millis));
        self.memories
            .insert(name.to_owned(), NfTablesMessage::NewSet(set));
    }

    fn declare(&self, name: &str, key: Key, flags: SetFlags) -> SetMessage {
        let (datatype, length) = key.datatype();
        let number = self.sets.len() + self.memories.len() + 1;
        let attributes = vec![
            SetAttribute::Table(self.name.to_owned()),
            SetAttribute::Name(name.to_owned()),
            SetAttribute::KeyType(datatype),
            SetAttribute::KeyLen(length),
            SetAttribute::Id(u32::try_from(number).expect("there are few sets")),
            SetAttribute::Flags(flags),
        ];
        SetMessage { attributes }
    }

    fn fill(
        &mut self,
        name: &str,
        elements: impl IntoIterator<Item = (Vec<u8>, Option<DataAttribute>)>,
    ) {
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

fn table(name: &str) -> TableMessage {
    TableMessage {
        attributes: vec![TableAttribute::Name(name.to_owned())],
    }
}
