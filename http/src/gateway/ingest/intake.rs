//! From a line to its one record.

use super::counters::Tally;
use super::ledger::{Claim, Ledger};
use super::routes::{Known, Routes};
use crate::gateway::plan::Plan;
use crate::gateway::price_book::PriceBook;
use crate::wire::ingest::{Fault, Line, Parser};
use crate::wire::terms::Terms;
use coo_llm_config::IngestRight;
use coo_llm_core::catalog::{ClientId, Route};
use coo_llm_core::names::Names;
use coo_llm_core::record::{Endpoint, ErrorType, Record, Tokens, UsageSource};
use coo_llm_core::{Micros, NanoUsd, ShardWriter, UnixMillis};
use std::time::Instant;

/// A clock of another machine may go before ours; a time beyond that would stand as the
/// last request of a client until it is past.
const AHEAD_MAX_MS: u64 = 24 * 60 * 60 * 1000;

/// One worker's reader of lines: the parser's buffers, and the names it has seen.
#[derive(Debug, Default)]
pub struct Intake {
    parser: Parser,
    clients: Names,
    routes: Routes,
}

/// A record that waits for its claim.
#[derive(Clone, Copy, Debug)]
struct Pending {
    key: u128,
    route: Route,
    client: ClientId,
    time: UnixMillis,
    latency: Micros,
    time_to_first_token: Option<Micros>,
    tokens: Tokens,
    usage: Option<UsageSource>,
    cost: Option<NanoUsd>,
    error: Option<ErrorType>,
}

/// Records that wait for their claims, in the order of their lines.
#[derive(Debug, Default)]
pub struct Batch {
    waiting: Vec<Pending>,
    /// Those that are done.
    done: usize,
}

impl Batch {
    /// Records at a time: enough that what is done once a batch costs little.
    pub const RECORDS_MAX: usize = 256;

    /// No more goes in until it is settled.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= Self::RECORDS_MAX
    }

    /// Claims and records what waits, and says what became of it; what is left when
    /// a part of the ledger is in use stays.
    ///
    /// A record follows its claim at once: whoever stops in between stops the process.
    #[must_use]
    pub fn settle(&mut self, ledger: &Ledger, writer: &mut ShardWriter, now: Instant) -> Tally {
        let mut tally = Tally::default();
        while let Some(pending) = self.waiting.get(self.done) {
            match ledger.claim(pending.key, now) {
                Claim::New => {
                    writer.record(&pending.record());
                    tally.accepted += 1;
                }
                Claim::Duplicate => tally.duplicates += 1,
                Claim::Busy => return tally,
            }
            self.done += 1;
        }
        self.waiting.clear();
        self.done = 0;
        tally
    }

    /// Whether all of it was settled.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Intake {
    /// Reads a line that the `client`-th of the plan sent, and puts its record into `batch`.
    /// The prices are those of the plan.
    ///
    /// # Errors
    /// [`Fault`] where it is no record, or not one that this client may send.
    ///
    /// # Cost
    /// No allocation, but for names that are new to this worker.
    pub fn read(
        &mut self,
        (plan, prices): (&Plan, &PriceBook),
        client: usize,
        text: &[u8],
        now: UnixMillis,
        ledger: &Ledger,
        batch: &mut Batch,
    ) -> Result<(), Fault> {
        let line = self.parser.parse(text)?;
        if line.time.0 > now.0.saturating_add(AHEAD_MAX_MS) {
            return Err(Fault::InTheFuture);
        }
        let sender = &plan.clients[client];
        let client = if *sender.id == *line.client_id {
            sender.series
        } else if sender.ingest == IngestRight::Any {
            self.clients.client(plan.meter.catalog(), line.client_id)
        } else {
            return Err(Fault::OtherClient);
        };
        let names = [line.provider, line.model, line.key_id];
        let route = self.routes.of(plan, prices, names);
        let usage = usage(&line);
        let cost = match (line.cost, usage) {
            (Some(cost), _) => Some(cost),
            (None, None) => Some(NanoUsd::ZERO),
            (None, Some(_)) => cost(route, &line),
        };
        batch.waiting.push(Pending {
            key: ledger.key(line.client_id, line.id),
            route: route.series,
            client,
            time: line.time,
            latency: line.latency,
            time_to_first_token: line.time_to_first_token,
            tokens: line.tokens,
            usage,
            cost,
            error: line.error,
        });
        Ok(())
    }
}

/// What a line costs here, in its tier; `None` where that is not known.
fn cost(route: &Known, line: &Line<'_>) -> Option<NanoUsd> {
    let terms = Terms {
        tier: line.tier,
        ..Terms::default()
    };
    route.price.as_ref()?.cost(&terms.bill(line.tokens)?)
}

/// Where the tokens come from: of a failure without any, from nowhere.
fn usage(line: &Line<'_>) -> Option<UsageSource> {
    let is_unused = line.error.is_some() && line.tokens.total() == 0;
    (!is_unused).then_some(UsageSource::Provider)
}

impl Pending {
    fn record(&self) -> Record<'static> {
        Record {
            route: self.route,
            client: self.client,
            endpoint: Endpoint::Ingest,
            // Its id is another gateway's, and would lead nowhere in our log.
            request_id: None,
            finished: self.time,
            latency: self.latency,
            overhead: None,
            time_to_first_token: self.time_to_first_token,
            time_per_output_token: self.time_per_output_token(),
            tokens: self.tokens,
            usage: self.usage,
            cost: self.cost,
            error: self.error,
            limited: None,
            attempts: &[],
        }
    }

    /// The mean time between the tokens of a stream, as the gateway's own have it.
    fn time_per_output_token(&self) -> Option<Micros> {
        let first = self.time_to_first_token?;
        let gaps = self.tokens.total_output().checked_sub(1)?;
        let passed = self.latency.0.checked_sub(first.0)?;
        (gaps > 0).then(|| Micros(passed.div_ceil(gaps)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coo_llm_core::Meter;

    const CONFIG: &str = "
llm_providers:
  - { id: p, type: custom, base_url: \"http://127.0.0.1:1/v1\",
      pricing: { input_per_million: 4, output_per_million: 8, flex: { input_per_million: 2, output_per_million: 4 } } }
";

    #[test]
    fn a_line_without_a_cost_is_priced_in_its_tier() {
        let config = coo_llm_config::parse(CONFIG, &|_| None).expect("a configuration");
        let plan = Plan::new(&config, &Meter::new(100)).expect("a plan");
        let prices = PriceBook::new(&plan, None);
        let mut routes = Routes::default();
        let mut parser = Parser::default();
        let mut priced = |tier: &str| {
            let text = format!(
                r#"{{"id":"r","time":1,"provider":"p","model":"m","key_id":"k","client_id":"c","status":200,"latency_ms":1,"prompt_tokens":10,"completion_tokens":1{tier}}}"#
            );
            let line = parser.parse(text.as_bytes()).expect("a record");
            let route = routes.of(&plan, &prices, ["p", "m", "k"]);
            cost(route, &line).map(|cost| cost.0)
        };
        assert_eq!(priced(""), Some(48_000));
        assert_eq!(priced(r#","service_tier":"default""#), Some(48_000));
        assert_eq!(priced(r#","service_tier":null"#), Some(48_000));
        assert_eq!(priced(r#","service_tier":"flex""#), Some(24_000));
        assert_eq!(priced(r#","service_tier":"priority""#), None);
        assert_eq!(priced(r#","service_tier":"of tomorrow""#), None);
    }
}
