//! Classifies public internet addresses, and provides a resolver that returns only those. The checked address
//! is the one that is connected to, so a name cannot change in between.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;

/// Networks outside the public internet: the registries of special-purpose addresses (RFC 6890 and its
/// successors), multicast, reserved ranges, and addresses at which cloud platforms serve only their own
/// machines.
#[rustfmt::skip]
const SPECIAL_V4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // The service network of IBM Cloud.
    (Ipv4Addr::new(161, 26, 0, 0), 16),
    (Ipv4Addr::new(166, 8, 0, 0), 14),
    // Azure platform services: WireServer and DNS.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    // The metadata service of Equinix Metal.
    (Ipv4Addr::new(192, 80, 8, 124), 32),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Such networks within `2000::/3`, the only part of IPv6 that is allocated for public use.
const SPECIAL_V6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Domains whose names belong to a machine, a site or a cloud platform. They are not public, whatever address
/// they resolve to.
const SPECIAL_NAMES: &[&str] = &[
    "localhost",
    "local",
    "internal",
    "home.arpa",
    "localdomain",
    "instance-data",
    "metadata",
    "metadata.goog",
    "metadata.tencentyun.com",
    "metadata.packet.net",
];

/// True if `address` is on the public internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    !SPECIAL_V4.iter().any(|(network, length)| (bits ^ network.to_bits()) >> (32 - length) == 0)
}

/// An IPv6 address that embeds an IPv4 address is public only if the IPv4 address is.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let bits = address.to_bits();
    let is_in = |network: Ipv6Addr, length: u32| (bits ^ network.to_bits()) >> (128 - length) == 0;
    let [_, second, third, _, fifth, sixth, seventh, eighth] = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    let is_mapped = is_in(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(), 96);
    if is_mapped || is_in(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96) {
        return is_public_v4(v4(seventh, eighth));
    }
    if is_in(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16) {
        return is_public_v4(v4(second, third));
    }
    // ISATAP (RFC 5214) embeds an IPv4 address after any prefix.
    if matches!(fifth, 0 | 0x200) && sixth == 0x5efe && !is_public_v4(v4(seventh, eighth)) {
        return false;
    }
    is_in(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3)
        && !SPECIAL_V6.iter().any(|(network, length)| is_in(*network, *length))
}

/// The error for a host without a public address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotPublic;

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an address of the public internet")
    }
}

impl Error for NotPublic {}

/// Refuses a URL whose host is such an address, because addresses are not resolved, or a name that only such
/// addresses have.
pub(super) fn refuse_by_name(url: &Url) -> Result<(), NotPublic> {
    let is_fine = match address(url) {
        Some(address) => is_public(address),
        None => !SPECIAL_NAMES.iter().any(|domain| is_within(url, domain)),
    };
    if is_fine { Ok(()) } else { Err(NotPublic) }
}

/// True if `url` refers to this machine, decided without resolving a name.
pub fn is_this_machine(url: &Url) -> bool {
    match address(url) {
        Some(address) => address.to_canonical().is_loopback() || address.to_canonical().is_unspecified(),
        None => is_within(url, "localhost"),
    }
}

/// True if the host of `url` is `domain` or in it; both may end with a dot.
pub fn is_within(url: &Url, domain: &str) -> bool {
    let host = url.host_str().unwrap_or_default();
    let rest = host.strip_suffix('.').unwrap_or(host).strip_suffix(domain);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The IP address in a URL, if its host is not a name.
pub fn address(url: &Url) -> Option<IpAddr> {
    let host = url.host_str().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Resolves names like the system does, but returns only their public addresses.
pub(super) struct PublicResolver;

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // Port 0 is a placeholder: the HTTP client sets the real port.
            let all = lookup_host((name.as_str(), 0)).await?;
            let public: Vec<_> = all.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_public_internet_are_told_from_all_others() {
        #[rustfmt::skip]
        let private = [
            "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1",
            "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.170", "192.0.2.1",
            "168.63.129.16", "100.100.100.200", "192.0.0.192", "169.254.170.2", "161.26.0.10", "166.11.255.1",
            "192.80.8.124", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9",
            "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
            "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
            "::ffff:168.63.129.16", "64:ff9b::a83f:8110", "2002:a83f:8110::1", "fd20:ce::254", "fe80::a9fe:a9fe",
            "2a00:1450::5efe:7f00:1", "2a00:1450::200:5efe:a83f:8110",
            "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:20::1",
            "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "2002:c0a8:101::", "3fff::1", "5f00::1",
            "fc00::1", "fd12:3456::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "ff0e::1",
        ];
        #[rustfmt::skip]
        let public = [
            "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "128.0.0.1",
            "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255",
            "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
            "::ffff:8.8.8.8", "64:ff9b::808:808", "2001:200::1", "2001:4860:4860::8888", "2002:808:808::1",
            "168.63.129.15", "168.63.129.17", "166.7.255.255", "2a00:1450::5efe:808:808",
            "2606:4700::1111", "2a00:1450::1", "3ffe::1",
        ];
        for address in private {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in public {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn an_address_or_a_name_of_a_platform_is_refused_however_it_is_written() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "[::1]",
            "[::ffff:7f00:1]",
            "169.254.169.254",
            "168.63.129.16",
            "0xa83f8110",
            "metadata.google.internal",
            "METADATA.google.internal.",
            "metadata",
            "instance-data",
            "localhost",
            "printer.local",
            "metadata.goog",
            "[64:ff9b::a9fe:a9fe]",
        ] {
            let url = format!("http://{host}:8080/x").parse().unwrap();
            assert_eq!(refuse_by_name(&url), Err(NotPublic), "{host}");
        }
        for host in ["example.com", "internal.example", "notlocalhost", "8.8.8.8", "[2606:4700::1111]"] {
            assert_eq!(refuse_by_name(&format!("https://{host}/").parse().unwrap()), Ok(()), "{host}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_home_is_refused_when_it_is_resolved() {
        let error = PublicResolver.resolve("localhost".parse().unwrap()).await.err().unwrap();
        assert!(error.is::<NotPublic>(), "{error}");
    }
}
