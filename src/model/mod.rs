//! The nouns of a mount and the pure functions over them: nothing here waits, fails for a reason outside, or knows
//! what a cloud is.

pub mod call;
pub mod catalog;
pub mod class;
pub mod cut;
pub mod endpoint;
pub mod go;
pub mod lease;
pub mod locator;
pub mod material;
pub mod mode;
pub mod path;
pub mod plan;
pub mod render;
pub mod subject;
pub mod token;

pub use call::{Attributes, Call, Caller, Envelope, Holder, Publish};
pub use catalog::{Catalog, Defaults, Entry, StoreName};
pub use class::{Class, Manifest};
pub use endpoint::{Address, Endpoint, Origin, Tls};
pub use locator::{Access, Locator};
pub use material::{Fetched, Grant, Kind, Lease, LeaseId, Material, Part};
pub use mode::FileMode;
pub use path::RelPath;
pub use plan::{Body, Cut, Encoding, FileSpec, PathRule, Plan, Said, Source, VersionRule, Want};
pub use render::{File, ObjectVersion, Rendered, VersionKey, render, unwritable};
pub use subject::{AccountName, Namespace, Pod, PodName, PodUid, Subject};
pub use token::{Audience, Claims, Token, Tokens};
