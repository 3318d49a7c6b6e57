//! A program that a test writes for others to run.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes an executable file. Another process does it: whatever another thread starts while this one has
/// the file open holds it open too, for a moment, and what is open for writing cannot be run.
#[track_caller]
pub fn script(path: impl AsRef<Path>, text: &str) {
    let write = "rm -f \"$0\" && cat > \"$0\" && chmod 755 \"$0\"";
    let mut writer = Command::new("sh");
    let mut writer =
        writer.args(["-c", write]).arg(path.as_ref()).stdin(Stdio::piped()).spawn().unwrap();
    writer.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success(), "write {}", path.as_ref().display());
}
