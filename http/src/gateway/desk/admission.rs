//! Whether a client may have what it asks for: its limits and its budget.

use super::Desk;
use crate::gateway::error::Refusal;
use crate::gateway::limits::{Estimate, Moment, Standing};
use crate::gateway::plan::Choice;
use crate::gateway::settlement::Settlement;
use crate::wire::envelope::Envelope;
use coo_llm_core::price::Bill;

impl Desk {
    /// Claims what a request may use of its client's limits, until it is settled, and
    /// notes in `standing` what its answer says of them.
    ///
    /// # Errors
    /// 429: a limit is reached, or the budget.
    pub(super) fn admit(
        &self,
        client: usize,
        choice: &Choice<'_>,
        (envelope, body_bytes): (&Envelope<'_>, usize),
        settlement: &mut Settlement,
        standing: &mut Standing,
    ) -> Result<(), Refusal> {
        if !self.limits.concerns(client) {
            return Ok(());
        }
        let estimate = Estimate::new(settlement.endpoint(), body_bytes, envelope);
        // A body may have taken its time since the request arrived.
        let now = settlement.arrived().max(coo_llm_runtime::coarse_now());
        let at = Moment {
            now,
            wall: self.unix_millis(now),
        };
        let cost = || {
            let model = self.model(choice.provider, choice.model);
            let prices = self.prices.borrow();
            let list = prices.0.of(choice.provider, &model)?;
            list.cost(&Bill::from(estimate.tokens()))
        };
        match self.limits.claim(client, estimate, cost, at, standing) {
            Ok(claim) => {
                settlement.claimed(claim);
                Ok(())
            }
            Err(denied) => {
                settlement.limited(denied.limit);
                Err(denied.refusal)
            }
        }
    }
}
