//! Ports at which nobody answers.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrV4, SocketType, bind, getsockname, listen, socket};

/// A loopback port at which nobody listens.
pub(crate) fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a loopback port")
}

/// A loopback port whose queue of connections is full: packets to it are dropped, and connecting never ends.
pub(crate) struct BlackHole {
    pub(crate) address: SocketAddr,
    _listener: OwnedFd,
    _queued: Vec<TcpStream>,
}

impl BlackHole {
    pub(crate) fn open() -> Self {
        let listener = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&listener, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        listen(&listener, 0).expect("a listener");
        let address: SocketAddr =
            getsockname(&listener).expect("an address").try_into().expect("an IP address");
        let patience = Duration::from_millis(100);
        let queued: Vec<TcpStream> =
            (0..16).map_while(|_| TcpStream::connect_timeout(&address, patience).ok()).collect();
        assert!(queued.len() < 16, "the queue never fills");
        Self { address, _listener: listener, _queued: queued }
    }
}
