//! Terminal text on a page: colours and weight become spans, every other escape sequence is dropped.

use spinbot::bundle::escape;

/// What the escape sequences so far have switched on.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Style {
    /// 0..=7, bright 8..=15.
    colour: Option<u8>,
    bold: bool,
    dim: bool,
    italic: bool,
    underlined: bool,
}

impl Style {
    /// Applies the numbers of one `ESC [ ... m`.
    fn apply(&mut self, numbers: &str) {
        let mut codes = numbers.split([';', ':']).map(|n| n.parse::<u8>().unwrap_or(0));
        while let Some(code) = codes.next() {
            match code {
                0 => *self = Style::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                3 => self.italic = true,
                4 => self.underlined = true,
                22 => (self.bold, self.dim) = (false, false),
                23 => self.italic = false,
                24 => self.underlined = false,
                30..=37 => self.colour = Some(code - 30),
                90..=97 => self.colour = Some(code - 82),
                39 => self.colour = None,
                // The 256-colour form; only the sixteen that have names are kept. Rust's diagnostics use these.
                38 | 48 => match codes.next() {
                    Some(5) => {
                        let index = codes.next();
                        if code == 38 {
                            self.colour = index.filter(|i| *i < 16);
                        }
                    }
                    Some(2) => drop(codes.by_ref().take(3).count()),
                    _ => {}
                },
                _ => {}
            }
        }
    }

    fn classes(self) -> String {
        let mut classes: Vec<String> = self.colour.map(|c| format!("a{c}")).into_iter().collect();
        for (on, name) in [(self.bold, "ab"), (self.dim, "ad"), (self.italic, "ai"), (self.underlined, "au")]
        {
            if on {
                classes.push(name.to_owned());
            }
        }
        classes.join(" ")
    }
}

/// The text as safe HTML. A carriage return begins the line again, as in a terminal.
pub(super) fn to_html(text: &str) -> String {
    let text = overwrite(text);
    let mut html = String::with_capacity(text.len() + 64);
    let mut style = Style::default();
    let mut rest = text.as_str();
    loop {
        let (plain, tail) = rest.split_at(rest.find('\x1b').unwrap_or(rest.len()));
        if !plain.is_empty() {
            let classes = style.classes();
            match classes.is_empty() {
                true => html.push_str(&escape(plain)),
                false => html.push_str(&format!("<span class=\"{classes}\">{}</span>", escape(plain))),
            }
        }
        let Some(sequence) = tail.strip_prefix('\x1b') else { return html };
        rest = match sequence.strip_prefix('[') {
            // Parameters, then one final byte in @..~.
            Some(body) => match body.find(|c| ('@'..='~').contains(&c)) {
                Some(end) => {
                    if body[end..].starts_with('m') {
                        style.apply(&body[..end]);
                    }
                    &body[end + 1..]
                }
                None => "",
            },
            None => sequence,
        };
    }
}

/// Keeps of each line what stands after its last carriage return: progress bars draw over themselves.
fn overwrite(text: &str) -> String {
    let lines = text.split('\n').map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        line.rsplit_once('\r').map_or(line, |(_, last)| last)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::to_html;

    #[test]
    fn colours_become_spans_and_nothing_else_gets_through() {
        for (text, expected) in [
            ("plain <b>", "plain &lt;b&gt;"),
            ("\x1b[31mred\x1b[0m no", "<span class=\"a1\">red</span> no"),
            ("\x1b[1;92mok\x1b[22m", "<span class=\"a10 ab\">ok</span>"),
            ("\x1b[38;5;9merror\x1b[0m", "<span class=\"a9\">error</span>"),
            ("\x1b[38;2;1;2;3;1mx", "<span class=\"ab\">x</span>"),
            ("\x1b[2Ja\x1b[10;5Hb", "ab"),
            ("a\x1b[31", "a"),
            ("a\x1b", "a"),
            ("\x1b[999mé", "é"),
            ("10%\r50%\r100%\nend\r\n", "100%\nend\n"),
        ] {
            assert_eq!(to_html(text), expected, "{text:?}");
        }
    }
}
