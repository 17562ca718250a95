//! What the command line gives to shells and to `man`, tried with the real programs.

use std::path::Path;

use weft_tests::command::{run, try_run};
use weft_tests::node::binary;

fn weft() -> &'static str {
    binary().to_str().expect("UTF-8")
}

/// What bash offers for a line whose last word is being typed.
fn bash_offers(script: &Path, line: &[&str]) -> Vec<String> {
    let (word, before) = (line[line.len() - 1], line[line.len() - 2]);
    let program = format!(
        "source {}; COMP_WORDS=({}); COMP_CWORD={}; _weft weft '{word}' '{before}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        line.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
        line.len() - 1,
    );
    run(&["bash", "--norc", "-uc", &program]).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("weft");
    std::fs::write(&script, run(&[weft(), "completions", "bash"])).expect("the script is written");
    for (line, offered) in [
        (&["weft", "po"][..], &["port"][..]),
        (&["weft", "port", "d"], &["del"]),
        (&["weft", "port", "add", "--net"], &["--network", "--netns"]),
        (&["weft", "peer", "add", "--format", "g"], &["geneve"]),
        (&["weft", "completions", "f"], &["fish"]),
        (&["weft", "demo-"], &[""]),
    ] {
        assert_eq!(bash_offers(&script, line), offered, "{line:?}");
    }
}

#[test]
fn bash_finds_the_completion_by_itself_once_the_script_is_loaded() {
    let program = format!("source <({} completions bash) && complete -p weft", weft());
    let registered = run(&["bash", "--norc", "-euc", &program]);
    assert!(registered.contains("-F _weft") && registered.trim_end().ends_with(" weft"), "{registered}");
}

#[test]
fn a_directory_that_cannot_be_written_is_named_with_the_next_step() {
    let done = try_run(&[weft(), "man", "/proc/nowhere"]);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("/proc/nowhere") && done.err.contains("name a directory"), "{}", done.err);
}
