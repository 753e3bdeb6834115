//! A dialect turns the parameters of a class into a plan. Pure: the same text gives the same plan, every problem is
//! reported at once with its place and remedy, and nothing outside is asked.

pub mod native;
#[cfg(feature = "vault")]
pub mod vault;

use crate::error::Problems;
use crate::model::{Attributes, Catalog, FileMode, Plan};
use crate::secret::DigestKey;

/// One provider's parameters.
pub trait Dialect: Send + Sync {
    /// The provider's name: the file name of its socket, and what `spec.provider` of a class says.
    fn provider(&self) -> &'static str;

    /// The parameters that it knows, for unknown keys, `lint` and the documentation.
    fn params(&self) -> &'static [Param];

    /// What the class asks for.
    ///
    /// # Errors
    /// Everything that is wrong with the class.
    fn parse(&self, attributes: &Attributes, facts: Facts<'_>, catalog: &Catalog) -> Result<Plan, Problems>;
}

/// One parameter of a class.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its key.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub summary: &'static str,
}

/// What a dialect may know of the call besides the class.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The mode of files that ask for none.
    pub mode: FileMode,
    /// Whether the pod names a `nodePublishSecretRef`.
    pub publish: bool,
    /// The key of digests: of arguments that a locator holds.
    pub digests: &'a DigestKey,
}
