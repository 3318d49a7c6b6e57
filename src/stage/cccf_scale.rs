//! cccf-scale: one document for many containers → the many, and back.

use crate::error::Result;
use crate::logic::scale::{Down, Limits, Out, Up};
use crate::pipe::{Found, Output, Report, Stdio};
use crate::record::{Checkpoint, Container, Of, Record};

/// Which way.
pub enum Way {
    /// A document for each container.
    Up(Limits),
    /// One document for all replicas.
    Down,
}

/// Serves standard input to its end.
pub fn run(stdio: Stdio, way: Way) -> Result<()> {
    let Stdio { mut reader, output, report } = stdio;
    let filter = match way {
        Way::Up(limits) => Filter::Up(Up::new(limits)),
        Way::Down => Filter::Down(Down::default()),
    };
    let mut stage = Stage { filter, output, report, listed: 0, open: true, lost: false };
    loop {
        match reader.read(&mut || stage.output.flush())? {
            Found::Record(_, record) => stage.record(record)?,
            Found::Bad(why) => {
                stage.report.failed(&why);
                stage.lost = true;
            }
            Found::End => break,
        }
    }
    if stage.open && reader.is_closed_array() {
        // Its bracket says that it is whole, and what is written has none.
        stage.close(Checkpoint::new(Of::Container, stage.listed))?;
    }
    stage.output.settle()
}

enum Filter {
    Up(Up),
    Down(Down),
}

struct Stage {
    filter: Filter,
    output: Output,
    report: Report,
    /// The containers that came in.
    listed: u64,
    /// Whether no checkpoint has come.
    open: bool,
    /// Whether something came since the last one that could have been a container.
    lost: bool,
}

impl Stage {
    fn record(&mut self, record: Record) -> Result<()> {
        self.report.used();
        match record {
            Record::Container(container) => self.container(container),
            Record::Checkpoint(checkpoint) if checkpoint.of == Of::Container => {
                self.close(checkpoint)
            }
            other => self.output.write(&other),
        }
    }

    fn container(&mut self, container: Box<Container>) -> Result<()> {
        self.listed += 1;
        let (output, report) = (&mut self.output, &self.report);
        match &mut self.filter {
            Filter::Up(up) => up.take(container, &mut |out| match out {
                Out::Record(record) => output.write(record),
                Out::Refused(why) => {
                    report.failed(&why);
                    Ok(())
                }
            }),
            Filter::Down(down) => match down.keeps(&container) {
                true => output.write(&Record::Container(container)),
                false => Ok(()),
            },
        }
    }

    /// Ends a listing. One that lost a record is not whole: nothing goes by what it leaves out.
    fn close(&mut self, mut checkpoint: Checkpoint) -> Result<()> {
        checkpoint.partial |= std::mem::take(&mut self.lost);
        self.open = false;
        let checkpoint = match &mut self.filter {
            Filter::Up(up) => up.checkpoint(checkpoint),
            Filter::Down(down) => down.checkpoint(checkpoint),
        };
        self.output.write(&Record::Checkpoint(checkpoint))
    }
}
