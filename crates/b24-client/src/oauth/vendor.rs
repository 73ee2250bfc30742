//! The domains of the vendor's cloud. A portal may be renamed within them without confirmation.

use reqwest::Url;

use crate::http::is_within;

/// The regions of the cloud. The vendor's other domains with the same name host the web sites of customers.
const DOMAINS: &[&str] = &[
    "bitrix24.com",
    "bitrix24.com.br",
    "bitrix24.com.tr",
    "bitrix24.by",
    "bitrix24.cn",
    "bitrix24.de",
    "bitrix24.es",
    "bitrix24.eu",
    "bitrix24.fr",
    "bitrix24.id",
    "bitrix24.in",
    "bitrix24.it",
    "bitrix24.jp",
    "bitrix24.kz",
    "bitrix24.pl",
    "bitrix24.ru",
    "bitrix24.ua",
    "bitrix24.uk",
    "bitrix24.vn",
];

/// True if `url` is the address of a portal in the vendor's cloud.
pub(crate) fn is_cloud_portal(url: &Url) -> bool {
    DOMAINS.iter().any(|domain| is_within(url, domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_vendors_own_domains_are_its_cloud() {
        let is_cloud = |host: &str| is_cloud_portal(&format!("https://{host}/rest/").parse().unwrap());
        for host in [
            "a.bitrix24.com",
            "A.Bitrix24.RU",
            "b24-x1.bitrix24.com.br",
            "a.bitrix24.de.",
            "a.bitrix24.kz:8443",
        ] {
            assert!(is_cloud(host), "{host}");
        }
        for host in [
            "bitrix24.evil.com",
            "evilbitrix24.com",
            "a.bitrix24.com.evil.com",
            "a.bitrix24.xyz",
            "a.bitrix24.site",
            "a.bitrix24.com-evil.com",
            "bitrix24com",
            "a.bitrix24.com.uk",
            "a.bitrix.info",
            "10.0.0.1",
            "a.xn--bitrix24-1fg.com",
            "evil.com#.bitrix24.com",
            "evil.com?.bitrix24.com",
            "evil.com/.bitrix24.com",
            "a.bitrix24.com@evil.com",
        ] {
            assert!(!is_cloud(host), "{host}");
        }
    }
}
