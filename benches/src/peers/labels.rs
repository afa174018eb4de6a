//! A peer that is given the labels of each record as strings.

use super::{Peer, text};
use crate::backend::{Backend, Writer};
use crate::pick::Pick;
use crate::set::{RouteNames, Set};
use crate::tally::Tally;

/// The meter, and the names of every route and client of a set.
pub struct Labels<P> {
    set: Set,
    peer: P,
    routes: Vec<RouteNames>,
    clients: Vec<String>,
}

impl<P: Peer> Labels<P> {
    /// A meter for a set.
    #[must_use]
    pub fn new(set: &Set) -> Self {
        Self {
            set: *set,
            peer: P::new(set),
            routes: (0..set.routes()).map(|at| set.route_names(at)).collect(),
            clients: (0..set.clients).map(|at| set.client_name(at)).collect(),
        }
    }
}

impl<P: Peer> Writer for &Labels<P> {
    #[inline]
    fn record(&mut self, pick: &Pick) {
        let client = &self.clients[pick.client as usize];
        self.record_new_client(pick, client);
    }

    #[inline]
    fn record_new_client(&mut self, pick: &Pick, name: &str) {
        let route = &self.routes[pick.route as usize];
        self.peer.add_by_labels(route, name, pick);
    }
}

impl<P: Peer> Backend for Labels<P> {
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
