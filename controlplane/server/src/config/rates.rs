// SPDX-License-Identifier: Apache-2.0
//! How often somebody may fail to log in, and how often somebody may ask.

use hythe_operations::{LoginLimits, RateLimits};
use serde::{Deserialize, Serialize};

/// The most that any of the settings may be.
const MAX_RATE: u32 = 1_000_000;
const MAX_BURST_SECONDS: u32 = 3600;

/// Rates, each for this process alone. What is above one is answered 429 with `Retry-After`. 0 is without limit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Failed logins of one access key from one address (of IPv6: one network of 64 bits) in a minute; beyond it, that key is not
    /// looked at from there.
    pub failed_logins_per_key_per_minute: u32,
    /// Failed logins from one address in a minute. What is right is let in beyond it too.
    pub failed_logins_per_minute: u32,
    /// Whether requests of each principal (without credentials: each address) are limited, by what follows.
    pub limit_requests: bool,
    /// How many seconds' worth of requests may come at once.
    pub burst_seconds: u32,
    /// Per second, for logins. The defaults of this and what follows are ECR's quotas.
    pub get_authorization_token: u32,
    /// Per second, for questions whether a blob is there.
    pub batch_check_layer_availability: u32,
    /// Per second, for uploads that begin.
    pub initiate_layer_upload: u32,
    /// Per second, for parts of uploads.
    pub upload_layer_part: u32,
    /// Per second, for uploads that end.
    pub complete_layer_upload: u32,
    /// Per second, for manifests that are stored.
    pub put_image: u32,
    /// Per second, for manifests that are read.
    pub batch_get_image: u32,
    /// Per second, for blobs that are read.
    pub get_download_url_for_layer: u32,
    /// Per second, for everything else.
    pub other: u32,
}

/// ECR, "Service quotas"; it has no single one for everything else.
impl Default for Rates {
    fn default() -> Self {
        let logins = LoginLimits::default();
        Self {
            failed_logins_per_key_per_minute: logins.failures_of_key_per_minute,
            failed_logins_per_minute: logins.failures_per_minute,
            limit_requests: false,
            burst_seconds: 10,
            get_authorization_token: 500,
            batch_check_layer_availability: 1000,
            initiate_layer_upload: 100,
            upload_layer_part: 500,
            complete_layer_upload: 100,
            put_image: 10,
            batch_get_image: 2000,
            get_download_url_for_layer: 3000,
            other: 100,
        }
    }
}

impl Rates {
    /// For the gate.
    pub(crate) fn logins(&self) -> LoginLimits {
        LoginLimits {
            failures_of_key_per_minute: self.failed_logins_per_key_per_minute,
            failures_per_minute: self.failed_logins_per_minute,
        }
    }

    /// For the gate; `None` if requests are not limited.
    pub(crate) fn requests(&self) -> Option<RateLimits> {
        self.limit_requests.then(|| RateLimits {
            per_second: self.per_second(),
            burst_seconds: self.burst_seconds,
        })
    }

    /// In the order of `RateClass::ALL`.
    fn per_second(&self) -> [u32; 9] {
        [
            self.get_authorization_token,
            self.batch_check_layer_availability,
            self.initiate_layer_upload,
            self.upload_layer_part,
            self.complete_layer_upload,
            self.put_image,
            self.batch_get_image,
            self.get_download_url_for_layer,
            self.other,
        ]
    }

    /// What is wrong with it.
    pub(super) fn check(&self) -> Result<(), String> {
        let logins = [self.failed_logins_per_key_per_minute, self.failed_logins_per_minute];
        if let Some(rate) = logins
            .into_iter()
            .chain(self.per_second())
            .find(|rate| *rate > MAX_RATE)
        {
            return Err(format!(
                "a rate below `rates` is {rate}; it must be between 0 and {MAX_RATE}"
            ));
        }
        if self.burst_seconds == 0 || self.burst_seconds > MAX_BURST_SECONDS {
            let found = self.burst_seconds;
            return Err(format!(
                "`rates.burst_seconds` is {found}; it must be between 1 and {MAX_BURST_SECONDS}"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use hythe_operations::RateClass;

    use super::*;

    #[test]
    fn settings_are_called_as_their_classes() {
        let written = serde_json::to_value(Rates::default()).unwrap();
        for (class, rate) in RateClass::ALL.into_iter().zip(Rates::default().per_second()) {
            assert_eq!(written[class.as_str()], rate, "{class:?}");
        }
        assert_eq!(Rates::default().requests(), None);
    }
}
