//! Cutting cells, on any text at all.

use proptest::prelude::*;
use spinbot_magics::Span;
use spinbot_magics::cell::{RawMagic, Segment, split};

/// Every piece lies where it says, in order, and only blanks lie between pieces.
fn covers(cell: &str) {
    let blank = |from: usize, to: usize| {
        let between = &cell[from..to];
        assert!(between.trim().is_empty(), "{between:?} of {cell:?} is in no piece");
    };
    let magic = |magic: &RawMagic| {
        assert!(magic.name_span.of(cell).ends_with(&magic.name));
        assert_eq!(magic.args_span.of(cell), magic.args);
        if let Some((body, span)) = &magic.body {
            assert_eq!(span.of(cell), body);
        }
        magic.span
    };
    let mut at = 0;
    for segment in split(cell) {
        let Span { start, end } = match &segment {
            Segment::Rust { code, range, start_line } => {
                assert_eq!(range.of(cell), code);
                assert!(!code.trim().is_empty());
                assert_eq!(*start_line, cell[..range.start].matches('\n').count());
                *range
            }
            Segment::Line { magic: m } | Segment::Cell { magic: m } => magic(m),
        };
        blank(at, start);
        assert!(start >= at && end > start, "{segment:?} after byte {at} of {cell:?}");
        at = end;
    }
    blank(at, cell.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_covered_in_order(cell in any::<String>()) {
        covers(&cell);
    }

    /// Text made of what the cutter looks at is where it could stumble.
    #[test]
    fn any_mix_of_its_own_tokens_is_covered_in_order(parts in proptest::collection::vec(
        prop::sample::select(vec![
            "%time", "%%render", "%", "?", "?time", "\n", "\r\n", " ", "\\", "\\\n", "\"", "'", "r#\"", "\"#", "//",
            "/*", "*/", "{", "}", "(", ")", ";", "a", "'a", "'x'", "é", "\u{3000}", "--seed", "=", "7", "{{", "b'",
        ]), 0..40,
    )) {
        let cell = parts.concat();
        covers(&cell);
        let _ = spinbot_magics::args::lex(&cell, 0);
        for cursor in 0..=cell.len() {
            let _ = spinbot_magics::complete(&cell, cursor, std::path::Path::new("/nonexistent"));
            let _ = spinbot_magics::inspect(&cell, cursor);
        }
    }
}
