//! A peer whose series were resolved before: an array of handles by id.

use super::{Peer, text};
use crate::backend::{Backend, Writer};
use crate::pick::Pick;
use crate::set::Set;
use crate::tally::Tally;

/// The meter, and the handles of every route and client of a set.
pub struct Handles<P: Peer> {
    set: Set,
    peer: P,
    routes: Vec<P::Route>,
    clients: Vec<P::Client>,
}

impl<P: Peer> Handles<P> {
    /// A meter for a set.
    #[must_use]
    pub fn new(set: &Set) -> Self {
        let peer = P::new(set);
        let routes = (0..set.routes()).map(|at| peer.route(&set.route_names(at)));
        let routes = routes.collect();
        let clients = (0..set.clients).map(|at| peer.client(&set.client_name(at)));
        let clients = clients.collect();
        Self {
            set: *set,
            peer,
            routes,
            clients,
        }
    }
}

impl<P: Peer> Writer for &Handles<P> {
    #[inline]
    fn record(&mut self, pick: &Pick) {
        self.peer.add_route(&self.routes[pick.route as usize], pick);
        self.peer
            .add_client(&self.clients[pick.client as usize], pick);
    }

    fn record_new_client(&mut self, pick: &Pick, name: &str) {
        self.peer.add_route(&self.routes[pick.route as usize], pick);
        self.peer.add_client(&self.peer.client(name), pick);
    }
}

impl<P: Peer> Backend for Handles<P> {
    type Writer<'a>
        = &'a Self
    where
        P: 'a;

    fn writer(&self) -> &Self {
        self
    }

    fn tally(&self) -> Tally {
        text::tally(&self.set, |page| self.peer.render(page))
    }

    fn scrape(&self, page: &mut Vec<u8>) {
        self.peer.render(page);
    }

    fn upkeep(&self) {
        self.peer.upkeep();
    }
}
