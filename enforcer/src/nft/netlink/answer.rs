//! What the kernel says about a batch.

use std::io;

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_netfilter::NetfilterMessage;
use netlink_sys::Socket;
use nix::libc;

use super::batch::Batch;
use crate::nft::{ApplyError, Operation, Statement, Transaction};

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
        Some((Some(index), source)) => {
            let operation = &transaction.operations()[index];
            Err(ApplyError::Refused {
                index,
                total,
                operation: operation.to_string(),
                source: explained(operation, source),
            })
        }
        Some((None, source)) => Err(ApplyError::NotCommitted { total, source }),
        None if is_acknowledged => Ok(()),
        None => Err(ApplyError::Receive {
            total,
            source: io::ErrorKind::UnexpectedEof.into(),
        }),
    }
}

/// What the kernel said, in words where a module is missing: of the rules, only those that reject
/// need one that firewalls may do without.
fn explained(operation: &Operation, error: io::Error) -> io::Error {
    let rejects = match operation {
        Operation::AddRule { rule, .. } => {
            matches!(rule.statement, Statement::Reject | Statement::RejectTcp)
        }
        _ => false,
    };
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::EOPNOTSUPP) if rejects => io::Error::new(
            io::ErrorKind::Unsupported,
            "this kernel lacks the module nft_reject_inet; denying silently needs none",
        ),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::nft::Rule;

    #[rstest]
    #[case::reject(Statement::Reject, libc::ENOENT, true)]
    #[case::reset(Statement::RejectTcp, libc::ENOENT, true)]
    #[case::another_reason(Statement::Reject, libc::ENOMEM, false)]
    #[case::another_rule(Statement::Drop, libc::ENOENT, false)]
    fn a_missing_module_has_a_name(
        #[case] statement: Statement,
        #[case] errno: i32,
        #[case] is_named: bool,
    ) {
        let operation = Operation::AddRule {
            chain: "denied-ingress".into(),
            rule: Rule {
                statement,
                comment: None,
            },
        };
        let said = explained(&operation, io::Error::from_raw_os_error(errno)).to_string();
        assert_eq!(said.contains("nft_reject_inet"), is_named, "{said}");
    }
}
