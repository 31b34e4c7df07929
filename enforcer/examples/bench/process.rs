//! What the kernel knows of this process: memory and processor time.

use std::{fs, io, time::Duration};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};

/// The most memory that the process has had at any time, in megabytes (10^6 bytes).
pub(crate) fn peak_memory() -> Option<f64> {
    status("VmHWM:")
}

/// The memory that the process has now, in megabytes.
pub(crate) fn memory() -> Option<f64> {
    status("VmRSS:")
}

fn status(key: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024.0 / 1e6)
}

/// Processor time of a thread or of all, in the kernel or not. That of all is exact to the
/// microsecond; that of a thread lags behind by a tick of the clock.
pub(crate) fn processor_time(who: UsageWho) -> io::Result<Duration> {
    let usage = getrusage(who)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(micros.cast_unsigned()))
}

/// Processor time of all threads whose name begins so.
pub(crate) fn processor_time_of(name: &str) -> io::Result<Duration> {
    let mut total = Duration::ZERO;
    for thread in fs::read_dir("/proc/self/task")? {
        let folder = thread?.path();
        // Threads may end meanwhile.
        let Ok(its) = fs::read_to_string(folder.join("comm")) else {
            continue;
        };
        if its.starts_with(name) {
            let times = fs::read_to_string(folder.join("schedstat"))?;
            let nanos = times.split_whitespace().next().unwrap_or_default();
            total += Duration::from_nanos(nanos.parse().unwrap_or_default());
        }
    }
    Ok(total)
}
