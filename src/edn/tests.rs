//! Reading, printing and comparing.

use std::str::FromStr;

use bigdecimal::BigDecimal;
use num_bigint::BigInt;
use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};
use uuid::Uuid;

use super::{Form, FormKind, Keyword, Limits, Reader, Span, Symbol, pretty, read, read_all};
use crate::ErrorKind;

fn kw(text: &str) -> Form {
    Keyword::new(text).into()
}

fn sym(text: &str) -> Form {
    Symbol::new(text).into()
}

fn tagged(tag: &str, form: Form) -> Form {
    FormKind::Tagged(Symbol::new(tag), Box::new(form)).into()
}

fn decimal(digits: i64, scale: i64) -> Form {
    BigDecimal::new(digits.into(), scale).into()
}

fn reads(cases: Vec<(&str, Form)>) {
    for (text, wanted) in cases {
        match read(text) {
            Ok(got) => {
                assert_eq!(got, wanted, "{text}");
                assert_eq!(read(&got.to_string()).expect("what is printed reads"), wanted, "{text}");
            }
            Err(e) => panic!("{text}: {e}"),
        }
    }
}

#[test]
fn atoms() {
    reads(vec![
        ("nil", FormKind::Nil.into()),
        ("true", true.into()),
        (" ,\n; note\n false ; end", false.into()),
        ("\u{feff}1", 1.into()),
        ("\u{a0}1\u{2003}", 1.into()),
        ("1;2", 1.into()),
        ("0", 0.into()),
        ("-0", 0.into()),
        ("+7", 7.into()),
        ("-9223372036854775808", i64::MIN.into()),
        ("9223372036854775807", i64::MAX.into()),
        ("9223372036854775808", BigInt::from(1u64 << 63).into()),
        ("-7N", BigInt::from(-7).into()),
        ("+7N", BigInt::from(7).into()),
        ("0N", BigInt::from(0).into()),
        ("1.5", 1.5.into()),
        ("-0.0", (-0.0).into()),
        ("1.", 1.0.into()),
        ("1e3", 1000.0.into()),
        ("1.25E-2", 0.0125.into()),
        ("+1e+2", 100.0.into()),
        ("1e-9999", 0.0.into()),
        ("5e-324", 5e-324.into()),
        ("1.7976931348623157e308", f64::MAX.into()),
        ("##NaN", f64::NAN.into()),
        ("##Inf", f64::INFINITY.into()),
        ("##-Inf", f64::NEG_INFINITY.into()),
        ("1.50M", decimal(150, 2)),
        ("-0.05M", decimal(-5, 2)),
        ("0.000M", decimal(0, 3)),
        ("3M", decimal(3, 0)),
        ("1e3M", decimal(1, -3)),
        ("1.5E-3M", decimal(15, 4)),
        ("1e-10000M", decimal(1, 10_000)),
        ("1e10000M", decimal(1, -10_000)),
        (r#""""#, "".into()),
        (r#""a b""#, "a b".into()),
        ("\"two\nlines\"", "two\nlines".into()),
        (r#""\t\r\n\\\"\b\f""#, "\t\r\n\\\"\u{8}\u{c}".into()),
        (r#""x\u00e9y""#, "xéy".into()),
        (r#""\uD83D\uDE00!""#, "😀!".into()),
        (r#""\101\0\3778\60""#, "A\0ÿ80".into()),
        (r"\a", 'a'.into()),
        (r"\u", 'u'.into()),
        (r"\o", 'o'.into()),
        (r"\(", '('.into()),
        (r"\\", '\\'.into()),
        (r"\;", ';'.into()),
        (r"\,", ','.into()),
        (r"\é", 'é'.into()),
        (r"\😀", '😀'.into()),
        (r"\newline", '\n'.into()),
        (r"\space", ' '.into()),
        (r"\tab", '\t'.into()),
        (r"\return", '\r'.into()),
        (r"\backspace", '\u{8}'.into()),
        (r"\formfeed", '\u{c}'.into()),
        (r"\u0041", 'A'.into()),
        (r"\o101", 'A'.into()),
        (r"\o0", '\0'.into()),
    ]);
}

#[test]
fn names() {
    for word in [
        "/",
        "a/b",
        "$",
        "%",
        "?e",
        "...",
        ".",
        "-",
        "+",
        "+a",
        "-a",
        "->x",
        "<=",
        "a.b/c?",
        "*x*",
        "foo//",
        "a/b/c",
        "é",
        "日本/語",
        "x'",
        "a#b",
        "a:b",
        "nil?",
        "nilx",
        "true/false",
        "!",
        "&",
        "_",
        "=",
        "|a|",
    ] {
        reads(vec![(word, sym(word))]);
    }
    for word in
        ["a", "a/b", "a.b/c?", "1", "1/a", "/", "nil", "a'", "a#", "a:b", "a/b/c", "-", "+1", "db.fn/retractEntity"]
    {
        reads(vec![(&format!(":{word}"), kw(word))]);
    }
}

#[test]
fn collections_and_tags() {
    let map = Form::map;
    reads(vec![
        ("()", Form::list(vec![])),
        ("[]", vec![].into()),
        ("{}", map(vec![])),
        ("#{}", Form::set(vec![])),
        ("[1[2]3]", vec![1.into(), vec![2.into()].into(), 3.into()].into()),
        (r#"[:a"b"\c\d]"#, vec![kw("a"), "b".into(), 'c'.into(), 'd'.into()].into()),
        ("(a . b)", Form::list(vec![sym("a"), sym("."), sym("b")])),
        ("{:a 1, :b {:c 2}}", map(vec![(kw("b"), map(vec![(kw("c"), 2.into())])), (kw("a"), 1.into())])),
        ("{[] 1 () 2}", map(vec![(Form::list(vec![]), 2.into()), (vec![].into(), 1.into())])),
        ("#{1 1.0 1N 1M :a a \"a\" \\a}", {
            let mut members = vec![1.into(), 1.0.into(), BigInt::from(1).into(), decimal(1, 0)];
            members.extend([kw("a"), sym("a"), "a".into(), 'a'.into()]);
            members.reverse();
            Form::set(members)
        }),
        ("#:p{:a 1 :q/b 2 :_/c 3 d 4 \"e\" 5}", {
            let keys = [kw("p/a"), kw("q/b"), kw("c"), sym("p/d"), "e".into()];
            map(keys.into_iter().zip([1, 2, 3, 4, 5].map(Form::from)).collect())
        }),
        ("#:p.q {}", map(vec![])),
        ("#inst \"1970-01-02\"", FormKind::Inst(86_400_000).into()),
        ("#inst\"2026-01-01T00:00:00.123Z\"", FormKind::Inst(1_767_225_600_123).into()),
        (
            "#uuid \"f81d4fae-7dec-11d0-a765-00a0c91e6bf6\"",
            Uuid::from_u128(0xf81d4fae_7dec_11d0_a765_00a0c91e6bf6).into(),
        ),
        ("#a/b #c [1]", tagged("a/b", tagged("c", vec![1.into()].into()))),
        ("#a #_ 1 2", tagged("a", 2.into())),
        ("#_ #_ 1 2 3", 3.into()),
        ("[#_#_1 2]", vec![].into()),
        ("[1 #_[2 #_3 {}] #_ #a b 4]", vec![1.into(), 4.into()].into()),
        ("{:a #_1 2 #_:b}", map(vec![(kw("a"), 2.into())])),
        ("^:k ^{:a 1} ^\"s\" #^t [^:x a]", vec![sym("a")].into()),
        ("[#_ ^:k a b]", vec![sym("b")].into()),
        ("^#_a :k b", sym("b")),
    ]);
}

#[test]
fn refused_with_place() {
    for (text, code, line, column) in [
        ("", "edn/eof", 1, 1),
        (" ; only a note", "edn/eof", 1, 15),
        ("#_a", "edn/eof", 1, 4),
        ("1 2", "edn/trailing", 1, 3),
        ("[1\n (2", "edn/eof", 2, 2),
        ("{:a\n", "edn/eof", 1, 1),
        ("[1\n 2}", "edn/unmatched", 2, 3),
        ("#{1)", "edn/unmatched", 1, 4),
        ("]", "edn/unmatched", 1, 1),
        ("[#_]", "edn/unmatched", 1, 4),
        ("[#a]", "edn/unmatched", 1, 4),
        ("[^:a]", "edn/unmatched", 1, 5),
        ("^:a", "edn/eof", 1, 1),
        ("#_", "edn/eof", 1, 1),
        ("#tag", "edn/eof", 1, 1),
        ("#", "edn/eof", 1, 1),
        ("\\", "edn/eof", 1, 1),
        ("[\"abc", "edn/eof", 1, 2),
        ("\"abc\\", "edn/eof", 1, 1),
        ("^1 a", "edn/meta", 1, 2),
        ("{:é 1\n :b}", "edn/map", 2, 4),
        ("{:a 1\n\t:a 2}", "edn/duplicate", 2, 2),
        ("{[#{1 2}] 1 [#{2 1}] 2}", "edn/duplicate", 1, 13),
        ("#{##NaN ##NaN}", "edn/duplicate", 1, 9),
        ("#{é 1 é}", "edn/duplicate", 1, 7),
        ("#:a{:b 1 :a/b 2}", "edn/duplicate", 1, 10),
        ("::a", "edn/keyword", 1, 1),
        (":", "edn/keyword", 1, 1),
        (":a:", "edn/keyword", 1, 1),
        (":a::b", "edn/keyword", 1, 1),
        (":a/", "edn/keyword", 1, 1),
        (":/a", "edn/keyword", 1, 1),
        (":a/1", "edn/keyword", 1, 1),
        (":a:/b", "edn/keyword", 1, 1),
        ("a/", "edn/symbol", 1, 1),
        ("/a", "edn/symbol", 1, 1),
        ("//", "edn/symbol", 1, 1),
        ("a:", "edn/symbol", 1, 1),
        (".5", "edn/symbol", 1, 1),
        ("-.5", "edn/symbol", 1, 1),
        ("'a", "edn/symbol", 1, 1),
        ("[@a]", "edn/symbol", 1, 2),
        ("a`b", "edn/symbol", 1, 2),
        ("a\0b", "edn/symbol", 1, 2),
        ("01", "edn/number", 1, 1),
        ("-00", "edn/number", 1, 1),
        ("01.5", "edn/number", 1, 1),
        ("0x10", "edn/number", 1, 1),
        ("2r101", "edn/number", 1, 1),
        ("1/2", "edn/number", 1, 1),
        ("1_000", "edn/number", 1, 1),
        ("1a", "edn/number", 1, 1),
        ("1e", "edn/number", 1, 1),
        ("1e+", "edn/number", 1, 1),
        ("1.5N", "edn/number", 1, 1),
        ("1MM", "edn/number", 1, 1),
        ("-1é", "edn/number", 1, 1),
        ("1e400", "edn/number", 1, 1),
        ("-1e400", "edn/number", 1, 1),
        ("1e999999999M", "edn/number", 1, 1),
        ("1e-10001M", "edn/number", 1, 1),
        ("1e99999999999999999999M", "edn/number", 1, 1),
        ("1e-9223372036854775808M", "edn/number", 1, 1),
        (r#""a\q""#, "edn/string", 1, 3),
        (r#""\é""#, "edn/string", 1, 2),
        (r#""\u12g4""#, "edn/string", 1, 2),
        (r#""\u12é""#, "edn/string", 1, 2),
        (r#""\u+123""#, "edn/string", 1, 2),
        (r#""\uD83D""#, "edn/string", 1, 2),
        (r#""\uD83Dx""#, "edn/string", 1, 2),
        (r#""\uD83D\u0041""#, "edn/string", 1, 2),
        (r#""\uDE00\uD83D""#, "edn/string", 1, 2),
        (r#""\400""#, "edn/string", 1, 2),
        (r"\ab", "edn/char", 1, 1),
        (r"\uD83D", "edn/char", 1, 1),
        (r"\u00411", "edn/char", 1, 1),
        (r"\o400", "edn/char", 1, 1),
        (r"\o8", "edn/char", 1, 1),
        (r"[\ a]", "edn/char", 1, 2),
        ("#\"a\"", "edn/dispatch", 1, 1),
        ("#(inc 1)", "edn/dispatch", 1, 1),
        ("#é\u{85}", "edn/eof", 1, 1),
        ("#1 a", "edn/dispatch", 1, 1),
        ("# a b", "edn/dispatch", 1, 1),
        ("##inf", "edn/dispatch", 1, 1),
        ("#::a{}", "edn/dispatch", 1, 1),
        ("#:a/b{}", "edn/dispatch", 1, 1),
        ("#:1{}", "edn/dispatch", 1, 1),
        ("#:{}", "edn/dispatch", 1, 1),
        ("#:a [1]", "edn/dispatch", 1, 1),
        ("#:a", "edn/eof", 1, 1),
        ("#:a{:1 2}", "edn/dispatch", 1, 5),
        ("#:a{_/nil 2}", "edn/dispatch", 1, 5),
        ("#:a{_/-1 2}", "edn/dispatch", 1, 5),
        ("#:a{_/:b 2}", "edn/dispatch", 1, 5),
        ("#a/ b", "edn/dispatch", 1, 1),
        ("#inst 5", "edn/inst", 1, 7),
        ("#inst \"2026-13\"", "edn/inst", 1, 7),
        ("#uuid \"f81d4fae7dec11d0a76500a0c91e6bf6\"", "edn/uuid", 1, 7),
        ("#uuid nil", "edn/uuid", 1, 7),
    ] {
        let error = match read(text) {
            Ok(form) => panic!("{text} reads as {form}"),
            Err(error) => error,
        };
        assert_eq!((error.code(), error.position()), (code, Some((line, column))), "{text}: {error}");
        assert_eq!(error.kind(), ErrorKind::Syntax, "{text}");
    }
}

#[test]
fn messages_say_where_it_was_opened() {
    let error = read("{:find\n  [?e }").unwrap_err().to_string();
    assert!(
        error.starts_with("wanted `]` to close the `[` opened at line 2, column 3, got `}` (line 2, column 7)"),
        "{error}"
    );
    assert!(error.ends_with("2 |   [?e }\n  |       ^"), "{error}");
    let error = read("(1\n[2]").unwrap_err();
    assert!(error.message().contains("the `(` opened at line 1, column 1 is never closed: wanted `)`"), "{error}");
    let long = format!(":{}/", "x".repeat(1 << 20));
    assert!(read(&long).unwrap_err().message().len() < 200);
}

#[test]
fn spans_cut_the_text() {
    let text = " {:é [1 \"a\\n\"] , #inst \"1970\" ^:m (x)} ";
    let form = read(text).unwrap();
    let cut = |f: &Form| text[f.span.start as usize..f.span.end as usize].to_owned();
    let pairs = form.pairs().unwrap();
    assert_eq!(cut(&form), text.trim());
    assert_eq!(cut(&pairs[0].0), ":é");
    assert_eq!(cut(&pairs[0].1), "[1 \"a\\n\"]");
    assert_eq!(cut(&pairs[0].1.items().unwrap()[1]), "\"a\\n\"");
    assert_eq!(cut(&pairs[1].0), "#inst \"1970\"");
    assert_eq!(cut(&pairs[1].1), "(x)");
    assert_eq!(Form::from(1).span, Span::default());
}

#[test]
fn reader_goes_form_by_form() {
    let mut reader = Reader::new("1 #_x [2] ; end");
    assert_eq!(reader.next_form().unwrap(), Some(1.into()));
    assert_eq!(reader.offset(), 1);
    assert_eq!(reader.next_form().unwrap(), Some(vec![2.into()].into()));
    assert_eq!(reader.next_form().unwrap(), None);
    assert_eq!(reader.next_form().unwrap(), None);

    let mut reader = Reader::new("1 [2 ) 3");
    assert!(reader.next_form().is_ok());
    assert!(reader.next_form().is_err());
    assert_eq!(reader.next_form().unwrap(), None);
    assert!(read_all("1 2 [").is_err());
    assert_eq!(read_all("").unwrap(), vec![]);
}

#[test]
fn limits_hold() {
    let limit = |text: &str, limits: Limits| {
        let error = Reader::new(text).with_limits(limits).next_form().unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Limit, "edn/limit"));
    };
    let all = Limits { max_depth: usize::MAX, max_bytes: usize::MAX };
    for open in ["[", "(", "{", "#{", "#a ", "#_ ", "^", "^:a ", "#:a{", "[#_", "{1 "] {
        limit(&open.repeat(100_000), Limits::default());
        limit(&open.repeat(100_000), all);
    }
    limit("[[[1]]]", Limits { max_depth: 2, ..all });
    limit("1234", Limits { max_bytes: 3, ..all });
    assert!(Reader::new("[[1]]").with_limits(Limits { max_depth: 2, max_bytes: 5 }).next_form().is_ok());
    assert!(read(&"1".repeat(10_001)).unwrap_err().message().contains("at most 10000 digits"));
    assert!(read(&"1".repeat(10_000)).is_ok());
    assert!(read(&format!("0.{}M", "1".repeat(10_000))).is_err());
}

#[test]
fn deepest_form_is_read_compared_printed_and_dropped() {
    let limits = Limits { max_depth: Limits::DEEPEST, ..Limits::default() };
    for (open, close) in [("[", "]"), ("#{1 ", "}"), ("{1 2 [3] ", "}"), ("#a ", ""), ("{1 ", "}")] {
        let deep = |inner: &str| {
            // One less, for the brackets beside.
            let depth = Limits::DEEPEST - 1;
            let text = format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
            Reader::new(&text).with_limits(limits).next_form().unwrap().unwrap()
        };
        let (a, b, c) = (deep(":x"), deep(":x"), deep(":y"));
        assert!(a == b && a != c && a.clone() == a);
        let again = Reader::new(&a.to_string()).with_limits(limits).next_form().unwrap();
        assert_eq!(again.as_ref(), Some(&a));
        let again = Reader::new(&pretty(&a, 40)).with_limits(limits).next_form().unwrap();
        assert!(again.is_some_and(|again| again == a));
        assert!(format!("{a:?}").contains(":x"));
    }
}

#[test]
fn large_sets_and_maps_are_matched_by_hash() {
    // Comparing each with each would take 10^10 comparisons.
    let numbers = |step: i64| (0..100_000i64).map(move |i| i * step % 100_003);
    let text = |step| format!("#{{{}}}", numbers(step).map(|i| format!("[{i}] ")).collect::<String>());
    let (a, b) = (read(&text(1)).unwrap(), read(&text(7)).unwrap());
    assert!(a == a.clone());
    assert!(a != b, "the members past 100000 are others");
    let map = |step| Form::map(numbers(step).map(|i| (Form::from(i), kw("v"))).collect::<Vec<_>>());
    assert!(map(7) != map(1) && map(7) == map(7));
    let mut reversed = map(7);
    if let FormKind::Map(pairs) = &mut reversed.kind {
        pairs.reverse();
    }
    assert!(reversed == map(7));
    let doubled = text(1).replace("#{", "#{[99999] ");
    assert_eq!(read(&doubled).unwrap_err().code(), "edn/duplicate");
    // Built by hand, not readable: doubled members count as often as they occur.
    assert!(Form::set(vec![1.into(), 1.into()]) != Form::set(vec![1.into(), 2.into()]));
    assert!(Form::set(vec![1.into(), 2.into()]) != Form::set(vec![1.into(), 1.into()]));
}

#[test]
fn nested_sets_do_not_multiply_the_work() {
    // Each level holds the one below and another member, in another order: comparing each with each at every level
    // would take 2^200 comparisons.
    let nest = |flip: bool| {
        (0..200).fold("x".to_owned(), |inner, i| {
            let members = if flip { format!("[{i}] [] {inner}") } else { format!("{inner} [] [{i}]") };
            format!("#{{{members}}}")
        })
    };
    let (a, b) = (read(&nest(false)).unwrap(), read(&nest(true)).unwrap());
    assert!(a == b);
    assert!(read(&format!("#{{{a} {b}}}")).is_err());
}

#[test]
fn values_of_atoms_keys_are_matched_once() {
    let nest = |flip: bool| {
        (0..200).fold("x".to_owned(), |inner, i| {
            if flip { format!("{{1 {i} 2 {inner}}}") } else { format!("{{2 {inner} 1 {i}}}") }
        })
    };
    assert!(read(&nest(false)).unwrap() == read(&nest(true)).unwrap());
}

#[test]
fn printed_text() {
    for (form, text) in [
        (read("{:a 1 :b [1 (2) #{3}]}").unwrap(), "{:a 1, :b [1 (2) #{3}]}"),
        ("a\"\\\n\t\u{1}é".into(), r#""a\"\\\n\t\u0001é""#),
        (FormKind::Inst(1_767_225_600_123).into(), "#inst \"2026-01-01T00:00:00.123-00:00\""),
        (Uuid::nil().into(), "#uuid \"00000000-0000-0000-0000-000000000000\""),
        (1e300.into(), "1e300"),
        (1.0.into(), "1.0"),
        (decimal(-15, 1), "-1.5M"),
        (decimal(5, 3), "0.005M"),
        (decimal(15, -3), "15E+3M"),
        (decimal(1, i64::MIN), "1E+9223372036854775808M"),
        (decimal(1, i64::MAX), "1E-9223372036854775807M"),
        ('\u{a0}'.into(), "\\u00A0"),
        ('"'.into(), "\\\""),
        (tagged("t", FormKind::Nil.into()), "#t nil"),
    ] {
        assert_eq!(form.to_string(), text);
    }
}

#[test]
fn pretty_text() {
    let form = read("[:find ?e ?long-name :where [?e :person/name ?long-name] #t [(f ?e) {:a 1 :b 2}]]").unwrap();
    assert_eq!(pretty(&form, 1000), form.to_string());
    assert_eq!(
        pretty(&form, 22),
        "[:find\n ?e\n ?long-name\n :where\n [?e\n  :person/name\n  ?long-name]\n #t [(f ?e)\n     {:a 1, :b 2}]]"
    );
    let form = read("{:a-long-keyword-here {:b [1 2 3 4 5 6]} :c 2}").unwrap();
    assert_eq!(pretty(&form, 24), "{:a-long-keyword-here\n  {:b [1 2 3 4 5 6]},\n :c 2}");
}

#[test]
fn access() {
    let form = Form::from_str("{:a [1 x \"s\" nil true] :b (1)}").unwrap();
    let items = form.get(Keyword::new("a")).and_then(Form::items).unwrap();
    assert_eq!(items[0].as_int(), Some(1));
    assert_eq!(items[1].as_symbol(), Some(Symbol::new("x")));
    assert_eq!(items[2].as_str(), Some("s"));
    assert!(items[3].is_nil() && !items[4].is_nil());
    assert_eq!(items[4].as_bool(), Some(true));
    assert_eq!(form.get(Keyword::new("c")), None);
    assert_eq!(form.pairs().unwrap()[0].0.as_keyword(), Some(Keyword::new("a")));
    assert_eq!(form.kind_name(), "a map");
    assert_eq!((form.items(), form.as_int(), items[0].get(Keyword::new("a"))), (None, None, None));
}

fn word() -> impl Strategy<Value = String> {
    "[a-zA-Zé*!_?$%&=<>|][a-z0-9A-Z.*+!?$%&=<>'#é-]{0,6}(/[a-zß<>=?][a-z0-9:.]{0,3}z)?"
        .prop_filter("reads as something else", |w| {
            !matches!(w.as_str(), "nil" | "true" | "false") && !w.contains("::")
        })
}

/// Any form, but for names that cannot be read.
fn form() -> impl Strategy<Value = Form> {
    let integer = any::<i128>().prop_map(BigInt::from);
    let atom = prop_oneof![
        Just(FormKind::Nil),
        any::<bool>().prop_map(FormKind::Bool),
        any::<i64>().prop_map(FormKind::Int),
        (-3i64..3).prop_map(FormKind::Int),
        integer.prop_map(FormKind::BigInt),
        any::<u64>().prop_map(|bits| FormKind::Float(f64::from_bits(bits))),
        any::<f64>().prop_map(FormKind::Float),
        prop::sample::select(vec![0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE])
            .prop_map(FormKind::Float),
        (any::<i64>(), -10_000i64..=10_000).prop_map(|(d, s)| FormKind::Decimal(BigDecimal::new(d.into(), s))),
        (-999i64..999, -9i64..=9).prop_map(|(d, s)| FormKind::Decimal(BigDecimal::new(d.into(), s))),
        any::<String>().prop_map(|s| FormKind::Str(s.into())),
        "[\\x00-\\x7f\"\\\\\u{85}\u{2028}\u{feff}]{0,8}".prop_map(|s| FormKind::Str(s.into())),
        any::<char>().prop_map(FormKind::Char),
        (0u8..=255).prop_map(|b| FormKind::Char(b.into())),
        word().prop_map(|w| FormKind::Keyword(Keyword::new(&w))),
        word().prop_map(|w| FormKind::Symbol(Symbol::new(&w))),
        any::<i64>().prop_map(FormKind::Inst),
        any::<u128>().prop_map(|u| FormKind::Uuid(Uuid::from_u128(u))),
    ]
    .prop_map(Form::from);
    atom.prop_recursive(6, 96, 24, |inner| {
        let many = || prop::collection::vec(inner.clone(), 0..24);
        prop_oneof![
            many().prop_map(Form::list),
            many().prop_map(Form::from),
            many().prop_map(|items| Form::set(distinct(items, |item| item))),
            prop::collection::vec((inner.clone(), inner.clone()), 0..24)
                .prop_map(|pairs| Form::map(distinct(pairs, |pair| &pair.0))),
            ("t[a-z.]{0,4}(/[a-z]{1,3})?", inner.clone()).prop_map(|(tag, form)| tagged(&tag, form)),
        ]
    })
}

fn distinct<T>(items: Vec<T>, key: impl Fn(&T) -> &Form) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    for item in items {
        if !kept.iter().any(|k| key(k) == key(&item)) {
            kept.push(item);
        }
    }
    kept
}

/// Turns every set and map round.
fn reversed(form: &Form) -> Form {
    let all = |items: &[Form]| items.iter().map(reversed).collect::<Vec<_>>();
    match &form.kind {
        FormKind::List(items) => Form::list(all(items)),
        FormKind::Vector(items) => all(items).into(),
        FormKind::Set(items) => Form::set(all(items).into_iter().rev().collect()),
        FormKind::Map(pairs) => Form::map(pairs.iter().rev().map(|(k, v)| (reversed(k), reversed(v))).collect()),
        FormKind::Tagged(tag, form) => tagged(tag.as_str(), reversed(form)),
        kind => kind.clone().into(),
    }
}

proptest! {
    #[test]
    fn printed_reads_back(form in form(), width in 0usize..120) {
        let text = form.to_string();
        prop_assert_eq!(text.lines().count() <= 1 || text.contains(['\u{2028}', '\u{2029}']), true);
        prop_assert_eq!(&read(&text).unwrap(), &form);
        prop_assert_eq!(&read(&pretty(&form, width)).unwrap(), &form);
    }

    #[test]
    fn order_in_sets_and_maps_does_not_count(form in form()) {
        prop_assert_eq!(&reversed(&form), &form);
        let twice = format!("#{{{form} [{form}] {}}}", reversed(&form));
        prop_assert_eq!(read(&twice).unwrap_err().code(), "edn/duplicate");
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[\\[\\](){}#_^:;\"\\\\'@a1eM/ ,.+\\-un0é\u{a0}\n]{0,40}") {
        if let Ok(forms) = read_all(&text) {
            for form in forms {
                prop_assert_eq!(read(&form.to_string()).unwrap(), form);
            }
        }
    }
}
