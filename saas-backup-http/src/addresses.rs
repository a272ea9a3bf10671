use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use saas_backup_core::{Error, ErrorKind, Result};
use url::{Host, Url};

/// Which hosts a client may talk to.
///
/// Addresses come from settings, from redirects and from records, and a record may be written by anybody: a host that
/// is not on the list is refused, and so is one that is private, loopback or link-local, whether it is written as a
/// number or a name resolves to it. Through a proxy of the environment the proxy resolves names: then only numbers
/// are checked here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    hosts: BTreeSet<String>,
    any_host: bool,
    private: bool,
}

impl Addresses {
    /// No host yet, and nothing private.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a host; a name that begins with `*.` adds all names below it.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.insert(host.into().to_ascii_lowercase());
        self
    }

    /// Allows every host that is not private: for callers that check the host of each request themselves.
    #[must_use]
    pub fn with_any_host(mut self, allowed: bool) -> Self {
        self.any_host = allowed;
        self
    }

    /// Allows private and loopback addresses and, because it is one's own network, plain HTTP. Link-local addresses,
    /// where clouds keep their machines' credentials, stay refused. Default: no.
    #[must_use]
    pub fn with_private(mut self, allowed: bool) -> Self {
        self.private = allowed;
        self
    }

    /// Checks an address before it is used.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] if the host is not on the list or not public;
    /// [`ErrorKind::Configuration`] if the address is not one of HTTPS, or of HTTP where that is allowed.
    pub fn check(&self, url: &Url) -> Result<()> {
        match url.scheme() {
            "https" => {}
            "http" if self.private => {}
            "http" => {
                return Err(Error::new(
                    ErrorKind::Configuration,
                    "plain HTTP is refused: use HTTPS, or allow private addresses for a network of your own",
                ));
            }
            _ => return Err(Error::new(ErrorKind::Configuration, "the address is not one of HTTP")),
        }
        let host = url.host().ok_or_else(|| Error::new(ErrorKind::Configuration, "the address names no host"))?;
        if !self.lists(&host) {
            return Err(Error::new(ErrorKind::PermissionDenied, "the address leads to a host that is not allowed"));
        }
        match host {
            Host::Ipv4(address) => self.check_ip(address.into()),
            Host::Ipv6(address) => self.check_ip(address.into()),
            Host::Domain(_) => Ok(()),
        }
    }

    /// The addresses of a host that may be talked to, for protocols other than HTTP: those that are private, loopback or
    /// link-local are left out as said. The list of hosts does not count.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`] if the host has none that is allowed; [`ErrorKind::Unavailable`] if its name cannot be
    /// resolved.
    pub async fn resolve_host(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>> {
        let unknown = |_| Error::new(ErrorKind::Unavailable, "the host's name cannot be resolved");
        let found = tokio::net::lookup_host((host, port)).await.map_err(unknown)?;
        self.allowed(found)
    }

    fn allowed(&self, found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>> {
        let mut refusal = None;
        let allowed: Vec<SocketAddr> = found
            .filter(|address| self.check_ip(address.ip()).map_err(|error| refusal = Some(error)).is_ok())
            .collect();
        match refusal {
            Some(error) if allowed.is_empty() => Err(error),
            _ => Ok(allowed),
        }
    }

    /// Whether the host of an address is on the list.
    pub fn contains(&self, url: &Url) -> bool {
        url.host().is_some_and(|host| self.lists(&host))
    }

    fn lists<S: AsRef<str>>(&self, host: &Host<S>) -> bool {
        let name = match host {
            Host::Domain(name) => name.as_ref().trim_end_matches('.').to_ascii_lowercase(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => format!("[{address}]"),
        };
        let parents = name.match_indices('.').map(|(dot, _)| format!("*{}", name.get(dot..).unwrap_or_default()));
        self.any_host
            || self.hosts.contains(&name)
            || parents.into_iter().any(|wildcard| self.hosts.contains(&wildcard))
    }

    fn check_ip(&self, address: IpAddr) -> Result<()> {
        match reach(address) {
            Reach::Public => Ok(()),
            Reach::Private if self.private => Ok(()),
            Reach::Private => Err(Error::new(
                ErrorKind::PermissionDenied,
                "the address is private: allow private addresses if it is one of your own network",
            )),
            Reach::Never => Err(Error::new(ErrorKind::PermissionDenied, "the address is one that is never allowed")),
        }
    }
}

/// Drops the addresses that are not allowed after a name was resolved, so that a name cannot lead where a number may not.
impl Resolve for Addresses {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(addresses.allowed(found)?.into_iter()) as Addrs)
        })
    }
}

enum Reach {
    Public,
    Private,
    Never,
}

fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let [a, b, c, _] = address.octets();
    if address.is_link_local() || address.is_multicast() || address.is_unspecified() || address.is_broadcast() {
        return Reach::Never;
    }
    // Alibaba's and Oracle's machines ask for their credentials outside the link-local range.
    if address == Ipv4Addr::new(100, 100, 100, 200) || address == Ipv4Addr::new(192, 0, 0, 192) {
        return Reach::Never;
    }
    let shared = a == 100 && (64..128).contains(&b);
    let reserved = a == 0 || a >= 240 || (a, b, c) == (192, 0, 0) || (a == 198 && (b == 18 || b == 19));
    if address.is_private() || address.is_loopback() || address.is_documentation() || shared || reserved {
        return Reach::Private;
    }
    Reach::Public
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    if let Some(inner) = address.to_ipv4_mapped() {
        return reach_v4(inner);
    }
    let segments = address.segments();
    // NAT64 (RFC 6052) and 6to4 carry an IPv4 address that the network unpacks.
    if segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        return reach_v4(embedded_v4(segments[6], segments[7]));
    }
    if segments[0] == 0x2002 {
        return reach_v4(embedded_v4(segments[1], segments[2]));
    }
    let aws_metadata = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    if address.is_unspecified() || address.is_multicast() || address.is_unicast_link_local() || address == aws_metadata
    {
        return Reach::Never;
    }
    // Global unicast is 2000::/3; everything else is of some private or reserved kind.
    if segments[0] & 0xe000 == 0x2000 && segments[..2] != [0x2001, 0xdb8] { Reach::Public } else { Reach::Private }
}

fn embedded_v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    fn any(text: &str) -> Addresses {
        Addresses::new().with_host(url(text).host_str().unwrap())
    }

    #[test]
    fn only_hosts_on_the_list_are_allowed() {
        let addresses = Addresses::new().with_host("Example.com").with_host("*.cdn.example");
        for good in ["https://example.com/a", "https://EXAMPLE.com./a", "https://a.b.cdn.example/x"] {
            addresses.check(&url(good)).unwrap();
        }
        for bad in ["https://example.com.evil.org", "https://cdn.example", "https://notexample.com", "https://8.8.8.8"]
        {
            assert_eq!(addresses.check(&url(bad)).unwrap_err().kind(), ErrorKind::PermissionDenied, "{bad}");
        }
    }

    #[test]
    fn private_numbers_are_refused_in_every_spelling() {
        for text in [
            "https://127.0.0.1",
            "https://2130706433",
            "https://0x7f.1",
            "https://10.1.2.3",
            "https://192.168.0.1",
            "https://172.16.9.9",
            "https://100.64.0.1",
            "https://0.0.0.0",
            "https://[::1]",
            "https://[::ffff:127.0.0.1]",
            "https://[fd12::1]",
            "https://[64:ff9b::7f00:1]",
            "https://[2002:7f00:1::]",
        ] {
            assert_eq!(any(text).check(&url(text)).unwrap_err().kind(), ErrorKind::PermissionDenied, "{text}");
        }
        any("https://93.184.216.34").check(&url("https://93.184.216.34")).unwrap();
        any("https://[2606:4700::1111]").check(&url("https://[2606:4700::1111]")).unwrap();
    }

    #[test]
    fn where_clouds_keep_credentials_is_refused_even_if_private_addresses_are_allowed() {
        any("http://127.0.0.1").with_private(true).check(&url("http://127.0.0.1")).unwrap();
        for text in [
            "http://169.254.169.254",
            "http://[fe80::1]",
            "http://[fd00:ec2::254]",
            "http://[::ffff:169.254.169.254]",
            "http://100.100.100.200",
        ] {
            assert!(any(text).with_private(true).check(&url(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn plain_http_and_other_schemes_are_refused() {
        for text in ["http://example.com", "ftp://example.com"] {
            assert_eq!(any(text).check(&url(text)).unwrap_err().kind(), ErrorKind::Configuration, "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_a_private_address_is_refused() {
        let name = || "localhost".parse().unwrap();
        let refused = Addresses::new().resolve(name()).await;
        let error = refused.err().unwrap().downcast::<Error>().unwrap();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(Addresses::new().with_private(true).resolve(name()).await.unwrap().next().is_some());
    }
}
