//! Sets one entry of a local store to one number after another, and says each once it is set: the process that
//! `tests/it/local/killing.rs` kills. Arguments: the store's file, the identity, the first number.

#![allow(clippy::print_stdout, reason = "its output is how the test follows it")]

use std::path::PathBuf;

use latchkey::app::local::{Content, EntryPath, Keeper, Readers};
use zeroize::Zeroizing;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("three arguments: file, identity, first number");
    let (file, identity) = (PathBuf::from(next()?), PathBuf::from(next()?));
    let first: u64 = next()?.parse()?;
    let keeper = Keeper::open(&file, &identity).map_err(|problem| problem.to_string())?;
    let path = EntryPath::parse("e").ok_or("a path")?;
    println!("begun");
    for number in first.. {
        let value = format!("{number:020}").repeat(2000).into_bytes();
        keeper
            .set(&path, &Readers::default(), Some(Content::Value(Zeroizing::new(value))))
            .map_err(|problem| problem.to_string())?;
        println!("{number}");
    }
    Ok(())
}
