//! What a user may set: one struct, one table of keys.
//!
//! Flags (`--set KEY=VALUE`) stand over the environment (`THALWEG_KEY`), and
//! that over the defaults. Unknown keys are refused with the nearest known one.

use std::time::Duration;

pub use thalweg_connectors::BadData;
use thalweg_dataflow::options::{nearest, parse_duration};
use thalweg_dataflow::{Code, Error, Result};

/// All settings of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The most rows in one batch.
    pub batch_rows_max: usize,
    /// The most rows that wait on one channel.
    pub queue_rows_max: usize,
    /// The most bytes that wait on one channel.
    pub queue_bytes_max: usize,
    /// For how long rows are to wait on one channel.
    pub queue_time_max: Duration,
    /// How many threads handle rows. If it is not set, one for each core; where functions are called within an
    /// interpreter, no more than an operator has subtasks.
    pub data_threads: Option<usize>,
    /// How far ahead of the wall clock a row of a live source may move the watermark.
    pub max_future_skew: Duration,
    /// How long a split may be silent before it stops holding the watermark back.
    pub idle_timeout: Duration,
    /// How often an epoch starts.
    pub checkpoint_interval: Duration,
    /// What happens to bad records and rows, where the table does not say.
    pub bad_data: BadData,
    /// How long one call of a Python function may take.
    pub call_timeout: Option<Duration>,
    /// The most memory that a process with Python functions may have.
    pub memory_max: Option<usize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch_rows_max: 8_192,
            queue_rows_max: 65_536,
            queue_bytes_max: 16 << 20,
            queue_time_max: Duration::from_millis(100),
            data_threads: None,
            max_future_skew: Duration::from_secs(300),
            idle_timeout: Duration::from_secs(300),
            checkpoint_interval: Duration::from_secs(10),
            bad_data: BadData::Fail,
            call_timeout: None,
            memory_max: None,
        }
    }
}

/// One key: its name, what it does, and how a value is read.
struct Key {
    name: &'static str,
    about: &'static str,
    expects: &'static str,
    read: fn(&mut Settings, &str) -> Option<()>,
}

const KEYS: &[Key] = &[
    Key {
        name: "batch-rows-max",
        about: "the most rows in one batch",
        expects: "a whole number from 1 to 1048576",
        read: |s, v| v.parse().ok().filter(|n| (1..=1 << 20).contains(n)).map(|n| s.batch_rows_max = n),
    },
    Key {
        name: "queue-rows-max",
        about: "the most rows that wait on one channel",
        expects: "a whole number of at least 1",
        read: |s, v| v.parse().ok().filter(|&n| n > 0).map(|n| s.queue_rows_max = n),
    },
    Key {
        name: "queue-bytes-max",
        about: "the most bytes that wait on one channel",
        expects: "a size such as 65536, 64KiB or 16MiB",
        read: |s, v| parse_size(v).filter(|&n| n > 0).map(|n| s.queue_bytes_max = n),
    },
    Key {
        name: "queue-time-max",
        about: "how long rows are to wait on one channel: fewer may wait where each takes long",
        expects: "a duration such as 50ms, 10s or 5m",
        read: |s, v| parse_duration(v).filter(|d| !d.is_zero()).map(|d| s.queue_time_max = d),
    },
    Key {
        name: "data-threads",
        about: "how many threads handle rows; without it, one for each core, or each subtask of an operator in Python",
        expects: "a whole number from 1 to 1024",
        read: |s, v| v.parse().ok().filter(|n| (1..=1024).contains(n)).map(|n| s.data_threads = Some(n)),
    },
    Key {
        name: "max-future-skew",
        about: "how far ahead of the wall clock a row of a live source may move the watermark",
        expects: "a duration such as 50ms, 10s or 5m",
        read: |s, v| parse_duration(v).map(|d| s.max_future_skew = d),
    },
    Key {
        name: "idle-timeout",
        about: "how long a split may be silent before it stops holding the watermark back",
        expects: "a duration such as 50ms, 10s or 5m",
        read: |s, v| parse_duration(v).filter(|d| !d.is_zero()).map(|d| s.idle_timeout = d),
    },
    Key {
        name: "checkpoint-interval",
        about: "how often an epoch starts",
        expects: "a duration such as 50ms, 10s or 5m",
        read: |s, v| parse_duration(v).filter(|d| !d.is_zero()).map(|d| s.checkpoint_interval = d),
    },
    Key {
        name: "bad-data",
        about: "what happens to records that cannot be decoded and rows that cannot be computed",
        expects: "fail or drop",
        read: |s, v| {
            let policy = match v.to_ascii_lowercase().as_str() {
                "fail" => BadData::Fail,
                "drop" => BadData::Drop,
                _ => return None,
            };
            s.bad_data = policy;
            Some(())
        },
    },
    Key {
        name: "call-timeout",
        about: "how long a call of a Python function may take; without it, any time",
        expects: "a duration such as 50ms, 10s or 5m",
        read: |s, v| parse_duration(v).filter(|d| !d.is_zero()).map(|d| s.call_timeout = Some(d)),
    },
    Key {
        name: "memory-max",
        about: "the most memory of a process with Python functions; without it, any",
        expects: "a size such as 512MiB or 4GiB",
        read: |s, v| parse_size(v).filter(|&n| n > 0).map(|n| s.memory_max = Some(n)),
    },
];

impl Settings {
    /// The defaults, then the environment, then `flags` in their order.
    pub fn resolve(
        environment: impl Fn(&str) -> Option<String>,
        flags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self> {
        let mut settings = Self::default();
        for key in KEYS {
            let variable = format!("THALWEG_{}", key.name.replace('-', "_").to_uppercase());
            if let Some(value) = environment(&variable) {
                key.set(&mut settings, &value).map_err(|error| error.in_site(variable))?;
            }
        }
        for (name, value) in flags {
            settings.set(&name, &value)?;
        }
        Ok(settings)
    }

    /// Sets one key.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let key = KEYS.iter().find(|key| key.name == name).ok_or_else(|| unknown(name))?;
        key.set(self, value)
    }

    /// Every key with what it does and expects, for help texts.
    pub fn help() -> String {
        KEYS.iter().map(|key| format!("  {:<20} {} ({})\n", key.name, key.about, key.expects)).collect()
    }
}

impl Key {
    fn set(&self, settings: &mut Settings, value: &str) -> Result<()> {
        (self.read)(settings, value.trim()).ok_or_else(|| {
            let what = format!("setting '{}' is '{value}', which is not {}", self.name, self.expects);
            Error::new(Code::InvalidSetting, what)
        })
    }
}

fn unknown(name: &str) -> Error {
    let names = || KEYS.iter().map(|key| key.name);
    let known = names().collect::<Vec<_>>().join(", ");
    let help = match nearest(name, names()) {
        Some(near) => format!("did you mean '{near}'? the settings are {known}"),
        None => format!("the settings are {known}"),
    };
    Error::new(Code::InvalidSetting, format!("no setting is named '{name}'")).with_help(help)
}

/// Reads a size in bytes: a whole number, alone or with `KiB`, `MiB` or `GiB`.
fn parse_size(text: &str) -> Option<usize> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit: usize = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Settings> {
        let find = |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Settings::resolve(find, flags.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())))
    }

    #[test]
    fn flags_stand_over_the_environment_and_that_over_defaults() {
        let settings = resolve(
            &[("THALWEG_BATCH_ROWS_MAX", "7"), ("THALWEG_QUEUE_BYTES_MAX", "8MiB")],
            &[("batch-rows-max", "9"), ("bad-data", "drop"), ("idle-timeout", "50ms")],
        )
        .expect("valid settings");
        assert_eq!((settings.batch_rows_max, settings.queue_bytes_max), (9, 8 << 20));
        assert_eq!((settings.bad_data, settings.idle_timeout), (BadData::Drop, Duration::from_millis(50)));
        assert_eq!(settings.queue_rows_max, Settings::default().queue_rows_max);
    }

    #[test]
    fn what_is_unknown_or_ill_typed_is_refused() {
        let unknown = resolve(&[], &[("batch-row-max", "1")]).expect_err("unknown");
        assert!(unknown.help().is_some_and(|h| h.starts_with("did you mean 'batch-rows-max'?")), "{unknown}");
        for (key, value) in [
            ("batch-rows-max", "0"),
            ("batch-rows-max", "many"),
            ("queue-bytes-max", "1.5MiB"),
            ("queue-bytes-max", "99999999999GiB"),
            ("idle-timeout", "1 month"),
            ("bad-data", "ignore"),
        ] {
            assert!(resolve(&[], &[(key, value)]).is_err(), "{key}={value}");
        }
        assert!(resolve(&[("THALWEG_BAD_DATA", "x")], &[]).is_err());
    }
}
