//! One stream into a pod, by `exec`: questions go in, answers come out, many at a time.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{AttachParams, AttachedProcess},
};
use netsim::remote::words::{Ask, Reply, Request, Said};
use tokio::{
    io::{
        AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
        BufReader,
    },
    sync::oneshot,
    task::AbortHandle,
    time::timeout,
};

use crate::scenario::ObjectName;

/// Bytes on their way to or from a pod.
const BUFFER: usize = 1 << 20;

/// How long an answer may take beyond the time that the question itself says.
const TRAVEL: Duration = Duration::from_secs(30);

/// The program in the image of a pod.
pub(super) const PROGRAM: &str = "/portcullis-probe";

/// Why a pod has not answered. Reads after "failed to".
#[derive(Clone, Debug, thiserror::Error)]
#[error("probe from {pod}: {reason}")]
pub struct SessionError {
    /// The pod.
    pub pod: ObjectName,
    /// What is known.
    pub reason: String,
}

/// A stream into a pod. Dropping it ends the process at its other end.
pub(super) struct Session {
    pod: ObjectName,
    input: tokio::sync::Mutex<Box<dyn AsyncWrite + Send + Unpin>>,
    answers: Arc<Mutex<Answers>>,
    asked: AtomicU64,
    reading: AbortHandle,
    /// The connection ends with it.
    _process: Option<AttachedProcess>,
}

#[derive(Default)]
struct Answers {
    waiting: HashMap<u64, oneshot::Sender<Said>>,
    /// Why there will be no more.
    ended: Option<String>,
}

/// Ends a container of a pod, which has this exit code then.
pub(super) async fn end(
    client: &Client,
    pod: &ObjectName,
    container: &str,
    code: u8,
) -> Result<(), SessionError> {
    let failed = |reason: String| SessionError {
        pod: pod.clone(),
        reason,
    };
    let parameters = AttachParams {
        container: Some(container.to_owned()),
        stdout: true,
        stderr: true,
        ..AttachParams::default()
    };
    let pods = Api::<Pod>::namespaced(client.clone(), &pod.namespace);
    let code = code.to_string();
    let command = [PROGRAM, "end", "--code", code.as_str()];
    let mut process = pods
        .exec(&pod.name, command, &parameters)
        .await
        .map_err(|error| failed(format!("exec: {error}")))?;
    if let Some(status) = process.take_status() {
        // The container may be gone before its last word is heard: its state says what came of it.
        let _ended = timeout(TRAVEL, status).await;
    }
    Ok(())
}

impl Session {
    /// Starts the process in a container of a pod that runs.
    pub(super) async fn open(
        client: &Client,
        pod: &ObjectName,
        container: Option<String>,
    ) -> Result<Self, SessionError> {
        let failed = |reason: String| SessionError {
            pod: pod.clone(),
            reason,
        };
        let parameters = AttachParams {
            container,
            stdin: true,
            stdout: true,
            stderr: true,
            max_stdin_buf_size: Some(BUFFER),
            max_stdout_buf_size: Some(BUFFER),
            ..AttachParams::default()
        };
        let pods = Api::<Pod>::namespaced(client.clone(), &pod.namespace);
        let started = timeout(
            TRAVEL,
            pods.exec(&pod.name, [PROGRAM, "probe"], &parameters),
        )
        .await;
        let mut process = started
            .map_err(|_| failed(format!("exec gives no answer within {TRAVEL:?}")))?
            .map_err(|error| failed(format!("exec: {error}")))?;
        let streams = (process.stdin(), process.stdout(), process.stderr());
        let (Some(input), Some(output), Some(mut complaints)) = streams else {
            return Err(failed("exec gives no streams".to_owned()));
        };
        let status = process.take_status();
        let last_words = async move {
            let mut text = String::new();
            // What cannot be read is not told.
            let _read = complaints.read_to_string(&mut text).await;
            let ended = match status {
                Some(status) => status.await,
                None => None,
            };
            let message = ended.and_then(|status| status.message).unwrap_or_default();
            [message.trim(), text.trim()].join(" ").trim().to_owned()
        };
        let mut session = Self::over(pod, input, output, last_words);
        session._process = Some(process);
        session.check_version().await?;
        Ok(session)
    }

    /// The words are those of one version.
    async fn check_version(&self) -> Result<(), SessionError> {
        const OWN: &str = env!("CARGO_PKG_VERSION");
        match self.ask(Ask::Able, Duration::ZERO).await? {
            Said::Able(able) if able.version == OWN => Ok(()),
            Said::Able(able) => Err(self.failed(format!(
                "its image is of version {}, and this program of version {OWN}: --probe-image \
                 names another",
                able.version
            ))),
            said => Err(self.failed(format!("it says {said:?}"))),
        }
    }

    /// Over any two streams; `last_words` says why they have ended.
    fn over(
        pod: &ObjectName,
        input: impl AsyncWrite + Send + Unpin + 'static,
        output: impl AsyncRead + Send + Unpin + 'static,
        last_words: impl Future<Output = String> + Send + 'static,
    ) -> Self {
        let answers = Arc::<Mutex<Answers>>::default();
        let reading = tokio::spawn(read(output, answers.clone(), last_words));
        Self {
            pod: pod.clone(),
            input: tokio::sync::Mutex::new(Box::new(input)),
            answers,
            asked: AtomicU64::new(0),
            reading: reading.abort_handle(),
            _process: None,
        }
    }

    /// Whether the other end is still there, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        locked(&self.answers).ended.is_none()
    }

    /// Asks, and waits for the answer: `patience`, and what the way takes.
    pub(super) async fn ask(&self, ask: Ask, patience: Duration) -> Result<Said, SessionError> {
        let id = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, answer) = oneshot::channel();
        {
            let mut answers = locked(&self.answers);
            if let Some(reason) = &answers.ended {
                return Err(self.failed(format!("the stream has ended: {reason}")));
            }
            answers.waiting.insert(id, sender);
        }
        let mut line =
            serde_json::to_vec(&Request { id, ask }).expect("questions can be written as JSON");
        line.push(b'\n');
        let exchange = async {
            {
                let mut input = self.input.lock().await;
                let sent = match input.write_all(&line).await {
                    Ok(()) => input.flush().await,
                    Err(error) => Err(error),
                };
                sent.map_err(|error| self.failed(format!("the stream has ended: {error}")))?;
            }
            answer.await.map_err(|_| {
                let ended = locked(&self.answers).ended.clone();
                self.failed(format!(
                    "the stream has ended: {}",
                    ended.unwrap_or_default()
                ))
            })
        };
        let waited = patience + TRAVEL;
        let said = timeout(waited, exchange).await;
        locked(&self.answers).waiting.remove(&id);
        match said.map_err(|_| self.failed(format!("no answer within {waited:?}")))?? {
            Said::Failed(reason) => Err(self.failed(format!("failed to {reason}"))),
            said => Ok(said),
        }
    }

    fn failed(&self, reason: String) -> SessionError {
        SessionError {
            pod: self.pod.clone(),
            reason,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// Hands every answer to who waits for it, until there are no more.
async fn read(
    output: impl AsyncRead + Unpin,
    answers: Arc<Mutex<Answers>>,
    last_words: impl Future<Output = String>,
) {
    let mut lines = BufReader::new(output).lines();
    let reason = loop {
        match lines.next_line().await {
            Ok(Some(line)) => match serde_json::from_str::<Reply>(&line) {
                Ok(Reply { id, said }) => {
                    if let Some(waiting) = locked(&answers).waiting.remove(&id) {
                        // Whoever has lost patience does not listen.
                        let _heard = waiting.send(said);
                    }
                }
                Err(_) => break format!("it says {line}"),
            },
            Ok(None) => break last_words.await,
            Err(error) => break error.to_string(),
        }
    };
    let mut answers = locked(&answers);
    answers.ended = Some(reason);
    answers.waiting.clear();
}

/// A panic elsewhere leaves nothing half-done behind this lock.
fn locked(answers: &Mutex<Answers>) -> MutexGuard<'_, Answers> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use netsim::probe::Outcome;
    use tokio::io::{DuplexStream, duplex, split};

    use super::*;

    fn session(last_words: &'static str) -> (Session, DuplexStream) {
        let (here, there) = duplex(1 << 16);
        let (output, input) = split(here);
        let pod = ObjectName::new("x", "a");
        let session = Session::over(&pod, input, output, async { last_words.to_owned() });
        (session, there)
    }

    fn run(test: impl Future<Output = ()>) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(test);
    }

    #[test]
    fn answers_find_their_questions_in_any_order() {
        run(async {
            let (session, there) = session("");
            let answer = async {
                let (input, mut output) = split(there);
                let mut lines = BufReader::new(input).lines();
                let mut asked = Vec::new();
                for _ in 0..2 {
                    let line = lines.next_line().await.unwrap().unwrap();
                    asked.push(serde_json::from_str::<Request>(&line).unwrap());
                }
                for Request { id, ask } in asked.into_iter().rev() {
                    let said = match ask {
                        Ask::CloseFlow { .. } => Said::Done,
                        _ => Said::Exchanged(Outcome::Denied),
                    };
                    let mut line = serde_json::to_vec(&Reply { id, said }).unwrap();
                    line.push(b'\n');
                    output.write_all(&line).await.unwrap();
                }
            };
            let close = session.ask(Ask::CloseFlow { flow: 1 }, Duration::ZERO);
            let exchange = Ask::Exchange {
                flow: 2,
                deadline_us: 1,
            };
            let exchange = session.ask(exchange, Duration::ZERO);
            let (closed, exchanged, ()) = tokio::join!(close, exchange, answer);
            assert_eq!(closed.unwrap(), Said::Done);
            assert_eq!(exchanged.unwrap(), Said::Exchanged(Outcome::Denied));
        });
    }

    #[test]
    fn an_image_of_another_version_is_refused() {
        run(async {
            let (session, there) = session("");
            let answer = async {
                let (_input, mut output) = split(there);
                let said =
                    r#"{"id":1,"said":{"able":{"no_icmp":null,"no_sctp":null,"version":"0.0.9"}}}"#;
                output.write_all(said.as_bytes()).await.unwrap();
                output.write_all(b"\n").await.unwrap();
            };
            let (checked, ()) = tokio::join!(session.check_version(), answer);
            let error = checked.unwrap_err().to_string();
            assert!(
                error.contains("its image is of version 0.0.9, and this program"),
                "{error}"
            );
        });
    }

    #[test]
    fn a_stream_that_ends_says_why() {
        run(async {
            let (session, there) = session("command terminated with exit code 137");
            let (asked, ()) = tokio::join!(session.ask(Ask::Able, Duration::ZERO), async {
                drop(there);
            });
            let text =
                "probe from x/a: the stream has ended: command terminated with exit code 137";
            let error = asked.unwrap_err().to_string();
            assert!(error == text || error.contains("broken pipe"), "{error}");
            // And goes on saying so.
            while session.is_open() {
                tokio::task::yield_now().await;
            }
            let again = session.ask(Ask::Able, Duration::ZERO).await;
            assert_eq!(again.unwrap_err().to_string(), text);
        });
    }

    #[test]
    fn another_program_is_recognised() {
        run(async {
            let (session, mut there) = session("");
            let (asked, ()) = tokio::join!(session.ask(Ask::Able, Duration::ZERO), async {
                there.write_all(b"sh: not found\n").await.unwrap();
            });
            assert_eq!(
                asked.unwrap_err().to_string(),
                "probe from x/a: the stream has ended: it says sh: not found"
            );
        });
    }
}
