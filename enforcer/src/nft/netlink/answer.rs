//! What the kernel says about a batch.

use std::io;

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_netfilter::NetfilterMessage;
use netlink_sys::Socket;
use nix::libc;

use super::batch::Batch;
use crate::nft::{ApplyError, Transaction};

/// Reads all answers. The kernel handles a batch while it is being sent, so all are there by now.
pub(super) fn read(
    socket: &Socket,
    batch: &Batch,
    transaction: &Transaction,
) -> Result<(), ApplyError> {
    let total = transaction.len();
    let mut refused: Option<(Option<usize>, io::Error)> = None;
    let mut is_acknowledged = false;
    loop {
        let answer = match socket.recv_from_full() {
            Ok((answer, _)) => answer,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            // More refusals than there is room for; the first ones are there.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => continue,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(ApplyError::Receive { total, source }),
        };
        let message =
            NetlinkMessage::<NetfilterMessage>::deserialize(&answer).map_err(|error| {
                let source = io::Error::new(io::ErrorKind::InvalidData, error);
                ApplyError::Receive { total, source }
            })?;
        let NetlinkPayload::Error(error) = message.payload else {
            continue;
        };
        let sequence = message.header.sequence_number;
        if error.code.is_some() {
            // What follows the first refusal is usually its consequence.
            refused.get_or_insert_with(|| (batch.operation(sequence), error.to_io()));
        } else if usize::try_from(sequence) == Ok(batch.acknowledged()) {
            is_acknowledged = true;
        }
    }
    match refused {
        Some((Some(index), source)) => Err(ApplyError::Refused {
            index,
            total,
            operation: transaction.operations()[index].to_string(),
            source,
        }),
        Some((None, source)) => Err(ApplyError::NotCommitted { total, source }),
        None if is_acknowledged => Ok(()),
        None => Err(ApplyError::Receive {
            total,
            source: io::ErrorKind::UnexpectedEof.into(),
        }),
    }
}
