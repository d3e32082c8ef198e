//! A server that speaks Ollama's API (`/api/chat`, `/api/tags`), on this machine unless the user allowed another.
//!
//! Nothing is sent but to the address that was checked: no proxy, no redirect.

use super::{Ask, Written};
use crate::step::StepError;
use serde::Deserialize;
use serde_json::json;
use spinbot::Fault;
use spinbot_models::language::{Next, Progress};
use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::http::Uri;

/// How long the server may take to be reached.
const REACHED: Duration = Duration::from_secs(3);
/// How long it may say nothing: it may have to load gigabytes first.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often the wish to stop is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// More than this is no script.
const LONGEST_ANSWER: u64 = 1 << 20;
/// Names of models that are listed in a message.
const NAMED: usize = 12;

/// A server and a model of it.
pub(crate) struct Ollama {
    url: String,
    model: String,
    patience: Duration,
}

/// One line of its answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    message: Piece,
    done: bool,
    error: Option<String>,
    eval_count: Option<usize>,
    /// Nanoseconds.
    eval_duration: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Piece {
    content: String,
}

/// What the thread that reads hears.
enum Heard {
    Line(Line),
    /// The server refused: its status and its words.
    Refused(u16, String),
    /// It cannot be reached, or broke off.
    Broken(String),
    Unreadable(String),
    End,
}

/// Whether an address may be asked: http, and this machine unless `remote`.
///
/// # Errors
/// It is no address, or not allowed.
pub(crate) fn check(url: &str, model: &str, remote: bool) -> Result<(), Fault> {
    let wrong = |why: &str, help: &str| Err(Fault::new(format!("{url}: {why}")).help(help).about("ollama"));
    if model.trim().is_empty() {
        return Err(Fault::new("no model of Ollama's is named").help("write `ollama:NAME`").about("llm"));
    }
    let Ok(uri) = url.parse::<Uri>() else {
        return wrong("this is no address", "write it as http://127.0.0.1:11434");
    };
    if uri.scheme_str() != Some("http") {
        return wrong(
            "only http is spoken here",
            "write it as http://127.0.0.1:11434; another machine is best reached through an SSH tunnel",
        );
    }
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if !here && !remote {
        return wrong(
            "this is another machine: topic and persona would leave this one",
            "add --allow-remote if you want that",
        );
    }
    Ok(())
}

impl Ollama {
    pub(crate) fn new(url: &str, model: &str) -> Self {
        Ollama { url: url.trim_end_matches('/').to_owned(), model: model.to_owned(), patience: PATIENCE }
    }

    #[cfg(test)]
    fn patient(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    pub(crate) fn title(&self) -> String {
        format!("Ollama's {}", self.model)
    }

    fn agent(&self) -> Agent {
        let config = Agent::config_builder()
            .timeout_connect(Some(REACHED))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        config.new_agent()
    }

    /// Writes, by one streamed request.
    ///
    /// # Errors
    /// The server is not there, lacks the model, says nothing for too long, or answers with something else.
    pub(super) fn write(
        &self,
        ask: &Ask,
        heard: &mut dyn FnMut(Progress<'_>) -> Next,
    ) -> Result<Written, StepError> {
        let lines = self.ask(ask);
        let started = Instant::now();
        let mut last = started;
        let (mut text, mut count) = (String::new(), 0);
        loop {
            let line = match lines.recv_timeout(LOOK) {
                Ok(Heard::Line(line)) => line,
                Ok(Heard::Refused(status, words)) => return Err(self.refused(status, &words).into()),
                Ok(Heard::Broken(why)) => return Err(self.unreachable(&why).into()),
                Ok(Heard::Unreadable(why)) => return Err(self.strange(&why).into()),
                Ok(Heard::End) | Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.strange("it ended before it was done").into());
                }
                Err(RecvTimeoutError::Timeout) => {
                    if heard(Progress::Reading(0, 1)) == Next::Stop {
                        return Err(StepError::Cancelled);
                    }
                    if last.elapsed() > self.patience {
                        return Err(self.silent().into());
                    }
                    continue;
                }
            };
            last = Instant::now();
            if let Some(error) = line.error {
                return Err(self.refused(200, &error).into());
            }
            text.push_str(&line.message.content);
            count += usize::from(!line.message.content.is_empty());
            let seconds = || started.elapsed().as_secs_f64();
            if line.done {
                let own = line.eval_duration.map(|nanoseconds| nanoseconds as f64 / 1e9);
                let tokens = line.eval_count.unwrap_or(count);
                return Ok(Written { text, tokens, seconds: own.unwrap_or_else(seconds) });
            }
            match heard(Progress::Writing(&text)) {
                // It cannot be told to come to an end; what is too long is cut afterwards.
                Next::Go | Next::Close => {}
                Next::Stop => return Err(StepError::Cancelled),
            }
        }
    }

    /// Asks in a thread of its own, so that a silent server can be left. It ends with the answer, or when nobody listens.
    fn ask(&self, ask: &Ask) -> Receiver<Heard> {
        let messages: Vec<_> =
            ask.messages.iter().map(|m| json!({"role": m.role.name(), "content": m.content})).collect();
        let body = json!({
            "model": self.model,
            "messages": messages,
            "format": ask.schema,
            "stream": true,
            "think": false,
            "options": {
                // Ollama takes what fits 31 bits.
                "seed": ask.seed & 0x7fff_ffff,
                "temperature": ask.temperature,
                "num_predict": ask.most_tokens,
            },
        });
        let (sender, receiver) = mpsc::channel();
        let request = self.agent().post(format!("{}/api/chat", self.url));
        std::thread::spawn(move || {
            let mut response = match request.send_json(&body) {
                Ok(response) => response,
                Err(e) => return drop(sender.send(Heard::Broken(e.to_string()))),
            };
            let status = response.status().as_u16();
            let mut reader = BufReader::new(response.body_mut().as_reader().take(LONGEST_ANSWER));
            if status != 200 {
                let mut words = String::new();
                // What cannot be read is no better than nothing.
                let _ = reader.by_ref().take(4096).read_to_string(&mut words);
                return drop(sender.send(Heard::Refused(status, words)));
            }
            let mut line = String::new();
            loop {
                line.clear();
                let said = match reader.read_line(&mut line) {
                    Ok(0) => Heard::End,
                    Ok(_) if line.trim().is_empty() => continue,
                    Ok(_) => match serde_json::from_str(&line) {
                        Ok(line) => Heard::Line(line),
                        Err(e) => Heard::Unreadable(e.to_string()),
                    },
                    Err(e) => Heard::Broken(e.to_string()),
                };
                let more = matches!(said, Heard::Line(_));
                if sender.send(said).is_err() || !more {
                    return;
                }
            }
        });
        receiver
    }

    /// The names of its models, for help.
    fn models(&self) -> Vec<String> {
        #[derive(Deserialize)]
        struct Tags {
            models: Vec<Tag>,
        }
        #[derive(Deserialize)]
        struct Tag {
            name: String,
        }
        let request = self.agent().get(format!("{}/api/tags", self.url)).config();
        let answer = request.timeout_global(Some(REACHED)).build().call();
        let tags = answer.ok().and_then(|mut answer| answer.body_mut().read_json::<Tags>().ok());
        tags.map_or_else(Vec::new, |tags| tags.models.into_iter().map(|tag| tag.name).collect())
    }

    fn refused(&self, status: u16, words: &str) -> Fault {
        let words = match serde_json::from_str::<Line>(words) {
            Ok(line) => line.error.unwrap_or_default(),
            Err(_) => words.chars().take(200).collect(),
        };
        let words = words.trim();
        if status == 404 || words.contains("not found") {
            let models = self.models();
            let fault = Fault::new(format!("Ollama has no model `{}`", self.model)).about("llm");
            return fault.help(match models.is_empty() {
                true => format!("fetch it with `ollama pull {}` in a terminal", self.model),
                false => format!(
                    "it has {}; fetch others with `ollama pull NAME` in a terminal",
                    models.into_iter().take(NAMED).collect::<Vec<_>>().join(", ")
                ),
            });
        }
        let said = if words.is_empty() { format!("status {status}") } else { words.to_owned() };
        Fault::new(format!("Ollama refused to write: {said}")).help("see its log").about("llm")
    }

    fn unreachable(&self, why: &str) -> Fault {
        Fault::new(format!("Ollama does not answer at {}: {why}", self.url))
            .help("start it with `ollama serve`, or name its address with --ollama")
            .about("llm")
    }

    fn silent(&self) -> Fault {
        let seconds = self.patience.as_secs_f64();
        Fault::new(format!("Ollama's {} said nothing for {seconds:.0} s", self.model))
            .help("a smaller model answers sooner; see whether it still loads with `ollama ps`")
            .about("llm")
    }

    fn strange(&self, why: &str) -> Fault {
        Fault::new(format!("what answers at {} does not speak Ollama's language: {why}", self.url))
            .help("see that it is Ollama 0.5 or later")
            .about("llm")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinbot_models::language::{Message, Role};
    use std::io::Write;
    use std::net::TcpListener;

    /// A server that answers one request with these bytes and then says nothing until it is left.
    fn server(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(answer).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        url
    }

    fn ask() -> Ask {
        Ask {
            messages: vec![Message { role: Role::User, content: "tea".into() }],
            schema: json!({}),
            seed: 1,
            temperature: 0.5,
            most_tokens: 10,
        }
    }

    #[test]
    fn addresses_of_other_machines_need_leave() {
        for (url, remote, allowed) in [
            ("http://127.0.0.1:11434", false, true),
            ("http://localhost:1/", false, true),
            ("http://[::1]:11434", false, true),
            ("http://192.168.1.5:11434", false, false),
            ("http://192.168.1.5:11434", true, true),
            ("http://localhost.evil.example", false, false),
            ("http://127.0.0.1.evil.example", false, false),
            ("http://user@evil.example", false, false),
            ("http://127.0.0.1@evil.example", false, false),
            ("https://127.0.0.1", false, false),
            ("file:///etc/passwd", true, false),
            ("", true, false),
        ] {
            assert_eq!(check(url, "x", remote).is_ok(), allowed, "{url}");
        }
    }

    #[test]
    fn a_silent_server_is_left_and_so_is_one_that_nobody_waits_for() {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let silent = Ollama::new(&server(head), "x").patient(Duration::from_millis(200));
        let Err(StepError::Fault(fault)) = silent.write(&ask(), &mut |_| Next::Go) else {
            panic!("it waited")
        };
        assert!(fault.message.contains("said nothing for 0 s") && fault.help.is_some(), "{fault}");
        let stopped = Ollama::new(&server(head), "x").write(&ask(), &mut |_| Next::Stop);
        assert!(matches!(stopped, Err(StepError::Cancelled)));
        let gone = Ollama::new(&server(b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}"), "x");
        let Err(StepError::Fault(fault)) = gone.write(&ask(), &mut |_| Next::Go) else {
            panic!("it went on")
        };
        assert!(fault.message.contains("refused to write: status 500"), "{fault}");
    }
}
