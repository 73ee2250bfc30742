//! Connections that end while they are idle, just as a request comes: seen by a receiver that speaks HTTP by hand.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::portal::Portal;
use crate::setup::Setup;
use crate::waiting::until;

/// What came in: the number of the connection, for each request.
type Requests = Arc<Mutex<Vec<usize>>>;

/// A receiver that closes connections without an answer to the requests which `is_dropped` picks by their number.
async fn start(is_dropped: fn(usize) -> bool) -> (SocketAddr, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Requests::default();
    let noted = requests.clone();
    tokio::spawn(async move {
        for connection in 1.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, connection, noted.clone(), is_dropped));
        }
    });
    (address, requests)
}

async fn serve(mut stream: TcpStream, connection: usize, requests: Requests, is_dropped: fn(usize) -> bool) {
    while read_request(&mut stream).await {
        let number = {
            let mut requests = requests.lock().unwrap();
            requests.push(connection);
            requests.len()
        };
        if is_dropped(number) {
            return;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok();
    }
}

/// One whole request, body included.
async fn read_request(stream: &mut TcpStream) -> bool {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).to_lowercase();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if read.len() >= head.len() + 4 + length {
                return true;
            }
        }
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return false;
        }
    }
}

fn setup(portal: &Portal, address: SocketAddr) -> Setup {
    // What counts as a failure is not tried again within this test.
    Setup::new().with_source(portal).with(&format!(
        "[sinks.crm]\ntype = \"webhook\"\nurl = \"http://{address}/\"\nretry = {{ min = \"1h\", max = \"1h\" }}"
    ))
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_replaced_at_once_and_counts_as_nothing() {
    let portal = Portal::start().await;
    let (address, requests) = start(|number| number == 2).await;
    let setup = setup(&portal, address);
    let mut relay = setup.run();
    portal.record(1, 1).await;
    until("the first is delivered", async || setup.lane_of("crm").await["delivered"] == 1).await;
    portal.record(1, 1).await;
    until("the second has come to an end", async || {
        let lane = setup.lane_of("crm").await;
        lane["delivered"] == 2 || lane["state"] != "flowing"
    })
    .await;
    assert_eq!(*requests.lock().unwrap(), [1, 1, 2], "{}", relay.log());
    assert_eq!(setup.lane_of("crm").await["state"], "flowing");
    assert!(!relay.log().contains("attempt="), "{}", relay.log());
    relay.stop().await;
}

#[tokio::test]
async fn a_receiver_that_closes_new_connections_too_is_asked_once_more_and_no_further() {
    let portal = Portal::start().await;
    let (address, requests) = start(|number| number >= 2).await;
    let setup = setup(&portal, address);
    let mut relay = setup.run();
    portal.record(1, 1).await;
    until("the first is delivered", async || setup.lane_of("crm").await["delivered"] == 1).await;
    portal.record(1, 1).await;
    let trouble = setup.trouble_of("crm", "retrying").await;
    assert!(trouble.contains("no answer"), "{trouble}");
    assert_eq!(*requests.lock().unwrap(), [1, 1, 2], "{}", relay.log());
    // On a connection that is new there is no second request at all.
    relay.signal(rustix::process::Signal::HUP);
    until("another attempt", async || requests.lock().unwrap().len() > 3).await;
    relay.until_logged("attempt=2").await;
    assert_eq!(*requests.lock().unwrap(), [1, 1, 2, 3], "{}", relay.log());
    relay.stop().await;
}
