//! Cutting a file's content out of an object.

use super::material::Part;
use super::plan::Cut;
use crate::error::{Problem, Reason};
use crate::secret::Secret;
use crate::text::{nearest, short};

/// The piece of a part that a file asks for, shared, not copied.
///
/// # Errors
/// `not_found` where the field is absent; the names of the others are told, since they are not secret.
pub fn cut(part: &Part, cut: &Cut) -> Result<Secret, Problem> {
    match cut {
        Cut::Whole => Ok(part.body.clone()),
        Cut::Field(field) => part.fields.get(field).cloned().ok_or_else(|| absent(part, field)),
    }
}

fn absent(part: &Part, field: &str) -> Problem {
    let problem = Problem::new(Reason::NotFound, format!("there is no field `{}`", short(field)));
    let names: Vec<&str> = part.fields.keys().map(String::as_str).take(16).collect();
    match (nearest(field, part.fields.keys().map(String::as_str)), names.is_empty()) {
        (Some(near), _) => problem.remedy(format!("did you mean `{near}`?")),
        (None, true) => problem.remedy("it is one value without fields: name it without a field"),
        (None, false) => problem.remedy(format!("it has {}", names.join(", "))),
    }
}
