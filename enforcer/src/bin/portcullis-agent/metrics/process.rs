//! The program itself, under the names that every program uses.

use std::{fmt, fs};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::{count, page::Page};

/// The program itself, under the names that every program uses.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        process_page(&mut Page(&mut encoder))
    }
}

/// Of the program itself; from `/proc/self`.
fn process_page(page: &mut Page<'_, '_>) -> fmt::Result {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the command's name, which may hold anything: utime is field 14, rss field 24.
    let fields: Vec<_> = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .collect();
    let field = |number: usize| -> Option<u64> { fields.get(number - 3)?.parse().ok() };
    // The kernel's clock ticks and pages have had these sizes for user space since ever.
    if let (Some(user), Some(system)) = (field(14), field(15)) {
        page.counter(
            "process_cpu_seconds",
            "CPU time spent",
            (user + system) / 100,
        )?;
    }
    if let Some(pages) = field(24) {
        let bytes = i64::try_from(pages * 4096).unwrap_or(i64::MAX);
        page.gauge("process_resident_memory_bytes", "Memory in use", bytes)?;
    }
    let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    page.gauge("process_open_fds", "Open descriptors", count(open))
}
