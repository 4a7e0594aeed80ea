//! What the documents say is what the code does.

use std::fmt::Write;

use thalweg_dataflow::Code;

/// `docs/errors.md` as it has to be. Set `THALWEG_BLESS=1` to write it.
fn errors_page() -> String {
    let mut page = String::from(
        "# Errors\n\n\
         Every error has a stable code, says what happened, where, why, and what to do; the same in every face.\n\
         A script's errors show the line with a caret. The process ends with the exit code of the first error.\n\n\
         | code | exit | means |\n|---|---|---|\n",
    );
    for code in Code::ALL {
        let meaning = code.explanation().split_whitespace().collect::<Vec<_>>().join(" ");
        writeln!(page, "| `{code}` | {} | {meaning} |", code.exit_code()).expect("a String takes all");
    }
    page.push_str(
        "\nOther exit codes: 0 ended well, 130 and 143 stopped by SIGINT and SIGTERM (rows in flight reached the\n\
         sinks, open windows did not fire), 131 aborted by a second signal.\n",
    );
    page
}

#[test]
fn the_page_of_errors_lists_every_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");
    let page = errors_page();
    if std::env::var_os("THALWEG_BLESS").is_some() {
        std::fs::write(path, &page).expect("docs/errors.md is writable");
    }
    assert_eq!(std::fs::read_to_string(path).expect("docs/errors.md"), page, "run with THALWEG_BLESS=1");
}
