//! Why a transaction was not applied.

use std::{io, path::PathBuf, process::ExitStatus};

/// Why a transaction was not applied. The kernel's rules are as they were before.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The kernel refused an operation and with it the whole transaction.
    #[error("apply nftables operation {} of {total} ({operation}): {}", index + 1, meaning(source))]
    Refused {
        /// The first operation that was refused, from 0.
        index: usize,
        /// How many there were.
        total: usize,
        /// The operation as text.
        operation: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel took every operation but refused to commit them.
    #[error("commit {total} nftables operations: {}", meaning(source))]
    NotCommitted {
        /// How many there were.
        total: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// A transaction is one message to the kernel, and this one is longer than the process may send.
    #[error(
        "send {total} nftables operations at once: they are {bytes} bytes, \
         and without CAP_NET_ADMIN in the first user namespace the limit is {limit} \
         (twice net.core.wmem_max)"
    )]
    TooLong {
        /// How many operations there were.
        total: usize,
        /// Their length.
        bytes: usize,
        /// The longest message that may be sent.
        limit: usize,
    },
    /// The transaction could not be sent.
    #[error("send {total} nftables operations to the kernel: {}", meaning(source))]
    Send {
        /// How many operations there were.
        total: usize,
        /// Why.
        source: io::Error,
    },
    /// The kernel's answer could not be read, so that it is not known what became of the
    /// transaction.
    #[error("read the kernel's answer to {total} nftables operations")]
    Receive {
        /// How many operations there were.
        total: usize,
        /// Why.
        source: io::Error,
    },
    /// The nft command could not be run.
    #[error("run {}", command.display())]
    Run {
        /// The command.
        command: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The nft command said no.
    #[error("apply {total} nftables operations with nft ({status}): {stderr}")]
    Nft {
        /// How many operations there were.
        total: usize,
        /// How nft ended.
        status: ExitStatus,
        /// What nft said.
        stderr: String,
    },
}

impl ApplyError {
    /// Whether the kernel's table may be another than the one that the transaction was made for: it
    /// did not fit, or it is not known whether it was taken.
    pub(crate) fn casts_doubt(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. } | Self::Receive { .. } | Self::Nft { .. }
        )
    }
}

/// What an errno of nf_tables means.
fn meaning(error: &io::Error) -> String {
    use nix::errno::Errno;
    let Some(errno) = error.raw_os_error() else {
        return error.to_string();
    };
    let meaning = match Errno::from_raw(errno) {
        Errno::EPERM | Errno::EACCES => "CAP_NET_ADMIN is missing in this network namespace",
        Errno::ENOENT => "what it names does not exist",
        Errno::EEXIST => "it exists already or overlaps something that does",
        Errno::EBUSY => "something still refers to it",
        Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT => "this kernel lacks nf_tables or a part of it",
        Errno::EINVAL => "this kernel takes it as malformed",
        Errno::ENOMEM | Errno::ENOBUFS => "there is not enough memory",
        Errno::EMFILE | Errno::ENFILE => "a limit on references or entries is reached",
        Errno::ELOOP => "chains would refer to each other in a loop",
        Errno::EMSGSIZE => "it is longer than the socket may send",
        _ => return error.to_string(),
    };
    format!("{meaning} ({error})")
}
