//! `weft man [DIR]`: the help as manual pages, one a command.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::{Cli, Outcome, complain, print};

/// Arguments of `weft man`.
#[derive(Debug, Args)]
#[command(
    after_help = "The pages say what --help says. Without DIR the page of weft itself goes to standard \
                  output. After the second example: man weft, man weft-port-add.\n\n\
                  Examples:\n  weft man | man -l -\n  weft man /usr/local/share/man/man1"
)]
pub(super) struct ManArgs {
    /// Write the pages of all commands into this directory, which is made if it is missing
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(super) fn run(args: &ManArgs) -> Outcome {
    let Some(directory) = &args.directory else {
        return print(&page(&command()).text);
    };
    match write_all(directory) {
        Ok(count) => print(&format!(
            "{count} pages are in {}; read one with `man -l {}`\n",
            directory.display(),
            directory.join("weft.1").display()
        )),
        Err(error) => {
            complain(format_args!(
                "cannot write the manual pages to {}: {error}; name a directory that you may write to",
                directory.display()
            ));
            Outcome::Failed
        }
    }
}

/// The whole command line, with the names that its parts get at run time.
pub(super) fn command() -> Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

fn write_all(directory: &Path) -> io::Result<usize> {
    fs::create_dir_all(directory)?;
    let mut all = Vec::new();
    pages(&command(), &mut all);
    for page in &all {
        fs::write(directory.join(&page.name), &page.text)?;
    }
    Ok(all.len())
}

/// One manual page.
struct Page {
    name: String,
    text: String,
}

fn pages(command: &Command, all: &mut Vec<Page>) {
    all.push(page(command));
    command.get_subcommands().filter(|sub| !sub.is_hide_set()).for_each(|sub| pages(sub, all));
}

/// A page in the order that manual pages have; examples and exit codes get sections of their own.
fn page(command: &Command) -> Page {
    let manual = Man::new(command.clone())
        .source(concat!("weft ", env!("CARGO_PKG_VERSION")))
        .manual("weft: a userspace overlay switch");
    let mut out = Vec::new();
    // Writing to memory does not fail.
    let _ = manual.render_title(&mut out);
    let _ = manual.render_name_section(&mut out);
    let _ = manual.render_synopsis_section(&mut out);
    let _ = manual.render_description_section(&mut out);
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (prose, sections) = split(&after);
    let _ = paragraphs(&prose).to_writer(&mut out);
    let _ = manual.render_options_section(&mut out);
    if command.get_subcommands().any(|sub| !sub.is_hide_set()) {
        let _ = manual.render_subcommands_section(&mut out);
    }
    for section in &sections {
        let _ = section.roff().to_writer(&mut out);
    }
    Page { name: manual.get_filename(), text: String::from_utf8_lossy(&out).into_owned() }
}

/// `Examples:` with what stands below it, or `Exit codes: ...`.
struct Section<'a> {
    title: &'static str,
    text: &'a str,
}

impl Section<'_> {
    fn roff(&self) -> Roff {
        let mut roff = Roff::new();
        roff.control("SH", [self.title]);
        if self.title == "EXAMPLES" {
            roff.control("nf", []);
            for line in self.text.lines() {
                roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
            roff.control("fi", []);
        } else {
            roff.text([roman(self.text)]);
        }
        roff
    }
}

/// Divides the text below the options of a help into what is prose and what is a section.
fn split(after: &str) -> (Vec<&str>, Vec<Section<'_>>) {
    let heads = [("Example:\n", "EXAMPLES"), ("Examples:\n", "EXAMPLES"), ("Exit codes: ", "EXIT STATUS")];
    let (mut prose, mut sections) = (Vec::new(), Vec::new());
    for block in after.split("\n\n") {
        let section = heads.iter().find_map(|(head, title)| Some((*title, block.strip_prefix(head)?)));
        match section {
            Some((title, text)) => sections.push(Section { title, text }),
            None => prose.push(block),
        }
    }
    (prose, sections)
}

fn paragraphs(prose: &[&str]) -> Roff {
    let mut roff = Roff::new();
    for paragraph in prose.iter().filter(|paragraph| !paragraph.is_empty()) {
        roff.control("PP", []);
        for line in paragraph.lines() {
            roff.text([roman(line)]);
        }
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_every_command_that_is_shown() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("man1");
        let count = write_all(&below).unwrap();
        let names: Vec<_> =
            fs::read_dir(&below).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(names.len(), count);
        for name in
            ["weft.1", "weft-run.1", "weft-port.1", "weft-port-add.1", "weft-fdb-thaw.1", "weft-man.1"]
        {
            assert!(names.iter().any(|n| n == name), "{name} is missing: {names:?}");
        }
        assert!(!names.iter().any(|n| n.contains("part") || n.contains("help")), "{names:?}");
    }

    #[test]
    fn examples_and_exit_codes_become_sections() {
        let after = "One.\n\nExamples:\n  weft status\n  weft port\n\nExit codes: 0 ok.\n\nTwo.";
        let (prose, sections) = split(after);
        assert_eq!(prose, ["One.", "Two."]);
        let found: Vec<_> = sections.iter().map(|s| (s.title, s.text)).collect();
        assert_eq!(found, [("EXAMPLES", "  weft status\n  weft port"), ("EXIT STATUS", "0 ok.")]);
    }

    #[test]
    fn the_environment_of_who_makes_the_pages_is_not_in_them() {
        let mut all = Vec::new();
        pages(&command(), &mut all);
        assert!(
            all.iter().all(|page| page.text.contains("WEFT_SOCKET") && !page.text.contains("WEFT_SOCKET="))
        );
    }
}
