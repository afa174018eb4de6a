//! `client_health`: whether clients are watched, and how much is unusual.

use crate::reader::Section;
use crate::scalar::boolean;

/// The `client_health` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHealth {
    /// Whether clients are watched, where there is a history.
    pub enabled: bool,
    /// How much is unusual.
    pub sensitivity: Sensitivity,
}

/// How much it takes until something is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sensitivity {
    /// Fewer alarms.
    Low,
    /// What docs/client-health.md measures.
    Normal,
    /// More is found, and more without cause.
    High,
}

impl Default for ClientHealth {
    fn default() -> Self {
        Self {
            enabled: true,
            sensitivity: Sensitivity::Normal,
        }
    }
}

impl ClientHealth {
    pub(crate) fn read(s: &Section<'_>) -> Self {
        let default = Self::default();
        let words = [
            ("low", Sensitivity::Low),
            ("normal", Sensitivity::Normal),
            ("high", Sensitivity::High),
        ];
        Self {
            enabled: s.value("enabled", default.enabled, boolean),
            sensitivity: s.choice("sensitivity", default.sensitivity, &words),
        }
    }
}
