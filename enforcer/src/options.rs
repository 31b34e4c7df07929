//! What the specification leaves to the enforcer, and the choices there are.
//!
//! | choice | if left out | otherwise |
//! |---|---|---|
//! | [`Established`] | `keep`: an accepted connection goes on when a policy changes | `revoke`: one that the new policies no longer allow is cut at once |
//! | [`Unprogrammed`] | `hold`: an address of the node's pod range passes nothing until a pod is known to have it | `open`: it does |
//! | [`Deny`] | `drop`: silently | `reject`: a TCP reset, or ICMP "administratively prohibited" |
//!
//! Start at [`Options`]. What each makes of the kernel's table stands in [`crate::nft`], which
//! connections are cut in [`crate::conntrack`].

use std::{fmt, str::FromStr};

/// Every choice of one enforcer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Options {
    /// What becomes of accepted connections when a policy changes (semantics 208).
    pub established: Established,
    /// What becomes of a new pod before its rules are in force (semantics 217, 218).
    pub unprogrammed: Unprogrammed,
    /// How a connection is denied (semantics 25).
    pub deny: Deny,
}

/// A word that is none of a choice's values. Reads after "failed to".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read \"{found}\": it must be one of {}", .expected.join(", "))]
pub struct NotAChoice {
    /// What was found.
    pub found: String,
    /// What there is.
    pub expected: &'static [&'static str],
}

macro_rules! choice {
    ($(#[$about:meta])* $name:ident { $(#[$first_about:meta])* $first:ident = $first_word:literal, $(#[$second_about:meta])* $second:ident = $second_word:literal }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[$first_about])*
            #[default]
            $first,
            $(#[$second_about])*
            $second,
        }

        impl $name {
            /// Every value, the default first.
            pub const ALL: [Self; 2] = [Self::$first, Self::$second];
            /// Their names.
            pub const NAMES: &'static [&'static str] = &[$first_word, $second_word];

            /// Its name, as on a command line.
            pub fn name(self) -> &'static str {
                match self {
                    Self::$first => $first_word,
                    Self::$second => $second_word,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $name {
            type Err = NotAChoice;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL
                    .into_iter()
                    .find(|choice| choice.name() == text)
                    .ok_or_else(|| NotAChoice {
                        found: text.to_owned(),
                        expected: Self::NAMES,
                    })
            }
        }
    };
}

choice!(
    /// What becomes of accepted connections that new policies no longer allow.
    Established {
        /// They go on.
        Keep = "keep",
        /// They are cut at once, and no others.
        Revoke = "revoke"
    }
);

choice!(
    /// What becomes of traffic of an address in the node's pod ranges (`spec.podCIDRs`) that no
    /// local pod is known to have. It is about what the node forwards: the node itself reaches the
    /// pod, and connections that were accepted go on.
    Unprogrammed {
        /// It is dropped, silently also where denials are not, so that who sends again is heard
        /// once the pod is known. A node without known ranges holds nothing.
        Hold = "hold",
        /// It passes.
        Open = "open"
    }
);

choice!(
    /// How a connection is denied.
    Deny {
        /// Silently.
        Drop = "drop",
        /// With a TCP reset, or ICMP "administratively prohibited".
        Reject = "reject"
    }
);
