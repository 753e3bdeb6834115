//! Pure: addresses as people and attackers spell them, and which ones belong to the node itself.

use std::net::IpAddr;

use latchkey::model::endpoint::{Address, is_guarded};

#[test]
fn v_03_an_address_is_what_stands_at_its_host_after_parsing() {
    for (text, site, whole) in [
        ("https://vault.corp:8200", "https://vault.corp:8200", "https://vault.corp:8200"),
        ("https://vault.corp", "https://vault.corp", "https://vault.corp"),
        ("https://vault.corp:443/", "https://vault.corp", "https://vault.corp"),
        ("http://vault.corp:80/base/", "http://vault.corp", "http://vault.corp/base"),
        ("HTTPS://Vault.Corp:8200", "https://vault.corp:8200", "https://vault.corp:8200"),
        ("https://vault@evil.com", "https://evil.com", "https://evil.com"),
        ("https://vault.svc:x@evil.com:8200/a", "https://evil.com:8200", "https://evil.com:8200/a"),
        ("https://vault.svc\\@evil", "https://vault.svc", "https://vault.svc/@evil"),
        (
            "https://vault.example.com.evil.com",
            "https://vault.example.com.evil.com",
            "https://vault.example.com.evil.com",
        ),
        ("https://v\u{430}ult.corp", "https://xn--vult-53d.corp", "https://xn--vult-53d.corp"),
        ("https://evil.com#@vault.corp", "https://evil.com", "https://evil.com"),
        ("https://evil.com?@vault.corp", "https://evil.com", "https://evil.com"),
        ("https://0x7f.1", "https://127.0.0.1", "https://127.0.0.1"),
        ("https://2130706433/", "https://127.0.0.1", "https://127.0.0.1"),
        ("https://127.1:8200", "https://127.0.0.1:8200", "https://127.0.0.1:8200"),
        ("https://[::1]:8200", "https://[::1]:8200", "https://[::1]:8200"),
        ("https://[::ffff:7f00:1]", "https://[::ffff:7f00:1]", "https://[::ffff:7f00:1]"),
        ("https:///v1", "https://v1", "https://v1"),
        ("unix:///run/agent.sock", "unix:///run/agent.sock", "unix:///run/agent.sock"),
    ] {
        let address = Address::parse(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!((address.site().as_str(), address.to_string().as_str()), (site, whole), "{text}");
        assert_eq!(Address::parse(&address.to_string()), Some(address), "its own spelling means the same");
    }
    for text in [
        "",
        "vault.corp:8200",
        "vault.corp",
        "//vault.corp",
        "ftp://vault.corp",
        "file:///etc/passwd",
        "https://",
        "https://a b",
        "https://vault.corp:99999",
        "unix://run/x",
        "javascript:alert(1)",
        "https://%00",
    ] {
        assert_eq!(Address::parse(text), None, "{text}");
    }
}

#[test]
fn literal_addresses_are_seen_in_every_spelling() {
    for (text, literal) in [
        ("https://127.1", Some("127.0.0.1")),
        ("https://0251.0376.0251.0376", Some("169.254.169.254")),
        ("https://[fe80::1]", Some("fe80::1")),
        ("https://localhost", None),
        ("https://127.0.0.1.nip.io", None),
        ("unix:///x", None),
    ] {
        let literal: Option<IpAddr> = literal.map(|ip| ip.parse().unwrap());
        assert_eq!(Address::parse(text).unwrap().literal(), literal, "{text}");
    }
}

#[test]
fn what_belongs_to_the_node_is_guarded_and_nothing_else() {
    for ip in [
        "127.0.0.1",
        "127.255.255.255",
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "169.254.170.23",
        "169.254.0.1",
        "224.0.0.1",
        "239.255.255.255",
        "255.255.255.255",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "::",
        "::1",
        "fe80::1",
        "febf::1",
        "ff02::1",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "fd00:42::42",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "64:ff9b:1:2::7f00:1",
    ] {
        assert!(is_guarded(ip.parse().unwrap()), "{ip}");
    }
    for ip in [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "8.8.8.8",
        "126.255.255.255",
        "128.0.0.1",
        "169.253.255.255",
        "169.255.0.0",
        "223.255.255.255",
        "168.63.129.17",
        "fc00::1",
        "fd00:ec2::255",
        "2001:db8::1",
        "fec0::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::a00:1",
    ] {
        assert!(!is_guarded(ip.parse().unwrap()), "{ip}");
    }
}
