//! Where providers are: resolved on the control side, handed to the workers.

use std::net::{IpAddr, SocketAddr};

/// The addresses of each provider, in the plan's order; empty where none is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressBook {
    providers: Vec<Vec<SocketAddr>>,
}

impl AddressBook {
    /// A book for the hosts of a plan, with what needs no resolving.
    ///
    /// `hosts` is [`Plan::hosts`](crate::gateway::Plan::hosts).
    #[must_use]
    pub fn of_literals(hosts: &[(usize, String, u16)]) -> Self {
        let mut book = Self::default();
        for (at, host, port) in hosts {
            if let Ok(ip) = host.parse::<IpAddr>() {
                book.set(*at, vec![SocketAddr::new(ip, *port)]);
            }
        }
        book
    }

    /// Puts a provider's addresses in.
    pub fn set(&mut self, at: usize, addresses: Vec<SocketAddr>) {
        if self.providers.len() <= at {
            self.providers.resize_with(at + 1, Vec::new);
        }
        self.providers[at] = addresses;
    }

    /// A provider's addresses.
    #[must_use]
    pub fn of(&self, at: usize) -> &[SocketAddr] {
        self.providers.get(at).map_or(&[], Vec::as_slice)
    }
}
