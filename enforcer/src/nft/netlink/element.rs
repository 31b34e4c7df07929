//! Members of sets and maps as netlink attributes.

use std::{mem, net::IpAddr};

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED};
use netlink_packet_netfilter::nftables::{
    DataAttribute, ListAttribute, SetElementAttribute, SetElementFlags, SetElementList,
    SetElementMessage,
};

use super::{object::ANONYMOUS, rule::verdict};
use crate::{
    nft::{
        TABLE,
        transaction::{Element, Key, Map, Value},
    },
    plan::{
        ConnectionId, Id,
        interval::{address, number},
    },
};

/// `NFTA_SET_ELEM_LIST_ELEMENTS`.
const LIST_ELEMENTS: u16 = 3;
/// `NFTA_DATA_VALUE`.
const DATA_VALUE: u16 = 1;
/// An attribute's length has 16 bits, and a list of elements is one attribute.
const LIST_MAX: usize = u16::MAX as usize - 4;

/// The elements in as many messages as they need.
pub(super) fn lists(map: &Map, elements: &[Element]) -> impl Iterator<Item = SetElementMessage> {
    let mut lists = Lists::default();
    if let [
        Element {
            key: Key::AddressRange(first, _),
            ..
        },
        ..,
    ] = elements
        && number(*first) > 0
    {
        // As nft has it: the tree of ranges begins with the end of a range that is not there.
        lists.add(end_of_range(address(0, first.is_ipv6())));
    }
    for element in elements {
        lists.add(member(map, element));
        if let Key::AddressRange(_, last) = element.key
            && let Some(after) = successor(last)
        {
            lists.add(end_of_range(after));
        }
    }
    lists.into_messages(vec![SetElementList::Set(map.name.to_string())])
}

/// The elements of a rule's own set in as many messages as they need.
pub(super) fn connection_lists(
    set_id: u32,
    connections: &[ConnectionId],
) -> impl Iterator<Item = SetElementMessage> {
    let mut lists = Lists::default();
    for connection in connections {
        lists.add(vec![key(connection.number().to_be_bytes().into())]);
    }
    lists.into_messages(vec![
        SetElementList::Set(ANONYMOUS.into()),
        SetElementList::SetId(set_id),
    ])
}

/// Elements in lists that are not too long, as the bytes that they will be: a large cluster has
/// many, and as attributes of attributes each would be measured again by every level around it.
#[derive(Default)]
struct Lists {
    full: Vec<Vec<u8>>,
    last: Vec<u8>,
}

impl Lists {
    fn add(&mut self, attributes: Vec<SetElementAttribute>) {
        let element = ListAttribute::Element(attributes);
        let needed = element.buffer_len();
        if self.last.len() + needed > LIST_MAX {
            self.full.push(mem::take(&mut self.last));
        }
        let start = self.last.len();
        self.last.resize(start + needed, 0);
        element.emit(&mut self.last[start..]);
    }

    fn into_messages(self, set: Vec<SetElementList>) -> impl Iterator<Item = SetElementMessage> {
        let lists = self.full.into_iter().chain([self.last]);
        lists.map(move |list| {
            let mut attributes = vec![SetElementList::Table(TABLE.into())];
            attributes.extend(set.iter().cloned());
            let list = DefaultNla::new(LIST_ELEMENTS | NLA_F_NESTED, list);
            attributes.push(SetElementList::Other(list));
            SetElementMessage { attributes }
        })
    }
}

fn member(map: &Map, element: &Element) -> Vec<SetElementAttribute> {
    let mut attributes = Vec::with_capacity(4);
    match element.key {
        Key::Address(address) | Key::AddressRange(address, _) => {
            attributes.push(key(octets(address)));
        }
        Key::AddressPair(source, destination) => {
            attributes.push(key([octets(source), octets(destination)].concat()));
        }
        Key::Ports(protocol, range) => {
            // Each field of a concatenation fills a register.
            let port = |port: u16| {
                let [high, low] = port.to_be_bytes();
                vec![protocol.number(), 0, 0, 0, high, low, 0, 0]
            };
            attributes.push(key(port(range.first())));
            // Also a single port: nft takes an element without an end for half of a range.
            if map.has_intervals {
                let last = DefaultNla::new(DATA_VALUE, port(range.last()));
                attributes.push(SetElementAttribute::KeyEnd(vec![last]));
            }
        }
        Key::Icmpv6Type(number) => attributes.push(key(vec![number])),
        Key::Number(number) => attributes.push(key(priority(number))),
    }
    match &element.value {
        None => {}
        Some(Value::Verdict(target)) => {
            attributes.push(SetElementAttribute::Data(verdict(target)));
        }
        Some(Value::Number(number)) => {
            let value = DataAttribute::Value(priority(*number));
            attributes.push(SetElementAttribute::Data(value));
        }
    }
    if let Some(comment) = &element.comment {
        attributes.push(SetElementAttribute::UserData(super::rule::comment(
            0, comment,
        )));
    } else if let Key::AddressRange(_, last) = element.key
        && successor(last).is_none()
    {
        // nft marks the range that reaches the end of the line and so has no end of its own.
        attributes.push(SetElementAttribute::UserData(vec![1, 4, 1, 0, 0, 0]));
    }
    attributes
}

fn end_of_range(after: IpAddr) -> Vec<SetElementAttribute> {
    vec![
        key(octets(after)),
        SetElementAttribute::Flags(SetElementFlags::IntervalEnd),
    ]
}

fn successor(last: IpAddr) -> Option<IpAddr> {
    match last {
        IpAddr::V4(last) => last
            .to_bits()
            .checked_add(1)
            .map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(last) => last
            .to_bits()
            .checked_add(1)
            .map(|bits| IpAddr::V6(bits.into())),
    }
}

/// A number as it lies in a packet's priority: in the host's byte order.
fn priority(number: Id) -> Vec<u8> {
    number.number().to_ne_bytes().into()
}

fn key(bytes: Vec<u8>) -> SetElementAttribute {
    SetElementAttribute::Key(DataAttribute::Value(bytes))
}

pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().into(),
        IpAddr::V6(address) => address.octets().into(),
    }
}
