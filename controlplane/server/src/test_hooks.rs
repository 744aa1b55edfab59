// SPDX-License-Identifier: Apache-2.0
//! What a test may do to a server that is not an optimised build; an optimised one has none of this.
//!
//! | variable | what it does |
//! |---|---|
//! | `HYTHE_TEST_FAIL_POINT` | `NAME:PASS` ends the process at a fail point, such as `blob.publish.renamed:2` |
//! | `HYTHE_TEST_FAIL_POINTS` | a folder in which fail points are noted (`reached`) and armed (`armed`) at run time |
//! | `HYTHE_TEST_SKIP_FSYNC` | a comma list of `file`, `directory`, `database`: plants a missing fsync |
//! | `HYTHE_TEST_CLOCK_OFFSET_FILE` | a file that holds the seconds by which the clock is wrong; read each time |
//! | `HYTHE_TEST_EXPIRY_MILLISECONDS` | how often expired uploads are looked for |

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use hythe_model::Sync;

use crate::ConfigError;

static CLOCK_OFFSET_FILE: OnceLock<PathBuf> = OnceLock::new();
static EXPIRY_PERIOD: OnceLock<Duration> = OnceLock::new();

/// Reads the variables of this process.
pub fn of_process() -> Result<(), ConfigError> {
    for (name, value) in std::env::vars_os() {
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
            continue;
        };
        let wrong = || ConfigError::Contradiction(format!("`{name}` cannot be `{value}`"));
        match name {
            "HYTHE_TEST_FAIL_POINT" => {
                let (point, pass) = value.rsplit_once(':').ok_or_else(wrong)?;
                hythe_model::arm_fail_point(point, pass.parse().map_err(|_| wrong())?);
            }
            "HYTHE_TEST_FAIL_POINTS" => hythe_model::follow_fail_points(value.as_ref()),
            "HYTHE_TEST_SKIP_FSYNC" => {
                for sync in value.split(',') {
                    sync.parse::<Sync>().map_err(|_| wrong())?.plant_missing();
                }
            }
            "HYTHE_TEST_CLOCK_OFFSET_FILE" => {
                CLOCK_OFFSET_FILE.get_or_init(|| value.into());
            }
            "HYTHE_TEST_EXPIRY_MILLISECONDS" => {
                let period = value.parse().map_err(|_| wrong())?;
                EXPIRY_PERIOD.get_or_init(|| Duration::from_millis(period));
            }
            _ => {}
        }
    }
    Ok(())
}

/// By how many seconds the clock is wrong just now.
pub fn clock_offset_seconds() -> i64 {
    CLOCK_OFFSET_FILE
        .get()
        .and_then(|file| std::fs::read_to_string(file).ok())
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

/// How often expired uploads are looked for, if a test said so.
pub fn expiry_period() -> Option<Duration> {
    EXPIRY_PERIOD.get().copied()
}
