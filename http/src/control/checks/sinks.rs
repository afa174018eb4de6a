//! How the stores outside do, as their deliveries know it.

use super::report::{Check, Status};
use coo_llm_exporters::sinks;
use std::collections::BTreeMap;
use std::time::Instant;

pub(super) fn check(known: Vec<(String, sinks::Status)>) -> BTreeMap<String, Check> {
    let one = |(name, sink): (String, sinks::Status)| {
        let began = Instant::now();
        let (status, detail) = judge(&sink);
        (name, Check::new(status, began.elapsed(), detail))
    };
    known.into_iter().map(one).collect()
}

/// Not its error, which may have what nobody should see: the log has it.
fn judge(sink: &sinks::Status) -> (Status, String) {
    let waiting = sink.waiting_bytes.map_or_else(String::new, |bytes| {
        format!("; about {bytes} bytes wait for it")
    });
    match sink.state {
        sinks::State::Up => (Status::Ok, format!("it took the last rows{waiting}")),
        sinks::State::Starting => (Status::Ok, "it was not reached yet".to_owned()),
        sinks::State::Down => {
            let detail =
                format!("it does not take rows, which are tried again{waiting}; see the log");
            (Status::Down, detail)
        }
        sinks::State::Stopped => {
            let detail = "the rows that come next for it are not there; see the log";
            (Status::Down, detail.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_that_takes_nothing_is_down_and_its_error_stays_inside() {
        let sink = |state| sinks::Status {
            state,
            error: Some("password=x".into()),
            ..sinks::Status::default()
        };
        for (state, status) in [
            (sinks::State::Starting, Status::Ok),
            (sinks::State::Up, Status::Ok),
            (sinks::State::Down, Status::Down),
            (sinks::State::Stopped, Status::Down),
        ] {
            let all = check(vec![("redis".into(), sink(state))]);
            assert_eq!(all["redis"].status, status);
            assert!(!all["redis"].detail.contains("password"));
        }
    }
}
