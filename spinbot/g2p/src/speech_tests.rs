//! What a text becomes, case by case, and what holds for every text.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use crate::*;

fn say(text: &str, accent: Accent) -> String {
    let speech = phonemize(text, &Options { accent, ..Options::default() }).unwrap();
    check(text, &speech);
    speech.sentences.iter().map(|s| s.phonemes.as_str()).collect::<Vec<_>>().join(" | ")
}

/// What every result keeps to.
fn check(text: &str, speech: &Speech) {
    let mut at = 0;
    for sentence in &speech.sentences {
        let count = sentence.phonemes.chars().count();
        assert!((1..=MAX_PHONEMES).contains(&count), "{count} phonemes");
        assert!(sentence.phonemes.chars().all(is_phoneme), "{}", sentence.phonemes);
        assert!(
            !sentence.phonemes.starts_with(' ') && !sentence.phonemes.contains("  "),
            "{:?}",
            sentence.phonemes
        );
        assert!(sentence.pause_after >= 0.0 && !sentence.words.is_empty());
        let mut from = 0;
        for word in &sentence.words {
            assert!(text.get(word.source.clone()).is_some_and(|w| !w.is_empty()), "{word:?}");
            assert!(word.source.start >= at, "{word:?}");
            at = word.source.end;
            assert!(word.phonemes.start >= from && word.phonemes.end <= count, "{word:?}");
            assert!(word.phonemes.start <= word.phonemes.end);
            from = word.phonemes.end;
            assert!(word.phonemes.is_empty() || word.origin != Origin::Silent);
            assert!(!word.text.contains(char::is_whitespace) || word.source.len() > 1, "{word:?}");
        }
    }
}

#[test]
fn written_forms_sound_like_what_they_stand_for() {
    let cases = [
        ("I have 3 cats.", "I have three cats."),
        ("It has 1,234 parts.", "It has one thousand two hundred thirty four parts."),
        ("In 1984 and 2005.", "In nineteen eighty four and two thousand five."),
        ("The 21st of them.", "The twenty first of them."),
        ("The 1990s and the '80s.", "The nineteen nineties and the eighties."),
        ("Agent 007 here.", "Agent zero zero seven here."),
        ("It is -5 now.", "It is minus five now."),
        ("It costs $12.50 now.", "It costs twelve dollars and fifty cents now."),
        ("It costs $1 or $0.99.", "It costs one dollar or ninety nine cents."),
        ("Only £3 or €1bn.", "Only three pounds or one billion euros."),
        ("They paid $5 million.", "They paid five million dollars."),
        ("It takes $10-20 here.", "It takes ten to twenty dollars here."),
        ("A 5€ note.", "A five euros note."),
        ("About 50% or 10-15%.", "About fifty percent or ten to fifteen percent."),
        ("Take 1/2 or 2/3 now.", "Take one half or two thirds now."),
        ("Take 2½ cups.", "Take two and a half cups."),
        ("We are open 24/7.", "We are open twenty four seven."),
        ("Run 5 km or 3km.", "Run five kilometers or three kilometers."),
        ("A 3 GHz chip.", "A three gigahertz chip."),
        ("It is 20°C or 70 °F.", "It is twenty degrees Celsius or seventy degrees Fahrenheit."),
        ("At 60 km/h or 5 m/s.", "At sixty kilometers per hour or five meters per second."),
        ("Just 1 kg of it.", "Just one kilogram of it."),
        ("He is 6'2\" tall.", "He is six foot two tall."),
        ("At 10:30 it began.", "At ten thirty it began."),
        ("At 9:05 it began.", "At nine oh five it began."),
        ("At 7:00 it began.", "At seven o'clock it began."),
        ("At 17:45 it began.", "At seventeen forty five it began."),
        ("A 16:9 screen.", "A sixteen to nine screen."),
        ("On March 3, 2024.", "On March third, twenty twenty four."),
        ("On Jan. 1st we met.", "On January first we met."),
        ("On 2024-12-25 we met.", "On December twenty fifth, twenty twenty four we met."),
        ("On 7/4/1999 we met.", "On July fourth, nineteen ninety nine we met."),
        ("From 1914–1918 on.", "From nineteen fourteen to nineteen eighteen on."),
        ("Python 3.11.7 runs.", "Python three [point](-2) eleven [point](-2) seven runs."),
        ("It is v2.0 now.", "It is version two [point](-2) zero now."),
        ("Ping 127.0.0.1 now.", "Ping one two seven dot zero dot zero dot one now."),
        ("Call 555-0199 now.", "Call five five five, zero one nine nine now."),
        ("Dr. Smith met Mr. Jones.", "Doctor Smith met Mr. Jones."),
        ("St. Paul lives on Main St. today.", "Saint Paul lives on Main Street today."),
        ("Fruit, e.g. pears.", "Fruit, for example pears."),
        ("Cats vs. dogs.", "Cats versus dogs."),
        ("See No. 5 and p. 7.", "See number five and page seven."),
        ("Henry VIII had it.", "Henry the eighth had it."),
        ("World War II began.", "World War two began."),
        ("Chapter IV begins.", "Chapter four begins."),
        ("Room 12B is open.", "Room twelve [B](/bˈi/) is open."),
        ("Call std::vec now.", "Call std vec now."),
        ("Open config.json now.", "Open config dot json now."),
        ("He said no. Then he left.", "He said no. Then he left."),
        ("From 9am-5pm daily.", "From nine AM to five PM daily."),
        ("In the mid-1990s it was.", "In the mid nineteen nineties it was."),
        ("A B2B firm.", "A B to B firm."),
        ("We are #1 here.", "We are number one here."),
        ("You & me = us.", "You and me equals us."),
        ("It is 3 × 4.", "It is three times four."),
        ("Salt/pepper 18+ only.", "Salt/pepper eighteen plus only."),
        ("See example.com/help now.", "See example dot com slash help now."),
        ("See https://www.example.org today.", "See WWW dot example dot org today."),
        ("Mail jane.doe@example.com today.", "Mail jane dot doe at example dot com today."),
        ("A café in São Paulo.", "A cafe in Sao Paulo."),
        ("The angle π is here.", "The angle pi is here."),
        ("Good 🙂 morning", "Good morning"),
        ("“It’s” ‘fine’", "\"It's\" 'fine'"),
        ("ＦＵＬＬ ｗｉｄｔｈ", "FULL width"),
        ("soft\u{ad}ware zero\u{200b}width", "software zerowidth"),
    ];
    for (written, spoken) in cases {
        assert_eq!(say(written, Accent::Us), say(spoken, Accent::Us), "{written}");
    }
}

#[test]
fn british_dates_and_money_are_british() {
    let cases = [
        ("On 25/12/2024 we met.", "On December twenty fifth, twenty twenty four we met."),
        ("On 3 March we met.", "On the third of March we met."),
        ("It is 50p or £3.50.", "It is fifty pence or three pounds and fifty pence."),
        ("Run 5 km.", "Run five kilometres."),
    ];
    for (written, spoken) in cases {
        assert_eq!(say(written, Accent::Uk), say(spoken, Accent::Uk), "{written}");
    }
}

#[test]
fn words_sound_by_their_sentence() {
    let cases = [
        ("The apple, the pear.", "ði ˈæpᵊl, ðə pˈɛɹ."),
        ("Go to a zoo to eat.", "ɡˌO tə ɐ zˈu tʊ ˈit."),
        ("I used to read.", "ˌI jˈust tə ɹˈid."),
        ("I have read it.", "ˌI hæv ɹˈɛd ɪt."),
        ("They record a record.", "ðˌA ɹəkˈɔɹd ɐ ɹˈɛkəɹd."),
        ("Dogs walked, boxes waited.", "dˈɔɡz wˈɔkt, bˈɑksᵻz wˈATᵻd."),
        ("NASA and the FBI.", "nˈæsə ænd ði ˌɛfbˌiˈI."),
        ("It closed in June.", "ˌɪt klˈOzd ɪn ʤˈun."),
        ("the '257' reply", "ðə “tˈu hˈʌndɹəd fˈɪfti sˈɛvən” ɹəplˈI"),
        ("a well-known author", "ɐ wˌɛlnˈOn ˈɔθəɹ"),
    ];
    for (text, want) in cases {
        assert_eq!(say(text, Accent::Us), want, "{text}");
    }
    assert_eq!(say("The bath, water.", Accent::Uk), "ðə bˈɑːθ, wˈɔːtə.");
}

#[test]
fn unknown_words_are_said_by_the_network() {
    let speech = phonemize("The blorptastic Zyntherion hummed.", &Options::default()).unwrap();
    let words = &speech.sentences[0].words;
    let origins: Vec<Origin> = words.iter().map(|w| w.origin).collect();
    assert_eq!(origins, [Origin::Dictionary, Origin::Network, Origin::Network, Origin::Dictionary]);
    assert!(words[1].phonemes.len() > 6);
    let spelled = phonemize("the xkcd strip", &Options::default()).unwrap();
    assert_eq!(spelled.sentences[0].words[1].origin, Origin::Spelled);
}

#[test]
fn sentences_end_where_they_should() {
    let cases: [(&str, &[&str]); 8] = [
        ("One. Two! Three?", &["One.", "Two!", "Three?"]),
        ("Dr. Smith left at 5 p.m. She stayed.", &["left", "stayed."]),
        ("\"Why?\" she asked. He left.", &["asked.", "left."]),
        ("She said \"no.\" He left.", &["\"no.\"", "left."]),
        ("In the U.S. it rains.", &["rains."]),
        ("Wait... what? No", &["what?", "No"]),
        ("A title\n\nA text", &["title", "text"]),
        ("Version 2.0 is out. It works.", &["out.", "works."]),
    ];
    for (text, lasts) in cases {
        let speech = phonemize(text, &Options::default()).unwrap();
        check(text, &speech);
        assert_eq!(speech.sentences.len(), lasts.len(), "{text}: {speech:?}");
        for (sentence, last) in speech.sentences.iter().zip(lasts) {
            let heard = sentence.words.iter().any(|w| w.text == *last);
            assert!(heard, "{text}: {last} in {sentence:?}");
        }
    }
}

#[test]
fn pauses_follow_punctuation_and_markup() {
    let speech =
        phonemize("[1s] One. Two, [pause 0.4] three.\n\nFour [300ms][200ms]", &Options::default()).unwrap();
    assert_eq!(speech.pause_before, 1.0);
    let pauses: Vec<f32> = speech.sentences.iter().map(|s| s.pause_after).collect();
    assert_eq!(pauses, [0.25, 0.4, 0.6, 0.5]);
    let plain = phonemize("One [pause 2] two", &Options::default()).unwrap();
    assert_eq!(plain.sentences.len(), 2);
}

#[test]
fn markup_and_overrides_decide_pronunciations() {
    let text = r"*I* said [Kokoro](/kˈOkəɹO/), not \*that\*.";
    let speech = phonemize(text, &Options::default()).unwrap();
    check(text, &speech);
    let words = &speech.sentences[0].words;
    assert!(words[0].emphasised && !words[1].emphasised);
    assert_eq!((words[2].text.as_str(), words[2].origin), ("Kokoro,", Origin::Override));
    assert_eq!(&text[words[2].source.clone()], "Kokoro");
    assert!(speech.sentences[0].phonemes.contains("kˈOkəɹO, "));

    let overrides = BTreeMap::from([("gif".to_owned(), "ʤˈɪf".to_owned())]);
    let options = Options { overrides, ..Options::default() };
    for text in ["a GIF", "a gif", "a Gif"] {
        assert_eq!(phonemize(text, &options).unwrap().sentences[0].phonemes, "ɐ ʤˈɪf", "{text}");
    }
    for bad in ["g", "", "ж"] {
        let options = Options { overrides: BTreeMap::from([("x".into(), bad.into())]), ..Options::default() };
        assert!(matches!(phonemize("x", &options), Err(G2pError::Override { .. })), "{bad}");
    }
}

#[test]
fn words_keep_their_text_and_place() {
    let text = "He paid ($5 million) — for well-known “art”!";
    let speech = phonemize(text, &Options::default()).unwrap();
    let words: Vec<(&str, &str)> =
        speech.sentences[0].words.iter().map(|w| (w.text.as_str(), &text[w.source.clone()])).collect();
    let want = [
        ("He", "He"),
        ("paid", "paid"),
        ("($5 million)", "$5 million"),
        ("for", "for"),
        ("well-known", "well-known"),
        ("“art”!", "art"),
    ];
    assert_eq!(words, want);
}

#[test]
fn long_texts_come_in_parts_that_kokoro_takes() {
    let clause = "and the river went on past the old mill, where nobody had worked for years";
    let long = format!("It was late; {}.", [clause; 12].join(", "));
    let speech = phonemize(&long, &Options::default()).unwrap();
    check(&long, &speech);
    assert!(speech.sentences.len() >= 2);
    let first = speech.sentences[0].phonemes.chars().count();
    assert!(first < 160, "the first part has {first} phonemes");
    for sentence in &speech.sentences[..speech.sentences.len() - 1] {
        assert!(sentence.phonemes.ends_with([',', ';']), "{}", sentence.phonemes);
    }
}

#[test]
fn hostile_texts_are_bounded() {
    let n = MAX_CHARACTERS;
    for unit in [
        "a", "1", "!", "[", "*", "'", "-", "—", "a—", "é", "日", "\"", "1-", "[a](", "A.", "$", "! ", "a-1",
        "x@", "9,",
    ] {
        let text: String = unit.chars().cycle().take(n / 4).collect();
        check(&text, &phonemize(&text, &Options::default()).unwrap());
    }
    let words = "all of it is said ".repeat(n / 18);
    check(&words, &phonemize(&words, &Options::default()).unwrap());
    let error = phonemize(&"a".repeat(n + 1), &Options::default()).unwrap_err();
    assert_eq!(error, G2pError::TooLong { characters: n + 1 });
    assert!(phonemize("", &Options::default()).unwrap().sentences.is_empty());
    assert!(phonemize(" \n [1s] ... ", &Options::default()).unwrap().sentences.is_empty());
}

/// Text of the kind that rules look for.
fn knotty() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[0-9]{1,5}([.,:/–-][0-9]{1,4}){0,3}",
        "[$£€#+~-]?[0-9]{1,4}(\\.[0-9]{1,2})?(km|%|°C|s|th|p|am|bn|'s)?",
        "[A-Za-z]{1,9}('s|n't|s'|ed|ing)?",
        "[A-Z]{1,7}",
        "(Dr|St|Mr|etc|e\\.g|p\\.m|No|Jan|U\\.S|VIII|to|the|in|used|I)\\.?",
        "[\\[\\]()*\\\\/\"'“”‘’.,;:!?…—–-]{1,4}",
        "\\[(pause )?[0-9.]{1,3}s?\\]",
        "\\[[a-z]{1,4}\\]\\(/?[a-zˈɹə]{0,4}/?\\)",
        "\\*{1,2}[a-z ]{1,6}\\*{1,2}",
        "[a-z]{2,6}(\\.|@)[a-z]{2,5}\\.(com|org)(/[a-z0-9?=&#-]{0,5})?",
        "\\PC{1,3}",
        "[ \\n]{1,2}",
    ];
    prop::collection::vec((part, prop::bool::weighted(0.7)), 0..14)
        .prop_map(|parts| parts.into_iter().map(|(p, space)| if space { p + " " } else { p }).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_text_keeps_to_the_promises(text in "\\PC{0,60}", uk: bool) {
        let accent = if uk { Accent::Uk } else { Accent::Us };
        if let Ok(speech) = phonemize(&text, &Options { accent, ..Options::default() }) {
            check(&text, &speech);
        }
    }

    #[test]
    fn knotty_text_keeps_to_the_promises(text in knotty(), uk: bool) {
        let accent = if uk { Accent::Uk } else { Accent::Us };
        match phonemize(&text, &Options { accent, ..Options::default() }) {
            Ok(speech) => check(&text, &speech),
            Err(G2pError::Pause { position, .. } | G2pError::Phoneme { position, .. }) => {
                prop_assert!(text.is_char_boundary(position));
            }
            Err(_) => {}
        }
    }
}
