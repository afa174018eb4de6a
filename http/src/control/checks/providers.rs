//! Whether providers are reached: a connection to each, with TLS where it speaks it, and no
//! request. Beside it stands what the workers know.

use super::report::{Check, ProviderCheck, Status};
use crate::gateway::{ProviderHealth, Reach, Setup};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

pub(super) async fn check(setup: &Setup, time_max: Duration) -> BTreeMap<String, ProviderCheck> {
    let mut under_way = JoinSet::new();
    let ways = setup.plan.reaches();
    for (at, (known, reach)) in setup.plan.health().into_iter().zip(ways).enumerate() {
        let addresses = setup.addresses.of(at).to_vec();
        under_way.spawn(async move {
            let id = known.provider.to_string();
            (id, one(&known, reach, &addresses, time_max).await)
        });
    }
    let mut found = BTreeMap::new();
    while let Some(one) = under_way.join_next().await {
        found.extend(one);
    }
    found
}

async fn one(
    known: &ProviderHealth,
    reach: Option<Reach>,
    addresses: &[SocketAddr],
    time_max: Duration,
) -> ProviderCheck {
    let began = Instant::now();
    let reached = match reach {
        None => Ok("it answers in this process".to_owned()),
        Some(_) if addresses.is_empty() => Err("its name has no address".to_owned()),
        Some(reach) => {
            let time_max = time_max.min(reach.connect_time_max);
            match timeout(time_max, connect(&reach, addresses)).await {
                Ok(reached) => reached,
                Err(_) => Err(format!("no connection within {time_max:?}")),
            }
        }
    };
    let keys_up = known.keys.iter().filter(|key| key.is_up).count();
    let (status, detail) = judge(known, keys_up, reached);
    ProviderCheck {
        check: Check::new(status, began.elapsed(), detail),
        is_used: known.is_up,
        keys: known.keys.len(),
        keys_up,
    }
}

fn judge(
    known: &ProviderHealth,
    keys_up: usize,
    reached: Result<String, String>,
) -> (Status, String) {
    let keys = known.keys.len();
    match reached {
        Err(why) => (Status::Down, why),
        Ok(how) if keys_up == 0 => {
            let detail = format!("{how}; all of its keys are set aside, as it refused them");
            (Status::Down, detail)
        }
        Ok(how) if !known.is_up => {
            let detail =
                format!("{how}; a worker leaves it alone for a while, as requests to it failed");
            (Status::Degraded, detail)
        }
        Ok(how) if keys_up < keys => {
            let aside = keys - keys_up;
            let detail = format!("{how}; {aside} of {keys} keys set aside, as it refused them");
            (Status::Degraded, detail)
        }
        Ok(how) => (Status::Ok, how),
    }
}

/// Connects to the first address that answers, as the workers do.
async fn connect(reach: &Reach, addresses: &[SocketAddr]) -> Result<String, String> {
    let mut last = String::new();
    for address in addresses {
        let stream = match TcpStream::connect(address).await {
            Ok(stream) => stream,
            Err(error) => {
                last = format!("{address}: {error}");
                continue;
            }
        };
        let Some((config, name)) = &reach.tls else {
            return Ok(format!("connected to {address}"));
        };
        let connector = TlsConnector::from(config.clone());
        return match connector.connect(name.clone(), stream).await {
            Ok(_) => Ok(format!("connected to {address} with TLS")),
            Err(error) => Err(format!("{address}: TLS: {error}")),
        };
    }
    Err(last)
}
