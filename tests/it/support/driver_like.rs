//! One volume of one pod, published as the driver and kubelet do it together: the retries, the masking, the rotation rules, and which files a running container sees.
//!
//! The tmpfs is a folder of its own: what stands in it is the volume while it is mounted, and nothing otherwise.
//! Time is the given clock's, so that hours of polling pass at once.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use latchkey::clock::{Clock, Instant};
use latchkey::driver::{Client, Flavour, Mounted, NewFile, Refusal, Written, write};
use latchkey::proto::MountRequest;
use tonic::Code;

/// Which driver.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// Kubelet publishes again and again; `--enable-secret-rotation` makes the driver ask again, not sooner than this
    /// after the folder last changed. `None`: rotation is off.
    V16 { poll: Option<Duration> },
    /// A mounted volume is never published again; a reconciler of the driver rotates.
    V15,
}

/// How a publish or a rotation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The provider was asked and its files were taken over.
    Asked(Written),
    /// OK to kubelet, without asking the provider.
    Skipped,
    /// The provider failed, and kubelet is told OK: the old files stay.
    Masked(Refusal),
    /// The publish failed: what kubelet writes into the pod's event.
    Failed(Refusal),
}

/// The driver and kubelet of one volume.
pub(crate) struct DriverLike {
    client: Client,
    clock: Clock,
    release: Release,
    request: Box<dyn Fn(&Flavour) -> MountRequest + Send>,
    tmpfs: tempfile::TempDir,
    /// When the folder that stands at the target path was last changed.
    target: Option<Instant>,
    mounted: bool,
    container: Container,
    versions: Vec<(String, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Container {
    Waiting,
    /// With the volume in it.
    Sees,
    /// Started over an empty folder: a mount that comes later does not reach into it.
    SeesNothing,
}

impl DriverLike {
    /// A pod that waits for its volume; `request` makes the request of each call.
    pub(crate) fn new(
        socket: &Path,
        clock: Clock,
        release: Release,
        request: impl Fn(&Flavour) -> MountRequest + Send + 'static,
    ) -> Self {
        Self {
            client: Client::new(socket, clock),
            clock,
            release,
            request: Box::new(request),
            tmpfs: tempfile::tempdir().unwrap(),
            target: None,
            mounted: false,
            container: Container::Waiting,
            versions: Vec::new(),
        }
    }

    /// kubelet publishes the volume: at first, after a failure, and about once a minute from then on.
    pub(crate) async fn publish(&mut self) -> Outcome {
        let outcome = self.node_publish().await;
        match &outcome {
            // kubelet takes these for "perhaps done" and keeps the folder.
            Outcome::Failed(refusal) if UNCERTAIN.contains(&Code::from_i32(refusal.code)) => {}
            Outcome::Failed(_) => self.target = None,
            Outcome::Asked(_) | Outcome::Skipped | Outcome::Masked(_) => {
                if self.container == Container::Waiting {
                    self.container = if self.mounted { Container::Sees } else { Container::SeesNothing };
                }
            }
        }
        outcome
    }

    /// The reconciler of drivers up to 1.5: only for what is mounted, with what the last answer said, no deadline.
    /// A failure becomes an event of the pod.
    pub(crate) async fn rotate(&mut self) -> Outcome {
        assert!(self.release == Release::V15 && self.mounted, "only 1.5 rotates, and only what is mounted");
        let request = (self.request)(&Flavour::Driver15Rotation(self.versions.clone()));
        match self.ask(request, None).await {
            Ok(mounted) => Outcome::Asked(self.take_over(mounted)),
            Err(refusal) => Outcome::Failed(refusal),
        }
    }

    /// The container starts again, and from then on sees what is mounted.
    pub(crate) fn restart(&mut self) {
        self.container = if self.mounted { Container::Sees } else { Container::SeesNothing };
    }

    /// Path, mode and content of every file that the container sees; `None` while it waits for its volume.
    pub(crate) fn sees(&self) -> Option<BTreeMap<String, (u32, Vec<u8>)>> {
        match self.container {
            Container::Waiting => None,
            Container::SeesNothing => Some(BTreeMap::new()),
            Container::Sees => Some(files(self.tmpfs.path())),
        }
    }

    /// Id and version of each object, as the pod's status shows them.
    pub(crate) fn versions(&self) -> &[(String, String)] {
        &self.versions
    }

    async fn node_publish(&mut self) -> Outcome {
        let now = self.clock.now();
        match self.release {
            // Looks at the folder alone, mounted or not: this is what lets a pod start empty.
            Release::V16 { poll: Some(poll) } if self.target.is_some_and(|changed| now < changed + poll) => {
                return Outcome::Skipped;
            }
            Release::V16 { poll: None } | Release::V15 if self.mounted => return Outcome::Skipped,
            Release::V16 { .. } | Release::V15 => {}
        }
        let (remount, folder) = (self.mounted, self.target.unwrap_or(now));
        if !remount {
            // What stands at the target path is the tmpfs from now on, and it has just been made.
            self.target = Some(now);
            self.mounted = true;
        }
        let request = (self.request)(&Flavour::Driver16);
        match self.ask(request, Some(KUBELET)).await {
            Ok(mounted) => Outcome::Asked(self.take_over(mounted)),
            Err(refusal) if remount => Outcome::Masked(refusal),
            Err(refusal) => {
                // Unmounted: the folder below is seen again, as old as it is.
                self.mounted = false;
                self.target = Some(folder);
                Outcome::Failed(refusal)
            }
        }
    }

    /// Three attempts on `Unavailable`, all within kubelet's time.
    async fn ask(&mut self, request: MountRequest, time: Option<Duration>) -> Result<Mounted, Refusal> {
        let (clock, start) = (self.clock, self.clock.now());
        let client = &mut self.client;
        let attempts = async {
            let mut pause = Duration::from_secs(1);
            for _ in 1..ATTEMPTS {
                let left = time.map(|time| time.saturating_sub(clock.now() - start));
                match client.mount(request.clone(), left).await {
                    Err(refusal) if refusal.code == i32::from(Code::Unavailable) => clock.sleep(pause).await,
                    other => return other,
                }
                pause = pause.mul_f64(1.1);
            }
            client.mount(request.clone(), time.map(|time| time.saturating_sub(clock.now() - start))).await
        };
        match time {
            None => attempts.await,
            Some(time) => clock.until(start + time, attempts).await.unwrap_or_else(|| {
                let (code, text) = (Code::DeadlineExceeded.into(), "context deadline exceeded".to_owned());
                Err(Refusal { code, text, wire: None })
            }),
        }
    }

    fn take_over(&mut self, mounted: Mounted) -> Written {
        let files: Vec<_> = mounted
            .files
            .iter()
            .map(|(path, mode, contents)| NewFile { path, mode: *mode, contents })
            .collect();
        let written = write(self.tmpfs.path(), &files, self.clock.wall()).unwrap();
        // Only a write changes the folder; a first mount has just made it.
        if written == Written::Replaced {
            self.target = Some(self.clock.now());
        }
        self.versions = mounted.versions;
        self.versions.sort();
        written
    }
}

/// Every file below the names that are not the writer's own.
fn files(root: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut seen = BTreeMap::new();
    let names = |folder: &Path| -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let mut open: Vec<_> = names(root).into_iter().filter(|name| !name.starts_with("..")).collect();
    while let Some(path) = open.pop() {
        let full = root.join(&path);
        if full.is_dir() {
            open.extend(names(&full).into_iter().map(|name| format!("{path}/{name}")));
        } else {
            let mode = fs::metadata(&full).unwrap().mode() & 0o7777;
            seen.insert(path, (mode, fs::read(&full).unwrap()));
        }
    }
    seen
}

/// The codes after which kubelet keeps the folder.
const UNCERTAIN: [Code; 5] =
    [Code::Cancelled, Code::DeadlineExceeded, Code::Unavailable, Code::ResourceExhausted, Code::Aborted];
/// How often the driver tries a provider that is unavailable.
const ATTEMPTS: u32 = 3;
/// How long kubelet waits for a publish.
const KUBELET: Duration = Duration::from_secs(120);
