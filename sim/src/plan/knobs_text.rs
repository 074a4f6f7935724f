//! The knobs of a world, for people.

use std::fmt;

use super::{Knobs, Topology};

impl fmt::Display for Knobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: {}, {} replicas x {} operations, {} writers each, {}% reads, {}% identical events, think {} ms",
            self.seed,
            self.workload,
            self.replicas,
            self.ops,
            self.writers,
            self.reads_percent,
            self.identical_percent,
            self.think
        )?;
        write!(
            f,
            "  latency {}..{} ms, time-outs {}/{} ms, deadline {} ms{}, batches of {}, queue of {}, lock ",
            self.latency.0,
            self.latency.1,
            self.timeouts.0,
            self.timeouts.1,
            self.deadline,
            if self.production_times {
                " (production times)"
            } else {
                ""
            },
            self.batch_records,
            self.queue_capacity,
        )?;
        match self.lock {
            None => writeln!(f, "never taken")?,
            Some((ttl, wait, retry)) => {
                writeln!(
                    f,
                    "always taken: ttl {ttl} ms, wait {wait} ms, retry {retry} ms"
                )?;
            }
        }
        if self.padding > 0 {
            writeln!(f, "  events of r0 are {} bytes larger", self.padding)?;
        }
        if self.load > 0 {
            writeln!(
                f,
                "  {} callers of r0 at once, scripts take time",
                self.load
            )?;
        }
        if let Some(anchors) = &self.anchors {
            let replicas = anchors.replicas.iter().map(|replica| format!("r{replica}"));
            let replicas: Vec<_> = replicas.collect();
            writeln!(
                f,
                "  anchors of {}, every {} records",
                replicas.join(", "),
                anchors.every
            )?;
        }
        if let Some(operators) = &self.operators {
            writeln!(f, "  {operators}")?;
        }
        if !self.seen_files.is_empty() {
            let replicas = self.seen_files.iter().map(|replica| format!("r{replica}"));
            let replicas: Vec<_> = replicas.collect();
            writeln!(f, "  {} keep what they have seen", replicas.join(", "))?;
        }
        if self.queue_bytes > 0 {
            writeln!(f, "  callers may wait with {} bytes", self.queue_bytes)?;
        }
        if let Some(durability) = &self.durability {
            writeln!(f, "  durability {durability}")?;
        }
        match self.topology {
            Topology::Server => {}
            Topology::Sentinel => {
                let times = self.sentinel_times();
                writeln!(
                    f,
                    "  three Sentinels, asked every {} ms, have {} ms to answer",
                    times.every.as_millis(),
                    times.answer.as_millis()
                )?;
                if let Some(silence) = times.stop_after {
                    let silence = silence.as_millis();
                    writeln!(f, "  after {silence} ms without an answer, writes stop")?;
                }
            }
            Topology::Cluster => writeln!(f, "  a cluster of two nodes")?,
        }
        if let Some(vault) = &self.vault {
            writeln!(f, "  vault: {vault}")?;
            for process in self.replicas..self.processes() {
                writeln!(f, "  r{process} follows the reference's protocol")?;
            }
        }
        writeln!(
            f,
            "  {} faults within {} ms:",
            self.faults.len(),
            self.chaos
        )?;
        for fault in &self.faults {
            writeln!(f, "    {fault}")?;
        }
        Ok(())
    }
}
