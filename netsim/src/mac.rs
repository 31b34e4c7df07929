//! Hardware addresses, chosen so that both ends of a link know each other without asking.

use std::fmt;

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Mac([u8; 6]);

impl Mac {
    /// Of the end of link `serial` that a pod, node or external machine has. Locally administered.
    pub(crate) const fn inside(serial: u32) -> Self {
        Self::of(0x02, serial)
    }

    /// Of the end that the node or the underlay has.
    pub(crate) const fn outside(serial: u32) -> Self {
        Self::of(0x06, serial)
    }

    /// Of the bridge of a node: the gateway of its pods.
    pub(crate) const fn bridge(node: u32) -> Self {
        Self::of(0x0a, node)
    }

    const fn of(kind: u8, serial: u32) -> Self {
        let [a, b, c, d] = serial.to_be_bytes();
        Self([kind, 0, a, b, c, d])
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0.to_vec()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}
