//! Connections of either protocol, and what becomes of what is said on them.

use std::{
    io::{self, Read, Write},
    net::{TcpStream, UdpSocket},
    time::Duration,
};

use crate::{Outcome, ensure};

/// Long enough for a busy machine, and for TCP to send again what has been lost for seconds; only
/// failures wait so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long silence is listened to.
pub(crate) const SILENCE: Duration = Duration::from_millis(150);

/// What is awaited of somebody who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    Answer,
    Silence,
    Refusal,
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) enum End {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

/// A connection, with both its ends.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) client: End,
    pub(crate) server: End,
}

/// What became of something said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Heard,
    Lost,
    /// The one who spoke, or who should have heard, was told that this does not work.
    Refused(io::ErrorKind),
}

impl End {
    fn say(&self, word: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).write_all(word),
            Self::Udp(socket) => socket.send(word).map(drop),
        }
    }

    /// Reads something, whatever it is: TCP hands over what was lost before.
    fn hear(&self, patience: Duration) -> io::Result<()> {
        let mut word = [0; 4096];
        let length = match self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(Some(patience))?;
                (&mut &*stream).read(&mut word)?
            }
            Self::Udp(socket) => {
                socket.set_read_timeout(Some(patience))?;
                socket.recv(&mut word)?
            }
        };
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// What becomes of a word to `other`.
    pub(crate) fn tell(&self, other: &Self, patience: Duration) -> Fate {
        match self.say(b"word").and_then(|()| other.hear(patience)) {
            Ok(()) => Fate::Heard,
            Err(error) if is_silence(&error) => Fate::Lost,
            Err(error) => Fate::Refused(error.kind()),
        }
    }

    /// Speaks, and is told that this does not work.
    pub(crate) fn must_be_refused(&self, who: &str) -> Outcome {
        match self.tell(self, PATIENCE) {
            Fate::Refused(_) => Ok(()),
            fate => Err(format!("{who}: it is {fate:?}").into()),
        }
    }
}

impl Call {
    /// Both hear each other.
    pub(crate) fn must_live(&self, who: &str) -> Outcome {
        for (from, to, way) in self.ways() {
            let fate = from.tell(to, PATIENCE);
            ensure(fate == Fate::Heard, format!("{who}: {way} is {fate:?}"))?;
        }
        Ok(())
    }

    /// Neither hears the other. The server speaks first, and more than once: it could begin the
    /// connection anew where its entry has been deleted.
    pub(crate) fn must_be_silent(&self, who: &str) -> Outcome {
        let [there, back] = self.ways();
        for (from, to, way) in [back, back, there, back] {
            let fate = from.tell(to, SILENCE);
            ensure(fate == Fate::Lost, format!("{who}: {way} is {fate:?}"))?;
        }
        Ok(())
    }

    fn ways(&self) -> [(&End, &End, &'static str); 2] {
        [
            (&self.client, &self.server, "client to server"),
            (&self.server, &self.client, "server to client"),
        ]
    }
}

pub(crate) fn is_silence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
