//! Recorded connections and what a fuzzer has made of them, spoilt in small ways again and again: nothing breaks a promise.
//! `fuzz/run` does the same with an eye on the code that is reached, and finds new ones for the corpus.

use std::time::{Duration, Instant};

use super::blocks::Dice;
use super::law::holds;
use crate::layers::source::top;

/// At most so many, and no more than a minute of them.
const MUTANTS: usize = 40_000;
const MINUTE: Duration = Duration::from_secs(60);

/// Each connection of the corpus; what the fuzzer made begins with a byte that says how it was cut.
fn corpus() -> Vec<Vec<u8>> {
    let mut names: Vec<_> = std::fs::read_dir(top().join("tests/data/authority"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_none_or(|ending| ending != "md"))
        .collect();
    names.sort();
    names.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn no_connection_of_the_corpus_breaks_a_promise() {
    let corpus = corpus();
    assert!(corpus.len() > 50, "{} connections are no corpus", corpus.len());
    for (number, bytes) in (0..).zip(&corpus) {
        let mut dice = Dice::new(number);
        for stream in [&bytes[..], &bytes[1..]] {
            holds(stream, || 1 + dice.below(40));
            holds(stream, || 1);
        }
    }
}

#[test]
fn no_mutant_of_the_corpus_breaks_a_promise() {
    let (corpus, start) = (corpus(), Instant::now());
    let mut dice = Dice::new(5);
    for _ in 0..MUTANTS {
        let mut bytes = corpus[dice.below(corpus.len())].clone();
        for _ in 0..=dice.below(4) {
            spoil(&mut bytes, &corpus, &mut dice);
        }
        let from = usize::from(!bytes.starts_with(b"PRI")).min(bytes.len());
        holds(&bytes[from..], || 1 + dice.below(60));
        if start.elapsed() > MINUTE {
            return;
        }
    }
}

fn spoil(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], dice: &mut Dice) {
    if bytes.is_empty() {
        return;
    }
    let (one, other) = (dice.below(bytes.len()), dice.below(bytes.len()));
    let (from, to) = (one.min(other), one.max(other));
    match dice.below(6) {
        0 => bytes[one] = u8::try_from(dice.below(256)).unwrap(),
        1 => bytes[one] ^= 1 << dice.below(8),
        2 => bytes.truncate(one + 1),
        3 => drop(bytes.drain(from..to.min(from + 20))),
        4 => {
            let again = bytes[from..to.min(from + 50)].to_vec();
            drop(bytes.splice(one..one, again));
        }
        _ => {
            let donor = &corpus[dice.below(corpus.len())];
            let start = dice.below(donor.len());
            let piece = donor[start..donor.len().min(start + 60)].to_vec();
            drop(bytes.splice(one..one, piece));
        }
    }
}
