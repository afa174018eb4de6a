//! The desk that a worker's next request is answered at.

use crate::gateway::desk::Desk;
use crate::gateway::setup::Setup;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub(super) struct Desks(RefCell<Rc<Desk>>);

impl Desks {
    pub(super) fn new(first: Desk) -> Self {
        Self(RefCell::new(Rc::new(first)))
    }

    /// The desk for a request that begins now.
    pub(super) fn current(&self) -> Rc<Desk> {
        Rc::clone(&self.0.borrow())
    }

    /// Goes by a setup from now on: at a new desk, if its plan is a new one.
    pub(super) fn take(&self, setup: &Setup) {
        let desk = self.current();
        if desk.is_for(&setup.plan) {
            desk.readdress(Arc::clone(&setup.addresses));
            desk.reprice(&setup.prices);
        } else {
            self.0.replace(Rc::new(desk.succeeded_by(setup)));
            setup.is_taken();
        }
    }
}
