//! Any text gives a configuration or problems, never a panic.

use coo_llm_config::parse;
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../coo-llm.yaml");

/// Pieces that a YAML parser stumbles over.
const PIECES: [&str; 24] = [
    ": ", "- ", "\n", "{", "}", "[", "]", "\"", "'", "#", "&a ", "*a", "!t ", "|", ">", "? ", "%",
    "---", "...", "${", "}", "\t", "\u{feff}", "\u{0}",
];

/// Each problem of a text has a place in it and says something.
fn check(text: &str) -> Result<(), TestCaseError> {
    if let Err(problems) = parse(text, &|name| Some(name.to_owned())) {
        prop_assert!(!problems.list.is_empty());
        for problem in &problems.list {
            let place = problem.place.expect("a parsed text has places");
            prop_assert!(
                place.line >= 1 && place.line <= text.lines().count() + 1,
                "{problem}"
            );
            prop_assert!(!problem.message.is_empty());
            prop_assert!(!problem.to_string().contains('\n'), "{problem}");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn any_yaml_like_text(pieces in prop::collection::vec(
        prop_oneof![prop::sample::select(&PIECES[..]).prop_map(str::to_owned), "[a-z0-9_ ]{0,6}"], 0..60,
    )) {
        check(&pieces.concat())?;
    }

    #[test]
    fn the_example_with_changes(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..20usize, prop::sample::select(&PIECES[..])), 1..6),
    ) {
        let mut chars: Vec<char> = EXAMPLE.chars().collect();
        for (at, cut, piece) in changes {
            let at = at.index(chars.len());
            let end = (at + cut).min(chars.len());
            chars.splice(at..end, piece.chars());
        }
        check(&chars.into_iter().collect::<String>())?;
    }
}
