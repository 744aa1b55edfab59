// SPDX-License-Identifier: Apache-2.0
//! A registry that others come after, which answers as a test says.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

/// The most headers of a request.
const MAX_HEADERS: usize = 100;
/// How often a reply that is held looks whether it may go on.
const HOLD_POLL: Duration = Duration::from_millis(5);

/// A request, as far as it matters.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
}

/// What is answered.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers, but for `Connection`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Said instead of the length of the body.
    pub length: Option<usize>,
    /// Whether no length is said, and the body goes on without end.
    pub is_endless: bool,
    /// How long each byte takes.
    pub per_byte: Duration,
    /// How long the head takes.
    pub before: Duration,
    /// After so many bytes of the body it waits until this is true.
    pub held: Option<(usize, Arc<AtomicBool>)>,
}

impl Reply {
    /// An answer.
    #[must_use]
    pub fn new(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: body.into(),
            ..Self::default()
        }
    }
}

type Answer = Arc<dyn Fn(&Asked) -> Reply + Send + Sync>;

/// A registry that answers as a test says. It ends with this value.
pub struct ScriptedUpstream {
    address: String,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    is_over: Arc<AtomicBool>,
}

impl ScriptedUpstream {
    /// Starts it on a free port of 127.0.0.1.
    pub fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(Arc::new(answer)));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let shared = (Arc::clone(&answer), Arc::clone(&asked), Arc::clone(&is_over));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(std::io::Result::ok) {
                let (answer, asked, is_over) = shared.clone();
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                std::thread::spawn(move || {
                    let _ = serve(stream, &answer, &asked, &is_over);
                });
            }
        });
        Ok(Self {
            address,
            answer,
            asked,
            is_over,
        })
    }

    /// `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers otherwise from now on.
    pub fn answer_with(&self, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(answer);
    }

    /// What it was asked: method and target.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked
            .iter()
            .map(|asked| format!("{} {}", asked.method, asked.target))
            .collect()
    }

    /// How many requests had this in method and target.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        self.asked().iter().filter(|asked| asked.contains(text)).count()
    }
}

impl Drop for ScriptedUpstream {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // The thread that accepts looks again.
        let _ = TcpStream::connect(&self.address);
    }
}

fn serve(
    stream: TcpStream,
    answer: &Mutex<Answer>,
    asked: &Mutex<Vec<Asked>>,
    is_over: &AtomicBool,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut parts = line.split(' ').map(str::to_owned);
    let mut request = Asked {
        method: parts.next().unwrap_or_default(),
        target: parts.next().unwrap_or_default(),
        headers: Vec::new(),
    };
    for _ in 0..MAX_HEADERS {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        request
            .headers
            .push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(request.clone());
    let answer = Arc::clone(&*answer.lock().unwrap_or_else(PoisonError::into_inner));
    let reply = answer(&request);
    send(stream, &request, &reply, is_over)
}

fn send(mut stream: TcpStream, request: &Asked, reply: &Reply, is_over: &AtomicBool) -> std::io::Result<()> {
    std::thread::sleep(reply.before);
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if !reply.is_endless {
        let length = reply.length.unwrap_or(reply.body.len());
        let _ = write!(head, "Content-Length: {length}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    if reply.per_byte.is_zero() {
        let at = reply.held.as_ref().map_or(0, |(at, _)| (*at).min(reply.body.len()));
        let (first, rest) = reply.body.split_at(at);
        stream.write_all(first)?;
        while let Some((_, may_go_on)) = &reply.held
            && !may_go_on.load(Ordering::Relaxed)
        {
            if is_over.load(Ordering::Relaxed) {
                return Ok(());
            }
            std::thread::sleep(HOLD_POLL);
        }
        stream.write_all(rest)?;
    } else {
        for byte in &reply.body {
            if is_over.load(Ordering::Relaxed) {
                return Ok(());
            }
            stream.write_all(&[*byte])?;
            std::thread::sleep(reply.per_byte);
        }
    }
    while reply.is_endless && !is_over.load(Ordering::Relaxed) {
        stream.write_all(&reply.body)?;
    }
    Ok(())
}
