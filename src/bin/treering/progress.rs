//! How far a long command has come: on a terminal only.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

/// A bar over so many bytes, with a message beside it; hidden unless standard error is a terminal.
pub fn over_bytes(bytes: Option<u64>) -> ProgressBar {
    shown(bytes, "{bar:28} {bytes}/{total_bytes} {bytes_per_sec} ETA {eta} {msg}")
}

/// A bar over so many things.
pub fn over_count(count: u64, noun: &str) -> ProgressBar {
    shown(Some(count), &format!("{{bar:28}} {{human_pos}}/{{human_len}} {noun} {{per_sec}} ETA {{eta}} {{msg}}"))
}

/// A bar over what goes through several stages.
pub fn of_stages() -> ProgressBar {
    shown(None, "{bar:28} {human_pos}/{human_len} {msg}")
}

/// Shows progress on a bar of [`of_stages`].
pub fn shown_on(bar: &ProgressBar) -> impl Fn(&treering::Progress) + Send + Sync + 'static {
    let bar = bar.clone();
    move |progress| {
        bar.set_length(progress.total.max(progress.done));
        bar.set_position(progress.done);
        bar.set_message(format!("{}, {} bytes", progress.stage, grouped(progress.bytes)));
    }
}

fn shown(length: Option<u64>, template: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
    // Whatever ends the command, an error too, takes the bar away.
    let bar = bar.with_finish(ProgressFinish::AndClear);
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// `12,345`
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
