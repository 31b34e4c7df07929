//! Members of sets and maps as netlink attributes.

use std::net::IpAddr;

use netlink_packet_core::{DefaultNla, Nla};
use netlink_packet_netfilter::nftables::{
    DataAttribute, ListAttribute, SetElementAttribute, SetElementFlags, SetElementList,
    SetElementMessage,
};

use super::rule::verdict;
use crate::{
    nft::{
        TABLE,
        transaction::{Element, Key, Map},
    },
    plan::interval::{address, number},
};

/// `NFTA_DATA_VALUE`.
const DATA_VALUE: u16 = 1;
/// An attribute's length has 16 bits, and a list of elements is one attribute.
const LIST_MAX: usize = u16::MAX as usize - 4;

/// The elements in as many messages as they need.
pub(super) fn lists(map: &Map, elements: &[Element]) -> impl Iterator<Item = SetElementMessage> {
    let mut lists = vec![Vec::new()];
    let mut length = 0;
    let mut add = |attributes| {
        let element = ListAttribute::Element(attributes);
        let needed = (element.value_len() + 4).next_multiple_of(4);
        if length + needed > LIST_MAX {
            lists.push(Vec::new());
            length = 0;
        }
        length += needed;
        lists
            .last_mut()
            .expect("it starts with one list")
            .push(element);
    };
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
        add(end_of_range(address(0, first.is_ipv6())));
    }
    for element in elements {
        add(member(map, element));
        if let Key::AddressRange(_, last) = element.key
            && let Some(after) = successor(last)
        {
            add(end_of_range(after));
        }
    }
    let name = map.name.to_string();
    lists.into_iter().map(move |list| SetElementMessage {
        attributes: vec![
            SetElementList::Table(TABLE.into()),
            SetElementList::Set(name.clone()),
            SetElementList::Elements(list),
        ],
    })
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
    }
    if let Some(target) = &element.target {
        attributes.push(SetElementAttribute::Data(verdict(target)));
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

fn key(bytes: Vec<u8>) -> SetElementAttribute {
    SetElementAttribute::Key(DataAttribute::Value(bytes))
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().into(),
        IpAddr::V6(address) => address.octets().into(),
    }
}
