//! A web server that answers every request with what the test has set, one connection at a time per thread.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

#[derive(Clone)]
pub struct Web {
    pub address: SocketAddr,
    answer: Arc<Mutex<Option<(u16, String)>>>,
    /// Request lines with bodies, and how many connections they came on.
    pub seen: Arc<Mutex<Vec<(String, String)>>>,
    pub connections: Arc<Mutex<u32>>,
}

impl Web {
    pub fn start(status: u16, body: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let web = Self {
            address: listener.local_addr().unwrap(),
            answer: Arc::new(Mutex::new(Some((status, body.to_owned())))),
            seen: Arc::default(),
            connections: Arc::default(),
        };
        let serving = web.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                *serving.connections.lock().unwrap() += 1;
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        web
    }

    pub fn answer(&self, status: u16, body: &str) {
        *self.answer.lock().unwrap() = Some((status, body.to_owned()));
    }

    /// From now on requests are read and not answered.
    pub fn hang(&self) {
        *self.answer.lock().unwrap() = None;
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        loop {
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
                if line.trim().is_empty() {
                    break;
                }
                head.push(line.trim().to_lowercase());
            }
            let length = head.iter().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            reader.read_exact(&mut body).unwrap();
            self.seen.lock().unwrap().push((head[0].clone(), String::from_utf8(body).unwrap()));
            let answer = self.answer.lock().unwrap().clone();
            let Some((status, body)) = answer else { continue };
            let length = body.len();
            let _ = write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n\r\n{body}");
        }
    }
}
