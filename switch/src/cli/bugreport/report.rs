//! A report in the making: files, what is missing, and all of it as one archive. Whatever is added goes through here, so
//! that nothing gets past the removal of secrets.

use std::io;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::disguise::Disguise;
use super::hide::Hider;

/// The folder that all files of the archive are in.
const FOLDER: &str = "weft-bugreport";
/// The largest file, in octets; of a larger one the end is kept, which of a log is what matters.
const MAX_FILE: usize = 8 << 20;

/// Files, and what could not be had.
#[derive(Default)]
pub(super) struct Report {
    files: Vec<File>,
    missing: Vec<(String, String)>,
    hider: Hider,
    disguise: Option<Disguise>,
}

struct File {
    name: String,
    how: String,
    text: String,
}

impl Report {
    /// An empty report; with a disguise all addresses are replaced.
    pub(super) fn new(disguise: Option<Disguise>) -> Self {
        Self { disguise, ..Self::default() }
    }

    /// Adds a file; `how` says how it was obtained.
    pub(super) fn add(&mut self, name: &str, how: &str, text: &str) {
        self.put(name, how, text, Hider::text);
    }

    /// The same of a configuration, without its comments.
    pub(super) fn add_config(&mut self, name: &str, how: &str, text: &str) {
        self.put(name, &format!("{how}; comments removed"), text, Hider::config);
    }

    fn put(&mut self, name: &str, how: &str, text: &str, hide: impl Fn(&mut Hider, &str) -> (String, usize)) {
        let from = text.ceil_char_boundary(text.len().saturating_sub(MAX_FILE));
        let (text, hidden) = hide(&mut self.hider, &text[from..]);
        let mut how = how.to_owned();
        if hidden > 0 {
            how.push_str(&format!("; {hidden} removed as secret"));
        }
        if from > 0 {
            how.push_str(&format!("; its first {from} octets left out"));
        }
        let text = self.disguised(text);
        self.files.push(File { name: name.to_owned(), how, text });
    }

    /// Notes that something could not be had, and why.
    pub(super) fn lacks(&mut self, name: &str, why: impl Into<String>) {
        self.missing.push((name.to_owned(), why.into()));
    }

    /// How many files there are with the manifest, and how many are missing.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.files.len() + 1, self.missing.len())
    }

    /// The archive, a gzipped tar; `time` says when it was made, and so does `made` in seconds since 1970.
    pub(super) fn archive(mut self, time: &str, made: u64) -> io::Result<Vec<u8>> {
        let manifest = self.manifest(time);
        let (manifest, _) = self.hider.text(&manifest);
        let manifest = self.disguised(manifest);
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        let files = self.files.iter().map(|file| (file.name.as_str(), file.text.as_str()));
        for (name, text) in std::iter::once(("MANIFEST", manifest.as_str())).chain(files) {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(made);
            tar.append_data(&mut header, format!("{FOLDER}/{name}"), text.as_bytes())?;
        }
        tar.into_inner()?.finish()
    }

    fn manifest(&self, time: &str) -> String {
        let addresses = match self.disguise {
            Some(_) => {
                "Addresses are replaced, each by the same one throughout: of IPv4 the first 4 bits stay, of IPv6 the first \
                 16, and two that began alike do so still. Names are as they are."
            }
            None => "Addresses and names are as they are (see weft bugreport --anonymize).",
        };
        let mut text = format!(
            "weft bug report of {time}, made by weft {}\n\n{addresses}\nNever read: key files, the token file, the state \
             directory. What was removed stands as <removed-N>, the same N for the same text.\n\nFILES\n",
            env!("CARGO_PKG_VERSION")
        );
        for File { name, how, .. } in &self.files {
            text.push_str(&format!("{name}\n  {how}\n"));
        }
        if !self.missing.is_empty() {
            text.push_str("\nNOT HERE\n");
        }
        for (name, why) in &self.missing {
            text.push_str(&format!("{name}\n  {}\n", why.replace('\n', "\n  ")));
        }
        text
    }

    fn disguised(&mut self, text: String) -> String {
        match &mut self.disguise {
            Some(disguise) => disguise.text(&text),
            None => text,
        }
    }
}
