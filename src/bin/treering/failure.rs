//! Why a command did not succeed, and how that is told.

use std::fmt;
use std::io;

/// The result of a command.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// The command line cannot mean anything: exit code 2.
    Usage(String),
    /// The engine refused or failed: exit code 1.
    Engine(treering::Error),
    /// A file or a terminal failed: exit code 1.
    Io(String),
    /// Something was done, and something could not be; it has been told already: exit code 1.
    Told,
    /// Who reads the output has gone, which is no error.
    Pipe,
}

impl Failure {
    /// An error of reading or writing what `what` names.
    pub fn io(what: impl fmt::Display, cause: &io::Error) -> Failure {
        if cause.kind() == io::ErrorKind::BrokenPipe { Failure::Pipe } else { Failure::Io(format!("{what}: {cause}")) }
    }

    /// The exit code of the process.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Pipe => 0,
            Failure::Engine(_) | Failure::Io(_) | Failure::Told => 1,
            Failure::Usage(_) => 2,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(message) | Failure::Io(message) => f.write_str(message),
            Failure::Engine(error) => {
                write!(f, "{error}")?;
                let mut source = std::error::Error::source(error);
                while let Some(cause) = source {
                    let text = cause.to_string();
                    // Many sentences end in their cause already.
                    if !error.message().contains(&text) {
                        write!(f, "\ncaused by: {text}")?;
                    }
                    source = cause.source();
                }
                if error.kind() == treering::ErrorKind::Corrupt && !error.message().contains("backup") {
                    f.write_str("\nthe database is damaged; restore it from a backup")?;
                }
                write!(f, "\n(:{})", error.code())
            }
            Failure::Told | Failure::Pipe => Ok(()),
        }
    }
}

impl From<treering::Error> for Failure {
    fn from(error: treering::Error) -> Failure {
        Failure::Engine(error)
    }
}

/// Errors of standard output.
impl From<io::Error> for Failure {
    fn from(cause: io::Error) -> Failure {
        Failure::io("the output cannot be written", &cause)
    }
}
