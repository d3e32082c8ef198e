//! What was run in this kernel, as `history_request` asks for it. Kept in memory and gone with the kernel.

use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};

/// Cells kept; older ones are forgotten.
const KEPT: usize = 10_000;

/// The number under which clients see this kernel's own cells.
const SESSION: u64 = 1;

/// What a client asks for. Clients leave out what they do not care about.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct HistoryRequest {
    output: bool,
    hist_access_type: String,
    session: i64,
    start: u64,
    stop: Option<u64>,
    n: Option<usize>,
    pattern: String,
    unique: bool,
}

impl Default for HistoryRequest {
    fn default() -> Self {
        HistoryRequest {
            output: false,
            hist_access_type: "tail".to_owned(),
            session: 0,
            start: 0,
            stop: None,
            n: None,
            pattern: "*".to_owned(),
            unique: false,
        }
    }
}

/// The cells run so far.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Execution count and code, oldest first.
    cells: Mutex<Vec<(u64, String)>>,
}

impl History {
    pub(super) fn add(&self, count: u64, code: &str) {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if cells.len() >= KEPT {
            cells.drain(..KEPT / 10);
        }
        cells.push((count, code.to_owned()));
    }

    /// The content of a `history_reply`.
    pub(super) fn reply(&self, content: &Value) -> serde_json::Result<Value> {
        let request = HistoryRequest::deserialize(content)?;
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<&(u64, String)> = match request.hist_access_type.as_str() {
            // There is no session but this one, which clients call 0 or by its number.
            "range" if request.session == 0 || request.session == SESSION as i64 => {
                let stop = request.stop.filter(|stop| *stop > 0).unwrap_or(u64::MAX);
                cells.iter().filter(|(count, _)| (request.start..stop).contains(count)).collect()
            }
            "range" => Vec::new(),
            "search" => cells.iter().filter(|(_, code)| matches_glob(&request.pattern, code)).collect(),
            _ => cells.iter().collect(),
        };
        if request.unique {
            let mut seen = std::collections::HashSet::new();
            found.reverse();
            found.retain(|(_, code)| seen.insert(code.as_str()));
            found.reverse();
        }
        if request.hist_access_type != "range"
            && let Some(n) = request.n
        {
            found.drain(..found.len().saturating_sub(n));
        }
        let history: Vec<Value> = found
            .into_iter()
            .map(|(count, code)| match request.output {
                true => json!([SESSION, count, [code, null]]),
                false => json!([SESSION, count, code]),
            })
            .collect();
        Ok(json!({"status": "ok", "history": history}))
    }
}

/// `*` is any text, `?` any character. Linear memory and at most quadratic time, whatever the pattern.
fn matches_glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on if the text after the last star does not fit: one character later.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((after_star, from)) => {
                    p = after_star;
                    t = from + 1;
                    retry = Some((after_star, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn clients_find_what_they_ran() {
        let history = History::default();
        for (count, code) in [(1, "let a = 1;"), (2, "a"), (3, "a"), (4, "let b = a;"), (5, "b")] {
            history.add(count, code);
        }
        let cases: [(Value, &[u64]); 12] = [
            (json!({}), &[1, 2, 3, 4, 5]),
            (json!({"hist_access_type": "tail", "n": 2, "output": false, "raw": true}), &[4, 5]),
            (json!({"hist_access_type": "tail", "n": 0}), &[]),
            (json!({"hist_access_type": "tail", "n": 99}), &[1, 2, 3, 4, 5]),
            (json!({"hist_access_type": "range", "session": 0, "start": 2, "stop": 4}), &[2, 3]),
            (json!({"hist_access_type": "range", "session": 0, "start": 4}), &[4, 5]),
            (json!({"hist_access_type": "range", "session": 0, "start": 4, "stop": null}), &[4, 5]),
            (json!({"hist_access_type": "range", "session": -1, "start": 1}), &[]),
            (json!({"hist_access_type": "search", "pattern": "let *"}), &[1, 4]),
            (json!({"hist_access_type": "search", "pattern": "?"}), &[2, 3, 5]),
            (json!({"hist_access_type": "search", "pattern": "*", "unique": true}), &[1, 3, 4, 5]),
            (json!({"hist_access_type": "search", "pattern": "*", "unique": true, "n": 2}), &[4, 5]),
        ];
        for (request, expected) in cases {
            let reply = history.reply(&request).unwrap();
            let lines: Vec<u64> =
                reply["history"].as_array().unwrap().iter().map(|e| e[1].as_u64().unwrap()).collect();
            assert_eq!(lines, expected, "{request}");
        }
        let with_output =
            history.reply(&json!({"hist_access_type": "tail", "n": 1, "output": true})).unwrap();
        assert_eq!(with_output["history"], json!([[1, 5, ["b", null]]]));
        assert!(history.reply(&json!({"n": "many"})).is_err());
    }

    #[test]
    fn patterns_fit_as_in_a_shell() {
        for (pattern, text, fits) in [
            ("", "", true),
            ("*", "", true),
            ("", "a", false),
            ("a*b*c", "a--b--c", true),
            ("a*b*c", "a--c--b", false),
            ("*ab", "aab", true),
            ("?", "é", true),
            ("??", "é", false),
            ("a*", "b", false),
        ] {
            assert_eq!(matches_glob(pattern, text), fits, "{pattern} {text}");
        }
    }
}
