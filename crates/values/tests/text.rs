//! The text forms: what is read, how it prints, and each way of being refused.

use pgnear_values::{ValueError, halfvec, sparsevec, vector};

type Show = fn(&str, i32) -> Result<String, ValueError>;

fn show_vector(input: &str, typmod: i32) -> Result<String, ValueError> {
    let mut out = Vec::new();
    vector::print(&vector::parse(input.as_bytes(), typmod)?, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn show_halfvec(input: &str, typmod: i32) -> Result<String, ValueError> {
    let mut out = Vec::new();
    halfvec::print(&halfvec::parse(input.as_bytes(), typmod)?, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn show_sparsevec(input: &str, typmod: i32) -> Result<String, ValueError> {
    let mut out = Vec::new();
    sparsevec::print(
        sparsevec::parse(input.as_bytes(), typmod)?.as_ref(),
        &mut out,
    )?;
    Ok(String::from_utf8(out).unwrap())
}

fn accepts(show: Show, cases: &[(&str, &str)]) {
    for (input, expected) in cases {
        assert_eq!(show(input, -1).as_deref(), Ok(*expected), "{input}");
    }
}

/// Cases are `(input, SQLSTATE, message, DETAIL)`.
fn refuses(show: Show, cases: &[(&str, &str, &str, Option<&str>)]) {
    for (input, sqlstate, message, detail) in cases {
        let error = show(input, -1).expect_err(input);
        assert_eq!(error.code.sqlstate(), *sqlstate, "{input}");
        assert_eq!(error.message, *message, "{input}");
        assert_eq!(error.detail.as_deref(), *detail, "{input}");
    }
}

#[test]
fn vector_accepts() {
    accepts(
        show_vector,
        &[
            ("[1,2,3]", "[1,2,3]"),
            ("[-1,+2,-0]", "[-1,2,-0]"),
            ("[1.,.5,-.25]", "[1,0.5,-0.25]"),
            (" \t\n[ 1,\r 2 ,\u{b}3\u{c} ] \n", "[1,2,3]"),
            ("[1.23456]", "[1.23456]"),
            ("[1.5e38,-1.5E+38,1e-5]", "[1.5e+38,-1.5e+38,1e-05]"),
            // Too small a number is zero, as in C.
            ("[1e-46,-1e-46]", "[0,-0]"),
            ("[3.4028235e38,1e-45]", "[3.4028235e+38,1e-45]"),
            ("[000012,1e00002]", "[12,100]"),
            ("[16777217.00000000000000000000000001]", "[1.6777218e+07]"),
        ],
    );
}

#[test]
fn vector_refuses() {
    let start = Some("Vector contents must start with \"[\".");
    let junk = Some("Junk after closing right brace.");
    refuses(
        show_vector,
        &[
            (
                "",
                "22P02",
                "invalid input syntax for type vector: \"\"",
                start,
            ),
            (
                "1,2",
                "22P02",
                "invalid input syntax for type vector: \"1,2\"",
                start,
            ),
            (
                "{1}",
                "22P02",
                "invalid input syntax for type vector: \"{1}\"",
                start,
            ),
            (
                "[1]2",
                "22P02",
                "invalid input syntax for type vector: \"[1]2\"",
                junk,
            ),
            (
                "[1]]",
                "22P02",
                "invalid input syntax for type vector: \"[1]]\"",
                junk,
            ),
            (
                "[",
                "22P02",
                "invalid input syntax for type vector: \"[\"",
                None,
            ),
            (
                "[ ",
                "22P02",
                "invalid input syntax for type vector: \"[ \"",
                None,
            ),
            (
                "[1",
                "22P02",
                "invalid input syntax for type vector: \"[1\"",
                None,
            ),
            (
                "[1,",
                "22P02",
                "invalid input syntax for type vector: \"[1,\"",
                None,
            ),
            (
                "[,]",
                "22P02",
                "invalid input syntax for type vector: \"[,]\"",
                None,
            ),
            (
                "[1,]",
                "22P02",
                "invalid input syntax for type vector: \"[1,]\"",
                None,
            ),
            (
                "[1,,3]",
                "22P02",
                "invalid input syntax for type vector: \"[1,,3]\"",
                None,
            ),
            (
                "[1a]",
                "22P02",
                "invalid input syntax for type vector: \"[1a]\"",
                None,
            ),
            (
                "[1 2]",
                "22P02",
                "invalid input syntax for type vector: \"[1 2]\"",
                None,
            ),
            (
                "[--1]",
                "22P02",
                "invalid input syntax for type vector: \"[--1]\"",
                None,
            ),
            (
                "[+-1]",
                "22P02",
                "invalid input syntax for type vector: \"[+-1]\"",
                None,
            ),
            (
                "[1e]",
                "22P02",
                "invalid input syntax for type vector: \"[1e]\"",
                None,
            ),
            (
                "[.]",
                "22P02",
                "invalid input syntax for type vector: \"[.]\"",
                None,
            ),
            (
                "[é]",
                "22P02",
                "invalid input syntax for type vector: \"[é]\"",
                None,
            ),
            ("[]", "22000", "vector must have at least 1 dimension", None),
            (
                "[ ]",
                "22000",
                "vector must have at least 1 dimension",
                None,
            ),
            ("[NaN]", "22000", "NaN not allowed in vector", None),
            ("[-nan]", "22000", "NaN not allowed in vector", None),
            (
                "[inf]",
                "22000",
                "infinite value not allowed in vector",
                None,
            ),
            (
                "[1,-iNfinity]",
                "22000",
                "infinite value not allowed in vector",
                None,
            ),
            (
                "[4e38]",
                "22003",
                "\"4e38\" is out of range for type vector",
                None,
            ),
            (
                "[1, -4e38]",
                "22003",
                "\"-4e38\" is out of range for type vector",
                None,
            ),
            (
                "[+1e99999999999]",
                "22003",
                "\"+1e99999999999\" is out of range for type vector",
                None,
            ),
        ],
    );
}

#[test]
fn text_that_is_not_utf8_is_quoted_all_the_same() {
    let error = vector::parse(b"[\xff1]", -1).unwrap_err();
    assert_eq!(
        error.message,
        "invalid input syntax for type vector: \"[\u{fffd}1]\""
    );
}

#[test]
fn halfvec_accepts() {
    accepts(
        show_halfvec,
        &[
            ("[1,2,3]", "[1,2,3]"),
            ("[1.23456]", "[1.234375]"),
            ("[65519,-65519]", "[65504,-65504]"),
            ("[1e-8,-1e-8,1e-46]", "[0,-0,0]"),
            ("[6e-8]", "[5.9604645e-08]"),
        ],
    );
}

#[test]
fn halfvec_refuses() {
    refuses(
        show_halfvec,
        &[
            (
                "1",
                "22P02",
                "invalid input syntax for type halfvec: \"1\"",
                Some("Vector contents must start with \"[\"."),
            ),
            (
                "[1]9",
                "22P02",
                "invalid input syntax for type halfvec: \"[1]9\"",
                Some("Junk after closing right brace."),
            ),
            (
                "[1,]",
                "22P02",
                "invalid input syntax for type halfvec: \"[1,]\"",
                None,
            ),
            (
                "[]",
                "22000",
                "halfvec must have at least 1 dimension",
                None,
            ),
            ("[NaN]", "22000", "NaN not allowed in halfvec", None),
            (
                "[Infinity]",
                "22000",
                "infinite value not allowed in halfvec",
                None,
            ),
            (
                "[65520]",
                "22003",
                "\"65520\" is out of range for type halfvec",
                None,
            ),
            (
                "[-65520.0]",
                "22003",
                "\"-65520.0\" is out of range for type halfvec",
                None,
            ),
            (
                "[4e38]",
                "22003",
                "\"4e38\" is out of range for type halfvec",
                None,
            ),
        ],
    );
}

#[test]
fn sparsevec_accepts() {
    accepts(
        show_sparsevec,
        &[
            ("{1:1.5,3:2}/5", "{1:1.5,3:2}/5"),
            (" { 1 : 1.5 ,\t3 : 2 } / 5 ", "{1:1.5,3:2}/5"),
            ("{3:2,1:1}/5", "{1:1,3:2}/5"),
            ("{+1:1.}/+1", "{1:1}/1"),
            ("{1:0,2:1,3:-0,4:0e9}/4", "{2:1}/4"),
            ("{}/1", "{}/1"),
            ("{ }/1000000000", "{}/1000000000"),
            ("{1000000000:1}/1000000000", "{1000000000:1}/1000000000"),
            // A zero is dropped before its index is looked at.
            ("{9:0,0:0}/1", "{}/1"),
        ],
    );
}

#[test]
fn sparsevec_refuses() {
    let bounds = "sparsevec index out of bounds";
    let duplicates = "sparsevec indices must not contain duplicates";
    refuses(
        show_sparsevec,
        &[
            (
                "",
                "22P02",
                "invalid input syntax for type sparsevec: \"\"",
                Some("Vector contents must start with \"{\"."),
            ),
            (
                "[1]",
                "22P02",
                "invalid input syntax for type sparsevec: \"[1]\"",
                Some("Vector contents must start with \"{\"."),
            ),
            (
                "{}",
                "22P02",
                "invalid input syntax for type sparsevec: \"{}\"",
                Some("Unexpected end of input."),
            ),
            (
                "{}/1a",
                "22P02",
                "invalid input syntax for type sparsevec: \"{}/1a\"",
                Some("Junk after closing."),
            ),
            (
                "{",
                "22P02",
                "invalid input syntax for type sparsevec: \"{\"",
                None,
            ),
            (
                "{}/",
                "22P02",
                "invalid input syntax for type sparsevec: \"{}/\"",
                None,
            ),
            (
                "{,}/1",
                "22P02",
                "invalid input syntax for type sparsevec: \"{,}/1\"",
                None,
            ),
            (
                "{1,}/1",
                "22P02",
                "invalid input syntax for type sparsevec: \"{1,}/1\"",
                None,
            ),
            (
                "{:1}/1",
                "22P02",
                "invalid input syntax for type sparsevec: \"{:1}/1\"",
                None,
            ),
            (
                "{1:}/1",
                "22P02",
                "invalid input syntax for type sparsevec: \"{1:}/1\"",
                None,
            ),
            (
                "{1.5:1}/1",
                "22P02",
                "invalid input syntax for type sparsevec: \"{1.5:1}/1\"",
                None,
            ),
            (
                "{1:1a}/1",
                "22P02",
                "invalid input syntax for type sparsevec: \"{1:1a}/1\"",
                None,
            ),
            (
                "{1:1,}/1",
                "22P02",
                "invalid input syntax for type sparsevec: \"{1:1,}/1\"",
                None,
            ),
            ("{1:nan}/1", "22000", "NaN not allowed in sparsevec", None),
            (
                "{1:-inf}/1",
                "22000",
                "infinite value not allowed in sparsevec",
                None,
            ),
            (
                "{1:4e38}/1",
                "22003",
                "\"4e38\" is out of range for type sparsevec",
                None,
            ),
            // Too small is an error here: the element would silently be dropped.
            (
                "{1:1e-46}/1",
                "22003",
                "\"1e-46\" is out of range for type sparsevec",
                None,
            ),
            (
                "{1:-0.01e-99}/1",
                "22003",
                "\"-0.01e-99\" is out of range for type sparsevec",
                None,
            ),
            ("{1:1,1:2}/2", "22000", duplicates, None),
            ("{1:1,2:1,1:1}/2", "22000", duplicates, None),
            ("{0:1}/1", "22000", bounds, None),
            ("{2:1}/1", "22000", bounds, None),
            ("{2147483648:1}/1", "22000", bounds, None),
            ("{-9999999999999999999:1}/1", "22000", bounds, None),
            (
                "{}/0",
                "22000",
                "sparsevec must have at least 1 dimension",
                None,
            ),
            (
                "{}/-9223372036854775809",
                "22000",
                "sparsevec must have at least 1 dimension",
                None,
            ),
            (
                "{}/1000000001",
                "54000",
                "sparsevec cannot have more than 1000000000 dimensions",
                None,
            ),
            (
                "{}/9223372036854775808",
                "54000",
                "sparsevec cannot have more than 1000000000 dimensions",
                None,
            ),
        ],
    );
}

#[test]
fn typmods_are_checked() {
    for (show, input) in [
        (show_vector as Show, "[1,2,3]"),
        (show_halfvec, "[1,2,3]"),
        (show_sparsevec, "{}/3"),
    ] {
        assert_eq!(show(input, 3).as_deref(), Ok(input));
        let error = show(input, 2).unwrap_err();
        assert_eq!(error.code.sqlstate(), "22000");
        assert_eq!(error.message, "expected 2 dimensions, not 3");
    }
    // The server calls input functions with the typmod -1 and casts later, but COPY does not.
    for (modifiers, message) in [
        (&[3, 2][..], "invalid type modifier"),
        (&[], "invalid type modifier"),
        (&[0], "dimensions for type vector must be at least 1"),
        (&[-5], "dimensions for type vector must be at least 1"),
        (&[16001], "dimensions for type vector cannot exceed 16000"),
    ] {
        let error = vector::typmod_in(modifiers).unwrap_err();
        assert_eq!(error.code.sqlstate(), "22023");
        assert_eq!(error.message, message);
    }
    assert_eq!(vector::typmod_in(&[16000]), Ok(16000));
    assert_eq!(
        halfvec::typmod_in(&[16001]).unwrap_err().message,
        "dimensions for type halfvec cannot exceed 16000"
    );
    assert_eq!(sparsevec::typmod_in(&[1_000_000_000]), Ok(1_000_000_000));
    assert_eq!(
        sparsevec::typmod_in(&[1_000_000_001]).unwrap_err().message,
        "dimensions for type sparsevec cannot exceed 1000000000"
    );
}

#[test]
fn limits_of_dimensions_and_elements() {
    let list = |n: usize| format!("[{}]", vec!["1"; n].join(","));
    assert_eq!(
        vector::parse(list(16000).as_bytes(), -1).unwrap().len(),
        16000
    );
    for (show, name) in [(show_vector as Show, "vector"), (show_halfvec, "halfvec")] {
        // Junk that comes after the limit is never looked at.
        for input in [list(16001), list(16000).replace(']', ",junk")] {
            let error = show(&input, -1).unwrap_err();
            assert_eq!(error.code.sqlstate(), "54000");
            assert_eq!(
                error.message,
                format!("{name} cannot have more than 16000 dimensions")
            );
        }
    }
    let sparse = |n: usize| {
        let elements: Vec<String> = (1..=n).map(|i| format!("{i}:1")).collect();
        format!("{{{}}}/99999", elements.join(","))
    };
    let most = sparsevec::parse(sparse(16000).as_bytes(), -1).unwrap();
    assert_eq!((most.indices.len(), most.dims), (16000, 99999));
    let error = show_sparsevec(&sparse(16001), -1).unwrap_err();
    assert_eq!(error.code.sqlstate(), "54000");
    assert_eq!(
        error.message,
        "sparsevec cannot have more than 16000 non-zero elements"
    );
}
