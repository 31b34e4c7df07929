//! Tables, chains, sets and maps as netlink messages.

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED};
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Hook, HookNumber, InetHookNumber, NfTablesMessage, SetAttribute,
    SetDescription, SetFlags, SetMessage, TableAttribute, TableFlags, TableMessage,
};

use crate::nft::{
    PRIORITY, TABLE,
    transaction::{self, Chain, Family, KeyType, Map, ValueType},
};

/// `NF_ACCEPT`.
const POLICY_ACCEPT: u32 = 1;
/// `NFT_DATA_VERDICT`: the values of a map are verdicts.
const VERDICT_TYPE: u32 = 0xffff_ff00;
/// What the kernel puts a number into. Inside the transaction the set is known by its id.
pub(super) const ANONYMOUS: &str = "__set%d";
/// `NFTA_LIST_ELEM` and `NFTA_SET_FIELD_LEN`.
const LIST_ELEMENT: u16 = 1;
const FIELD_LENGTH: u16 = 1;

pub(super) fn add_table() -> NfTablesMessage {
    NfTablesMessage::NewTable(TableMessage {
        attributes: vec![
            TableAttribute::Name(TABLE.into()),
            TableAttribute::Flags(TableFlags::empty()),
        ],
    })
}

pub(super) fn delete_table() -> NfTablesMessage {
    NfTablesMessage::DeleteTable(TableMessage {
        attributes: vec![TableAttribute::Name(TABLE.into())],
    })
}

pub(super) fn add_chain(chain: &Chain) -> NfTablesMessage {
    let mut attributes = chain_name(chain);
    match chain.hook {
        None => {}
        Some(transaction::Hook::Forward) => attributes.extend([
            ChainAttribute::Type("filter".into()),
            ChainAttribute::Policy(POLICY_ACCEPT),
            ChainAttribute::Hook(vec![
                Hook::Number(HookNumber::Inet(InetHookNumber::Forward)),
                Hook::Priority(PRIORITY.cast_unsigned()),
            ]),
        ]),
    }
    NfTablesMessage::NewChain(ChainMessage { attributes })
}

pub(super) fn delete_chain(chain: &Chain) -> NfTablesMessage {
    NfTablesMessage::DeleteChain(ChainMessage {
        attributes: chain_name(chain),
    })
}

fn chain_name(chain: &Chain) -> Vec<ChainAttribute> {
    vec![
        ChainAttribute::Table(TABLE.into()),
        ChainAttribute::Name(chain.name.to_string()),
    ]
}

/// `id` is only for the kernel's bookkeeping inside a transaction.
pub(super) fn add_map(map: &Map, id: u32) -> NfTablesMessage {
    let key = KeyLayout::of(map.key);
    let is_concatenation_of_ranges = map.has_intervals && key.fields.len() > 1;
    let mut flags = SetFlags::empty();
    flags.set(SetFlags::Map, map.values.is_some());
    flags.set(SetFlags::Interval, map.has_intervals);
    flags.set(SetFlags::Concat, is_concatenation_of_ranges);
    let mut attributes = map_name(map);
    attributes.extend([
        SetAttribute::Flags(flags),
        SetAttribute::KeyType(key.number()),
        SetAttribute::KeyLen(key.padded_length()),
        SetAttribute::Id(id),
        SetAttribute::UserData(key.user_data(map.values)),
    ]);
    if let Some(values) = map.values {
        let (data_type, length) = match values {
            ValueType::Verdict => (VERDICT_TYPE, 0),
            ValueType::Number => (NUMBER.data_type, NUMBER.length),
        };
        attributes.extend([
            SetAttribute::DataType(data_type),
            SetAttribute::DataLen(length),
        ]);
    }
    if is_concatenation_of_ranges {
        let fields = key.fields.iter().map(|field| {
            let length = DefaultNla::new(FIELD_LENGTH, field.length.to_be_bytes().into());
            DefaultNla::new(LIST_ELEMENT | NLA_F_NESTED, bytes(&length))
        });
        let concatenation = SetDescription::Concat(fields.collect());
        attributes.push(SetAttribute::Description(vec![concatenation]));
    }
    NfTablesMessage::NewSet(SetMessage { attributes })
}

/// The set of connections that a rule has for itself: it comes and goes with the rule, and nft
/// lists its elements inside.
pub(super) fn add_connection_set(id: u32) -> SetMessage {
    // What nft 1.0.6 stores for keys without a type of their own, in lists of kind, length, value:
    // the byte order (big-endian), and the expression that makes the key.
    const CT_EXPRESSION: u8 = 12;
    const NO_DIRECTION: u8 = 0xff;
    #[rustfmt::skip]
    const USER_DATA: [u8; 28] = [
        0, 4, 2, 0, 0, 0,
        3, 20,
            0, 4, CT_EXPRESSION, 0, 0, 0,
            1, 12,
                0, 4, super::rule::CT_ID, 0, 0, 0,
                1, 4, NO_DIRECTION, NO_DIRECTION, NO_DIRECTION, NO_DIRECTION,
    ];
    SetMessage {
        attributes: vec![
            SetAttribute::Table(TABLE.into()),
            SetAttribute::Name(ANONYMOUS.into()),
            SetAttribute::Flags(SetFlags::Anonymous | SetFlags::Constant),
            SetAttribute::KeyType(0),
            SetAttribute::KeyLen(4),
            SetAttribute::Id(id),
            SetAttribute::UserData(USER_DATA.into()),
        ],
    }
}

pub(super) fn delete_map(map: &Map) -> NfTablesMessage {
    NfTablesMessage::DeleteSet(SetMessage {
        attributes: map_name(map),
    })
}

fn map_name(map: &Map) -> Vec<SetAttribute> {
    vec![
        SetAttribute::Table(TABLE.into()),
        SetAttribute::Name(map.name.to_string()),
    ]
}

fn bytes(attribute: &DefaultNla) -> Vec<u8> {
    let mut bytes = vec![0; attribute.buffer_len()];
    attribute.emit(&mut bytes);
    bytes
}

/// One field of a key as the nft command knows it.
#[derive(Clone, Copy)]
struct Field {
    /// nft's number of the data type, which it lists the keys by.
    data_type: u32,
    /// Bytes without padding.
    length: u32,
}

/// A packet's priority, which nft calls a `classid`.
const NUMBER: Field = Field {
    data_type: 23,
    length: 4,
};

struct KeyLayout {
    fields: Vec<Field>,
}

impl KeyLayout {
    fn of(key: KeyType) -> Self {
        let address = |family| match family {
            Family::V4 => Field {
                data_type: 7,
                length: 4,
            },
            Family::V6 => Field {
                data_type: 8,
                length: 16,
            },
        };
        let protocol = Field {
            data_type: 12,
            length: 1,
        };
        let service = Field {
            data_type: 13,
            length: 2,
        };
        let icmpv6_type = Field {
            data_type: 29,
            length: 1,
        };
        Self {
            fields: match key {
                KeyType::Address(family) => vec![address(family)],
                KeyType::AddressPair(family) => vec![address(family); 2],
                KeyType::Port => vec![protocol, service],
                KeyType::Icmpv6Type => vec![icmpv6_type],
                KeyType::Number => vec![NUMBER],
            },
        }
    }

    /// nft's number of the whole: six bits per field.
    fn number(&self) -> u32 {
        self.fields
            .iter()
            .fold(0, |number, field| number << 6 | field.data_type)
    }

    /// Bytes in the kernel: fields of a concatenation fill whole registers.
    fn padded_length(&self) -> u32 {
        match self.fields.as_slice() {
            [field] => field.length,
            fields => fields.iter().map(|f| f.length.next_multiple_of(4)).sum(),
        }
    }

    /// What nft 1.0.6 stores to list a set by: byte orders. Without it ranges of addresses are
    /// listed backwards.
    fn user_data(&self, values: Option<ValueType>) -> Vec<u8> {
        const KEY_BYTE_ORDER: u8 = 0;
        const DATA_BYTE_ORDER: u8 = 1;
        const DATA_INTERVAL: u8 = 6;
        const NO_ORDER: u8 = 0;
        const HOST_ENDIAN: u8 = 1;
        const BIG_ENDIAN: u8 = 2;
        let number = |kind, value| [kind, 4, value, 0, 0, 0];
        let order = match self.fields.as_slice() {
            [field] if field.data_type == NUMBER.data_type => HOST_ENDIAN,
            [_] => BIG_ENDIAN,
            _ => NO_ORDER,
        };
        let mut data = number(KEY_BYTE_ORDER, order).to_vec();
        if let Some(values) = values {
            let order = match values {
                ValueType::Verdict => NO_ORDER,
                ValueType::Number => HOST_ENDIAN,
            };
            data.extend(number(DATA_BYTE_ORDER, order));
            data.extend(number(DATA_INTERVAL, 0));
        }
        data
    }
}
