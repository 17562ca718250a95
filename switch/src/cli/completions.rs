//! `weft completions SHELL`: what a shell needs to complete `weft po` to `weft port`.

use clap::{Args, Command, CommandFactory, ValueEnum};
use clap_complete::aot;

use super::{Cli, Outcome, print};

/// Arguments of `weft completions`.
#[derive(Debug, Args)]
#[command(
    after_help = "The script goes to standard output; the examples put it where it serves all users. For this shell \
                  only: source <(weft completions bash)\n\n\
                  Examples:\n  weft completions bash > /usr/share/bash-completion/completions/weft\n  \
                  weft completions zsh > /usr/share/zsh/vendor-completions/_weft\n  \
                  weft completions fish > /usr/share/fish/vendor_completions.d/weft.fish"
)]
pub(super) struct CompletionsArgs {
    /// The shell that is to complete
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl From<Shell> for aot::Shell {
    fn from(shell: Shell) -> Self {
        match shell {
            Shell::Bash => Self::Bash,
            Shell::Zsh => Self::Zsh,
            Shell::Fish => Self::Fish,
        }
    }
}

pub(super) fn run(args: &CompletionsArgs) -> Outcome {
    print(&script(args.shell))
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    aot::generate(aot::Shell::from(shell), &mut visible(), "weft", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The command line without what is hidden: the generator would offer that, too.
fn visible() -> Command {
    let all = Cli::command();
    let shown = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    Command::new("weft")
        .version(env!("CARGO_PKG_VERSION"))
        .about(all.get_about().cloned().unwrap_or_default())
        .args(all.get_arguments().cloned())
        .subcommands(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_is_offered_what_is_shown_and_nothing_hidden() {
        let hidden: Vec<_> = Cli::command()
            .get_subcommands()
            .filter(|command| command.is_hide_set())
            .map(|command| command.get_name().to_owned())
            .collect();
        assert!(!hidden.is_empty());
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            for command in visible().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell:?} lacks {}", command.get_name());
            }
            for name in &hidden {
                assert!(!script.contains(name.as_str()), "{shell:?} offers {name}");
            }
        }
    }
}
