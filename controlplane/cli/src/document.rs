// SPDX-License-Identifier: Apache-2.0
//! Policy documents that a command takes from a file or from standard input.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use hythe_client::wire::PolicyWarning;

use crate::context::Context;
use crate::error::{CliError, file};

/// The longest document to read, in bytes. The server takes less.
const MAX_DOCUMENT_BYTES: u64 = 512 * 1024;

/// A document in a file, or `-` for standard input.
#[derive(clap::Args, Clone, Debug)]
pub struct DocumentArg {
    /// The file with the document, or `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl DocumentArg {
    /// The document at `file`.
    pub(crate) fn at(file: PathBuf) -> Self {
        Self { file }
    }

    /// The text.
    pub(crate) fn read(&self) -> Result<String, CliError> {
        let mut text = String::new();
        let read = if self.file.as_os_str() == "-" {
            read_all(std::io::stdin().lock(), &mut text)
        } else {
            std::fs::File::open(&self.file).and_then(|opened| read_all(opened, &mut text))
        };
        read.map_err(file("read", self.path()))?;
        if text.len() as u64 > MAX_DOCUMENT_BYTES {
            return Err(CliError::Usage {
                message: format!("`{}` has more than {MAX_DOCUMENT_BYTES} bytes", self.path().display()),
                hint: "give a policy document: a JSON object with Version and Statement",
            });
        }
        Ok(text)
    }

    fn path(&self) -> &Path {
        if self.file.as_os_str() == "-" {
            Path::new("standard input")
        } else {
            &self.file
        }
    }
}

/// Tells what the server says about a document that it has taken.
pub(crate) fn warn(context: &Context, warnings: &[PolicyWarning]) {
    for PolicyWarning { pointer, message } in warnings {
        context.writer.note(&format!("warning: `{pointer}`: {message}"));
    }
}

fn read_all(input: impl std::io::Read, text: &mut String) -> std::io::Result<usize> {
    input.take(MAX_DOCUMENT_BYTES + 1).read_to_string(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.json");
        let document = DocumentArg { file: path.clone() };
        assert!(matches!(document.read(), Err(CliError::File { .. })));
        std::fs::write(&path, "{ \"Version\": \"2012-10-17\" }\n").unwrap();
        assert_eq!(document.read().unwrap(), "{ \"Version\": \"2012-10-17\" }\n");
        std::fs::write(&path, " ".repeat(513 * 1024)).unwrap();
        assert!(matches!(document.read(), Err(CliError::Usage { .. })));
        std::fs::write(&path, [0xff]).unwrap();
        assert!(matches!(document.read(), Err(CliError::File { .. })));
    }
}
