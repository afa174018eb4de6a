//! From what is asked for to what is tried.

use crate::error::StartError;
use crate::options::{Backend, BackendChoice, Driver, DriverChoice};

impl Driver {
    /// What [`DriverChoice::Auto`] tries first. See the crate's BENCH.md for the runs.
    pub const AUTO: Self = Self::Epoll;
}

/// The backend, the driver to try, and the one to try after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) backend: Backend,
    pub(crate) first: Driver,
    pub(crate) fall_back: Option<Driver>,
}

impl Plan {
    pub(crate) fn new(backend: BackendChoice, driver: DriverChoice) -> Result<Self, StartError> {
        let on_linux = cfg!(target_os = "linux");
        let picked = match backend {
            BackendChoice::Auto if on_linux => Backend::Monoio,
            BackendChoice::Auto | BackendChoice::Tokio => Backend::Tokio,
            BackendChoice::Monoio if on_linux => Backend::Monoio,
            BackendChoice::Glommio if on_linux && cfg!(feature = "glommio") => Backend::Glommio,
            BackendChoice::Monoio | BackendChoice::Glommio => {
                return Err(StartError::NotBuilt { backend });
            }
        };
        let (first, fall_back) = match (picked, driver) {
            (Backend::Tokio, DriverChoice::IoUring) | (Backend::Glommio, DriverChoice::Epoll) => {
                return Err(StartError::Unsupported { backend, driver });
            }
            // It has no other: where the ring is refused there is nothing to fall back to.
            (Backend::Glommio, _) => (Driver::IoUring, None),
            (Backend::Tokio, _) | (_, DriverChoice::Epoll) => (Driver::Epoll, None),
            (Backend::Monoio, DriverChoice::IoUring) => (Driver::IoUring, None),
            (Backend::Monoio, DriverChoice::PreferIoUring) => {
                (Driver::IoUring, Some(Driver::Epoll))
            }
            (Backend::Monoio, DriverChoice::Auto) => match Driver::AUTO {
                Driver::IoUring => (Driver::IoUring, Some(Driver::Epoll)),
                Driver::Epoll => (Driver::Epoll, None),
            },
        };
        Ok(Self {
            backend: picked,
            first,
            fall_back,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans() {
        let plan = |backend, driver| Plan::new(backend, driver).map_err(|error| error.to_string());
        let tokio = Plan {
            backend: Backend::Tokio,
            first: Driver::Epoll,
            fall_back: None,
        };
        for driver in [
            DriverChoice::Auto,
            DriverChoice::Epoll,
            DriverChoice::PreferIoUring,
        ] {
            assert_eq!(plan(BackendChoice::Tokio, driver), Ok(tokio));
        }
        assert_eq!(
            plan(BackendChoice::Tokio, DriverChoice::IoUring),
            Err("the Tokio backend has no IoUring driver".to_owned())
        );
    }

    #[cfg(all(feature = "glommio", target_os = "linux"))]
    #[test]
    fn glommio_has_one_driver() {
        let plan = |driver| Plan::new(BackendChoice::Glommio, driver);
        let glommio = Plan {
            backend: Backend::Glommio,
            first: Driver::IoUring,
            fall_back: None,
        };
        for driver in [
            DriverChoice::Auto,
            DriverChoice::IoUring,
            DriverChoice::PreferIoUring,
        ] {
            assert_eq!(plan(driver).ok(), Some(glommio));
        }
        assert!(matches!(
            plan(DriverChoice::Epoll),
            Err(StartError::Unsupported { .. })
        ));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_a_preference_falls_back() {
        let fall_back = |driver| {
            Plan::new(BackendChoice::Auto, driver)
                .map(|plan| (plan.first, plan.fall_back))
                .ok()
        };
        assert_eq!(
            fall_back(DriverChoice::PreferIoUring),
            Some((Driver::IoUring, Some(Driver::Epoll)))
        );
        assert_eq!(
            fall_back(DriverChoice::IoUring),
            Some((Driver::IoUring, None))
        );
        assert_eq!(fall_back(DriverChoice::Epoll), Some((Driver::Epoll, None)));
    }
}
