//! Whatever the text, planning answers and does not panic, and every place is within the text.

mod fakes;

use proptest::prelude::*;

const VALID: &str = "\
CREATE TABLE t (a BIGINT NOT NULL, b TEXT, ts TIMESTAMP, s STRUCT<x INT, y TEXT>, l BIGINT[],
  up TEXT GENERATED ALWAYS AS (upper(b)) STORED, line BIGINT METADATA FROM 'line',
  WATERMARK FOR ts AS ts - INTERVAL '5 seconds', PRIMARY KEY (a)) WITH (connector = 'file', 'path' = 'x', type = 'source');
CREATE TABLE out WITH (connector = 'file', path = 'é', format = 'debezium_json', type = 'sink');
CREATE VIEW v AS SELECT tumble(interval '10 seconds') AS window, up, count(*) AS count FROM t WHERE a > 1 GROUP BY 1, 2;
INSERT INTO out SELECT b, count(DISTINCT a), s.x FROM t GROUP BY b, s.x HAVING count(*) > 1;
SELECT window.start, unnest(l) FROM (SELECT v.window, make_array(count) AS l FROM v) -- the end
";

fn check(script: &str) -> Result<(), TestCaseError> {
    if let Err(errors) = fakes::planner().plan(script) {
        prop_assert!(!errors.is_empty());
        for error in errors {
            prop_assert_ne!(error.code().as_str(), "internal", "{} for {}", error, script);
            if let Some(span) = error.span() {
                prop_assert!(script.get(span.start..span.end).is_some(), "{} at {:?}", error, span);
            }
        }
    }
    Ok(())
}

#[test]
fn the_script_that_is_mutated_is_valid() {
    fakes::planner().plan(VALID).expect("a valid script");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text(script in "\\PC{0,200}") {
        check(&script)?;
    }

    #[test]
    fn words_in_any_order(words in proptest::collection::vec(proptest::sample::select(
        VALID.split_whitespace().collect::<Vec<_>>()), 0..40)) {
        check(&words.join(" "))?;
    }

    #[test]
    fn a_valid_script_with_a_piece_changed(at in 0..VALID.len(), length in 0..12usize, put in "[(),;'\"a-z0-9 .<>=*é]{0,4}") {
        let floor = |mut index: usize| {
            while !VALID.is_char_boundary(index) {
                index -= 1;
            }
            index
        };
        let (start, end) = (floor(at), floor((at + length).min(VALID.len())));
        check(&format!("{}{put}{}", &VALID[..start], &VALID[end.max(start)..]))?;
    }
}
