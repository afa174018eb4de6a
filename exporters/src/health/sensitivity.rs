//! How much is unusual.

/// How much it takes until something is found: how unlikely it must be where nothing is wrong.
///
/// What is found must also be large, which does not depend on this: twice the requests, five failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sensitivity {
    /// A hundredth as likely as usual: fewer alarms, and later ones.
    Low,
    /// As `docs/client-health.md` measures it.
    #[default]
    Normal,
    /// A hundred times as likely: more of what is small is found, with more false alarms.
    High,
}

impl Sensitivity {
    /// The greatest likelihood of a finding.
    pub(super) fn p(self, p_max: f64) -> f64 {
        match self {
            Self::Low => p_max * 1e-2,
            Self::Normal => p_max,
            Self::High => p_max * 1e2,
        }
    }

    /// The fewest standard deviations of one: about as much, around five of them.
    pub(super) fn z(self, z_min: f64) -> f64 {
        match self {
            Self::Low => z_min + 0.8,
            Self::Normal => z_min,
            Self::High => z_min - 1.0,
        }
    }
}
