//! The upstream as a process of its own, for benches: `upstream [PORT]`.
//!
//! Prints its base URL, serves until its standard input closes, then prints what it served.
#![expect(clippy::print_stdout, reason = "a command line tool talks to its user")]

use coo_llm_tests::upstream::Upstream;
use std::io::Read as _;

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).map_or(Ok(0), |text| text.parse());
    let port = port.map_err(|_| std::io::Error::other("usage: upstream [PORT]"))?;
    let upstream = Upstream::builder().totals_only().port(port).start();
    println!("{}", upstream.base_url());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    let ledger = upstream.ledger();
    println!("connections {}", ledger.connections);
    for ((model, _, kind, status), totals) in &ledger.totals {
        println!("{model} {kind:?} {status}: {totals:?}");
    }
    Ok(())
}
