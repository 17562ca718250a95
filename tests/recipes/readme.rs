//! Recipes as README.md has them: sections of `## Recipes`, and in each the fenced `sh` blocks with what the paragraph
//! before a block says of it.

use std::path::Path;

/// Where a block runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On one host, by its letter.
    Host(char),
    /// On hosts A and B, one after the other.
    Both,
    /// In the virtual machine of host A.
    Vm,
}

/// What a block is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Makes what the recipe finds.
    Before,
    /// The recipe itself.
    Do,
    /// Takes back what the recipe did.
    Undo,
}

/// A fenced block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Where it runs.
    pub(crate) place: Place,
    /// What it is for.
    pub(crate) phase: Phase,
    /// Its lines, as they are.
    pub(crate) text: String,
}

/// A section of `## Recipes`.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// Its heading.
    pub(crate) title: String,
    /// Its blocks, in order.
    pub(crate) blocks: Vec<Block>,
    /// Whether it begins with the daemons of [`DAEMONS`], to which it links.
    pub(crate) needs_daemons: bool,
}

/// The section that most recipes begin with.
pub(crate) const DAEMONS: &str = "A daemon on each host";
/// What links to it.
const DAEMONS_LINK: &str = "(#a-daemon-on-each-host)";

/// All recipes of README.md, in order.
///
/// # Panics
///
/// When a block does not say where it runs.
pub(crate) fn recipes() -> Vec<Recipe> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let (_, rest) = text.split_once("\n## Recipes\n").expect("README.md has a section Recipes");
    let section = rest.split("\n## ").next().unwrap_or_default();
    section.split("\n### ").skip(1).map(parse).collect()
}

/// The recipe with this heading.
pub(crate) fn recipe(title: &str) -> Recipe {
    recipes().into_iter().find(|recipe| recipe.title == title).unwrap_or_else(|| {
        let known: Vec<_> = recipes().into_iter().map(|recipe| recipe.title).collect();
        panic!("README.md has no recipe {title:?}, but {known:?}")
    })
}

/// Reads a section: its heading, and the rest.
fn parse(section: &str) -> Recipe {
    let (title, body) = section.split_once('\n').unwrap_or((section, ""));
    let (mut blocks, mut paragraph, mut block) = (Vec::new(), String::new(), None::<String>);
    for line in body.lines() {
        match (&mut block, line) {
            (Some(_), "```") => {
                let (place, phase) = instruction(title, &paragraph);
                blocks.push(Block { place, phase, text: block.take().unwrap_or_default() });
                paragraph.clear();
            }
            (Some(text), line) => *text += &format!("{line}\n"),
            (None, "```sh") => block = Some(String::new()),
            (None, "") => paragraph.push('\n'),
            (None, line) => {
                if paragraph.ends_with("\n") {
                    paragraph.clear();
                }
                paragraph += &format!("{line} ");
            }
        }
    }
    assert!(block.is_none(), "{title:?} has a block without an end");
    Recipe { title: title.to_owned(), blocks, needs_daemons: body.contains(DAEMONS_LINK) }
}

/// What the last sentence of a paragraph says of the block after it.
fn instruction(title: &str, paragraph: &str) -> (Place, Phase) {
    let paragraph = paragraph.trim();
    let sentence = paragraph.rsplit(". ").next().unwrap_or(paragraph).to_lowercase();
    let places = [
        ("on host a:", Place::Host('A')),
        ("on host b:", Place::Host('B')),
        ("on host c:", Place::Host('C')),
        ("on both hosts:", Place::Both),
        ("in the vm:", Place::Vm),
    ];
    let place = places.iter().find(|(words, _)| sentence.ends_with(words)).map(|(_, place)| *place);
    let place = place.unwrap_or_else(|| panic!("{title:?} does not say where a block runs: {paragraph:?}"));
    let phase = match sentence.split([',', ' ']).next() {
        Some("before") => Phase::Before,
        Some("undo") => Phase::Undo,
        _ => Phase::Do,
    };
    (place, phase)
}

#[test]
fn a_block_is_read_with_the_sentence_before_it() {
    let text = "Title\n\nWords. Before, on host A:\n\n```sh\none\n\ntwo\n```\n\nTest it,\nin the VM:\n\n```sh\nthree\n```\n\n\
                ```console\nnot this\n```\n\nFor it is done. Undo, on both hosts:\n\n```sh\nfour\n```\n";
    let block = |place, phase, text: &str| Block { place, phase, text: text.to_owned() };
    let expected = [
        block(Place::Host('A'), Phase::Before, "one\n\ntwo\n"),
        block(Place::Vm, Phase::Do, "three\n"),
        block(Place::Both, Phase::Undo, "four\n"),
    ];
    assert_eq!(parse(text).blocks, expected);
}

#[test]
#[should_panic(expected = "does not say where a block runs")]
fn a_block_that_does_not_say_where_it_runs_is_refused() {
    parse("Title\n\nRun this:\n\n```sh\none\n```\n");
}

#[test]
fn every_recipe_ends_with_a_ping_and_its_undo() {
    let recipes = recipes();
    assert!(recipes.len() >= 8, "{} recipes", recipes.len());
    for recipe in recipes.iter().filter(|recipe| recipe.title != DAEMONS) {
        let steps = |phase| recipe.blocks.iter().filter(move |block| block.phase == phase);
        let last = steps(Phase::Do).next_back().map_or("", |block| &block.text);
        assert!(last.contains("ping -c "), "{}: the last thing done is no ping, but {last:?}", recipe.title);
        assert!(steps(Phase::Undo).next().is_some(), "{} says no undo", recipe.title);
        let end = recipe.blocks.last().map(|block| block.phase);
        assert_eq!(end, Some(Phase::Undo), "{} does not end with its undo", recipe.title);
    }
}
