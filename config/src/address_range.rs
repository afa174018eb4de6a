//! A range of IP addresses, as `server.trusted_proxies` lists them.

use crate::scalar::Wrong;
use std::net::IpAddr;

/// An address, or a network in CIDR notation: `10.0.0.0/8`, `::1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    network: IpAddr,
    bits: u8,
}

impl AddressRange {
    /// Reads an address or a network; bits behind the prefix must be 0.
    ///
    /// # Errors
    /// Why it is none: completes the sentence "`text` ...".
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let wrong = "is not an address or network; write one such as 10.0.0.1 or 10.0.0.0/8";
        let (address, prefix) = text
            .split_once('/')
            .map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let network: IpAddr = address.parse().map_err(|_| wrong)?;
        let width = if network.is_ipv4() { 32 } else { 128 };
        let bits = match prefix {
            None => width,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                let bits = digits.parse().ok().filter(|bits| *bits <= width);
                bits.ok_or(wrong)?
            }
            Some(_) => return Err(wrong.into()),
        };
        let range = Self { network, bits };
        if masked(network, bits) != number(network) {
            return Err("has bits behind its prefix; write the network's first address".into());
        }
        Ok(range)
    }

    /// Whether the address is in it. An IPv4 address that came over an IPv6 socket is the IPv4
    /// address.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.network.is_ipv4()
            && masked(address, self.bits) == number(self.network)
    }
}

/// The address as a number, left-aligned to 128 bits.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn masked(address: IpAddr, bits: u8) -> u128 {
    let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
    number(address) & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_its_addresses_and_no_others() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.1", "10.0.0.1", "10.0.0.2"),
            ("0.0.0.0/0", "255.255.255.255", "::"),
            ("192.168.4.0/22", "192.168.7.255", "192.168.8.0"),
            ("::/0", "::1", "127.0.0.1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "::2"),
            ("127.0.0.1", "::ffff:127.0.0.1", "::ffff:127.0.0.2"),
        ] {
            let of = |text: &str| text.parse().expect("an address");
            let range = AddressRange::parse(range).expect(range);
            assert!(range.contains(of(inside)), "{range:?} {inside}");
            assert!(!range.contains(of(outside)), "{range:?} {outside}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "",
            "x",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/+8",
            "10.0.0.1/8",
            "10.0.0/8",
        ] {
            assert!(AddressRange::parse(text).is_err(), "{text}");
        }
    }
}
