//! A webhook receiver with the least possible cost: it reads a request and answers 200 immediately.
#![expect(clippy::print_stdout, reason = "its address is its output")]

use std::io::{BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use crate::requests::body_length;

/// Prints its address, then serves until it is killed.
pub(crate) fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("http://{}/", listener.local_addr().unwrap());
    for stream in listener.incoming() {
        thread::spawn(|| answer_all(stream.unwrap()));
    }
}

fn answer_all(mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut requests = BufReader::new(stream.try_clone().unwrap());
    let mut body = Vec::new();
    while let Some(length) = body_length(&mut requests) {
        body.resize(length, 0);
        requests.read_exact(&mut body).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    }
}
