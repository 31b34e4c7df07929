//! Log lines on stderr: text for people, JSON for programs.

use std::{
    error::Error,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Map, Value, json};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    EnvFilter,
    filter::ParseError,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
    reload::Handle,
};

use crate::arguments::LogFormat;

/// What is logged, which can be changed.
#[derive(Clone)]
pub(crate) struct Level {
    given: Arc<Mutex<String>>,
    change: Arc<dyn Fn(EnvFilter) + Send + Sync>,
}

impl Level {
    fn of<S: 'static>(given: &str, handle: Handle<EnvFilter, S>) -> Self {
        Self {
            given: Arc::new(Mutex::new(given.to_owned())),
            change: Arc::new(move |new| {
                // It is gone only when the program ends.
                let _ = handle.reload(new);
            }),
        }
    }

    /// What is logged at present, as it was given.
    pub(crate) fn get(&self) -> String {
        self.lock().clone()
    }

    /// Logs something else from now on.
    ///
    /// # Errors
    /// `level` is neither a level nor a list of filters.
    pub(crate) fn set(&self, level: &str) -> Result<(), ParseError> {
        (self.change)(filter(level)?);
        level.clone_into(&mut self.lock());
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, String> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Level").field(&self.get()).finish()
    }
}

fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    const KUBE: &str = "kube_client";
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(level)?;
    if level.contains(KUBE) {
        return Ok(filter);
    }
    // Of a connection that ends it warns in the words of a debugger; we say the same ourselves.
    Ok(filter.add_directive(format!("{KUBE}=error").parse()?))
}

/// Logs from now on.
///
/// # Errors
/// `level` is neither a level nor a list of filters.
pub(crate) fn start(level: &str, format: LogFormat, node: &str) -> Result<Level, ParseError> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(level)?)
        .with_writer(std::io::stderr);
    Ok(match format {
        LogFormat::Text => {
            let lines = lines.event_format(Text).with_filter_reloading();
            let level = Level::of(level, lines.reload_handle());
            lines.init();
            level
        }
        LogFormat::Json => {
            let node = node.to_owned();
            let lines = lines.event_format(Json { node }).with_filter_reloading();
            let level = Level::of(level, lines.reload_handle());
            lines.init();
            level
        }
    })
}

/// `2026-11-21T14:00:00.000Z  INFO listed resource=pods count=3`
struct Text;

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let now = jiff::Timestamp::now();
        let level = event.metadata().level();
        write!(line, "{now:.3} {level:>5} {}", fields.message)?;
        for (key, value) in &fields.rest {
            match value {
                Value::String(text) if !text.contains([' ', '"', '\n']) => {
                    write!(line, " {key}={text}")?;
                }
                value => write!(line, " {key}={value}")?,
            }
        }
        writeln!(line)
    }
}

/// One object per line. Keys: `ts` (RFC 3339), `level`, `msg`, `target`, `node`, and whatever the
/// event is about: `policy` and `pod` (`namespace/name`), `resource`, `duration_s`, `error` and
/// `err_chain`.
struct Json {
    node: String,
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut object = Map::new();
        object.insert("ts".into(), json!(format!("{:.9}", jiff::Timestamp::now())));
        let level = event.metadata().level().as_str().to_lowercase();
        object.insert("level".into(), json!(level));
        object.insert("msg".into(), json!(fields.message));
        object.insert("target".into(), json!(event.metadata().target()));
        object.insert("node".into(), json!(self.node));
        object.extend(fields.rest);
        writeln!(line, "{}", Value::Object(object))
    }
}

/// The fields of an event.
#[derive(Default)]
struct Fields {
    message: String,
    rest: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => {
                self.rest.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, json!(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut chain = Vec::new();
        let mut source = value.source();
        while let Some(error) = source {
            chain.push(error.to_string());
            source = error.source();
        }
        self.put(field, json!(value.to_string()));
        if !chain.is_empty() {
            self.rest.insert("err_chain".into(), json!(chain));
        }
    }
}
