//! What must hold of every fault, wherever it strikes. All faults of a family strike at once, each at a host of its own:
//! the answers come in time with the right words, nothing is asked for too often, nobody else is disturbed, what a
//! volume had it keeps where the fault is an outage, and when the faults are over the next poll is a success.

use std::time::Duration;

use latchkey::error::{Problems, Reason};

use super::bed::{Answer, Ask, Bed, CALLER, CANARY, get, put};
use crate::testkit::{Reply, Testkit};

/// One fault and what comes of it.
pub(super) struct Case {
    pub(super) what: &'static str,
    pub(super) reply: Reply,
    /// At the login, and in how many attempts.
    pub(super) login: Verdict,
    /// At the read of an object that was never read before.
    pub(super) read: Verdict,
    /// Attempts to read one that was read before, and is known to have no effect.
    pub(super) again: usize,
    /// Attempts of a request with an effect.
    pub(super) put: usize,
    /// Whether the server asks all of its callers for patience.
    pub(super) holds: bool,
}

/// Reason, words that the text must have, and attempts.
pub(super) type Verdict = (Reason, &'static str, usize);

impl Case {
    /// Nothing that another attempt would mend.
    pub(super) fn once(
        what: &'static str,
        reply: Reply,
        login: (Reason, &'static str),
        read: (Reason, &'static str),
    ) -> Self {
        let ((login, say), (read, words)) = (login, read);
        Self { what, reply, login: (login, say, 1), read: (read, words, 1), again: 1, put: 1, holds: false }
    }

    /// The line broke, or nobody knows what became of the request: only what has no effect is asked again.
    pub(super) fn doubtful(
        what: &'static str,
        reply: Reply,
        (reason, words): (Reason, &'static str),
    ) -> Self {
        Self {
            what,
            reply,
            login: (reason, words, 2),
            read: (reason, words, 1),
            again: 3,
            put: 1,
            holds: false,
        }
    }

    /// The server said that nothing has happened.
    pub(super) fn clear(what: &'static str, reply: Reply, (reason, words): (Reason, &'static str)) -> Self {
        Self {
            what,
            reply,
            login: (reason, words, 2),
            read: (reason, words, 3),
            again: 3,
            put: 3,
            holds: false,
        }
    }
}

/// Where a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At a pod's first login.
    Login,
    /// At the login of a pod whose volume has its files, and whose session is over.
    NextLogin,
    /// At a first read.
    Read,
    /// At the read of what a volume has already.
    Again,
    /// At a request with an effect.
    Put,
}

const PLACES: [Place; 5] = [Place::Login, Place::NextLogin, Place::Read, Place::Again, Place::Put];

/// One fault at one place.
struct Spot<'a> {
    case: &'a Case,
    place: Place,
    host: String,
    ask: Ask,
}

impl Place {
    /// The path that the fault is at, and that requests are counted at.
    fn path(self) -> &'static str {
        match self {
            Self::Login => "auth/kubernetes/login",
            Self::NextLogin => "auth/short/login",
            Self::Read => "kv/new",
            Self::Again => "kv/old",
            Self::Put => "pki/issue",
        }
    }

    /// What the class reads.
    fn object(self) -> &'static str {
        match self {
            Self::Login | Self::NextLogin => "kv/a",
            Self::Read | Self::Again | Self::Put => self.path(),
        }
    }

    /// Whether a volume has its files when the fault begins.
    fn has_files(self) -> bool {
        matches!(self, Self::NextLogin | Self::Again)
    }
}

impl Spot<'_> {
    fn verdict(&self) -> Verdict {
        let (reason, words, attempts) = self.case.read;
        match self.place {
            Place::Login | Place::NextLogin => self.case.login,
            Place::Read => self.case.read,
            Place::Again => (reason, words, self.case.again),
            Place::Put => (reason, words, attempts.min(self.case.put)),
        }
    }

    fn object(&self) -> String {
        match self.place {
            Place::Login | Place::NextLogin => "store `vault`".to_owned(),
            Place::Read | Place::Again => format!("secret `o` (vault {})", self.place.path()),
            Place::Put => format!("secret `o` (vault PUT {}", self.place.path()),
        }
    }

    fn name(&self) -> String {
        format!("{} ({:?})", self.case.what, self.place)
    }

    /// What is wrong with what the volume is given while the fault lasts: what it has, or why it gets nothing.
    fn judge(&self, bed: &Bed, answer: &Answer) -> Vec<String> {
        let (reason, words, _) = self.verdict();
        let mut found = Vec::new();
        if answer.took >= CALLER {
            found.push(format!("was answered after {:?}", answer.took));
        }
        let given_again = self.place.has_files() && !reason.is_refusal();
        match &answer.outcome {
            Ok(files) if !given_again || !files["o"].starts_with(CANARY) => {
                found.push(format!("got {files:?}"))
            }
            Ok(_) => {}
            Err(problems) => {
                let text = problems.text();
                let right = (reason, 1) == (problems.reason(), problems.iter().count());
                let named = [words, &bed.kit.at(&self.host).site(), &self.object()];
                let named = named.iter().all(|part| text.contains(part));
                let silent = ![CANARY, "hvs.", "eyJ", "<html"].iter().any(|secret| text.contains(secret));
                if given_again || !right || !named || !silent {
                    found.push(format!("not `{reason}` with `{words}`: {text}"));
                }
            }
        }
        found
    }
}

/// Lets all of them strike, and all of them end.
pub(super) async fn run(kit: Testkit, cases: &[Case]) {
    let mut hosts = vec!["calm.kit.test".to_owned()];
    hosts.extend((0..cases.len()).flat_map(|index| PLACES.map(|place| host(index, place))));
    let bed = Bed::new(kit, &hosts);
    let spots = spots(&bed, cases);
    let before: Vec<Ask> =
        spots.iter().filter(|spot| spot.place.has_files()).map(|spot| spot.ask.clone()).collect();
    for answer in bed.mount_all(&before).await {
        assert!(answer.file().starts_with(CANARY));
    }
    // Nothing is fresh any more, and short sessions are over.
    bed.held.elapse(Duration::from_secs(61)).await;

    for spot in &spots {
        bed.fault(&spot.host, spot.place.path(), &spot.case.reply);
    }
    let mut found: Vec<String> = Vec::new();
    let mut told: Vec<Option<String>> = Vec::new();
    for round in 0..2 {
        bed.forget();
        let others = calm(&bed, &spots, round);
        let mut asks: Vec<Ask> = spots.iter().map(|spot| spot.ask.clone()).collect();
        asks.extend(others.iter().map(|(_, ask)| ask.clone()));
        let mut answers = bed.mount_all(&asks).await;
        let calm = answers.split_off(spots.len());
        for (answer, (name, _)) in calm.iter().zip(&others) {
            if answer.outcome.is_err() || answer.took > LATE {
                found.push(format!(
                    "beside {name}, after {:?}: {:?}",
                    answer.took,
                    answer.outcome.as_ref().err()
                ));
            }
        }
        for (index, (spot, answer)) in spots.iter().zip(&answers).enumerate() {
            found.extend(spot.judge(&bed, answer).into_iter().map(|what| format!("{}: {what}", spot.name())));
            let text = answer.outcome.as_ref().err().map(Problems::text);
            if round == 0 {
                let (asked, attempts) = (bed.asked(&spot.host, spot.place.path()), spot.verdict().2);
                if asked != attempts {
                    found.push(format!("{}: {asked} requests, not {attempts}", spot.name()));
                }
                told.push(text);
            } else if text != told[index] {
                found.push(format!("{}: the second time {text:?}, not {:?}", spot.name(), told[index]));
            }
        }
    }

    bed.mend();
    bed.held.elapse(Duration::from_secs(60)).await;
    let asks: Vec<Ask> =
        spots.iter().map(|spot| Ask { time: Duration::from_secs(30), ..spot.ask.clone() }).collect();
    for (spot, answer) in spots.iter().zip(bed.mount_all(&asks).await) {
        let wanted = format!("{CANARY} of {}", spot.place.object());
        if answer.outcome.as_ref().is_ok_and(|files| files["o"] == wanted) {
            continue;
        }
        found.push(format!("{}, afterwards: {:?}", spot.name(), answer.outcome));
    }
    assert!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));
    bed.is_well().await;
}

/// The host of one fault at one place.
fn host(index: usize, place: Place) -> String {
    format!("{place:?}-{index}.kit.test").to_lowercase()
}

/// Every fault at every place.
fn spots<'a>(bed: &Bed, cases: &'a [Case]) -> Vec<Spot<'a>> {
    let places = cases.iter().enumerate().flat_map(|(index, case)| PLACES.map(|place| (index, case, place)));
    let spots = places.enumerate().map(|(number, (index, case, place))| {
        let host = host(index, place);
        let objects = if place == Place::Put { put(place.object()) } else { get(place.object()) };
        let mut ask = bed.ask(number + 1, &host, &objects);
        if place == Place::NextLogin {
            ask.auth = "short";
        }
        Spot { case, place, host, ask }
    });
    spots.collect()
}

/// Longer than this nobody waits because of somebody else's fault.
const LATE: Duration = Duration::from_secs(3);

/// Other pods, each of which mounts for the first time: one at each host, by another auth mount and at another path.
fn calm(bed: &Bed, spots: &[Spot<'_>], round: usize) -> Vec<(String, Ask)> {
    let one = |(index, spot): (usize, &Spot<'_>)| {
        let host = if spot.case.holds { "calm.kit.test" } else { &spot.host };
        let ask = bed.ask(10_000 * (round + 1) + index, host, &get("kv/calm"));
        (spot.name(), Ask { auth: "other", ..ask })
    };
    spots.iter().enumerate().map(one).collect()
}
