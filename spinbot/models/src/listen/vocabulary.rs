//! From Whisper's tokens back to text. Only that way: nothing here is ever turned into tokens.

/// The bytes of each token.
pub(crate) struct Vocabulary(Vec<Vec<u8>>);

impl Vocabulary {
    /// One token a line, in GPT-2's alphabet: each byte that is no printable Latin-1 character is written as a
    /// letter from U+0100 on.
    pub(crate) fn read(lines: &[u8]) -> Self {
        let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
        let hidden: Vec<u8> = (0..=255).filter(|byte| !printable(byte)).collect();
        let byte = |letter: char| match letter as u32 {
            code @ 0x100.. => hidden.get(code as usize - 0x100).copied(),
            code => u8::try_from(code).ok().filter(printable),
        };
        let text = String::from_utf8_lossy(lines);
        Vocabulary(text.lines().map(|line| line.chars().filter_map(byte).collect()).collect())
    }

    /// The text of those tokens, without the spaces around it.
    pub(crate) fn text(&self, tokens: &[u32]) -> String {
        let bytes = tokens.iter().filter_map(|&token| self.0.get(token as usize)).flatten().copied();
        String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_line_ends_and_letters_of_several_bytes_come_back() {
        // Ġ is the space, Ċ the line end, Ã© the two bytes of é.
        let vocabulary = Vocabulary::read("ĠHello\nĊ\ncaf\nÃ\n©\nĠ!".as_bytes());
        assert_eq!(vocabulary.text(&[0, 1, 2, 3, 4, 5, 99]), "Hello\ncafé !");
        assert_eq!(vocabulary.text(&[]), "");
    }
}
