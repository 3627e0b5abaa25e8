//! Draws the plots of the benches' report: `plots REPORT.json DIRECTORY`.

use std::path::PathBuf;

use tollbar_benches::plots::{Error, draw};

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(report), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: plots REPORT.json DIRECTORY".into());
    };
    std::fs::create_dir_all(&folder)?;
    draw(&serde_json::from_slice(&std::fs::read(report)?)?, &folder)
}
